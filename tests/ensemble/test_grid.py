"""The ensemble engine: closed forms, grids and their statistics, and wrong input."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import InputError, Pulsing
from ohmgrad.devices import Custom, Device, SoftBounds, Spread
from ohmgrad.ensemble import (
    AnalogSGD,
    Digital,
    ResidualLearning,
    TikiTaka,
    grid,
    interval,
    simulate,
    soft_bounds,
)
from ohmgrad.rng import Key, gaussians
from ohmgrad.theory.problem import GradientNoise, Objective, Quadratic, UserObjective
from tests.problems import MEAN, SOFT, quadratic
from tests.stats import Z, assert_mean, assert_share

# --- closed forms --------------------------------------------------------------------------------

SCALAR = Quadratic(torch.eye(1), torch.tensor([0.5]))


def scalar(
    algorithm: Any, fidelity: Any, sigma: float, law: Any, start: float, steps: int, chains: int
) -> Any:
    return simulate(
        SCALAR, algorithm, seeds=range(chains), steps=steps, device=soft_bounds(1.0, 2000), start=start,
        noise=GradientNoise(sigma, law), pulsing=Pulsing(fidelity, 100), tail=steps // 2,
    )  # fmt: skip


@pytest.mark.parametrize("law", ["two-point", "gaussian"])
@pytest.mark.parametrize("sigma", [0.3, 1.0])
@pytest.mark.parametrize("fidelity", ["mean", "pulsed"])
def test_analog_sgd_rests_at_its_biased_fixed_point(fidelity: str, sigma: float, law: Any) -> None:
    """w*/(1 + sigma/tau) for two-point noise, where |g| = sigma + s (w - w*) makes the mean recursion
    linear and exact for every alpha; for Gaussian noise the root of m + E|m + sigma z| (w* + m)/tau.

    1,500 chains, alpha = 0.03, tau = 1. Slack: n pulses move a soft bound by |dw| (1 - |dw|/2 tau), which
    moves the root by alpha E g^2 |w|/(2 tau^2) to first order in alpha (twice that is allowed); with
    Gaussian noise E|m + sigma z| is convex in the fluctuating m, of variance alpha sigma^2/2, at most
    (1/2) sqrt(2/pi)/sigma of it.
    """
    alpha, chains = 0.03, 1500
    noise = GradientNoise(sigma, law)
    low, high = 0.0, 0.5
    for _ in range(60):
        w = (low + high) / 2
        drift = 0.5 - w - float(noise.mean_abs(torch.tensor(w - 0.5))) * w
        low, high = (w, high) if drift > 0 else (low, w)
    if law == "two-point":
        assert low == pytest.approx(0.5 / (1 + sigma), abs=1e-7)
    found = scalar(AnalogSGD(alpha), fidelity, sigma, law, low, 300, chains)
    slack = 0.0 if fidelity == "mean" else alpha * (sigma**2 + (0.5 - low) ** 2) * low
    slack += 1e-6 if law == "two-point" else alpha * sigma / 4 * math.sqrt(2 / math.pi) * low + 1e-4
    assert_mean(found.tail_weight[:, 0], low, slack)
    assert_mean(found.weight[:, 0], low, slack)
    # and the floor: the squared gradient is that of the bias, and the variance on top
    floor = (0.5 - low) ** 2
    square = found.tail_squared_gradient
    error = float(square.std()) / math.sqrt(chains)
    assert float(square.mean()) + Z * error > floor * 0.98
    assert float(square.mean()) - Z * error < floor * 1.02 + alpha * sigma**2 / 2


@pytest.mark.parametrize("fidelity", ["mean", "pulsed"])
@pytest.mark.parametrize(("alpha", "within"), [(0.1, 0.12), (0.03, 0.12)])
def test_tiki_taka_leaves_a_bias_of_root_alpha(fidelity: str, alpha: float, within: float) -> None:
    """Bias -(sigma w*/tau^2) sqrt(2/pi) sqrt(alpha sigma tau/2), to leading order in alpha (within 12 %
    here), and a squared gradient far below the floor of Analog SGD. 600 chains, beta = alpha/10."""
    sigma = 0.3
    found = scalar(TikiTaka(alpha, alpha / 10), fidelity, sigma, "two-point", 0.5, int(40 / alpha), 600)
    bias = -sigma * 0.5 * math.sqrt(2 / math.pi) * math.sqrt(alpha * sigma / 2)
    assert_mean(found.tail_weight[:, 0] - 0.5, bias, within * abs(bias))
    assert float(found.tail_squared_gradient.mean()) < 0.2 * (0.5 * sigma / (1 + sigma)) ** 2


# --- grids and statistics ------------------------------------------------------------------------


def test_a_grid_is_its_configurations() -> None:
    """Each configuration of the product, run by itself, and the numbers of its row."""
    axes = {"tau": [0.8, 1.2], "sigma": [0.1, 0.3], "lr": 0.1, "start": [0.0, 0.2], "states": 100}
    found = grid(quadratic(4), AnalogSGD, axes, seeds=range(6), steps=20, tail=4)
    assert len(found.configurations) == 8
    rows = found.table("tail_loss")
    for c, (configuration, row) in enumerate(zip(found.configurations, rows, strict=True)):
        alone = simulate(
            quadratic(4), AnalogSGD(0.1), seeds=range(6), steps=20, tail=4, start=configuration["start"],
            device=soft_bounds(configuration["tau"], 100), noise=GradientNoise(configuration["sigma"]),
        )  # fmt: skip
        assert torch.equal(found.values("tail_loss")[c], alone.tail_loss)
        assert torch.equal(found.by_configuration(found.result.loss)[c], alone.loss)
        values = alone.tail_loss.numpy()
        assert row["mean"] == pytest.approx(values.mean())
        assert [row[f"q{q:02}"] for q in (5, 25, 50, 75, 95)] == pytest.approx(
            np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
        )
        half = 2.570582 * values.std(ddof=1) / math.sqrt(6)  # Student's t, 5 degrees of freedom
        assert (row["low"], row["high"]) == pytest.approx((values.mean() - half, values.mean() + half))
        assert {name: row[name] for name in axes} == configuration
    for quantity in ("pulses", "saturation.W", "peak.W", "clipped.W", "tail_peak", "mean_squared_gradient"):
        assert found.values(quantity).shape == (8, 6)


def test_a_grid_takes_any_device_and_algorithm() -> None:
    def shifted(up_down: float, dw_min: float = 0.01) -> Device:
        return Device(SoftBounds.symmetric(1.0), dw_min, Spread(up_down_mean=up_down))

    axes = {"up_down": [0.0, 0.3], "fast_lr": 0.05, "transfer_lr": [0.01, 0.02], "gamma": 0.4, "sigma": 0.2}
    found = grid(quadratic(4), ResidualLearning, axes, seeds=[1, 2], steps=20, device=shifted)
    alone = simulate(
        quadratic(4), ResidualLearning(0.05, 0.02, 0.4), seeds=[1, 2], steps=20, device=shifted(0.3),
        noise=GradientNoise(0.2),
    )  # fmt: skip
    assert torch.equal(found.by_configuration(found.result.weight)[3], alone.weight)
    digital = grid(quadratic(4), Digital, {"lr": [0.01, 0.1]}, seeds=[1], steps=20, device=None)
    assert math.isnan(digital.table("tail_loss")[0]["low"])
    assert digital.result.loss[0, -1] > digital.result.loss[1, -1]


def covers(estimate: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]) -> None:
    """95 % of 20,000 intervals of five standard normal values hold the true mean."""
    z = gaussians(5, torch.arange(20_000), 0, 1, Key(1, 2))
    _, low, high = estimate(z)
    assert_share(int(((low <= 0) & (high >= 0)).sum()), 20_000, 0.95)


def test_intervals_cover() -> None:
    covers(interval)


def test_a_normal_quantile_for_students_is_found() -> None:
    """The planted bug: 1.96 standard errors cover only 88 % with five values."""

    def wrong(values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mean, half = values.mean(-1), 1.96 * values.std(-1) / math.sqrt(values.shape[-1])
        return mean, mean - half, mean + half

    with pytest.raises(AssertionError, match=r"no share of 0\.95"):
        covers(wrong)


# --- wrong input ---------------------------------------------------------------------------------

NAN = float("nan")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": []}, "seeds are empty"),
        ({"seeds": [0, -1]}, "seed is -1"),
        ({"seeds": [0, 1.5]}, "seed is 1.5"),
        ({"seeds": 3}, r"seeds is 3, but must be .* such as range\(100\)"),
        ({"steps": 0}, "steps is 0"),
        ({"steps": True}, "steps is True"),
        ({"tail": 11}, r"tail is 11, but must be an integer in \[1, 10\]"),
        ({"tail": 0}, "tail is 0"),
        ({"record": 0}, "record is 0"),
        ({"record": 1.5}, "record is 1.5"),
        ({"record": True}, "record is True"),
        ({"record": [11]}, "step 11 cannot be recorded"),
        ({"record": [1.5]}, "step 1.5 cannot be recorded"),
        ({"device": None}, "these runs have no device"),
        ({"device": [SOFT]}, "1 values of device for 2 seeds"),
        ({"device": "soft"}, "device is 'soft', but must be a Device"),
        ({"noise": 0.1}, "noise is 0.1, but must be a GradientNoise"),
        ({"noise": [GradientNoise(0.1)] * 3}, "3 values of noise for 2 seeds"),
        ({"start": torch.zeros(3)}, r"start is \(3,\), but must be a number, \(5,\) or \(2, 5\)"),
        ({"start": "zero"}, "start is 'zero', but must be a number"),
        ({"start": NAN}, "start has a value that is not finite"),
        ({"start": 0.9}, r"start 0.9 of array 0 is outside its device's range \[-0.8, 0.8\]"),
        ({"algorithm": AnalogSGD(-0.1)}, "lr is -0.1"),
        ({"algorithm": AnalogSGD(NAN)}, "lr is nan"),
        ({"algorithm": AnalogSGD(torch.ones(3))}, r"lr is \(3,\), but must be a number or of \(2,\)"),
        ({"algorithm": AnalogSGD("fast")}, "lr is 'fast', but must be a number"),  # pyright: ignore
        ({"algorithm": AnalogSGD}, "but must be an instance with its rates"),
        ({"algorithm": TikiTaka(-1, 0.1)}, "fast_lr is -1.0"),
        ({"algorithm": TikiTaka(0.1, -1)}, "transfer_lr is -1.0"),
        ({"algorithm": ResidualLearning(0.1, 0.1, math.inf)}, "gamma is inf"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"algorithm": AnalogSGD(0.1), "seeds": [0, 1], "steps": 10, "device": SOFT}
    settings |= change
    with pytest.raises(InputError, match=message):
        simulate(quadratic(5), settings.pop("algorithm"), **settings)


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        ({"lr": 0.1, "tau": 1.0, "sigm": 0.1}, "unknown axis 'sigm': did you mean 'sigma'"),
        ({"lr": 0.1}, "no value of 'tau'"),
        ({"tau": 1.0}, "no value of 'lr'"),
        ({"lr": [], "tau": 1.0}, "axis 'lr' has no values"),
        ({"lr": 0.1, "tau": 1.0, "sigma": -1.0}, "sigma is -1.0"),
        ({"lr": 0.1, "tau": 0.0}, "tau is 0.0"),
        ({"lr": 0.1, "tau": 1.0, "states": 0}, "states is 0"),
        ({"lr": "fast", "tau": 1.0}, "axis 'lr' has the value 'fast', but must hold numbers"),
        ({"lr": 0.1, "tau": 1.0, "sigma": None}, "axis 'sigma' has the value None, but must hold numbers"),
        ({"lr": torch.ones(2, 2), "tau": 1.0}, r"axis 'lr' is \(2, 2\), but must be one-dimensional"),
        ({"lr": 0.1, "tau": 1.0, "start": [[0.1, 0.2]]}, r"start is \[0.1, 0.2\], but must be a number or"),
    ],
)
def test_wrong_grids_are_refused(axes: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        grid(quadratic(5), AnalogSGD, axes, seeds=[0], steps=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": 3}, "seeds is 3"),
        ({"seeds": []}, "seeds are empty"),
        ({"algorithm": AnalogSGD(0.1)}, "but must be a class, such as AnalogSGD"),
        ({"device": SOFT}, "device is of type Device, but must be a function"),
        ({"device": lambda **k: SOFT}, r"device takes \*\*k, but must name its parameters"),
        ({"objective": Quadratic}, "objective is the class Quadratic, but must be an Objective"),
    ],
)
def test_wrong_arguments_of_grids_are_refused(change: dict[str, Any], message: str) -> None:
    given: dict[str, Any] = {"objective": quadratic(5), "algorithm": AnalogSGD, "seeds": [0], "steps": 3}
    given |= {"axes": {"lr": 0.1, "tau": 1.0, "start": 0.1}, **change}
    with pytest.raises(InputError, match=message):
        grid(**given)


def test_arrays_are_axes_and_seeds() -> None:
    listed: dict[str, Any] = {"tau": [1.0, 2.0], "lr": [0.0625, 0.03125], "start": [0.0, 0.25]}
    made: dict[str, Any] = {"tau": np.array([1.0, 2.0]), "lr": torch.tensor([0.0625, 0.03125]),
                            "start": torch.tensor([0.0, 0.25])}  # fmt: skip
    one = grid(quadratic(5), AnalogSGD, listed, seeds=[3, 4], steps=9)
    two = grid(quadratic(5), AnalogSGD, made, seeds=np.array([3, 4]), steps=9)  # pyright: ignore
    assert one.configurations == two.configurations
    assert one.seeds == two.seeds
    assert torch.equal(one.result.weight, two.result.weight)


def test_unknown_quantities_are_refused() -> None:
    found = grid(quadratic(5), AnalogSGD, {"lr": 0.1, "tau": 1.0}, seeds=[0, 1], steps=3)
    for name in ("tail_los", "saturation.P", "tail_weight", "loss"):
        with pytest.raises(InputError, match="unknown quantity"):
            found.table(name)


@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("count", [1, 3])
def test_a_run_that_diverges_is_told(count: int) -> None:
    torch.set_num_threads(count)
    steep = UserObjective(lambda w: (w**4).sum(), 2)
    with pytest.raises(InputError, match="diverged"):
        simulate(steep, Digital(torch.linspace(0, 9, 60)), seeds=range(60), steps=60, start=1.0)
    with pytest.raises(InputError, match="diverged"):
        simulate(
            UserObjective(lambda w: (w**4).sum() / 0, 2), AnalogSGD(1.0), seeds=range(60), steps=60,
            device=SOFT, start=0.1,
        )  # fmt: skip
    assert torch.get_num_threads() == count


def test_an_objective_of_wrong_shape_is_told() -> None:
    class Wrong(Objective):
        n = 3

        def loss(self, w: Tensor) -> Tensor:
            return w.sum(-1)

        def gradient(self, w: Tensor) -> Tensor:
            return w.sum(-1)

    with pytest.raises(InputError, match="the objective gave"):
        simulate(Wrong(), Digital(0.1), seeds=[0], steps=1)
    for function, got in ((lambda w: w**2, r"\(3,\)"), (lambda w: 1.0, "float")):
        own = UserObjective(function, 3)  # pyright: ignore[reportArgumentType]
        message = f"function gave {got} for weights of .3,., but must give a scalar"
        with pytest.raises(InputError, match=message):
            simulate(own, Digital(0.1), seeds=[0], steps=1)
        with pytest.raises(InputError, match=message):
            own.gradient(torch.zeros(2, 3))


def test_custom_and_affine_agree_at_mean_fidelity() -> None:
    own = Device(Custom(lambda w: 1 - w / 0.6, lambda w: 1 + w / 0.6, -0.6, 0.6), 0.001)
    ends = [
        simulate(
            quadratic(5), TikiTaka(0.1, 0.02), seeds=range(4), steps=50, device=d, pulsing=MEAN,
            noise=GradientNoise(0.3),
        ).weight
        for d in (own, soft_bounds(0.6))
    ]  # fmt: skip
    torch.testing.assert_close(ends[0], ends[1], atol=1e-6, rtol=0)
