"""Elements of aihwkit: the step of a pulse by its published equations, and what elements do besides."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import pytest
import torch

import ohmgrad as og
from ohmgrad.aihwkit import from_aihwkit as found
from ohmgrad.devices.memory import Retention, Stuck
from ohmgrad.devices.pairs import OneSided, Reference
from ohmgrad.devices.presets import PRESETS, preset

Step = Callable[[float], float]
#: of the third law
B = 1.5 / (1 - math.exp(-2.0))
LAWS: list[tuple[str, Step, Step]] = [
    ("ConstantStepDevice(dw_min=0.01, up_down=0.2)", lambda w: 0.01, lambda w: 0.01 * 0.8),
    ("ConstantStepDevice(dw_min=0.01, up_down=-0.2)", lambda w: 0.01 * 0.8, lambda w: 0.01),
    # slopes: dw (1 - gamma w/w_max) up, dw (1 - gamma w/w_min) down
    (
        "LinearStepDevice(dw_min=0.01, w_max=0.8, w_min=-0.5, gamma_up=0.3, gamma_down=0.7)",
        lambda w: 0.01 * (1 - 0.3 * w / 0.8),
        lambda w: 0.01 * (1 + 0.7 * w / 0.5),
    ),
    (
        "SoftBoundsDevice(dw_min=0.01, w_max=0.8, w_min=-0.5)",
        lambda w: 0.01 * (1 - w / 0.8),
        lambda w: 0.01 * (1 + w / 0.5),
    ),
    # soft bounds with w_min = range_min, w_max = range_min + B, dw_min = B alpha, up_down = 1 + 2 range_min/B
    (
        "SoftBoundsPmaxDevice(p_max=500, alpha=0.004, range_min=-0.6, range_max=0.9)",
        lambda w: 0.004 * B * (1 - w / (B - 0.6)),
        lambda w: 0.004 * 1.2 * (1 + w / 0.6),
    ),
    (
        "ExpStepDevice(dw_min=0.01, w_max=0.8, w_min=-0.5, up_down=0.1)",
        lambda w: 0.01 * (1 - 0.00081 * math.exp(12.44625 * (2 * 0.244 * w / 1.3 + 0.2425))),
        lambda w: 0.009 * (1 - 0.36833 * math.exp(-12.78785 * (2 * 0.244 * w / 1.3 + 0.2425))),
    ),
    # the relative way to the bound ahead, to the power gamma
    (
        "PowStepDevice(dw_min=0.01, w_max=0.8, w_min=-0.5, pow_gamma=2.0, pow_up_down=0.25)",
        lambda w: 0.01 * ((0.8 - w) / 1.3) ** 2.0,
        lambda w: 0.01 * ((w + 0.5) / 1.3) ** 1.5,
    ),
    # nodes at -0.5, 0.15 and 0.8
    (
        "PiecewiseStepDevice(dw_min=0.01, w_max=0.8, w_min=-0.5, piecewise_up=[2, 1, 3], "
        "piecewise_down=[1, 1, 2])",
        lambda w: 0.01 * (1 + abs(w - 0.15) / 0.65 * (2 if w > 0.15 else 1)),
        lambda w: 0.01 * (1 + max(w - 0.15, 0) / 0.65),
    ),
]


@pytest.mark.parametrize(("text", "up", "down"), LAWS, ids=[t.partition("(")[0] for t, _, _ in LAWS])
def test_the_step_is_that_of_the_law(text: str, up: Step, down: Step) -> None:
    device = found(text).device
    for w in (-0.4, 0.0, 0.2, 0.5):
        at = torch.tensor([w], dtype=torch.float64)
        assert device.dw_min * float(device.response.q_plus(at)) == pytest.approx(up(w), rel=1e-9)
        assert device.dw_min * float(device.response.q_minus(at)) == pytest.approx(down(w), rel=1e-9)


def test_the_presets_are_ours() -> None:
    """Where a named device of ours says which preset of aihwkit it is, the conversion gives it."""
    pairs = {
        "ReRamESPresetDevice",
        "ReRamSBPresetDevice",
        "IdealizedPresetDevice",
        "ReRamArrayOMPresetDevice",
    }
    names = {entry.aihwkit: name for name, entry in PRESETS.items()}
    for theirs in sorted(pairs):
        ours, converted = preset(names[theirs]), found(f"{theirs}()").device
        if "Array" in theirs:  # stuck elements are an option there
            ours = dataclasses.replace(ours, stuck=None)
        if "SB" in theirs:  # 0.3 / 0.75 there
            assert converted.spread.w_min == pytest.approx(ours.spread.w_min)
            converted = dataclasses.replace(converted, spread=ours.spread)
        assert converted == ours, theirs
    pcm = found("UnitCellRPUConfig(device=PCMPresetUnitCell())").device
    assert dataclasses.replace(pcm, noise=preset("pcm").noise) == preset("pcm")
    assert pcm.noise.std == pytest.approx(preset("pcm").noise.std, abs=0.001)


def test_what_elements_do_besides() -> None:
    text = (
        "SoftBoundsReferenceDevice(dw_min=0.01, dw_min_dtod=0.2, dw_min_dtod_log_normal=True, "
        "up_down_dtod=0.03, w_max_dtod=0.1, w_min_dtod=0.15, dw_min_std=0.5, mult_noise=True, "
        "write_noise_std=3.0, lifetime=200.0, lifetime_dtod=0.1, reset=0.05, diffusion=0.002, "
        "corrupt_devices_prob=0.04, reference_mean=0.1, "
        "reference_std=0.02)"
    )
    device = found(text).device
    assert device.spread == og.Spread(dw_min=0.2, law="lognormal", up_down=0.03, w_max=0.1, w_min=0.15)
    assert device.noise == og.Noise(0.5, "multiplicative")
    assert (device.write_noise, device.stuck) == (3.0, Stuck(0.04, at=0.0))
    assert device.retention == Retention(lifetime=200.0, lifetime_spread=0.1, rest=0.05, diffusion=0.2)
    assert device.reference == Reference(0.1, 0.02)
    power = found(
        "PowStepDevice(dw_min=0.04, w_max=1.0, w_min=-1.0, pow_gamma=2.0, write_noise_std=3.0)"
    ).device
    assert power.write_noise * power.dw_min == pytest.approx(3.0 * 0.04)  # in weight units as it was


def test_cells_of_two_elements() -> None:
    element = "SoftBoundsDevice(w_max=0.5, w_min=-0.3)"
    pair = found(
        f"OneSidedUnitCell(unit_cell_devices=[{element}], refresh_every=7, refresh_upper_thres=0.6)"
    ).device
    assert pair.pair == OneSided(7, 0.6)
    assert (pair.response.w_min, pair.response.w_max) == (-0.5, 0.5)
    reference = found(f"ReferenceUnitCell(unit_cell_devices=[{element}, {element}])").device
    assert reference == dataclasses.replace(found(element).device, reference=Reference(0.0))
