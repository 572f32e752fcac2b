"""Samples in grids, in algorithms and objectives of one's own, and what is refused of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import InputError
from ohmgrad.ensemble import AnalogSGD, Digital, grid, simulate, soft_bounds, summed
from ohmgrad.theory.problem import GradientNoise, Objective, WeightNoise
from tests.problems import MEAN, SOFT, Spy, quadratic, sampled

NAN = float("nan")


@dataclass(frozen=True)
class Momentum:
    """Analog SGD with momentum in a digital buffer; `sums` is the word that samples ask for."""

    lr: float
    sums: bool = True

    def init(self, runs: Any) -> Mapping[str, Any]:
        return {"W": runs.array(), "M": torch.zeros_like(runs.start), "lr": runs.rate("lr", self.lr)}

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        return state["W"].weight

    def step(self, state: Mapping[str, Any], gradient: Any) -> None:
        state["M"].mul_(0.9).add_(summed(gradient) if self.sums else gradient)
        state["W"].pulse(state["M"], -state["lr"])


def test_algorithms_of_ones_own_sum_in_a_word() -> None:
    """The same weights as with one gradient in a step, to rounding, and without samples no word is needed."""
    f, settings = sampled(5, 9), {"seeds": [0, 1], "steps": 30, "device": SOFT, "pulsing": MEAN}
    whole, one, plain = (
        simulate(g, Momentum(0.02, sums), **settings)
        for g, sums in ((f, True), (f.summed(), True), (f.summed(), False))
    )
    torch.testing.assert_close(whole.weight, one.weight, atol=1e-9, rtol=0)
    assert torch.equal(one.weight, plain.weight)
    for wrong in (Momentum(0.02, False), Spy(_Scaled(0.1))):
        with pytest.raises(InputError, match=r"has samples: write summed\(gradient\)"):
            simulate(f, wrong, **settings)


class _Scaled(Digital):
    def step(self, state: Mapping[str, Any], gradient: Any) -> None:
        state["W"].sub_(state["lr"] * gradient)


class Cubic(Objective):
    """f = sum_s (x_s w)^4 / 4: samples whose errors are not linear in the weights."""

    n = 3

    def __init__(self, lines: Tensor) -> None:
        self.lines = lines

    def errors(self, w: Tensor) -> Tensor:
        return (w @ self.lines.double().t()) ** 3  # pyright: ignore[reportOptionalMemberAccess]

    def loss(self, w: Tensor) -> Tensor:
        return ((w @ self.lines.double().t()) ** 4).sum(-1) / 4  # pyright: ignore[reportOptionalMemberAccess]

    def gradient(self, w: Tensor) -> Tensor:
        return self.errors(w) @ self.lines.double()  # pyright: ignore[reportOptionalMemberAccess]


def test_objectives_of_ones_own_have_samples() -> None:
    """Lines in float32, as users have them; a run is the plain loop over them."""
    lines = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))
    found = simulate(
        Cubic(lines), AnalogSGD(0.1), seeds=[0], steps=20, device=soft_bounds(1.0), pulsing=MEAN, start=0.4
    )
    w, x = torch.full((3,), 0.4, dtype=torch.float64), lines.double()
    for _ in range(20):
        for dw in -0.1 * ((x @ w) ** 3).unsqueeze(1) * x:
            w = w + dw - dw.abs() * w
    torch.testing.assert_close(found.weight[0], w, atol=1e-6, rtol=0)


def test_a_grid_has_weight_noise_and_minibatches() -> None:
    """Each configuration of the product, run by itself."""
    axes = {"tau": [0.8, 1.2], "weight_noise": [0.0, 0.3], "lr": 0.05, "states": 100}
    found = grid(sampled(4, 6), AnalogSGD, axes, seeds=range(3), steps=20, tail=4, batch=2)
    assert len(found.configurations) == 4
    for c, configuration in enumerate(found.configurations):
        alone = simulate(
            sampled(4, 6), AnalogSGD(0.05), seeds=range(3), steps=20, tail=4, batch=2,
            device=soft_bounds(configuration["tau"], 100), noise=WeightNoise(configuration["weight_noise"]),
        )  # fmt: skip
        assert torch.equal(found.values("tail_loss")[c], alone.tail_loss)
    assert [row["weight_noise"] for row in found.table()] == [0.0, 0.3, 0.0, 0.3]


# --- wrong input ---------------------------------------------------------------------------------

MIXED = [GradientNoise(0.1), WeightNoise(0.1)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"batch": 0}, r"batch is 0, but must be an integer in \[1, 9\]"),
        ({"batch": 10}, r"batch is 10, but must be an integer in \[1, 9\]"),
        ({"batch": 2.5}, "batch is 2.5"),
        ({"batch": True}, "batch is True"),
        ({"batch": 3, "objective": quadratic(5)}, "a batch needs an objective with samples"),
        ({"noise": WeightNoise(0.1), "objective": quadratic(5)}, "weight noise needs an objective"),
        ({"noise": MIXED}, "noise is GradientNoise in some runs and WeightNoise in others"),
        ({"noise": 0.1}, "noise is 0.1, but must be a GradientNoise or a WeightNoise, or one for each run"),
        ({"noise": [WeightNoise(0.1)] * 3}, "3 values of noise for 2 seeds"),
        ({"objective": Cubic(torch.ones(4, 2))}, r"lines of the objective are \(4, 2\), .* \(samples, 3\)"),
        ({"objective": Cubic(torch.ones(0, 3))}, r"lines of the objective are \(0, 3\)"),
        ({"objective": Cubic(torch.ones(3))}, r"lines of the objective are \(3,\)"),
    ],
)  # fmt: skip
def test_wrong_input_is_refused(change: dict[str, Any], message: str) -> None:
    settings: dict[str, Any] = {"seeds": [0, 1], "steps": 10, "device": SOFT, **change}
    with pytest.raises(InputError, match=message):
        simulate(settings.pop("objective", sampled(5, 9)), AnalogSGD(0.1), **settings)


def test_a_grid_has_one_kind_of_noise() -> None:
    axes = {"lr": 0.1, "tau": 1.0, "sigma": 0.1, "weight_noise": 0.1}
    with pytest.raises(InputError, match="sigma and weight_noise are both axes"):
        grid(sampled(5, 9), AnalogSGD, axes, seeds=[0], steps=3)
    del axes["sigma"]
    with pytest.raises(InputError, match="law is 'two-point', but weight noise is Gaussian"):
        grid(sampled(5, 9), AnalogSGD, axes, seeds=[0], steps=3, law="two-point")
    with pytest.raises(InputError, match="weight noise needs an objective with samples"):
        grid(quadratic(5), AnalogSGD, axes, seeds=[0], steps=3)
    with pytest.raises(InputError, match="axis 'weight_noise' has the value 'much', but must hold numbers"):
        grid(sampled(5, 9), AnalogSGD, {**axes, "weight_noise": "much"}, seeds=[0], steps=3)


def test_errors_of_a_wrong_shape_are_told() -> None:
    class Wrong(Cubic):
        def errors(self, w: Tensor) -> Tensor:
            return super().errors(w)[:, :3]

        def gradient(self, w: Tensor) -> Tensor:
            return torch.zeros_like(w)

    with pytest.raises(InputError, match=r"gave errors of \(1, 3\) for weights of \(1, 3\), but 4 samples"):
        simulate(Wrong(torch.ones(4, 3)), Digital(0.1), seeds=[0], steps=1)
