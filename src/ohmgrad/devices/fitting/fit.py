"""Measured pulses to a device: every family fitted, ranked, and the chosen one with its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...errors import InputError, check_choice
from ..device import Device
from .build import device_of
from .estimates import Estimate, estimates
from .laws import LAWS
from .marginal import corrected
from .model import TABLES, Data, Fitted, Model, fitted
from .pulses import Pulses, StepTable, Understood
from .ranking import Rank, ranked
from .spread import device_spread

__all__ = ["Fit", "Progress", "fit_pulses", "fitted_family"]

#: (done, total, what is done now)
Progress = Callable[[int, int, str], None]
#: gain in log likelihood from which a hard bound is believed: twice what one parameter needs, for a ramp that
#: begins where another ended counts the state there once more
_BOUND = 6.0
#: gain from which one kind of cycle-to-cycle noise is believed
_KIND = 1.35


@dataclass(frozen=True)
class Fit:
    """A fit of ramps.

    - `pulses`: what was read; `ranking`: families from best to worst; `held_out`: how they were compared;
    - `best`: the chosen family's fit; `chosen`: why, in words; `estimates`: its figures;
    - `noise`: what was said of the kinds of noise; `device`: the device.

    Of a table of steps `pulses` is None, `table` is what was read, and `best` None.
    """

    said: tuple[Understood, ...]
    ranking: tuple[Rank, ...]
    held_out: str
    family: str
    chosen: str
    noise: str
    estimates: tuple[Estimate, ...]
    device: Device
    pulses: Pulses | None = None
    best: Fitted | None = None
    table: StepTable | None = None


def fit_pulses(
    pulses: Pulses, families: Sequence[str] | None = None, progress: Progress | None = None
) -> Fit:
    """Fit families to ramps, rank them by readings held out, and choose one.

    Of the families that are not told apart from the best (their 90 % intervals reach it), the one with the
    lowest Bayesian information criterion is chosen.

    Args:
        pulses: as `read` gives them.
        families: only these; by default all of `LAWS`.
        progress: told how far the fit is.

    Raises:
        InputError: when a family is unknown, or there are too few readings.
    """
    names = list(families) if families else list(LAWS)
    for name in names:
        check_choice("family", name, LAWS)
    data = Data(pulses.weights().ramps)
    if data.count < 20:
        raise InputError(
            f"there are {data.count} readings in all, but a fit needs at least 20: give longer ramps"
        )
    total, done = 2 * len(names) + 3, 0

    def tell(what: str) -> None:
        nonlocal done
        if progress is not None:
            progress(done, total, what)
        done += 1

    tell("kind of noise")
    steps, words = _kind_of_noise(data)
    kind, slow = steps.model.kind, steps.model.slow
    fits = []
    for name in names:
        tell(f"fit {name}")
        fits.append(fitted_family(name, kind, slow, data, steps.p))
    ranking, how = ranked(fits, lambda name: tell(f"rank {name}"))
    best, chosen = _chosen(ranking)
    best = corrected(best)
    tell("intervals")
    spread = device_spread(best)
    figures = estimates(best, spread)
    tell("device")
    device = device_of(best, spread)
    if progress is not None:
        progress(total, total, "done")
    name = best.model.law.name
    return Fit(pulses.said, tuple(ranking), how, name, chosen, words, tuple(figures), device, pulses, best)


def _kind_of_noise(data: Data) -> tuple[Fitted, str]:
    """Piecewise steps with the kind of cycle-to-cycle noise, and with or without slow read noise, as the
    Bayesian information criterion has it; and how sure that is, in words."""
    law = LAWS["piecewise_step"]
    found: dict[tuple[str, bool], Fitted] = {}
    white = fitted(Model(law), data)
    for slow in (False, True) if data.has_long_ramps() else (False,):
        for kind in ("additive", "multiplicative"):
            model = Model(law, kind, slow)
            # of the others only the noise is begun anew
            starts = [np.array([*white.p, *s[white.p.size :]]) for s in model.starts(data.scale)[:1]]
            found[kind, slow] = white if (kind, slow) == ("additive", False) else fitted(model, data, starts)
    kind, slow = min(found, key=lambda key: found[key].bic)
    other = "multiplicative" if kind == "additive" else "additive"
    gap = found[kind, slow].loglik - found[other, slow].loglik
    if gap < _KIND:
        kind = "additive"
        words = "additive and multiplicative cycle-to-cycle noise are not told apart: additive is taken"
    else:
        words = f"cycle-to-cycle noise is {kind} (log likelihood {gap:.1f} above the other kind)"
    if len(found) > 2:
        gain = found[kind, True].loglik - found[kind, False].loglik
        words += f"; slow read noise is {'seen' if slow else 'not seen'} (log likelihood {gain:+.1f})"
    return found[kind, slow], words


def fitted_family(name: str, kind: str, slow: bool, data: Data, steps: np.ndarray | None = None) -> Fitted:
    """A family at its maximum; with hard bounds where they make the readings more likely.

    Args:
        steps: parameters of piecewise steps, from which families that are values at nodes begin; or None.
    """
    law = LAWS[name]
    model = Model(law, kind, slow)
    starts = model.starts(data.scale)
    if name in TABLES and steps is not None:
        starts = [model.from_piecewise(steps)]
    free = fitted(model, data, starts)
    if not law.hard:
        return free
    both = replace(model, upper=True, lower=True)
    best = fitted(both, data, [np.array([*free.p, data.scale.high, data.scale.low])], iterations=100)
    for side in ("upper", "lower"):  # one that readings do not need is no bound
        start = np.delete(best.p, best.model.names.index(side))
        without = fitted(replace(best.model, **{side: False}), data, [start], iterations=100)
        if without.loglik > best.loglik - _BOUND:
            best = without
    return best if best.model.upper or best.model.lower else free


def _chosen(ranking: Sequence[Rank]) -> tuple[Fitted, str]:
    """The family to take, and why."""
    tied = [r.fit for r in ranking if r.tied and r.fit is not None]
    best = min(tied, key=lambda fit: fit.bic)
    name = best.model.law.name
    others = [fit.model.law.name for fit in tied if fit is not best]
    if len(ranking) == 1:
        return best, f"{name}: the only family that was tried"
    if not others:
        return best, f"{name}: it foretells held-out readings best"
    words = f"{name}: of {len(tied)} families that these data do not tell apart it has the lowest BIC"
    return best, f"{words} (the others: {', '.join(others)})"
