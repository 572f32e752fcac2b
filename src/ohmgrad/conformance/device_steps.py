"""Laws of a device's steps: its response, its drawn elements, its bounds, first order, symmetric point."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..crossbar import Tile
from ..devices import Device, Elements, draw
from ..kernels import FIDELITIES
from ..rng import Key
from .arrays import SEED, made, plain, refined, regrained, shares, spread_over
from .report import Finding, found, skipped
from .stats import Z, bonferroni

__all__ = ["bounds", "drawn", "first_order", "responses", "symmetric_point"]

#: pulses of a first-order comparison, and states of the arrays in it
PULSES, STATES = 4, (400, 800, 1600)


def responses(device: Device) -> Finding:
    """F = (q- + q+)/2 is finite and positive inside the range; a step depends on its own element alone.

    Taken at 49 weights over the nominal range without its ends, where steps may vanish; forwards, backwards
    and one by one, which must not matter.
    """
    r = device.response
    w = torch.linspace(r.w_min, r.w_max, 51, dtype=torch.float64)[1:-1]
    worst, smallest = 0.0, math.inf
    for q in (r.q_plus, r.q_minus):
        forwards = q(w.clone())
        if forwards.shape != w.shape or not bool(torch.isfinite(forwards).all()):
            return found(False, "steps that are not finite or not one a weight", "finite steps", "q+ and q-")
        single = torch.stack([q(v.view(1, 1)).view(()) for v in w])
        for other in (q(w.flip(0)).flip(0), single):
            worst = max(worst, float((other - forwards).abs().max()))
    smallest = float(r.F(w).min())
    return found(
        smallest > 0 and worst <= 1e-9,
        f"smallest F {smallest:.3g}; {worst:.2g} between ways of asking",
        "F > 0; 1e-9",
        "F(w) inside the range, and q+, q- asked forwards, backwards and one by one",
    )


def drawn(device: Device) -> Finding:
    """The same address gives the same elements, another one others; bounds lie on both sides of zero.

    Two draws of 16 x 24 elements are compared in bounds and in steps at 9 weights each, bit for bit.
    """

    def looks(array: int) -> list[Tensor]:
        e = draw(device, (16, 24), Key(SEED, array))
        planes = [e.lower.expand(e.shape), e.upper.expand(e.shape)]
        for share in torch.linspace(0.02, 0.98, 9):
            w = (e.lower + share * (e.upper - e.lower)).expand(e.shape)
            planes += [e.q_plus(w), e.q_minus(w)]
        return planes

    one, again, other = looks(0), looks(0), looks(1)
    same = all(torch.equal(a, b) for a, b in zip(one, again, strict=True))
    differs = not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    finite = all(bool(torch.isfinite(p).all()) for p in one)
    sides = bool((one[0] < 0).all() and (one[1] > 0).all())
    expected = not device.spread.uniform
    return found(
        same and finite and sides and (differs or not expected),
        f"drawn twice {'the same' if same else 'differs'}, another array "
        f"{'differs' if differs else 'is the same'}; "
        f"{'finite' if finite else 'not finite'}, bounds {'on' if sides else 'not on'} both sides of 0",
        "the same; " + ("another array differs" if expected else "no spread, so all arrays alike"),
        "bounds and steps of 16 x 24 elements, bit for bit",
    )


def bounds(device: Device) -> Finding:
    """No sequence of pulses takes a weight beyond its element's bounds, at any fidelity.

    384 elements near and at both bounds get 50 pulses in a row, up and down, and a change of the whole range.
    """
    bare, off = plain(device)
    low = high = 0.0
    finite = moved = True
    for fidelity in FIDELITIES:
        tile = made(bare, fidelity, (16, 24))
        for share in (0.0, 0.05, 0.95, 1.0):
            for sign in (1, -1):
                w = spread_over(tile, share)
                tile.pulse_counts(torch.full(tile.shape, 50 * sign))
                tile.pulse(
                    torch.ones(1, 24),
                    torch.full((1, 16), float(sign)),
                    bare.response.w_max - bare.response.w_min,
                )
                now, e = tile.weight, tile.elements
                finite &= bool(torch.isfinite(now).all())
                low = max(low, float((e.lower - now).max()))
                high = max(high, float((now - e.upper).max()))
                inner = (share < 0.5) == (sign > 0)  # pushed away from the bound it is at
                moved &= not inner or not torch.equal(now.double(), w)
    ok = finite and low <= 0 and high <= 0 and moved
    past = f"{max(low, high, 0.0):.2g} past a bound"
    measured = past if finite and moved else "weights that are not finite" if not finite else "nothing moves"
    return found(ok, measured, "0, finite, and moving", _without("50 pulses at a time, all fidelities", off))


def first_order(device: Device) -> Finding:
    """n pulses move w by n dw_min q(w) in the mean; the rest is of second order in the granularity.

        |E w' - w -+ n dw_min q(w)| <= n (n-1) dw_min^2 max|q| max|q'|,        q = q+ up, q- down,

    twice the leading term, n (n-1)/2 dw^2 q q', which leaves room for the curvature; q' from differences.
    4 pulses, 400, 800 and 1600 states (or the device's own, if finer): the bound falls fourfold each time.
    3072 elements in 8 groups by weight and direction; a group's mean may deviate by 4.5 standard errors
    more. At fidelity "mean" the n pulses are one change and nothing remains but rounding.
    """
    bare, off = plain(device)
    worst, used = 0.0, 0
    for fidelity in FIDELITIES:
        for states in STATES:
            tile = made(refined(bare, states), fidelity)
            w, e, dw = spread_over(tile, shares(tile)), tile.elements, tile.device.dw_min
            up = (torch.arange(tile.shape[1]) % 2 == 0).expand(tile.shape)
            tile.pulse_counts(torch.where(up, PULSES, -PULSES))
            q = torch.where(up, e.q_plus(w), -e.q_minus(w)).double()
            rest = tile.weight.double() - w - PULSES * dw * q
            room = 0.0 if fidelity == "mean" else PULSES * (PULSES - 1) * dw**2
            allowed = room * _steepness(e, w, up) + 1e-6 * e.upper.double().abs()
            # elements that noise may clip have another mean
            reach = (
                (PULSES + 6 * math.sqrt(PULSES) * bare.noise.std)
                * dw
                * torch.maximum(e.q_plus(w), e.q_minus(w))
            )
            inside = (w + reach < e.upper) & (w - reach > e.lower)
            level = (shares(tile) * 4).long().clamp(0, 3)
            for group in range(8):
                here = inside & (up == bool(group % 2)) & (level == group // 2)
                n = int(here.sum())
                if n < 50:
                    continue
                error = float(rest[here].std()) / math.sqrt(n)
                worst = max(worst, abs(float(rest[here].mean())) / (float(allowed[here].mean()) + Z * error))
                used += 1
    if not used:
        return skipped("noise or narrow bounds leave fewer than 50 elements a group that are not clipped")
    note = f"mean of 4 pulses against w + n dw q(w), {used} groups of elements, at three granularities"
    return found(worst <= 1, f"{worst:.2f} of the bound", "1 (second order + 4.5 s.e.)", _without(note, off))


def symmetric_point(device: Device) -> Finding:
    """Alternating pulses drive every element to its symmetric point, and it stays there within its noise.

    Elements start anywhere in their range; where the mean dynamics from both bounds do not meet there, as
    there are several points that hold, bounds that hold and a crossing that drives away, or steps at the
    bounds as large as the range, within 5 % of the range around the point. There a pair of pulses contracts
    by k = dw_min (q-' - q+'), so that noise of variance v a pair leaves the variance v / (2k - k^2). After
    enough pairs each of 512 elements lies within

        2 steps + what the mean dynamics leave of the distance of both bounds + z sd,   z by Bonferroni,

    with v measured from 64 pairs at the point and two sd to either side, where noise that scales with the
    step may be larger; the largest counts, and sd is taken 1.5 times, as one element's v is known to 10 %.
    Halfway between the ends of a pair, the mean over elements lies within

        (step/2) |F'/G'| + step/10 + the rest + |G''| sd^2 / (2 |G'|) + 4.5 standard errors

    (a pair balances where q+(w - step/2) = q-(w + step/2); the curvature is averaged over the noise).
    At a bound the drift m a pair keeps elements within v/(2m) times z^2/2 instead of z sd. Elements that
    pulses would take too long to drive (over 5 % left, half of the way near the point), or whose point is
    narrower than a step, stay out; one that pulses drive away from its point breaks the law.
    """
    bare, off = plain(device)
    tile = _contracting(bare)
    e, dw = tile.elements, tile.device.dw_min
    point = e.symmetric_point().double().expand(tile.shape)
    span = (e.upper - e.lower).double()
    h = 0.01 * span
    gap = [_gap(e, point + i * h) for i in (-1, 0, 1)]
    slope, curve = (gap[2] - gap[0]) / (2 * h), (gap[2] - 2 * gap[1] + gap[0]) / h**2
    both = [(e.q_minus(point + i * h) + e.q_plus(point + i * h)).double() for i in (-1, 1)]
    tilt = ((both[1] - both[0]) / (2 * h)).abs()
    k = (dw * slope).clamp(min=1e-9, max=1.0)
    pairs = int((6 / k.median()).clamp(50, 600).ceil())
    ends = _driven(e, dw, pairs, e.lower, e.upper, tile.shape)
    step = dw * torch.maximum(e.q_plus(point), e.q_minus(point)).double()
    near = ends[1] - ends[0] > 0.05 * span  # these start near their point
    near |= (point < ends[0] - 2 * step) | (point > ends[1] + 2 * step)
    low = torch.where(near, e.clip(point - 0.05 * span), e.lower)
    high = torch.where(near, e.clip(point + 0.05 * span), e.upper)
    ends = _driven(e, dw, pairs, low, high, tile.shape)
    left = ends[1] - ends[0]
    slow = (near & (left > 0.5 * (high - low))) | _narrow(e, point, step)
    away = near & (left > 1.05 * (high - low))
    away |= ~slow & ((point < ends[0] - 2 * step) | (point > ends[1] + 2 * step))
    if bool(away.any()):
        gone = f"{float(away.double().mean()):.0%} of the elements leave it"
        return found(False, gone, "0 %", "mean dynamics of alternating pulses")
    if float(slow.double().mean()) > 0.5:
        return skipped(f"steps up and down differ so little that {pairs} pairs leave most elements far away")
    at_bound = (point <= e.lower) | (point >= e.upper)
    drift = 2 * dw * gap[1].abs().clamp(min=1e-9)

    def scatter(v: Tensor) -> Tensor:
        """Distance from the point that noise keeps, for the z of a Gaussian."""
        return torch.where(at_bound, v / drift * bonferroni(v.numel()) / 2, (v / (2 * k - k**2)).sqrt())

    v = _pair_variance(tile, point)
    sd = scatter(v)
    for side in (-2, 2):
        v = torch.maximum(v, _pair_variance(tile, point + side * sd))
    sd = scatter(v)
    start = low + (high - low) * shares(tile, 0.05, 0.95)
    tile.weight.copy_(e.clip(start.float()))
    tile.zero_shift(pairs)
    one = torch.ones(tile.shape, dtype=torch.int64)
    tile.pulse_counts(one)
    middle = tile.weight.double()
    tile.pulse_counts(-one)
    off_by = (middle + tile.weight.double()) / 2 - point
    n = int((~slow).sum())
    share = (off_by.abs() / (2 * step + left + bonferroni(n) * 1.5 * sd))[~slow].max()
    free = ~slow & (point + 3 * sd < e.upper) & (point - 3 * sd > e.lower)  # bounds cut no noise off
    mean = 0.0
    if int(free.sum()) >= 50:
        flat = slope.abs().clamp(min=1e-9)
        bias = step / 2 * tilt / flat + step / 10 + left + curve.abs() * sd**2 / (2 * flat)
        error = float(off_by[free].std()) / math.sqrt(int(free.sum()))
        mean = abs(float(off_by[free].mean())) / (float(bias[free].mean()) + Z * error)
    return found(
        float(share) <= 1 and mean <= 1,
        f"farthest element {share:.2f}, mean {mean:.2f} of the bound",
        "1 each",
        _without(f"{pairs} pairs on {n} elements of {tile.device.states:.0f} states", off),
    )


def _coarse(device: Device) -> Device:
    """The device with 100 to 600 states, so that a few hundred pairs drive it; more where noise is strong."""
    states = float(np.clip(100 * max(1.0, device.noise.std) ** 2, 100, 600))
    if device.states <= states:
        return refined(device, states) if device.noise.std > 1 else device
    return regrained(device, states)


def _contracting(device: Device) -> Tile:
    """512 elements of the device made coarse, but a pair of pulses contracts by half at the most."""
    tile = made(_coarse(device), shape=(16, 32))
    e = tile.elements
    point, h = e.symmetric_point().double().expand(tile.shape), 0.01 * (e.upper - e.lower).double()
    k = float((tile.device.dw_min * (_gap(e, point + h) - _gap(e, point - h)) / (2 * h)).median())
    return tile if k <= 0.5 else made(regrained(tile.device, 2 * k * tile.device.states), shape=(16, 32))


def _narrow(e: Elements, point: Tensor, step: Tensor) -> Tensor:
    """Points that hold within a tenth of a step but not over a whole one, which pulses step across: curves
    that only just touch have them. What drives away already nearby is not narrow."""
    slack = 1e-3 * (e.q_plus(point) + e.q_minus(point)).double()

    def holds(reach: float) -> Tensor:
        below, above = (_gap(e, point + sign * reach * step) for sign in (-1, 1))
        return (below <= slack) & (above >= -slack)

    return holds(0.1) & ~holds(1.0) & (point > e.lower) & (point < e.upper)


def _gap(e: Elements, w: Tensor) -> Tensor:
    return (e.q_minus(w) - e.q_plus(w)).double()


def _driven(
    e: Elements, dw: float, pairs: int, low: Tensor, high: Tensor, shape: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Where the mean dynamics of alternating pulses take elements that start at `low` and at `high`."""
    ends = [w.double().expand(shape) for w in (low, high)]
    for _ in range(pairs):
        ends = [e.clip(w + dw * e.q_plus(w)) for w in ends]
        ends = [e.clip(w - dw * e.q_minus(w)) for w in ends]
    return torch.minimum(*ends).double(), torch.maximum(*ends).double()


def _pair_variance(tile: Tile, point: Tensor, pairs: int = 64) -> Tensor:
    """Variance of what a pair of pulses adds at `point`, kept inside the bounds, (rows, cols)."""
    one = torch.ones(tile.shape, dtype=torch.int64)
    ends = []
    for _ in range(pairs):
        tile.weight.copy_(tile.elements.clip(point.float()))
        tile.pulse_counts(one)
        tile.pulse_counts(-one)
        ends.append(tile.weight.double())
    return torch.stack(ends).var(0)


def _steepness(e: Elements, w: Tensor, up: Tensor) -> Tensor:
    """max|q| max|q'| within 2 % of the range around w, (rows, cols)."""
    h = 0.01 * (e.upper - e.lower).double()
    near = [e.clip(w + i * h) for i in (-2, -1, 0, 1, 2)]
    q = torch.stack([torch.where(up, e.q_plus(v), e.q_minus(v)).double() for v in near])
    return q.abs().amax(0) * (q.diff(dim=0) / h).abs().amax(0)


def _without(note: str, off: str) -> str:
    return f"{note}; switched off: {off}" if off else note
