"""Read noise of elements: the law of its slow part in time; products and reads see it, pulses do not."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

import ohmgrad
from ohmgrad.crossbar import Tile
from ohmgrad.devices import ReadNoise, Spread
from ohmgrad.kernels import Periphery, Pulsing
from tests.cases import start
from tests.crossbar.test_memory_state import DW, SHAPE, device, train
from tests.stats import assert_mean, assert_normal, assert_variance, z_variance_pair

pytestmark = pytest.mark.usefixtures("one_thread")

SLOW, TAU = 0.8, 6.0


def slow(seed: int, **parts: Any) -> Tile:
    return Tile(SHAPE, device(read_noise=ReadNoise(slow=SLOW, correlation=TAU), **parts), seed=seed)


def test_slow_noise_grows_to_its_deviation_and_n_steps_are_n_single_ones() -> None:
    """Variance s^2 (1 - phi^2n) after n steps from 0; 20,000 elements."""
    one, many, s = slow(1), slow(2), SLOW * DW
    assert not one.weight.any()
    for n in (1, 4, 40):
        many.wait(n)
        for _ in range(n):
            one.wait()
        steps = {1: 1, 4: 5, 40: 45}[n]
        for tile in (one, many):
            assert_variance(tile.weight - tile.held, s * s * -math.expm1(-2 * steps / TAU))
            assert_mean(tile.weight - tile.held, 0.0)
            assert_normal((tile.weight - tile.held) / (s * math.sqrt(-math.expm1(-2 * steps / TAU))))
        assert abs(z_variance_pair(one.weight.flatten(), many.weight.flatten())) < 4.5


def test_slow_noise_comes_back() -> None:
    """Its correlation over k steps is exp(-k/correlation): of 20,000 elements known to 0.007."""
    tile = slow(3)
    tile.wait(1000)
    first = (tile.weight / (SLOW * DW)).double()
    for k in (1, 2, 5):
        tile.wait(k)
        now = (tile.weight / (SLOW * DW)).double()
        left = math.exp(-k / TAU)
        assert_mean(now * first, left)
        assert_variance(now - left * first, 1 - left**2)
        first = now


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse", "mean"])
def test_pulses_act_below_slow_noise(fidelity: Any) -> None:
    noise = ReadNoise(slow=SLOW, correlation=TAU)
    noisy, plain = (
        Tile(start((40, 50)), device(read_noise=r), seed=6, pulsing=Pulsing(fidelity)) for r in (noise, None)
    )
    assert torch.equal(noisy.weight, plain.weight)  # weights that are given are seen as given
    for tile in (noisy, plain):
        train(tile, 2)
    assert torch.equal(noisy.held, plain.weight)
    assert torch.equal(noisy.events, plain.events)
    seen = noisy.weight - noisy.held
    assert_variance(seen, (SLOW * DW) ** 2 * -math.expm1(-2 * 5 / TAU), slack=1e-9)
    torch.testing.assert_close(noisy.forward(torch.eye(50)).t(), noisy.weight)
    torch.testing.assert_close(noisy.read([3]).squeeze(1), noisy.weight[:, 3])
    noisy.weight.copy_(plain.weight)  # a user writes: the noise starts anew
    noisy.sync()
    assert torch.equal(noisy.held, noisy.weight)
    mask = torch.zeros(40, 50, dtype=torch.bool)
    mask[:5] = True
    noisy.hold(mask)
    noisy.wait(20)
    assert torch.equal(noisy.weight[:5], plain.weight[:5])
    assert bool((noisy.weight[5:] != plain.weight[5:]).all())


def test_fast_noise_is_new_in_every_read_and_adds_to_that_of_the_periphery() -> None:
    """Variance (fast dw_min)^2 + weight_noise^2 of 20,000 values, in products both ways and in reads."""
    spec = device(read_noise=ReadNoise(fast=3.0), spread=Spread())
    tile, own = Tile(SHAPE, spec, seed=4), 3.0 * DW
    assert not tile.memory
    assert not tile.periphery.perfect
    for periphery, std in ((Periphery(), own), (Periphery(weight_noise=0.008), math.hypot(own, 0.008))):
        tile.periphery = periphery
        sibling = tile.sibling(1)
        assert sibling.periphery.weight_noise == pytest.approx(std)
        first, second = (tile.forward(torch.eye(SHAPE[1])).t() for _ in range(2))
        reads = (first, tile.backward(torch.eye(SHAPE[0])), tile.read(range(SHAPE[1])), sibling.read([0, 1]))
        for values in reads:
            assert_variance(values, std**2)
            assert_mean(values, 0.0)
        assert_variance(first - second, 2 * std**2)
    tile.wait()  # nothing here knows time
    assert not tile.weight.any()


def test_layers_train_on_it() -> None:
    """A layer's products see the noise, and a step lets time pass: gradients stay finite."""
    spec = device(read_noise=ReadNoise(fast=2.0, slow=SLOW, correlation=TAU))
    for torch_layer, shape in ((torch.nn.Linear(6, 4), (8, 6)), (torch.nn.Conv2d(2, 4, 3), (8, 2, 5, 5))):
        layer: Any = ohmgrad.convert(torch_layer, spec)
        x, optimizer = torch.ones(shape), ohmgrad.AnalogSGD(layer.parameters(), lr=0.01)
        with torch.no_grad():
            assert not torch.equal(layer(x), layer(x))
        layer(x).square().sum().backward()
        optimizer.step()
        tile = layer.tiles[0]
        assert tile.memory["slow"].std() > 0
        assert int(tile.memory["clock"]) == 1
