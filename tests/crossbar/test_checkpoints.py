"""What elements hold beside the weights: checkpoints, copies, backends, and weights that a user writes."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmgrad
from ohmgrad import AnalogLinear
from ohmgrad.crossbar import Tile
from ohmgrad.crossbar.cell_state import PlainState
from ohmgrad.crossbar.planes import StateWithPlanes
from ohmgrad.devices import Device, Noise, Reference, SoftBounds, Spread
from ohmgrad.kernels import Pulsing
from ohmgrad.nn.convert import analog_layers
from ohmgrad.optim import AnalogOptimizer, AnalogSGD, TikiTaka, calibrate_symmetric_points
from tests.cases import MEMORIES, start

pytestmark = pytest.mark.usefixtures("one_thread")

DW = 0.002
SPREAD = Spread(dw_min=0.3, up_down=0.05, w_max=0.3, w_min=0.3)
ALL = pytest.mark.parametrize("parts", MEMORIES.values(), ids=MEMORIES.keys())
MAKE: dict[str, Callable[..., AnalogOptimizer]] = {
    "analog-sgd": lambda p: AnalogSGD(p, lr=0.05),
    "tiki-taka": lambda p: TikiTaka(p, lr=0.05, fast_lr=0.05, gamma=0.3),
}


def device(**parts: Any) -> Device:
    return Device(SoftBounds.symmetric(0.6), DW, **{"spread": SPREAD, "noise": Noise(0.3), **parts})


def network(spec: Device, seed: int = 0) -> Any:
    """A convolution of two groups, so two tiles of one parameter, and a linear layer."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3))
    return ohmgrad.convert(net, spec, seed=7)


def train(model: nn.Module, optimizer: AnalogOptimizer, steps: int, first: int = 0) -> None:
    for i in range(first, first + steps):
        g = torch.Generator().manual_seed(i)
        optimizer.zero_grad()
        y = model(torch.randn(4, 2, 4, 4, generator=g))
        (y - torch.randn(4, 3, generator=g)).square().mean().backward()
        optimizer.step()


def flat(state: Any, name: str = "") -> dict[str, Any]:
    """All numbers and tensors of a nested state, by path."""
    if isinstance(state, dict):
        items = list(state.items())
    elif isinstance(state, (list, tuple)):
        items = list(enumerate(state))
    else:
        return {name: state}
    return {k: v for key, value in items for k, v in flat(value, f"{name}/{key}").items()}


def assert_same(a: Any, b: Any) -> None:
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for name, value in a.items():
        same = torch.equal(value, b[name]) if isinstance(value, Tensor) else value == b[name]
        assert same, name


@ALL
@pytest.mark.parametrize("algorithm", MAKE)
@pytest.mark.parametrize("assign", [False, True])
def test_a_resumed_run_continues_bit_for_bit(parts: dict[str, Any], algorithm: str, assign: bool) -> None:
    model = network(device(**parts))
    optimizer = MAKE[algorithm](model.parameters())
    train(model, optimizer, 4)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(model, optimizer, 4, first=4)

    file.seek(0)
    saved = torch.load(file, weights_only=True)
    again = network(device(**parts), seed=1)  # other weights
    other = MAKE[algorithm](again.parameters())
    train(again, other, 1)
    again.load_state_dict(saved["model"], assign=assign)
    other = MAKE[algorithm](again.parameters())
    other.load_state_dict(saved["optimizer"])
    train(again, other, 4, first=4)
    assert_same(model.state_dict(), again.state_dict())
    assert_same(optimizer.state_dict()["state"], other.state_dict()["state"])
    assert optimizer.events() == other.events()


@ALL
def test_copies_go_on_alike_and_alone(parts: dict[str, Any]) -> None:
    model = network(device(**parts))
    optimizer = MAKE["tiki-taka"](model.parameters())
    train(model, optimizer, 3)
    twin, state = copy.deepcopy((model, optimizer)), copy.deepcopy(model.state_dict())
    train(twin[0], twin[1], 3, first=3)
    assert_same(model.state_dict(), state)  # the first has not moved
    train(model, optimizer, 3, first=3)
    assert_same(model.state_dict(), twin[0].state_dict())
    assert_same(optimizer.state_dict()["state"], twin[1].state_dict()["state"])


@ALL
@pytest.mark.parametrize("fidelity", ["mean", "pulsed", "pulse-by-pulse"])
def test_backends_agree(parts: dict[str, Any], fidelity: Any) -> None:
    """The same planes to rounding, the same events; no refresh in so few updates, see `test_pair_state`."""
    tiles = [
        Tile(start((17, 23)), device(**parts), seed=3, pulsing=Pulsing(fidelity), backend=b)
        for b in ("reference", "numba")
    ]
    for tile in tiles:
        g = torch.Generator().manual_seed(2)
        tile.pulse(torch.randn(5, 23, generator=g), torch.randn(5, 17, generator=g), 0.01)
        tile.wait(2)
        tile.pulse_counts(torch.randint(-2, 3, (17, 23), generator=g))
        tile.wait()
    a, b = tiles
    torch.testing.assert_close(a.weight, b.weight, atol=3e-6, rtol=0)
    assert torch.equal(a.events, b.events)
    for name, plane in a.memory.items():
        torch.testing.assert_close(plane, b.memory[name], atol=3e-6, rtol=0)


def test_a_device_that_only_answers_pulses_remembers_nothing() -> None:
    model = network(device())
    optimizer = MAKE["tiki-taka"](model.parameters())
    train(model, optimizer, 2)
    for _, layer in analog_layers(model):
        assert not [key for key in layer.state_dict() if "memory" in key]
        states = [tile.contents.cell_state for tile in layer.tiles]
        assert all(isinstance(state, PlainState) for state in states)
        assert not any(tile.memory for tile in layer.tiles)
    tile, waited = (Tile(start((5, 6)), device()) for _ in range(2))
    waited.wait(100)
    assert torch.equal(tile.weight, waited.weight)
    assert tile.held.data_ptr() == tile.weight.data_ptr()


def test_a_calibrated_plain_device_resumes_too() -> None:
    spec = device(spread=Spread(up_down_mean=0.5))  # P's weights leave the nominal range on one side
    models = [network(spec, seed) for seed in (0, 1)]
    optimizers = [MAKE["tiki-taka"](m.parameters()) for m in models]
    calibrate_symmetric_points(optimizers[0], 50, weights=True)
    train(models[0], optimizers[0], 2)
    for array in optimizers[0].arrays():
        array.pulse_counts(torch.full(array.shape, -2000))
        assert float(array.weight.min()) < -0.6
    saved = copy.deepcopy((models[0].state_dict(), optimizers[0].state_dict()))
    models[1].load_state_dict(saved[0])
    optimizers[1].load_state_dict(saved[1])
    for m, o in zip(models, optimizers, strict=True):
        train(m, o, 2, first=2)
    assert_same(models[0].state_dict(), models[1].state_dict())
    assert_same(optimizers[0].state_dict()["state"], optimizers[1].state_dict()["state"])


@pytest.mark.parametrize("parts", [{}, {"write_noise": 0.5}], ids=["plain", "write-noise"])
@pytest.mark.parametrize("assign", [False, True])
def test_a_state_without_a_reference_ends_a_calibration(parts: dict[str, Any], assign: bool) -> None:
    """Also where the weights do not fit the old reference; then both models go on alike, bit for bit."""
    spec = device(spread=Spread(up_down_mean=0.5), **parts)
    plain, calibrated = (network(spec, seed) for seed in (0, 1))
    nn.init.constant_(plain[0].weight, 0.55)  # beyond what elements hold whose reference is 0.3
    optimizers = [MAKE["analog-sgd"](m.parameters()) for m in (plain, calibrated)]
    calibrate_symmetric_points(optimizers[1], 1000, weights=True)
    old = calibrated[0].tiles[0].memory["reference"]
    assert float(old.mean()) > 0.2
    calibrated.load_state_dict(copy.deepcopy(plain.state_dict()), assign=assign)
    again = MAKE["analog-sgd"](calibrated.parameters())
    assert not any(tile.contents.calibrated for _, layer in analog_layers(calibrated) for tile in layer.tiles)
    for model, optimizer in ((plain, optimizers[0]), (calibrated, again)):
        train(model, optimizer, 3)
    assert_same(plain.state_dict(), calibrated.state_dict())


def test_a_calibration_is_restored_over_another_and_stays_with_weights_alone() -> None:
    model = network(device())
    optimizer = MAKE["analog-sgd"](model.parameters())
    calibrate_symmetric_points(optimizer, 10, weights=True)
    saved = copy.deepcopy(model.state_dict())
    calibrate_symmetric_points(optimizer, 10, weights=True)
    weights = {k: v for k, v in model.state_dict().items() if ".analog." not in k}
    model.load_state_dict(weights, strict=False)
    assert model[2].tiles[0].contents.calibrated
    model.load_state_dict(saved)
    assert_same(model.state_dict(), saved)


def test_a_calibration_of_one_tile_of_a_layer_is_restored_bit_for_bit() -> None:
    """Over one of the other tile, which ends: its new weights say nothing of the first's elements."""
    layers = [AnalogLinear(40, 30, device(), seed=7, max_tile=(30, 20)) for _ in range(2)]
    for i in (0, 1):
        layers[i].tiles[i].calibrate(50)
        layers[i].tiles[i].pulse_counts(torch.full((30, 20), 7))
    layers[1].load_state_dict(copy.deepcopy(layers[0].state_dict()))
    assert [tile.contents.calibrated for tile in layers[1].tiles] == [True, False]
    assert_same(layers[0].state_dict(), layers[1].state_dict())


@ALL
def test_weights_that_a_user_writes_are_taken_over(parts: dict[str, Any]) -> None:
    model = network(device(**parts))
    train(model, MAKE["analog-sgd"](model.parameters()), 2)
    conv = model[0]
    with torch.no_grad():
        conv.weight.fill_(0.11)
    model(torch.zeros(1, 2, 4, 4))
    for tile in conv.tiles:
        assert isinstance(tile.contents.cell_state, StateWithPlanes)
        free = torch.ones(tile.weight.numel(), dtype=torch.bool)
        for array in tile.contents.cell_state.arrays:
            free[array.stuck] = False
        weight = tile.weight.flatten()
        torch.testing.assert_close(weight[free], torch.full_like(weight, 0.11)[free])
        before = tile.weight.clone()
        tile.pulse_counts(torch.zeros(tile.shape, dtype=torch.int64))
        torch.testing.assert_close(tile.weight, before, atol=2 * DW, rtol=0)
    with torch.no_grad():
        conv.weight[0, 0, 0, 0] = 5.0
    with pytest.raises(ohmgrad.InputError, match="weight 5 is outside"):
        model(torch.zeros(1, 2, 4, 4))


def test_weights_of_a_digital_checkpoint_are_loaded_into_a_device_with_memory() -> None:
    model = network(device(reference=Reference(std=0.02)))
    weights = {k: v for k, v in model.state_dict().items() if ".analog." not in k}
    weights["2.weight"] = torch.full((3, 16), 0.07)
    model.load_state_dict(weights, strict=False)
    model[2](torch.zeros(1, 16))
    tile = model[2].tiles[0]
    torch.testing.assert_close(tile.held - tile.memory["reference"], torch.full((3, 16), 0.07))


def test_a_memory_of_another_device_is_refused() -> None:
    pair, noisy = (network(device(**MEMORIES[name])) for name in ("pair", "write-noise"))
    with pytest.raises(
        ohmgrad.InputError, match=r"'0' is of other elements \(device.write_noise 0.0, here 0.5\): conv"
    ):
        noisy.load_state_dict(pair.state_dict())
    with pytest.raises(ohmgrad.InputError, match=r"memory 'persistent' \(2, 2\) does not fit"):
        Tile((3, 2), device(write_noise=0.5)).contents.restore({"persistent": torch.zeros(2, 2)})
    with pytest.raises(ohmgrad.InputError, match=r"memory has no 'noise', .* a model of the same device"):
        Tile((3, 2), device(write_noise=0.5)).contents.restore({"persistent": torch.zeros(3, 2)})
    with pytest.raises(
        ohmgrad.InputError, match=r"memory has no 'persistent', .* a model of the same device"
    ):
        Tile((3, 2), device()).contents.restore({"reference": torch.zeros(3, 2)})


def test_a_plane_that_pairs_had_in_version_0_5_0_is_taken_and_changes_nothing() -> None:
    parts = MEMORIES["all-pair"]
    models = [network(device(**parts), seed) for seed in (0, 1, 2)]
    train(models[0], MAKE["analog-sgd"](models[0].parameters()), 2)
    state = copy.deepcopy(models[0].state_dict())
    old = {**state, "2.analog.memory.0.persistent": torch.zeros(3, 16)}
    models[1].load_state_dict(old)
    models[2].load_state_dict(state)
    models[1].load_state_dict(state)
    for model in models:
        train(model, MAKE["analog-sgd"](model.parameters()), 3)
        assert_same(model.state_dict(), models[0].state_dict())
