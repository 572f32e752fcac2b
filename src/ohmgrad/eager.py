"""What torch.compile leaves alone: products with crossbars and steps run as they are, between its graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

from .errors import InputError

__all__ = ["uncompiled"]

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Break torch.compile's graph at `function`, which counts events and calls compiled kernels.

    torch's own decorator costs a microsecond in every call and imports its compiler for all.

    Raises:
        InputError: in torch.export, whose graph cannot break.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            if torch.compiler.is_exporting():
                raise InputError(
                    "torch.export takes no analog layers: export ohmgrad.to_digital(model), the plain model "
                    "that computes the same"
                )
            plain: Any = torch.compiler.disable(function)  # pyright: ignore[reportCallIssue]
            return plain(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped
