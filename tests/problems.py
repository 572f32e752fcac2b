"""Problems that several test files share."""

from __future__ import annotations

import torch

from ohmgrad.theory import Quadratic, least_squares

__all__ = ["forty"]


def forty(scale: float, samples: int = 100) -> Quadratic:
    """Least squares with 40 unknowns, solution 0.3 N(0, 1) kept within 0.8."""
    g = torch.Generator().manual_seed(0)
    matrix = scale * torch.randn(samples, 40, generator=g, dtype=torch.float64)
    return least_squares(matrix, (0.3 * torch.randn(40, generator=g, dtype=torch.float64)).clamp(-0.8, 0.8))
