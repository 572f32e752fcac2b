"""Kernels in Triton compiled for cards that are not there: a compiler refuses what the interpreter lets pass.

Operations run on the CPU with launches replaced by compilation, each kernel once for what it is given;
results mean nothing. `python -m tests.kernels.compiled nvidia` compiles all of them.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime.jit import JITFunction, mangle_type

from ohmgrad.kernels import cells

__all__ = ["TARGETS", "Compiled", "compiling"]

TARGETS = {"nvidia": GPUTarget("cuda", 90, 32), "amd": GPUTarget("hip", "gfx942", 64)}


class Compiled:
    """The kernels that were launched, compiled for a card.

    Args:
        target: of `TARGETS`.
    """

    def __init__(self, target: str) -> None:
        self.target = TARGETS[target]
        #: by name, signature and constants
        self.kernels: dict[tuple[Any, ...], Any] = {}

    def launch(self, function: JITFunction[Any], args: tuple[Any, ...], options: dict[str, Any]) -> None:
        """Compile a kernel for these arguments, unless it is."""
        signature, constants = {}, {}
        for param, value in itertools.zip_longest(function.params, args):
            if param.is_constexpr or value is None or isinstance(value, bool):
                signature[param.name], constants[param.name] = "constexpr", value
            elif param.annotation_type:
                signature[param.name] = param.annotation_type
            elif isinstance(value, int) and value == 1 and not param.do_not_specialize:
                signature[param.name], constants[param.name] = "constexpr", value
            else:
                signature[param.name] = mangle_type(value)
        options = {name: value for name, value in options.items() if name not in ("grid", "warmup")}
        key = (function.__name__, *signature.items(), *sorted(constants.items()), *sorted(options.items()))
        if key not in self.kernels:
            source = ASTSource(function, signature, constants)
            self.kernels[key] = triton.compile(source, target=self.target, options=options)


@contextmanager
def compiling(target: str) -> Iterator[Compiled]:
    """Have launches compile for a card."""
    compiled, run, check = Compiled(target), JITFunction.run, cells.check_triton
    JITFunction.run = lambda self, *args, **options: compiled.launch(self, args, options)
    cells.check_triton = lambda place: None
    try:
        yield compiled
    finally:
        JITFunction.run, cells.check_triton = run, check


def main() -> None:
    """Compile everything for a card."""
    from tests.kernels.gpu_operations import run_all

    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("target", choices=TARGETS)
    parser.add_argument("--few", action="store_true", help="each kernel once")
    asked = parser.parse_args()
    with compiling(asked.target) as compiled:
        run_all(asked.few)
    for (name, *_), kernel in compiled.kernels.items():
        text = kernel.asm.get("ptx", kernel.asm.get("amdgcn", ""))
        print(f"{name:16} {len(text.splitlines()):6} lines, shared {kernel.metadata.shared} bytes")


if __name__ == "__main__":
    main()
