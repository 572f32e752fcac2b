"""Problems that several test files share."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ohmgrad import Pulsing
from ohmgrad.devices import Device, Noise, SoftBounds, Spread
from ohmgrad.ensemble import Arrays, soft_bounds
from ohmgrad.theory import Quadratic, least_squares

__all__ = ["MEAN", "SKEWED", "SOFT", "Spy", "forty", "quadratic", "sampled"]


def forty(scale: float, samples: int = 100) -> Quadratic:
    """Least squares with 40 unknowns, solution 0.3 N(0, 1) kept within 0.8."""
    g = torch.Generator().manual_seed(0)
    matrix = scale * torch.randn(samples, 40, generator=g, dtype=torch.float64)
    return least_squares(
        matrix, (0.3 * torch.randn(40, generator=g, dtype=torch.float64)).clamp(-0.8, 0.8)
    ).summed()


SKEWED = Device(SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.004, Spread(dw_min=0.3, w_max=0.2), Noise(0.3))
SOFT = soft_bounds(0.8, 200)
MEAN = Pulsing("mean")


def quadratic(n: int, seed: int = 0) -> Quadratic:
    g = torch.Generator().manual_seed(seed)
    a = torch.randn(3 * n, n, generator=g, dtype=torch.float64)
    return Quadratic(a.t() @ a / (3 * n), 0.2 * torch.randn(n, generator=g))


def sampled(n: int, samples: int, seed: int = 0) -> Quadratic:
    """Least squares whose equations are samples."""
    g = torch.Generator().manual_seed(seed)
    return least_squares(torch.randn(samples, n, generator=g), 0.2 * torch.randn(n, generator=g))


@dataclass
class Spy:
    """An algorithm that keeps what passes through another."""

    algorithm: Any
    weights: list[Tensor] = field(default_factory=list)
    gradients: list[Any] = field(default_factory=list)
    states: list[Mapping[str, Any]] = field(default_factory=list)
    tops: list[dict[str, Tensor]] = field(default_factory=list)

    def init(self, runs: Any) -> Mapping[str, Any]:
        self.states.append(self.algorithm.init(runs))
        return self.states[-1]

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        self.weights.append(self.algorithm.weight(state).clone())
        self.tops.append({k: v.weight.clone() for k, v in state.items() if isinstance(v, Arrays)})
        return self.algorithm.weight(state)

    def step(self, state: Mapping[str, Any], gradient: Any) -> None:
        self.gradients.append(deepcopy(gradient))
        self.algorithm.step(state, gradient)
