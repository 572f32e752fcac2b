"""A stack of arrays of one row, one for each run, that are pulsed together."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from ..devices import Device
from ..errors import InputError, check_integer
from ..kernels import Cells, Pulsing, ops
from ..rng import Key
from .samples import Samples

__all__ = ["Arrays"]


class Arrays:
    """T arrays of 1 x n elements: array t has the elements, the noise and the trains of

        Tile((1, n), devices[t], pulsing=pulsing, seed=seeds[t], array=array)

    to the bit at fidelity "pulsed" and "pulse-by-pulse" (weights are float32). At fidelity "mean"
    weights are float64 and follow the discrete-time dynamics w + dw F(w) - |dw| G(w). Where there
    are pulses, responses that are not affine take one array after the other.

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
        if not all(device.memoryless for device in devices):
            raise InputError(
                "a device has stuck elements, write or read noise, retention, a pair or a reference, but "
                "ensembles know responses, spread and noise only: train a Tile, or leave these out"
            )
        self.n, self.pulsing = n, pulsing
        self.cells = Cells.draw(devices, (1, n), [Key(seed, array) for seed in seeds])
        #: updates of every array so far, int64 (0-d); they address the random numbers of the next
        self.updates = torch.zeros((), dtype=torch.int64)
        #: pulses up, pulses down, line toggles and slots of every array, int64 (T, 4)
        self.events = torch.zeros(len(self), 4, dtype=torch.int64)
        #: samples of parallel updates so far, and in how many of them lines were clipped, int64 (T,): those
        #: that needed more than `max_bl` pulses for their largest change, which falls short
        self.parallel, self.clipped = 0, torch.zeros(len(self), dtype=torch.int64)
        _check_start(start, devices, n)
        dtype = torch.float64 if pulsing.fidelity == "mean" else torch.float32
        self._w = self.cells.clip(start.to(dtype).unsqueeze(1)).contiguous()

    def __len__(self) -> int:
        """Number of arrays T."""
        return len(self.cells)

    @property
    def w(self) -> Tensor:
        """The weights, (T, n)."""
        return self._w.squeeze(1)

    @property
    def weight(self) -> Tensor:
        """Weights as float64 (T, n), to be read only: at fidelity "mean" they share the arrays' memory."""
        return self.w.double()

    @property
    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper bound of every element, float32 (T, n)."""
        lower, upper = self.cells.planes[2:].squeeze(2).expand(2, *self.w.shape)
        return lower, upper

    def symmetric_point(self) -> Tensor:
        """Symmetric point of every element, float64 (T, n)."""
        return self.cells.symmetric_point().squeeze(1)

    def pulse(self, x: Tensor | Samples, lr: float | Tensor) -> None:
        """Parallel update of every array, w[t] += lr[t] x[t] in expectation and to first order.

        As `Tile.pulse` with d = 1; with samples as that with all of them, x = lines and d = errors.

        Args:
            x: (T, n), or samples.
            lr: a number, or (T,); negative to descend.

        Raises:
            InputError: when a shape does not match or a value is not finite; nothing is changed then.
        """
        w, pulsing = self._w, self.pulsing
        lines, errors = (factor.to(w.dtype).contiguous() for factor in self._samples(x))
        rates = torch.as_tensor(lr, dtype=torch.float64)
        ops.pulsed_update_(w, self.cells, lines, errors, rates, pulsing, self.updates, self.events)
        if pulsing.fidelity != "mean":
            from . import compiled  # numba takes half a second to import

            need = (rates.abs() / self.cells.dw_min).numpy()
            clipped = self.clipped.numpy()
            compiled.clipped(lines.numpy(), errors.squeeze(2).numpy(), need, pulsing.max_bl, clipped)
            self.parallel += errors.shape[1]
        self.updates += 1

    def _samples(self, x: Tensor | Samples) -> tuple[Tensor, Tensor]:
        """Lines (1 or T, samples, n) and errors (T, samples, 1)."""
        arrays, n = len(self), self.n
        if isinstance(x, Tensor):
            if x.shape != (arrays, n):
                raise InputError(f"x is {tuple(x.shape)}, but these arrays need {(arrays, n)}")
            return x.unsqueeze(1), torch.ones(arrays, 1, 1)
        lines, errors = x.stacked, x.errors
        samples = lines.shape[1]
        fit = tuple(lines.shape) in ((1, samples, n), (arrays, samples, n))
        if not fit or errors.shape != (arrays, samples):
            raise InputError(
                f"lines are {tuple(x.lines.shape)} and errors {tuple(errors.shape)}, but these arrays need "
                f"lines of (samples, {n}) or ({arrays}, samples, {n}), and errors of ({arrays}, samples)"
            )
        return lines, errors.unsqueeze(2)

    def zero_shift(self, n: int) -> None:
        """n pairs of one pulse up and one down on every element: each drifts to its symmetric point.

        As `Tile.zero_shift`; Kim et al. 2019 (arXiv 1907.10228).

        Raises:
            InputError: when n is not an integer of at least 0.
        """
        one = torch.ones(1, 1, self.n, dtype=torch.int64)
        for sign in (1, -1) * check_integer("number of pulse pairs", n, 0):
            ops.apply_counts_(
                self._w, self.cells, sign * one, self.pulsing.fidelity, self.updates, self.events
            )
            self.events[:, 2] += self.n + 1  # every line, the one d-line too
            self.events[:, 3] += 1
            self.updates += 1


def _check_start(start: Tensor, devices: Sequence[Device], n: int) -> None:
    if start.shape != (len(devices), n):
        raise InputError(f"start is {tuple(start.shape)}, but must be {(len(devices), n)}")
    ends = [(d.response.w_min, d.response.w_max) for d in devices]
    low, high = torch.tensor(ends, dtype=torch.float64).unsqueeze(-1).unbind(1)
    wrong = ~((start >= low) & (start <= high))  # true for NaN too
    if bool(wrong.any()):
        t = int(wrong.any(1).nonzero()[0])
        raise InputError(
            f"start {float(start[wrong][0]):g} of array {t} is outside its device's range "
            f"[{ends[t][0]:g}, {ends[t][1]:g}]: start inside it, or use a wider device"
        )
