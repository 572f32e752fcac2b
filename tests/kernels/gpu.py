"""The Triton back end for tests: where it runs, and its interpreter without what only takes time."""

from __future__ import annotations

import dataclasses
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

__all__ = ["PLACE", "interpreting", "needs_triton"]

#: a card, or the CPU for the interpreter
PLACE = "cuda" if torch.cuda.is_available() else "cpu"

needs_triton = pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="Triton is not installed: pip install 'ohmgrad[gpu]'"
)


@contextmanager
def interpreting() -> Iterator[None]:
    """Without checks for overflow, which is meant in Philox and takes the interpreter half of its time."""
    if PLACE != "cpu":
        yield
        return
    from triton.runtime.interpreter import interpreter_builder

    before = interpreter_builder.options
    interpreter_builder.options = dataclasses.replace(before, sanitize_overflow=False)
    try:
        yield
    finally:
        interpreter_builder.options = before
