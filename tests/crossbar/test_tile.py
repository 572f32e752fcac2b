"""A tile's other primitives: bytes per cell, program, reset, and reads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from ohmgrad import NOISY_PERIPHERY, Device, InputError, Noise, Periphery, SoftBounds, Tile
from ohmgrad.crossbar import EVENTS
from tests.cases import MEMORIES, RESPONSES, SPREADS, start
from tests.stats import assert_variance

SOFT = Device(RESPONSES["soft_skewed"], 0.002, SPREADS["spread"], Noise(0.3))


@pytest.mark.parametrize(("spread", "most"), [(SPREADS["spread"], 24), (SPREADS["alike"], 4.1)])
def test_bytes_per_cell(spread: Any, most: float) -> None:
    """Weight and four planes with spread, the weight alone without; kernels copy none of them."""
    tile = Tile((300, 200), Device(SoftBounds(), 0.001, spread, Noise(0.3)))
    tile.pulse(torch.ones(2, 200), torch.ones(2, 300), 0.01)
    e = tile.elements
    planes = [tile.owner, e.up, e.down, e.lower, e.upper]
    assert sum(t.numel() * t.element_size() for t in planes) <= most * 300 * 200
    others = [v for part in (tile, tile.contents, tile.contents.cell_state) for v in vars(part).values()]
    assert not any(isinstance(v, Tensor) for v in others)
    assert tile.events.numel() == len(EVENTS)
    arrays = [a for a in e.packed["numba"] if isinstance(a, np.ndarray)]
    assert len(arrays) == 4
    assert all(any(np.shares_memory(a, t.numpy()) for t in planes) for a in arrays)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_program_reset_and_read(backend: str) -> None:
    tile = Tile((6, 9), SOFT, backend=backend, seed=3)
    goal = tile.elements.clip(torch.rand(6, 9) * 0.5 - 0.2)
    left = tile.program(goal)
    assert torch.equal(left, goal - tile.weight)
    assert float(left.abs().max()) < 4 * 0.002 * 1.2 * 2  # a step, its spread and its noise
    assert torch.equal(tile.read([4, 0]), tile.weight[:, [4, 0]])
    assert tile.count("read_columns") - tile.count("verify_columns") == 2
    tile.reset(0.1)
    assert torch.equal(tile.weight, tile.elements.clip(torch.full((6, 9), 0.1)))
    for call in (lambda: tile.reset(2.0), lambda: tile.program(goal + 2), lambda: tile.program(goal.t()),
                 lambda: tile.read([9]), lambda: tile.read([-1]), lambda: tile.sibling(0)):  # fmt: skip
        with pytest.raises(InputError):
            call()


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_repeated_reads_average_the_noise(backend: str) -> None:
    tile = Tile((3000, 4), SOFT, periphery=Periphery(out_noise=0.06), backend=backend)
    for repeats in (1, 9):
        assert_variance(tile.read([0, 2], repeats), 0.06**2 / repeats)
    assert tile.count("read_columns") == 20
    assert tile.count("adc") == 20 * 3000


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_the_two_directions_have_noise_of_their_own(backend: str) -> None:
    """Of a silent input the outputs are the noise; vectors with the same number share none of it."""
    noisy = Periphery(out_noise=0.1)
    tile = Tile((40, 40), Device(SoftBounds.symmetric(0.6)), periphery=noisy, backend=backend)
    there, back = tile.forward(torch.zeros(5, 40)), tile.backward(torch.zeros(5, 40))
    assert float(there.abs().min()) > 0
    assert not bool((there == back).any())


class AsksForNothing(TorchDispatchMode):
    """Refuses int(tensor), bool(tensor) and item(), for which a device would have to be waited for."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func is not torch.ops.aten._local_scalar_dense.default
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("periphery", [Periphery(), NOISY_PERIPHERY], ids=["perfect", "noisy"])
@pytest.mark.parametrize("name", ["plain", *(name for name in MEMORIES if "pair" not in name)])
def test_a_training_step_asks_for_no_value(name: str, periphery: Periphery) -> None:
    """Pairs do: a refresh is a closed loop, and only its first read tells which pairs it concerns."""
    parts = MEMORIES.get(name, {})
    device = Device(SoftBounds.symmetric(0.6), 0.002, SPREADS["spread"], Noise(0.3), **parts)
    tile = Tile(nn.Parameter(start((7, 9))), device, seed=1, periphery=periphery)
    x, d = torch.linspace(-1, 1, 27).view(3, 9), torch.linspace(-1, 1, 21).view(3, 7)
    with AsksForNothing(), torch.no_grad():
        tile.forward(x)
        tile.backward(d)
        tile.pulse(x, d, 0.05)
        tile.pulse_counts(torch.ones(tile.shape, dtype=torch.int64))
        tile.read([1])
        tile.wait()
        with pytest.raises(AssertionError):
            tile.count("updates")
    assert tile.count("updates") == 2
