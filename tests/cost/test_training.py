"""Costs of trainings: which events make which phase, how much they cost, and what algorithms declare."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmgrad as og
from ohmgrad.cost import Hardware, array_events, cost_of, hardware
from ohmgrad.cost import equations as eq
from ohmgrad.cost.counts import ArrayEvents, added, since
from ohmgrad.cost.hardware import changed
from ohmgrad.cost.training import baseline, work_of
from ohmgrad.devices import Device, OneSided, SoftBounds
from ohmgrad.errors import InputError
from ohmgrad.optim import ALGORITHMS
from ohmgrad.optim.registry import options_of
from ohmgrad.optim.work import Work

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS, COLS = 3, 5


def round_hardware() -> Hardware:
    """Coefficients with which costs are read off by hand: energies in powers of ten, times in other ones."""
    return changed(
        hardware("rasch-li"), "by hand",
        array_rows=2, array_cols=4, elements_per_weight=1, cell_pitch=1.0, line_resistance=0.0,
        line_capacitance=1e-9, conductance=1.0, read_voltage=1.0, read_duty=0.5, read_time=2.0,
        write_voltage=2.0, pulse_width=1.0, pulse_phases=2, dac_energy=1e-3, adc_energy=1e-2, adc_rate=1.0,
        lines_per_adc=1, integrator_power=1e-4, translator_power=1e-5, digital_energy=1e-6,
        digital_rate=100.0, memory_energy=1e-7, number_bytes=2.0,
    )  # fmt: skip


def test_products_by_hand() -> None:
    hw = round_hardware()
    energy = eq.product_energy(hw, driven_cells=7, line_cells=3, inputs=5, outputs=2)
    # 7 elements at 1 S and 1 V for half of 2 s; 5 lines past 3 crosspoints; 2 outputs for 2 s
    assert energy == pytest.approx(7 + 5 * (1e-3 + 3e-9) + 2 * (1e-2 + 2e-4), rel=1e-12)
    assert eq.product_time(hw, 3) == 6
    assert eq.product_time(changed(hw, "x", lines_per_adc=4), 3) == 12  # the converter is the slower one


def test_pulses_by_hand() -> None:
    hw = round_hardware()
    energy = eq.pulse_energy(hw, 3, 5, pulses=7, toggles=2, slots=4)
    # 2 V on 7 elements for 1 s; 1 V on 4 elements along each of 2 lines; 8 lines in 4 slots of 2 phases
    assert energy == pytest.approx(7 * 4 + 2 * (4 + 4e-9) + 4 * 8 * 2 * 1e-5, rel=1e-12)
    assert eq.pulse_time(hw, 4) == 8
    serial = changed(hw, "x", verify_reads=1.0)
    # row by row, with a read of the row after each slot
    assert eq.pulse_time(serial, 4, lines=3) == 4 * 3 * (2 + 2)
    more = eq.pulse_energy(serial, 3, 5, pulses=0, toggles=0, slots=4, lines=3)
    read = eq.product_energy(serial, driven_cells=5, line_cells=5, inputs=1, outputs=5)
    assert more == pytest.approx(12 * (8 * 2 * 1e-5 + read), rel=1e-12)


def test_areas_by_hand() -> None:
    hw = changed(round_hardware(), "x", adc_area=1.0, line_area=10.0, digital_area=100.0, memory_area=1000.0,
                 lines_per_adc=3)  # fmt: skip
    assert eq.arrays_for(hw, ROWS, COLS) == 4  # 2 x 4 each
    assert eq.crosspoint_area(hw, 4) == 4 * 8
    assert eq.circuit_area(hw, 4, 3) == 4 * (2 * 1 + 6 * 10 + 100) + 3 * 2 * 1000


def array(name: str = "weights", seen: bool = True, /, **events: float) -> ArrayEvents:
    """Events of an array, with the conversions of its vectors and reads."""
    forward = events.get("forward_vectors", 0) + events.get("driven_again", 0) + events.get("read_columns", 0)
    backward = events.get("backward_vectors", 0)
    events["dac"] = forward * COLS + backward * ROWS
    events["adc"] = forward * ROWS + backward * COLS
    return ArrayEvents("layer", 0, name, ROWS, COLS, seen, events)


#: the work of an algorithm with an auxiliary array, of whose phases no operation is digital
FAST = Work("fast")
#: event -> (array, phases that it has)
PHASES_OF = {
    "forward_vectors": ("weights", {"forward", "digital"}),
    "backward_vectors": ("weights", {"backward"}),
    "driven_again": ("weights", {"forward"}),
    "pulses_up": ("fast", {"update"}),
    "pulses_down": ("weights", {"transfer"}),
    "slots": ("fast", {"update"}),
    "line_toggles": ("weights", {"transfer"}),
    "read_columns": ("fast", {"transfer"}),
}


@pytest.mark.parametrize("event", PHASES_OF)
def test_an_event_counts_in_its_phase(event: str) -> None:
    where, phases = PHASES_OF[event]
    one, two = (
        cost_of(
            [array(**{event: n} if where == "weights" else {}),
             array("fast", False, **{event: n} if where == "fast" else {})],
            FAST, round_hardware(), images=1, steps=1,
        )
        for n in (3.0, 6.0)
    )  # fmt: skip
    assert {part.phase for part in one.parts} == phases
    assert two.energy() == pytest.approx(2 * one.energy())
    assert two.time() == pytest.approx(2 * one.time())


def test_refreshes_and_calibration_are_phases_of_their_own() -> None:
    hw = round_hardware()
    rewritten = {"rewrite_pulses": 4, "rewrite_slots": 2, "pulses_up": 4, "slots": 2, "line_toggles": 6}
    refresh = cost_of([array(**rewritten, read_columns=1, verify_columns=1)], Work(), hw, images=1, steps=1)
    assert {part.phase for part in refresh.parts} == {"refresh"}
    assert refresh.time() == 2 * 2 + 2  # slots of two phases, and a read
    shifted = {"pulses_up": 15, "pulses_down": 15, "slots": 2, "line_toggles": 16, "read_columns": COLS}
    both = cost_of([array()], Work(), hw, images=1, steps=1, calibration=[array(**shifted)])
    assert {part.phase for part in both.parts} == {"calibration"}
    assert both.time() == 2 * 2 + 2 * COLS


def test_layers_work_at_once_but_for_the_passes() -> None:
    hw = round_hardware()
    one = array(forward_vectors=1, slots=3)
    two = replace(array(forward_vectors=1, slots=5), layer="other")
    cost = cost_of([one, two], Work(), hw, images=1, steps=1)
    digital = (ROWS + COLS) / (100.0 * 4)
    assert cost.time() == pytest.approx(2 * 2 + 5 * 2 + digital)
    assert cost.time("layer") == pytest.approx(2 + 3 * 2 + digital)
    assert sum(cost.energy(layer) for layer in cost.layers) == pytest.approx(cost.energy())
    assert sum(cost.energy(phase=p) for p in ("forward", "update", "digital")) == pytest.approx(cost.energy())


def test_hardware_without_parallel_updates_takes_a_row_at_a_time() -> None:
    serial = changed(round_hardware(), "x", parallel_update=0)
    events = [array(slots=4.0)]
    assert cost_of(events, Work(), serial, images=1, steps=1).time("layer", "update") == 4 * 2 * ROWS
    # counts of pulses are sent line by line already
    digital = Work(per_weight_sample=2)
    assert cost_of(events, digital, serial, images=1, steps=1).time("layer", "update") == 4 * 2


def test_arrays_that_are_seen_conduct_and_share_converters() -> None:
    hw = round_hardware()
    alone, seen = (
        cost_of([array(forward_vectors=1), array("fast", flag)], FAST, hw, images=1, steps=1)
        for flag in (False, True)
    )
    heat = ROWS * COLS * 0.5 * 2.0
    assert seen.energy(phase="forward") - alone.energy(phase="forward") == pytest.approx(heat)


def test_wear_is_pulses_by_element() -> None:
    cost = cost_of(
        [array(pulses_up=30, pulses_down=15), array("fast", False, pulses_up=60)], FAST, round_hardware(),
        images=1, steps=1,
    )  # fmt: skip
    assert cost.mean_wear == 105 / 30
    assert cost.most_wear == ("layer", 0, "fast", 4.0)


def test_nothing_to_count_is_refused() -> None:
    with pytest.raises(InputError, match="no events of a training"):
        cost_of([], "sgd", hardware("rasch-li"), images=1, steps=1)
    with pytest.raises(InputError, match="did you mean 'ttv2'"):
        cost_of([array()], "tt-v2", hardware("rasch-li"), images=1, steps=1)


def test_the_baseline_counts_products_and_the_gradient() -> None:
    hw = hardware("rasch-li")
    events = [array(forward_vectors=4, backward_vectors=3), array("fast", forward_vectors=9)]
    operations = 2 * ROWS * COLS * (4 + 4 + 3)
    assert baseline(events, hw).energy == pytest.approx(operations * hw.baseline_energy)
    assert baseline(events, hw).time == pytest.approx(operations / hw.baseline_rate)


# --- what algorithms declare, against what they do ------------------------------------------------------


def stepped(name: str, steps: int = 3, **options: Any) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    device = Device(SoftBounds.symmetric(0.6), dw_min=0.01)
    model = og.convert(nn.Linear(COLS, ROWS), device)
    known = options_of(name)
    optimizer = ALGORITHMS[name](
        model.parameters(), lr=0.5, **{k: v for k, v in options.items() if k in known}
    )
    for _ in range(steps):
        x = torch.rand(4, COLS)
        (model(x) * torch.randn(4, ROWS)).sum().backward()
        optimizer.step()
    return model, optimizer


@pytest.mark.parametrize("name", ALGORITHMS)
def test_the_gradient_goes_where_an_algorithm_says(name: str) -> None:
    """Before the first transfer, the array of the gradient alone is pulsed."""
    options = {"transfer_every": 10**6, "fast_lr": 0.1, "both": True, "verify": 0, "tiles": 3}
    model, optimizer = stepped(name, **options)
    arrays = array_events(model, optimizer)
    pulsed = {each.array for each in arrays if each.count("slots")}
    if name == "mixed-precision":
        assert not pulsed  # they come with the transfer, in whole pulses
        return
    where = work_of(name).gradient_on
    expected = {"all": {each.array for each in arrays}, "last": {arrays[-1].array}}.get(where, {where})
    assert pulsed == expected
    phases = {part.phase for part in cost_of(arrays, name, hardware("rasch-li"), images=12, steps=3).parts}
    assert {"forward", "update", "digital"} <= phases
    assert "transfer" not in phases


@pytest.mark.parametrize("name", ALGORITHMS)
def test_an_algorithm_keeps_the_planes_that_it_says(name: str) -> None:
    _, optimizer = stepped(name, steps=40, fast_lr=0.1, columns=COLS)
    (state,) = (state for group in optimizer.param_groups for _, state in optimizer.tiles_in(group))
    kept = sum(isinstance(v, Tensor) and v.numel() == ROWS * COLS for v in state.values())
    work = work_of(name)
    # d^T x has a plane in hardware also where the simulation keeps none
    assert work.planes == max(kept, 1 if work.per_weight_sample else 0)
    assert bool(work.per_weight_sample) == ALGORITHMS[name].takes_matrix  # pyright: ignore[reportFunctionMemberAccess]


def test_events_of_pairs_split_into_updates_and_refreshes() -> None:
    torch.manual_seed(0)
    device = Device(SoftBounds.symmetric(0.6), dw_min=0.05, pair=OneSided(2, 0.3))
    model = og.convert(nn.Linear(COLS, ROWS), device)
    optimizer = og.AnalogSGD(model.parameters(), lr=0.5)
    before = array_events(model, optimizer)
    for _ in range(20):
        model(torch.rand(4, COLS)).square().sum().backward()
        optimizer.step()
    (counted,) = since(before, array_events(model, optimizer))
    assert 0 < counted.count("rewrite_pulses") < counted.count("pulses_up") + counted.count("pulses_down")
    assert counted.count("read_columns") == counted.count("verify_columns") > 20
    cost = cost_of([counted], "sgd", hardware("rasch-li"), images=80, steps=20)
    assert min(cost.energy(phase="update"), cost.energy(phase="refresh")) > 0
    assert cost.energy(phase="transfer") == 0
    assert added([counted, counted])[0].count("slots") == 2 * counted.count("slots")
