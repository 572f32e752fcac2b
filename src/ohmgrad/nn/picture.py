"""An analog layer in a notebook: its weights against the symmetric points, and what it consists of."""

from __future__ import annotations

from typing import Any

from ..crossbar.picture import draw_weights, spots_of, weights_of
from ..devices import describe
from ..inline import block, chart, table

__all__ = ["arrays_in_words", "layer_html", "shape_in_words"]


def layer_html(layer: Any) -> str:
    """HTML of an `AnalogLayer`, which imports this file; nothing changes."""
    first, kind = layer.tiles[0], type(layer).__name__
    scales = layer.out_scale.detach()
    lines = [
        ("weight", shape_in_words(layer.weight.shape)),
        ("arrays", arrays_in_words(layer)),
        ("cells", f"{layer.weight.numel():,}"),
        ("device", describe(first.device)),
        ("pulses", first.pulsing.fidelity),
        ("periphery", "perfect" if first.periphery.perfect else "noisy"),
        ("left digital", f"{scales.numel():,} output scales, {_numbers(layer.bias)} biases"),
    ]
    pictures = []
    if layer.weight.device.type != "meta":
        found = weights_of(layer.weight, spots_of(layer.tiles))
        pictures = [chart(lambda axes: draw_weights(axes, found), "weights and symmetric points")]
        for name in ("updates", "pulses_up", "pulses_down"):
            count = sum(int(tile.counters.counter(name)) for tile in layer.tiles)
            lines.append((name.replace("_", " "), f"{count:,}"))
    return block(kind, pictures, table(lines))


def shape_in_words(shape: Any) -> str:
    """A shape, 10 x 784."""
    return " x ".join(map(str, shape))


def arrays_in_words(layer: Any) -> str:
    """How many arrays of what size a layer takes: 2 of up to 512 x 392."""
    shapes = [tile.shape for tile in layer.tiles]
    upto = "up to " if len({*shapes}) > 1 else ""
    return f"{len(shapes)} of {upto}{shape_in_words(shapes[0])}"  # the first one is the largest


def _numbers(parameter: Any) -> str:
    return "no" if parameter is None else f"{parameter.numel():,}"
