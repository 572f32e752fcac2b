"""Kernels that are compiled when another kernel first calls them.

Numba puts the code of all kernels that a kernel calls into its own, used or not, and optimises it anew at
every level. Here the call goes through a place that holds the address of the compiled kernel. It is empty at
first: then Python is asked, which loads the kernel from the cache or compiles it. So each is compiled by
itself, once, and only if it is needed.
"""

# pyright: reportAttributeAccessIssue=false
# (Numba's settings are made when it is imported)

from __future__ import annotations

import ctypes
import pickle
import threading
import traceback
from _thread import interrupt_main
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import llvmlite.ir as ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import kernel

__all__ = ["late_kernel"]

#: name of `_address_of` in compiled code
SYMBOL = "ohmgrad_address_of_kernel"
#: what stands in the place of an address: it could not be compiled; it was asked for before
FAILED, AGAIN = 1, 2
#: seconds after which an interrupt is passed on that came before a kernel was compiled
LATER = 0.05

#: kernels by their names, and what they return
_KERNELS: dict[str, tuple[Any, types.Type]] = {}


def late_kernel(returns: types.Type, **options: Any) -> Callable[[Callable], Any]:
    """As `kernel`, of a kernel that only kernels call; it is compiled when one first does.

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
        ask = cgutils.get_or_insert_function(
            module, ir.FunctionType(ir.VoidType(), [pointer, size, pointer.as_pointer()]), SYMBOL
        )
        data = context.insert_const_bytes(module, asked)
        asking, answered = (builder.append_basic_block(name) for name in ("asking", "answered"))
        builder.branch(asking)
        builder.position_at_end(asking)
        builder.call(ask, [data, ir.Constant(size, len(asked)), found])
        answer = builder.load(found)
        failed, again = (ir.Constant(size, value).inttoptr(pointer) for value in (FAILED, AGAIN))
        with builder.if_then(builder.icmp_unsigned("==", answer, failed), likely=False):
            text = ("a kernel could not be compiled, for the reason printed above",)
            context.call_conv.return_user_exc(builder, RuntimeError, text)
        unanswered = builder.or_(cgutils.is_null(builder, answer), builder.icmp_unsigned("==", answer, again))
        builder.store(builder.select(unanswered, again, answer), found)
        builder.cbranch(unanswered, asking, answered)
        builder.position_at_end(answered)
        builder.store_atomic(answer, place, "monotonic", 8)
    return builder.load(found)


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(ctypes.c_size_t))
def _address_of(asked: int, size: int, answer: Any) -> None:
    """Write the address of a kernel for some types of arguments to `answer`, or FAILED.

    An interrupt must not end an update that has begun, and can come at any moment, also before the first line
    here, when nothing is written: then this is asked AGAIN, and passes the interrupt on, a little later.
    """
    try:
        if answer[0] == AGAIN:
            _interrupt_later()
        answer[0] = _compiled(asked, size)
    except KeyboardInterrupt:
        answer[0] = AGAIN
    except Exception:  # as when no thread can be started
        traceback.print_exc()
        answer[0] = FAILED


def _compiled(asked: int, size: int) -> int:
    """Address of a kernel; FAILED if it cannot be compiled.

    It is compiled on a thread of its own: the threads of a parallel kernel may have too small a stack, and
    an interrupt does not disturb it there.
    """
    name, taken = pickle.loads(ctypes.string_at(asked, size))
    own, returns = _KERNELS[name]
    found = [FAILED]

    def compile_it() -> None:
        try:
            own.compile(taken)
            compiled = own.overloads[taken]
            if compiled.signature.return_type != returns:
                raise TypeError(f"{name} returns {compiled.signature.return_type}, and not {returns}")
            found[0] = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
        except Exception:  # of any kind: none passes through the kernel that asks
            traceback.print_exc()

    thread = threading.Thread(target=compile_it)
    thread.start()
    interrupted = False
    while thread.is_alive():
        try:
            thread.join()
        except KeyboardInterrupt:
            interrupted = True
    if interrupted:
        _interrupt_later()
    return found[0]


def _interrupt_later() -> None:
    threading.Timer(LATER, interrupt_main).start()


llvm.add_symbol(SYMBOL, ctypes.cast(_address_of, ctypes.c_void_p).value)
