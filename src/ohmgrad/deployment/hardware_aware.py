"""hardware_aware(): noise, clipping and input ranges on a plain model, so that it trains for a chip."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..checked import checked
from ..errors import InputError, check_integer, check_number
from ..nn.convert import converters
from ..ranges import FROM_ZERO, OWN
from .layers import matrices

__all__ = ["OPTIONS", "InputRange", "NoisyWeight", "hardware_aware"]

#: of `hardware_aware`, those that run files have
OPTIONS = ("weight_noise", "clip", "input_bits")


class NoisyWeight(nn.Module):
    """A weight as a layer sees it: clipped, and while training with noise; gradients pass as they are.

        w clipped at +- clip std(w), in place while training;   w + noise max|w| N(0, 1)

    Of a packed weight, as attention has it, every one of its `blocks` has its own largest |w|.
    """

    def __init__(self, noise: float, clip: float | None, blocks: int = 1) -> None:
        super().__init__()
        self.noise, self.clip, self.blocks = noise, clip, blocks

    def forward(self, weight: Tensor) -> Tensor:
        now = weight.detach()
        parts = now.chunk(self.blocks)
        if self.clip is not None:
            bounds = [self.clip * part.std() if part.numel() > 1 else part.abs() for part in parts]
            if not self.training:
                clipped = [part.clamp(-bound, bound) for part, bound in zip(parts, bounds, strict=True)]
                return weight + (torch.cat(clipped) - now)
            for part, bound in zip(parts, bounds, strict=True):
                part.clamp_(-bound, bound)  # as after every update: what is clipped away does not come back
        if not self.training or not self.noise:
            return weight
        noise = torch.randn_like(now)
        for part, its in zip(parts, noise.chunk(self.blocks), strict=True):
            its.mul_(self.noise * part.abs().amax())
        return weight + noise

    def extra_repr(self) -> str:
        return f"noise={self.noise:g}, clip={self.clip}"


class InputRange(nn.Module):
    """Inputs in a learned range [-r, r], rounded to 2^bits - 1 levels, as a converter drives lines.

        y = r round(clamp(x / r, -1, 1) n) / n,   n = 2^(bits - 1) - 1

    Rounding passes gradients as they are; so r learns from inputs beyond it and from the rounding (Esser et
    al., ICLR 2020, who scale its gradient by 1/sqrt(inputs n)). r begins as the largest |x| of the first
    batch that trains; before it there is no range, and inputs are left as they are.
    """

    def __init__(self, bits: int) -> None:
        super().__init__()
        self.bits = bits
        self.range = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            if not self.range:
                if not self.training:
                    return x
                self.range.copy_(x.detach().abs().amax().clamp(min=1e-6))
        n = 2 ** (self.bits - 1) - 1
        scale = (max(x.numel(), 1) * n) ** -0.5
        r = self.range * scale + (self.range * (1 - scale)).detach()
        r = r.abs().clamp(min=1e-6)
        y = (x / r).clamp(-1, 1) * n
        return (y + (y.round() - y).detach()) * (r / n)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"


@checked(model=OWN, weight_noise=FROM_ZERO)
def hardware_aware(
    model: nn.Module,
    *,
    weight_noise: float = 0.038,
    clip: float | None = 2.0,
    input_bits: int | None = None,
    include: Iterable[str] = ("*",),
    exclude: Iterable[str] = (),
) -> nn.Module:
    """Have a plain model train with what a chip does to it; the training loop stays as it is.

    While training, every weight matrix is seen with Gaussian noise of `weight_noise` times its largest |w|,
    another one in each forward pass; gradients are those of the noisy network, and go to the weights without
    noise. Weights are clipped at `clip` standard deviations of their matrix. The defaults are those of
    Joshi et al., Nat. Commun. 11, 2473 (2020) for PCM: 3.8 %, and 2. `input_bits` has inputs of linear and
    convolution layers converted in ranges that are learned (Rasch et al., Nat. Commun. 14, 5282 (2023)).
    In evaluation there is no noise; clipping and input ranges stay.

    Noise is drawn from torch's generator, as dropout is: `torch.manual_seed` fixes it.

    Args:
        model: a plain model; it is changed in place (`torch.nn.utils.parametrize`, forward hooks). Call this
            before the optimizer is made: ranges are parameters.
        weight_noise: standard deviation in units of the largest |w|, at least 0.
        clip: in standard deviations, above 0; None for none.
        input_bits: bits of inputs with their sign, in [2, 16]; None leaves inputs as they are.
        include, exclude: patterns of layers, as for `ohmgrad.convert`.

    Returns:
        The model. `deploy` takes it as it is.

    Raises:
        InputError: when an argument is wrong, no layer is chosen, or one has parametrizations already.

    Example:
        >>> from ohmgrad.deployment import deploy
        >>> model = hardware_aware(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)))
        >>> chip = deploy(model, "pcm")
    """
    weight_noise = float(check_number("weight_noise", weight_noise, low=0))
    clip = None if clip is None else float(check_number("clip", clip, low=0, open_low=True))
    if input_bits is not None:
        input_bits = check_integer("input_bits", input_bits, 2, 16)
    if not isinstance(model, nn.Module):
        raise InputError(f"model is a {type(model).__name__}, but must be a torch.nn.Module")
    ranged = tuple(converters())
    for module, parameter, blocks in {
        (m.module, m.parameter, m.of) for m in matrices(model, include, exclude)
    }:
        layer: Any = model.get_submodule(module)
        # inputs of layers inside recurrent ones and attention are not to be had
        if input_bits is not None and type(layer) in ranged and parameter == "weight":
            layer.input_range = InputRange(input_bits)
            layer.register_forward_pre_hook(_into_range)
        noisy = NoisyWeight(weight_noise, clip, blocks).train(layer.training)
        parametrize.register_parametrization(layer, parameter, noisy, unsafe=True)
    return model


def _into_range(layer: Any, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return layer.input_range(inputs[0]), *inputs[1:]
