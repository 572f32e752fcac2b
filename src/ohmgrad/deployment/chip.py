"""deploy(): a trained model on a chip that is programmed once, and what it computes at any time after."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from ..checked import checked
from ..errors import InputError, check_integer, check_number
from ..ranges import OWN
from ..rng import Key
from .layers import Matrix, matrices, plain_copy, untied
from .pairs import Pairs, programmed
from .technologies import Technology, technology_of

__all__ = ["Deployed", "deploy"]


class Deployed:
    """A model on a chip, see `deploy`."""

    def __init__(
        self, model: nn.Module, technology: Technology, found: Sequence[Matrix], arrays: Sequence[Pairs]
    ) -> None:
        self.technology = technology
        self._model, self._found, self._arrays = model, found, arrays
        self._sums: list[float] | None = None  # of the first read

    @checked
    def at(self, seconds: float | None = None, *, compensation: bool = True) -> nn.Module:
        """The plain model that computes what the chip does at a time, in evaluation mode.

        Global drift compensation multiplies the outputs of every matrix digitally by

            alpha(t) = S(first read) / S(t),   S(t) = sum_j sum_i |y_ij(t)|

        where y_.j(t) are the outputs when the j-th input alone is driven, with 1: a calibration that needs
        no data (Le Gallo et al., Adv. Electron. Mater. 4, 1700627 (2018); Joshi et al. 2020). It sees the
        weights that the model gets, read noise included. Here alpha is in the weights, which is the same to
        rounding; biases are digital and have none.

        Args:
            seconds: since programming; None for the first read.
            compensation: whether outputs are rescaled.

        Raises:
            InputError: for a time that the technology's statistics are not known of.
        """
        seconds = self._time(seconds)
        model = copy.deepcopy(self._model)
        read = [array.weight(seconds) for array in self._arrays]
        factors = self._factors(read) if compensation else [1.0] * len(read)
        with torch.no_grad():
            for each, weight, factor in zip(self._found, read, factors, strict=True):
                each.view(model).copy_(weight * factor)
        return model.eval()

    def factors(self, seconds: float | None = None) -> dict[str, float]:
        """alpha of every matrix at a time, by name."""
        seconds = self._time(seconds)
        factors = self._factors([array.weight(seconds) for array in self._arrays])
        return {each.name: factor for each, factor in zip(self._found, factors, strict=True)}

    def conductances(self, seconds: float | None = None) -> dict[str, tuple[Tensor, Tensor]]:
        """G+ and G- (uS) of every matrix as the read at a time finds them, by name."""
        seconds = self._time(seconds)
        pairs = zip(self._found, self._arrays, strict=True)
        return {each.name: array.conductances(seconds) for each, array in pairs}

    def _time(self, seconds: float | None) -> float:
        return self.technology.check_time(self.technology.first if seconds is None else seconds)

    def _factors(self, read: Sequence[Tensor]) -> list[float]:
        if self._sums is None:
            self._sums = [float(array.weight(self.technology.first).abs().sum()) for array in self._arrays]
        now = [float(weight.abs().sum()) for weight in read]
        return [first / sum_ if sum_ else 1.0 for first, sum_ in zip(self._sums, now, strict=True)]


@checked(model=OWN)
def deploy(
    model: nn.Module,
    technology: str | Technology = "pcm",
    *,
    seed: int = 0,
    programming: int = 0,
    clip: float | None = None,
    include: Iterable[str] = ("*",),
    exclude: Iterable[str] = (),
) -> Deployed:
    """Program a trained model onto differential pairs; `at` gives what the chip computes at a time.

    Every weight matrix (of linear, convolution and recurrent layers, and of attention) is an array with a
    scale of its own: its largest |w| is G_max, G+ has the weights above 0, G- those below, and the other
    element of a pair is programmed to 0. Biases, norms, look-ups and activations are digital, and so are
    products but for their weights: converters are not in it.

    Conductances at a time do not depend on what was asked before: random numbers are addressed by seed,
    matrix, programming and time.

    Args:
        model: plain or analog (see `to_digital`); it is not changed. Parametrizations, such as those of
            `hardware_aware`, are resolved as in evaluation.
        technology: "pcm", "reram", or one with your figures.
        seed: in [0, 2^32).
        programming: number of the programming: another one is another chip with the same weights.
        clip: clip weights at so many standard deviations of their matrix before they are mapped.
        include, exclude: patterns of layers, as for `ohmgrad.convert`.

    Raises:
        InputError: when an argument is wrong, no layer is chosen, or a weight is not finite.

    Example:
        >>> chip = deploy(nn.Linear(4, 2), "pcm")
        >>> chip.at(3600.0)
        Linear(in_features=4, out_features=2, bias=True)
    """
    technology = technology_of(technology)
    most = 2**32 - 1
    seed, programming = (
        check_integer("seed", seed, 0, most),
        check_integer("programming", programming, 0, most),
    )
    if clip is not None:
        check_number("clip", clip, low=0, open_low=True)
    plain = plain_copy(model)
    found = matrices(plain, include, exclude)
    untied(plain, found)
    for each in found:
        if not bool(each.view(plain).isfinite().all()):
            raise InputError(f"layer {each.name!r} has weights that are not finite: its training diverged")
    arrays = [
        programmed(each.view(plain), technology, Key(seed, number), programming, clip)
        for number, each in enumerate(found)
    ]
    return Deployed(plain, technology, found, arrays)
