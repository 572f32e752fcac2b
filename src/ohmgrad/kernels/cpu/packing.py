"""What kernels take: elements, addresses of random numbers and settings, each packed into one object.

At every call from Python Numba looks up the types of what it is given, and for named tuples this takes
several times as long as for plain ones. So Python hands over plain tuples, and the kernels that it calls name
their parts: `Affine(*elements)`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from ...devices import Elements, Table
from ...devices.elements import PLANES
from ...rng import Key
from ..cells import Cells
from ..pulsing import Pulsing
from ..reference.groups import bound_of

__all__ = [
    "ADDITIVE", "AFFINE", "FLAT", "MEASURED", "MULTIPLICATIVE", "NOISELESS", "Address", "Affine", "How",
    "Tables", "address_of", "how_of", "key_words", "noise_kind", "number", "pack",
]  # fmt: skip

u32, f32 = np.uint32, np.float32

#: kinds of noise
ADDITIVE, MULTIPLICATIVE, NOISELESS, MEASURED = 0, 1, 2, 3
#: slopes nearer zero are taken as this: its error is below float32 rounding
FLAT = 1e-6


class Affine(NamedTuple):
    """Affine elements: planes float32 (1, 1) or (rows, cols), slopes and noise of all."""

    up: np.ndarray
    down: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    #: none nearer zero than `FLAT`
    slope_up: np.float32
    slope_down: np.float32
    noise_kind: int
    #: standard deviation
    noise_std: np.float32
    #: of groups of samples, see `reference.groups.Bound`
    limit: np.float64
    steep: np.float32


#: number of parts: of `if len(elements) == AFFINE`, with an argument `elements`, Numba compiles one branch
AFFINE = len(Affine._fields)


class Tables(NamedTuple):
    """Tabulated elements and their table; float32 but for `which` (int32) and `n`.

    Planes are (1, 1) or (rows, cols). Tables of several devices stand one after the other: at 2 (n + 1)
    places a device, first up and then down, or at n + 1 places, one row each.
    """

    up: np.ndarray
    down: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    #: plane: first place of the element's device in the tables
    which: np.ndarray
    #: q at a node over its value at w = 0, and the increase to the next, 2 (n + 1) places a device
    value: np.ndarray
    rise: np.ndarray
    #: measured pulses that the collapse needs, likewise
    need: np.ndarray
    #: rows: the parabola up and down, its valid radius, and of measured steps from the 8th on the parabolas
    #: of the standard deviation
    curve: np.ndarray
    #: measured steps, (devices, 2, levels, n + 1) as one row; probabilities of their levels; whether even
    steps: np.ndarray
    cdf: np.ndarray
    even: bool
    #: intervals per unit of weight, times w_max and w_min; place of w = 0 in intervals; number of intervals
    top: np.float32
    bottom: np.float32
    origin: np.float32
    n: np.int32
    noise_kind: int
    #: standard deviation
    noise_std: np.float32


class Address(NamedTuple):
    """Address of the random numbers of an update: its number, and the key of the array."""

    step: np.uint32
    k0: np.uint32
    k1: np.uint32


class How(NamedTuple):
    """How an update is made; see `Pulsing` and `ohmgrad.kernels.reference.trains`."""

    lr: float
    dw_min: float
    max_bl: int
    update_management: bool
    bl_management: bool
    by_pulse: bool
    strict: bool
    #: pieces that samples and rows are cut into, to be shared by threads
    chunks: int


def address_of(cells: Cells, step: Tensor) -> tuple:
    """The parts of `Address`: the number of an update, int64 (0-d), and the key of the first array."""
    if "key" not in cells.packed:
        cells.packed["key"] = key_words(cells.keys[0])
    return number(step), *cells.packed["key"]


def key_words(key: Key) -> tuple[np.uint32, np.uint32]:
    """The words of a key."""
    return u32(key.seed & 0xFFFFFFFF), u32(key.array & 0xFFFFFFFF)


def number(step: Tensor) -> np.uint32:
    """The number of an update, int64 (0-d), as a word."""
    return u32(int(step.numpy()) & 0xFFFFFFFF)


def how_of(pulsing: Pulsing, lr: float, cells: Cells, chunks: int = 1) -> tuple:
    """The parts of `How`."""
    return (
        float(lr), cells.elements[0].dw_min, pulsing.max_bl, pulsing.update_management, pulsing.bl_management,
        pulsing.fidelity == "pulse-by-pulse", pulsing.order == "strict", chunks,
    )  # fmt: skip


def noise_kind(elements: Elements) -> int:
    """Number of the kind of noise."""
    if elements.table is not None and elements.table.sd is not None:
        return MEASURED
    if not elements.noise_std:
        return NOISELESS
    return ADDITIVE if elements.noise == "additive" else MULTIPLICATIVE


def pack(elements: Elements) -> tuple:
    """The parts of `Affine` or `Tables`, kept with the elements."""
    if "numba" not in elements.packed:
        named: dict[str, Any] = {name: getattr(elements, name).numpy() for name in PLANES[:4]}
        named |= {"noise_kind": noise_kind(elements), "noise_std": f32(elements.noise_std)}
        if elements.form == "table":
            elements.packed["numba"] = tuple(Tables(**named, **_of_table(elements)))
        else:
            slopes = {"slope_up": elements.slope_up, "slope_down": elements.slope_down}
            named |= {name: f32(s if abs(s) >= FLAT else FLAT) for name, s in slopes.items()}
            bound = bound_of(elements)
            named |= {"limit": np.float64(bound.limit), "steep": f32(bound.steep)}
            elements.packed["numba"] = tuple(Affine(**named))
    return elements.packed["numba"]


def _of_table(elements: Elements) -> dict[str, Any]:
    """The parts of `Tables` that affine elements do not have."""
    table, response = elements.table, elements.response
    assert table is not None
    return {
        "which": elements.which.numpy() * np.int32(2 * (table.intervals + 1)),
        "top": f32(response.w_max * table.per_weight), "bottom": f32(response.w_min * table.per_weight),
        **_shared(table, elements.unit_up, elements.unit_down),
    }  # fmt: skip


def _array(t: Tensor) -> np.ndarray:
    return np.ascontiguousarray(t.numpy(), dtype=np.float32)


def _shared(table: Table, up: float, down: float) -> dict[str, Any]:
    """The arrays of a table, its steps over those at w = 0; kept with the table."""
    if "numba" not in table.packed:
        unit = np.array([up, down]).reshape(1, 2, 1)
        value = table.q.numpy() / unit
        rise = np.diff(value, axis=-1, append=value[..., -1:])
        need = np.zeros(1, np.float32)
        if table.gaussian is not None:  # one for each interval, at the places of both directions
            once = _array(table.gaussian)
            need = np.tile(np.append(once, once[:, -1:], 1)[:, None], (1, 2, 1)).ravel()
        steps = np.zeros((1, 1, 1, 1)) if table.steps is None else table.steps.numpy() / unit[..., None]
        table.packed["numba"] = {
            "value": value.astype(np.float32).ravel(), "rise": rise.astype(np.float32).ravel(), "need": need,
            "curve": _curve(table, unit[..., None]),
            "steps": steps.astype(np.float32).ravel(),
            "cdf": np.zeros(1, np.float32) if table.cdf is None else _array(table.cdf),
            "even": table.cdf is not None and bool((table.cdf.diff().diff().abs() < 1e-6).all()),
            "origin": f32(-table.low * table.per_weight), "n": np.int32(table.intervals),
        }  # fmt: skip
    return table.packed["numba"]


def _curve(table: Table, unit: np.ndarray) -> np.ndarray:
    """Parabolas and valid radius, n + 1 rows a device, as `Tables` has them."""
    devices, _, _, n = table.curve.shape
    rows = np.zeros((devices, n + 1, 8 if table.sd_curve is None else 16), np.float32)
    rows[:, :n, :6] = (table.curve.numpy() / unit).reshape(devices, 6, n).transpose(0, 2, 1)
    rows[:, :n, 6] = table.valid_radius.numpy()
    if table.sd_curve is not None:
        rows[:, :n, 8:14] = (table.sd_curve.numpy() / unit).reshape(devices, 6, n).transpose(0, 2, 1)
    return rows.reshape(-1, rows.shape[-1])
