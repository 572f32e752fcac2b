"""What happens to a batch of images before a network sees it: augmentation, resizing, standardisation."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from ..datasets import Dataset
from ..models.vision import Standard
from ..rng import Key, Purpose, uniform, words

__all__ = ["AUGMENTATIONS", "PADDING", "Images"]

#: what may be done to training images, each image anew in every epoch
AUGMENTATIONS = ("flip", "vertical-flip", "crop")
#: black pixels that "crop" puts around an image before it cuts a window of the old size out of it
PADDING = 4


class Images:
    """Batches of a data set as a network takes them.

    Augmentations come first and see the images of the files; then images are resized, bilinearly, and
    standardised anew. Random decisions are addressed by (seed, epoch, step, image in the batch).

    Args:
        data: the data set; its mean and standard deviation are undone where `standard` is given.
        augment: any of `AUGMENTATIONS`: mirror left and right, mirror top and bottom (either with
            probability 1/2), and cut a random window out of the padded image.
        resize: height and width (pixels), or None to leave them.
        standard: the mean and standard deviation that the network wants, or None for the data's own.
        seed: of the augmentations.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        augment: Sequence[str] = (),
        resize: int | None = None,
        standard: Standard | None = None,
        seed: int = 0,
    ) -> None:
        self.augment, self.resize, self._key = tuple(augment), resize, Key(seed, 0)
        mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (data.mean, data.std))
        self._black = -mean / std
        self._anew: tuple[Tensor, Tensor] | None = None  # scale and shift
        if standard is not None:
            wanted_mean, wanted_std = (torch.tensor(v).view(-1, 1, 1) for v in standard)
            self._anew = std / wanted_std, (mean - wanted_mean) / wanted_std

    @property
    def batch(self) -> int:
        """Images that are looked at together without training: fewer where they were made larger."""
        return 1000 if self.resize is None else 100

    def for_training(self, x: Tensor, epoch: int, step: int) -> Tensor:
        """A batch (n, channels, height, width) of step `step` of epoch `epoch`, augmented."""
        for number, name in enumerate(AUGMENTATIONS):
            if name in self.augment:
                u = [self._random(len(x), epoch, step, 2 * number + i) for i in (0, 1)]
                x = self._cropped(x, *u) if name == "crop" else _mirrored(x, u[0] < 0.5, -1 - number)
        return self.for_evaluation(x)

    def for_evaluation(self, x: Tensor) -> Tensor:
        """A batch, resized and standardised only."""
        if self.resize is not None and x.shape[-2:] != (self.resize, self.resize):
            size = (self.resize, self.resize)
            x = functional.interpolate(x, size, mode="bilinear", align_corners=False, antialias=True)
        return x if self._anew is None else x * self._anew[0] + self._anew[1]

    def _random(self, n: int, epoch: int, step: int, block: int) -> Tensor:
        return uniform(words(n, step, epoch, Purpose.AUGMENTATION, self._key, block))

    def _cropped(self, x: Tensor, u: Tensor, v: Tensor) -> Tensor:
        n, _, height, width = x.shape
        padded = (x - self._black).to(x.dtype)
        padded = functional.pad(padded, (PADDING,) * 4) + self._black  # padded with black, not with zero
        top, left = ((each * (2 * PADDING + 1)).long() for each in (u, v))
        rows = (top.unsqueeze(1) + torch.arange(height)).view(n, 1, height, 1)
        cols = (left.unsqueeze(1) + torch.arange(width)).view(n, 1, 1, width)
        return padded[
            torch.arange(n).view(n, 1, 1, 1), torch.arange(x.shape[1]).view(1, -1, 1, 1), rows, cols
        ]


def _mirrored(x: Tensor, which: Tensor, dimension: int) -> Tensor:
    return torch.where(which.view(-1, 1, 1, 1), x.flip(dimension), x)
