"""Kernels that are compiled when another kernel first calls them, and memory that they share."""

# pyright: reportCallIssue=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from numba import types
from numba.np.numpy_support import from_dtype

from ohmgrad import Pulsing
from ohmgrad.cli.console import stops
from ohmgrad.kernels.cpu import late
from ohmgrad.kernels.cpu.compiling import carve, kernel, room
from ohmgrad.kernels.cpu.late import late_kernel
from ohmgrad.kernels.reference.trains import update_trains
from ohmgrad.rng import Key
from tests.updates import draw_trains


class Pair(NamedTuple):
    values: np.ndarray
    factor: float


@late_kernel(types.float64)
def weighted(pair, n, negative):
    total = 0.0
    for i in range(n):
        if pair.values[i] < 0.0:
            raise ValueError("a value below 0")
        total += pair.values[i] * pair.factor
    return -total if negative else total


@late_kernel(types.float64)
def unused(pair, n, negative):
    return no_such_name(pair, n, negative)  # pyright: ignore[reportUndefinedVariable] # noqa: F821


@kernel()
def both(values, n, bad):
    if bad:
        return unused(Pair(values, 2.0), n, False)
    return weighted(Pair(values, 2.0), n, False) + weighted(Pair(values, 3.0), n, True)


def dispatcher(name: str) -> Any:
    return late._KERNELS[f"{__name__}.{name}"][0]


def test_a_kernel_is_compiled_once_and_only_where_it_is_called() -> None:
    assert both(np.ones(3), 2, False) == 2 * 2.0 - 2 * 3.0
    assert both(np.ones(3), 3, False) == 3 * 2.0 - 3 * 3.0
    assert [len(dispatcher(name).overloads) for name in ("weighted", "unused")] == [1, 0]
    both(np.ones(3, np.float32), 2, False)
    assert len(dispatcher("weighted").overloads) == 2


def test_python_cannot_call_it() -> None:
    with pytest.raises(NotImplementedError):  # what Numba raises of a kernel without a wrapper
        weighted(Pair(np.ones(3), 2.0), 2, False)


def test_errors_reach_the_caller(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="a value below 0"):
        both(-np.ones(3), 2, False)
    with pytest.raises(RuntimeError, match="could not be compiled"):
        both(np.ones(3), 2, True)
    assert "no_such_name" in capfd.readouterr().err
    assert both(np.ones(3), 2, False) == -2.0


@kernel()
def stored(out, values):
    out[0] = weighted(Pair(values, 2.0), 2, False)
    out[1] = weighted(Pair(values, 3.0), 2, True)


@pytest.mark.usefixtures("ctrl_c")
@pytest.mark.parametrize("kind", [np.int64, np.int32])
def test_an_interrupt_waits_for_the_kernel(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came when the kernel had asked for another one, and ends what follows, not the kernel.

    For int32 within a command, whose handler raises once and is gone then.
    """
    own, out, outer = dispatcher("weighted"), np.zeros(2), cast("Any", stored)
    outer.compile((types.float64[::1], types.Array(from_dtype(np.dtype(kind)), 1, "C")))
    compiling = own.compile

    def interrupted(taken: Any) -> None:
        monkeypatch.undo()
        signal.raise_signal(signal.SIGINT)
        time.sleep(0.05)
        compiling(taken)

    monkeypatch.setattr(own, "compile", interrupted)

    def wait_for_it() -> None:
        stored(out, np.ones(3, kind))
        for _ in range(100):
            time.sleep(0.1)

    with stops() if kind is np.int32 else contextlib.nullcontext(), pytest.raises(KeyboardInterrupt):
        wait_for_it()
    assert out.tolist() == [4.0, -6.0]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_compiles_its_own() -> None:
    both(np.ones(3), 2, False)
    child = os.fork()
    if child == 0:
        os._exit(42 if both(np.ones(3, np.int16), 2, False) == -2.0 else 1)
    end = time.monotonic() + 60
    while not (ended := os.waitpid(child, os.WNOHANG))[0] and time.monotonic() < end:
        time.sleep(0.02)
    if not ended[0]:
        os.kill(child, signal.SIGKILL)
        ended = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(ended[1]) == 42


@kernel()
def filled(n):
    begin = room(0, 4 * n)
    memory = np.empty(begin + 8 * n, np.uint8)
    words, numbers = carve(memory, 0, (n,), np.uint32), carve(memory, begin, (n // 2, 2), np.float64)
    for i in range(n):
        words[i], numbers[i // 2, i % 2] = 7, i
    return words, numbers


def test_arrays_carved_from_memory_hold_it() -> None:
    words, numbers = filled(1000)
    held = [filled(1000) for _ in range(50)]
    assert (words == 7).all()
    assert (numbers == np.arange(1000.0).reshape(500, 2)).all()
    assert (words.dtype, numbers.dtype, len(held)) == (np.uint32, np.float64, 50)


def test_trains_of_very_many_lines() -> None:
    """Scratch of over a megabyte, which the system takes back as soon as it is free."""
    g = torch.Generator().manual_seed(1)
    x, d = torch.randn(3, 100_000, generator=g), torch.randn(3, 2, generator=g)
    xs, ds, _ = update_trains(x, d, 0.004, 0.001, Pulsing(), Key(3, 4), 7)
    fast_xs, fast_ds = draw_trains(x, d, 0.004, 0.001, Pulsing(), Key(3, 4), 7)
    assert torch.equal(fast_ds, ds)
    sent = (ds != 0).any(2).any(0)
    assert torch.equal(fast_xs[:, sent], xs[:, sent])
