"""A tensor without memory of its own gives a matrix to what asks for it outside of torch's operators."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor

__all__ = ["MatrixOnDemand"]


class MatrixOnDemand(Tensor):
    """What NumPy, pickles, DLPack and shared memory take from a tensor; abstract."""

    @abc.abstractmethod
    def to_dense(self, dtype: torch.dtype | None = None, *, masked_grad: bool | None = None) -> Tensor:
        """A copy as an ordinary tensor."""

    @abc.abstractmethod
    def kept_matrix(self) -> Tensor:
        """The same as one that lasts as long as this tensor, and may be written to."""

    @abc.abstractmethod
    def become(self, other: Tensor) -> None:
        """Have the values and the memory of another tensor from now on."""

    @property
    def data(self) -> Tensor:
        """As torch's. Setting it, torch would swap the memory that this tensor does not have."""
        return self.detach()

    @data.setter
    def data(self, other: Tensor) -> None:  # pyright: ignore[reportIncompatibleVariableOverride]
        self.become(other)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.to_dense().__reduce_ex__(protocol)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return memo.setdefault(id(self), self.clone())

    def __array__(self, dtype: Any = None) -> Any:
        return self.to_dense().__array__(dtype)

    def numpy(self, *, force: bool = False) -> Any:
        """The matrix as a NumPy array."""
        return self.to_dense().numpy(force=force)

    def tolist(self) -> Any:
        """The matrix as nested lists."""
        return self.to_dense().tolist()

    def __dlpack__(self, **options: Any) -> Any:
        return self.kept_matrix().__dlpack__(**options)

    def untyped_storage(self) -> torch.UntypedStorage:
        """The memory of the matrix, which shared memory and safetensors ask for."""
        return self.kept_matrix().untyped_storage()

    def data_ptr(self) -> int:
        """The address of the matrix."""
        return self.kept_matrix().data_ptr()
