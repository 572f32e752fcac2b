"""Properties of devices: made ideal they are gone, scaled they are scaled, and the others stay."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from ohmgrad import InputError
from ohmgrad.devices import (
    ConstantStep,
    Custom,
    Device,
    ExpBounds,
    ExpStep,
    LinearStep,
    Measured,
    Noise,
    OneSided,
    PowStep,
    ReadNoise,
    Reference,
    Retention,
    SoftBounds,
    Spread,
)
from ohmgrad.devices.plain import parts
from ohmgrad.devices.presets import PRESETS
from ohmgrad.devices.properties import PROPERTIES, plain, present, scaled

RESPONSES = {
    "soft bounds": SoftBounds(-0.8, 1.2, up=1.1, down=0.8),
    "linear": LinearStep(-1.0, 1.0, 0.3, 0.6, up=1.1, down=0.9),
    "exponential": ExpStep(),
    "exponential bounds": ExpBounds(-1.0, 1.0, 2.0, 1.0, up=0.9),
    "power": PowStep(-1.0, 1.0, 2.0, 1.5, down=1.3),
}
RESPONSE = pytest.mark.parametrize("name", RESPONSES)


def device(name: str) -> Device:
    spread = Spread(dw_min=0.2, up_down=0.02, w_max=0.1, w_min=0.1)
    return Device(RESPONSES[name], dw_min=0.02, spread=spread, noise=Noise(0.5), write_noise=3.0)


def same(a: Device, b: Device, *but: str) -> None:
    """Everything but the response and the named fields is equal."""
    kept = ("dw_min", "spread", "noise", "write_noise", "read_noise", "stuck", "retention", "reference")
    for field in kept:
        assert field in but or getattr(a, field) == getattr(b, field), field


def grids(a: Device, b: Device) -> tuple[torch.Tensor, ...]:
    """F and r of two devices on the first one's grid."""
    w = parts(a.response)[0]
    out = []
    for d in (a, b):
        up, down = d.response.q_plus(w), d.response.q_minus(w)
        out += [(up + down) / 2, ((down - up) / (down + up)).nan_to_num(0.0)]
    return (w, *out)


@RESPONSE
def test_without_asymmetry_g_is_0_and_f_is_as_it_was(name: str) -> None:
    before = device(name)
    after = scaled(before, {"asymmetry": 0.0})
    w, f, _, f_after, _ = grids(before, after)
    np.testing.assert_allclose(f_after, f, atol=1e-4)
    assert float(after.response.G(w).abs().max()) < 1e-9
    assert after.response.symmetric_point() == 0
    assert (after.response.w_min, after.response.w_max) == (before.response.w_min, before.response.w_max)
    same(after, before, "spread")
    assert after.spread == replace(before.spread, up_down=0.0)  # without asymmetry no symmetric points


@RESPONSE
def test_half_the_asymmetry_leaves_f_and_the_symmetric_point(name: str) -> None:
    before = device(name)
    after = scaled(before, {"asymmetry": 0.5})
    _, f, r, f_after, r_after = grids(before, after)
    np.testing.assert_allclose(f_after, f, atol=1e-4)
    np.testing.assert_allclose(r_after[1:-1], 0.5 * r[1:-1], atol=2e-4)
    assert after.response.symmetric_point() == pytest.approx(before.response.symmetric_point(), abs=2e-3)
    points = [PROPERTIES["sp-spread"].amount(d) for d in (before, after)]
    assert points[1] == pytest.approx(points[0], rel=0.1)


@RESPONSE
def test_without_shift_the_symmetric_point_is_0_and_f_of_0_and_the_bounds_stay(name: str) -> None:
    before = device(name)
    after = scaled(before, {"shift": 0.0})
    zero = torch.zeros(1, dtype=torch.float64)
    assert after.response.symmetric_point() == pytest.approx(0.0, abs=2e-3)
    assert float(after.response.F(zero)) == pytest.approx(float(before.response.F(zero)), rel=1e-4)
    assert (after.response.w_min, after.response.w_max) == (before.response.w_min, before.response.w_max)
    same(after, before)
    # gains of q+ and q- changed, and nothing else
    w = torch.linspace(-0.5, 0.5, 9, dtype=torch.float64)
    for q in ("q_plus", "q_minus"):
        ratio = getattr(after.response, q)(w) / getattr(before.response, q)(w)
        np.testing.assert_allclose(ratio, ratio[0], rtol=2e-3)


@RESPONSE
def test_without_nonlinearity_f_is_even_and_the_symmetric_point_and_r_stay(name: str) -> None:
    before = scaled(device(name), {"shift": 0.0})
    after = scaled(before, {"nonlinearity": 0.0})
    _, _, r, f_after, r_after = grids(before, after)
    np.testing.assert_allclose(f_after, f_after[0], rtol=1e-3)
    np.testing.assert_allclose(r_after[1:-1], r[1:-1], atol=2e-3)
    same(after, before)
    shifted = device(name)
    again = scaled(shifted, {"nonlinearity": 0.0})
    assert PROPERTIES["nonlinearity"].amount(again) < 1e-2
    assert parts(again.response)[4] == pytest.approx(parts(shifted.response)[4], abs=1e-4)


@pytest.mark.parametrize("name", ["linear", "exponential"])
def test_wide_bounds_leave_what_is_inside(name: str) -> None:
    before = device(name)
    after = scaled(before, {"bounds": 0.0})
    _, f, r, f_after, r_after = grids(before, after)
    np.testing.assert_allclose(f_after, f, atol=2e-2 * float(f.max()))  # an exponential has a steep end
    np.testing.assert_allclose(r_after[5:-5], r[5:-5], atol=2e-2)
    assert min(after.response.w_max, -after.response.w_min) == pytest.approx(4)
    ends = torch.tensor([before.response.w_max, 4.0], dtype=torch.float64)
    assert float(after.response.q_minus(ends).diff().abs()) < 2e-2
    same(after, before)


def test_constant_steps_stay_constant_behind_wide_bounds() -> None:
    found = scaled(Device(ConstantStep(-1, 1), dw_min=0.01), {"bounds": 0.5})
    assert found.response == ConstantStep(-2, 2)


def test_soft_bounds_let_no_weight_pass_however_wide() -> None:
    soft = Device(SoftBounds(-1, 1), dw_min=0.01)
    assert scaled(soft, {"bounds": 0.0}) == soft
    found = scaled(soft, {"bounds": 0.0, "asymmetry": 0.0})
    assert found.response == ConstantStep(-4, 4)


def test_granularity_leaves_noise_relative_to_a_step_and_write_noise_in_weights() -> None:
    before = replace(
        device("linear"), read_noise=ReadNoise(2.0, 1.0), retention=Retention(lifetime=1e4, diffusion=0.2)
    )
    after = scaled(before, {"states": 0.25})
    assert after.dw_min == pytest.approx(before.dw_min / 4)
    assert after.write_noise * after.dw_min == pytest.approx(before.write_noise * before.dw_min)
    assert after.retention is not None
    assert after.retention.diffusion * after.dw_min == pytest.approx(0.2 * before.dw_min)
    assert after.read_noise is not None
    assert (after.read_noise.fast, after.read_noise.slow) == pytest.approx((8.0, 4.0))
    assert after.response == before.response
    same(after, before, "dw_min", "write_noise", "read_noise", "retention")
    coarse = scaled(before, {"states": 1000.0})  # one step to the nearer bound at most
    assert coarse.dw_min == pytest.approx(1 / 1.1)


def test_what_is_random_is_scaled() -> None:
    before = replace(device("linear"), reference=Reference(std=0.1), read_noise=ReadNoise(2.0, 1.0, 7.0))
    assert scaled(before, {"noise": 0.5}).noise == Noise(0.25)
    assert scaled(before, {"write-noise": 0.5}).write_noise == 1.5
    assert scaled(before, {"read-noise": 0.5}).read_noise == ReadNoise(1.0, 0.5, 7.0)
    assert "read-noise" not in present(scaled(before, {"read-noise": 0.0}))
    found = scaled(before, {"sp-spread": 0.5})
    assert (found.spread.up_down, found.reference) == (0.01, Reference(std=0.05))
    assert found.spread.dw_min == before.spread.dw_min
    found = scaled(before, {"spread": 0.5})
    assert found.spread == Spread(dw_min=0.1, up_down=0.02, w_max=0.05, w_min=0.05)


def test_a_placed_symmetric_point_is_moved_by_its_mean() -> None:
    before = Device(SoftBounds(-1, 1), spread=Spread(symmetric_point=0.1, symmetric_point_mean=0.4))
    assert present(before) == ["asymmetry", "shift", "sp-spread", "bounds"]
    assert scaled(before, {"shift": 0.5}).spread.symmetric_point_mean == 0.2
    assert scaled(before, {"sp-spread": 0.5}).spread.symmetric_point == 0.05
    assert scaled(before, {"asymmetry": 0.0}).spread == Spread()


@pytest.mark.parametrize("name", [n for n, p in PRESETS.items() if isinstance(p.made, Device)])
def test_every_preset_can_be_made_ideal(name: str) -> None:
    base = plain(PRESETS[name].device)
    has = present(base)
    ideal = scaled(base, dict.fromkeys(has, 0.0))
    assert Device.from_dict(ideal.to_dict()) == ideal
    assert present(ideal) == []
    assert isinstance(ideal.response, ConstantStep)
    assert ideal.nominal.spread.uniform
    assert ideal.noise.std == 0
    for one in has:
        left = present(scaled(base, {one: 0.0}))
        gone = {*has} - {*left} - ({"shift", "sp-spread"} if one == "asymmetry" else set())
        assert gone <= {one}, one
        assert gone == {one} or one == "bounds", one  # bounds of soft bounds stay where they are


def test_the_mean_of_a_spread_stands_in_the_plain_response() -> None:
    before = Device(SoftBounds(-1, 1), spread=Spread(up_down=0.1, up_down_mean=0.3))
    after = plain(before)
    assert after.spread == Spread(up_down=0.1)
    assert after.nominal_steps == pytest.approx(before.nominal_steps)
    assert after.response.symmetric_point() == pytest.approx(0.3)


def test_measured_tables_become_means_noise_and_spread() -> None:
    g, p = np.tile(np.linspace(-1, 1, 11), (2, 1)), np.array([0.0, 0.5, 1.0])
    step = np.array([0.08, 0.12])[:, None, None] * np.array([0.5, 1.0, 1.5])[:, None] * np.ones(11)
    tables = Measured(g, p, step, -step)
    found = plain(Device(tables, dw_min=tables.dw_min))
    assert found.dw_min == pytest.approx(0.1)
    assert found.spread.dw_min == pytest.approx(np.std([0.08, 0.12], ddof=1) / 0.1)
    assert found.noise.std == pytest.approx(tables.relative_std)
    assert found.response == ConstantStep(-1, 1, 1.0, 1.0)
    assert Device.from_dict(found.to_dict()) == found


def test_a_pair_has_the_steps_of_its_q_plus_both_ways() -> None:
    found = plain(Device(PowStep(-1, 1, 2.0, 1.0), dw_min=0.02, pair=OneSided()))
    assert present(found) == ["states", "nonlinearity", "bounds", "pairs"]
    assert float(found.response.q_minus(torch.tensor(0.5))) == pytest.approx(0.25, abs=1e-4)
    assert scaled(found, {"pairs": 0.0}).pair is None


def test_callables_become_values_on_a_grid() -> None:
    found = plain(Device(Custom(lambda w: (1 - w) ** 2, lambda w: (1 + w) ** 2), dw_min=0.02))
    assert Device.from_dict(found.to_dict()) == found
    assert float(found.response.q_plus(torch.tensor(0.5))) == pytest.approx(0.25, abs=1e-4)


def test_a_property_that_is_not_there_gets_a_usual_amount() -> None:
    clean = Device(ConstantStep(-1, 1), dw_min=0.01)
    assert scaled(clean, {"noise": 0.5}).noise == Noise(0.5)
    assert scaled(clean, {"noise": 0.0}) == clean
    assert PROPERTIES["asymmetry"].amount(scaled(clean, {"asymmetry": 1.0})) == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize(
    ("factors", "message"),
    [
        ({"noize": 0.5}, "unknown property 'noize': did you mean 'noise'"),
        ({"noise": -1.0}, "factor of noise is -1"),
    ],
)
def test_wrong_factors_are_refused(factors: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        scaled(Device(SoftBounds(-1, 1)), factors)
