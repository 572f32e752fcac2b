"""save_pretrained() of a converted Hugging Face model: the digital model that computes the same."""

from __future__ import annotations

import functools
import sys
from typing import Any

from torch import Tensor, nn

from ..errors import InputError
from .functional import AnalogLayer
from .plain_layers import outermost_analog, plain_layer
from .states import BELOW

__all__ = ["analog_state", "digital_state", "save_as_before", "save_digitally"]


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


def analog_state(model: nn.Module) -> dict[str, Tensor]:
    """What makes the analog layers of `model` as they are, to the bit, beside its `digital_state`."""
    state = {key: value for key, value in model.state_dict().items() if f".{BELOW}" in key}
    for name, module in model.named_modules(remove_duplicate=False):
        if isinstance(module, AnalogLayer):
            for own in ("weight", "out_scale"):
                state[f"{name}.{BELOW}{own}"] = getattr(module, own).detach()
    return state


def save_digitally(model: nn.Module) -> None:
    """Have save_pretrained of Hugging Face models, `model` or in it, save `digital_state` and `analog_state`.

    Their from_pretrained knows the digital layers only, and notes the rest. `from_pretrained` and `convert`
    then give a model that computes the same; their Trainer, which loads the file into the analog model,
    resumes to the bit. Other models stay as they are.
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
    """transformers' save_pretrained, with the digital and the analog state unless one is given.

    Raises:
        InputError: when the given one is that of the analog model, or as `digital_state`.
    """
    state = {**digital_state(model), **analog_state(model)} if state_dict is None else state_dict
    for name, module in model.named_modules():
        if isinstance(module, AnalogLayer) and f"{name}.out_scale" in state:
            raise InputError(
                f"state_dict has '{name}.out_scale' of an analog layer, but such files hold digital weights: "
                "leave state_dict out, or save with torch.save(model.state_dict(), file)"
            )
    return type(model).save_pretrained(model, save_directory, is_main_process, state, *args, **rest)
