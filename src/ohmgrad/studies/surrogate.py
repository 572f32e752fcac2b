"""A smooth surface through accuracies that were measured at a few points, and how well it is known.

Accuracies become logits, log(p/(1 - p)), which have no ceiling. A Gaussian process (Matern 5/2, a length for
each axis, by the likelihood) goes through them; every point has the variance 1/(n p (1 - p)) of n test
images, and the process another one for all, of the seeds.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Surface", "design", "surface"]


def design(points: int) -> np.ndarray:
    """Points that fill the unit square evenly, (points, 2): a Latin hypercube of low discrepancy."""
    from scipy.stats import qmc

    sampler = qmc.LatinHypercube(d=2, optimization="random-cd", rng=2026)
    return sampler.random(points)


@dataclass(frozen=True, eq=False)
class Surface:
    """A surface of accuracies in percent.

    Args:
        process: the Gaussian process, of standardised logits.
        middle, scale: of the logits.
        error: root mean square, over the points, of what the surface that leaves a point out is off there
            (percent points); NaN for fewer than three points.
    """

    process: Any
    middle: float
    scale: float
    error: float

    def at(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Median and half the width of the central 68 % of the accuracy (percent) at `x`, (k, axes)."""
        mean, sd = self.process.predict(x, return_std=True)
        ends = [_percent(self.middle + self.scale * (mean + s * sd)) for s in (-1, 0, 1)]
        return ends[1], (ends[2] - ends[0]) / 2

    def draws(self, x: np.ndarray, count: int) -> np.ndarray:
        """Surfaces that the points allow, as accuracies (percent), (k, count); always the same."""
        drawn = self.process.sample_y(x, count, random_state=2026)
        return _percent(self.middle + self.scale * drawn)


def surface(x: np.ndarray, accuracy: np.ndarray, images: int) -> Surface:
    """The surface through accuracies.

    Args:
        x: (k, axes).
        accuracy: shares of right answers (k,), in [0, 1].
        images: test images of each.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    p = np.clip(accuracy, 1 / (images + 2), 1 - 1 / (images + 2))
    logits = np.log(p / (1 - p))
    middle, scale = float(logits.mean()), max(float(logits.std()), 0.1)
    kernel = ConstantKernel(1.0, (0.1, 30.0)) * Matern([1.0] * x.shape[1], (0.25, 20.0), nu=2.5)
    kernel = kernel + WhiteKernel(0.05, (1e-4, 1.0))
    noise = 1 / (images * p * (1 - p)) / scale**2
    kind: Any = GaussianProcessRegressor  # whose alpha may be an array
    process = kind(kernel, alpha=noise, n_restarts_optimizer=2, random_state=2026)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", ConvergenceWarning
        )  # a length at its limit is an axis that does nothing
        process.fit(x, (logits - middle) / scale)
    # what the process that leaves a point out says there: its kernel stays
    inverse = np.linalg.inv(process.L_ @ process.L_.T)
    left_out = logits - scale * process.alpha_ / np.diag(inverse)
    error = _percent(left_out) - 100 * accuracy
    rms = float(np.sqrt((error**2).mean())) if len(x) > 2 else float("nan")
    # drawn surfaces are of the accuracy that is expected, without the scatter of a training
    process.kernel_ = process.kernel_.set_params(k2__noise_level=1e-10)
    return Surface(process, middle, scale, rms)


def _percent(logits: np.ndarray) -> np.ndarray:
    return 100 / (1 + np.exp(-logits))
