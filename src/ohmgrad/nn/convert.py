"""convert(): the layers of any model onto crossbars, with their weights."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from typing import Any

from torch import nn

from ..devices import Device
from ..errors import InputError, check_number
from ..periphery import Periphery
from ..pulses import Pulsing
from .conv import AnalogConv2d
from .functional import AnalogLayer
from .linear import AnalogLinear

__all__ = ["CONVERTERS", "analog_layers", "convert"]

Converter = Callable[[Any, float | None, dict[str, Any]], AnalogLayer]

#: how a layer of each type is converted; a new layer type is one more row
CONVERTERS: dict[type[nn.Module], Converter] = {
    nn.Linear: AnalogLinear.from_digital,
    nn.Conv2d: AnalogConv2d,
}


def convert(
    model: nn.Module,
    device: Device,
    *,
    pulsing: Pulsing | None = None,
    periphery: Periphery | None = None,
    types: Iterable[type[nn.Module]] | None = None,
    include: Iterable[str] = ("*",),
    exclude: Iterable[str] = (),
    omega: float | None = None,
    seed: int = 0,
    backend: str = "auto",
) -> nn.Module:
    """A copy of `model` in which the chosen layers lie on crossbars; everything else is as it was.

    Weights are kept: W = out_scale * W_analog, with one learnable digital scale per output (a column
    of the crossbar's outputs). Biases stay digital. `print` of the result shows what is analog.

    Args:
        model: any module; it is not changed.
        device: specification of the elements.
        pulsing: how wanted changes become pulses (default: `Pulsing()`, fidelity "pulsed").
        periphery: the circuits around the crossbars (default: perfect).
        types: layer types to convert; default all that can be, nn.Linear and nn.Conv2d. Exact types:
            subclasses keep their own behaviour, and stay digital.
        include, exclude: patterns of layer names as in `model.named_modules()`, with * and ?.
        omega: largest |W_analog| of every output as a fraction of the range, in (0, 1]; None keeps
            scale 1 where the weights fit, and else maps the largest to 0.9.
        seed: of the elements and all random numbers, in [0, 2^32); layers get arrays 0, 256, 512, ...
        backend: "auto", "reference" or "numba".

    Raises:
        InputError: when no layer is converted, a pattern matches nothing, or an argument is wrong.

    Example:
        >>> import torch
        >>> from ohmgrad.devices import SoftBounds
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> analog = convert(model, Device(SoftBounds.symmetric(0.6)), exclude=["2"])
        >>> type(analog[0]).__name__, type(analog[2]).__name__
        ('AnalogLinear', 'Linear')
    """
    if omega is not None:
        check_number("omega", omega, low=0, open_low=True, high=1)
    wanted = tuple(CONVERTERS) if types is None else tuple(types)
    for kind in wanted:
        if kind not in CONVERTERS:
            known = ", ".join(t.__name__ for t in CONVERTERS)
            raise InputError(f"{kind!r} cannot be converted: the types that can are {known}")
    include, exclude = _patterns("include", include), _patterns("exclude", exclude)
    names = [name for name, module in model.named_modules() if type(module) in wanted]
    for pattern in (*include, *exclude):
        if not any(fnmatch(name, pattern) for name in names):
            found = ", ".join(repr(name) for name in names) or "none"
            raise InputError(f"pattern {pattern!r} matches no layer: the candidates are {found}")
    chosen = [
        name
        for name in names
        if any(fnmatch(name, p) for p in include) and not any(fnmatch(name, p) for p in exclude)
    ]
    if not chosen:
        raise InputError(
            "no layer is left to convert: give other patterns, or another model; "
            "convertible are " + ", ".join(t.__name__ for t in wanted)
        )
    model = copy.deepcopy(model)
    shared = {"device": device, "pulsing": pulsing, "periphery": periphery, "backend": backend}
    twins: dict[nn.Module, AnalogLayer] = {}
    array = 0
    for name in chosen:
        layer = model.get_submodule(name)
        twin = CONVERTERS[type(layer)](layer, omega, {**shared, "seed": seed, "array": array})
        twin.train(layer.training)
        _freeze_as(layer, twin)
        twins[layer] = twin
        array += 256 * len(twin.tiles)
    if model in twins:
        return twins[model]
    for parent in list(model.modules()):
        for name, child in list(parent._modules.items()):  # named_children() skips a second name
            if child is not None and child in twins:
                setattr(parent, name, twins[child])
    return model


def _freeze_as(layer: Any, twin: AnalogLayer) -> None:
    twin.weight.requires_grad_(layer.weight.requires_grad)
    twin.out_scale.requires_grad_(layer.weight.requires_grad)
    if twin.bias is not None:
        twin.bias.requires_grad_(layer.bias.requires_grad)


def analog_layers(model: nn.Module) -> list[tuple[str, AnalogLayer]]:
    """Names and analog layers of a model, in order."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, AnalogLayer)]


def _patterns(what: str, patterns: Iterable[str]) -> list[str]:
    if isinstance(patterns, str):
        raise InputError(f"{what} is {patterns!r}, but must be a list of patterns: [{patterns!r}]")
    return list(patterns)
