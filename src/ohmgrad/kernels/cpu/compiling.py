"""How kernels are compiled: options, cache, threads, and arrays whose references are not counted."""

# pyright: reportAttributeAccessIssue=false
# (Numba's settings are made when it is imported)

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from types import FunctionType
from typing import Any, NamedTuple

import llvmlite.ir as ir
import numba
import torch
from numba import njit, types
from numba.core import cgutils, config, event
from numba.extending import intrinsic, register_jitable
from numba.np.arrayobj import populate_array

from ...kernel_cache import cache_folder, keep

__all__ = ["CONTRACT", "PARALLEL_FROM", "Twice", "carve", "chunks_for", "kernel", "no_refcount", "part",
           "room", "serial_and_parallel", "threads"]  # fmt: skip

CONTRACT = {"contract"}  # fused multiply-add, and no other liberty with floats
#: cell-samples from which an update is shared by threads
PARALLEL_FROM = 100_000


class _Notice(event.Listener):
    """Tells whoever looks at a terminal or a notebook, once, that kernels are being compiled."""

    told = False

    def on_start(self, event: Any) -> None:
        seen = sys.stderr.isatty() or "ipykernel" in sys.modules
        own = event.data["dispatcher"].py_func.__module__.startswith(__name__.partition(".")[0])
        if seen and own and not self.told:
            print(f"ohmgrad: compiling kernels, once; they are kept in {cache_folder()}", file=sys.stderr)
            self.told = True

    def on_end(self, event: Any) -> None:
        pass


class _NoCollections(event.Listener):
    """Keeps Python from collecting garbage while kernels are compiled, a seventh of the time otherwise."""

    depth, paused = 0, False

    def on_start(self, event: Any) -> None:
        if self.depth == 0:
            self.paused = gc.isenabled()
            gc.disable()
        self.depth += 1

    def on_end(self, event: Any) -> None:
        self.depth -= 1
        if self.depth == 0 and self.paused:
            gc.enable()


for _listener in (_Notice(), _NoCollections()):
    event.register("numba:compile", _listener)  # not where a kernel comes from the cache


def kernel(**options: Any) -> Callable[[Callable], Callable]:
    """Compile with the options of every kernel: cached, without the GIL, and with NumPy's error model
    (a division that may raise never becomes a vector instruction)."""

    def compile_later(function: Callable) -> Callable:
        return keep(njit(nogil=True, error_model="numpy", **options)(function))

    return compile_later


def part(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function as part of the kernels that call it; called from Python it runs as Python."""
    return register_jitable(error_model="numpy", **options)


class Twice(NamedTuple):
    """One function compiled in two ways, that run its `prange` on one thread and on several."""

    serial: Callable
    parallel: Callable


def serial_and_parallel(function: FunctionType) -> Twice:
    """Compile a function as a kernel for one thread, and for several."""
    other = FunctionType(function.__code__, function.__globals__, function.__name__)
    other.__qualname__ = f"{function.__qualname__}_parallel"  # Numba's cache goes by names
    return Twice(kernel()(function), kernel(parallel=True)(other))


def threads() -> int:
    """Threads that a kernel may take: as many as torch may. To be asked before every parallel kernel.

    Numba's OpenMP threads are torch's, and starting them sets torch's number of threads to Numba's. So one
    setting, torch's, rules both; and with one thread no parallel kernel may run.
    """
    number = min(torch.get_num_threads(), config.NUMBA_NUM_THREADS)
    if number > 1 and number != numba.get_num_threads():
        numba.set_num_threads(number)
    return number


def chunks_for(cell_samples: int) -> int:
    """Pieces for threads to share, for so much work; 1 where it stays on one thread."""
    workers = threads() if cell_samples >= PARALLEL_FROM else 1
    return 1 if workers == 1 else 4 * workers


def _without(context: Any, builder: Any, numba_type: Any, value: Any) -> Any:
    if isinstance(numba_type, types.Array):
        view = context.make_array(numba_type)(context, builder, value=value)
        view.meminfo = ir.Constant(view.meminfo.type, None)
        return view._getvalue()
    if isinstance(numba_type, types.BaseTuple):
        parts = [
            _without(context, builder, t, builder.extract_value(value, i))
            for i, t in enumerate(numba_type.types)
        ]
        return context.make_tuple(builder, numba_type, parts)
    return value


@intrinsic
def no_refcount(typingctx: Any, given: Any) -> Any:
    """The same array, or tuple of arrays and others, without a count of the arrays' references.

    Slices and calls that are not inlined otherwise change the counts of all arrays in them, atomically: in a
    loop over small rows this takes as long as the work. The arrays must be held by the caller of the function
    that asks for this.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _without(context, builder, signature.args[0], args[0])

    return given(given), codegen


@njit(inline="always")
def room(at, size):
    """The first byte after `size` bytes from `at` on at which a cache line begins."""
    return (at + size + 63) // 64 * 64


@intrinsic
def carve(typingctx: Any, memory: Any, at: Any, shape: Any, dtype: Any) -> Any:
    """An array of a shape and type in `memory`, uint8 (bytes,), from byte `at` on.

    Numba compiles `np.empty` anew for every type and number of axes. So kernels ask for memory once.
    """
    made = types.Array(dtype.dtype, len(shape), "C")

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        whole = context.make_array(memory)(context, builder, args[0])
        data = builder.gep(whole.data, [context.cast(builder, args[1], at, types.intp)])
        parts = zip(cgutils.unpack_tuple(builder, args[2]), shape.types, strict=True)
        lengths = [context.cast(builder, part, kind, types.intp) for part, kind in parts]
        size = context.get_constant(types.intp, context.get_abi_sizeof(context.get_data_type(made.dtype)))
        strides = [size]
        for length in reversed(lengths[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        array = context.make_array(made)(context, builder)
        data = builder.bitcast(data, array.data.type)
        populate_array(array, data, lengths, strides, size, whole.meminfo)
        context.nrt.incref(builder, made, array._getvalue())
        return array._getvalue()

    return made(memory, at, shape, dtype), codegen
