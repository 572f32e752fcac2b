"""Elements as kernels take them: drawn, each array with the key of its random numbers, and a back end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ..devices import Elements
from ..errors import InputError, check_choice
from ..rng import Key

__all__ = ["BACKENDS", "Cells"]

BACKENDS = ("auto", "reference", "numba")


@dataclass(frozen=True, eq=False)
class Cells:
    """The elements of T independent arrays of one shape, (rows, cols); a tile has one array.

    Use `Cells.of`, which checks the back end.
    """

    #: of each array
    elements: tuple[Elements, ...]
    #: seed and number of each array, which address its random numbers
    keys: tuple[Key, ...]
    #: "reference" (plain PyTorch) or "numba"
    backend: str
    #: what a back end makes of them, by its name; never copied
    packed: dict[str, Any] = field(default_factory=dict, repr=False)

    @staticmethod
    def of(
        elements: Elements | Sequence[Elements], keys: Key | Sequence[Key], backend: str = "auto"
    ) -> Cells:
        """The cells of one array, or of several of one shape.

        Args:
            elements: of one array, or of each.
            keys: of one array, or of each.
            backend: "auto" takes Numba where it serves the response, and plain PyTorch elsewhere.

        Raises:
            InputError: when the back end does not exist or cannot run the response.
        """
        if isinstance(elements, Elements):
            elements, keys = (elements,), (keys,)  # type: ignore[assignment]
        check_choice("backend", backend, BACKENDS)
        callables = [e for e in elements if e.form == "callable"]
        if callables and backend == "numba":
            first = callables[0]
            raise InputError(
                f"backend 'numba' cannot run this {type(first.response).__name__}: {first.reason}; use "
                "backend 'reference'"
            )
        served = "reference" if callables or backend == "reference" else "numba"
        return Cells(tuple(elements), tuple(keys), served)  # pyright: ignore[reportArgumentType]

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "packed": {}}

    def __len__(self) -> int:
        """Number of arrays T."""
        return len(self.elements)

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, cols) of each array."""
        return self.elements[0].shape

    def array(self, t: int) -> Cells:
        """One of the arrays."""
        return self if len(self) == 1 else Cells((self.elements[t],), (self.keys[t],), self.backend)
