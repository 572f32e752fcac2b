"""What torch.compile leaves alone: steps of analog optimizers run as they are, between its graphs."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import torch

__all__ = ["uncompiled"]

P = ParamSpec("P")
R = TypeVar("R")


def uncompiled(function: Callable[P, R]) -> Callable[P, R]:
    """Break torch.compile's graph at `function`, which counts events and calls compiled kernels.

    torch's own decorator costs a microsecond in every call and imports its compiler for all.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling():
            plain: Any = torch.compiler.disable(function)  # pyright: ignore[reportCallIssue]
            return plain(*args, **kwargs)
        return function(*args, **kwargs)

    return wrapped
