"""Properties of updates by pulses, for devices, shapes, settings and values of many sizes.

Of both back ends: weights stay within their elements' bounds, finite input gives finite weights, trains and
events are the same to the bit, weights to rounding; and where a response has corners, at which rounding may
choose the other side, in law.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy
from torch import Tensor

from ohmgrad import AnalogLinear, AnalogSGD, InputError, Pulsing, Tile
from ohmgrad.devices import (
    AbstractResponse,
    ConstantStep,
    Device,
    Elements,
    ExpBounds,
    ExpStep,
    LinearStep,
    Noise,
    PiecewiseStep,
    PowStep,
    SoftBounds,
    Spread,
    draw,
)
from ohmgrad.kernels import Cells
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key
from tests.fuzz.running import Fuzzed
from tests.updates import draw_trains, pulsed_update_

__all__ = ["PROPERTIES"]

STEP = 7


def between(low: float, high: float) -> SearchStrategy[float]:
    """Numbers evenly on a logarithmic scale."""
    return st.floats(0, 1).map(lambda u: float(low * (high / low) ** u))


bounds = st.tuples(st.floats(-1.5, -0.2), st.floats(0.2, 1.5))
size = st.floats(0.5, 1.5)
affine: SearchStrategy[AbstractResponse] = st.one_of(
    st.builds(lambda b, up, down: SoftBounds(*b, up=up, down=down), bounds, size, size),
    st.builds(lambda b, up, down: ConstantStep(*b, up=up, down=down), bounds, size, size),
    st.builds(
        lambda b, s, t, up, down: LinearStep(*b, slope_up=s, slope_down=t, up=up, down=down),
        bounds, st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), size, size,
    ),
)  # fmt: skip
shape, power = between(0.1, 5.0), between(0.6, 5.0)
nodes = st.lists(st.tuples(between(0.02, 2.0), between(0.02, 2.0)), min_size=3, max_size=7)
tabulated: SearchStrategy[AbstractResponse] = st.one_of(
    st.builds(lambda b, up: ExpStep(*b, up=up), bounds, size),
    st.builds(lambda b, g, h: ExpBounds(*b, gamma_up=g, gamma_down=h), bounds, shape, shape),
    st.builds(lambda b, g, h: PowStep(*b, gamma_up=g, gamma_down=h), bounds, power, power),
    st.builds(lambda b, both: PiecewiseStep(*b, *zip(*both, strict=True)), bounds, nodes),
)  # fmt: skip
noises = st.builds(
    Noise, st.one_of(st.just(0.0), between(0.01, 5)), st.sampled_from(["additive", "multiplicative"])
)
spreads = st.one_of(
    st.just(Spread()),
    st.builds(
        lambda dw, balance, top, law: Spread(dw_min=dw, up_down=balance, w_max=top, w_min=top, law=law),
        st.floats(0, 0.6), st.floats(0, 0.1), st.floats(0, 0.4), st.sampled_from(["normal", "lognormal"]),
    ),
)  # fmt: skip


def devices(responses: SearchStrategy[AbstractResponse]) -> SearchStrategy[Device]:
    return st.builds(Device, responses, between(1e-5, 0.1), spreads, noises)


@dataclass(frozen=True)
class Update:
    """An update of an array."""

    device: Device
    shape: tuple[int, int]
    samples: int
    pulses: float  #: that the largest change needs
    scale: float  #: of the inputs; the rate makes up for it
    density: float
    fidelity: Literal["mean", "pulsed", "pulse-by-pulse"]
    max_bl: int
    managed: tuple[bool, bool]
    order: Literal["bounded", "strict"]
    seed: int

    @property
    def pulsing(self) -> Pulsing:
        return Pulsing(self.fidelity, self.max_bl, *self.managed, order=self.order)

    def factors(self) -> tuple[Tensor, Tensor, float]:
        """x, d and the rate."""
        g = torch.Generator().manual_seed(self.seed)
        x, d = (torch.randn(self.samples, n, generator=g) for n in self.shape[::-1])
        x, d = (t * (torch.rand(t.shape, generator=g) < self.density) for t in (x, d))
        largest = float(x.abs().max() * d.abs().max())
        lr = -self.pulses * self.device.dw_min / (largest or 1.0) / self.scale
        return x * self.scale, d, lr


def updates(of: SearchStrategy[Device], least: int = 1, most: int = 40) -> SearchStrategy[Update]:
    return st.builds(
        Update,
        device=of,
        shape=st.tuples(st.integers(least, most), st.integers(least, most)),
        samples=st.integers(1, 12),
        pulses=between(1e-3, 1e3),
        scale=between(1e-6, 1e6),
        density=st.sampled_from([1.0, 0.7, 0.1]),
        fidelity=st.sampled_from(["mean", "pulsed", "pulsed", "pulse-by-pulse"]),
        max_bl=st.integers(1, 40),
        managed=st.tuples(st.booleans(), st.booleans()),
        order=st.sampled_from(["bounded", "strict"]),
        seed=st.integers(0, 2**31),
    )


class Made(NamedTuple):
    """Weights before, after by the reference and by Numba, their elements, and the events."""

    before: Tensor
    expected: Tensor
    got: Tensor
    elements: Elements
    events: list[int]


def both(u: Update) -> Made | None:
    """An update on both back ends, checked as said on top; None of a device that is refused."""
    key = Key(u.seed, 4)
    try:
        elements = draw(u.device, u.shape, key)
        Cells.of(elements, key, "numba")  # which refuses what a grid cannot hold
    except InputError:
        return None
    g = torch.Generator().manual_seed(u.seed + 1)
    w_max, w_min = u.device.response.w_max, u.device.response.w_min
    w = elements.clip(torch.rand(u.shape, generator=g) * (w_max - w_min) + w_min).contiguous()
    x, d, lr = u.factors()
    found, events = [], []
    for backend in ("reference", "numba"):
        new = w.clone()
        events.append(pulsed_update_(new, elements, x, d, lr, u.pulsing, key, STEP, backend))
        assert new.isfinite().all(), backend
        assert torch.equal(elements.clip(new), new), f"{backend}: beyond the bounds"
        found.append(new)
    assert events[0] == events[1]
    return Made(w, *found, elements, events[0])


def check_affine(u: Update) -> None:
    made = both(u)
    if made is None:
        return
    w, expected, got, elements, events = made
    span = float((elements.clip(torch.full_like(w, 1e9)) - elements.clip(torch.full_like(w, -1e9))).max())
    if u.fidelity == "mean":
        longest = max(span, 1.0, 2 * u.pulses * u.device.dw_min)  # of a change before it ends at a bound
        assert float((got - expected).abs().max()) <= 1e-6 * longest * u.samples
        return
    x, d, lr = u.factors()
    xs, ds, bl = update_trains(x, d, lr, u.device.dw_min, u.pulsing, Key(u.seed, 4), STEP)
    fast_xs, fast_ds = draw_trains(x, d, lr, u.device.dw_min, u.pulsing, Key(u.seed, 4), STEP)
    driven = (ds != 0).any(2).any(0)
    assert torch.equal(fast_ds, ds)
    assert torch.equal(fast_xs[:, driven], xs[:, driven])
    counts = coincidences(xs, ds)
    many = counts.abs().sum(0)
    # a rounding of each pulse, grown by steps that rise
    steps = u.device.dw_min * 1.5 * (1 + 4 * u.device.spread.dw_min)
    grown = torch.exp((2 * steps * many.double()).clamp(max=8.0))
    allowed = (4 + many) * 2.0**-24 * max(span, 1.0) * grown
    assert bool(((got - expected).abs() <= allowed).all()), float((got - expected).abs().max())
    assert torch.equal(got[many == 0], w[many == 0])
    # events, counted again from the trains
    fires = [((t >> slot) & 1).sum() for t in (xs[:, driven], ds) for slot in range(31)]
    up, down = int(counts[counts > 0].sum()), -int(counts[counts < 0].sum())
    assert events == [up, down, int(torch.stack(fires).sum()), int(bl.sum())]


def check_tabulated(u: Update) -> None:
    """Means and spreads of the array's changes agree; single cells may lie on the other side of a corner."""
    made = both(u)
    if made is None or u.fidelity == "mean":
        return
    w, expected, got, *_ = made
    one, two = (expected - w).double(), (got - w).double()
    gap = (one - two).abs()
    near = gap <= 1e-4 * max(1e-6, float(one.abs().max()))
    if bool(near.double().mean() >= 0.9):
        return
    scale = (one.var() + two.var()) / max(1, w.numel() - 1)
    assert float((one.mean() - two.mean()).abs()) <= 6 * float(scale) ** 0.5 + 1e-6, "in law"


@dataclass(frozen=True)
class Drift:
    """An element that gets pulses up and down in turn."""

    response: AbstractResponse
    dw_min: float
    at: float  #: of the way from the lower to the upper bound
    fidelity: Literal["pulsed", "pulse-by-pulse"]
    backend: Literal["reference", "numba"]


drifts = st.builds(
    Drift, st.one_of(affine, tabulated), between(1e-4, 1e-2), st.floats(0.1, 0.9),
    st.sampled_from(["pulsed", "pulse-by-pulse"]), st.sampled_from(["reference", "numba"]),
)  # fmt: skip


def check_drift(case: Drift) -> None:
    """A pulse up and one down move a weight by -2 dw_min G, up to the second order in dw_min."""
    response = case.response
    w = response.w_min + case.at * (response.w_max - response.w_min)
    at = torch.tensor([w], dtype=torch.float64)
    reach = 2 * case.dw_min * float(torch.maximum(response.q_plus(at), response.q_minus(at)))
    if not response.w_min < w - reach < w + reach < response.w_max:
        return  # a pulse may end at a bound
    near = torch.linspace(w - reach, w + reach, 9, dtype=torch.float64)
    up, down = response.q_plus(near), response.q_minus(near)
    drift = float((up - down)[4]) * case.dw_min
    turned = case.dw_min * float(torch.maximum(up.max() - up.min(), down.max() - down.min()))
    try:
        tile = Tile(
            (1, 3), Device(response, case.dw_min), pulsing=Pulsing(case.fidelity), backend=case.backend
        )
    except InputError:
        return
    tile.weight.fill_(w)
    start = tile.weight.clone()
    one = torch.ones(1, 3, dtype=torch.int64)
    tile.pulse_counts(one)
    tile.pulse_counts(-one)
    moved = (tile.weight - start).double()
    if abs(drift) > 2 * turned + 1e-6:
        assert bool((moved.sign() == (1 if drift > 0 else -1)).all()), (moved, drift)
        assert bool(((moved - drift).abs() <= 2 * turned + 1e-6).all()), (moved, drift)


@dataclass(frozen=True)
class Split:
    """A minibatch that is cut into parts."""

    device: Device
    shape: tuple[int, int]
    samples: int
    cuts: tuple[int, ...]
    order: Literal["bounded", "strict"]
    seed: int


splits = st.builds(
    Split,
    devices(st.one_of(affine, tabulated)),
    st.tuples(st.integers(1, 30), st.integers(1, 30)),
    st.integers(2, 16),
    st.lists(st.integers(0, 16), max_size=3).map(tuple),
    st.sampled_from(["bounded", "strict"]),
    st.integers(0, 2**31),
)


def check_split(case: Split) -> None:
    """Backward passes on the parts of a minibatch add up to one on the whole, to the bit."""
    rows, cols = case.shape
    cuts = sorted({0, case.samples, *(min(c, case.samples) for c in case.cuts)})
    sizes = [b - a for a, b in itertools.pairwise(cuts)]
    ends = []
    for parts in ([case.samples], sizes):
        torch.manual_seed(case.seed)
        try:
            layer = AnalogLinear(
                cols, rows, case.device, pulsing=Pulsing(order=case.order), seed=case.seed, array=0
            )
        except InputError:
            return
        optimizer = AnalogSGD(layer.parameters(), lr=0.05)
        x, target = torch.randn(case.samples, cols), torch.randn(case.samples, rows)
        for a, b in zip(x.split(parts), target.split(parts), strict=True):
            ((layer(a) - b) ** 2).sum().backward()
        optimizer.step()
        ends.append(layer.weight.detach().clone())
    assert torch.equal(*ends)


def check_threads(u: Update) -> None:
    """One thread and two give the same bits; of arrays that are large enough to be shared."""
    u = replace(u, samples=10, pulses=min(u.pulses, 30.0))
    before, ends = torch.get_num_threads(), []
    key = Key(u.seed, 4)
    try:
        elements = draw(u.device, u.shape, key)
        Cells.of(elements, key, "numba")
    except InputError:
        return
    x, d, lr = u.factors()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            w = elements.clip(torch.zeros(u.shape)).contiguous()
            events = pulsed_update_(w, elements, x, d, lr, u.pulsing, key, STEP, "numba")
            ends.append((w, events))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(ends[0][0], ends[1][0])
    assert ends[0][1] == ends[1][1]


PROPERTIES = [
    Fuzzed("affine: both back ends, bounds, events", updates(devices(affine)), check_affine, 15),
    Fuzzed("tables: both back ends, bounds, in law", updates(devices(tabulated)), check_tabulated, 8),
    Fuzzed("drift has the sign of -G", drifts, check_drift, 15),
    Fuzzed("parts of a minibatch change nothing", splits, check_split, 8),
    Fuzzed(
        "threads change nothing", updates(devices(st.one_of(affine, tabulated)), 110, 200), check_threads, 4
    ),
]
