"""Elements that hold more than their weight: what they hold in planes, as checkpoints have it.

Products and reads see a tile's weights. Where a device asks for it, its elements hold something else, which
pulses and time act on, in the planes of `Tile.memory`, each (rows, cols):

    persistent         weights of the elements; plus, minus: of the two of a one-sided pair
    noise, slow        write noise and slow read noise, weight = persistent + noise + slow
    reference          weight = persistent - reference
    age, age_minus     steps of time since an element was last pulsed, int32
    fixed              where a weight is held, its value; NaN elsewhere (`Tile.hold`, of any device)
    clock              times that `wait` drew numbers; refreshes likewise: int64 tensors of one number, which
                       are counted in place, so that a state that was put into other containers goes on

The weights are made anew from these after each primitive. The next primitive takes over weights that a user
writes: elements then hold them as given, without write noise and slow read noise.
"""

from __future__ import annotations

import abc
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import Device
from ..errors import InputError
from ..kernels import Cells, ops
from ..rng import Purpose
from .cell_state import CellState
from .sub_array import SubArray

__all__ = ["StateWithPlanes"]

#: standard deviations that no number of Box-Muller on 32-bit words exceeds: sqrt(-2 log 2^-33) = 6.76
TOP_NORMAL = 6.8
#: what is one number for the whole array
NUMBERS = ("clock", "refreshes")
#: ages of the elements of each array
AGES = ("age", "age_minus")
#: noise on the weights that are seen
NOISES = ("noise", "slow")


class StateWithPlanes(CellState):
    """What states with planes share; abstract.

    Args:
        device: specification of the elements.
        arrays: the elements, one array of them or the two of pairs.
        memory: planes so far; those that the device asks for and that are missing are made.
        names: of planes that this kind of state has besides those for noise and time.
    """

    def __init__(
        self, device: Device, arrays: Sequence[SubArray], memory: dict[str, Any], names: Sequence[str]
    ) -> None:
        self.device, self.arrays, self.memory = device, arrays, memory
        self.cells = arrays[0].cells
        self._noise = device.write_noise * device.dw_min
        read = device.read_noise
        #: slow read noise, if the device has any
        self._slow = read if read is not None and read.slow else None
        noises = [n for n, there in zip(NOISES, (self._noise, self._slow), strict=True) if there]
        names = [*names, *noises, *(["clock"] if device.retention or self._slow else [])]
        names += AGES[: len(arrays)] if arrays[0].nu is not None else ()
        for name in names:
            shape = () if name in NUMBERS else self.cells.shape
            place = self.cells.elements[0].up.device
            memory.setdefault(name, torch.zeros(shape, dtype=_dtype(name), device=place))

    @abc.abstractmethod
    def planes(self, w: Tensor) -> Sequence[Tensor]:
        """Weights of the elements of each array, (rows, cols): planes, or `w` if they hold that."""

    @abc.abstractmethod
    def _write(self, w: Tensor, values: Tensor) -> None:
        """Have the elements hold weights `values` (rows, cols), as near as they can; not where NaN."""

    @abc.abstractmethod
    def _noiseless(self, memory: Mapping[str, Any]) -> Tensor | None:
        """Weights that go with planes, without noise; None where elements hold the weights."""

    @abc.abstractmethod
    def check(self, planes: Mapping[str, Any]) -> None:
        """Raise InputError unless the planes of a checkpoint are of this kind of device and of this shape."""

    def fits(self, w: Tensor, calibrated: bool = True) -> Tensor:
        """As `CellState.fits`, noise and rounding included."""
        noise = self._noise + (self._slow.slow * self.device.dw_min if self._slow else 0.0)
        slack = TOP_NORMAL * noise + 1e-6 * (self.device.response.w_max - self.device.response.w_min)
        return (w - self.nearest(w, calibrated)).abs() <= slack  # false for NaN

    def load_weights(self, w: Tensor) -> None:
        """As `CellState.load_weights`; noise and ages start anew, held weights are held as written."""
        memory = self.memory
        self._write(w, w)
        for name in (*NOISES, *AGES):
            if name in memory:
                memory[name].zero_()
        if (fixed := memory.pop("fixed", None)) is not None:
            # a value beyond its bound by write noise stays unless another is written; stuck ones stay
            value = torch.where(w == fixed, fixed, self.nearest(w)).contiguous()
            self._apply_stuck(w)
            seen = self.seen(memory)
            stuck = torch.cat([array.stuck for array in self.arrays])
            value.view(-1)[stuck] = (w if seen is None else seen).flatten()[stuck]
            memory["fixed"] = torch.where(fixed.isnan(), fixed, value)
        self.refresh_weights(w)

    def _apply_stuck(self, w: Tensor) -> None:
        for array, plane in zip(self.arrays, self.planes(w), strict=True):
            array.apply_stuck(plane)

    def seen(self, memory: Mapping[str, Any]) -> Tensor | None:
        """The weights that are seen of elements that hold `memory`; None where it has no plane of them."""
        w = self._noiseless(memory)
        if w is None:
            return None
        for name in NOISES:
            if name in memory:
                w = w + memory[name]
        return torch.where(memory["fixed"].isnan(), w, memory["fixed"]) if "fixed" in memory else w

    def refresh_weights(
        self, w: Tensor, pulsed: Sequence[Tensor] = (), cells: Cells | None = None, step: Tensor | None = None
    ) -> None:
        """Make the weights from the planes.

        Args:
            pulsed: bool (rows, cols) of each array, elements that were just pulsed: their ages start anew,
                and the write noise of their weights is drawn anew.
            cells, step: whose random numbers that has, and of which update, int64 (0-d).
        """
        memory = self.memory
        for name, some in zip(AGES, pulsed, strict=False):
            if name in memory:
                memory[name].masked_fill_(some, 0)
        self._apply_stuck(w)
        if pulsed and "noise" in memory:
            assert cells is not None
            assert step is not None
            some = pulsed[0] if len(pulsed) == 1 else pulsed[0] | pulsed[1]
            ops.normals_(memory["noise"], cells, step, Purpose.WRITE_NOISE, self._noise, some)
        if "fixed" in memory:
            self._write(w, memory["fixed"])
            for name in NOISES:
                if name in memory:
                    memory[name].masked_fill_(~memory["fixed"].isnan(), 0.0)
        seen = self.seen(memory)
        if seen is not None:
            w.copy_(seen)
        elif "fixed" in memory:
            w.copy_(torch.where(memory["fixed"].isnan(), w, memory["fixed"]))

    @property
    def _marks(self) -> bool:
        """Whether it matters which elements an update pulses."""
        return "noise" in self.memory or "age" in self.memory

    def hold(self, w: Tensor, mask: Tensor | None) -> None:
        """Hold the weights where `mask`, bool (rows, cols), is true; None lets all go."""
        self.memory.pop("fixed", None)
        if mask is not None and bool(mask.any()):
            self.memory["fixed"] = w.clone().masked_fill_(~mask, torch.nan)
        self.refresh_weights(w)

    def _check(self, planes: Mapping[str, Any], needed: Collection[str], others: Collection[str]) -> None:
        """Raise InputError unless all `needed` planes are there, and no more than `others`, in this shape."""
        shape = self.cells.shape
        for name, value in planes.items():
            got = tuple(value.shape) if isinstance(value, Tensor) else ()
            known = name in needed or name in others
            if not known or got != (() if name in NUMBERS else shape):
                raise InputError(
                    f"memory {name!r} {got} does not fit a tile of {shape} that remembers "
                    f"{', '.join(sorted(needed)) or 'nothing'}: load it into a model of the same device"
                )
        if missing := sorted({*needed} - {*planes}):
            raise InputError(
                f"memory has no {missing[0]!r}, which elements of this device hold beside the weights: "
                "load it into a model of the same device"
            )

    def restore(self, w: Tensor, planes: Mapping[str, Any]) -> None:
        """Take over the planes of a checkpoint; a calibration that it does not have is forgotten.

        Raises:
            InputError: as `check`; nothing is changed then.
        """
        self.check(planes)
        fixed = self.memory.get("fixed")
        for name in {*self.memory} - {*planes}:  # of a calibration, or a mask
            del self.memory[name]
        for name, value in planes.items():
            kept = torch.as_tensor(value, dtype=_dtype(name), device=w.device).detach()
            self.memory[name] = kept.clone(memory_format=torch.contiguous_format)
        for array, plane in zip(self.arrays, self.planes(w), strict=True):
            plane.copy_(array.clip(plane))  # weights that elements hold may have been written
        self.refresh_weights(w)
        if fixed is not None and "fixed" not in planes:  # a state from before: held at its values
            self.hold(w, ~fixed.isnan())

    def wait(self, w: Tensor, steps: int) -> None:
        """Let `steps` steps of time pass, see `Retention`, `ReadNoise`; at once where that is exact in law.

        That is so of read noise, and where drift comes alone, or decay and diffusion without drift.
        """
        if "clock" not in self.memory:
            return
        clock, retention = self.memory["clock"], self.device.retention
        self._advance_slow(steps)
        mixed = retention and retention.drift and (retention.lifetime is not None or retention.diffusion)
        at_once = 1 if mixed else steps
        for _ in range(steps // at_once):
            for array, plane, age in zip(self.arrays, self.planes(w), AGES, strict=False):
                if retention is not None:
                    array.wait(plane, self.memory.get(age), at_once, clock, retention)
            clock.add_(1)
        self.refresh_weights(w)

    def _advance_slow(self, steps: int) -> None:
        """`steps` steps of time for the slow read noise."""
        if self._slow is None:
            return
        slow, dw_min = self.memory["slow"], self.device.dw_min
        left, added = self._slow.left(steps)
        new = ops.normals_(torch.empty_like(slow), self.cells, self.memory["clock"], Purpose.SLOW_READ)
        top = TOP_NORMAL * self._slow.slow * dw_min  # farther than any number of a single draw: `fits` asks
        slow.mul_(left).add_(new, alpha=added * dw_min).clamp_(-top, top)


def _dtype(name: str) -> torch.dtype:
    if name in NUMBERS:
        return torch.int64
    return torch.int32 if name in AGES else torch.float32
