"""Laws of updates: the collapse, batches, copies, threads, backends."""

from __future__ import annotations

import copy
import io
import os
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor

from ..crossbar import Tile
from ..devices import Device
from ..devices.table import TOLERANCE
from ..kernels import FIDELITIES
from ..nn import AnalogLinear
from .arrays import SEED, factors, made, noiseless, plain, refined, shares, spread_over
from .report import Finding, found, skipped
from .stats import bonferroni, z_mean_pair, z_variance_pair

__all__ = ["backends", "batches", "collapse", "draws", "on_threads", "resume", "threads", "through_a_file"]

T = TypeVar("T")

#: of one element in `collapse`: 8 samples, lr 3 dw_min, |x d| at most 4
MOST_PULSES = 8 * 3 * 4


def collapse(device: Device) -> Finding:
    """A minibatch applied at once leaves the mean and the variance that pulse by pulse leaves.

    The same trains of 8 samples at both fidelities, at the device's own granularity and at 400 states or
    more, where bounds are far; what the noise adds to the end without noise is compared over 3072 elements,
    in 3 groups (net pulses up, down, and all): mean and variance, each within Bonferroni's bound on 12
    comparisons at a false alarm of 10^-5. Without noise the ends agree to rounding, and where responses are
    tabulated to the tolerance of their parabolas for every pulse. Where steps are random
    without a `Noise`, as measured ones are, the end of the mean dynamics stands for the end without noise.
    """
    bare, off = plain(device)
    own = draws(noiseless(bare))
    still, random = "mean" if own else "pulse-by-pulse", own or bare.noise.std > 0
    gap = worst = 0.0
    top, number, slack = 1.0, 0, 0.0
    for grain in (bare, refined(bare, 400 * max(1.0, bare.noise.std))):
        ends: dict[str, Tensor] = {}
        start = torch.zeros(())
        runs = {
            "still": (noiseless(grain), still),
            "one": (grain, "pulse-by-pulse"),
            "all": (grain, "pulsed"),
        }
        for name, (which, fidelity) in runs.items():
            tile = made(which, fidelity)
            start = spread_over(tile, shares(tile))
            tile.pulse(*factors(tile), lr=-3 * grain.dw_min)
            ends[name], top = tile.weight.double(), float(tile.elements.upper.abs().max())
            if tile.elements.form == "table":  # parabolas are off by so much of a step, for every pulse
                slack = max(slack, TOLERANCE * grain.dw_min * MOST_PULSES)
        gap = max(gap, float((ends["one"] - ends["all"]).abs().max()))
        moved = ends["still"] - start
        number = int((moved != 0).sum())
        for group in (moved > 0, moved < 0, moved != 0):
            a, b = ((ends[name] - ends["still"])[group].numpy() for name in ("all", "one"))
            if len(a) > 50 and random:
                worst = max(worst, abs(float(z_mean_pair(a, b))), abs(float(z_variance_pair(a, b))))
    if not random:
        note = "without noise: largest difference of 3072 elements"
        allowed, what = 1e-5 * top + slack, "rounding and tables" if slack else "rounding"
        return found(gap <= allowed, f"{gap:.2g}", f"{allowed:.2g} ({what})", _with(note, off))
    if gap == 0:
        return skipped("both fidelities take every pulse of such a device one by one, with the same noise")
    limit = bonferroni(12, 1e-5)
    note = f"mean and variance of the noise of {number} elements, own granularity and finer"
    return found(worst <= limit, f"{worst:.2f} s.e.", f"{limit:.2f} s.e.", _with(note, off))


def batches(device: Device) -> Finding:
    """Two half batches, one after the other, are one batch.

    At fidelity "mean", which draws nothing, to rounding. With pulses each update has its own random numbers,
    so in law: the mean change of 576 elements towards where they are sent, 60 updates of either kind (30 on
    the reference), mean and variance within Bonferroni's bound on 4 comparisons at a false alarm of 10^-5.
    """
    bare, off = plain(device)
    lr = -2 * bare.dw_min
    ends = []
    for parts in (8, 4):
        tile = made(bare, "mean", (24, 24))
        start = spread_over(tile, shares(tile))
        x, d = factors(tile)
        for a, b in zip(x.split(parts), d.split(parts), strict=True):
            tile.pulse(a, b, lr)
        ends.append(tile.weight.double())
    gap, top = float((ends[0] - ends[1]).abs().max()), 1e-6 * float(tile.elements.upper.abs().max())
    towards = (ends[0] - start).sign()
    worst = 0.0
    # what only the reference runs takes every pulse one by one at both, and slowly
    slow = tile.cells.backend == "reference"
    for fidelity in FIDELITIES[1 : 2 if slow else 3]:
        tile = made(bare, fidelity, (24, 24))
        means: list[list[float]] = []
        for parts in (8, 4):
            means.append([])
            for _ in range(30 if slow else 60):
                spread_over(tile, shares(tile))
                for a, b in zip(x.split(parts), d.split(parts), strict=True):
                    tile.pulse(a, b, lr)
                means[-1].append(float(((tile.weight.double() - start) * towards).mean()))
        for z in (z_mean_pair(*means), z_variance_pair(*means)):
            worst = max(worst, abs(float(z)))
    limit = bonferroni(4, 1e-5)
    return found(
        gap <= top and worst <= limit,
        f"mean dynamics {gap:.2g}; pulses {worst:.2f} s.e.",
        f"{top:.2g}; {limit:.2f} s.e.",
        _with("8 samples at once against 4 and 4", off),
    )


def resume(device: Device) -> Finding:
    """A copy, and a layer restored from a file, go on bit for bit: the same address, the same result.

    A 12 x 20 layer gets 3 updates; it, its deep copy and a new layer that loads its state get 3 more.
    """
    layer = _layer(device)
    for i in range(3):
        _update(layer.tiles[0], i)
    before = layer.weight.detach().clone()
    twin, restored = copy.deepcopy(layer), _layer(device)
    restored.load_state_dict(through_a_file(layer.state_dict()))
    probe = torch.eye(20)
    ends = []
    for one in (layer, twin, restored):
        for i in range(3, 6):
            _update(one.tiles[0], i)
        ends.append((one.weight.detach(), one(probe).detach(), one.tiles[0].events.tolist()))
    same = [all(_equal(a, b) for a, b in zip(ends[0], end, strict=True)) for end in ends[1:]]
    moved = not torch.equal(ends[0][0], before)
    said = ("the same" if same[0] else "differs", "the same" if same[1] else "differs")
    return found(
        all(same) and moved,
        f"copy {said[0]}, restored {said[1]}" + ("" if moved else ", but nothing moves"),
        "the same bits",
        "weights, products and events after 3 more updates, everything switched on",
    )


def threads(device: Device) -> Finding:
    """One thread and two give the same bits, on an array of 157 x 131 that is spread over threads."""
    if (os.cpu_count() or 1) < 2:
        return skipped("this machine has one core")

    def run() -> Tensor:
        tile = made(device, shape=(157, 131))
        spread_over(tile, shares(tile))
        tile.pulse(*factors(tile, 10), lr=-3 * device.dw_min)
        return tile.weight.clone()

    one, two = on_threads(run)
    return found(
        torch.equal(one, two),
        f"{int((one != two).sum())} of {one.numel()} weights differ",
        "none",
        "an update on 1 thread against 2",
    )


def backends(device: Device) -> Finding:
    """The fast backend and the reference draw the same pulses and agree in weights to rounding.

    37 x 53 elements, 8 samples of up to 12 pulses each: events the same, weights within one rounding of
    float32 a pulse, (4 + 96) 2^-24 for weights up to 1, or 2 10^-4 of a step where steps are so coarse and
    steep that they amplify rounding.
    """
    bare, off = plain(device)
    fast = made(bare, shape=(37, 53)).cells.backend
    if fast == "reference":
        return skipped("only the reference backend runs such a response")
    worst, events, reach = 0.0, True, 1.0
    for fidelity in FIDELITIES:
        tiles = [made(bare, fidelity, (37, 53), backend=name) for name in (fast, "reference")]
        for tile in tiles:
            spread_over(tile, shares(tile))
            tile.pulse(*factors(tile), lr=-3 * bare.dw_min)
        worst = max(worst, float((tiles[0].weight - tiles[1].weight).abs().max()))
        events &= torch.equal(tiles[0].events, tiles[1].events)
        reach = max(reach, float(tiles[0].elements.upper.abs().max()))
    top = max(100 * 2.0**-24 * reach, 2e-4 * bare.dw_min * max(bare.nominal_steps))
    return found(
        events and worst <= top,
        f"weights {worst:.2g}, events {'the same' if events else 'differ'}",
        f"{top:.2g}, the same",
        _with(f"{fast} against reference, all fidelities", off),
    )


def on_threads(run: Callable[[], T]) -> tuple[T, T]:
    """What `run` returns on one thread, and on two; torch's number of threads is put back."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run()
        torch.set_num_threads(2)
        return one, run()
    finally:
        torch.set_num_threads(before)


def through_a_file(state: object) -> dict[str, object]:
    """A state saved and loaded again as a checkpoint is, with weights_only."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=True)


def draws(device: Device) -> bool:
    """Whether steps are random although the device has no `Noise`: two addresses, two results."""
    tile, ends = made(device, shape=(16, 24)), []
    for _ in range(2):
        spread_over(tile, shares(tile))
        tile.pulse_counts(torch.ones(tile.shape, dtype=torch.int64))
        ends.append(tile.weight.clone())
    return not torch.equal(*ends)


def _layer(device: Device) -> AnalogLinear:
    layer = AnalogLinear(20, 12, device, bias=False, seed=SEED, array=0)
    spread_over(layer.tiles[0], shares(layer.tiles[0]))
    return layer


def _update(tile: Tile, number: int) -> None:
    tile.pulse(*factors(tile, 4, number), lr=-3 * tile.device.dw_min)


def _equal(a: object, b: object) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) and isinstance(b, Tensor) else a == b


def _with(note: str, off: str) -> str:
    return f"{note}; switched off: {off}" if off else note
