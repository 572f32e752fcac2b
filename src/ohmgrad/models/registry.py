"""The networks of the experiments, as plain torch modules."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..checked import checked
from ..errors import InputError, check_choice, check_integer, shown
from ..ranges import COUNT, SEED
from ..user_files import is_in_file, made_in, object_in
from .resnets import resnet8
from .vision import IMAGENET, LITE, PREFIX, check_weights_name, head, is_vision, load_weights, vision

__all__ = ["MODELS", "build", "check_model", "last_layer"]

#: what FILE.py:NAME must be
_MADE = (
    "a function or class that gives a torch.nn.Module, called as NAME(shape, classes) with the (channels, "
    "height, width) of an image, or as NAME(): each seed has weights of its own"
)

MODELS = ("linear", "mlp", "fcn", "cnn", "lenet5", "resnet8", LITE)


@checked
def check_model(name: Any, what: str = "model") -> str:
    """Return a network's name if it is one of `MODELS`, FILE.py:NAME, or torchvision's, which `build` seeks.

    Raises:
        InputError: for an unknown name, or a file without it.
    """
    if is_in_file(name):
        if isinstance(found := object_in(name), nn.Module) or not callable(found):
            raise InputError(f"{what} {name} is {shown(found)}, but must be {_MADE}")
        return name
    if isinstance(name, str) and name in ("resnet18", "resnet34", "resnet50"):  # ohmgrad's own up to 0.3.1
        raise InputError(f"{what} {name!r} is torchvision's: write {PREFIX}{name}")
    known = isinstance(name, str) and name.startswith(PREFIX)
    return name if known else check_choice(what, name, (*MODELS, f"{PREFIX}NAME"), "FILE.py:NAME")


@checked(shape=COUNT, classes=COUNT, seed=SEED)
def build(
    name: str, shape: tuple[int, int, int], classes: int, seed: int, *, pretrained: str | None = None
) -> nn.Module:
    """A network with torch's initial weights; ends in logits.

    - `linear`: inputs-classes, one layer.
    - `mlp`: inputs-32-classes, sigmoid; small, for the digits.
    - `fcn`: inputs-256-128-classes, sigmoid (Wu et al. 2024, arXiv 2406.12774).
    - `cnn`: two 5 x 5 convolutions with 16 and 32 channels, each with tanh and 2 x 2 max-pooling, tanh again,
      then 128 and classes, tanh between (the same paper); images of at least 16 x 16 pixels.
    - `lenet5`: `cnn` behind MNIST's standardisation, x -> (x - 0.1307) / 0.3081: the LeNet-5 of Li et al.
      2025 (arXiv 2510.02516), whose 80,202 parameters and largest matrix of 128 x 512 are those of `cnn`.
    - `resnet8`: a small residual network for images of 32 x 32 pixels, see `ohmgrad.models.resnets`.
    - `efficientnet-lite0`, and any classification network of torchvision, as in `torchvision:resnet18`: see
      `ohmgrad.models.vision`; with the extras `efficientnet` and `vision` of this package.
    - `FILE.py:NAME`: what NAME(shape, classes), or NAME() where it takes nothing, gives.

    Args:
        name: one of `MODELS`, torchvision: and a name, or FILE.py:NAME.
        shape: (channels, height, width) of an image.
        classes: number of classes.
        seed: of the initial weights; the global generator is left as it was.
        pretrained: "imagenet" for the weights that the package of the last two kinds has, of all layers but
            the last; or a file with a state dict of the network (.pt, .pth, .safetensors).

    Raises:
        InputError: for an unknown name, images that the network cannot take, weights that are not to be had
            or not the network's, or a package that is not installed.
    """
    check_model(name)
    if pretrained is not None and not (pretrained == IMAGENET and is_vision(name)):
        check_weights_name(pretrained, name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(check_integer("seed", seed))
        model = _built(name, shape, classes, pretrained)
    if pretrained is not None and pretrained != IMAGENET:
        load_weights(model, pretrained)
    return model


@checked
def last_layer(name: str) -> str:
    """The name of the last linear layer of a network, as `convert` knows it."""
    with torch.device("meta"):  # no memory, and no random numbers
        return head(_built(check_model(name), (3, 32, 32), 10, None))


def _built(name: str, shape: tuple[int, int, int], classes: int, pretrained: str | None) -> nn.Module:
    channels, height, width = shape
    inputs = channels * height * width
    if name in ("cnn", "lenet5") and min(height, width) < 16:
        raise InputError(
            f"model '{name}' needs images of at least 16 x 16, not {height} x {width}: use 'fcn'"
        )
    if is_in_file(name):
        return made_in(name, nn.Module, _MADE, ((shape, classes), ()))
    if is_vision(name):
        return vision(name, channels, classes, pretrained)
    if name == "linear":
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, classes))
    if name == "mlp":
        return nn.Sequential(nn.Flatten(), nn.Linear(inputs, 32), nn.Sigmoid(), nn.Linear(32, classes))
    if name == "fcn":
        return nn.Sequential(
            nn.Flatten(),
            nn.Linear(inputs, 256),
            nn.Sigmoid(),
            nn.Linear(256, 128),
            nn.Sigmoid(),
            nn.Linear(128, classes),
        )
    if name == "resnet8":
        return resnet8(channels, classes)
    first = (_Standard(0.1307, 0.3081),) if name == "lenet5" else ()
    flat = 32 * (((height - 4) // 2 - 4) // 2) * (((width - 4) // 2 - 4) // 2)
    return nn.Sequential(
        *first,
        nn.Conv2d(channels, 16, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5),
        nn.Tanh(),
        nn.MaxPool2d(2),
        nn.Tanh(),
        nn.Flatten(),
        nn.Linear(flat, 128),
        nn.Tanh(),
        nn.Linear(128, classes),
    )


class _Standard(nn.Module):
    """Pixels with a mean of 0 and a standard deviation of 1, where `mean` and `std` are those of the data."""

    def __init__(self, mean: float, std: float) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x - self.mean) / self.std
