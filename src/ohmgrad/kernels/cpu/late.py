"""Kernels that are compiled when another kernel first calls them.

Numba puts the code of all kernels that a kernel calls into its own, used or not, and optimises it anew at
every level. Here the call goes through a place that holds the address of the compiled kernel. It is empty at
first: then Python is asked, which loads the kernel from the cache or compiles it. So each is compiled by
itself, once, and only if it is needed.

A thread of its own compiles: those of a parallel kernel may have too small a stack. And the thread that asks
runs no Python until its kernel is done, so that Ctrl-C cannot end an update that has begun: what it asks with
is a method written in C, and then it sleeps until there is an answer.
"""

# pyright: reportAttributeAccessIssue=false
# (Numba's settings are made when it is imported)

from __future__ import annotations

import ctypes
import os
import pickle
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import kernel

__all__ = ["late_kernel"]

#: names in compiled code: what asks, and what sleeps for so long, in the units of the system's function
_ASK, _PAUSE, _LONG = "ohmgrad_ask_for_kernel", "ohmgrad_pause", 1 if os.name == "nt" else 1000
#: the answer for a kernel that could not be compiled
_FAILED = 1

#: kernels by their names, and what they return
_KERNELS: dict[str, tuple[Any, types.Type]] = {}


def late_kernel(returns: types.Type, **options: Any) -> Callable[[Callable], Any]:
    """As `kernel`, of a kernel that only kernels call; it is compiled when one first does.

    What calls it must run without the GIL, as every `kernel` does: it waits while Python compiles.

    Args:
        returns: Numba's type of what it returns.
    """

    def register(function: Callable) -> Any:
        name = f"{function.__module__}.{function.__qualname__}"
        # Python has no way to call it, and needs no wrapper
        own = kernel(no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)(function)
        _KERNELS[name] = own, returns
        return _caller(name, returns)

    return register


def _caller(name: str, returns: types.Type) -> Any:
    """What calls a late kernel in another one."""

    @intrinsic
    def call(typingctx: Any, *given: Any) -> Any:
        taken = tuple(types.unliteral(t) for t in given)

        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            values = [builder.extract_value(args[0], i) for i in range(len(taken))]
            asked = pickle.dumps((name, taken))
            address = _address(context, builder, asked)
            convention = context.call_conv
            kind = convention.get_function_type(returns, taken)
            target = builder.bitcast(address, kind.as_pointer())
            status, value = convention.call_function(builder, target, returns, taken, values)
            with cgutils.if_unlikely(builder, status.is_error):
                convention.return_status_propagate(builder, status)
            return value

        return returns(types.StarArgTuple(taken)), codegen

    return call


def _address(context: Any, builder: Any, asked: bytes) -> Any:
    """Code that takes the address of a kernel from its place, or asks for it."""
    pointer, size = ir.IntType(8).as_pointer(), context.get_value_type(types.uintp)
    module = builder.module
    place = ir.GlobalVariable(module, pointer, module.get_unique_name("kernel"))
    place.linkage, place.initializer = "internal", ir.Constant(pointer, None)
    found = cgutils.alloca_once_value(builder, builder.load_atomic(place, "monotonic", 8))
    with cgutils.if_unlikely(builder, cgutils.is_null(builder, builder.load(found))):
        data = context.insert_const_bytes(module, asked)
        request = cgutils.alloca_once(builder, ir.LiteralStructType([pointer, size, pointer]))
        parts = data, ir.Constant(size, len(asked)), ir.Constant(pointer, None)
        for i, part in enumerate(parts):
            builder.store(part, cgutils.gep_inbounds(builder, request, 0, i))
        ask = cgutils.get_or_insert_function(module, ir.FunctionType(ir.VoidType(), [pointer]), _ASK)
        builder.call(ask, [builder.bitcast(request, pointer)])
        answer = _awaited(builder, cgutils.gep_inbounds(builder, request, 0, 2))
        failed = builder.icmp_unsigned("==", builder.ptrtoint(answer, size), ir.Constant(size, _FAILED))
        with cgutils.if_unlikely(builder, failed):
            text = ("a kernel could not be compiled, for the reason printed above",)
            context.call_conv.return_user_exc(builder, RuntimeError, text)
        builder.store(answer, found)
        builder.store_atomic(answer, place, "monotonic", 8)
    return builder.load(found)


def _awaited(builder: Any, place: Any) -> Any:
    """Code that sleeps until there is an address in a place."""
    whole = ir.IntType(32)
    pause = cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), [whole]), _PAUSE)
    look, wait, go_on = (builder.append_basic_block(name) for name in ("look", "wait", "go_on"))
    builder.branch(look)
    builder.position_at_end(look)
    answer = builder.load_atomic(place, "acquire", 8)
    builder.cbranch(cgutils.is_null(builder, answer), wait, go_on)
    builder.position_at_end(wait)
    builder.call(pause, [ir.Constant(whole, _LONG)])
    builder.branch(look)
    builder.position_at_end(go_on)
    return answer


class _Request(ctypes.Structure):
    """What a kernel asks: for which one, and where it waits for the address."""

    _fields_ = (("asked", ctypes.c_void_p), ("size", ctypes.c_size_t), ("answer", ctypes.c_void_p))


def _answer(place: int) -> None:
    """Answer a request with the address of a kernel for some types of arguments."""
    request = _Request.from_address(place)
    found = _FAILED
    try:
        name, taken = pickle.loads(ctypes.string_at(request.asked, request.size))
        own, returns = _KERNELS[name]
        own.compile(taken)
        compiled = own.overloads[taken]
        if compiled.signature.return_type != returns:
            raise TypeError(f"{name} returns {compiled.signature.return_type}, and not {returns}")
        found = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
    except Exception:  # of any kind: none passes through the kernel that asks
        traceback.print_exc()
    finally:
        request.answer = found


_REQUESTS: SimpleQueue[int] = SimpleQueue()


def _begin() -> None:
    """Start to answer, in this process."""

    def answer_all() -> None:
        while True:
            _answer(_REQUESTS.get())

    while not _REQUESTS.empty():  # in a process that was forked: those of its parent
        _REQUESTS.get()
    threading.Thread(target=answer_all, name="ohmgrad kernels", daemon=True).start()


_ask = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(_REQUESTS.put)
_library: Any = ctypes.windll.kernel32 if os.name == "nt" else ctypes.CDLL(None)
for _name, _function in ((_ASK, _ask), (_PAUSE, _library.Sleep if os.name == "nt" else _library.usleep)):
    llvm.add_symbol(_name, ctypes.cast(_function, ctypes.c_void_p).value)
_begin()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin)
