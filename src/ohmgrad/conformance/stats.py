"""Statistical comparisons: each gives z, the deviation in standard errors, and can fail both ways.

Standard errors of variances come from the fourth moment of the sample itself, so that they hold for
any law with finite moments, not only for Gaussian numbers.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy import special, stats

__all__ = [
    "Z", "bonferroni", "mean_error", "rows", "variance_error", "z_mean", "z_mean_pair", "z_share",
    "z_variance", "z_variance_pair",
]  # fmt: skip

#: standard errors that a single comparison may deviate by: a false alarm once in 150,000
Z = 4.5


def rows(sample: Any) -> np.ndarray:
    """A sample in float64; the last axis are its members."""
    return np.asarray(sample, dtype=np.float64)


def mean_error(sample: np.ndarray) -> np.ndarray:
    """Standard error of the mean, s / sqrt(n)."""
    return sample.std(-1, ddof=1) / math.sqrt(sample.shape[-1])


def variance_error(sample: np.ndarray) -> np.ndarray:
    """Standard error of the variance, sqrt((mu4 - sigma^4) / n)."""
    square = (sample - sample.mean(-1, keepdims=True)) ** 2
    return square.std(-1, ddof=1) / math.sqrt(sample.shape[-1])


def _ratio(gap: Any, error: Any, floor: Any) -> np.ndarray:
    """gap / error, where 0 / 0 is 0: constants that agree deviate by nothing."""
    error = np.hypot(error, floor)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(gap == 0, 0.0, gap / error)


def z_mean(sample: Any, expected: Any, floor: Any = 0.0) -> np.ndarray:
    """Mean of each row (last axis) against its expectation; `floor` is an error that rounding adds."""
    s = rows(sample)
    return _ratio(s.mean(-1) - expected, mean_error(s), floor)


def z_variance(sample: Any, expected: Any, floor: Any = 0.0) -> np.ndarray:
    """Variance of each row against its expectation."""
    s = rows(sample)
    return _ratio(s.var(-1, ddof=1) - expected, variance_error(s), floor)


def z_mean_pair(a: Any, b: Any, floor: Any = 0.0) -> np.ndarray:
    """Mean of each row of one sample against the other's."""
    a, b = rows(a), rows(b)
    return _ratio(a.mean(-1) - b.mean(-1), np.hypot(mean_error(a), mean_error(b)), floor)


def z_variance_pair(a: Any, b: Any, floor: Any = 0.0) -> np.ndarray:
    """Variance of each row of one sample against the other's."""
    a, b = rows(a), rows(b)
    gap = a.var(-1, ddof=1) - b.var(-1, ddof=1)
    return _ratio(gap, np.hypot(variance_error(a), variance_error(b)), floor)


def z_share(successes: Any, trials: int, p: Any) -> np.ndarray:
    """Number of successes against the binomial law, by its exact tails, as a normal deviate."""
    k = np.asarray(successes)
    low, high = stats.binom.cdf(k, trials, p), stats.binom.sf(k - 1, trials, p)
    tail = special.ndtri(np.minimum(np.minimum(low, high), 0.5))
    return np.where(low < high, tail, -tail)


def bonferroni(comparisons: int, alarm: float = 1e-3) -> float:
    """Bound on |z| that all of so many comparisons keep, but for a chance of at most `alarm`."""
    return float(-special.ndtri(alarm / (2 * comparisons)))
