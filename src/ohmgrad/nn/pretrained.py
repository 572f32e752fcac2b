"""save_pretrained() of a converted Hugging Face model: the digital model that computes the same."""

from __future__ import annotations

import functools
import sys
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from .plain_layers import outermost_analog, plain_layer

__all__ = ["digital_state", "save_as_before", "save_digitally"]


def digital_state(model: nn.Module) -> dict[str, Tensor]:
    """The state of the digital model that computes what `model` does, under its names.

    That of `to_digital(model)`, without a copy of what is digital already.

    Raises:
        InputError: as `to_digital`.
    """
    state: dict[str, Any] = dict(model.state_dict())
    plain: dict[nn.Module, nn.Module] = {}
    for name, layer in outermost_analog(model):
        if layer not in plain:
            plain[layer] = plain_layer(layer)
        prefix = f"{name}." if name else ""
        for key in [key for key in state if key.startswith(prefix)]:
            del state[key]
        state.update({prefix + key: value for key, value in plain[layer].state_dict().items()})
    return state


def save_digitally(model: nn.Module) -> None:
    """Have save_pretrained of Hugging Face models, `model` or in it, save `digital_state`.

    Their files hold tensors only, and their from_pretrained knows the digital layers only. `from_pretrained`
    and `convert` then give a model that computes the same. Other models stay as they are.
    """
    base: Any = getattr(sys.modules.get("transformers.modeling_utils"), "PreTrainedModel", ())
    for module in model.modules():
        if isinstance(module, base):
            # on the object, as the class is not ours; a partial is copied and pickled with its model
            vars(module)["save_pretrained"] = functools.partial(_save, module)


def save_as_before(model: nn.Module) -> None:
    """Undo `save_digitally`."""
    for module in model.modules():
        own = vars(module).get("save_pretrained")
        if isinstance(own, functools.partial) and own.func is _save:
            del vars(module)["save_pretrained"]


def _save(
    model: Any,
    save_directory: Any,
    is_main_process: bool = True,
    state_dict: Any = None,
    *args: Any,
    **rest: Any,
) -> Any:
    """transformers' save_pretrained, with the digital state unless one is given.

    Raises:
        InputError: when the given one is that of the analog model, or as `digital_state`.
    """
    state = digital_state(model) if state_dict is None else state_dict
    for name, value in state.items():
        if isinstance(value, dict):
            raise InputError(
                f"state_dict has {name!r} of an analog layer, but such files hold tensors only: "
                "leave state_dict out, or save with torch.save(model.state_dict(), file)"
            )
    return type(model).save_pretrained(model, save_directory, is_main_process, state, *args, **rest)
