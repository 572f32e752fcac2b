"""Which family foretells readings that it was not fitted to: held out by cycle, or by blocks of a ramp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy import stats

from .model import Data, Fitted, fitted

__all__ = ["FOLDS", "Rank", "ordered", "ranked", "units"]

#: fits with readings held out, for each family
FOLDS = 5
#: blocks of a ramp
_BLOCKS = 10


@dataclass(frozen=True)
class Rank:
    """A family in the ranking.

    - `name`, `parameters`: the family, and how many free ones it has; `fit`: to ramps;
    - `score`: log likelihood of held-out readings, a reading;
    - `behind`: how much less that is than of the best family, over all held-out readings, with its 90 %
      interval; `tied`: the interval reaches 0.
    """

    name: str
    parameters: int
    score: float
    behind: float
    low: float
    high: float
    fit: Fitted | None = None

    @property
    def tied(self) -> bool:
        """Whether the interval reaches the best family."""
        return self.low <= 0


def units(data: Data) -> tuple[list[np.ndarray], str]:
    """Sets of readings (n,) bool that are held out together, and how in words."""
    groups = list(dict.fromkeys((r.device, r.cycle) for r in data.ramps))
    where = np.concatenate([np.full(r.readings.size, groups.index((r.device, r.cycle))) for r in data.ramps])
    if len(groups) >= 3:
        return [where == k for k in range(len(groups))], "by cycle"
    out = []
    for a, b in pairwise(data.offsets):
        blocks = min(_BLOCKS, (b - a) // 5)
        cuts = np.linspace(a, b, blocks + 1).astype(int)
        for start, stop in pairwise(cuts):
            mask = np.zeros(data.y.size, dtype=bool)
            mask[start:stop] = True
            if np.isfinite(data.y[mask]).any():
                out.append(mask)
    return out, "by blocks of a ramp"


def ranked(fits: Sequence[Fitted], tell: Callable[[str], None]) -> tuple[list[Rank], str]:
    """Families from the best to the worst, and how readings were held out.

    The score of a held-out set is the log density of its readings given all others of their ramps, with the
    parameters of a fit without it.

    Args:
        fits: one of each family, on the same data.
        tell: called before each family with its name.
    """
    data = fits[0].data
    sets, how = units(data)
    folds = min(FOLDS, len(sets))
    scores = []
    for fit in fits:
        tell(fit.model.law.name)
        scores.append(_scores(fit, sets, folds))
    count = sum(int(np.isfinite(data.y[s]).sum()) for s in sets)
    names = [(fit.model.law.name, int(fit.free.sum())) for fit in fits]
    return ordered(names, np.array(scores), count, fits), how


def ordered(
    names: Sequence[tuple[str, int]],
    scores: np.ndarray,
    count: int,
    fits: Sequence[Fitted | None] | None = None,
) -> list[Rank]:
    """The ranking of scores (families, sets) of `count` readings, with intervals by the sets."""
    best, sets = int(scores.sum(1).argmax()), scores.shape[1]
    out = []
    for k, (name, parameters) in enumerate(names):
        gap = scores[best] - scores[k]
        half = stats.t.ppf(0.95, max(sets - 1, 1)) * gap.std(ddof=1) * np.sqrt(sets) if sets > 1 else np.inf
        total = float(gap.sum())
        fit = None if fits is None else fits[k]
        out.append(
            Rank(name, parameters, float(scores[k].sum()) / count, total, total - half, total + half, fit)
        )
    return sorted(out, key=lambda r: r.behind)


def _scores(fit: Fitted, sets: list[np.ndarray], folds: int) -> np.ndarray:
    data, model = fit.data, fit.model
    out = np.empty(len(sets))
    for fold in range(folds):
        mine = [k for k in range(len(sets)) if k % folds == fold]
        hidden = np.any([sets[k] for k in mine], axis=0)
        train = data.masked(hidden)
        p = fitted(model, train, [fit.p], iterations=60).p
        whole = model.evaluate(p, data)
        for k in mine:
            out[k] = whole - model.evaluate(p, data.masked(sets[k]))
    return out
