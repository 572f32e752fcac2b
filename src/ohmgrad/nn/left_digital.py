"""Which layers stay digital, and why: what convert() says of layers that it cannot take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from torch import nn
from torch.nn.modules.conv import _ConvTransposeNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils import parametrize

from ..errors import InputError
from .functional import AnalogLayer

__all__ = ["Left", "LeftDigitalWarning", "check_has_weights", "layers_left", "listed", "told"]

Types = tuple[type[nn.Module], ...]

#: torch's layers that multiply by a stored matrix and have no analog layer
_PRODUCTS: Types = (nn.RNNCellBase, _ConvTransposeNd, nn.Bilinear)
_LOOK_UPS: Types = (nn.Embedding, nn.EmbeddingBag)
_LAZY = "no weights before its first call"


class LeftDigitalWarning(UserWarning):
    """Layers with weight matrices that match the patterns of `convert` stay digital: it cannot take them."""


class Left(NamedTuple):
    """A layer that convert() cannot take."""

    layer: nn.Module
    #: all its names
    names: list[str]
    reason: str
    #: whether it multiplies by a stored matrix, as far as one can tell
    product: bool


def layers_left(model: nn.Module, wanted: Types, known: Types) -> list[Left]:
    """The layers with parameters of their own that convert() cannot take.

    Args:
        wanted: exact types that are asked for, of those that are `known`.
        known: all exact types that can be converted.
    """
    found: dict[nn.Module, Left] = {}
    for name, layer, reason, product in _walk(model, "", wanted, known):
        if layer in found:
            found[layer].names.append(name)
        else:
            found[layer] = Left(layer, [name], reason, product)
    return list(found.values())


def check_has_weights(left: Iterable[Left]) -> None:
    """Raise InputError for lazy layers, as torch does not copy them."""
    lazy = [each for each in left if each.reason == _LAZY]
    if lazy:
        raise InputError(f"the model has {told(lazy)}: call the model once, then convert it")


def told(left: Iterable[Left], most: int = 8) -> str:
    """The layers by type, with the reason of each, in one line."""
    groups: dict[tuple[str, str], list[str]] = {}
    for layer, names, reason, _ in left:
        groups.setdefault((type(layer).__name__, reason), []).append(names[0] or "the model")
    words = [f"{kind} ({listed(names, 3)}): {reason}" for (kind, reason), names in groups.items()]
    more = [f"and {len(words) - most} more types"] if len(words) > most else []
    return "; ".join(words[:most] + more)


def listed(names: Iterable[str], most: int = 12) -> str:
    """Names with quotes, the first ones where there are many."""
    quoted = [repr(name) for name in names]
    more = [f"and {len(quoted) - most} more"] if len(quoted) > most else []
    return ", ".join(quoted[:most] + more)


def _walk(
    module: nn.Module, name: str, wanted: Types, known: Types
) -> Iterator[tuple[str, nn.Module, str, bool]]:
    """Every name of every layer left, without the parts of layers that multiply by a matrix."""
    if type(module) in known:
        if type(module) not in wanted:
            yield name, module, "not among the types asked for", False
        return
    if isinstance(module, AnalogLayer):
        return
    found = _reason(module, wanted, known)
    if found is not None:
        yield name, module, *found
        if found[1]:
            return
    for child_name, child in module._modules.items():
        if child is not None:
            yield from _walk(child, f"{name}.{child_name}" if name else child_name, wanted, known)


def _reason(layer: nn.Module, wanted: Types, known: Types) -> tuple[str, bool] | None:
    """Why convert() does not take a layer, and whether it multiplies by a matrix; None without parameters."""
    base = next((kind for kind in wanted if isinstance(layer, kind)), None)
    everything = set(wanted) == set(known)  # who asks for types knows that others stay digital
    product = base is not None or (everything and isinstance(layer, _PRODUCTS))
    if parametrize.is_parametrized(layer):
        return "parametrized, see torch.nn.utils.parametrize.remove_parametrizations", product
    if isinstance(layer, LazyModuleMixin) and layer.has_uninitialized_params():  # pyright: ignore
        return _LAZY, product
    if not any(p is not None for p in layer._parameters.values()):
        return None
    if base is not None:
        return f"a subclass of {base.__name__}, which may compute something else", True
    if isinstance(layer, _PRODUCTS):
        return "no analog layer of this type", product
    if isinstance(layer, _LOOK_UPS):
        return "a look-up and no matrix product", False
    word = type(layer).__name__.lower()
    if "norm" in word or "embed" in word:
        return "no matrix product", False
    weight = layer._parameters.get("weight")
    matrix = weight is not None and sum(size > 1 for size in weight.shape) > 1
    return "not a layer type that convert knows", matrix and everything
