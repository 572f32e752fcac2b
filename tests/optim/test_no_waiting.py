"""No step of an algorithm waits for a value: nothing reads a tensor on the host, so that a device may lag."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import ohmgrad
from ohmgrad import AnalogOptimizer, Device, Noise, Periphery, SoftBounds, Spread, convert
from ohmgrad.optim.transfer import write_pulses
from tests.cases import ALGORITHMS

ROOT = Path(ohmgrad.__file__).parent
FILES = sorted((ROOT / "optim").glob("*.py"))
DEVICE = Device(SoftBounds.symmetric(0.6), 0.002, Spread(dw_min=0.2, up_down=0.1), Noise(0.3))

#: operations that have the host wait for a value, or for a shape that follows from values
WAITING = {"_local_scalar_dense", "equal", "is_nonzero", "item", "masked_select", "nonzero", "unique_dim"}
#: what may: back ends for the CPU; what only the host is asked, as it says; and numbers that the host draws
ALLOWED_FOLDERS = (ROOT / "kernels" / "cpu", ROOT / "kernels" / "reference")
ALLOWED_FUNCTIONS = {"known_to_be_no_update", "drawn_flips"}


def _waits(func: Any, args: tuple[Any, ...]) -> bool:
    name = func._schema.name.removeprefix("aten::")
    if name in ("index", "index_put", "index_put_"):
        return any(isinstance(i, Tensor) and i.dtype == torch.bool for i in args[1])
    return name in WAITING or name.startswith("_unique")


def _ours(frame: FrameType | None) -> Iterator[FrameType]:
    """Frames of the library, the innermost first."""
    while frame is not None:
        if ROOT in Path(frame.f_code.co_filename).parents:
            yield frame
        frame = frame.f_back


class Watched(TorchDispatchMode):
    """Raises where the library waits, outside of what may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if _waits(func, args):
            where = next(_ours(sys._getframe()), None)
            if where is not None:
                path = Path(where.f_code.co_filename)
                allowed = where.f_code.co_name in ALLOWED_FUNCTIONS or path.parent in ALLOWED_FOLDERS
                assert allowed, f"{path.name}:{where.f_lineno}, {where.f_code.co_name}, waits: {func}"
        return func(*args, **(kwargs or {}))


def steps(make: Any, periphery: Periphery, watched: bool) -> AnalogOptimizer:
    """Six steps of a small network."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    model = convert(network, DEVICE, periphery=periphery, seed=3)
    optimizer = make(model.parameters())
    for _ in range(6):
        optimizer.zero_grad()
        model(torch.randn(4, 6)).square().sum().backward()
        if watched:
            with Watched():
                optimizer.step()
        else:
            optimizer.step()
    return optimizer


@pytest.mark.parametrize("periphery", [Periphery(), Periphery(out_noise=0.01)], ids=["exact", "noisy"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_step_waits(name: str, periphery: Periphery) -> None:
    assert steps(ALGORITHMS[name], periphery, True).events()["updates"] > 0


def test_waiting_is_found() -> None:
    """The planted bug: so many slots that `write_pulses` asks for the largest number of pulses."""
    tile = ohmgrad.Tile((2, 3), DEVICE)
    with Watched(), pytest.raises(AssertionError, match=r"transfer.py:\d+, write_pulses, waits"):
        write_pulses(tile, slice(0, 3), torch.ones(3, 2), most=1000)


#: functions that are not on the way of a step
OFF_THE_WAY = {"events", "end_epoch"}


def _breaches(tree: ast.Module) -> Iterator[str]:
    """NumPy, and methods that read a tensor on the host, outside of functions that no step calls."""
    functions = [f for f in ast.walk(tree) if isinstance(f, ast.FunctionDef) and f.name in OFF_THE_WAY]
    skipped = {node for function in functions for node in ast.walk(function)}
    for node in {*ast.walk(tree)} - skipped:
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            yield from (f"imports {name}" for name in names if name.split(".")[0] == "numpy")
        if isinstance(node, ast.Attribute) and node.attr in ("item", "tolist", "numpy", "cpu", "nonzero"):
            yield f"line {node.lineno}: {node.attr}"


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_algorithms_speak_torch_alone(path: Path) -> None:
    assert not list(_breaches(ast.parse(path.read_text())))


@pytest.mark.parametrize("line", ["import numpy as np", "from numpy import abs", "x.item()", "x.t().numpy()"])
def test_a_breach_is_found(line: str) -> None:
    assert list(_breaches(ast.parse(f"def analog_step(x):\n    {line}")))
