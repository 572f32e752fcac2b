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
    "Z", "assert_all_within", "assert_mean", "assert_normal", "assert_share", "assert_variance",
    "bonferroni", "order", "z_mean", "z_mean_pair", "z_share", "z_variance", "z_variance_pair",
]  # fmt: skip

#: standard errors that a single comparison may deviate by: a false alarm once in 150,000
Z = 4.5


def _rows(sample: Any) -> np.ndarray:
    return np.asarray(sample, dtype=np.float64)


def _mean_error(sample: np.ndarray) -> np.ndarray:
    return sample.std(-1, ddof=1) / math.sqrt(sample.shape[-1])


def _variance_error(sample: np.ndarray) -> np.ndarray:
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
    s = _rows(sample)
    return _ratio(s.mean(-1) - expected, _mean_error(s), floor)


def z_variance(sample: Any, expected: Any, floor: Any = 0.0) -> np.ndarray:
    """Variance of each row against its expectation."""
    s = _rows(sample)
    return _ratio(s.var(-1, ddof=1) - expected, _variance_error(s), floor)


def z_mean_pair(a: Any, b: Any, floor: Any = 0.0) -> np.ndarray:
    """Mean of each row of one sample against the other's."""
    a, b = _rows(a), _rows(b)
    return _ratio(a.mean(-1) - b.mean(-1), np.hypot(_mean_error(a), _mean_error(b)), floor)


def z_variance_pair(a: Any, b: Any, floor: Any = 0.0) -> np.ndarray:
    """Variance of each row of one sample against the other's."""
    a, b = _rows(a), _rows(b)
    gap = a.var(-1, ddof=1) - b.var(-1, ddof=1)
    return _ratio(gap, np.hypot(_variance_error(a), _variance_error(b)), floor)


def z_share(successes: Any, trials: int, p: Any) -> np.ndarray:
    """Number of successes against the binomial law, by its exact tails, as a normal deviate."""
    k = np.asarray(successes)
    low, high = stats.binom.cdf(k, trials, p), stats.binom.sf(k - 1, trials, p)
    tail = special.ndtri(np.minimum(np.minimum(low, high), 0.5))
    return np.where(low < high, tail, -tail)


def bonferroni(comparisons: int, alarm: float = 1e-3) -> float:
    """Bound on |z| that all of so many comparisons keep, but for a chance of at most `alarm`."""
    return float(-special.ndtri(alarm / (2 * comparisons)))


def assert_all_within(z: Any, alarm: float = 1e-3, each: float = 4.0) -> None:
    """A family of deviations follows its law.

    No |z| above Bonferroni's bound, and no more of them above `each` than chance allows; the false
    alarm rate of the whole family is at most `alarm`, half of it for either.
    """
    z = np.abs(np.asarray(z, dtype=np.float64)).ravel()
    bound, worst = bonferroni(z.size, alarm / 2), int(z.argmax())
    assert z[worst] < bound, (
        f"comparison {worst} of {z.size} is off by {z[worst]:.2f} s.e., allowed {bound:.2f}"
    )
    over, chance = int((z > each).sum()), 2 * float(special.ndtr(-each))
    tail = float(stats.binom.sf(over - 1, z.size, chance))
    assert tail > alarm / 2, f"{over} of {z.size} comparisons are off by more than {each} s.e."


def assert_mean(sample: Any, expected: float, slack: float = 0.0, z: float = Z) -> None:
    """Mean within z standard errors of `expected`, beyond a `slack` known from theory."""
    s = _rows(sample).ravel()
    gap, error = s.mean() - expected, float(_mean_error(s))
    assert abs(gap) <= z * error + slack, (
        f"mean {s.mean():.6g} is not {expected:.6g}: off by {gap:.3g}, "
        f"allowed {z:g} x {error:.3g} + {slack:.3g}"
    )


def assert_variance(sample: Any, expected: float, slack: float = 0.0, z: float = Z) -> None:
    """Variance within z standard errors of `expected`, beyond a `slack` known from theory."""
    s = _rows(sample).ravel()
    gap, error = s.var(ddof=1) - expected, float(_variance_error(s))
    assert abs(gap) <= z * error + slack, (
        f"variance {s.var(ddof=1):.6g} is not {expected:.6g}: off by {gap:.3g}, "
        f"allowed {z:g} x {error:.3g} + {slack:.3g}"
    )


def assert_share(successes: int, trials: int, p: float, z: float = Z) -> None:
    """Number of successes follows the binomial law."""
    off = float(z_share(successes, trials, p))
    assert abs(off) <= z, f"{successes} of {trials} is no share of {p:.6g}: off by {off:.2f} s.e."


def assert_normal(sample: Any, z: float = Z) -> None:
    """The whole law is standard normal (Kolmogorov-Smirnov), with the false alarm rate of z."""
    result: Any = stats.kstest(_rows(sample).ravel(), "norm")
    assert result.pvalue > 2 * special.ndtr(-z), (
        f"not standard normal: distance {result.statistic:.3g}, p = {result.pvalue:.3g}"
    )


def order(steps: Any, errors: Any) -> float:
    """Exponent p of errors ~ steps^p, by least squares on the logarithms."""
    return float(np.polyfit(np.log(_rows(steps)), np.log(np.abs(_rows(errors))), 1)[0])
