"""A training that goes on, in a notebook: pictures without a script."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from ..crossbar.picture import draw_weights
from ..inline import block, chart, legend_above, plain_log, table
from ..style import BLUE, GREEN, RED
from .history import History
from .in_words import headline

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["notebook_picture"]


def notebook_picture(history: History) -> str:
    """HTML: loss, squared gradient beside the predicted floor, pulses a second, weights."""
    pictures = [chart(lambda axes: _draw_loss(axes, history), "loss by update")]
    if history.gradient.y:
        pictures.append(chart(lambda axes: _draw_floor(axes, history), "squared gradient by update"))
    if len(history.pulses.y) > 1:
        pictures.append(chart(lambda axes: _draw_pulses(axes, history), "pulses a second by update"))
    for layer in history.layers:
        if (now := layer.now) is not None:
            draw = partial(draw_weights, found=now, of=f" of layer {layer.name}" if layer.name else "")
            pictures.append(chart(draw, f"weights of layer {layer.name}"))
    return block(headline(history), pictures, table(_numbers(history)))


def _numbers(history: History) -> list[tuple[str, str]]:
    rows = [("loss", f"{history.loss.last:.4g}")]
    if history.gradient.y:
        rows.append(("squared gradient", f"{history.gradient.last:.3g}"))
        rows.append(("predicted floor", f"{history.floor.last:.3g}"))
    elif history.monitor is not None:
        rows.append(("predicted floor", f"from update {history.monitor.first_row} on"))
    if history.pulses.y:
        rows.append(("pulses", f"{history.pulses.last:,.0f} a second, {history.per_update:,.1f} an update"))
    if history.hidden:
        rows.append(("not drawn", f"the weights of {history.hidden} smaller layers"))
    return rows


def _draw_loss(axes: Axes, history: History) -> None:
    axes.plot(history.loss.x, history.loss.y, color=BLUE, lw=1.2)
    axes.set(xlabel="update", ylabel="loss")
    if all(y > 0 for y in history.loss.y):  # false for NaN
        plain_log(axes)


def _draw_floor(axes: Axes, history: History) -> None:
    """Where noise makes the estimate of the gradient negative, its line has a gap."""
    known = [y if y > 0 else math.nan for y in history.gradient.y]
    axes.plot(history.gradient.x, known, ".-", color=RED, lw=1.2, ms=3, label="measured")
    axes.plot(history.floor.x, history.floor.y, "--", color=GREEN, lw=1.2, label="predicted floor")
    axes.set(xlabel="update", ylabel="squared gradient norm")
    plain_log(axes)
    if floors := [y for y in history.floor.y if y > 0]:  # far below them the estimate is noise about zero
        axes.set_ylim(bottom=min(floors) / 5)
    legend_above(axes)


def _draw_pulses(axes: Axes, history: History) -> None:
    axes.plot(history.pulses.x, history.pulses.y, color=BLUE, lw=1.2, marker=".", ms=3)
    axes.set(xlabel="update", ylabel="pulses a second", ylim=(0, None))
