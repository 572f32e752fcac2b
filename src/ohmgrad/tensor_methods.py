"""Methods that map tensors value by value, as F and G do, refuse what is no tensor: `of_tensors`."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor

from .errors import InputError
from .type_words import kind_of

__all__ = ["of_tensors"]


def of_tensors(cls: type, *names: str) -> None:
    """Have methods of a class refuse what is no tensor, or of shapes that do not fit; NaN they pass on.

    Where objects of the class have a number `n`, it is the tensors' last dimension.

    Raises:
        InputError: by the methods, naming the argument.
    """
    has_n = any("n" in (*vars(above), *getattr(above, "__annotations__", ())) for above in cls.__mro__[:-1])
    for name in names:
        if inspect.isfunction(method := vars(cls).get(name)) and not hasattr(method, "__isabstractmethod__"):
            setattr(cls, name, _of_tensors(method, has_n))


def _of_tensors(method: Any, has_n: bool) -> Any:
    names = list(inspect.signature(method).parameters)[1:]

    @functools.wraps(method)
    def called(self: Any, *tensors: Tensor, **named: Tensor) -> Any:
        n = self.n if has_n else None
        if len(tensors) == 1 and not named and _fits(tensors[0], n):  # in theories a million times
            return method(self, tensors[0])
        _check(dict(zip(names, tensors, strict=False)) | named, n)
        return method(self, *tensors, **named)

    return called


def _fits(t: Any, n: int | None) -> bool:
    return isinstance(t, Tensor) and not t.is_complex() and (n is None or t.shape[-1:] == (n,))


def _check(tensors: dict[str, Any], n: int | None) -> None:
    for name, t in tensors.items():
        if not _fits(t, n):
            shape = "" if n is None else f" (..., {n})"
            raise InputError(f"{name} is {kind_of(t)}, but must be a tensor of numbers{shape}")
    try:
        torch.broadcast_shapes(*(t.shape for t in tensors.values()))
    except RuntimeError:
        shapes = ", ".join(f"{name} {tuple(t.shape)}" for name, t in tensors.items())
        raise InputError(f"shapes do not fit each other: {shapes}") from None
