"""What kernels in Triton take, made on the host without asking the card for anything."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton.language as tl
from torch import Tensor
from triton import knobs

from ...devices import Elements, Table
from ...rng import Key
from ..cells import Cells

__all__ = [
    "ADDITIVE",
    "BLOCKS",
    "FLAT",
    "FUSED",
    "MEASURED",
    "MULTIPLICATIVE",
    "NOISELESS",
    "Affine",
    "Tables",
    "affine_of",
    "bits_of",
    "blocks",
    "grid_of",
    "key_words",
    "noise_kind",
    "quarter",
    "status_of",
    "tables_of",
]  # fmt: skip

#: kinds of noise
ADDITIVE, MULTIPLICATIVE, NOISELESS, MEASURED = (tl.constexpr(i) for i in range(4))
#: slopes nearer zero are taken as this: its error is below float32 rounding
FLAT = tl.constexpr(1e-6)

#: launch with products and sums in one rounding, as everywhere but where a sum must be the reference's
FUSED: dict[str, Any] = {"enable_fp_fusion": True}


class Blocks(NamedTuple):
    """Sizes of what one program has: powers of two."""

    #: rows and columns of cells
    rows: int
    cols: int
    #: samples, blocks of four lines, and slots of their trains at once
    samples: int
    fours: int
    slots: int


#: on a card many small programs, so that registers hold their cells; the interpreter runs one after the other
BLOCKS = {False: Blocks(8, 64, 1, 256, 1), True: Blocks(64, 128, 16, 32, 32)}


def blocks() -> Blocks:
    """Sizes for the card, or for the interpreter where that is on."""
    return BLOCKS[bool(knobs.runtime.interpret)]


def bits_of(value: float) -> int:
    """The bits of a float64 as an int64: Triton takes numbers of the host as float32."""
    return struct.unpack("<q", struct.pack("<d", value))[0]


def key_words(key: Key) -> tuple[int, int]:
    """The words of a key as int32."""
    first, second = struct.unpack("<2i", struct.pack("<2I", key.seed & 0xFFFFFFFF, key.array & 0xFFFFFFFF))
    return first, second


def quarter(n: int) -> int:
    """Blocks of four that n lines or cells share."""
    return -(-n // 4)


def noise_kind(elements: Elements) -> int:
    """Number of the kind of noise."""
    if elements.table is not None and elements.table.sd is not None:
        return MEASURED.value
    if not elements.noise_std:
        return NOISELESS.value
    return (ADDITIVE if elements.noise == "additive" else MULTIPLICATIVE).value


class Affine(NamedTuple):
    """Affine elements: planes float32 (1, 1) or (rows, cols), slopes of all."""

    up: Tensor
    down: Tensor
    lower: Tensor
    upper: Tensor
    #: none nearer zero than `FLAT`
    slope_up: float
    slope_down: float


def affine_of(elements: Elements) -> Affine:
    """Affine elements as kernels take them."""
    slopes = [s if abs(s) >= FLAT.value else FLAT.value for s in (elements.slope_up, elements.slope_down)]
    return Affine(elements.up, elements.down, elements.lower, elements.upper, *slopes)


class Tables(NamedTuple):
    """Tabulated elements and their table; float32 but for `which` (int32). Planes are (1, 1) or (rows, cols).

    Tables of several devices stand one after the other.
    """

    up: Tensor
    down: Tensor
    lower: Tensor
    upper: Tensor
    #: plane: number of the element's device
    which: Tensor
    #: steps at the nodes over those at w = 0, (devices, 2, n + 1)
    value: Tensor
    #: (devices, n, 8): the parabola up and down, its valid radius, 0; of measured steps (devices, n, 16),
    #: from the 8th on with the parabolas of the standard deviation
    curve: Tensor
    #: measured pulses that the collapse needs, (devices, n); one number where steps are not measured
    need: Tensor
    #: measured steps over those at w = 0, (devices, 2, levels, n + 1), and probabilities of their levels
    steps: Tensor
    cdf: Tensor
    #: intervals per unit of weight, times w_max and w_min; place of w = 0 in intervals; number of intervals
    top: float
    bottom: float
    origin: float
    n: int


def tables_of(elements: Elements) -> Tables:
    """Tabulated elements as kernels take them."""
    table, response = elements.table, elements.response
    assert table is not None
    if "triton" not in table.packed:
        unit = table.q.new_tensor([elements.unit_up, elements.unit_down]).view(2, 1)
        table.packed["triton"] = [part.to(torch.float32).contiguous() for part in _shared(table, unit)]
    value, curve, need, steps, cdf = table.packed["triton"]
    return Tables(
        elements.up, elements.down, elements.lower, elements.upper, elements.which, value, curve, need,
        steps, cdf, float(response.w_max * table.per_weight), float(response.w_min * table.per_weight),
        float(-table.low * table.per_weight), table.intervals,
    )  # fmt: skip


def _shared(table: Table, unit: Tensor) -> list[Tensor]:
    """The tensors of a table, its steps over those at w = 0, `unit` (2, 1)."""
    one = table.q.new_zeros(1)
    devices, n = len(table.q), table.intervals
    curves = [table.curve] if table.sd_curve is None else [table.curve, table.sd_curve]
    curve = table.q.new_zeros(devices, n, 8 * len(curves))
    for i, one_curve in enumerate(curves):
        curve[:, :, 8 * i : 8 * i + 6] = (
            (one_curve / unit.unsqueeze(-1)).reshape(devices, 6, n).transpose(1, 2)
        )
    curve[:, :, 6] = table.valid_radius
    return [
        table.q / unit, curve, one if table.gaussian is None else table.gaussian,
        one if table.steps is None else table.steps / unit.unsqueeze(-1),
        one if table.cdf is None else table.cdf,
    ]  # fmt: skip


def status_of(cells: Cells) -> Tensor:
    """What went wrong on the card, int32 (1,), 0 for nothing; see `ops.check_status`."""
    if "status" not in cells.packed:
        cells.packed["status"] = torch.zeros(1, dtype=torch.int32, device=cells.elements[0].up.device)
    return cells.packed["status"]


def grid_of(*sizes: tuple[int, int]) -> Sequence[Any]:
    """Programs for so many items in blocks of so many, (items, block) for each axis."""
    return tuple(-(-items // block) for items, block in sizes)
