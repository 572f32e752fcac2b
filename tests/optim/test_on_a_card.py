"""No step on a card waits for it, or mixes devices: meta stands for a card, as it has no values to give."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogOptimizer,
    AnalogSGD,
    Device,
    ExpStep,
    Noise,
    Periphery,
    SoftBounds,
    Spread,
    Tile,
    convert,
)
from ohmgrad.crossbar import cell_state, contents, watched_weight
from ohmgrad.crossbar.events import Counters
from ohmgrad.devices import Elements
from ohmgrad.nn.functional import AnalogLayer
from tests.cases import ALGORITHMS, MEMORIES, measured
from tests.kernels.gpu import needs_triton

pytestmark = needs_triton

CARD = torch.device("meta")
SOFT, SET = SoftBounds.symmetric(0.6), measured()
DEVICE = Device(SOFT, 0.002, Spread(dw_min=0.2, up_down=0.1), Noise(0.3))


#: what takes tensors from one place to another, and indices, which may be the host's
MOVES = {"_to_copy", "copy_", "index", "index_put", "index_put_"}


class Apart(TorchDispatchMode):
    """Raises where tensors of the host meet those on the card; numbers, of no dimension, may."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name.removeprefix("aten::")
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor) and t.dim()]
        assert name in MOVES or len({t.device.type for t in tensors}) < 2, f"{name} mixes devices"
        return func(*args, **(kwargs or {}))


class Launches(list[str]):
    """Names of the kernels that were launched; each must be given tensors on the card alone."""

    def __call__(self, kernel: Any, *args: Any, **options: Any) -> None:
        name = kernel.fn.__name__
        assert {a.device.type for a in args if isinstance(a, Tensor)} == {CARD.type}, name
        self.append(name)


@pytest.fixture(autouse=True)
def launches(monkeypatch: pytest.MonkeyPatch) -> Launches:
    """Kernels do nothing, and what looks at weights that somebody has written finds them in range."""
    from triton.runtime.interpreter import InterpretedFunction
    from triton.runtime.jit import JITFunction

    found = Launches()
    for kind in (InterpretedFunction, JITFunction):
        monkeypatch.setattr(kind, "run", lambda *args, **options: found(*args, **options))
    monkeypatch.setattr(contents.Contents, "check_fits", lambda *_, **__: None)
    monkeypatch.setattr(cell_state.PlainState, "load_weights", lambda self, w: w.copy_(self.elements.clip(w)))
    monkeypatch.setattr(watched_weight, "check_weights", lambda w: None)
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda *_: False)  # which does not know meta
    monkeypatch.setattr(AnalogLayer, "_bound_tiles", _synced)
    host: dict[int, Elements] = {}
    move = Elements.to

    def to(self: Elements, place: torch.device) -> Elements:
        """From the card what went there."""
        if place.type == "cpu" and id(self) in host:
            return host[id(self)]
        moved = move(self, place)
        host[id(moved)] = self
        return moved

    monkeypatch.setattr(Elements, "to", to)
    return found


def _synced(layer: AnalogLayer) -> list[Tile]:
    for tile in layer.tiles:
        tile.sync()
    return layer.tiles


def _steps(make: Any, device: Device, periphery: Periphery) -> None:
    """Six steps of a small network that was made on the host."""
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
    model: Any = convert(network, device, periphery=periphery, seed=3).to(CARD)
    for layer in (model[0], model[2]):
        layer._bind()  # of meta torch makes another parameter, of a card it does not
        layer._bound_tiles()
        assert layer.tiles[0].cells.backend == "triton"
    with Apart():
        optimizer: AnalogOptimizer = make(model.parameters())
        for _ in range(6):
            optimizer.zero_grad()
            model(torch.randn(4, 6, device=CARD)).square().sum().backward()
            optimizer.step()


@pytest.mark.parametrize("name", ALGORITHMS)
def test_no_algorithm_waits(name: str, launches: Launches) -> None:
    _steps(ALGORITHMS[name], DEVICE, NOISY_PERIPHERY)
    assert "_again" in launches


@pytest.mark.parametrize("name", [name for name in MEMORIES if "pair" not in name])
def test_no_memory_waits(name: str, launches: Launches) -> None:
    """Pairs do: their refresh is a closed loop."""
    _steps(lambda p: AnalogSGD(p, lr=0.1), Device(SOFT, 0.002, **MEMORIES[name]), Periphery())
    assert "affine_pulses" in launches


@pytest.mark.parametrize("device", [Device(ExpStep(), 0.002), Device(SET, SET.dw_min)], ids=["exp", "set"])
def test_no_table_waits(device: Device, launches: Launches) -> None:
    _steps(lambda p: AnalogSGD(p, lr=0.1), device, Periphery())
    assert "tables_pulses" in launches


def test_waiting_and_mixing_are_found(launches: Launches, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bugs: a value that is asked for, and what a product counts, which stays on the host."""
    wait = cell_state.PlainState.pulse
    asks = lambda self, w, x, *rest: (bool(x.any()), wait(self, w, x, *rest))  # noqa: E731
    monkeypatch.setattr(cell_state.PlainState, "pulse", asks)
    with pytest.raises((RuntimeError, NotImplementedError), match="meta"):
        _steps(lambda p: AnalogSGD(p, lr=0.1), DEVICE, Periphery())
    monkeypatch.setattr(cell_state.PlainState, "pulse", wait)
    monkeypatch.setattr(Counters, "to", lambda self, place: self._count_in(self.events.to(place)))
    with pytest.raises(AssertionError, match="add_ mixes devices"):
        _steps(lambda p: AnalogSGD(p, lr=0.1), DEVICE, Periphery())
