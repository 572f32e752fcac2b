"""A stack of arrays of one row, one for each run, that are pulsed together."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..devices import Device, Elements, draw
from ..errors import InputError, check_integer
from ..kernels import Cells, Pulsing, ops
from ..rng import Key
from .samples import Samples

if TYPE_CHECKING:
    from ..kernels.cpu.stack import Packed

__all__ = ["Arrays"]


class Arrays:
    """T arrays of 1 x n elements: run t has the elements, the noise and the trains of

        Tile((1, n), devices[t], pulsing=pulsing, seed=seeds[t], array=array)

    to the bit at fidelity "pulsed" and "pulse-by-pulse" (weights are float32). At fidelity "mean"
    weights are float64 and follow the discrete-time dynamics w + dw F(w) - |dw| G(w). Where there
    are pulses, responses that are not affine run one after the other.

    Args:
        devices: T specifications; equal ones are drawn once where their elements are alike.
        n: columns.
        seeds: T seeds, each in [0, 2^32).
        array: number of the array, in [0, 2^32).
        pulsing: how wanted changes become pulses.
        start: weights, (T, n), inside each device's nominal range; an element whose own bound is
            nearer starts there.

    Raises:
        InputError: when a starting weight is outside the device's range or not finite.
    """

    def __init__(
        self,
        devices: Sequence[Device],
        n: int,
        seeds: Sequence[int],
        *,
        array: int = 0,
        pulsing: Pulsing,
        start: Tensor,
    ) -> None:
        self.devices, self.n, self.pulsing = tuple(devices), n, pulsing
        if not all(device.memoryless for device in self.devices):
            raise InputError(
                "a device has stuck elements, write noise, retention, a pair or a reference, but ensembles "
                "know responses, spread and noise only: train a Tile, or leave these out"
            )
        self.keys = [Key(seed, array) for seed in seeds]
        #: the drawn elements of each run; runs with one device and no spread share them
        self.elements = _draw_all(self.devices, n, self.keys)
        #: updates of every run so far; they address the random numbers of the next
        self.updates = 0
        #: pulses up, pulses down, line toggles and slots of every run, int64 (T, 4)
        self.events = torch.zeros(len(self.devices), 4, dtype=torch.int64)
        #: samples of parallel updates so far, and in how many of them lines were clipped, int64 (T,): those
        #: that needed more than `max_bl` pulses for their largest change, which falls short
        self.parallel, self.clipped = 0, torch.zeros(len(self.devices), dtype=torch.int64)
        self._dw_min = torch.tensor([device.dw_min for device in self.devices], dtype=torch.float64)
        self._one_by_one = any(e.form != "affine" for e in self.elements)
        self._check_start(start)
        dtype = torch.float64 if pulsing.fidelity == "mean" else torch.float32
        #: the weights, (T, n)
        self.w = self.clip(start.to(dtype)).contiguous()

    def __len__(self) -> int:
        """Number of runs T."""
        return len(self.devices)

    @property
    def weight(self) -> Tensor:
        """Weights as float64 (T, n), to be read only: at fidelity "mean" they share the array's memory."""
        return self.w.double()

    @cached_property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bound of every element, float32 (T, n)."""
        return self._full(2), self._full(3)

    def clip(self, w: Tensor) -> Tensor:
        """`w` (T, n) kept inside each element's bounds."""
        low, high = self.bounds
        return torch.minimum(torch.maximum(w, low.to(w)), high.to(w))

    def q_plus(self, w: Tensor) -> Tensor:
        """q+ of every element at `w` (T, n), in units of its run's dw_min; (T, n)."""
        return self._of_devices(lambda e, index: e.q_plus(w[index]))

    def q_minus(self, w: Tensor) -> Tensor:
        """q- of every element at `w` (T, n), in units of its run's dw_min; (T, n)."""
        return self._of_devices(lambda e, index: e.q_minus(w[index]))

    def symmetric_point(self) -> Tensor:
        """Symmetric point of every element, float64 (T, n)."""
        return self._of_devices(lambda e, index: e.symmetric_point().double())

    # --- primitives --------------------------------------------------------------------------------

    def pulse(self, x: Tensor | Samples, lr: float | Tensor) -> None:
        """Parallel update of every run, w[t] += lr[t] x[t] in expectation and to first order.

        As `Tile.pulse` with d = 1; with samples as that with all of them, x = lines and d = errors.

        Args:
            x: (T, n), or samples.
            lr: a number, or (T,); negative to descend.

        Raises:
            InputError: when a shape does not match or a value is not finite; nothing is changed then.
        """
        lines, errors = self._samples(x)
        rate = torch.as_tensor(lr, dtype=torch.float64).expand(len(self)).contiguous()
        mean = self.pulsing.fidelity == "mean"
        kind = torch.float64 if mean else torch.float32
        lines, errors = lines.to(kind).contiguous(), errors.to(kind).contiguous()
        if not all(bool(torch.isfinite(t).all()) for t in (lines, errors, rate)):
            _raise_not_finite(lines, errors, rate)
        if mean:
            self._change(lines, errors, rate)
            self.updates += 1
            return
        from . import kernels  # numba takes half a second to import

        need = (rate.abs() / self._dw_min).numpy()
        kernels.clipped(lines.numpy(), errors.numpy(), need, self.pulsing.max_bl, self.clipped.numpy())
        self.parallel += errors.shape[1]
        if self._one_by_one:
            self._pulse_one_by_one(lines, errors, rate)
        else:
            from ..kernels.cpu.stack import pulse_runs

            own = (self.w.numpy(), self._packed, lines.numpy(), errors.numpy(), rate.numpy())
            pulse_runs(*own, self.pulsing, self.updates, self.events.numpy())
        self.updates += 1

    def _samples(self, x: Tensor | Samples) -> tuple[Tensor, Tensor]:
        """Lines (1 or T, S, n) and errors (T, S)."""
        runs, n = self.w.shape
        if isinstance(x, Tensor):
            if x.shape != (runs, n):
                raise InputError(f"x is {tuple(x.shape)}, but these arrays need {(runs, n)}")
            return x.unsqueeze(1), torch.ones(runs, 1)
        lines, errors = x.stacked, x.errors
        samples = lines.shape[1]
        if tuple(lines.shape) not in ((1, samples, n), (runs, samples, n)) or errors.shape != (runs, samples):
            raise InputError(
                f"lines are {tuple(x.lines.shape)} and errors {tuple(errors.shape)}, but these arrays need "
                f"lines of (samples, {n}) or ({runs}, samples, {n}), and errors of ({runs}, samples)"
            )
        return lines, errors

    def zero_shift(self, n: int) -> None:
        """n pairs of one pulse up and one down on every element: each drifts to its symmetric point.

        As `Tile.zero_shift`; Kim et al. 2019 (arXiv 1907.10228).

        Raises:
            InputError: when n is not an integer of at least 0.
        """
        for sign in (1, -1) * check_integer("number of pulse pairs", n, 0):
            self._count(sign)
            self.events[:, 0 if sign > 0 else 1] += self.n
            self.events[:, 2] += self.n + 1  # every line, the one d-line too
            self.events[:, 3] += 1
            self.updates += 1

    # --- the roads ---------------------------------------------------------------------------------

    def _change(self, x: Tensor, d: Tensor, lr: Tensor) -> None:
        if self._one_by_one:
            for xb, db in zip(x.unbind(1), d.unbind(1), strict=True):
                dw = (lr * db).unsqueeze(1) * xb
                q = torch.where(dw >= 0, self.q_plus(self.w), self.q_minus(self.w))
                self.w = self.clip(self.w + dw * q)
        else:
            from ..kernels.cpu.stack import change_runs

            change_runs(self.w.numpy(), self._packed, x.numpy(), d.numpy(), lr.numpy())

    def _pulse_one_by_one(self, x: Tensor, d: Tensor, lr: Tensor) -> None:
        every = x.expand(len(self), *x.shape[1:])
        step = torch.tensor(self.updates)
        for t, (elements, key) in enumerate(zip(self.elements, self.keys, strict=True)):
            own = (self.w[t : t + 1], Cells.of(elements, key), every[t], d[t].unsqueeze(1), float(lr[t]))
            ops.pulsed_update_(*own, self.pulsing, step, self.events[t])

    def _count(self, sign: int) -> None:
        counts = torch.full((1, self.n), sign, dtype=torch.int64)
        fidelity = self.pulsing.fidelity
        if fidelity == "mean":
            one = torch.ones(len(self), 1, dtype=torch.float64)
            self._change(torch.full_like(self.w, sign).unsqueeze(1), one, self._dw_min)
        elif self._one_by_one:
            step = torch.tensor(self.updates)
            for t, (elements, key) in enumerate(zip(self.elements, self.keys, strict=True)):
                ops.apply_counts_(self.w[t : t + 1], Cells.of(elements, key), counts, fidelity, step)
        else:
            from ..kernels.cpu.stack import count_runs

            count_runs(self.w.numpy(), self._packed, counts.numpy(), fidelity, self.updates)

    # --- elements ----------------------------------------------------------------------------------

    @cached_property
    def _places(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The four planes, (4, N), and where each run has its own in them: first value and number."""
        at: dict[int, int] = {}
        kept: list[Elements] = []
        size = 0
        for e in self.elements:
            if id(e) not in at:
                at[id(e)] = size
                size += e.up.numel()
                kept.append(e)
        rows = [[getattr(e, p).numpy().ravel() for e in kept] for p in ("up", "down", "lower", "upper")]
        planes = np.stack([np.concatenate(row) for row in rows])
        first = np.array([at[id(e)] for e in self.elements], np.int64)
        return planes, first, np.array([e.up.numel() for e in self.elements], np.int64)

    @cached_property
    def _packed(self) -> Packed:
        from ..kernels.cpu.packing import FLAT
        from ..kernels.cpu.stack import ADDITIVE, MULTIPLICATIVE, NOISELESS, Packed

        planes, first, width = self._places
        slopes = np.array([(e.slope_up, e.slope_down) for e in self.elements], np.float64)
        if self.pulsing.fidelity != "mean":  # the collapse divides by them
            slopes = np.where(np.abs(slopes) < FLAT, FLAT, slopes)
        kinds = {"additive": ADDITIVE, "multiplicative": MULTIPLICATIVE}
        return Packed(
            planes=planes,
            first=first,
            width=width,
            slopes=slopes,
            kind=np.array([kinds[e.noise] if e.noise_std else NOISELESS for e in self.elements], np.int64),
            std=np.array([e.noise_std for e in self.elements], np.float32),
            dw_min=np.array([e.dw_min for e in self.elements], np.float64),
            seed=np.array([key.seed for key in self.keys], np.uint32),
            array=np.array([key.array for key in self.keys], np.uint32),
        )

    def _full(self, plane: int) -> Tensor:
        planes, first, width = self._places
        columns = np.where((width == 1)[:, None], 0, np.arange(self.n))
        return torch.from_numpy(planes[plane][first[:, None] + columns])

    @cached_property
    def _groups(self) -> list[tuple[Tensor, Elements]]:
        """Runs that share a device: their numbers, and their elements as one array."""
        runs: dict[Device, list[int]] = {}
        for t, device in enumerate(self.devices):
            runs.setdefault(device, []).append(t)
        return [(torch.tensor(index), _stack(self.elements[t] for t in index)) for index in runs.values()]

    def _of_devices(self, function: Callable[[Elements, Tensor], Tensor]) -> Tensor:
        out = torch.empty(len(self), self.n, dtype=torch.float64)
        for index, elements in self._groups:
            out[index] = function(elements, index).double().expand(len(index), self.n)
        return out

    def _check_start(self, start: Tensor) -> None:
        if start.shape != (len(self), self.n):
            raise InputError(f"start is {tuple(start.shape)}, but must be {(len(self), self.n)}")
        ends = [(d.response.w_min, d.response.w_max) for d in self.devices]
        low, high = torch.tensor(ends, dtype=torch.float64).unsqueeze(-1).unbind(1)
        wrong = ~((start >= low) & (start <= high))  # true for NaN too
        if bool(wrong.any()):
            t = int(wrong.any(1).nonzero()[0])
            raise InputError(
                f"start {float(start[wrong][0]):g} of run {t} is outside its device's range "
                f"[{ends[t][0]:g}, {ends[t][1]:g}]: start inside it, or use a wider device"
            )


def _draw_all(devices: Sequence[Device], n: int, keys: Sequence[Key]) -> list[Elements]:
    alike: dict[Device, Elements] = {}
    found = []
    for device, key in zip(devices, keys, strict=True):
        elements = alike.get(device)
        if elements is None:
            elements = draw(device, (1, n), key)
            if elements.up.numel() == 1:  # not so of several measured devices, even without spread
                alike[device] = elements
        found.append(elements)
    return found


def _stack(elements: Iterable[Elements]) -> Elements:
    """The rows of several arrays of one device as one array."""
    rows = list(elements)
    if rows[0].up.numel() == 1:
        return rows[0]
    planes = {p: torch.cat([getattr(e, p) for e in rows]) for p in ("up", "down", "lower", "upper", "which")}
    return replace(rows[0], shape=(len(rows), rows[0].shape[1]), packed={}, **planes)


def _raise_not_finite(x: Tensor, d: Tensor, lr: Tensor) -> None:
    for name, t in (("lr", lr), ("the error", d), ("x", x)):
        bad = (~torch.isfinite(t)).nonzero()
        if len(bad):
            at = tuple(bad[0].tolist())
            where = "the lines of all runs" if name == "x" and len(x) < len(d) else f"run {at[0]}"
            raise InputError(
                f"{name} has the value {float(t[at])} in {where}, but must be finite: "
                "the run has diverged (lower the learning rate)"
            )
