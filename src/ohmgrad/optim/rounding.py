"""What algorithms with a digital gradient share: accumulate it, and send whole pulses to the elements."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..crossbar import Tile
from ..errors import InputError, check_number, shown
from ..kernels.reference import digital as rounding
from ..rng import Purpose
from .states import check_plane

__all__ = ["by_chance", "check_momentum", "digital_gradient", "round_to_pulses", "send_whole_pulses"]


def check_momentum(group: dict[str, Any]) -> None:
    """Raise InputError when momentum, dampening or nesterov of a parameter group is not as torch has it."""
    check_number("momentum", group["momentum"], low=0, high=1, open_high=True)
    check_number("dampening", group["dampening"], low=0, high=1)
    if group["nesterov"] and (group["dampening"] or not group["momentum"]):
        raise InputError(
            f"nesterov is True with momentum {shown(group['momentum'])} and dampening "
            f"{shown(group['dampening'])}, but needs momentum > 0 and dampening = 0"
        )


def digital_gradient(tile: Tile, x: Tensor, d: Tensor) -> Tensor:
    """d^T x, (rows, cols) float32.

    Args:
        x: (samples, cols); d: (samples, rows).

    Raises:
        InputError: when a value is not finite.
    """
    x, d = _factors(x, d)
    rounding.check_factors(x, d)
    return _gradient(tile, x, d)


def by_chance(tile: Tile, v: Tensor, most: int, purpose: int = Purpose.ROUNDING) -> Tensor:
    """Numbers of pulses (rows, cols), rounded by chance to whole ones, at most `most` either way: int64.

    The numbers drawn belong to the tile's next update.
    """
    v, number = v.contiguous(), tile.count("updates")
    if tile.cells.backend == "numba":
        from ..kernels.cpu import digital as cpu

        return cpu.stochastic_counts(v, tile.key, number, most, purpose)
    return rounding.stochastic_counts(v, tile.key, number, most, purpose)


def send_whole_pulses(
    tile: Tile, h: Tensor, x: Tensor, d: Tensor, gain: float, step: float, rows: list[int] | None
) -> None:
    """H += gain d^T x; then trunc(H / step) pulses, at most `most_counts`, go to the elements and leave H.

    Args:
        tile: (rows, cols).
        h: accumulator (rows, cols), float32, changed in place.
        x: (samples, cols); d: (samples, rows).
        gain: -lr to descend.
        step: size of a pulse in weight units (> 0).
        rows: rows that may send; None for all, [] for none.

    Raises:
        InputError: when a value of x or d is not finite, or h has another shape; nothing is changed then.
    """
    check_plane(tile, "the accumulator", h)
    x, d = _factors(x, d)
    whole = rows is None or bool(rows)
    if _fused(tile):
        from ..kernels.cpu import digital as cpu

        tile.sync()
        sends = np.ones(tile.shape[0], np.uint8)
        if rows is not None:
            sends[:] = 0
            sends[rows] = 1
        mode = cpu.WHOLE if whole else cpu.KEEP
        up, down, toggles, slots = cpu.digital_update(
            tile.weight, tile.elements, h, x, d, mode, 1.0, gain, False, step, sends, tile.key,
            tile.count("updates"),
        )  # fmt: skip
        tile.contents.mark_synced()
        if whole:
            tile.counters.add(updates=1, pulses_up=up, pulses_down=down, line_toggles=toggles, slots=slots)
        return
    rounding.check_factors(x, d)
    h += gain * _gradient(tile, x, d)
    most = rounding.most_counts(tile.elements)
    if rows is None:
        tile.pulse_counts(rounding.whole_counts_(h, step, most))
    elif rows:
        counts, part = torch.zeros(tile.shape, dtype=torch.int64), h[rows]
        counts[rows] = rounding.whole_counts_(part, step, most)
        h[rows] = part
        tile.pulse_counts(counts)


def round_to_pulses(
    tile: Tile,
    x: Tensor,
    d: Tensor,
    rate: float,
    m: Tensor | None = None,
    *,
    keep: float = 0.0,
    gain: float = 1.0,
    look_ahead: bool = False,
    most: int | None = None,
) -> None:
    """M' = keep M + gain d^T x; then rate M' goes to the elements, rounded by chance to whole pulses.

    Args:
        tile: (rows, cols).
        x: (samples, cols); d: (samples, rows).
        rate: -lr to descend; infinite for `most` pulses wherever M' is not 0.
        m: M, (rows, cols), float32, changed in place; None for none, and then gain d^T x is sent.
        look_ahead: send rate (d^T x + keep M') instead.
        most: largest number of pulses of an element; None for `most_counts`, which take it to its bound.

    Raises:
        InputError: when a value of x or d is not finite, or m has another shape; nothing is changed then.
    """
    if m is not None:
        check_plane(tile, "the momentum", m)
    x, d = _factors(x, d)
    pulses = rate / tile.device.dw_min
    if _fused(tile):
        from ..kernels.cpu import digital as cpu

        tile.sync()
        sends = np.ones(tile.shape[0], np.uint8)
        up, down, toggles, slots = cpu.digital_update(
            tile.weight, tile.elements, m, x, d, cpu.STOCHASTIC, keep, gain, look_ahead, pulses, sends,
            tile.key, tile.count("updates"), most,
        )  # fmt: skip
        tile.contents.mark_synced()
        tile.counters.add(updates=1, pulses_up=up, pulses_down=down, line_toggles=toggles, slots=slots)
        return
    rounding.check_factors(x, d)
    g = _gradient(tile, x, d)
    send = gain * g
    if m is not None:
        m.copy_(keep * m + send)
        send = g + keep * m if look_ahead else m
    tile.pulse_counts(by_chance(tile, pulses * send, most or rounding.most_counts(tile.elements)))


def _fused(tile: Tile) -> bool:
    """Whether one kernel does it all: what it knows are affine elements of a whole matrix at fidelity
    "pulsed", which only answer pulses."""
    plain = tile.pulsing.fidelity == "pulsed" and tile.elements.form == "affine"
    plain = plain and tile.device.memoryless and not tile.memory
    return plain and tile.cells.backend == "numba" and tile.block is None


def _gradient(tile: Tile, x: Tensor, d: Tensor) -> Tensor:
    """d^T x, (rows, cols), in the order of the samples: a convolution has thousands of them."""
    if tile.cells.backend == "numba":
        from ..kernels.cpu import digital as cpu

        return cpu.digital_gradient(x, d)
    return rounding.digital_gradient(x, d)


def _factors(x: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """As the kernels take them; those of a hand-over are float32 and have no graph."""
    return x.float().contiguous(), d.float().contiguous()
