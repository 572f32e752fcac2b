"""Pulses applied to weights in plain PyTorch, in float64: the specification that fast back ends must match.

Elements that the collapse serves get all pulses of a minibatch at once (`affine`, `tables`) and one Gaussian;
the others get every pulse by itself, with its own noise and clipping, as do all elements at fidelity
"pulse-by-pulse" and responses given as callables.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...devices import Elements
from ...rng import Key, Purpose, box_muller, gaussians, philox, uniform
from ..cells import Cells
from ..checks import raise_not_finite, raise_too_many
from ..pulsing import Pulsing
from . import affine, groups, tables
from .mean import mean_counts
from .trains import coincidences, count_events, update_trains

__all__ = ["apply_counts", "apply_counts_", "pulsed_update", "pulsed_update_"]


def apply_counts(
    w: Tensor,
    elements: Elements,
    counts: Tensor,
    fidelity: str,
    key: Key,
    step: int,
    together: groups.Groups | None = None,
) -> Tensor:
    """Apply signed pulse counts, in sample order or in groups of samples.

    Args:
        w: weights (rows, cols).
        elements: drawn for this shape.
        counts: int64 (samples, rows, cols); negative counts are pulses down.
        fidelity: "pulsed" (collapse where possible) or "pulse-by-pulse".
        key, step: address of the noise.
        together: how samples are taken together; None for all in order.

    Returns:
        New weights, of the dtype of `w`.
    """
    start = w.double()
    touched = (counts != 0).any(0)
    if fidelity == "pulse-by-pulse" or elements.form == "callable":
        return apply_pulse_by_pulse(start, elements, counts, touched, key, step).to(w.dtype)
    by_table = elements.form == "table"
    mean, var, passed = _collapse(start, elements, counts, together)
    room = affine.SAFETY * passed.var_max.sqrt()
    unsafe = (passed.mean_max + room > elements.upper) | (passed.mean_min - room < elements.lower)
    unsafe |= passed.beyond
    if by_table:
        unsafe |= tables.few_pulses(start, elements, counts)
    unsafe &= affine.noisy(elements)
    if not by_table:
        unsafe |= affine.coarse(elements)
    unsafe &= touched
    rows, cols = elements.shape
    z = gaussians(cols, torch.arange(rows), step, Purpose.UPDATE_NOISE, key)
    new = elements.clip(mean + var.sqrt() * z)
    if unsafe.any():
        by_pulse = apply_pulse_by_pulse(start, elements, counts, unsafe, key, step)
        new = torch.where(unsafe, by_pulse, new)
    return torch.where(touched, new, start).to(w.dtype)


def _collapse(
    start: Tensor, elements: Elements, counts: Tensor, together: groups.Groups | None
) -> tuple[Tensor, Tensor, affine.Passed]:
    if elements.form == "table":
        return tables.collapse(start, elements, counts)
    if together is None or together.size == 1:
        return affine.collapse(start, elements, counts)
    return groups.collapse(start, elements, counts, together)


def apply_pulse_by_pulse(
    w: Tensor, elements: Elements, counts: Tensor, which: Tensor, key: Key, step: int
) -> Tensor:
    """Every single pulse of the elements `which`, bool (rows, cols), with its own noise and clipping."""
    row, col = torch.nonzero(which & (counts != 0).any(0), as_tuple=True)
    cells, here = elements.at(row, col), w[row, col]
    index = torch.zeros_like(row)  # number of pulses an element has had in this update
    table = elements.table if elements.form == "table" else None
    measured = table is not None and table.steps is not None
    most = 0
    if len(row) and (measured or elements.noise_std):
        most = int(counts.abs().sum(0)[row, col].max())
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
    xs, ds, bl = update_trains(x, d, lr, elements.dw_min, pulsing, key, step)
    counts = coincidences(xs, ds)
    together = groups.groups_of(xs, ds, bl, counts, elements, pulsing)
    new = apply_counts(w, elements, counts, pulsing.fidelity, key, step, together)
    return new, count_events(xs, ds, bl, counts)


def pulsed_update_(
    w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, step: Tensor, events: Tensor,
    touched: Tensor | None,
) -> None:  # fmt: skip
    """As `ops.pulsed_update_`."""
    if not (torch.isfinite(x).all() and torch.isfinite(d).all()):
        raise_not_finite(x, d)
    elements, key, number = cells.elements[0], cells.keys[0], int(step)
    if touched is not None:
        xs, ds, _ = update_trains(x, d, lr, elements.dw_min, pulsing, key, number)
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
