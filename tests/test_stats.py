"""The statistical helpers: quiet on what is right, and loud on a planted bug, above and below."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests import stats

N = 100_000
LAWS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {  # all of mean 0 and variance 1
    "normal": lambda g: g.standard_normal(N),
    "exponential": lambda g: g.standard_exponential(N) - 1,
    "uniform": lambda g: g.uniform(-(3**0.5), 3**0.5, N),
    "two-point": lambda g: g.choice([-1.0, 1.0], N),
}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


def caught(check: Callable[..., None], *args: Any, **named: Any) -> bool:
    try:
        check(*args, **named)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("law", LAWS)
def test_mean_and_variance_hold_for_any_law_and_catch_a_bug(law: str, rng: Any) -> None:
    sample = LAWS[law](rng)
    stats.assert_mean(sample, 0.0)
    stats.assert_variance(sample, 1.0)
    for sign in (-1, 1):
        assert caught(stats.assert_mean, sample + sign * 0.03, 0.0)
        assert caught(stats.assert_variance, sample * (1 + sign * 0.04), 1.0)


def test_slack_is_added_and_not_more(rng: Any) -> None:
    sample = LAWS["normal"](rng)
    stats.assert_mean(sample + 0.02, 0.0, slack=0.02)
    stats.assert_variance(sample * 1.02, 1.0, slack=0.05)
    assert caught(stats.assert_mean, sample + 0.04, 0.0, slack=0.02)
    assert caught(stats.assert_variance, sample * 1.05, 1.0, slack=0.05)


@pytest.mark.parametrize("law", LAWS)
def test_deviations_have_unit_variance(law: str) -> None:
    """z is a normal deviate for skewed laws too; the Gaussian formula gives 2 for exponentials."""
    g = np.random.default_rng(3)
    sample = LAWS[law](g)[: 100 * 1000].reshape(1000, 100)
    scale = {"two-point": 0.0}.get(law, 1.0)  # its variance has no error at first order
    z = stats.z_mean(sample, 0.0)
    assert 0.85 < z.std() < 1.15
    pair = stats.z_variance_pair(sample[:, :50], sample[:, 50:])
    assert 0.75 * scale <= pair.std() < 1.4


def test_pairs_catch_a_shift_and_a_scale(rng: Any) -> None:
    a, b = LAWS["exponential"](rng), LAWS["exponential"](rng)
    assert abs(stats.z_mean_pair(a, b)) < stats.Z
    assert abs(stats.z_variance_pair(a, b)) < stats.Z
    for sign in (-1, 1):
        assert sign * stats.z_mean_pair(a + sign * 0.03, b) > stats.Z
        assert sign * stats.z_variance_pair(a * (1 + sign * 0.04), b) > stats.Z


def test_constants_agree_or_are_infinitely_wrong() -> None:
    same = np.full(100, 0.25)
    assert stats.z_mean(same, 0.25) == 0
    assert stats.z_variance(same, 0.0) == 0
    assert np.isinf(stats.z_mean(same, 0.26))
    assert np.isinf(stats.z_mean_pair(same, same + 0.01))


def test_share_is_exact_in_the_tails(rng: Any) -> None:
    stats.assert_share(int(rng.binomial(N, 0.003)), N, 0.003)
    stats.assert_share(0, 100, 0.01)
    stats.assert_share(0, 100, 0.0)
    stats.assert_share(100, 100, 1.0)
    assert caught(stats.assert_share, 1, 100, 0.0)
    assert caught(stats.assert_share, 0, 100, 0.5)
    assert caught(stats.assert_share, 100, 100, 0.5)
    assert caught(stats.assert_share, int(rng.binomial(N, 0.0042)), N, 0.003)
    assert caught(stats.assert_share, int(rng.binomial(N, 0.002)), N, 0.003)


def test_bonferroni_keeps_the_family(rng: Any) -> None:
    assert stats.bonferroni(1) == pytest.approx(3.2905, abs=1e-3)
    assert stats.bonferroni(1000) == pytest.approx(4.8916, abs=1e-3)
    z = rng.standard_normal(5000)
    stats.assert_all_within(z)
    one = z.copy()
    one[17] = -6.0
    assert caught(stats.assert_all_within, one)
    assert caught(stats.assert_all_within, 1.25 * z)  # each too small an error: many above 4


def test_normal_law_catches_a_tail_and_a_scale(rng: Any) -> None:
    z = LAWS["normal"](rng)
    stats.assert_normal(z)
    assert caught(stats.assert_normal, 1.05 * z)
    assert caught(stats.assert_normal, LAWS["uniform"](rng))
    assert caught(stats.assert_normal, np.where(np.abs(z) > 2, 2 * np.sign(z), z))


def test_order_is_the_exponent() -> None:
    h = np.array([0.1, 0.05, 0.02, 0.01])
    assert stats.order(h, 3 * h**2) == pytest.approx(2.0)
    assert stats.order(h, -3 * h) == pytest.approx(1.0)
