"""Elements that hold more than a weight, one for each: stuck, noisy, forgetful, referenced or held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..devices import Device, Reference
from ..kernels import Cells, Pulsing, ops
from ..kernels.reference.digital import most_counts
from ..rng import Purpose, gaussians
from .events import Counters
from .planes import StateWithPlanes
from .sub_array import SubArray, draw_sub_array

__all__ = ["MemoryState"]


class MemoryState(StateWithPlanes):
    """One element for each weight; see `StateWithPlanes`.

    Args:
        strided: whether the weights are a block of a wider matrix: elements are pulsed in whole planes.
    """

    def __init__(self, device: Device, cells: Cells, memory: dict[str, Any], strided: bool) -> None:
        whole = device.memoryless or not strided
        #: whether the device asks for a plane of the elements' own weights
        noisy = device.write_noise or (device.read_noise is not None and device.read_noise.slow)
        self._own = bool(noisy) or device.reference is not None or not whole
        super().__init__(device, [draw_sub_array(device, cells)], memory, ["persistent"] * self._own)
        (self.array,) = self.arrays
        if device.reference is not None and "reference" not in memory:
            memory["reference"] = _draw_reference(device.reference, self.array)

    def held(self, w: Tensor) -> Tensor:
        return self.memory.get("persistent", w)

    def planes(self, w: Tensor) -> Sequence[Tensor]:
        return [self.held(w)]

    def nearest(self, w: Tensor, calibrated: bool = True) -> Tensor:
        reference = self.memory.get("reference")
        if reference is not None and (calibrated or self.device.reference is not None):
            return self.array.clip(w + reference) - reference
        return self.array.clip(w)

    def _write(self, w: Tensor, values: Tensor) -> None:
        reference = self.memory.get("reference")
        self.array.put(self.held(w), values if reference is None else values + reference)

    def _noiseless(self, memory: Mapping[str, Any]) -> Tensor | None:
        if "reference" in memory:
            return memory["persistent"] - memory["reference"]
        return memory.get("persistent")

    def check(self, planes: Mapping[str, Any]) -> None:
        needed = {*self.memory} - self._added() - {"fixed"}
        needed |= {"persistent"} if "reference" in planes else set()
        self._check(planes, needed, ("fixed", "persistent", "reference"))

    def pulse(self, w: Tensor, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing, counters: Counters) -> None:
        held, step = self.held(w), counters.updates
        pulsed = [torch.zeros_like(w, dtype=torch.bool)] if self._marks else []
        ops.pulsed_update_(held, self.cells, x, d, lr, pulsing, step, counters.pulses, *pulsed)
        self.refresh_weights(w, pulsed, self.cells, step)

    def apply_counts(self, w: Tensor, n: Tensor, fidelity: str, counters: Counters) -> None:
        held, step, most = self.held(w), counters.updates, most_counts(self.array.elements)
        ops.apply_counts_(held, self.cells, n, fidelity, step, counters.pulses, most)
        self.refresh_weights(w, [n != 0], self.cells, step)

    def program(self, w: Tensor, target: Tensor, rounds: int, fidelity: str, counters: Counters) -> None:
        self._program_by_counts(w, target, rounds, fidelity, counters)

    def calibrate(self, w: Tensor, read: Tensor) -> None:
        """Add what was read, (rows, cols), to the reference, so that weights there become 0.

        The reference of held weights stays, as they do.
        """
        memory = self.memory
        if "fixed" in memory:
            read = torch.where(memory["fixed"].isnan(), read, 0.0)
        if "persistent" not in memory:
            memory["persistent"] = w.clone()
        memory["reference"] = memory.get("reference", torch.zeros_like(w)) + read
        self.refresh_weights(w)

    def forget_calibration(self) -> None:
        """Forget the reference of `calibrate`; the weights are to be made anew."""
        for name in self._added():
            self.memory.pop(name, None)

    def _added(self) -> set[str]:
        """Planes that only a calibration makes."""
        if self.device.reference is not None:
            return set()
        return {"reference"} if self._own else {"reference", "persistent"}


def _draw_reference(reference: Reference, array: SubArray) -> Tensor:
    """Reference of every element, float32 (rows, cols); law: see `Reference`."""
    elements = array.elements.to(torch.device("cpu"))  # where numbers are the same for all devices
    rows, cols = elements.shape
    at = elements.symmetric_point() if isinstance(reference.at, str) else torch.tensor(reference.at)
    z = gaussians(cols, torch.arange(rows), 0, Purpose.REFERENCE, array.key)
    value = (at + reference.std * z).float().expand(rows, cols)
    return array.clip(value.to(array.elements.up.device)).contiguous()
