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
wherever they start, c = e_u e_d (f_u - f_d). An order of n = n_u + n_d pulses differs from the even mixture
by as many c as half of its pairs (up before down) exceed those (down before up), where L is small. In general
a pulse i of n moves an element by h more than the mixture if it goes up, and that is left of it at the end by
exp(-L (1 - i/n)) h(w_i), whose derivative by i is c exp(-L (1 - i/n)), whatever the weight. Over orders that
are equally likely, all this is 0 in the mean, and its variance is that of a sum drawn without replacement,

    single pulses:   n_u n_d (n + 1) c^2 V(L)
    samples:         (Q_u Q_d + n_d^2 Q_u + n_u^2 Q_d) c^2 V(L)  ~  C n_u n_d (n + C) c^2 V(L),
    V(L) = (1 - exp(-2L))/2L^3 - (1 - exp(-L))^2/L^4  ~  exp(-L) (1 + L^2/15)/12,

at L = 0 the law of Mann and Whitney. Q_u and Q_d sum the squares of the pulses of one sample, which follow
one another in one direction, and C is the pulses that a pulse has in its sample on average, itself included:

    C = 1 + sum_b D_b X_b/(T BL_b (BL_b - 1)),

with D_b (X_b) the sum over d-lines (x-lines) of k (k - 1), k a line's fires in the sample, and T all pulses
of the update: slots are alike, so that this is the number that fires lead one to expect. **This variance is
added to v**: mean and variance of every element are those of samples in random order. The mean is off by
C n_u n_d c (e_u - e_d)/12 only, some thousandths of the noise. What is not kept is that elements on one line
share the order of samples, so that this part of their variance is correlated: here it is independent.

**The bound.** The order's variance, summed over the array, is at most the part `PART`^2 of that of the noise.
Additive noise has the variance s^2 (n_u up^2 + n_d down^2), at least n times that of the smaller step.
Multiplicative noise has at least, wherever the elements are and with as many pulses up as down,

    s^2 c^2 n/(4 e^2),     e = max(|e_u|, |e_d|),

its least value over w. With n_u n_d <= n^2/4 the bound holds with g groups if

    additive:        C sum n^2/4 (n/g + C)/g  <=  12 PART^2 s^2 (min(up, down)/c)^2 T
    multiplicative:  C sum n^2/4 (n/g + C)/g  <=   3 PART^2 s^2/e^2 T,

where n are the pulses of an element in all groups: n = T M_i N_j/(sum M sum N), with M_i and N_j the fires of
its lines. What stands before T on the right is averaged over the array (`bound_of`), in units of c^2, without
its steepest elements: those with more than `STEEP` times the median of e are computed pulse by pulse (with
a spread of 30 % in steps and bounds one in 800).

**The rule.** An update has the smallest number of groups that keeps to the bound, of equally many samples. If
they would be smaller than `SMALLEST` it goes in the order of its samples. So do elements without noise, with
which nothing can be compared, tabulated ones, arrays of fewer than `FEWEST`, and a single sample. Elements
near a bound or coarse ones are computed pulse by pulse, in order, as in `affine`: on the way of a group the
order has at most the variance C n_u n_d h^2/4n, in its middle.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ...devices import Elements
from ..pulsing import SLOTS, Pulsing
from .affine import Passed, noisy

__all__ = [
    "FEWEST", "PART", "SMALLEST", "STEEP", "TINY", "Bound", "Groups", "bound_of", "collapse", "groups_of",
    "size_of", "steep",
]  # fmt: skip

#: largest standard deviation of the order, in those of the cycle-to-cycle noise
PART = 0.1
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
#: cells that are looked at together: what is computed of them takes several times their memory
_BLOCK = 2**20


class Bound(NamedTuple):
    """What the elements of an array say of the order of their pulses."""

    #: what stands before the pulses on the right
    limit: float
    #: largest |e| of an element that is taken in groups
    steep: float


class Groups(NamedTuple):
    """How the samples of an update are taken together."""

    #: samples of a group; the last may have fewer. 1 for all in order
    size: int
    #: pulses in the sample of a pulse, in the mean: C
    clump: float
    #: of the elements
    bound: Bound


def bound_of(elements: Elements) -> Bound:
    """The bound of an array. Its limit is 0 where order is kept, `NO_LIMIT` where it changes nothing."""
    if elements.form != "affine" or not noisy(elements):
        return Bound(0.0, float("inf"))
    planes = torch.broadcast_tensors(elements.up, elements.down, elements.upper, elements.lower)
    rows, cols = planes[0].shape
    every = -(-rows * cols // _BLOCK)
    sample = [t.abs() for t in _contractions(elements, slice(None, None, every))]
    # elements are drawn on the host: no device is asked
    steep = STEEP * float(torch.maximum(*sample).median().numpy())
    noises, swaps, some = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64), False
    for start in range(0, rows, at_once := max(1, _BLOCK // cols)):
        noise, swap, kept = _noise_and_swap(elements, steep, slice(start, start + at_once))
        some = some or bool(kept.numpy().any())
        noises = noises + torch.where(kept, noise, 0.0).sum()
        swaps = swaps + torch.where(kept, swap, 0.0).sum()
    if not some:
        return Bound(NO_LIMIT, float("inf"))
    return Bound((PART * elements.noise_std) ** 2 * float((noises / swaps).numpy()), steep)


def _noise_and_swap(elements: Elements, steep: float, rows: slice) -> tuple[Tensor, Tensor, Tensor]:
    """Of some rows: what noise and order do to an element, and whether it is taken in groups."""
    e_up, e_down = _contractions(elements, rows)
    up, down = (_of(plane, rows) for plane in (elements.up, elements.down))
    swap = (e_down * up + e_up * down).square()
    e = torch.maximum(e_up.abs(), e_down.abs())
    kept = (swap > 0) & (e <= steep)
    if elements.noise == "additive":
        return 12 * torch.minimum(up, down).double().square(), swap, kept
    return 3 * swap / torch.where(kept, e, 1.0).square(), swap, kept


def steep(elements: Elements, bound: Bound) -> Tensor:
    """Elements that are too steep for groups, bool of the planes' shape."""
    e_up, e_down = _contractions(elements)
    return torch.maximum(e_up.abs(), e_down.abs()) > bound.steep


def _of(plane: Tensor, rows: slice) -> Tensor:
    """Some rows of a plane, which may be one value for all."""
    return plane[rows] if plane.shape[0] > 1 else plane


def _contractions(elements: Elements, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
    """e of a pulse up and of one down, of some rows."""
    names = ("up", "down", "upper", "lower")
    up, down, upper, lower = (_of(getattr(elements, name), rows) for name in names)
    return elements.slope_up * up.double() / upper, elements.slope_down * down.double() / -lower


def size_of(
    pulses: float, samples: int, cells: int, clump: float, limit: float, squares: float, cubes: float
) -> int:
    """Samples of a group.

    Args:
        pulses: T; cells: of the array; clump: C; limit: of the elements.
        squares, cubes: of the pulses of an element over T, summed over the elements.
    """
    smallest = min(SMALLEST, samples)
    if cells < FEWEST or limit <= 0.0:
        return 1
    n_2, n_3, groups = squares * pulses * pulses, cubes * pulses * pulses * pulses, 1
    while clump * 0.25 * (n_3 / groups + clump * n_2) / groups > limit * pulses:
        groups += 1
        if groups * smallest > samples:
            return 1
    return -(-samples // groups)


def groups_of(
    xs: Tensor, ds: Tensor, bl: Tensor, counts: Tensor, elements: Elements, pulsing: Pulsing
) -> Groups:
    """The groups of an update, from its trains, bit lengths and coincidences."""
    samples, rows, cols = counts.shape
    bound = Bound(0.0, 0.0) if pulsing.order == "strict" else bound_of(elements)
    x, d, pulses, clump = _fires(xs), _fires(ds), float(counts.abs().sum()), 0.0
    both = (x.sum(1) > 0) & (d.sum(1) > 0)
    for k, n, slots in zip(_pairs(d).tolist(), _pairs(x).tolist(), bl.tolist(), strict=True):
        clump += k * n / (slots * (slots - 1.0)) if slots > 1 else 0.0
    clump = 1.0 + clump / max(pulses, 1.0)
    of_x, of_d = x[both].sum(0).double(), d[both].sum(0).double()
    squares, cubes = (_evenness(of_x, k) * _evenness(of_d, k) for k in (2, 3))
    return Groups(size_of(pulses, samples, rows * cols, clump, bound.limit, squares, cubes), clump, bound)


def _fires(trains: Tensor) -> Tensor:
    """Slots in which lines fire, int64 (samples, lines)."""
    k = sum(((trains >> slot) & 1).sum(0) for slot in range(SLOTS))
    assert isinstance(k, Tensor)
    return k


def _pairs(k: Tensor) -> Tensor:
    """Sum over the lines of k (k - 1), k the fires of a line; int64 (samples,)."""
    return (k * (k - 1)).sum(1)


def _evenness(fires: Tensor, power: int) -> float:
    """Sum of powers of the fires of lines, over that power of their sum."""
    return float((fires / fires.sum().clamp(min=1)).pow(power).sum())


def collapse(w: Tensor, elements: Elements, counts: Tensor, groups: Groups) -> tuple[Tensor, Tensor, Passed]:
    """As `affine.collapse`, in groups."""
    m, v = w, torch.zeros_like(w)
    passed = Passed(w, w, v, steep(elements, groups.bound).expand(w.shape))
    for n in counts.split(groups.size):
        n_up, n_down = n.clamp(min=0).sum(0).double(), -n.clamp(max=0).sum(0).double()
        m, v, passed = _advance(m, v, n_up, n_down, groups.clump, elements, passed)
    return m, v, passed


def _advance(
    m: Tensor, v: Tensor, n_up: Tensor, n_down: Tensor, clump: float, elements: Elements, passed: Passed
) -> tuple[Tensor, Tensor, Passed]:
    """Mean and variance after a group of pulses in random order."""
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
        after = v * torch.exp(-2 * total) - rates * torch.expm1(-2 * total) / (2 * total)
    else:
        half = (way_up + way_down) * -torch.expm1(-total / 2) / total  # on the way to the middle
        grow, h = torch.zeros_like(m), torch.zeros_like(m)
        for n, e, move in ((n_up, e_up, move_up), (n_down, e_down, move_down)):
            c = (elements.noise_std / (1 - e)) ** 2  # g = log(1 + c e^2), and e (f - w) is the move at w
            g_over = torch.where(e == 0, c, torch.log1p(c * e**2) / torch.where(e == 0, 1.0, e**2))
            grow, h = grow + n * g_over * e**2, h + n * g_over * (move - e * half) ** 2
        growth = torch.where(grow > TINY, torch.expm1(grow) / torch.where(grow > TINY, grow, 1.0), 1.0)
        after = torch.exp(-2 * total) * (v + growth * (grow * v + torch.exp(total) * h))
    both, n = clump * n_up * n_down, n_up + n_down
    swap = e_down * elements.up.double() + e_up * elements.down.double()
    after = after + both * (n + clump) / 12 * swap**2 * torch.exp(-total) * (1 + total**2 / 15)
    on_the_way = both / (4 * n.clamp(min=1)) * (move_up - move_down) ** 2
    highest, lowest = torch.maximum(passed.mean_max, m + change), torch.minimum(passed.mean_min, m + change)
    largest = torch.maximum(passed.var_max, torch.maximum(v, after) + on_the_way)
    return m + change, after, Passed(highest, lowest, largest, passed.beyond)


def _ratio(rate: Tensor, e: Tensor) -> Tensor:
    """-log(1 - e)/e, and 1 at e = 0."""
    return torch.where(e == 0, 1.0, rate / torch.where(e == 0, 1.0, e))
