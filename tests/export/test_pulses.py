"""The pulses of updates, written while training."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from pyarrow import parquet

from ohmgrad import ConstantStep, Device, EaPU, InputError, MixedPrecision, Pulsing, SoftBounds, TikiTaka
from ohmgrad.export import pulses, record_pulses
from ohmgrad.export.arrays import arrays_in
from ohmgrad.optim import AnalogOptimizer
from tests.cases import MEMORIES
from tests.export.trained import SPREAD, step, trained

pytestmark = pytest.mark.usefixtures("one_thread")

CONSTANT = Device(ConstantStep(-2.0, 2.0), 2.0**-8)
ALGORITHMS = {
    "tiki-taka": partial(TikiTaka, fast_lr=0.1, gamma=0.4),
    "mixed-precision": MixedPrecision,
    "eapu": partial(EaPU, momentum=0.0, verify=2),
}


def read(folder: Path) -> dict[str, np.ndarray]:
    table = parquet.read_table(folder / "pulses")
    return {name: table[name].to_numpy() for name in table.column_names}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_steps_of_equal_length_add_up_to_the_weights(name: str, tmp_path: Path) -> None:
    """On constant steps: weights move by dw_min times their pulses, up less down, to rounding."""
    model, optimizer = trained(CONSTANT, ALGORITHMS[name], 2)
    arrays = arrays_in(model, optimizer)
    before = [(each.array.weight.clone(), each.array.events.clone()) for each in arrays]
    with record_pulses(model, tmp_path, optimizer) as recorder:
        for number in range(2, 8):
            step(model, optimizer, number)
    rows, said = read(tmp_path), json.loads((tmp_path / "pulses.json").read_text())
    assert recorder.rows == len(rows["row"]) > 100
    for each, (kept, events), entry in zip(arrays, before, said["arrays"], strict=True):
        mine = rows["array"] == each.number
        total = np.zeros(each.array.shape)
        np.add.at(total, (rows["row"][mine], rows["col"][mine]), (rows["sign"] * rows["count"])[mine])
        wanted = kept.double() + torch.from_numpy(total) * 2.0**-8
        assert float((each.array.weight - wanted).abs().max()) < 1e-6  # of a step of 0.004
        counted = (each.array.events - events)[1:3].tolist()
        assert counted == [int(rows["count"][mine & (rows["sign"] == sign)].sum()) for sign in (1, -1)]
        steps = rows["step"][mine]
        assert entry["first_step"] == int(events[0])
        assert ((steps >= int(events[0])) & (steps < int(each.array.events[0]))).all()


@pytest.mark.parametrize(
    "device", [SPREAD, Device(SoftBounds.symmetric(0.6), 0.005, **MEMORIES["pair"])], ids=["spread", "pair"]
)
def test_a_recorded_training_is_the_same(device: Device, tmp_path: Path) -> None:
    make: Callable[..., AnalogOptimizer] = partial(TikiTaka, fast_lr=0.1)
    (model, optimizer), (twin, its) = (trained(device, make, 1) for _ in range(2))
    with record_pulses(model, tmp_path, optimizer):
        losses = [step(model, optimizer, number) for number in range(1, 6)]
    assert losses == [step(twin, its, number) for number in range(1, 6)]
    assert optimizer.events() == its.events()


def test_what_is_written_stays_when_a_training_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files are whole as they come, memory holds one at most, and the last one is written on the way out."""
    monkeypatch.setattr(pulses, "ROWS", 50)
    model, optimizer = trained(SPREAD, steps=0)
    seen = []

    def cut_off() -> None:
        with record_pulses(model, tmp_path, optimizer) as recorder:
            for number in range(6):
                step(model, optimizer, number)
                files = sorted((tmp_path / "pulses").iterdir())
                seen.append(sum(parquet.read_metadata(file).num_rows for file in files))
                assert recorder.rows == seen[-1]
                assert recorder._waiting < 50
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    assert 0 < seen[2] < seen[-1]
    counts = read(tmp_path)["count"]
    assert counts.sum() == sum(optimizer.events()[name] for name in ("pulses_up", "pulses_down"))
    step(model, optimizer, 6)  # is not recorded
    assert read(tmp_path)["count"].sum() == counts.sum()


def test_what_cannot_be_recorded_is_refused(tmp_path: Path) -> None:
    model, optimizer = trained(SPREAD, steps=0, pulsing=Pulsing("mean"))
    with (
        pytest.raises(InputError, match="fidelity 'mean', which has no pulses"),
        record_pulses(model, tmp_path),
    ):
        pass
    model, optimizer = trained(SPREAD, TikiTaka, 1)
    state = optimizer.state_dict()
    with pytest.raises(InputError, match="made anew"), record_pulses(model, tmp_path, optimizer):
        optimizer.load_state_dict(state)
    with pytest.raises(InputError, match=r"has a pulses\.json already"), record_pulses(model, tmp_path):
        pass
