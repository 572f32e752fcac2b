"""convert(): the layers of any model onto crossbars, with their weights."""

from __future__ import annotations

import copy
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from ..checked import checked
from ..devices import Device
from ..errors import InputError
from ..kernels import Periphery, Pulsing
from ..ranges import OWN
from . import states
from .attention import AnalogMultiheadAttention
from .choice import choose, patterns
from .conv import AnalogConv1d, AnalogConv2d, AnalogConv3d
from .fast_path import call_all_layers
from .functional import AnalogLayer
from .left_digital import LeftDigitalWarning, layers_left, listed, told
from .linear import AnalogLinear
from .parts import freeze_as
from .pretrained import save_digitally
from .recurrent import AnalogGRU, AnalogLSTM, AnalogRNN

__all__ = ["CONVERTERS", "analog_layers", "convert", "converters", "left_digital"]

#: gives an analog layer, or a module of several
Converter = Callable[[Any, float | None, dict[str, Any]], nn.Module]

#: how a layer of each type is converted; a new layer type is one more row
CONVERTERS: dict[type[nn.Module], Converter] = {
    nn.Linear: AnalogLinear.from_digital,
    nn.Conv2d: AnalogConv2d,
    nn.Conv1d: AnalogConv1d,
    nn.Conv3d: AnalogConv3d,
    nn.RNN: AnalogRNN.from_digital,
    nn.LSTM: AnalogLSTM.from_digital,
    nn.GRU: AnalogGRU.from_digital,
    nn.MultiheadAttention: AnalogMultiheadAttention.from_digital,
}


def _transposed(layer: Any, omega: float | None, settings: dict[str, Any]) -> AnalogLayer:
    """The Conv1D of Hugging Face's GPT models: a linear layer whose weight is (inputs, outputs)."""
    twin = AnalogLinear.from_weights(layer.weight.t(), layer.bias, omega, settings)
    twin.came_transposed = True
    return twin


def converters() -> dict[type[nn.Module], Converter]:
    """`CONVERTERS`, and those for layers of other libraries, if these are loaded."""
    conv1d = getattr(sys.modules.get("transformers.pytorch_utils"), "Conv1D", None)
    return CONVERTERS if conv1d is None else {**CONVERTERS, conv1d: _transposed}


@checked(max_tile=OWN, include=OWN, exclude=OWN, types=OWN)
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
    max_tile: tuple[int, int] | None = None,
    seed: int = 0,
    backend: str = "auto",
) -> nn.Module:
    """A copy of `model` in which the chosen layers lie on crossbars; everything else is as it was.

    Weights are kept: W = out_scale * W_analog, with one learnable digital scale per output (a column
    of a crossbar's outputs). Biases stay digital. `print` of the result shows what is analog.

    A layer under several names stays one layer. Hooks of a converted layer are not taken over: register
    them on the result. A module that reads the weights of its layers and does not call them would miss
    scales and periphery; torch's Transformer encoders do so in evaluation, and are kept from it.

    `save_pretrained` of a model of Hugging Face's transformers saves the digital model that computes the
    same: `from_pretrained` and this function make it analog again. Its files hold the analog state too, from
    which a Trainer resumes exactly.

    A LeftDigitalWarning names the layers with weight matrices that the patterns match and that cannot be
    converted, with the reason. `exclude` says that this is meant; `left_digital` lists them later.

    Args:
        model: any module; it is not changed.
        device: specification of the elements.
        pulsing: how wanted changes become pulses (default: `Pulsing()`, fidelity "pulsed").
        periphery: the circuits around the crossbars (default: perfect).
        types: layer types to convert; default all that can be, the keys of `CONVERTERS` and the
            Conv1D of Hugging Face's transformers. Exact types: subclasses keep their own behaviour, and
            stay digital.
        include, exclude: patterns of layer names as in `model.named_modules()`, with * and ?. Attention has
            parts `q_proj`, `k_proj`, `v_proj`, `out_proj`, recurrent layers `input.l0`, `hidden.l0`, ...:
            exclude=["*.out_proj"] keeps these digital within analog layers.
        omega: largest |W_analog| of every output as a fraction of the range, in (0, 1]; None keeps
            scale 1 where the weights fit, and else maps the largest to 0.9.
        max_tile: largest (rows, cols) of a physical tile. A larger weight is cut into near-equal blocks,
            each a tile with its own elements and periphery; outputs of blocks along the inputs, each with
            its own output scales, are added digitally. None: one tile, however large.
        seed: of the elements and all random numbers, in [0, 2^32); layers get arrays 0, 256, 512, ...
        backend: "auto", "reference" or "numba".

    Raises:
        InputError: when no layer is converted, a pattern matches nothing, a layer shares its parameters
            with another module (tied weights), or an argument is wrong.

    Example:
        >>> import torch
        >>> from ohmgrad.devices import SoftBounds
        >>> model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
        >>> analog = convert(model, Device(SoftBounds.symmetric(0.6)), exclude=["2"])
        >>> type(analog[0]).__name__, type(analog[2]).__name__
        ('AnalogLinear', 'Linear')
    """
    for what, value, kind in (("pulsing", pulsing, Pulsing), ("periphery", periphery, Periphery)):
        if not isinstance(value, kind | None):
            raise InputError(f"{what} is {value!r}, but must be a {kind.__name__} or None")
    wanted = _types(types)
    known = converters()
    chosen, left = choose(model, wanted, tuple(known), patterns(include, exclude))
    _check_own_weights(model, [choice.name for choice in chosen])
    if left:
        warnings.warn(
            f"layers with weight matrices stay digital: {told(left)}. Exclude them by name if this is meant",
            LeftDigitalWarning,
            stacklevel=3,  # of who calls the checked function
        )
    shared = {"device": device, "pulsing": pulsing, "periphery": periphery, "max_tile": max_tile}
    shared["backend"] = backend
    twins: dict[int, nn.Module] = {}
    # a second conversion goes on after the arrays of the first
    array = max((t.key.array + 256 for _, m in analog_layers(model) for t in m.tiles), default=0)
    for name, digital in chosen:
        layer = model.get_submodule(name)
        settings = {**shared, "seed": seed, "array": array, **({"digital": digital} if digital else {})}
        twin = known[type(layer)](layer, omega, settings)
        twin.train(layer.training)
        if isinstance(twin, AnalogLayer):
            freeze_as(layer, twin)
        twins[id(layer)] = twin
        array += 256 * sum(len(part.tiles) for _, part in analog_layers(twin))
    whole = id(model) in twins
    model = copy.deepcopy(model, twins)  # which takes the twins wherever a layer is held, in plain lists too
    if whole:
        return _loaded_wholly(model)
    call_all_layers(model)
    save_digitally(model)
    return _loaded_wholly(model)


def _loaded_wholly(model: nn.Module) -> nn.Module:
    """Have a model look at all of a state before it changes the first of its layers."""
    model.register_load_state_dict_pre_hook(_check_states)
    return model


def _check_states(
    model: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any], *rest: Any
) -> None:
    """Raise InputError unless a state fits all analog layers."""
    for name, layer in analog_layers(model):
        states.found(layer, state, f"{prefix}{name}." if name else prefix)


def _check_own_weights(model: nn.Module, chosen: list[str]) -> None:
    """Raise InputError for a layer whose parameters are also another module's, or are computed by a hook."""
    owners: dict[nn.Parameter, dict[nn.Module, str]] = {}
    for name, module in model.named_modules():
        for parameter in module.parameters(recurse=False):
            owners.setdefault(parameter, {})[module] = name
    for name in chosen:
        layer = model.get_submodule(name)
        if any(own not in module._parameters for module, own in _weights(layer)):
            raise InputError(
                f"a weight of layer {name!r} is not a parameter but computed from others: undo that first "
                "(torch.nn.utils.remove_weight_norm, torch.nn.utils.prune.remove), or exclude the layer"
            )
        for parameter in layer.parameters():
            tied = list(owners[parameter].values())
            if len(tied) > 1:
                raise InputError(
                    f"layers {listed(tied)} share one parameter, and a crossbar holds its own: keep them "
                    f"digital with exclude=[{listed(n for n in tied if n in chosen)}], or untie them"
                )


def _weights(layer: nn.Module) -> list[tuple[nn.Module, str]]:
    """Where a convertible layer has the parameters that go onto crossbars: modules and names."""
    if isinstance(layer, nn.RNNBase):
        return [(layer, name) for name in layer._flat_weights_names]
    if isinstance(layer, nn.MultiheadAttention):
        packed = [(layer, f"{part}_proj_weight") for part in ("in", "q", "k", "v")]
        return [*packed, (layer.out_proj, "weight")]
    return [(layer, "weight")]


@checked
def analog_layers(model: nn.Module) -> list[tuple[str, AnalogLayer]]:
    """Names and analog layers of a model, in order."""
    return [(n, m) for n, m in model.named_modules() if isinstance(m, AnalogLayer)]


@checked
def left_digital(model: nn.Module) -> dict[str, str]:
    """Names of the layers with weight matrices that are on no crossbar, and the reason of each.

    Look-ups, norms, and matrices of modules that are no layers of a known kind are not among them.

    Example:
        >>> left_digital(nn.Sequential(nn.Linear(3, 2), nn.Tanh(), nn.LSTMCell(2, 2)))
        {'0': 'left out by name or type', '2': 'no analog layer of this type'}
    """
    known = tuple(converters())
    found = {id(each.layer): each.reason for each in layers_left(model, known, known) if each.product}
    reasons = {}
    for name, module in model.named_modules():
        if type(module) in known:
            reasons[name] = "left out by name or type"
        elif id(module) in found:
            reasons[name] = found[id(module)]
    return reasons


def _types(types: Iterable[type[nn.Module]] | None) -> tuple[type[nn.Module], ...]:
    if types is None:
        return tuple(converters())
    if not isinstance(types, Iterable):
        word = getattr(types, "__name__", types)
        raise InputError(f"types is {word}, but must be a list of types: [{word}]")
    known = converters()
    for kind in (wanted := tuple(types)):
        if kind not in known:
            names = ", ".join(t.__name__ for t in known)
            raise InputError(f"{kind!r} cannot be converted: the types that can are {names}")
    return wanted
