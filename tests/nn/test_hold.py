"""Single weights that are held: no algorithm, fidelity, device or backend moves them; states keep them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import ohmgrad as og
from ohmgrad.crossbar.cell_state import PlainState
from ohmgrad.devices import OneSided, Reference, Retention, Stuck
from ohmgrad.nn import analog_layers
from ohmgrad.optim import calibrate_symmetric_points
from ohmgrad.optim.registry import ALGORITHMS

SOFT = og.SoftBounds(-0.5, 0.7)
NOISY = {"dw_min": 0.02, "spread": og.Spread(dw_min=0.2, w_max=0.1), "noise": og.Noise(0.3)}
#: devices that hold a weight in every way that there is
DEVICES: dict[str, og.Device] = {
    "plain": og.Device(SOFT, **NOISY),
    "table": og.Device(og.PowStep(-0.5, 0.7, gamma_up=2.0), **NOISY),
    "callable": og.Device(og.Custom(lambda w: 1.0 + (w > 0.1), torch.ones_like), **NOISY),
    "stuck": og.Device(SOFT, stuck=Stuck(0.3), **NOISY),
    "write noise": og.Device(SOFT, write_noise=3.0, **NOISY),
    "retention": og.Device(SOFT, retention=Retention(lifetime=20, diffusion=0.5, drift=0.1), **NOISY),
    "reference": og.Device(SOFT, write_noise=0.5, reference=Reference(std=0.05), **NOISY),
    "pair": og.Device(og.SoftBounds(), pair=OneSided(refresh_every=3, refresh_at=0.2), **NOISY),
}
MASK = torch.arange(30).view(5, 6) % 3 == 0


def converted(device: og.Device, **settings: Any) -> nn.Sequential:
    torch.manual_seed(0)
    return og.convert(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2)), device, seed=3, **settings)


def train(model: nn.Module, optimizer: Any, steps: int = 12, seed: int = 0) -> None:
    data = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.randn(4, 6, generator=data)).square().mean().backward()
        optimizer.step()


def seen(layer: Any) -> torch.Tensor:
    return layer.effective_weight().clone()


def check(layer: Any, before: torch.Tensor) -> None:
    """Held weights are as before, to the bit; others have moved."""
    now = seen(layer)
    assert torch.equal(now[MASK], before[MASK])
    assert float((now != before)[~MASK].double().mean()) > 0.05


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("early", [True, False])
def test_no_algorithm_moves_held_weights(name: str, early: bool) -> None:
    """Whether they are held before or after the arrays beside them are made."""
    model = converted(DEVICES["plain"])
    if early:
        og.hold(model[0], MASK)
    optimizer = ALGORITHMS[name](model.parameters(), lr=0.1)
    if not early:
        og.hold(model[0], MASK)
    before = seen(model[0])
    train(model, optimizer)
    now = seen(model[0])
    assert torch.equal(now[MASK], before[MASK])
    of_layer = [array.weight for array in optimizer.arrays() if array.shape == MASK.shape]
    assert bool((now != before).any()) or any(bool(w.any()) for w in of_layer)  # some write W seldom


@pytest.mark.parametrize("fidelity", ["mean", "pulsed", "pulse-by-pulse"])
@pytest.mark.parametrize("name", DEVICES)
def test_held_weights_stay_on_every_device_and_backend(name: str, fidelity: Any) -> None:
    """Both backends, split into tiles and whole; with what algorithms do to a tile, and with time."""
    for backend in ("reference", "numba") if name != "callable" else ("reference",):
        for max_tile in (None, (3, 4)):
            settings = {"pulsing": og.Pulsing(fidelity), "backend": backend, "max_tile": max_tile}
            model = converted(DEVICES[name], **settings)
            og.hold(model[0].weight, MASK)
            before = seen(model[0])
            train(model, og.AnalogSGD(model.parameters(), lr=0.3), steps=5)
            check(model[0], before)
            for tile in model[0].tiles:
                tile.pulse_counts(torch.full(tile.shape, 3))
                if tile.device.pair is None:
                    tile.calibrate(5)
                tile.wait(4)
                tile.program(torch.full(tile.shape, 0.2))
                tile.reset(0.1)
            check(model[0], before)


@pytest.mark.parametrize("name", DEVICES)
def test_counts_are_those_of_the_lines_and_the_others_move_as_ever(name: str) -> None:
    """The same factors with and without a mask: the same events, and the same free weights to the bit."""
    free, held = (og.Tile((5, 6), DEVICES[name], seed=3) for _ in range(2))
    held.hold(MASK)
    x, d = torch.linspace(-1, 1, 24).view(4, 6), torch.linspace(1, -1, 20).view(4, 5)
    for tile in (free, held):
        for _ in range(2):  # before the first refresh of pairs, which concerns the full ones
            tile.pulse(x, d, 0.2)
        tile.wait()
    assert torch.equal(free.events, held.events)
    assert torch.equal(free.weight[~MASK], held.weight[~MASK])
    assert not torch.equal(free.weight[MASK], held.weight[MASK]) or name == "stuck"


@pytest.mark.parametrize("name", DEVICES)
def test_states_and_copies_hold_the_same_weights(name: str) -> None:
    model, other = converted(DEVICES[name]), converted(DEVICES[name])
    og.hold(model[0], MASK)
    optimizer = og.TikiTaka(model.parameters(), lr=0.2, gamma=0.3)
    theirs = og.TikiTaka(other.parameters(), lr=0.2, gamma=0.3)
    train(model, optimizer, 3)
    other.load_state_dict(copy.deepcopy(model.state_dict()))
    theirs.load_state_dict(optimizer.state_dict())
    twin = copy.deepcopy(model)
    before = seen(model[0])
    assert torch.equal(seen(other[0]), before)
    for m, o in ((model, optimizer), (other, theirs)):
        train(m, o, 4, seed=1)
        check(m[0], before)
    assert torch.equal(seen(other[0]), seen(model[0]))
    bare = twin[0].weight.detach().clone()
    train(twin, og.AnalogSGD(twin.parameters(), lr=0.3), 4)
    assert torch.equal(twin[0].weight[MASK], bare[MASK])


def test_a_state_from_before_is_held_at_its_values() -> None:
    for name in ("plain", "write noise"):
        model = converted(DEVICES[name])
        old = copy.deepcopy(model.state_dict())
        train(model, og.AnalogSGD(model.parameters(), lr=0.3), 3)
        og.hold(model[0], MASK)
        model.load_state_dict(old)
        before = seen(model[0])
        assert torch.equal(before, old["0.weight"])
        train(model, og.AnalogSGD(model.parameters(), lr=0.3))
        check(model[0], before)


def test_written_weights_are_held_and_all_are_let_go() -> None:
    for name in ("plain", "reference", "pair"):
        model = converted(DEVICES[name])
        layer = model[0]
        og.hold(layer, MASK)
        with torch.no_grad():
            layer.weight.copy_(torch.full((5, 6), 0.1))
        layer(torch.ones(1, 6))
        assert float((layer.weight.detach() - 0.1).abs().max()) < 1e-6
        before = seen(layer)
        train(model, og.AnalogSGD(model.parameters(), lr=0.1))
        check(layer, before)
        og.hold(layer, None)
        before = seen(layer)
        train(model, og.AnalogSGD(model.parameters(), lr=0.1), 20)
        assert bool((seen(layer) != before)[MASK].any())
        assert "fixed" not in layer.tiles[0].memory


def test_calibration_leaves_held_weights() -> None:
    model = converted(DEVICES["plain"])
    og.hold(model[0], MASK)
    optimizer = og.TikiTaka(model.parameters(), lr=0.2, gamma=0.3)
    before = seen(model[0])
    calibrate_symmetric_points(optimizer, 5, weights=True)
    assert torch.equal(seen(model[0])[MASK], before[MASK])
    train(model, optimizer)
    check(model[0], before)


def test_parts_of_other_layers_are_held() -> None:
    conv = og.convert(nn.Conv2d(2, 4, 3, groups=2), DEVICES["plain"])
    lstm = og.convert(nn.LSTM(4, 3), DEVICES["plain"])
    for layer in (conv, lstm.hidden["l0"]):
        mask = torch.rand(layer.weight.shape, generator=torch.Generator().manual_seed(1)) < 0.5
        og.hold(layer, mask)
        before = layer.weight.detach().clone()
        for tile in layer.tiles:
            tile.pulse_counts(torch.ones(tile.shape, dtype=torch.int64))
        assert torch.equal(layer.weight == before, mask)
    assert len(analog_layers(lstm)) == 2


def test_masks_that_do_not_fit_are_refused() -> None:
    model = converted(DEVICES["plain"])
    for mask in (MASK.float(), MASK.t(), MASK[:, :3], MASK.tolist(), "all"):
        with pytest.raises(og.InputError, match=r"^mask is .*, but must be a tensor of bool of \(5, 6\)$"):
            og.hold(model[0], mask)
    for other in (model, nn.Linear(6, 5), model[0].bias, MASK):
        with pytest.raises(og.InputError, match="is no analog layer and no weight of one"):
            og.hold(other, MASK)
    with pytest.raises(og.InputError, match="mask is"):
        model[0].tiles[0].hold(MASK.t())
    assert isinstance(model[0].tiles[0].contents.cell_state, PlainState)


@pytest.mark.parametrize("name", DEVICES)
def test_held_weights_are_written_as_others_and_not_reset(name: str) -> None:
    """Stuck ones stay where they stand; those that write noise took beyond their bound stay there."""
    models: list[Any] = [converted(DEVICES[name]) for _ in range(2)]
    held, free = (model[0].tiles[0] for model in models)
    for _ in range(40):
        held.pulse(torch.randn(2, 6), torch.randn(2, 5), 0.1)
    held.hold(MASK)
    before = held.weight.clone()
    held.reset(-0.4)
    assert torch.equal(held.weight[MASK], before[MASK])
    for tile in (held, free):
        tile.owner.data.copy_(torch.linspace(-0.3, 0.3, 30).view(5, 6))
        tile.sync()
    torch.testing.assert_close(held.weight, free.weight, rtol=0, atol=1e-7)


def test_a_state_keeps_the_mask_where_noise_is_beyond_a_bound() -> None:
    noisy = og.Device(SOFT, dw_min=0.02, write_noise=5.0)
    models: list[Any] = [converted(noisy) for _ in range(2)]
    model, other = models
    tile = model[0].tiles[0]
    for _ in range(3):
        tile.pulse(torch.ones(1, 6), torch.ones(1, 5), 5.0)
    tile.hold(torch.ones(5, 6, dtype=torch.bool))
    assert bool((tile.weight > tile.elements.upper).any())
    other.load_state_dict(model.state_dict())
    assert torch.equal(other[0].tiles[0].memory["fixed"], tile.weight)


def test_a_mask_may_have_any_layout() -> None:
    layer = og.AnalogConv2d(nn.Conv2d(3, 4, 3), None, {"device": DEVICES["plain"]})
    mask = torch.rand(4, 3, 3, 3) < 0.5
    og.hold(layer, mask.to(memory_format=torch.channels_last))
    assert torch.equal(~layer.tiles[0].memory["fixed"].isnan(), mask.flatten(1))


@pytest.mark.parametrize("name", DEVICES)
def test_a_state_whose_weights_were_changed_keeps_its_mask_at_the_new_values(name: str) -> None:
    models: list[Any] = [converted(DEVICES[name]) for _ in range(2)]
    model, other = models
    og.hold(model[0], MASK)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    state["0.weight"] *= 0.5
    other.load_state_dict(state)
    layer = other[0]
    fixed = layer.tiles[0].memory["fixed"]
    assert torch.equal(~fixed.isnan(), MASK)
    assert torch.equal(fixed[MASK], layer.weight.detach()[MASK])
    loose = ~torch.isin(torch.arange(30), layer.tiles[0].contents.cell_state.arrays[0].stuck).view(5, 6)
    torch.testing.assert_close(layer.weight.detach()[loose], state["0.weight"][loose], rtol=0, atol=1e-6)
    train(other, og.AnalogSGD(other.parameters(), lr=0.3))
    assert torch.equal(layer.weight.detach()[MASK], fixed[MASK])
