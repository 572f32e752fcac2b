"""What composite layers (recurrent, attention) are made of: several crossbars from weights of one layer."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn

from ..crossbar.contents import NUMBERS
from ..errors import InputError
from ..sizes import check_cells
from .functional import AnalogLayer
from .linear import AnalogLinear

__all__ = ["freeze_as", "linears", "part_names", "pieces", "torch_layer"]


def part_names(layer: nn.Module) -> list[str]:
    """Names of the crossbars that one torch layer becomes, below the analog layer; none if it becomes one."""
    if isinstance(layer, nn.MultiheadAttention):
        return ["q_proj", "k_proj", "v_proj", "out_proj"]
    if isinstance(layer, nn.RNNBase):
        ends = ("", "_reverse") if layer.bidirectional else ("",)
        keys = [f"l{i}{end}" for i in range(layer.num_layers) for end in ends]
        return [f"{kind}.{key}" for key in keys for kind in ("input", "hidden")]
    return []


def torch_layer(
    kind: type[nn.Module], sizes: tuple[int, int], settings: dict[str, Any], names: Iterable[str]
) -> Any:
    """torch's layer with the options called `names`, which are taken out of `settings`.

    Raises:
        InputError: when torch refuses them, with what it says.
    """
    options = {name: settings.pop(name) for name in names if name in settings}
    check_cells("a layer", *sizes)
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
    weights: Iterable[tuple[str, Tensor, Tensor | None]], omega: float | None, settings: dict[str, Any]
) -> list[nn.Module]:
    """Analog linear layers with given weights and biases, one after the other.

    Args:
        weights: name, weight (rows, cols), and bias (rows,) or None, of each; they are copied.
        omega: mapping of the weights into the device's range, see `convert`.
        settings: `device` and those of the `Tile`; `array` is that of the first layer, and the others follow.
            And `digital`, names of those that stay `nn.Linear`.

    Raises:
        InputError: when `digital` has other names, or all of them.
    """
    settings = dict(settings)
    digital = settings.pop("digital", ())
    weights = list(weights)
    names = [name for name, _, _ in weights]
    if isinstance(digital, str) or not set(digital) < set(names):
        raise InputError(f"digital is {digital!r}, but must be a list of some of {', '.join(names)}")
    made: list[nn.Module] = []
    array = settings.get("array")
    for name, weight, bias in weights:
        rows, cols = weight.shape
        # draws no numbers
        plain: Any = nn.utils.skip_init(nn.Linear, cols, rows, bias=bias is not None)
        plain.weight = nn.Parameter(weight.detach().clone(), weight.requires_grad)
        if bias is not None:
            plain.bias = nn.Parameter(bias.detach().clone(), bias.requires_grad)
        if name in digital:
            made.append(plain)
            continue
        twin = AnalogLinear.from_digital(plain, omega, {**settings, "array": array})
        freeze_as(plain, twin)
        array = None if array is None else array + NUMBERS * len(twin.tiles)
        made.append(twin)
    return made
