"""What composite layers (recurrent, attention) are made of: several crossbars from weights of one layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ..crossbar_array import NUMBERS
from ..errors import InputError
from .functional import AnalogLayer
from .linear import AnalogLinear

__all__ = ["freeze_as", "linears", "pieces", "torch_layer"]


def torch_layer(
    kind: type[nn.Module], sizes: tuple[int, int], settings: dict[str, Any], names: Iterable[str]
) -> Any:
    """torch's layer with the options called `names`, which are taken out of `settings`.

    Raises:
        InputError: when torch refuses them, with what it says.
    """
    options = {name: settings.pop(name) for name in names if name in settings}
    try:
        return kind(*sizes, **options)
    except (AssertionError, TypeError, ValueError) as error:
        given = ", ".join([*map(repr, sizes), *(f"{k}={v!r}" for k, v in options.items())])
        raise InputError(f"torch does not make {kind.__name__}({given}): {error}") from None


def freeze_as(layer: Any, twin: AnalogLayer) -> None:
    """Freeze what is frozen in the digital layer; output scales belong to the weight."""
    twin.weight.requires_grad_(layer.weight.requires_grad)
    twin.out_scale.requires_grad_(layer.weight.requires_grad)
    if twin.bias is not None:
        twin.bias.requires_grad_(layer.bias.requires_grad)


def pieces(parameter: nn.Parameter | None, count: int) -> list[nn.Parameter | None]:
    """A parameter cut into equal blocks of rows, each frozen if the whole is; None gives Nones."""
    if parameter is None:
        return [None] * count
    return [nn.Parameter(p, parameter.requires_grad) for p in parameter.detach().chunk(count)]


def linears(
    weights: Iterable[tuple[Tensor, Tensor | None]], omega: float | None, settings: dict[str, Any]
) -> list[AnalogLinear]:
    """Analog linear layers with given weights and biases, one after the other.

    Args:
        weights: pairs of a weight (rows, cols) and a bias (rows,) or None; they are copied.
        omega: mapping of the weights into the device's range, see `convert`.
        settings: `device` and those of the `Tile`; `array` is that of the first layer, and the others follow.
    """
    made: list[AnalogLinear] = []
    array = settings.get("array")
    for weight, bias in weights:
        rows, cols = weight.shape
        # draws no numbers
        plain: Any = nn.utils.skip_init(nn.Linear, cols, rows, bias=bias is not None)
        plain.weight = nn.Parameter(weight.detach(), weight.requires_grad)
        if bias is not None:
            plain.bias = nn.Parameter(bias.detach(), bias.requires_grad)
        twin = AnalogLinear.from_digital(plain, omega, {**settings, "array": array})
        freeze_as(plain, twin)
        array = None if array is None else array + NUMBERS * len(twin.tiles)
        made.append(twin)
    return made
