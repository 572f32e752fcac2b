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

**Tables.** For a tabulated element one and e are those of its tangent, taken anew at the mean of every
sample: one = +-step q(m), e = -+step q'(m), with q' the chord of the table around m; an affine element is
the case in which that holds everywhere. Over a distance D a tangent is wrong by about q''/2 D^2, which the
table keeps below a tolerance within its reach (`ohmgrad.devices.table`). A sample's pulses are therefore
cut into runs, with a new tangent at the mean of each: a run of n pulses has

    (n - 1) |one| <= reach,  n |e| <= `BEND`,  n s^2 e^2/(1 - e)^2 <= `BEND`   (or n = 1),

where `BEND` is where the few terms of a series end that fast backends take for (1 - e)^n. Noise makes
the mean step wrong by q''/2 v: where `WIDE` sqrt(largest v) exceeds the least reach where the mean has
been, the element is replayed. So is one of measured steps with fewer pulses in the update than
`Table.gaussian` asks for where it starts: their sum is no Gaussian yet. (A replay draws each from the
distribution; the collapse takes its mean, and its variance where the middle pulse of each run starts.)

**The kink.** An element with unequally spread bounds stretches its table differently on the two sides of
w = 0: the slope jumps there by J. What a run spreads over, its path of (n - 1) one and the noise, is taken
as one Gaussian around the middle of the path, with variance v + path^2/12. With the distance a of the middle
from w = 0 in standard deviations s of it, positive on the side of m, the mean step is q + J s psi(a) away
from it, psi(a) = phi(a) - a (1 - Phi(a)), and noise sees the mean slope, with J (1 - Phi(a)) more. Of psi
the constants `KINK_HEIGHT` and `KINK_END` name a polynomial, and its derivative serves for 1 - Phi. So in
v above e is that of the mean slope, and (1 - e)^n is 1 - e times the sum for m.

Both the collapse and every single pulse exist here; responses given as callables use the latter.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..devices import Elements
from ..rng import Key, Purpose, box_muller, gaussians, philox, uniform
from .trains import SLOTS, Pulsing, line_settings, pulse_trains

__all__ = [
    "BEND",
    "COARSE",
    "KINK_END",
    "KINK_HEIGHT",
    "SAFETY",
    "WIDE",
    "apply_counts",
    "change",
    "coincidences",
    "pulsed_update",
    "trains",
]

#: standard deviations that must lie between the mean and a bound for the collapse to be used
SAFETY = 5.0
#: largest |e| of an affine element that is collapsed: two steps from zero to the bound, with room for the
#: rounding of a bound at exactly two steps
COARSE = 0.5 * (1 + 1e-6)
#: standard deviations that a tangent must reach: the mean step is then wrong by a quarter of the tolerance
WIDE = 2.0
#: largest n |e| of a run on a tangent: the fifth term of the series for (1 - e)^n is then below 10^-6 of
#: the move, which itself is at most a tenth of the range
BEND = 0.1
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
    unsafe &= _noisy(elements)
    if elements.form == "table":
        unsafe |= _beyond_tangents(start, elements, way)
    else:
        unsafe |= _coarse(elements)
    unsafe &= touched
    rows, cols = elements.shape
    z = gaussians(cols, torch.arange(rows), step, Purpose.UPDATE_NOISE, key)
    new = elements.clip(mean + var.sqrt() * z)
    if unsafe.any():
        new = torch.where(unsafe, _replay(start, elements, counts, unsafe, key, step), new)
    return torch.where(touched, new, start).to(w.dtype)


class _Way(NamedTuple):
    """What a collapse passed, each (rows, cols) float64: highest and lowest mean and largest variance,
    before and after every run; pulses."""

    high: Tensor
    low: Tensor
    peak: Tensor
    pulses: Tensor


def _noisy(elements: Elements) -> bool:
    return elements.noise_std > 0 or (elements.table is not None and elements.table.sd is not None)


def _coarse(elements: Elements) -> Tensor:
    """Where one pulse goes too far for the collapse of affine elements, bool of the planes' shape."""
    up = abs(elements.slope_up) * elements.up.double() > COARSE * elements.upper.double()
    return up | (abs(elements.slope_down) * elements.down.double() > -COARSE * elements.lower.double())


def _collapse(w: Tensor, elements: Elements, counts: Tensor) -> tuple[Tensor, Tensor, _Way]:
    """Mean and variance, (rows, cols) float64, and the way they took."""
    m, v, s = w, torch.zeros_like(w), elements.noise_std
    way = _Way(w, w, torch.zeros_like(w), torch.zeros_like(w))
    measured = elements.table is not None and elements.table.sd is not None
    for n in counts:
        down, left = n < 0, n.abs().double()
        way = way._replace(pulses=way.pulses + left)
        while bool((left > 0).any()):
            one, e = elements.tangent(m, down)
            k, mean_e = left, e
            if elements.form == "table":
                k = torch.minimum(left, _run(m, one, e, elements))
                one, mean_e = _over_the_kink(m, v, k, one, e, elements)
            left = left - k
            moves = _geometric(-e, k)  # sum_{i<k} (1-e)^i, which tends to k as e -> 0
            keep = 1 - mean_e * moves  # (1-e)^k
            if elements.noise == "additive" or measured:
                std, slope = elements.pulse_std(m, down)
                # where the middle pulse starts, if it changes on the way
                std = std + slope * one * (moves - 1).clamp(min=0) / 2
                v = v * keep**2 + std**2 * moves * (1 + keep) / (2 - mean_e)
            else:
                # r = (1-e)^2 (1 + c e^2), so that e = 0 is no special case
                c = (s / (1 - mean_e)) ** 2
                grown = c * _geometric(c * mean_e**2, k)
                v = keep**2 * (v + grown * (mean_e**2 * v + one**2))
            m = m + one * moves
            if not _noisy(elements):
                m = elements.clip(m)
            way = _Way(
                torch.maximum(way.high, m), torch.minimum(way.low, m), torch.maximum(way.peak, v), way.pulses
            )
    return m, v, way


def _run(m: Tensor, one: Tensor, e: Tensor, elements: Elements) -> Tensor:
    """Pulses that the tangent at m serves, at least 1; float64 (rows, cols)."""
    table = elements.table
    assert table is not None
    room = table.least(table.levels, elements.which.long(), *[elements.nominal(m)] * 2)
    far = one.abs() * _steepest(elements) * table.per_weight  # in intervals
    bend = e.abs()
    if elements.noise == "multiplicative":
        bend = torch.maximum(bend, (elements.noise_std * e / (1 - e)).square())
    most = torch.minimum(1 + room / far.clamp(min=1e-30), BEND / bend.clamp(min=1e-30))
    return most.nan_to_num(1.0).clamp(1, 1e6).floor()


def _steepest(elements: Elements) -> Tensor:
    """Largest stretch on either side of zero, of the planes' shape."""
    return torch.maximum(elements.stretch(torch.ones(1, 1)), elements.stretch(-torch.ones(1, 1)))


def _over_the_kink(
    m: Tensor, v: Tensor, k: Tensor, one: Tensor, e: Tensor, elements: Elements
) -> tuple[Tensor, Tensor]:
    """Mean step and mean e of a run of k pulses, with the kink at w = 0 on its way and in its noise."""
    here, sign = elements.stretch(m), torch.where(m >= 0, 1.0, -1.0)
    jump = e * (elements.stretch(-sign) / here - 1)  # of e, to the other side
    path = (k - 1).clamp(min=0) * one
    s = (v + path.square() / 12).sqrt()
    a = sign * (m + path / 2) / s.clamp(min=1e-30)
    near = (1 - a.abs() / KINK_END).clamp(min=0)
    beyond = s * (KINK_HEIGHT * near**3 + (-a).clamp(min=0))  # mean distance on the other side
    share = 3 * KINK_HEIGHT / KINK_END * near**2
    return one + sign * jump * beyond, e + jump * torch.where(a >= 0, share, 1 - share)


def _beyond_tangents(w: Tensor, elements: Elements, way: _Way) -> Tensor:
    """Where noise needs more than the tangents of a table, or a Gaussian more pulses; bool (rows, cols)."""
    table = elements.table
    assert table is not None
    which = elements.which.long()
    reach = table.least(table.levels, which, elements.nominal(way.low), elements.nominal(way.high))
    fine = WIDE * way.peak.sqrt() * _steepest(elements) * table.per_weight <= reach
    if table.gaussian is not None:
        place, _ = table.place(elements.nominal(w))
        fine &= way.pulses >= table.gaussian[which.expand(place.shape), place]
    return ~fine  # written so that what is not finite is replayed


def _geometric(minus_e: Tensor, k: Tensor) -> Tensor:
    """sum_{i<k} (1 + minus_e)^i = ((1 + minus_e)^k - 1) / minus_e, and k at minus_e = 0."""
    safe = torch.where(minus_e == 0, torch.ones_like(minus_e), minus_e)
    value = torch.expm1(k * torch.log1p(minus_e.clamp(min=-1 + 1e-15))) / safe
    return torch.where(minus_e == 0, k, value)


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


def change(w: Tensor, elements: Elements, x: Tensor, d: Tensor, lr: float) -> Tensor:
    """The discrete-time dynamics, sample by sample: w + dw F(w) - |dw| G(w), dw = lr d_b x_b^T.

    Wu et al. 2024, eq. 3, for any response; clipped at the bounds after each sample.

    Args:
        w: (rows, cols); x: (samples, cols); d: (samples, rows); lr: negative to descend.

    Returns:
        New weights, of the dtype of `w`.
    """
    new = w.double()
    for xb, db in zip(x.double(), d.double(), strict=True):
        dw = lr * torch.outer(db, xb)
        q = torch.where(dw >= 0, elements.q_plus(new), elements.q_minus(new))
        new = elements.clip(new + dw * q)
    return new.to(w.dtype)
