"""How much of a loss each of several faults causes: Shapley values from chains of trainings.

v(S) is what is measured with the faults S and no others. A chain adds one fault after the other, from none to
all, and what a fault adds depends on those before it. Its Shapley value is the mean over all orders,

    phi_i = E [v(faults before i and i) - v(faults before i)],        sum_i phi_i = v(all) - v(none),

here over pairs of a random order and its reverse, each pair with a seed of its own. Where faults act in twos
at most, one pair is exact but for the noise of its trainings. All trainings of a pair have one seed, so that
what they have in common goes from their differences.

A fault that means nothing without another one comes after it in every order (Frye, Rowat & Feige 2020,
arXiv 1910.06358): its share is what it adds, and the other's is what that does by itself.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

__all__ = ["LEVEL", "chain", "interval", "orders", "shares"]

#: of intervals
LEVEL = 0.9
#: degrees of freedom with which the variance of each fault is drawn towards that of all
_SHARED = 3

Order = tuple[str, ...]


def orders(faults: Sequence[str], needs: Mapping[str, str], pairs: int) -> list[tuple[Order, Order]]:
    """Random orders, each with its reverse; always the same for the same faults.

    Args:
        faults: names.
        needs: by fault, another one that comes before it; one that is not among the faults is none.
        pairs: how many (>= 1).
    """
    rng = np.random.default_rng(2026)
    found = []
    for _ in range(pairs):
        order = [faults[int(i)] for i in rng.permutation(len(faults))]
        found.append((_allowed(order, needs), _allowed([*reversed(order)], needs)))
    return found


def _allowed(order: Sequence[str], needs: Mapping[str, str]) -> Order:
    """The order in which a needed fault has exchanged its place with the first that needs it."""
    out = list(order)
    for first in dict.fromkeys(needs.values()):
        if first in out:
            family = [i for i, name in enumerate(out) if name == first or needs.get(name) == first]
            names = [out[i] for i in family]
            names.remove(first)
            for i, name in zip(family, [first, *names], strict=True):
                out[i] = name
    return tuple(out)


def chain(order: Order) -> list[frozenset[str]]:
    """The sets of faults from none to all, in an order."""
    return [frozenset(order[:n]) for n in range(len(order) + 1)]


def shares(
    faults: Sequence[str],
    plan: Sequence[tuple[Order, Order]],
    values: Mapping[tuple[int, frozenset[str]], float],
) -> np.ndarray:
    """What each fault adds, mean over the orders of a pair, (pairs, faults); without pairs that miss a value.

    Args:
        faults: names, the columns.
        plan: of `orders`.
        values: v by number of the pair and set of faults; NaN where it failed.
    """
    rows = []
    for number, pair in enumerate(plan):
        row = dict.fromkeys(faults, 0.0)
        for order in pair:
            sets = chain(order)
            for name, before, after in zip(order, sets[:-1], sets[1:], strict=True):
                row[name] += (values[number, after] - values[number, before]) / len(pair)
        rows.append([row[name] for name in faults])
    found = np.array(rows)
    return found[np.isfinite(found).all(1)]


def interval(replicates: np.ndarray) -> np.ndarray:
    """Mean, low and high of every column, (columns, 3), at `LEVEL`; ends are NaN for a single row.

    Few rows say little of their variance, so that of each column is drawn towards the mean over columns (the
    moderated t of Smyth 2004, 10.2202/1544-6115.1027):  s^2 = (d0 S^2 + (n - 1) s_i^2)/(d0 + n - 1), d0 = 3
    for several columns, with d0 + n - 1 degrees of freedom.

    Args:
        replicates: (n, columns), rows independent.
    """
    from scipy.stats import t

    n, columns = replicates.shape
    mean = replicates.mean(0)
    if n < 2:
        return np.stack([mean, *2 * [np.full(columns, math.nan)]], 1)
    variance = replicates.var(0, ddof=1)
    shared = _SHARED if columns > 1 else 0
    freedom = shared + n - 1
    variance = (shared * variance.mean() + (n - 1) * variance) / freedom
    half = t.ppf((1 + LEVEL) / 2, freedom) * np.sqrt(variance / n)
    return np.stack([mean, mean - half, mean + half], 1)
