"""EaPU: error-aware probabilistic update, rare writes of at least a threshold, each in a closed loop.

Liu et al. 2025 (10.1038/s41467-025-66240-7).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor

from ..crossbar import Tile
from ..errors import check_number
from ..rng import Purpose
from .base import AnalogOptimizer
from .buffers import by_chance, check_momentum, with_momentum
from .transfer import check_whole, read_marked
from .work import Work

__all__ = ["EaPU"]


class EaPU(AnalogOptimizer):
    """Writes by chance: the wanted change on the average, in steps that stand out from the write error.

        M' = momentum M + (1 - dampening) g                      g = d^T x; at first M' = g
        dW = -lr m,      m = M', or g + momentum M' with `nesterov`
        with probability min(|dW| / threshold, 1), W is written to  W + sign(dW) max(|dW|, threshold)

    so that the mean of what is written is dW: below the threshold (|dW| / threshold) sign(dW) threshold,
    above it dW itself. With a write error of standard deviation s the second moment of a change is
    |dW| (threshold + s^2 / threshold), smallest at threshold = s; to write every dW costs dW^2 + s^2. Most
    changes of a training are far below s. M, and d^T x, are digital.

    A write is a loop: the columns that have one are read, whole pulses are sent, rounded by chance, and in
    `verify` rounds more the columns are read and what is missing is sent. A pulse is taken for dw_min, and
    the response is not known. On an asymmetric linear device the asymmetric part that is left is

        G_verify = sign(w) |w / tau|^(1 + verify)        (verify = 0: an open loop)

    On f = (w - w*)^2 / 2 with lr |g| < threshold, and without momentum, E w - w* = -E|g| G_verify and the
    variance is E|g| (threshold + s^2 / threshold) / 2, whatever lr.

    Of the paper the abstract and the authors' programs of simulation were read (threshold and write error
    2 uS each, SGD with momentum 0.9 or Adam), not the text. The programs add the error to the weights; the
    loop of reads and pulses is ours, and Adam is not here.

    Args:
        params: parameters or groups of a converted model.
        lr: learning rate (>= 0).
        threshold: smallest change that is written, in weight units (> 0); None is the device's dw_min.
        verify: rounds of reading and correcting after the first pulses (>= 0).
        momentum: share of M that is kept, in [0, 1).
        dampening: share of the gradient that is left out, in [0, 1].
        nesterov: look ahead; needs momentum and no dampening.
        weight_decay: of digital parameters.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> optimizer = EaPU(model.parameters(), lr=0.1)
        >>> model(torch.ones(1, 3)).sum().backward()
        >>> optimizer.step()
    """

    takes_matrix = True
    #: d^T x, added to M; what is missing, in pulses
    work = Work(planes=1, per_weight_sample=2, per_weight_update=3, per_value_read=2)

    def __init__(
        self,
        params: Iterable[Any],
        lr: float,
        *,
        threshold: float | None = None,
        verify: int = 3,
        momentum: float = 0.9,
        **digital: Any,
    ) -> None:
        super().__init__(
            params, {"lr": lr, "threshold": threshold, "verify": verify}, momentum=momentum, **digital
        )

    def check(self, group: dict[str, Any]) -> None:
        if group["threshold"] is not None:
            check_number("threshold", group["threshold"], low=0, open_low=True)
        check_whole(group, "verify", low=0)
        check_momentum(group)

    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        wanted = -float(group["lr"]) * with_momentum(tile, tile.digital_gradient(x, d), group, state)
        dw_min, response = tile.device.dw_min, tile.device.response
        threshold = group["threshold"] or dw_min
        sign = by_chance(tile, wanted / threshold, 1, Purpose.WRITE)
        change = sign.float().mul_(wanted.abs_().clamp_(min=threshold))
        written = sign != 0
        some, columns, kept = written.any(), written.any(0), written.float()
        target = change
        if group["verify"]:
            target = (read_marked(tile, columns) + change).clamp_(response.w_min, response.w_max)
        tile.pulse_counts(by_chance(tile, change.div_(dw_min), marked=written))
        for _ in range(group["verify"]):
            missing = (target - read_marked(tile, columns)).mul_(kept)
            tile.pulse_counts(by_chance(tile, missing.div_(dw_min), marked=written), is_update=some)
