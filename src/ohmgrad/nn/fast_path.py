"""torch's Transformer encoders read their layers' weights in evaluation; analog layers must be called."""

from __future__ import annotations

from typing import Any

from torch import nn

from .functional import AnalogLayer

__all__ = ["call_all_layers", "read_weights_again"]


def call_all_layers(model: nn.Module) -> None:
    """Have the encoders that hold analog layers call them: a read weight has no scale and no periphery.

    They call the layers of an encoder layer that has a hook, and where there are no nested tensors.
    """
    for module in model.modules():
        if not any(isinstance(part, AnalogLayer) for part in module.modules()):
            continue
        if isinstance(module, nn.TransformerEncoderLayer) and not _hooks(module):
            module.register_forward_pre_hook(_no_fast_path)
        if isinstance(module, nn.TransformerEncoder) and module.use_nested_tensor:
            module.use_nested_tensor = False
            vars(module)["used_nested_tensor"] = True  # to undo it


def read_weights_again(model: nn.Module) -> None:
    """Undo `call_all_layers` in a model whose layers are digital again."""
    for module in model.modules():
        for key in _hooks(module):
            del module._forward_pre_hooks[key]
        if vars(module).pop("used_nested_tensor", False):
            vars(module)["use_nested_tensor"] = True


def _hooks(module: nn.Module) -> list[int]:
    return [key for key, hook in module._forward_pre_hooks.items() if hook is _no_fast_path]


def _no_fast_path(module: nn.Module, args: Any) -> None:
    """A hook that does nothing."""
