"""Assertions on statistics, over the deviations that the package's conformance suite measures, too."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import special, stats

from ohmgrad.conformance.stats import (
    Z,
    bonferroni,
    mean_error,
    rows,
    variance_error,
    z_mean,
    z_mean_pair,
    z_share,
    z_variance,
    z_variance_pair,
)

__all__ = [
    "Z", "assert_all_within", "assert_mean", "assert_normal", "assert_share", "assert_variance",
    "bonferroni", "order", "z_mean", "z_mean_pair", "z_share", "z_variance", "z_variance_pair",
]  # fmt: skip


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
    s = rows(sample).ravel()
    gap, error = s.mean() - expected, float(mean_error(s))
    assert abs(gap) <= z * error + slack, (
        f"mean {s.mean():.6g} is not {expected:.6g}: off by {gap:.3g}, "
        f"allowed {z:g} x {error:.3g} + {slack:.3g}"
    )


def assert_variance(sample: Any, expected: float, slack: float = 0.0, z: float = Z) -> None:
    """Variance within z standard errors of `expected`, beyond a `slack` known from theory."""
    s = rows(sample).ravel()
    gap, error = s.var(ddof=1) - expected, float(variance_error(s))
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
    result: Any = stats.kstest(rows(sample).ravel(), "norm")
    assert result.pvalue > 2 * special.ndtr(-z), (
        f"not standard normal: distance {result.statistic:.3g}, p = {result.pvalue:.3g}"
    )


def order(steps: Any, errors: Any) -> float:
    """Exponent p of errors ~ steps^p, by least squares on the logarithms."""
    return float(np.polyfit(np.log(rows(steps)), np.log(np.abs(rows(errors))), 1)[0])
