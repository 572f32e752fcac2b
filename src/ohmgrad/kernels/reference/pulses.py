"""The pulsed update in plain PyTorch, in float64: the specification that fast backends must match.

**The collapse.** One pulse on an affine element maps w to f + (w - f)(1 - e) plus noise, with the
fixed point f = bound/slope ahead and e = slope step/|bound|. With m and v the mean and variance of w,
n pulses in one direction give exactly

    m' = f + (m - f)(1 - e)^n
    additive noise of std s per pulse:         v' = v (1-e)^2n + s^2 (1 - (1-e)^2n) / (1 - (1-e)^2)
    multiplicative noise, step (1 + s xi):     v' = v r^n + (m - f)^2 (r^n - (1-e)^2n),
                                               r = (1-e)^2 + s^2 e^2

the last from E[(w' - f)^2] = r E[(w - f)^2]. With additive noise w stays Gaussian; with
multiplicative noise the first two moments are exact. So the pulses of a whole minibatch, in sample
order, cost one Gaussian per element at the end. Without noise, clipping after each sample is exact.
Elements so coarse that |e| is beyond `COARSE` in either direction are replayed pulse by pulse, with or
without noise: with e >= 1 one pulse reaches the bound, and clipping is no longer rare.
With noise, an element is replayed pulse by pulse if the highest or the lowest mean on its way came
within `SAFETY` standard deviations of a bound. The standard deviation is the largest on the way, not
the last: a direction that contracts makes v small again, but not what was clipped before undone.

**Tables.** The response of a tabulated element bends. Around an interval of its table it is a parabola, good
up to a distance that the table knows, its reach (`ohmgrad.devices.table`); an element takes that of the
interval where it starts, and another only where its mean leaves the reach. The pulses of a sample are then
one run on one line, the parabola's best for what the run spreads over: its path, taken as straight, and the
noise. Around the middle of the path, `half` away, they have the variance S,

    half = (n - 1)/2 one (1 - (n - 2)/2 e),   with one and e of the parabola at m,
    S = v + (n - 1)/2 s^2 + half^2/3,         with s the noise of one pulse there,

and the line has the parabola's slope in the middle, and its value there and g S more, where the parabola is
step(w + x) = one - e x + g x^2. So e and one of this line, at m, enter the sums above. Measured against
single pulses, on exponential and power responses of 60 to 1200 states, the mean is off by 0.2 to 3 in 10,000
of the way (rms; 6 samples of up to 31 pulses), the variance by less than 1 %.
A run holds if, with V the largest variance so far,

    |u(m) - middle| + `WIDE` sqrt(V) <= reach  after it,  n |e| <= `BEND`,
    n s^2 e^2/(1 - e)^2 <= `BEND`^2 with multiplicative noise,

u in intervals of the table and `BEND` where the few terms of a series end that fast backends take for
(1 - e)^n. If it does not hold, the parabola of the interval of m is taken; if it is that already, the run is
halved, and the next is tried twice as long as the last that held. A single pulse on the parabola of its own
interval is always taken, and then that of the next; where the noise around m reached beyond the former, the
element is replayed. So is one of measured steps with fewer pulses in the update than `Table.gaussian` asks
for where it starts: their sum is no Gaussian yet. (A replay draws each from the distribution; the collapse
takes its mean, and its variance in the middle of each run.)

**The kink.** An element with unequally spread bounds stretches its table differently on the two sides of
w = 0: the slope jumps there by J. What a run spreads over is taken as one Gaussian around the middle of the
path, with variance S. With the distance a of the middle from w = 0 in its standard deviations, the mean step
is J sqrt(S) psi(a) away, psi(a) = phi(a) - a (1 - Phi(a)), and the mean slope J (1 - Phi(a)). Of psi the
constants `KINK_HEIGHT` and `KINK_END` name a polynomial, and its derivative serves for 1 - Phi.

Both the collapse and every single pulse exist here; responses given as callables use the latter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...devices import Elements
from ...rng import Key, Purpose, box_muller, gaussians, philox, uniform
from ..cells import Cells
from ..checks import raise_not_finite, raise_too_many
from ..pulsing import SLOTS, Pulsing, line_settings, pulse_trains
from .mean import mean_counts

__all__ = [
    "BEND",
    "COARSE",
    "KINK_END",
    "KINK_HEIGHT",
    "SAFETY",
    "WIDE",
    "apply_counts",
    "apply_counts_",
    "coincidences",
    "pulsed_update",
    "pulsed_update_",
    "trains",
]

#: standard deviations that must lie between the mean and a bound for the collapse to be used
SAFETY = 5.0
#: largest |e| of an affine element that is collapsed: two steps from zero to the bound, with room for the
#: rounding of a bound at exactly two steps
COARSE = 0.5 * (1 + 1e-6)
#: standard deviations that a parabola must reach
WIDE = 2.0
#: largest n |e| of a run on a line: the sixth term of the series for the move is then 3 10^-6 of it
BEND = 0.3
#: psi(a) is within 0.006 of KINK_HEIGHT (1 - a/KINK_END)^3, and of 0 beyond KINK_END
KINK_HEIGHT, KINK_END = 0.3989, 2.5


def trains(
    x: Tensor, d: Tensor, lr: float, dw_min: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Trains of the x-lines and d-lines of all samples, as words (see `pulse_trains`), and BL."""
    bl, gain_x, gain_d = line_settings(x, d, lr, dw_min, pulsing)
    signed = d if lr >= 0 else -d
    xs = pulse_trains(x, gain_x, bl, pulsing.words, Purpose.X_TRAIN, key, step)
    ds = pulse_trains(signed, gain_d, bl, pulsing.words, Purpose.D_TRAIN, key, step)
    return xs, ds, bl


def coincidences(xs: Tensor, ds: Tensor) -> Tensor:
    """Signed coincidence counts, int64 (samples, rows, cols), from the words of `trains`."""
    both = xs.unsqueeze(2) & ds.unsqueeze(3)
    counts = sum((both >> slot) & 1 for slot in range(SLOTS))
    assert isinstance(counts, Tensor)
    sign = 1 - 2 * (((xs.unsqueeze(2) ^ ds.unsqueeze(3)) >> SLOTS) & 1)
    return (counts * sign).sum(0)


def apply_counts(w: Tensor, elements: Elements, counts: Tensor, fidelity: str, key: Key, step: int) -> Tensor:
    """Apply signed pulse counts, in sample order.

    Args:
        w: weights (rows, cols).
        elements: drawn for this shape.
        counts: int64 (samples, rows, cols); negative counts are pulses down.
        fidelity: "pulsed" (collapse where possible) or "pulse-by-pulse".
        key, step: address of the noise.

    Returns:
        New weights, of the dtype of `w`.
    """
    start = w.double()
    touched = (counts != 0).any(0)
    if fidelity == "pulse-by-pulse" or elements.form == "callable":
        return _replay(start, elements, counts, touched, key, step).to(w.dtype)
    mean, var, way = _collapse(start, elements, counts)
    spread = SAFETY * way.peak.sqrt()
    unsafe = (way.high + spread > elements.upper) | (way.low - spread < elements.lower)
    if elements.form == "table":
        unsafe |= way.beyond | _few_pulses(start, elements, counts)
    unsafe &= _noisy(elements)
    if elements.form == "affine":
        unsafe |= _coarse(elements)
    unsafe &= touched
    rows, cols = elements.shape
    z = gaussians(cols, torch.arange(rows), step, Purpose.UPDATE_NOISE, key)
    new = elements.clip(mean + var.sqrt() * z)
    if unsafe.any():
        new = torch.where(unsafe, _replay(start, elements, counts, unsafe, key, step), new)
    return torch.where(touched, new, start).to(w.dtype)


class _Way(NamedTuple):
    """What a collapse passed, each (rows, cols): highest and lowest mean and largest variance, float64,
    before and after every run; where noise reached beyond the parabola of a table or near a bound, bool: the
    way of a tabulated element ends there."""

    high: Tensor
    low: Tensor
    peak: Tensor
    beyond: Tensor


def _noisy(elements: Elements) -> bool:
    return elements.noise_std > 0 or _measured(elements)


def _coarse(elements: Elements) -> Tensor:
    """Where one pulse goes too far for the collapse of affine elements, bool of the planes' shape."""
    up = abs(elements.slope_up) * elements.up.double() > COARSE * elements.upper.double()
    return up | (abs(elements.slope_down) * elements.down.double() > -COARSE * elements.lower.double())


def _collapse(w: Tensor, elements: Elements, counts: Tensor) -> tuple[Tensor, Tensor, _Way]:
    """Mean and variance, (rows, cols) float64, and the way they took."""
    if elements.form == "table":
        return _collapse_table(w, elements, counts)
    m, v = w, torch.zeros_like(w)
    way = _Way(w, w, v, torch.zeros_like(w, dtype=torch.bool))
    for n in counts:
        down, k = n < 0, n.abs().double()
        one, e = elements.tangent(m, down)
        std = elements.pulse_std(m, down) if elements.noise == "additive" else None
        m, v = _advance(m, v, k, one, e, std, elements)
        high, low = torch.maximum(way.high, m), torch.minimum(way.low, m)
        way = _Way(high, low, torch.maximum(way.peak, v), way.beyond)
    return m, v, way


def _advance(
    m: Tensor, v: Tensor, k: Tensor, one: Tensor, e: Tensor, std: Tensor | None, elements: Elements
) -> tuple[Tensor, Tensor]:
    """Mean and variance after k pulses of step one - e x at m + x; std: of one pulse, None if it scales."""
    moves = _geometric(-e, k)  # sum_{i<k} (1-e)^i, which tends to k as e -> 0
    keep = 1 - e * moves  # (1-e)^k
    if std is not None:
        sums = moves * (1 + keep) / (2 - e)
        v = v * keep**2 + std**2 * torch.where(k == 1, moves, sums)
    else:
        # r = (1-e)^2 (1 + c e^2), so that e = 0 is no special case
        c = (elements.noise_std / (1 - e)) ** 2
        grown = c * _geometric(c * e**2, k)
        step = e**2 * v + one**2
        v = torch.where(k == 1, keep**2 * v + elements.noise_std**2 * step, keep**2 * (v + grown * step))
    m = m + one * moves
    return (m if _noisy(elements) else elements.clip(m)), v


def _collapse_table(start: Tensor, elements: Elements, counts: Tensor) -> tuple[Tensor, Tensor, _Way]:
    """`_collapse` by parabolas, of the elements that pulses reach, as one row."""
    table = elements.table
    assert table is not None
    row, col = torch.nonzero((counts != 0).any(0), as_tuple=True)
    every, which = elements.at(row, col), elements.which.long().expand(start.shape)[row, col]
    m, none = start[row, col], torch.zeros(len(row), dtype=torch.float64)
    state = torch.stack([m, none, m, m, none])  # mean, variance, highest, lowest, largest variance
    place, _ = table.place(every.nominal(state[0]))
    beyond, noisy = torch.zeros_like(place, dtype=torch.bool), _noisy(elements)
    for n in counts[:, row, col]:
        left = n.abs().double()
        k = left.clone()
        while True:
            at = torch.nonzero((left > 0) & ~beyond).squeeze(1)
            if not len(at):
                break
            cells = every.map(lambda plane, at=at: plane[at])
            m, v, high, low, peak = state[:, at]
            here, reach, run = place[at], table.reach[which[at], place[at]], k[at]
            one, e, std, bend = _line(m, v, run, n[at] < 0, here, cells)
            new, var = _advance(m, v, run, one, e, std, cells)
            peak = torch.maximum(peak, var)
            noise = WIDE * _steepest(cells) * table.per_weight * peak.sqrt()
            holds = table.away(here, cells.nominal(new)).abs() + noise <= reach
            holds &= (bend <= BEND) | (run <= 1)
            (own, _), (ahead, _) = (table.place(cells.nominal(w)) for w in (m, new))
            take = holds | ((run <= 1) & (here == own))  # a single pulse there has no other way
            after = torch.stack([new, var, torch.maximum(high, new), torch.minimum(low, new), peak])
            state[:, at] = torch.where(take, after, state[:, at])
            if noisy:  # what is to be replayed goes no further
                fine = holds | (table.away(here, cells.nominal(m)).abs() + noise <= reach)
                spread = SAFETY * peak.sqrt()
                fine &= (new + spread <= cells.upper) & (new - spread >= cells.lower)
                beyond[at] = take & ~fine
            left[at] = torch.where(take, left[at] - run, left[at])
            shorter = torch.where(here == own, (run / 2).floor().clamp(min=1), run)
            k[at] = torch.where(take, torch.minimum(left[at], 2 * run), shorter)
            place[at] = torch.where(holds, here, torch.where(take, ahead, own))
    m, v, high, low, peak = start.unsqueeze(0) * torch.tensor([1.0, 0, 1, 1, 0]).view(-1, 1, 1)
    for plane, value in zip((m, v, high, low, peak), state, strict=True):
        plane[row, col] = value
    flag = torch.zeros_like(start, dtype=torch.bool)
    flag[row, col] = beyond
    return m, v, _Way(high, low, peak, flag)


def _line(
    m: Tensor, v: Tensor, k: Tensor, down: Tensor, place: Tensor, elements: Elements
) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
    """The line of a run of k pulses: one and e at m, standard deviation of a pulse if it does not scale with
    its step, and what must be at most `BEND`."""
    multiplicative = elements.noise == "multiplicative" and not _measured(elements)
    one, e, _ = elements.parabola(m, down, place)
    before = ((k - 1) / 2).clamp(min=0)  # pulses before the middle
    half = before * one * (1 - (before - 0.5) * e)
    middle = m + half
    at, bent, g = elements.parabola(middle, down, place)
    std = elements.noise_std * at if multiplicative else elements.pulse_std(middle, down, place)
    spread = v + before * std.square() + half.square() / 3
    at, mean_e = _over_the_kink(middle, spread, at + g * spread, bent, elements)
    bend = k * torch.maximum(e.abs(), mean_e.abs())
    if multiplicative:
        bend = torch.maximum(bend, k * (elements.noise_std * mean_e / (1 - mean_e)).square() / BEND)
    return at + mean_e * half, mean_e, None if multiplicative else std, bend


def _over_the_kink(
    middle: Tensor, spread: Tensor, one: Tensor, e: Tensor, elements: Elements
) -> tuple[Tensor, Tensor]:
    """Mean step and mean e around the middle of a run, with the kink at w = 0 within what it spreads over."""
    here, sign = elements.stretch(middle), torch.where(middle >= 0, 1.0, -1.0)
    jump = e * (elements.stretch(-sign) / here - 1)  # of e, to the other side
    s = spread.sqrt()
    near = (1 - middle.abs() / s.clamp(min=1e-30) / KINK_END).clamp(min=0)
    beyond = s * KINK_HEIGHT * near**3  # mean distance on the other side
    share = 3 * KINK_HEIGHT / KINK_END * near**2
    return one + sign * jump * beyond, e + jump * share


def _steepest(elements: Elements) -> Tensor:
    """Largest stretch on either side of zero, of the planes' shape."""
    return torch.maximum(elements.stretch(torch.ones(())), elements.stretch(-torch.ones(())))


def _measured(elements: Elements) -> bool:
    return elements.table is not None and elements.table.sd is not None


def _few_pulses(w: Tensor, elements: Elements, counts: Tensor) -> Tensor:
    """Where measured elements at w have too few pulses for a Gaussian; bool (rows, cols)."""
    table = elements.table
    assert table is not None
    if table.gaussian is None:
        return torch.zeros_like(w, dtype=torch.bool)
    place, _ = table.place(elements.nominal(w))
    return counts.abs().sum(0) < table.gaussian[elements.which.long().expand(place.shape), place]


def _geometric(minus_e: Tensor, k: Tensor) -> Tensor:
    """sum_{i<k} (1 + minus_e)^i = ((1 + minus_e)^k - 1) / minus_e, and k at minus_e = 0.

    One pulse may contract by any e, also beyond 1; more only where e is below 1.
    """
    safe = torch.where(minus_e == 0, torch.ones_like(minus_e), minus_e)
    value = torch.expm1(k * torch.log1p(minus_e.clamp(min=-1 + 1e-15))) / safe
    return torch.where((minus_e == 0) | (k == 1), k, value)


def _replay(w: Tensor, elements: Elements, counts: Tensor, which: Tensor, key: Key, step: int) -> Tensor:
    """Every single pulse of the elements `which` (rows, cols), with its own noise and clipping."""
    row, col = torch.nonzero(which & (counts != 0).any(0), as_tuple=True)
    cells, here = elements.at(row, col), w[row, col]
    index = torch.zeros_like(row)  # number of pulses an element has had in this update
    most = int(counts.abs().sum(0)[row, col].max()) if elements.noise_std and len(row) else 0
    table = elements.table if elements.form == "table" else None
    measured = table is not None and table.steps is not None
    if measured:
        most = int(counts.abs().sum(0)[row, col].max()) if len(row) else 0
    z = _pulse_noise(row, col, most, step, key, measured)
    for n in counts:
        left = n[row, col]
        while bool((left != 0).any()):
            rising, busy = left > 0, left != 0
            if measured:
                assert table is not None
                u = z.gather(1, index.clamp(max=most - 1).unsqueeze(1)).squeeze(1)
                down = (~rising).long()
                dw = table.draw(cells.which.long(), down, cells.nominal(here), u)
                unit = torch.where(rising, elements.unit_up, -elements.unit_down)
                dw = dw * torch.where(rising, cells.up, cells.down) / unit
            else:
                dw = elements.dw_min * torch.where(rising, cells.q_plus(here), -cells.q_minus(here))
            if elements.noise_std:
                xi = z.gather(1, index.clamp(max=most - 1).unsqueeze(1)).squeeze(1)
                scale = (
                    dw if elements.noise == "multiplicative" else torch.where(rising, cells.up, cells.down)
                )
                dw = dw + elements.noise_std * scale * xi
            here = torch.where(busy, cells.clip(here + dw), here)
            index = index + busy.long()
            left = left - left.sign()
    w = w.clone()
    w[row, col] = here
    return w


def _pulse_noise(row: Tensor, col: Tensor, pulses: int, step: int, key: Key, measured: bool) -> Tensor:
    """Gaussians of the first pulses of the elements at (row, col), (k, >= pulses): four share a block; of
    measured elements uniform numbers in their place."""
    purpose = Purpose.MEASURED_STEP if measured else Purpose.PULSE_NOISE
    block = purpose | (torch.arange(-(-pulses // 4)) << 8)
    a, b, c, d = philox(col.unsqueeze(1), row.unsqueeze(1), step, block, key)
    drawn = [uniform(n) for n in (a, b, c, d)] if measured else [*box_muller(a, b), *box_muller(c, d)]
    return torch.stack(drawn, -1).flatten(1)


def pulsed_update(
    w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, key: Key, step: int
) -> tuple[Tensor, list[int]]:
    """One update by stochastic pulses, dw = lr sum_b d_b x_b^T in expectation, to first order.

    Args:
        w: weights (rows, cols); x: (samples, cols); d: (samples, rows).
        lr: learning rate, negative to descend.

    Returns:
        New weights, and the events: pulses up, pulses down, line toggles, slots.
    """
    xs, ds, bl = trains(x, d, lr, elements.dw_min, pulsing, key, step)
    counts = coincidences(xs, ds)
    up, down = int(counts.clamp(min=0).sum()), int(-counts.clamp(max=0).sum())
    lit = (ds != 0).any(2).any(0)  # without a firing d-line the x-lines are not driven at all
    toggles = sum(int(((train >> slot) & 1).sum()) for train in (xs[:, lit], ds) for slot in range(SLOTS))
    new = apply_counts(w, elements, counts, pulsing.fidelity, key, step)
    return new, [up, down, toggles, int(bl.sum())]


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`."""
    if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        raise_not_finite(x, d)
    elements, key, number = cells.elements[0], cells.keys[0], int(step)
    if touched is not None:
        xs, ds, _ = trains(x, d, lr, elements.dw_min, pulsing, key, number)
        touched |= (coincidences(xs, ds) != 0).any(0)
    new, added = pulsed_update(w, elements, x, d, lr, pulsing, key, number)
    w.copy_(new)
    events += torch.tensor(added)


def apply_counts_(
    w: Tensor, cells: Cells, counts: Tensor, fidelity: str, step: Tensor, events: Tensor | None, most: int
) -> None:
    """As `ops.apply_counts_`."""
    low, high = (int(end) for end in counts.aminmax())
    if low < -most or high > most:
        raise_too_many(low, high, most)
    elements = cells.elements[0]
    if fidelity == "mean":
        w.copy_(mean_counts(w, elements, counts))
    else:
        w.copy_(apply_counts(w, elements, counts.unsqueeze(0), fidelity, cells.keys[0], int(step)))
    if events is not None:
        events[0] += counts.clamp(min=0).sum()
        events[1] -= counts.clamp(max=0).sum()
