"""The verdict of a comparison: chances, seeds that are wanting, and the words."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy import stats

from ohmgrad.studies.study import interval
from ohmgrad.studies.verdict import best_chances, more_seeds, verdict


def test_chances_are_those_of_drawn_means() -> None:
    """Against 200,000 draws of each posterior: standard error at most 0.0012."""
    samples = [np.array([90.0, 91.0, 92.5]), np.array([91.0, 91.5, 92.0, 90.0]), np.array([80.0, 95.0])]
    rng = np.random.default_rng(0)
    means = [
        s.mean() + s.std(ddof=1) / math.sqrt(len(s)) * stats.t(len(s) - 1).rvs(200_000, random_state=rng)
        for s in samples
    ]
    drawn = np.bincount(np.argmax(means, axis=0), minlength=3) / 200_000
    found = best_chances(samples)
    assert sum(found) == pytest.approx(1)
    assert found == pytest.approx(drawn, abs=0.006)


def test_chances_of_equal_ones_are_equal_and_single_runs_have_none() -> None:
    same = np.array([1.0, 2.0, 3.0])
    assert best_chances([same, same, same]) == pytest.approx([1 / 3] * 3, abs=1e-3)
    alone = best_chances([same, np.array([9.0]), np.array([])])
    assert alone[0] == pytest.approx(1)
    assert np.isnan(alone[1:]).all()
    assert best_chances([np.array([5.0, 5.0]), np.array([4.0, 4.0])], least=0.1)[0] > 0.9


def test_chances_are_calibrated() -> None:
    """Two equal algorithms: of 400 pairs of samples, the share in which the first has less than 5 % is 5 %
    at most (Behrens-Fisher intervals are conservative); 99.9 % of binomial(400, 0.05) is below 36."""
    rng = np.random.default_rng(1)
    low = sum(best_chances([rng.normal(size=3), rng.normal(size=3)])[0] < 0.05 for _ in range(400))
    assert 0 < low < 36


def test_more_seeds_are_those_after_which_the_interval_leaves_zero() -> None:
    sample = np.array([0.5, -0.4, 0.9, 0.1])
    more = more_seeds(sample)
    assert more is not None
    for n, decided in ((4 + more, True), (4 + more - 1, False)):
        half = stats.t.ppf(0.975, n - 1) * sample.std(ddof=1) / math.sqrt(n)
        assert bool(sample.mean() - half > 0) is decided
    assert more_seeds(np.array([1.0, -1.0])) is None


def row(
    algorithm: str, sample: np.ndarray, digital: np.ndarray, best: float, pulses: float
) -> dict[str, Any]:
    mean, gap = float(sample.mean()), interval(digital - sample)
    return {
        "algorithm": algorithm, "test_accuracy": mean, "gap": gap[0], "gap_low": gap[1],
        "gap_high": gap[2], "best": best, "pulses_per_update": pulses, "lr": 0.1,
    }  # fmt: skip


DIGITAL = np.array([97.0, 97.5, 96.8])


def said(pulses: float = 0.2, **samples: np.ndarray) -> str:
    rows = [row(a, s, DIGITAL, 0.995 if a == "agad" else 0.6, pulses if a == "agad" else 0.1)
            for a, s in samples.items()]  # fmt: skip
    accuracies = {a: dict(enumerate(map(float, s))) for a, s in samples.items()}
    return verdict("mine.yaml", rows, accuracies, (0.02, 0.1, 1.0))


def test_a_clear_winner_is_named_with_its_lead_and_its_wear() -> None:
    found = said(agad=np.array([95.0, 95.6, 94.7]), sgd=np.array([80.0, 82.0, 79.0]))
    assert found.startswith(
        "mine: AGAD, 95.1 % (2.0 ± 0.2 points below digital SGD), is the best of 2, with a"
    )
    assert "more than 99 %: Analog SGD follows 14.8 points behind, 95 % interval [" in found
    assert found.endswith("0.2 pulses per element and update")


def test_what_is_not_told_apart_is_said_with_the_seeds_that_would() -> None:
    found = said(agad=np.array([95.0, 95.6, 94.7]), ttv2=np.array([94.8, 95.9, 94.1]))
    assert "is ahead, but not told apart from TTv2 at 3 seeds (about " in found
    assert "Of these TTv2 wears elements least: 0.1 pulses per element and update" in found
    found = said(0.01, agad=np.array([95.0, 95.6, 95.1]), ttv2=np.array([94.8, 95.9, 94.1]))
    assert "Of these AGAD wears elements least: 0.01 pulses" in found


def test_a_gap_that_may_be_none_and_pairs_that_failed() -> None:
    found = said(agad=DIGITAL + np.array([0.1, -0.1, 0.05]), sgd=np.array([math.nan] * 3))
    assert "not told apart from digital SGD" in found
    assert found.endswith("nothing else was tried")
    assert said(sgd=np.array([math.nan] * 3)) == "mine: no algorithm could be trained"


def test_a_learning_rate_at_the_end_of_those_tried_is_told() -> None:
    rows = [row("agad", DIGITAL - 1, DIGITAL, 0.9, 0.1), row("sgd", DIGITAL - 9, DIGITAL, 0.1, 0.1)]
    accuracies = {"agad": dict(enumerate(DIGITAL - 1)), "sgd": dict(enumerate(DIGITAL - 9))}
    assert "at an end of those tried" not in verdict("x", rows, accuracies, (0.01, 0.1, 1.0))
    found = verdict("x", rows, accuracies, (0.01, 0.1))
    assert found.endswith("its lr of 0.1 is at an end of those tried, so that --set rates may do better")
