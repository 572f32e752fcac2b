"""Accuracies, and gaps between them, in words that say how sure they are."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import yaml

from ...studies.study import interval

__all__ = ["accuracy", "as_yaml", "command", "gap", "listed", "settled", "short_accuracy"]

#: what a training is paired by: its seed
Values = Mapping[int, float]


def accuracy(values: Values) -> str:
    """Mean of seeds (%) with its 95 % interval, as in 97.8 % (95 % interval 97.2 to 98.4, 5 seeds)."""
    mean, low, high = interval(np.array(list(values.values())))
    if len(values) == 1:
        return f"{mean:.1f} % (one seed, which shows no interval)"
    low, high = max(low, 0.0), min(high, 100.0)
    return f"{mean:.1f} % (95 % interval {low:.1f} to {high:.1f}, {len(values)} seeds)"


def short_accuracy(values: Values) -> str:
    """The same for tables: 97.8 [97.2, 98.4]; one seed has no interval."""
    mean, low, high = interval(np.array(list(values.values())))
    if len(values) == 1:
        return f"{mean:.1f}"
    return f"{mean:.1f} [{max(low, 0.0):.1f}, {min(high, 100.0):.1f}]"


def _difference(a: Values, b: Values) -> tuple[float, float, float, int]:
    """a - b with its 95 % interval, over the seeds that both have; and their number."""
    both = [seed for seed in a if seed in b]
    if not both:
        mean = float(np.mean(list(a.values())) - np.mean(list(b.values())))
        return mean, float("nan"), float("nan"), 0
    return *interval(np.array([a[seed] - b[seed] for seed in both])), len(both)


def gap(a: Values, b: Values, other: str) -> str:
    """How far `a` is from `b`, of pairs with the same seed: 1.3 points below digital SGD (0.4 to 2.2)."""
    mean, low, high, count = _difference(a, b)
    side = "below" if mean < 0 else "above"
    words = f"{abs(mean):.1f} points {side} {other}"
    if count < 2:
        return words
    if settled(a, b):
        near, far = sorted((abs(low), abs(high)))
        return f"{words} ({near:.1f} to {far:.1f})"
    if low == high:  # of every pair both are equal
        return f"as good as {other} with every seed"
    return f"{words} ({-low:.1f} below to {high:.1f} above: not told apart)"


def settled(a: Values, b: Values) -> bool:
    """Whether the 95 % interval of the difference of pairs leaves zero out."""
    _, low, high, count = _difference(a, b)
    return count > 1 and (low > 0 or high < 0)


def listed(names: Sequence[str]) -> str:
    """a, b and c."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def command(*words: str | Iterable[str]) -> str:
    """A command line; what is in a list is added one by one."""
    flat = [w for word in words for w in ([word] if isinstance(word, str) else word)]
    return shlex.join(["ohmgrad", *flat])


def as_yaml(values: Mapping[str, Any]) -> str:
    """YAML text, with short lists on one line."""
    return yaml.safe_dump(
        dict(values), sort_keys=False, allow_unicode=True, default_flow_style=None, width=100
    )
