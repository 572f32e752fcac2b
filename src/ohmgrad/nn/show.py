"""A converted model in a notebook or a terminal: what is on crossbars, and what is left digital."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from ..devices import describe
from ..errors import InputError
from ..inline import block, table
from .convert import analog_layers, converters, left_digital
from .functional import AnalogLayer
from .left_digital import layers_left
from .picture import arrays_in_words, shape_in_words

__all__ = ["Shown", "show"]

#: columns of the two tables
_ANALOG = ("layer", "type", "weight", "arrays", "cells", "device")
_DIGITAL = ("left digital", "type", "parameters", "why")


@dataclass(frozen=True)
class Shown:
    """What `show` gives: notebooks draw it, and `print` writes it.

    Args:
        title: name of the model, with its cells and parameters.
        analog: a row for each analog layer, see `_ANALOG`.
        digital: a row for each layer with parameters that is on no crossbar, see `_DIGITAL`.
    """

    title: str
    analog: list[tuple[str, ...]]
    digital: list[tuple[str, ...]]

    def _repr_html_(self) -> str:
        below = [table(self.digital, _DIGITAL)] if self.digital else []
        return block(self.title, [], table(self.analog, _ANALOG), *below)

    def __repr__(self) -> str:
        parts = [_text(self.analog, _ANALOG), *([_text(self.digital, _DIGITAL)] if self.digital else [])]
        return "\n\n".join((self.title, *parts))


def show(model: nn.Module) -> Shown:
    """The layers of a converted model as a table: shape, arrays, cells, device; and what is left digital.

    Biases and output scales of analog layers are digital as well; the title counts them. In a notebook the
    last line of a cell shows the table; `print` writes it.

    Raises:
        InputError: when no layer of the model is analog.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> from ohmgrad.nn import convert
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))
        >>> print(show(convert(net, Device(SoftBounds.symmetric(0.6)), exclude=["2"])))
        Sequential: 32 cells in 1 array, 50 digital parameters
        <BLANKLINE>
        layer  type          weight  arrays      cells  device
        0      AnalogLinear  8 x 4   1 of 8 x 4  32     SoftBounds [-0.6, 0.6], 1200 states, alike
        <BLANKLINE>
        left digital  type       parameters  why
        1             LayerNorm  16          no matrix product
        2             Linear     18          left out by name or type
    """
    found = analog_layers(model) if isinstance(model, nn.Module) else []
    if not found:
        raise InputError(
            f"{type(model).__name__} has no analog layer: give the model that ohmgrad.convert(...) returned"
        )
    layers = [layer for _, layer in found]
    cells = sum(layer.weight.numel() for layer in layers)
    arrays = sum(len(layer.tiles) for layer in layers)
    digital = sum(p.numel() for p in model.parameters()) - cells
    title = (
        f"{type(model).__name__}: {cells:,} cells in {arrays:,} array{'s' * (arrays != 1)}, "
        f"{digital:,} digital parameters"
    )
    return Shown(title, [_analog_row(name, layer) for name, layer in found], list(_digital_rows(model)))


def _analog_row(name: str, layer: AnalogLayer) -> tuple[str, ...]:
    return (
        name or "(itself)",
        type(layer).__name__,
        shape_in_words(layer.weight.shape),
        arrays_in_words(layer),
        f"{layer.weight.numel():,}",
        describe(layer.tiles[0].device),
    )


def _digital_rows(model: nn.Module) -> Iterator[tuple[str, ...]]:
    """The layers with parameters of their own that are not analog, each under its first name."""
    known = tuple(converters())
    left = {id(each.layer): each for each in layers_left(model, known, known)}
    reasons = left_digital(model)
    for name, module in model.named_modules():
        each = left.get(id(module))
        if name in reasons or each is not None:
            whole = name in reasons  # with its parts
            count = sum(p.numel() for p in module.parameters(recurse=whole))
            why = reasons.get(name) or (each.reason if each is not None else "")
            yield name or "(itself)", type(module).__name__, f"{count:,}", why


def _text(rows: list[tuple[str, ...]], head: tuple[str, ...]) -> str:
    """Columns of text, two spaces apart."""
    lines = [head, *rows]
    wide = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(n) for cell, n in zip(line, wide, strict=True)).rstrip() for line in lines
    )
