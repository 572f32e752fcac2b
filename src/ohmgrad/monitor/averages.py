"""Running averages of a tile's gradients, and what can be said of the mean without bias.

With the gradients g_1 ... g_n of the minibatches that were looked at, all averages have the weights of an
exponential window that is corrected for its start:

    w_j = (1 - a) a^(n-j) / (1 - a^n),   a = 1 - 1/memory,   sum_j w_j = 1

(the correction of Adam, Kingma & Ba 2014, arXiv 1412.6980). The noise of one minibatch enters the average
m = sum_j w_j g_j with the share rho = sum_j w_j^2, which is 1 at n = 1 and falls to 1/(2 memory - 1). So
only products of different minibatches are kept of m^2: with r = sum_j w_j^2 g_j^2 and s = sum_j w_j g_j^2,
element by element, independent minibatches of mean mu and variance sigma^2 have

    E[(m^2 - r)/(1 - rho)] = mu^2,   E[(s - m^2)/(1 - rho)] = sigma^2

at every n >= 2, and the first also while sigma^2 changes.

Minibatches of a training are not quite independent, and so mu^2 comes out too low by a part of
rho sigma^2: the noise of one moves W, and later gradients pull back (at rest on a quadratic, at most
1/every of it where every `every`-th minibatch is looked at, for small steps); and of the n minibatches of
an epoch k are drawn without replacement within one (k/n of it).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

__all__ = ["Averages"]


class Averages:
    """Exponential averages of named planes (rows, cols) of one tile, one of them `mean` (of g).

    Args:
        memory: time constant, in observations (> 1).
    """

    def __init__(self, memory: float) -> None:
        self.decay = 1 - 1 / memory
        self.count, self.rho, self.power = 0, 0.0, 0.0
        self.planes: dict[str, Tensor] = {}

    def add(self, **planes: Tensor) -> None:
        """One observation of every plane; the same names each time."""
        self.count += 1
        weight = (1 - self.decay) / (1 - self.decay**self.count)
        self.rho = (1 - weight) ** 2 * self.rho + weight**2
        g = planes["mean"]
        self.power += weight * (float(torch.dot(g.flatten(), g.flatten())) - self.power)
        if self.count == 1:
            self.planes = {name: plane.clone() for name, plane in planes.items()}
            self.planes["own"] = g.square()
            return
        self.planes["own"].mul_((1 - weight) ** 2).addcmul_(g, g, value=weight**2)
        for name, plane in planes.items():
            self.planes[name].lerp_(plane, weight)

    def squared_mean(self, factor: Tensor | None = None) -> float:
        """Unbiased estimate of sum_i (f_i mu_i)^2; it can be negative.

        Args:
            factor: f, (rows, cols); 1 by default.
        """
        gap = self.planes["mean"].square().sub_(self.planes["own"])
        if factor is not None:
            gap.mul_(factor.square())
        return float(gap.sum(dtype=torch.float64)) / (1 - self.rho)

    def variance(self) -> float:
        """Unbiased estimate of sum_i sigma_i^2."""
        m = self.planes["mean"].flatten()
        return (self.power - float(torch.dot(m, m))) / (1 - self.rho)

    def state_dict(self) -> dict[str, Any]:
        """All that is kept, for checkpoints."""
        numbers = {"count": self.count, "rho": self.rho, "power": self.power}
        return {**numbers, "planes": {name: plane.clone() for name, plane in self.planes.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.count, self.rho, self.power = state["count"], state["rho"], state["power"]
        self.planes = {name: plane.clone() for name, plane in state["planes"].items()}
