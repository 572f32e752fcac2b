"""Methods that map tensors value by value, as F and G do, refuse what is no tensor: `of_tensors`."""

from __future__ import annotations

import functools
import inspect
from typing import Any

import torch
from torch import Tensor

from .checked import kind_of
from .errors import InputError

__all__ = ["of_tensors"]


def of_tensors(cls: type, *names: str) -> None:
    """Have methods of a class refuse what is no tensor, or of shapes that do not fit; NaN they pass on.

    Where objects of the class have a number `n`, it is the tensors' last dimension.

    Raises:
        InputError: by the methods, naming the argument.
    """
    for name in names:
        if inspect.isfunction(method := vars(cls).get(name)) and not hasattr(method, "__isabstractmethod__"):
            setattr(cls, name, _of_tensors(method))


def _of_tensors(method: Any) -> Any:
    names = list(inspect.signature(method).parameters)[1:]

    @functools.wraps(method)
    def called(self: Any, *tensors: Tensor, **named: Tensor) -> Any:
        n = getattr(self, "n", None)
        for name, t in (*zip(names, tensors, strict=False), *named.items()):
            fits = isinstance(t, Tensor) and not t.is_complex()
            if not fits or (n is not None and (not t.dim() or t.shape[-1] != n)):
                shape = "" if n is None else f" (..., {n})"
                raise InputError(f"{name} is {kind_of(t)}, but must be a tensor of numbers{shape}")
        if len(tensors) + len(named) > 1:
            shapes = [t.shape for t in (*tensors, *named.values())]
            try:
                torch.broadcast_shapes(*shapes)
            except RuntimeError:
                told = ", ".join(str(tuple(shape)) for shape in shapes)
                raise InputError(f"tensors are {told}, but must be of shapes that fit each other") from None
        return method(self, *tensors, **named)

    return called
