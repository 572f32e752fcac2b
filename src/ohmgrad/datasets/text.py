"""Text as sequences of characters: tiny Shakespeare (A. Karpathy, char-rnn, 2015; 1,115,394 characters).

The file is sought where `ohmgrad.datasets` seeks its files: in the folder `root`, else in that which the
environment variable OHMGRAD_DATA names, there in `shakespeare/` or directly, plain, gzip or xz; else it is
downloaded once into the user's cache.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..errors import InputError, check_choice, check_integer, shown
from ..rng import Key, Purpose, words
from .images import SHAKESPEARE, files

__all__ = ["TEXTS", "Text", "characters", "load", "windows"]

TEXTS = ("shakespeare",)


@dataclass(frozen=True, eq=False)
class Text:
    """A text as numbers of characters in `vocabulary`, int64; its first 90 % for training."""

    name: str
    vocabulary: str
    train: Tensor
    test: Tensor

    def encode(self, text: str) -> Tensor:
        """Numbers of the characters, int64 (length,).

        Raises:
            InputError: for a character that is not in the vocabulary.
        """
        if unknown := sorted(set(text) - set(self.vocabulary)):
            raise InputError(f"{shown(unknown[0])} is not in the text {self.name}: use {self.vocabulary!r}")
        return torch.tensor([self.vocabulary.index(c) for c in text], dtype=torch.int64)

    def decode(self, numbers: Iterable[int] | Tensor) -> str:
        """The characters with these numbers."""
        return "".join(self.vocabulary[int(i)] for i in numbers)


def load(name: str = "shakespeare", *, root: str | Path | None = None, progress: bool = True) -> Text:
    """Load a text.

    Args:
        name: one of `TEXTS`.
        root: folder with the file; see the top of this module for where else it is sought.
        progress: show a bar on stderr, if that is a terminal, when downloading takes a while.

    Raises:
        InputError: for an unknown name, a missing folder or file, a file that is not the text, and when
            the download fails.
    """
    check_choice("text", name, TEXTS)
    ((path, raw),) = files(name, root=root, progress=progress)
    checksum = hashlib.sha256(raw).hexdigest()
    if checksum != SHAKESPEARE:
        raise InputError(
            f"{path} has sha256 {checksum[:12]}..., but tiny Shakespeare has {SHAKESPEARE[:12]}...: get "
            "the file again, or use ohmgrad.datasets.text.characters for a text of your own"
        )
    return characters(raw.decode("ascii"), name)


def characters(text: str, name: str = "own text") -> Text:
    """A text of your own; its vocabulary are its characters in order of their code points.

    Raises:
        InputError: when it has fewer than 10 characters, for then one part is empty.
    """
    if len(text) < 10:
        raise InputError(f"the text has {len(text)} characters, but needs at least 10")
    points = torch.tensor([ord(c) for c in text])
    kinds, numbers = points.unique(return_inverse=True)  # sorted
    cut = len(text) * 9 // 10
    return Text(name, "".join(map(chr, kinds.tolist())), numbers[:cut], numbers[cut:])


def windows(numbers: Tensor, length: int, size: int, *, seed: int, step: int) -> tuple[Tensor, Tensor]:
    """A minibatch: windows that begin anywhere, and the same windows one character further.

    Args:
        numbers: a text, int64 (characters,).
        length: characters of a window; size: windows.
        seed, step: choose the windows, each in [0, 2^32).

    Returns:
        Inputs and targets, int64 (size, length) each.

    Raises:
        InputError: when the text is shorter than a window and its target, or a number is out of range.
    """
    most = 2**32 - 1
    length, size = check_integer("length", length, 1, most), check_integer("size", size, 1, most)
    seed, step = check_integer("seed", seed, 0, most), check_integer("step", step, 0, most)
    places = len(numbers) - length
    if places < 1:
        raise InputError(f"length is {length}, but must be below the text's {len(numbers)} characters")
    draws = words(size, 0, step, Purpose.WINDOWS, Key(seed, 0))
    starts = (draws * places) >> 32
    at = starts.unsqueeze(1) + torch.arange(length)
    return numbers[at], numbers[at + 1]
