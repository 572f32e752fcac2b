"""The recursions of the papers, on arrays of one row that are read and written whole at every step.

Wu et al. 2024 (arXiv 2406.12774) for digital SGD, Analog SGD and Tiki-Taka; Wu et al. 2025
(arXiv 2502.06309) for residual learning. g is the stochastic gradient, which arrays are pulsed with sample
by sample; a transfer is one update. Rates are numbers, or tensors (T,) with one value for each run.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from .runs import Runs
from .samples import Samples, summed

__all__ = ["AnalogSGD", "Digital", "ResidualLearning", "TikiTaka"]


@dataclass(frozen=True, eq=False)
class Digital:
    """Digital SGD, W' = W - lr g, in float64.

    Args:
        lr: learning rate alpha (>= 0).
    """

    lr: float | Tensor

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """W at the start."""
        return {"W": runs.start.clone(), "lr": runs.rate("lr", self.lr).unsqueeze(1)}

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """W."""
        return state["W"]

    def step(self, state: Mapping[str, Any], gradient: Tensor | Samples) -> None:
        """One step."""
        state["W"].sub_(state["lr"] * summed(gradient))


@dataclass(frozen=True, eq=False)
class AnalogSGD:
    """Analog SGD, W' = W - lr g F(W) - |lr g| G(W): one pulsed update of one array.

    Wu et al. 2024, eq. 3.

    Args:
        lr: learning rate alpha (>= 0).
    """

    lr: float | Tensor

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """W at the start."""
        return {"W": runs.array(), "lr": runs.rate("lr", self.lr)}

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """W."""
        return state["W"].weight

    def step(self, state: Mapping[str, Any], gradient: Tensor | Samples) -> None:
        """One step."""
        state["W"].pulse(gradient, -state["lr"])


@dataclass(frozen=True, eq=False)
class ResidualLearning:
    """Residual learning on two arrays, with the gradient g at W + gamma P.

        P' = P - fast_lr g F(P) - |fast_lr g| G(P)
        W' = W + transfer_lr P' F(W) - |transfer_lr P'| G(W)

    Wu et al. 2025. P starts at 0; it is read exactly, as a whole row, at every step.

    Args:
        fast_lr: learning rate alpha of P (>= 0).
        transfer_lr: learning rate beta of the transfer (>= 0).
        gamma: share of P in the weight that the objective sees (>= 0).
    """

    fast_lr: float | Tensor
    transfer_lr: float | Tensor
    gamma: float | Tensor = 0.0

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """W at the start, P at zero."""
        rates = {name: runs.rate(name, getattr(self, name)) for name in ("fast_lr", "transfer_lr", "gamma")}
        return {"W": runs.array(), "P": runs.array(role=1), **rates}

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """W + gamma P."""
        return state["W"].weight + state["gamma"].unsqueeze(1) * state["P"].weight

    def step(self, state: Mapping[str, Any], gradient: Tensor | Samples) -> None:
        """One step."""
        state["P"].pulse(gradient, -state["fast_lr"])
        state["W"].pulse(state["P"].weight, state["transfer_lr"])


@dataclass(frozen=True, eq=False)
class TikiTaka:
    """Tiki-Taka (TTv1): `ResidualLearning` with gamma = 0, the gradient taken at W.

    Gokmen & Haensch 2020; Wu et al. 2024, Theorem 4 of arXiv 2406.12774v1.

    Args:
        fast_lr: learning rate alpha of P (>= 0).
        transfer_lr: learning rate beta of the transfer (>= 0).
    """

    fast_lr: float | Tensor
    transfer_lr: float | Tensor

    def init(self, runs: Runs) -> Mapping[str, Any]:
        """W at the start, P at zero."""
        return ResidualLearning(self.fast_lr, self.transfer_lr).init(runs)

    def weight(self, state: Mapping[str, Any]) -> Tensor:
        """W."""
        return state["W"].weight

    def step(self, state: Mapping[str, Any], gradient: Tensor | Samples) -> None:
        """One step."""
        ResidualLearning(self.fast_lr, self.transfer_lr).step(state, gradient)
