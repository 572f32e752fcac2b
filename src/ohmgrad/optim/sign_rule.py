"""The sign rule: one pulse a weight against its gradient, with one device of the pair fixed.

Quinonez, Sanchez & Rubi 2025 (arXiv 2511.03858).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from ..errors import InputError, shown
from .base import AnalogOptimizer
from .work import Work

__all__ = ["SignRule"]


class SignRule(AnalogOptimizer):
    """The sign of the minibatch's gradient, one pulse in every update (Manhattan rule).

        n  = -sign(g)                                            g = d^T x; no pulse where g = 0
        W' = W + dw_min n F(W) - dw_min |n| G(W)

    A weight is the difference of two devices, G+ - G-. Here G- is fixed and W is what pulses move: G+ less
    the fixed conductance, which a device's `Reference` draws with its error. With `both` the second device is
    an array M of its own: the network sees W - M, and M gets -n, so that a weight moves twice as far for
    twice the pulses.

    Pulses have one size, so `lr` is for digital parameters only; analog weights get no pulses where it is 0.
    dw_min is the step size. On f = (w - w*)^2 / 2 with Gaussian gradient noise sigma and an asymmetric linear
    device, w rests in the mean, to first order in dw_min, where

        erf((w - w*) / (sigma sqrt 2)) = -w / tau,        about  w* / (1 + sqrt(pi/2) sigma / tau)

    Analog SGD has sqrt(2/pi) in the place of sqrt(pi/2), and so the smaller bias. The variance is in
    proportion to dw_min: coarse elements need another algorithm. Noise of two points beyond |w - w*| hides
    the mean gradient from its sign, and W goes to its symmetric point.

    Of the paper the abstract was read, not the text. The abstract says that one memristor of each pair is
    fixed, that this lowers the energy of training by nearly half in a deep network with little or no loss of
    accuracy, and that more states act as a finer learning rate. Ours are: the gradient of the whole
    minibatch (batch Manhattan rule, Zamanidoost et al. 2015), no pulse where it is 0, and the fixed device
    in the middle of the range.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate of the digital parameters (>= 0).
        both: pulse both devices of a pair, in opposite directions.
        momentum, dampening, weight_decay, nesterov: for digital parameters in the same groups.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = SignRule(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    takes_matrix = True
    capturable = True
    work = Work("all", planes=1, per_weight_sample=2)  # d^T x, of which the sign

    def __init__(self, params: Iterable[Any], lr: float, *, both: bool = False, **digital: Any) -> None:
        super().__init__(params, {"lr": lr, "both": both}, **digital)

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Tile | None:
        """The second device of every pair, M, if it is pulsed."""
        if not group["both"]:
            return None
        minus = self.array(tile, state, "minus", role=1)
        tile.companions = [(-1.0, minus)]
        return minus

    def check(self, group: dict[str, Any]) -> None:
        if not isinstance(group["both"], bool):
            raise InputError(f"both is {shown(group['both'])}, but must be True or False")

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        n = tile.digital_gradient(x, d).sign().long() * bool(group["lr"])
        tile.pulse_counts(-n)
        minus = self.auxiliary(tile, group, state)
        if minus is not None:
            minus.pulse_counts(n)
