"""Which pulses of a minibatch are taken together, without regard to their order, in plain PyTorch.

**Groups.** n_u pulses up and n_d pulses down on an affine element, evenly mixed, are a relaxation at two
rates at once. With l = -log(1 - e) and f the fixed point of each direction (`affine`),

    L = n_u l_u + n_d l_d,   f = (n_u l_u f_u + n_d l_d f_d)/L,   m' = f + (m - f) exp(-L)
    additive noise:        v' = v exp(-2L) + (n_u r_u + n_d r_d) (1 - exp(-2L))/2L,
                           r = 2 l s^2/(1 - (1-e)^2)
    multiplicative noise:  v' = exp(-2L) (v exp(g) + (exp(g) - 1) h),   g = n_u g_u + n_d g_d,
                           g_u = log(1 + (s e/(1-e))^2),  h = exp(L) sum_i n_i g_i (m_half - f_i)^2/g,

m_half the mean after half of the group. In one direction this is what `affine` has, and exact. So the
samples of a minibatch can be counted, up and down, and each element moved once.

**What the order changes.** A pulse up and one down in the other order end apart by the same distance
wherever they start, c = e_u e_d (f_u - f_d), to first order in e. An order of n = n_u + n_d pulses differs
from the even mixture by as many c as half of its pairs (up before down) exceed those (down before up). Over
orders that are equally likely this number is 0 in the mean (a group is symmetric) and has the variance of
Mann and Whitney, n_u n_d (n + 1)/12. Pulses of one sample follow one another in one direction; if a pulse
has C in its sample on average, itself among them, then the variance is about

    C n_u n_d (n + C)/12,      C = 1 + sum_b D_b X_b/(T BL_b (BL_b - 1)),

with D_b (X_b) the sum over d-lines (x-lines) of k (k - 1), k a line's fires in the sample, and T all pulses
of the update: slots are alike, so that this is the number that fires lead one to expect. A minibatch is
taken to be in no particular order; one sorted so that all pulses up of an element come first would differ
by n_u n_d/2.

**The bound.** Let N_u and N_d be the pulses up and down of all elements of a row in its groups so far.
Additive noise has the variance s^2 (n_u up^2 + n_d down^2), at least n times that of the smaller step.
Multiplicative noise has at least, wherever the elements are,

    s^2 c^2 N_u N_d/(N_u e_u^2 + N_d e_d^2)  >=  s^2 c^2 min(N_u, N_d)/(2 e^2),     e = max(|e_u|, |e_d|),

its least value over w, if the elements with more pulses up are not just those near their upper bound.
Hence, in the sum over a row, the error of the order is at most the part `PART` of the standard deviation of
the noise if

    additive:        C sum n_u n_d (n + C)  <=  12 PART^2 s^2 (min(up, down)/c)^2 (N_u + N_d)
    multiplicative:  C sum n_u n_d (n + C)  <=  3 PART^2 s^2/e^2 2 min(N_u, N_d).

What stands before the pulses on the right is averaged over the array (`bound_of`), in units of c^2, without
its steepest elements: those with more than `STEEP` times the median of e are computed pulse by pulse (with
a spread of 30 % in steps and bounds one in 800). It is a bound on a row: an element that is k times as
steep as the average errs k times as much. The sums are of whole numbers, so that all back ends decide
alike.

**The rule.** Every row starts with groups of `first_size` samples. Where the bound would not hold with the
next group, groups become shorter from there on: half as long, or as short as they must be if half the
pulses are a quarter of the sum on the left. A row that would need groups shorter than `SMALLEST` goes in
the order of its samples from the start. So do elements without noise, with which nothing can be compared,
tabulated ones, arrays of fewer than `FEWEST`, and a single sample. Elements near a bound or coarse ones are
computed pulse by pulse, in order, as in `affine`; on its way a group may reach all its pulses up first, or
all those down.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...devices import Elements
from ..pulsing import SLOTS, Pulsing
from .affine import Passed, noisy

__all__ = [
    "FEWEST", "PART", "SMALLEST", "STEEP", "TINY", "Bound", "Groups", "bound_of", "collapse", "first_size",
    "groups_of", "steep",
]  # fmt: skip

#: largest error of the order, in standard deviations of the cycle-to-cycle noise
PART = 0.02
#: samples of the smallest group: shorter ones cost more than the samples in order
SMALLEST = 4
#: of elements whose pulses commute; infinity times no pulses would be no number
NO_LIMIT = 1e300
#: cells of the smallest array that is taken in groups: smaller ones cost more than in order
FEWEST = 64
#: e beyond which elements are not taken in groups, over the median of the array
STEEP = 16.0
#: instead of an exponent of zero, by which the mean could not be divided
TINY = 1e-30


class Bound(NamedTuple):
    """What the elements of an array say of the order of their pulses."""

    #: what stands before the pulses on the right
    limit: float
    #: largest |e| of an element that is taken in groups
    steep: float


class Groups(NamedTuple):
    """How the samples of an update are taken together."""

    #: samples of the first group, a power of two; 1 for all in order
    size: int
    #: pulses in the sample of a pulse, in the mean: C
    clump: float
    #: of the elements
    bound: Bound


def bound_of(elements: Elements) -> Bound:
    """The bound of an array. Its limit is 0 where order is kept, `NO_LIMIT` where it changes nothing."""
    if elements.form != "affine" or not noisy(elements):
        return Bound(0.0, float("inf"))
    e_up, e_down = _contractions(elements)
    e = torch.maximum(e_up.abs(), e_down.abs())
    steep = STEEP * float(e.median().numpy())  # elements are drawn on the host: no device is asked
    swap = (e_down * elements.up + e_up * elements.down).square()
    kept = (swap > 0) & (e <= steep)
    if not kept.numpy().any():
        return Bound(NO_LIMIT, float("inf"))
    if elements.noise == "additive":
        noise = 12 * torch.minimum(elements.up, elements.down).double().square()
    else:
        noise = 3 * swap / torch.where(kept, e, 1.0).square()
    ratio = torch.where(kept, noise, 0.0).sum() / torch.where(kept, swap, 0.0).sum()
    return Bound((PART * elements.noise_std) ** 2 * float(ratio.numpy()), steep)


def steep(elements: Elements, bound: Bound) -> Tensor:
    """Elements that are too steep for groups, bool of the planes' shape."""
    e_up, e_down = _contractions(elements)
    return torch.maximum(e_up.abs(), e_down.abs()) > bound.steep


def _contractions(elements: Elements) -> tuple[Tensor, Tensor]:
    """e of a pulse up and of one down."""
    up, down = elements.slope_up * elements.up.double(), elements.slope_down * elements.down.double()
    return up / elements.upper, down / -elements.lower


def first_size(pulses: int, samples: int, cells: int, clump: float, limit: float) -> int:
    """Samples of the largest groups that may hold the bound, by the mean number of pulses of a cell.

    Args:
        pulses: of the update; cells: of the array; clump: C; limit: of the elements.
    """
    size = 1
    while size < samples and cells >= FEWEST:
        n = 2.0 * size * pulses / (float(samples) * cells)
        if clump * n * (n + clump) > 2.0 * limit:
            break
        size *= 2
    return size if size >= min(SMALLEST, samples) else 1


def groups_of(
    xs: Tensor, ds: Tensor, bl: Tensor, counts: Tensor, elements: Elements, pulsing: Pulsing
) -> Groups:
    """The groups of an update, from its trains, bit lengths and coincidences."""
    samples, rows, cols = counts.shape
    bound = Bound(0.0, 0.0) if pulsing.order == "strict" else bound_of(elements)
    pulses, clump = int(counts.abs().sum()), 0.0
    for d, x, slots in zip(_pairs(ds).tolist(), _pairs(xs).tolist(), bl.tolist(), strict=True):
        clump += d * x / (slots * (slots - 1.0)) if slots > 1 else 0.0
    clump = 1.0 + clump / max(pulses, 1)
    return Groups(first_size(pulses, samples, rows * cols, clump, bound.limit), clump, bound)


def _pairs(trains: Tensor) -> Tensor:
    """Sum over the lines of k (k - 1), k the fires of a line; int64 (samples,)."""
    k = sum(((trains >> slot) & 1).sum(0) for slot in range(SLOTS))
    assert isinstance(k, Tensor)
    return (k * (k - 1)).sum(1)


def collapse(
    w: Tensor, elements: Elements, counts: Tensor, groups: Groups
) -> tuple[Tensor, Tensor, Passed, Tensor]:
    """As `affine.collapse`, in groups; and the rows that go in order instead, bool (rows, 1)."""
    samples, rows, _ = counts.shape
    row, start = torch.arange(rows), torch.zeros((1, *w.shape), dtype=torch.int64)
    ups = torch.cat([start, counts.clamp(min=0).cumsum(0)])
    downs = torch.cat([start, -counts.clamp(max=0).cumsum(0)])
    m, v, begin = w, torch.zeros_like(w), torch.zeros(rows, dtype=torch.int64)
    size = torch.full_like(begin, groups.size)
    passed = Passed(w, w, v, torch.zeros_like(w, dtype=torch.bool))
    sums = torch.zeros(3, rows, dtype=torch.float64)
    while bool((begin < samples).any()):
        end = (begin + size).clamp(max=samples)
        up, down = (n[end, row] - n[begin, row] for n in (ups, downs))
        own = _sums(up, down, groups.clump)
        holds = _holds(sums + own, elements, groups)
        take = holds & (begin < samples)
        n_up, n_down = (torch.where(take.unsqueeze(1), n, 0).double() for n in (up, down))
        m, v, passed = _advance(m, v, n_up, n_down, elements, passed)
        sums = torch.where(take, sums + own, sums)
        fits = holds.clone()
        while not fits.all():
            own[0] = torch.where(fits, own[0], own[0] / 4)
            size = torch.where(fits, size, size // 2)
            fits |= _holds(own, elements, groups) | (size < SMALLEST)
        begin = torch.where(take, end, begin)
        begin = torch.where(size < min(SMALLEST, samples), samples, begin)
    return m, v, passed, (size < min(SMALLEST, samples)).unsqueeze(1)


def _sums(up: Tensor, down: Tensor, clump: float) -> Tensor:
    """Of rows with these counts, int64 (rows, cols): the sum on the left without C, N_u and N_d; float64
    (3, rows)."""
    both = up * down
    order = (both * (up + down)).sum(1).double() + clump * both.sum(1).double()
    return torch.stack([order, up.sum(1).double(), down.sum(1).double()])


def _holds(sums: Tensor, elements: Elements, groups: Groups) -> Tensor:
    """Whether rows with these sums keep to the bound; bool (rows,)."""
    order, up, down = sums
    noise = up + down if elements.noise == "additive" else 2 * torch.minimum(up, down)
    return groups.clump * order <= groups.bound.limit * noise


def _advance(
    m: Tensor, v: Tensor, n_up: Tensor, n_down: Tensor, elements: Elements, passed: Passed
) -> tuple[Tensor, Tensor, Passed]:
    """Mean and variance after a group of pulses, evenly mixed."""
    down = torch.zeros_like(m, dtype=torch.bool)
    move_up, e_up = elements.tangent(m, down)
    move_down, e_down = elements.tangent(m, ~down)
    l_up, l_down = (-torch.log1p(-e) for e in (e_up, e_down))
    # n l (f - m): a flat slope has no fixed point, but l/e = 1
    way_up = n_up * move_up * _ratio(l_up, e_up)
    way_down = n_down * move_down * _ratio(l_down, e_down)
    total = n_up * l_up + n_down * l_down
    total = torch.where(total.abs() > TINY, total, TINY)
    change = (way_up + way_down) * -torch.expm1(-total) / total
    if elements.noise == "additive":
        rates = torch.zeros_like(m)
        for n, e, rate, size in ((n_up, e_up, l_up, elements.up), (n_down, e_down, l_down, elements.down)):
            rates = rates + n * (elements.noise_std * size.double()) ** 2 * _ratio(rate, e) / (1 - e / 2)
        v = v * torch.exp(-2 * total) - rates * torch.expm1(-2 * total) / (2 * total)
    else:
        half = (way_up + way_down) * -torch.expm1(-total / 2) / total  # on the way to the middle
        grow, h = torch.zeros_like(m), torch.zeros_like(m)
        for n, e, move in ((n_up, e_up, move_up), (n_down, e_down, move_down)):
            c = (elements.noise_std / (1 - e)) ** 2  # g = log(1 + c e^2), and e (f - w) is the move at w
            g_over = torch.where(e == 0, c, torch.log1p(c * e**2) / torch.where(e == 0, 1.0, e**2))
            grow, h = grow + n * g_over * e**2, h + n * g_over * (move - e * half) ** 2
        growth = torch.where(grow > TINY, torch.expm1(grow) / torch.where(grow > TINY, grow, 1.0), 1.0)
        v = torch.exp(-2 * total) * (v + growth * (grow * v + torch.exp(total) * h))
    highest = torch.maximum(torch.maximum(passed.mean_max, m + way_up), m + change)
    lowest = torch.minimum(torch.minimum(passed.mean_min, m + way_down), m + change)
    return m + change, v, Passed(highest, lowest, torch.maximum(passed.var_max, v), passed.beyond)


def _ratio(rate: Tensor, e: Tensor) -> Tensor:
    """-log(1 - e)/e, and 1 at e = 0."""
    return torch.where(e == 0, 1.0, rate / torch.where(e == 0, 1.0, e))
