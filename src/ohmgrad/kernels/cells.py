"""Elements as kernels take them: drawn, each array with the key of its random numbers, and a back end."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..devices import Device, Elements, draw
from ..devices.elements import PLANES
from ..errors import InputError, check_choice
from ..rng import Key

__all__ = ["BACKENDS", "Cells", "check_triton"]

BACKENDS = ("auto", "reference", "numba", "triton")
#: what turns Triton's interpreter on
INTERPRETER = "TRITON_INTERPRET"


def check_triton(place: torch.device) -> None:
    """Raise InputError unless the Triton back end serves elements on this device."""
    if importlib.util.find_spec("triton") is None:
        raise InputError(
            f"kernels for weights on {place} need Triton, which is not installed: pip install 'ohmgrad[gpu]'"
        )
    if place.type == "cpu" and os.environ.get(INTERPRETER) != "1":
        raise InputError(
            "backend 'triton' runs on a card, but the weights are on the CPU: call model.to('cuda'), or set "
            f"{INTERPRETER}=1 before the start, to have Triton's interpreter run it, slowly"
        )


@dataclass(frozen=True, eq=False)
class Cells:
    """The elements of T independent arrays of one shape, (rows, cols); a tile has one array.

    Use `Cells.of` or `Cells.draw`, which check the back end.
    """

    #: of each array
    elements: tuple[Elements, ...]
    #: seed and number of each array, which address its random numbers
    keys: tuple[Key, ...]
    #: "reference" (plain PyTorch), "numba" or "triton"
    backend: str
    #: what a back end makes of them, by its name; never copied
    packed: dict[str, Any] = field(default_factory=dict, repr=False)
    #: back end that was asked for: of several arrays each may be served by another
    asked: str = "auto"

    @staticmethod
    def of(
        elements: Elements | Sequence[Elements], keys: Key | Sequence[Key], backend: str = "auto"
    ) -> Cells:
        """The cells of one array, or of several of one shape.

        Args:
            elements: of one array, or of each.
            keys: of one array, or of each.
            backend: "auto" takes Triton on a card; on the CPU Numba where it serves the response, and plain
                PyTorch elsewhere.

        Raises:
            InputError: when the back end does not exist or cannot run the response.
        """
        arrays = (elements,) if isinstance(elements, Elements) else tuple(elements)
        addresses = (keys,) if isinstance(keys, Key) else tuple(keys)
        check_choice("backend", backend, BACKENDS)
        place, callables = arrays[0].up.device, [e for e in arrays if e.form == "callable"]
        served = backend
        if backend == "auto":
            served = "triton" if place.type != "cpu" else "reference" if callables else "numba"
        if callables and served != "reference":
            first = callables[0]
            raise InputError(
                f"backend {served!r} cannot run this {type(first.response).__name__}: {first.reason}; use "
                "backend 'reference', on the CPU"
            )
        if served == "triton":
            check_triton(place)
        elif place.type != "cpu":
            raise InputError(
                f"backend {served!r} runs on the CPU, but the weights are on {place}: use backend 'auto'"
            )
        return Cells(arrays, addresses, served, asked=backend)

    @staticmethod
    def draw(
        devices: Sequence[Device], shape: tuple[int, int], keys: Sequence[Key], backend: str = "auto"
    ) -> Cells:
        """The cells of one array (rows, cols) of each device; equal devices without spread share elements."""
        alike: dict[Device, Elements] = {}
        drawn = []
        for device, key in zip(devices, keys, strict=True):
            elements = alike.get(device)
            if elements is None:
                elements = draw(device, shape, key)
                if elements.up.numel() == 1:  # not so of several measured devices, even without spread
                    alike[device] = elements
            drawn.append(elements)
        return Cells.of(drawn, keys, backend)

    def __getstate__(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self)} | {"packed": {}}

    def to(self, place: torch.device) -> Cells:
        """The same cells on a device, served by the back end that is for it."""
        if self.elements[0].up.device == place:
            return self
        return Cells.of([e.to(place) for e in self.elements], self.keys, self.asked)

    def __len__(self) -> int:
        """Number of arrays T."""
        return len(self.elements)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of each array."""
        return self.elements[0].shape

    @property
    def lags(self) -> bool:
        """Whether the host does not wait for operations: errors show later, see `ops.check_status`."""
        return self.backend == "triton"

    def array(self, t: int) -> Cells:
        """One of the arrays."""
        return self if len(self) == 1 else self._arrays[t]

    # --- all arrays at once ------------------------------------------------------------------------

    @cached_property
    def affine(self) -> bool:
        """Whether the responses of all arrays are affine."""
        return all(e.form == "affine" for e in self.elements)

    @cached_property
    def planes(self) -> Tensor:
        """`up`, `down`, `lower` and `upper` of all arrays, float32 (4, T, rows, cols); (4, T, 1, 1) when the
        elements of every array are alike.
        """
        shape = self.shape if any(e.up.numel() > 1 for e in self.elements) else (1, 1)
        distinct = {id(e): e for e in self.elements}  # arrays may share elements
        number = {key: i for i, key in enumerate(distinct)}
        planes = [[getattr(e, name).expand(shape) for e in distinct.values()] for name in PLANES[:4]]
        stacked = torch.stack([torch.stack(plane) for plane in planes])
        return stacked[:, torch.tensor([number[id(e)] for e in self.elements])]

    @cached_property
    def dw_min(self) -> Tensor:
        """Granularity of each array, float64 (T,)."""
        return torch.tensor([e.dw_min for e in self.elements], dtype=torch.float64)

    def clip(self, w: Tensor) -> Tensor:
        """`w` (T, rows, cols) kept inside each element's bounds."""
        return torch.minimum(torch.maximum(w, self.planes[2].to(w)), self.planes[3].to(w))

    def q_plus(self, w: Tensor) -> Tensor:
        """q+ of every element at `w` (T, rows, cols), in units of its array's dw_min; float64."""
        return self._of_groups(lambda elements, at: elements.q_plus(w[at]))

    def q_minus(self, w: Tensor) -> Tensor:
        """q- of every element at `w` (T, rows, cols), in units of its array's dw_min; float64."""
        return self._of_groups(lambda elements, at: elements.q_minus(w[at]))

    def symmetric_point(self) -> Tensor:
        """Symmetric point of every element, float64 (T, rows, cols)."""
        return self._of_groups(lambda elements, _: elements.symmetric_point())

    @cached_property
    def _arrays(self) -> tuple[Cells, ...]:
        return tuple(Cells.of(e, key, self.asked) for e, key in zip(self.elements, self.keys, strict=True))

    @cached_property
    def _groups(self) -> list[tuple[Tensor, Elements]]:
        """Arrays of one response: their numbers, and their elements with planes of (k, rows, cols)."""
        groups: dict[Any, list[int]] = {}
        for t, e in enumerate(self.elements):
            groups.setdefault((e.response, e.dw_min, e.up.shape, id(e.table)), []).append(t)
        found = []
        for numbers in groups.values():
            elements = [self.elements[t] for t in numbers]
            one = elements[0]
            if any(e is not one for e in elements):
                planes = {name: torch.stack([getattr(e, name) for e in elements]) for name in PLANES}
                one = replace(one, packed={}, **planes)
            found.append((torch.tensor(numbers), one))
        return found

    def _of_groups(self, function: Callable[[Elements, Tensor | slice], Tensor]) -> Tensor:
        shape, groups = (len(self), *self.shape), self._groups
        if len(groups) == 1:  # a copy less
            return function(groups[0][1], slice(None)).double().expand(shape)
        out = torch.empty(shape, dtype=torch.float64)
        for at, elements in groups:
            out[at] = function(elements, at).double()
        return out
