"""Which of several algorithms is best on a device, how sure that is, and what it costs, in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..style import style_of
from .study import interval

__all__ = ["best_chances", "more_seeds", "verdict"]

#: seeds beyond which more of them are not advised
MOST_SEEDS = 200


def best_chances(samples: Sequence[np.ndarray], least: float = 0.0) -> list[float]:
    """Probability of each mean that it is the highest.

    With a flat prior, the mean of n normal values has the posterior mean + s/sqrt(n) t, Student's t with
    n - 1 degrees of freedom; here each algorithm has its own s, and algorithms are independent. Then

        P(a is best) = int dF_a(x) prod_b F_b(x)  over b != a

    which is summed over 2,000 quantiles of F_a.

    Args:
        samples: values of each, (n,) with n >= 2; of an n below 2 the chance is nan, and it is left out.
        least: the least standard deviation that values can have (their resolution), in their unit.
    """
    from scipy import stats

    known = [i for i, sample in enumerate(samples) if len(sample) > 1]
    laws = {}
    for i in known:
        sample = np.asarray(samples[i], dtype=np.float64)
        scale = max(float(sample.std(ddof=1)), least, 1e-12) / math.sqrt(len(sample))
        laws[i] = stats.t(len(sample) - 1, loc=float(sample.mean()), scale=scale)
    u = (np.arange(2000) + 0.5) / 2000
    chances = {}
    for i in known:
        x = laws[i].ppf(u)
        chances[i] = float(np.mean(np.prod([laws[j].cdf(x) for j in known if j != i], axis=0)))
    total = sum(chances.values()) or 1.0
    return [chances[i] / total if i in chances else math.nan for i in range(len(samples))]


def more_seeds(differences: np.ndarray) -> int | None:
    """Seeds beyond those there after which the 95 % interval of a mean difference should leave 0.

    If mean and spread stay as they are; None for more than `MOST_SEEDS`.
    """
    from scipy import stats

    mean, spread = abs(float(differences.mean())), float(differences.std(ddof=1))
    for n in range(len(differences) + 1, len(differences) + MOST_SEEDS + 1):
        if stats.t.ppf(0.975, n - 1) * spread / math.sqrt(n) < mean:
            return n - len(differences)
    return None


def verdict(
    device: str,
    rows: Sequence[Mapping[str, Any]],
    accuracies: Mapping[str, Mapping[int, float]],
    rates: Sequence[float],
) -> str:
    """A sentence or two: the best algorithm, why, and how sure.

    Args:
        device: its name.
        rows: of the comparison's table, of this device, one an algorithm.
        accuracies: of each algorithm, by seed (per cent).
        rates: learning rates that were tried.
    """
    name = Path(device).stem
    rows = [row for row in rows if math.isfinite(row["test_accuracy"])]
    if not rows:
        return f"{name}: no algorithm could be trained"
    first, *others = sorted(rows, key=lambda row: -row["test_accuracy"])
    best = style_of(first["algorithm"]).label
    told = f"{name}: {best}, {first['test_accuracy']:.1f} %"
    if math.isfinite(first["gap"]):
        told += f" ({_behind(first)})"
    at_end = first["lr"] in (min(rates), max(rates)) and len(rates) > 1
    edge = (
        f"; its lr of {first['lr']:g} is at an end of those tried, so that --set rates may do better" * at_end
    )
    if not others:
        return f"{told}; nothing else was tried"
    close, seeds = [], len(accuracies[first["algorithm"]])
    for row in others:
        behind = _differences(accuracies, first, row)
        if len(behind) < 2 or interval(behind)[1] <= 0:
            close.append((row, behind))
    if not close:
        behind = interval(_differences(accuracies, first, others[0]))
        return (
            f"{told}, is the best of {len(rows)}, with a probability of {_chance(first['best'])}: "
            f"{style_of(others[0]['algorithm']).label} follows {behind[0]:.1f} points behind, 95 % interval "
            f"[{behind[1]:.1f}, {behind[2]:.1f}]; {_cost(first)}{edge}"
        )
    names = [style_of(row["algorithm"]).label for row, _ in close]
    behind = close[0][1]
    needed = more_seeds(behind) if len(behind) > 1 and behind.any() else None
    more = f"about {needed} more would, for {names[0]}" if needed else f"hardly more would, for {names[0]}"
    least = min([first, *(row for row, _ in close)], key=lambda row: row["pulses_per_update"])
    return (
        f"{told}, is ahead, but not told apart from {_listed(names)} at {seeds} seeds ({more}); it is the "
        f"best with a probability of {_chance(first['best'])}. Of these "
        f"{style_of(least['algorithm']).label} wears elements least: {_cost(least)}{edge}"
    )


def _differences(
    accuracies: Mapping[str, Mapping[int, float]], first: Mapping[str, Any], other: Mapping[str, Any]
) -> np.ndarray:
    """Accuracies of the first less those of the other, with the same seeds."""
    ours, theirs = accuracies[first["algorithm"]], accuracies[other["algorithm"]]
    return np.array([ours[seed] - theirs[seed] for seed in ours if seed in theirs])


def _behind(row: Mapping[str, Any]) -> str:
    gap, half = row["gap"], row["gap"] - row["gap_low"]
    if not math.isfinite(half):
        return f"{gap:.1f} points below digital SGD"
    if row["gap_low"] <= 0 <= row["gap_high"]:
        return f"not told apart from digital SGD, gap {gap:.1f} ± {half:.1f} points"
    return f"{abs(gap):.1f} ± {half:.1f} points {'below' if gap > 0 else 'above'} digital SGD"


def _cost(row: Mapping[str, Any]) -> str:
    return f"{row['pulses_per_update']:.2g} pulses per element and update"


def _chance(p: float) -> str:
    return "more than 99 %" if p > 0.99 else f"{100 * p:.0f} %"


def _listed(names: Sequence[str]) -> str:
    if len(names) > 4:
        return f"{', '.join(names[:3])} and {len(names) - 3} more"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
