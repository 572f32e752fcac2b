"""Random numbers by cell, in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor

from ...rng import gaussians, words
from ..cells import Cells

__all__ = ["normals_", "random_words"]


def normals_(out: Tensor, cells: Cells, step: Tensor, purpose: int, std: float, where: Tensor | None) -> None:
    """As `ops.normals_`."""
    rows, cols = cells.shape
    z = gaussians(cols, torch.arange(rows), int(step), purpose, cells.keys[0]).float()
    out.copy_(z * std if where is None else torch.where(where, z.mul_(std), out))


def random_words(cells: Cells, step: Tensor, purpose: int, marked: Tensor | None) -> Tensor:
    """As `ops.random_words`."""
    rows, cols = cells.shape
    if marked is None:
        return words(cols, torch.arange(rows), int(step), purpose, cells.keys[0])
    out = torch.zeros(rows, cols, dtype=torch.int64)
    out[marked] = words(int(marked.sum()), 0, int(step), purpose, cells.keys[0])
    return out
