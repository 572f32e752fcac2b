"""Layers on several tiles of a largest size: the same function, many arrays."""

from __future__ import annotations

import copy
import io
import itertools
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogSGD,
    Device,
    InputError,
    Monitor,
    Noise,
    Periphery,
    Pulsing,
    SoftBounds,
    convert,
)
from ohmgrad.crossbar import Tile, tiles_of
from ohmgrad.nn import AnalogLayer, analog_layers
from ohmgrad.nn.blocks import layout
from ohmgrad.rng import Purpose
from tests.cases import ALGORITHMS, SPREADS
from tests.nn.test_layers import IDEAL, PERIPHERIES, REAL, close, gradients
from tests.updates import product

SOFT = Device(SoftBounds.symmetric(0.6), 0.001)  # all elements alike
QUIET = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"])

LAYERS: dict[str, Any] = {
    "linear": (lambda: nn.Linear(11, 7), (5, 11)),
    "linear-no-bias": (lambda: nn.Linear(11, 7, bias=False), (2, 3, 11)),
    "conv1d": (lambda: nn.Conv1d(3, 7, 3, stride=2, padding=1), (3, 3, 9)),
    "conv2d-grouped": (lambda: nn.Conv2d(4, 6, (2, 3), groups=2, padding=1), (3, 4, 5, 6)),
    "conv2d-alone": (lambda: nn.Conv2d(2, 5, 3, dilation=2, padding_mode="reflect", padding=1), (2, 5, 6)),
    "conv3d": (lambda: nn.Conv3d(2, 5, 2), (2, 2, 3, 4, 3)),
}
#: one block along a side, two near-equal, three, and single elements
MAX_TILES = {"rows": (3, 99), "cols": (99, 6), "both": (3, 4), "cells": (1, 1)}


def made(name: str) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(1)
    make, shape = LAYERS[name]
    return make(), torch.randn(shape)


# --- the cuts ------------------------------------------------------------------------------------


def covered(blocks: list[Any], rows: int, cols: int, groups: int) -> Tensor:
    """How often blocks cover each weight of a layer, (rows, cols)."""
    times = torch.zeros(rows, cols, dtype=torch.int64)
    for block in blocks:
        times[block.rows, block.cols] += 1
        group = block.rows.start // (rows // groups)
        assert block.rows.stop <= (group + 1) * (rows // groups)
        assert block.lines.start - block.cols.start == block.lines.stop - block.cols.stop == group * cols
    return times


@pytest.mark.parametrize("groups", [1, 3])
def test_blocks_cover_a_weight_once_and_are_few_and_near_equal(groups: int) -> None:
    for rows, cols, tall, wide in itertools.product((1, 5, 8), (1, 7, 12), (1, 3, 8), (1, 4, 7)):
        blocks = layout(rows * groups, cols, groups, (tall, wide))
        assert bool((covered(blocks, rows * groups, cols, groups) == 1).all())
        assert len(blocks) == groups * -(-rows // tall) * -(-cols // wide)
        heights = {b.rows.stop - b.rows.start for b in blocks}
        widths = {b.cols.stop - b.cols.start for b in blocks}
        assert max(heights) <= tall
        assert max(widths) <= wide
        assert max(heights) - min(heights) <= 1
        assert max(widths) - min(widths) <= 1
        assert {b.band for b in blocks} == set(range(-(-cols // wide)))


@pytest.mark.parametrize("wrong", [(0, 4), (4,), 256, (2.5, 3), (True, 3), "64", (3, 4, 5)])
def test_a_wrong_largest_size_is_refused(wrong: Any) -> None:
    with pytest.raises(InputError, match=r"max_tile is .* but must be two integers of at least 1"):
        convert(nn.Linear(3, 2), SOFT, max_tile=wrong)
    with pytest.raises(InputError, match="max_tile is"):
        AnalogLinear(3, 2, SOFT, max_tile=wrong)


# --- the same function ---------------------------------------------------------------------------


def whole(layer: AnalogLayer) -> Tensor:
    """The digital weight that a layer stands for, each block times its scales."""
    weight = layer.weight.detach().clone()
    for tile, block in layer.tiles_with_blocks():
        scale = layer.out_scale.detach().view(layer.bands, -1)[block.band, block.rows]
        tile.part_of(weight).mul_(scale.unsqueeze(1))
    return weight


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("omega", [None, 0.5])
@pytest.mark.parametrize("size", MAX_TILES)
@pytest.mark.parametrize("name", LAYERS)
def test_a_split_layer_is_torchs(name: str, size: str, omega: Any, periphery: str) -> None:
    layer, x = made(name)
    twin: Any = convert(layer, IDEAL, omega=omega, max_tile=MAX_TILES[size], periphery=PERIPHERIES[periphery])
    assert len(twin.tiles) > 1
    close(whole(twin), layer.weight.detach())
    y, grad_x, grads = gradients(layer, x)
    twin_y, twin_grad_x, twin_grads = gradients(twin, x)
    close(twin_y, y)
    close(twin_grad_x, grad_x)
    if "bias" in grads:
        close(twin_grads["bias"], grads["bias"])
    for tile, block in twin.tiles_with_blocks():  # W = scale * W_analog, block by block
        scale = twin.out_scale.detach().view(twin.bands, -1)[block.band, block.rows]
        gradient = tile.part_of(grads["weight"])
        close(tile.part_of(twin_grads["weight"].to_dense()), gradient * scale.unsqueeze(1))
    wanted = torch.zeros(twin.bands, len(twin.weight))
    for tile, block in twin.tiles_with_blocks():
        wanted[block.band, block.rows] += (tile.part_of(grads["weight"]) * tile.weight).sum(1)
    close(twin_grads["out_scale"], wanted.view_as(twin.out_scale))
    dense = twin_grads["weight"].to_dense()  # pyright: ignore
    for tile, (v, d) in zip(twin.tiles, twin.weight.grad.factors(), strict=True):
        close(d.t() @ v, tile.part_of(dense))


def test_a_lost_block_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: every tile sees the lines of the first one."""
    import ohmgrad.nn.functional as functional

    def wrong(*args: Any) -> Any:
        blocks = layout(*args)
        return [b._replace(lines=slice(0, b.lines.stop - b.lines.start)) for b in blocks]

    monkeypatch.setattr(functional, "layout", wrong)
    with pytest.raises(AssertionError):
        test_a_split_layer_is_torchs("linear", "cols", None, "perfect")


@pytest.mark.parametrize("size", MAX_TILES)
@pytest.mark.parametrize("name", LAYERS)
def test_mean_training_of_a_split_layer_is_the_unsplit_ones(name: str, size: str) -> None:
    """Elements alike, perfect periphery, fixed scales: the mean update acts on each element alone."""

    def weights(max_tile: Any) -> Tensor:
        layer, x = made(name)
        twin: Any = convert(layer, SOFT, pulsing=Pulsing("mean"), max_tile=max_tile)
        twin.out_scale.requires_grad_(False)
        start = twin.weight.detach().clone()
        optimizer = AnalogSGD(twin.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (twin(x) - 0.3).square().mean().backward()
            optimizer.step()
        assert float((twin.weight.detach() - start).abs().max()) > 1e-3
        return twin.weight.detach()

    torch.testing.assert_close(weights(MAX_TILES[size]), weights(None), atol=2e-6, rtol=0)


def test_a_layer_that_fits_is_as_without_a_limit() -> None:
    layer, x = made("linear")
    plain: Any = convert(layer, REAL, periphery=NOISY_PERIPHERY)
    fits: Any = convert(layer, REAL, periphery=NOISY_PERIPHERY, max_tile=(7, 11))
    assert type(fits(x).grad_fn) is type(plain(x).grad_fn)
    assert fits.tiles[0].block is None
    assert torch.equal(fits(x), plain(x))
    assert fits.out_scale.shape == (7,)


# --- many arrays ---------------------------------------------------------------------------------


def test_every_tile_has_its_own_elements_and_address() -> None:
    model: Any = convert(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4)), REAL, max_tile=(2, 3))
    tiles = [tile for _, layer in analog_layers(model) for tile in layer.tiles]
    assert [t.key.array for t in tiles] == [256 * i for i in range(8)]
    assert [t.shape for t in model[0].tiles] == [(2, 3)] * 4
    ups = [t.elements.up[:2, :2] for t in tiles]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(ups, 2))
    assert tiles_of(model[0].weight) == model[0].tiles
    once = convert(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 4)), REAL, max_tile=(2, 3), include=["0"])
    twice: Any = convert(once, REAL)
    assert twice[1].tiles[0].key.array == 4 * 256


def test_products_go_through_each_tiles_own_converters() -> None:
    layer: Any = convert(nn.Linear(10, 6, bias=False), REAL, periphery=NOISY_PERIPHERY, max_tile=(3, 4))
    x = torch.randn(8, 10, generator=torch.Generator().manual_seed(3)).requires_grad_()
    y = layer(x)
    wanted = torch.zeros(8, 6)
    for tile, block in layer.tiles_with_blocks():
        part, _ = product(x.detach()[:, block.lines], tile.weight.t(), NOISY_PERIPHERY, Purpose.READ_FORWARD,
                          tile.key, 0)  # fmt: skip
        wanted[:, block.rows] += part
    torch.testing.assert_close(y.detach(), wanted)
    y.sum().backward()
    for tile in layer.tiles:
        rows, cols = tile.shape
        assert tile.count("forward_vectors") == tile.count("backward_vectors") == 8
        assert tile.count("dac") == tile.count("adc") == 8 * (rows + cols)


def test_a_split_convolution_counts_its_patches() -> None:
    layer: Any = convert(nn.Conv2d(4, 4, 3, groups=2), REAL, max_tile=(1, 9))
    layer(torch.randn(3, 4, 5, 6, requires_grad=True)).sum().backward()
    assert [t.shape for t in layer.tiles] == [(1, 9)] * 8
    assert {t.count("forward_vectors") for t in layer.tiles} == {3 * 3 * 4}
    assert {t.count("backward_vectors") for t in layer.tiles} == {3 * 3 * 4}


@pytest.mark.parametrize("backend", ["numba", "reference"])
@pytest.mark.parametrize("fidelity", ["mean", "pulsed", "pulse-by-pulse"])
def test_a_block_of_a_weight_is_pulsed_as_an_array_alone(fidelity: Any, backend: str) -> None:
    g = torch.Generator().manual_seed(4)
    owner = (torch.rand(9, 10, generator=g) - 0.5) / 2
    block = (slice(2, 7), slice(3, 9))
    device = Device(SoftBounds.symmetric(0.6), 0.01, SPREADS["spread"], Noise(0.3))
    settings: dict[str, Any] = {"pulsing": Pulsing(fidelity), "seed": 2, "array": 5, "backend": backend}
    alone = Tile(owner[block].clone(), device, **settings)
    tile = Tile(owner, device, block=block, **settings)
    before, version = owner.clone(), owner._version
    x, d = torch.randn(4, 6, generator=g), torch.randn(4, 5, generator=g)
    counts = torch.randint(-3, 4, (5, 6), generator=g)
    for one in (tile, alone):
        one.pulse(x, d, -0.1)
        one.pulse_counts(counts)
        one.program(torch.full((5, 6), 0.1), rounds=2)
        one.zero_shift(3)
    assert torch.equal(tile.weight, alone.weight)
    assert torch.equal(tile.events, alone.events)
    assert owner._version == version  # else every backward pass would look for weights out of range
    assert tile.weight.untyped_storage().data_ptr() == owner.untyped_storage().data_ptr()
    outside = torch.ones(9, 10, dtype=torch.bool)
    outside[block] = False
    assert torch.equal(owner[outside], before[outside])
    assert not torch.equal(owner[block], before[block])


# --- training, copies and checkpoints ------------------------------------------------------------


def network(max_tile: Any = (3, 7), device: Device = REAL, seed: int = 5, **settings: Any) -> Any:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 3)
    )
    return convert(model, device, max_tile=max_tile, **settings)


X = torch.linspace(-1, 1, 4 * 2 * 25).view(4, 2, 5, 5).sin()


def train(model: Any, optimizer: Any, steps: int) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = (model(X) - 0.3).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def through_files(model: Any, optimizer: Any, make: Any) -> tuple[Any, Any]:
    buffer = io.BytesIO()
    torch.save((model.state_dict(), optimizer.state_dict()), buffer)
    buffer.seek(0)
    state, optimizer_state = torch.load(buffer, weights_only=True)
    other = network(seed=6)
    other.load_state_dict(state)
    its = make(other.parameters())
    its.load_state_dict(optimizer_state)
    return other, its


@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_trains_all_tiles_and_goes_on_exactly(name: str) -> None:
    model = network()
    optimizer = ALGORITHMS[name](model.parameters())
    train(model, optimizer, 3)
    tiles = [tile for _, layer in analog_layers(model) for tile in layer.tiles]
    assert len(tiles) == 4 + 12 + 1
    assert set(optimizer.state[model[3].weight]) == set(range(12))
    pairs = [
        through_files(model, optimizer, ALGORITHMS[name]),
        copy.deepcopy((model, optimizer)),
        pickle.loads(pickle.dumps((model, optimizer))),
    ]
    losses = train(model, optimizer, 3)
    assert all(loss == loss for loss in losses)
    for other, its in pairs:
        assert train(other, its, 3) == losses
        assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_pulses_reach_every_tile_and_lower_the_loss() -> None:
    model = network(device=QUIET)
    optimizer = AnalogSGD(model.parameters(), lr=0.05)
    losses = train(model, optimizer, 60)
    assert losses[-1] < 0.3 * losses[0]
    for _, layer in analog_layers(model):
        assert all(t.count("updates") == 60 for t in layer.tiles)
        assert all(t.count("pulses_up") + t.count("pulses_down") > 0 for t in layer.tiles)


def test_a_digital_checkpoint_loads_and_has_the_same_keys() -> None:
    torch.manual_seed(7)
    digital = nn.Sequential(nn.Linear(9, 4), nn.Linear(4, 2))
    split: Any = convert(nn.Sequential(nn.Linear(9, 4), nn.Linear(4, 2)), SOFT, max_tile=(3, 4))
    assert {k for k in split.state_dict() if ".analog." not in k and not k.endswith("out_scale")} == set(
        digital.state_dict()
    )
    split.load_state_dict(digital.state_dict(), strict=False)
    x = torch.randn(3, 9)
    close(split(x).detach(), digital(x).detach())
    state = split.state_dict()
    state["0.weight"] = state["0.weight"].clone()
    state["0.weight"][3, 8] = 5.0
    before = split[0].weight.detach().clone()
    with pytest.raises(InputError, match="weight 5 is outside the device's range"):
        split.load_state_dict(state)
    assert torch.equal(split[0].weight, before)


def test_print_shows_the_tiles() -> None:
    text = repr(network())
    assert (
        "AnalogConv2d(4 x (up to 2 x 5), 36 cells, 43% of 3 x 7 used, soft_bounds" in text
    )  # two groups of 2 x 9, in two blocks each
    assert "AnalogLinear(12 x (up to 3 x 6), " in text  # 5 rows are 3 and 2
    assert "AnalogLinear(3 x 5, " in text
    assert "AnalogLinear(4 x (3 x 5), " in repr(AnalogLinear(10, 6, SOFT, max_tile=(3, 5)))


def test_the_monitor_watches_every_tile() -> None:
    model = network()
    optimizer = AnalogSGD(model.parameters(), lr=0.05)
    monitor = Monitor(model, optimizer, every=1, memory=20)
    train(model, optimizer, 2)
    assert {row["layer"] for row in monitor.rows} == {
        *(f"0[{i}]" for i in range(4)), *(f"3[{i}]" for i in range(12)), "5",
    }  # fmt: skip


def test_a_convolution_cut_along_its_outputs_only_stays_torchs_own() -> None:
    layer, x = made("conv1d")
    rows: Any = convert(layer, SOFT, max_tile=(3, 99))
    both: Any = convert(layer, SOFT, max_tile=(3, 4), periphery=Periphery())
    assert "_Convolution" in type(rows(x).grad_fn).__name__
    assert "_Convolution" not in type(both(x).grad_fn).__name__
    close(rows(x).detach(), both(x).detach())
