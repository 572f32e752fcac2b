"""The weight matrices of a plain model that go onto arrays, chosen and named as `convert` does."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..errors import InputError, said
from ..nn.choice import choose, patterns
from ..nn.convert import converters
from ..nn.left_digital import LeftDigitalWarning, told
from ..nn.parts import part_names
from ..nn.to_digital import to_digital

__all__ = ["Matrix", "matrices", "plain_copy", "untied"]


@dataclass(frozen=True)
class Matrix:
    """A weight matrix: all of a parameter, or some of its rows.

    Args:
        name: of the layer, or of its part, as analog layers have it: attn.q_proj, lstm.input.l0.
        module: where the parameter is; parameter: its name there.
        block, of: which of how many equal blocks of its rows.
    """

    name: str
    module: str
    parameter: str
    block: int = 0
    of: int = 1

    def view(self, model: nn.Module) -> Tensor:
        """The values in a model, without a gradient; writing to them changes the model."""
        whole = getattr(model.get_submodule(self.module), self.parameter).detach()
        return whole.chunk(self.of)[self.block]


def matrices(model: nn.Module, include: Iterable[str], exclude: Iterable[str]) -> list[Matrix]:
    """The matrices of all layers that name patterns choose, in the order of the model.

    Warns of layers with weight matrices that are chosen and of no known type.

    Raises:
        InputError: as `ohmgrad.convert`, for patterns that match nothing and models without such layers.
    """
    known = tuple(converters())
    chosen, left = choose(model, known, known, patterns(include, exclude))
    if left:
        warnings.warn(
            f"layers with weight matrices stay digital: {told(left)}. Exclude them by name if this is meant",
            LeftDigitalWarning,
            stacklevel=4,  # of who calls the checked function
        )
    found: list[Matrix] = []
    for choice in chosen:
        layer = model.get_submodule(choice.name)
        parts = part_names(layer)
        for part in parts:
            if part not in choice.digital:
                name = f"{choice.name}.{part}" if choice.name else part
                found.append(Matrix(name, *_place(layer, choice.name, part)))
        if not parts:
            found.append(Matrix(choice.name or "the model", choice.name, "weight"))
    for each in found:
        if model.get_submodule(each.module)._parameters.get(each.parameter) is None:
            raise InputError(
                f"the weight of layer {each.name!r} is no parameter but computed from others: undo that "
                "first (torch.nn.utils.remove_weight_norm, torch.nn.utils.prune.remove), or exclude the layer"
            )
    return found


def _place(layer: Any, name: str, part: str) -> tuple[Any, ...]:
    """Module, parameter and rows of a part of attention or of a recurrent layer."""
    if isinstance(layer, nn.RNNBase):
        kind, key = part.split(".")
        return name, f"weight_{'ih' if kind == 'input' else 'hh'}_{key}"
    if part == "out_proj":
        return f"{name}.out_proj" if name else "out_proj", "weight"
    if layer.in_proj_weight is None:
        return name, f"{part}_weight"
    return name, "in_proj_weight", "qkv".index(part[0]), 3


def untied(model: nn.Module, found: Iterable[Matrix]) -> None:
    """Give each module that has a matrix a parameter of its own: arrays are not shared."""
    for module, parameter in {(each.module, each.parameter) for each in found}:
        layer = model.get_submodule(module)
        old = getattr(layer, parameter)
        setattr(layer, parameter, nn.Parameter(old.detach().clone(), old.requires_grad))


def plain_copy(model: nn.Module) -> nn.Module:
    """A copy without analog layers and parametrizations, as in evaluation; see `to_digital`.

    Raises:
        InputError: as `to_digital`, and for a model that torch does not copy.
    """
    recurrent: dict[Any, Any] = {}
    for module in model.modules() if isinstance(model, nn.Module) else ():
        if isinstance(module, nn.RNNBase) and parametrize.is_parametrized(module):
            # the weights that its last call computed, which torch does not copy with their history
            recurrent[module] = module._flat_weights
            module._flat_weights = [w if w is None else w.detach() for w in module._flat_weights]
    try:
        plain = to_digital(model).eval()
    except RuntimeError as error:  # torch does not copy what a hook computed
        raise InputError(
            f"torch does not copy the model ({said(error)}): undo what computes weights first, as "
            "torch.nn.utils.remove_weight_norm and torch.nn.utils.prune.remove do"
        ) from error
    finally:
        for module, weights in recurrent.items():
            module._flat_weights = weights
    for module in [m for m in plain.modules() if parametrize.is_parametrized(m)]:
        # torch's remove_parametrizations would change the class, which the original shares
        computed = {name: getattr(module, name).detach().clone() for name in module.parametrizations}  # pyright: ignore
        del module.parametrizations
        module.__class__ = type(module).__bases__[0]
        for name, value in computed.items():
            setattr(module, name, nn.Parameter(value))
    return plain
