"""The drawn elements of one array: packed tensors that kernels understand without any family's name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from torch import Tensor

from ..checked import checked
from ..errors import InputError, is_integer, shown
from ..rng import Key, Purpose, gaussians, words
from ..sizes import check_cells
from .device import Device
from .families import AffineResponse
from .measured import Measured
from .response import AbstractResponse, sampled
from .symmetric_point import affine_symmetric_point, driven_to, root
from .table import Table, tabulate, tabulate_shapes

__all__ = ["NEAREST", "PLANES", "Elements", "check_shape", "draw"]

#: least drawn bound, as a part of the nominal one: responses divide by it
NEAREST = 1e-3
#: what differs from element to element
PLANES = ("up", "down", "lower", "upper", "which")
KINDS = (torch.float32,) * 4 + (torch.int32,)
#: elements that are drawn at once
BLOCK = 1 << 20


@dataclass(frozen=True)
class Elements:
    """Elements of one array of shape (rows, cols): rows are d-lines (outputs), cols x-lines (inputs).

    Planes are float32, of shape (rows, cols), or (1, 1) when all elements are alike:

    - `up`, `down`: step of one pulse at w = 0, in weight units (> 0);
    - `lower`, `upper`: bounds, lower < 0 < upper.

    For `form` "affine" one pulse up moves w by up (1 - slope_up w/upper), one pulse down by
    -down (1 - slope_down w/lower). For "table" the step is asked of the table, for "callable" of the
    response, at w scaled to the nominal range, and divided by its value at 0, `unit_up` or `unit_down`.
    A tile with per-cell planes takes 20 bytes per cell with its weight, 4 if uniform; a set of measured
    devices, or of shapes, has one plane more, `which` (int32), the number of each element's device or shape.
    """

    shape: tuple[int, int]
    form: Literal["affine", "table", "callable"]
    noise: Literal["additive", "multiplicative"]
    noise_std: float
    dw_min: float
    up: Tensor
    down: Tensor
    lower: Tensor
    upper: Tensor
    slope_up: float
    slope_down: float
    response: AbstractResponse
    unit_up: float = 1.0
    unit_down: float = 1.0
    table: Table | None = None
    #: device or shape of each element in a table of several, int32; of the planes' shape if there are several
    which: Tensor = field(default_factory=lambda: torch.zeros(1, 1, dtype=torch.int32))
    #: why there is no table, for callables
    reason: str = ""
    #: what a backend keeps for these elements, by its name; never copied
    packed: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": {}}

    def map(self, move: Callable[[Tensor], Tensor]) -> Elements:
        """Apply `move` (such as `.to(device)`) to the planes."""
        return replace(self, packed={}, **{name: move(getattr(self, name)) for name in PLANES})

    def to(self, place: torch.device) -> Elements:
        """The same elements, with planes and table on a device; themselves where they are there."""
        if self.up.device == place:
            return self
        moved = self.map(lambda plane: plane.to(place))
        return moved if self.table is None else replace(moved, table=self.table.to(place))

    def at(self, row: Tensor, col: Tensor) -> Elements:
        """The single elements at (row, col), int64 of shape (k,): planes of shape (k,)."""
        return self.map(lambda plane: plane.expand(self.shape)[row, col])

    def q_plus(self, w: Tensor) -> Tensor:
        """Step of an up pulse at `w` (rows, cols), in units of the nominal dw_min."""
        if self.form == "affine":
            return self.up / self.dw_min * (1 - self.slope_up * w / self.upper)
        if self.table is not None:
            return self._tabulated(w, 0) * (self.up / (self.dw_min * self.unit_up))
        return self.up / (self.dw_min * self.unit_up) * self.response.q_plus(self.nominal(w))

    def q_minus(self, w: Tensor) -> Tensor:
        """Step of a down pulse at `w` (rows, cols), in units of the nominal dw_min."""
        if self.form == "affine":
            return self.down / self.dw_min * (1 - self.slope_down * w / self.lower)
        if self.table is not None:
            return self._tabulated(w, 1) * (self.down / (self.dw_min * self.unit_down))
        return self.down / (self.dw_min * self.unit_down) * self.response.q_minus(self.nominal(w))

    def clip(self, w: Tensor) -> Tensor:
        """`w` kept inside each element's bounds."""
        return torch.minimum(torch.maximum(w, self.lower.to(w)), self.upper.to(w))

    def symmetric_point(self) -> Tensor:
        """Symmetric point of every element, float32 of the planes' shape (weight units).

        Where alternating pulses drive it from w = 0, see `AbstractResponse.symmetric_point`; in closed form
        for affine and tabulated elements, by bisection for others. Computed on the host for all devices.
        """
        place = self.up.device
        if place.type != "cpu":
            return self.to(torch.device("cpu")).symmetric_point().to(place)
        if self.form == "affine":
            return affine_symmetric_point(
                self.up, self.down, self.lower, self.upper, self.slope_up, self.slope_down
            )
        nominal = self.response
        gain = (self.up.double() / self.unit_up) / (self.down.double() / self.unit_down)
        table, point = self.table, torch.zeros_like(gain)
        if table is None:
            w, up, down = sampled(nominal)
            i, t = driven_to(w, up, down, gain)
            found = root(lambda x: gain * nominal.q_plus(x), nominal.q_minus, w[i], w[i + 1])
            point = torch.where((t > 0) & (t < 1), found, w[i + t.long()])
        else:
            for number in range(len(table.q)):
                of_it = self.which.expand(gain.shape) == number
                w, up, down = table.steps_of(number)
                i, t = driven_to(w, up, down, gain[of_it])
                point[of_it] = w[i] + t * (w[i + 1] - w[i])
        point = point / torch.where(point >= 0, nominal.w_max / self.upper, nominal.w_min / self.lower)
        return self.clip(point.float())

    def tangent(self, w: Tensor, down: Tensor) -> tuple[Tensor, Tensor]:
        """Step of one pulse of affine elements at `w` (float64), signed, and how it contracts distances.

        step(w + x) = one - e x around w.

        Args:
            w: of the planes' shape; down: bool, true where the pulse goes down.

        Returns:
            one (weight units) and e (dimensionless), float64.
        """
        size = torch.where(down, -self.down, self.up).double()
        bound = torch.where(down, self.lower, self.upper).double()
        e = torch.where(down, self.slope_down, self.slope_up) * size / bound
        return size - e * w, e

    def parabola(self, w: Tensor, down: Tensor, interval: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean step of one pulse of tabulated elements, as the parabola of an interval has it.

        step(w + x) = one - e x + g x^2 around w, on its side of zero.

        Args:
            w: of the planes' shape; down: bool, true where the pulse goes down.
            interval: of the table, int64 of the same shape.

        Returns:
            one (weight units), e (dimensionless) and g (1/weight units), float64.
        """
        assert self.table is not None
        size = torch.where(down, -self.down / self.unit_down, self.up / self.unit_up).double()
        value, slope, half = self.table.parabola(
            self.table.curve, self.which.long(), down.long(), interval, self.nominal(w)
        )
        stretch = self.stretch(w)
        return size * value, -size * slope * stretch, size * half * stretch**2

    def pulse_std(self, w: Tensor, down: Tensor, interval: Tensor | None = None) -> Tensor:
        """Standard deviation of one pulse at `w` that does not scale with its step, float64.

        Arguments as for `parabola`; of additive noise, and of measured steps: the table's own, or as the
        parabola of the interval has it.
        """
        size = torch.where(down, self.down, self.up).double()
        table, which = self.table, self.which.long()
        if table is None or table.sd is None:
            return self.noise_std * size
        size = size / torch.where(down, self.unit_down, self.unit_up)
        if interval is None:
            return size * table.tangent(table.sd, which, down.long(), self.nominal(w))[0]
        assert table.sd_curve is not None
        return size * table.parabola(table.sd_curve, which, down.long(), interval, self.nominal(w))[0]

    def nominal(self, w: Tensor) -> Tensor:
        """`w` scaled to the nominal range: each side of zero by its bound."""
        return w * self.stretch(w)

    def stretch(self, w: Tensor) -> Tensor:
        """Nominal over own bound, on the side of zero where `w` is."""
        top, bottom = self.response.w_max / self.upper, self.response.w_min / self.lower
        return torch.where(w >= 0, top, bottom)

    def _tabulated(self, w: Tensor, down: int) -> Tensor:
        assert self.table is not None
        at = self.nominal(w)
        value, _ = self.table.tangent(
            self.table.q, self.which.long(), torch.full_like(self.which, down).long(), at
        )
        return value.to(at.dtype)


@checked
def draw(device: Device, shape: tuple[int, int], key: Key) -> Elements:
    """Draw the elements of an array from a specification; the same key gives the same elements.

    Laws: see `Spread`. Two rules keep every element physical: the balance stays in [-0.9, 0.9], and a
    bound stays on its side of zero, at least `NEAREST` of the nominal bound away. An element whose step is
    longer than its range is one: pulses switch it from bound to bound.

    Args:
        device: the specification.
        shape: (rows, cols), both positive.
        key: (seed, array).

    Raises:
        InputError: when the shape is not two positive numbers.
    """
    rows, cols = check_shape(shape)
    response, spread = device.response, device.spread
    affine, shapes = isinstance(response, AffineResponse), None
    if spread.shaped:
        affine, shapes = False, tabulate_shapes(response, spread.shape_up, spread.shape_down)
        if isinstance(shapes, str):
            raise InputError(
                f"the spread has shape_up {spread.shape_up:g} and shape_down {spread.shape_down:g}, which "
                f"gives elements that have no table: lower them ({shapes})"
            )
    zero = torch.zeros((), dtype=torch.float64)
    base_up, base_down = float(response.q_plus(zero)), float(response.q_minus(zero))  # at w = 0
    slope_up, slope_down = response.slopes if isinstance(response, AffineResponse) and affine else (0.0, 0.0)
    several = response.devices if isinstance(response, Measured) else len(shapes.q) if shapes else 1

    def planes_of(row: Tensor) -> list[Tensor]:
        """up, down, lower, upper and which of these rows, or (1, 1) where all elements are alike."""

        def normal(purpose: int, std: float) -> Tensor:
            if not std:
                return torch.zeros(1, 1, dtype=torch.float64)
            return std * gaussians(cols, row, 0, purpose, key)

        z = normal(Purpose.GRANULARITY, spread.dw_min)
        gain = torch.exp(z) if spread.law == "lognormal" else (1 + z).abs()
        upper = response.w_max * (1 + normal(Purpose.UPPER, spread.w_max)).abs().clamp(min=NEAREST)
        lower = response.w_min * (1 + normal(Purpose.LOWER, spread.w_min)).abs().clamp(min=NEAREST)
        which = torch.zeros(1, 1, dtype=torch.int64)
        if several > 1:
            purpose = Purpose.SHAPE if shapes else Purpose.MEASURED_DEVICE
            which = words(cols, row, 0, purpose, key) * several >> 32
        if spread.symmetric_point is None:
            balance = spread.up_down_mean + normal(Purpose.UP_DOWN, spread.up_down)
        else:
            point = spread.symmetric_point_mean + normal(Purpose.SYMMETRIC_POINT, spread.symmetric_point)
            point = torch.minimum(torch.maximum(point, 0.9 * lower), 0.9 * upper)
            if affine:
                plus = base_up * (1 - slope_up * point / upper)
                minus = base_down * (1 - slope_down * point / lower)
            else:
                nominal = point * torch.where(point >= 0, response.w_max / upper, response.w_min / lower)
                plus, minus = response.q_plus(nominal), response.q_minus(nominal)
                if shapes:
                    at = nominal.expand(len(row), cols)
                    plus, minus = (shapes.tangent(shapes.q, which, torch.tensor(d), at)[0] for d in (0, 1))
            balance = (minus - plus) / (minus + plus)
        balance = balance.clamp(-0.9, 0.9)
        up = base_up * device.dw_min * gain * (1 + balance)
        down = base_down * device.dw_min * gain * (1 - balance)
        planes = torch.broadcast_tensors(up, down, lower, upper, which)
        return [plane.to(kind).contiguous() for plane, kind in zip(planes, KINDS, strict=True)]

    up, down, lower, upper, which = _by_rows(planes_of, rows, cols)
    table = shapes or ("" if affine else tabulate(response))
    return Elements(
        shape=(rows, cols),
        form="affine" if affine else "callable" if isinstance(table, str) else "table",
        noise=device.noise.kind,
        noise_std=float(device.noise.std),
        dw_min=float(device.dw_min),
        up=up,
        down=down,
        lower=lower,
        upper=upper,
        slope_up=float(slope_up),
        slope_down=float(slope_down),
        response=response,
        unit_up=1.0 if affine else base_up,
        unit_down=1.0 if affine else base_down,
        table=None if isinstance(table, str) else table,
        which=torch.zeros(1, 1, dtype=torch.int32)
        if affine
        else which,  # of which affine kernels know nothing
        reason=table if isinstance(table, str) else "",
    )


def _by_rows(planes_of: Callable[[Tensor], list[Tensor]], rows: int, cols: int) -> list[Tensor]:
    """Planes of an array, drawn some rows at a time: what is drawn takes four times the memory of a plane."""
    parts = torch.arange(rows).split(max(1, BLOCK // cols))
    first = planes_of(parts[0])
    if len(parts) == 1 or len(first[0]) < len(parts[0]) or (len(parts[0]) == 1 and first[0].shape[1] < cols):
        return first
    planes = [torch.empty(rows, cols, dtype=kind) for kind in KINDS]
    for part in parts:
        for plane, drawn in zip(planes, first if part is parts[0] else planes_of(part), strict=True):
            plane[part[0] : part[-1] + 1] = drawn
    return planes


def check_shape(shape: tuple[int, int]) -> tuple[int, int]:
    """The shape of an array as Python's integers.

    Raises:
        InputError: when it is not two positive integers.
    """
    ok = isinstance(shape, Sequence) and len(shape) == 2 and all(is_integer(n) and n > 0 for n in shape)
    if not ok:
        raise InputError(f"shape of the array is {shown(shape)}, but must be (rows, cols), both positive")
    rows, cols = int(shape[0]), int(shape[1])
    check_cells("an array", rows, cols)
    return rows, cols
