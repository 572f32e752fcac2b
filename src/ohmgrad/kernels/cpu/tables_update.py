"""The whole update of tabulated elements in Numba, as `cpu` is for affine ones, and their packing."""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportAttributeAccessIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit, prange
from torch import Tensor

from ...devices import Elements, Table
from .affine import ADDITIVE, MULTIPLICATIVE, QUIET
from .math import kernel
from .tables import MEASURED, Packed, interval
from .tables_rows import counts_rows, rows_chunk
from .trains import list_live, trains_chunk

__all__ = ["change", "change_parallel", "counts_rows", "pack", "update", "update_parallel"]

f32 = np.float32


@kernel()
def update(
    w, e, kind, std, by_pulse, x, d, lr, dw_min, max_bl, manage, manage_bl, step, key,
    xs, ds, lines, n_lines, on, live, events, chunks,
):  # fmt: skip
    """As `cpu._update`."""
    trains_chunk(
        np.int64(0), x.shape[0], x, d, lr, dw_min, max_bl, manage, manage_bl, key, step, xs, ds, lines,
        n_lines, on, events[0],
    )  # fmt: skip
    if events[0, 4]:
        return
    n_live = list_live(n_lines, live)
    rows_chunk(
        np.int64(0), w.shape[0], w, e, kind, std, by_pulse, xs, ds, lines, n_lines, on, live, n_live, step,
        key,
    )  # fmt: skip


@kernel(parallel=True)
def update_parallel(
    w, e, kind, std, by_pulse, x, d, lr, dw_min, max_bl, manage, manage_bl, step, key,
    xs, ds, lines, n_lines, on, live, events, chunks,
):  # fmt: skip
    """As `cpu._update_parallel`."""
    samples, rows = x.shape[0], w.shape[0]
    for u in prange(chunks):
        c = np.int64(u)
        trains_chunk(
            c * samples // chunks, (c + 1) * samples // chunks, x, d, lr, dw_min, max_bl, manage,
            manage_bl, key, step, xs, ds, lines, n_lines, on, events[c],
        )  # fmt: skip
    if events[:, 4].any():
        return
    n_live = list_live(n_lines, live)
    for u in prange(chunks):
        c = np.int64(u)
        rows_chunk(
            c * rows // chunks, (c + 1) * rows // chunks, w, e, kind, std, by_pulse, xs, ds, lines,
            n_lines, on, live, n_live, step, key,
        )  # fmt: skip


@njit(forceinline=True, error_model="numpy")
def _change_row(r, w, e, x, d, lr, dw_min):
    uniform = e.up.size == 1
    row = 0 if uniform else r
    nodes = e.n + np.int32(1)
    for b in range(x.shape[0]):
        g = f32(lr) * d[b, r]
        if g != f32(0):
            for j in range(w.shape[1]):
                q = 0 if uniform else j
                dw, wj = g * x[b, j], w[r, j]
                lower, upper = e.lower[row, q], e.upper[row, q]
                i, t, _ = interval(wj, e.top / upper, e.bottom / lower, e.origin, e.n)
                down = dw < f32(0)
                at = e.which[row, q] + i + (nodes if down else np.int32(0))
                size = (e.down[row, q] if down else e.up[row, q]) / f32(dw_min)
                step = size * (e.value[at] + t * e.rise[at])
                w[r, j] = min(max(wj + dw * step, lower), upper)


@kernel()
def change(w, e, x, d, lr, dw_min):
    """As `cpu._change`."""
    for r in range(w.shape[0]):
        _change_row(r, w, e, x, d, lr, dw_min)


@kernel(parallel=True)
def change_parallel(w, e, x, d, lr, dw_min):
    """As `cpu._change_parallel`."""
    for u in prange(w.shape[0]):
        _change_row(np.int64(u), w, e, x, d, lr, dw_min)


def _array(t: Tensor) -> np.ndarray:
    return np.ascontiguousarray(t.numpy(), dtype=np.float32)


def _tables(table: Table, up: float, down: float) -> dict[str, Any]:
    """The arrays of a table, its steps over those at w = 0; kept with the table."""
    if "numba" not in table.packed:
        unit = np.array([up, down]).reshape(1, 2, 1)

        def line(values: Tensor) -> tuple[np.ndarray, np.ndarray]:
            v = values.numpy() / unit
            rise = np.diff(v, axis=-1, append=v[..., -1:])
            return v.astype(np.float32).ravel(), rise.astype(np.float32).ravel()

        def places(
            values: np.ndarray,
        ) -> np.ndarray:  # one for each interval, at the places of both directions
            return np.tile(np.append(values, values[:, -1:], 1)[:, None], (1, 2, 1)).ravel()

        value, rise = line(table.q)
        steps = np.zeros((1, 1, 1, 1)) if table.steps is None else table.steps.numpy() / unit[..., None]
        table.packed["numba"] = {
            "value": value, "rise": rise,
            "need": np.zeros(1, np.float32) if table.gaussian is None else places(_array(table.gaussian)),
            "curve": _curve(table, unit[..., None]),
            "steps": steps.astype(np.float32).ravel(),
            "cdf": np.zeros(1, np.float32) if table.cdf is None else _array(table.cdf),
            "even": table.cdf is not None and bool((table.cdf.diff().diff().abs() < 1e-6).all()),
            "origin": f32(-table.low * table.per_weight), "n": np.int32(table.intervals),
        }  # fmt: skip
    return table.packed["numba"]


def _curve(table: Table, unit: np.ndarray) -> np.ndarray:
    """Parabolas and reach, n + 1 rows a device, as `Packed` has them."""
    devices, _, _, n = table.curve.shape
    rows = np.zeros((devices, n + 1, 8 if table.sd_curve is None else 16), np.float32)
    rows[:, :n, :6] = (table.curve.numpy() / unit).reshape(devices, 6, n).transpose(0, 2, 1)
    rows[:, :n, 6] = table.reach.numpy()
    if table.sd_curve is not None:
        rows[:, :n, 8:14] = (table.sd_curve.numpy() / unit).reshape(devices, 6, n).transpose(0, 2, 1)
    return rows.reshape(-1, rows.shape[-1])


def pack(elements: Elements) -> tuple[Packed, int, np.float32]:
    """Elements with their table, kind of noise and its strength; kept with the elements."""
    if "numba" not in elements.packed:
        table, response = elements.table, elements.response
        assert table is not None
        kind = ADDITIVE if elements.noise == "additive" else MULTIPLICATIVE
        kind = kind if elements.noise_std else QUIET
        packed = Packed(
            *(getattr(elements, plane).numpy() for plane in ("up", "down", "lower", "upper")),
            which=elements.which.numpy() * np.int32(2 * (table.intervals + 1)),
            top=f32(response.w_max * table.per_weight),
            bottom=f32(response.w_min * table.per_weight),
            **_tables(table, elements.unit_up, elements.unit_down),
        )
        kind = kind if table.sd is None else MEASURED
        elements.packed["numba"] = packed, kind, f32(elements.noise_std)
    return elements.packed["numba"]
