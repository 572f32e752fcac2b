"""States of models and optimizers, in whatever containers and files: training goes on from them exactly."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

import ohmgrad
from ohmgrad import AnalogSGD, Device, InputError, Noise, SoftBounds, Spread, TikiTaka
from ohmgrad.crossbar import EVENTS
from ohmgrad.nn import analog_layers
from ohmgrad.optim import AnalogOptimizer, calibrate_symmetric_points
from tests.cases import ALGORITHMS, MEMORIES

pytestmark = pytest.mark.usefixtures("one_thread")

SPREAD = Spread(dw_min=0.3, up_down=0.05, w_max=0.3, w_min=0.3)
Run = tuple[Any, Any]


def device(**parts: Any) -> Device:
    return Device(SoftBounds.symmetric(0.6), 0.002, SPREAD, Noise(0.3), **parts)


def network(spec: Device, **settings: Any) -> Any:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Flatten(), nn.Linear(16, 3))
    return ohmgrad.convert(net, spec, **{"seed": 7, **settings})


def train(run: Run, steps: int, first: int = 0) -> None:
    model, optimizer = run
    for i in range(first, first + steps):
        g = torch.Generator().manual_seed(i)
        optimizer.zero_grad()
        (model(torch.randn(4, 2, 4, 4, generator=g)) - 0.3).square().mean().backward()
        optimizer.step()


def flat(state: Any, name: str = "") -> dict[str, Any]:
    if isinstance(state, dict):
        return {k: v for key, value in state.items() for k, v in flat(value, f"{name}/{key}").items()}
    if isinstance(state, (list, tuple)):
        return flat(dict(enumerate(state)), name)
    return {name: state}


def assert_same(a: Any, b: Any) -> None:
    a, b = flat(a), flat(b)
    assert a.keys() == b.keys()
    for name, value in a.items():
        same = torch.equal(value, b[name]) if isinstance(value, Tensor) else value == b[name]
        assert same, name


def moved(run: Run, fresh: Callable[[], Run]) -> Run:
    """New dictionaries with the same tensors, as Lightning's move to the CPU gives."""
    for kept in run[1].state.values():
        for key, value in list(kept.items()):
            kept[key] = tree_map(lambda x: x.to("cpu") if isinstance(x, Tensor) else x, value)
    return run


def cloned(run: Run, fresh: Callable[[], Run]) -> Run:
    """New dictionaries with new tensors, as a move to another device and back gives."""
    for p in list(run[1].state):
        run[1].state[p] = tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, run[1].state[p])
    return run


def together(run: Run, fresh: Callable[[], Run]) -> Run:
    return copy.deepcopy(run)


def optimizer_first(run: Run, fresh: Callable[[], Run]) -> Run:
    return copy.deepcopy(run[::-1])[::-1]


def pickled(run: Run, fresh: Callable[[], Run]) -> Run:
    return pickle.loads(pickle.dumps(run))


def through_files(run: Run, fresh: Callable[[], Run]) -> Run:
    file, other = io.BytesIO(), fresh()
    torch.save([part.state_dict() for part in run], file)
    file.seek(0)
    for part, state in zip(other, torch.load(file, weights_only=True), strict=True):
        part.load_state_dict(state)
    return other


def files_optimizer_first(run: Run, fresh: Callable[[], Run]) -> Run:
    other = fresh()
    for part, state in list(zip(other, copy.deepcopy([part.state_dict() for part in run]), strict=True))[
        ::-1
    ]:
        part.load_state_dict(state)
    return other


KINDS = [moved, cloned, together, optimizer_first, pickled, through_files, files_optimizer_first]


def assert_goes_on(kind: Any, make: Callable[[Any], AnalogOptimizer], spec: Device, **settings: Any) -> None:
    def fresh() -> Run:
        model = network(spec, **settings)
        return model, make(model.parameters())

    run, other = fresh(), fresh()
    train(run, 3)
    train(other, 3)
    other = kind(other, fresh)
    for first in (3, 6):  # what is made anew in the first step must be kept in the second
        train(run, 3, first)
        train(other, 3, first)
    assert_same(run[0].state_dict(), other[0].state_dict())
    assert_same(run[1].state_dict()["state"], other[1].state_dict()["state"])
    assert run[1].events() == other[1].events()
    arrays = [array.events.tolist() for array in other[1].arrays()]
    state = [s["events"].tolist() for kept in other[1].state.values() for part in kept.values()
             if isinstance(part, dict) for s in part.values() if isinstance(s, dict)]  # fmt: skip
    assert sorted(state) == sorted(arrays)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ALGORITHMS)
def test_every_algorithm_goes_on(name: str, kind: Any) -> None:
    assert_goes_on(kind, ALGORITHMS[name], device(**MEMORIES["all"]))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["plain", *MEMORIES])
def test_every_device_goes_on(name: str, kind: Any) -> None:
    spec = device(**MEMORIES.get(name, {}))
    assert_goes_on(kind, lambda p: TikiTaka(p, lr=0.05, fast_lr=0.05, gamma=0.3), spec, max_tile=(3, 7))


@pytest.mark.parametrize("kind", KINDS)
def test_calibrated_arrays_go_on(kind: Any) -> None:
    def make(params: Any) -> AnalogOptimizer:
        optimizer = TikiTaka(params, lr=0.05, fast_lr=0.05)
        for p in optimizer.state:  # a plane that is added later must be in the state too
            optimizer.state[p] = tree_map(lambda x: x, optimizer.state[p])
        calibrate_symmetric_points(optimizer, 20, weights=True)
        return optimizer

    assert_goes_on(kind, make, device())


def test_counts_are_whole_numbers_however_large() -> None:
    model = network(device(**MEMORIES["all-pair"]))
    optimizer = TikiTaka(model.parameters(), lr=0.05)
    big = 2**40 + 1
    optimizer.arrays()[0].counters.add(pulses_up=big)
    model[2].tiles[0].counters.add(pulses_down=big)
    optimizer.arrays()[0].memory["clock"].fill_(2**31 + 1)
    optimizer.arrays()[0].memory["age"].fill_(2**30 + 1)
    states = copy.deepcopy((model.state_dict(), optimizer.state_dict()))
    model = network(device(**MEMORIES["all-pair"]))
    optimizer = TikiTaka(model.parameters(), lr=0.05)
    model.load_state_dict(states[0])
    optimizer.load_state_dict(states[1])
    assert optimizer.arrays()[0].count("pulses_up") == big
    assert model[2].tiles[0].count("pulses_down") == big
    assert int(optimizer.arrays()[0].memory["clock"]) == 2**31 + 1
    assert int(optimizer.arrays()[0].memory["age"][0, 0]) == 2**30 + 1


def test_what_earlier_versions_saved_is_loaded() -> None:
    """One dictionary a layer, lists of fewer events, numbers that are no tensors, and no card."""
    run = (model := network(device(**MEMORIES["all"])), TikiTaka(model.parameters(), lr=0.05))
    train(run, 3)
    old = {}
    for key, value in copy.deepcopy(model.state_dict()).items():
        if ".analog." not in key:
            old[key] = value
    for name, layer in analog_layers(model):
        memory = [
            {k: v.item() if not v.dim() else v.clone() for k, v in t.memory.items()} for t in layer.tiles
        ]
        old[f"{name}._extra_state"] = {
            "events": [t.events.tolist()[:10] for t in layer.tiles],
            "memory": memory,
        }
    state = copy.deepcopy(run[1].state_dict())
    for kept in state["state"].values():
        for part in kept.values():
            for array in part.values():
                if isinstance(array, dict):
                    del array["card"]
                    array["events"] = array["events"].tolist()[:10]
                    array["memory"] = {k: v if v.dim() else v.item() for k, v in array["memory"].items()}
    other = (again := network(device(**MEMORIES["all"])), TikiTaka(again.parameters(), lr=0.05))
    missing, unexpected = again.load_state_dict(old, strict=False)
    assert (missing, unexpected) == ([], [])
    other[1].load_state_dict(state)
    train(run, 3, 3)
    train(other, 3, 3)
    assert_same(model.state_dict(), again.state_dict())
    assert run[1].events() == other[1].events()


@pytest.mark.parametrize(
    "name", ["tiki-taka-gamma", "residual", "multi-tile", "sp-tracking", "sp-tracking-chopped"]
)
def test_a_model_saved_alone_computes_the_same(name: str) -> None:
    """Also what an optimizer's arrays add to the weights; the next optimizer starts without."""
    spec, x = device(), torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(9))
    run = (model := network(spec, max_tile=(3, 7)), ALGORITHMS[name](model.parameters()))
    train(run, 8)
    best, y = copy.deepcopy(model.state_dict()), model(x)
    weights = [layer.weight.detach().clone() for _, layer in analog_layers(model)]
    alone = network(spec, max_tile=(3, 7))
    alone.load_state_dict(best)
    torch.testing.assert_close(alone(x), y)
    without = {key: value for key, value in best.items() if ".beside." not in key}
    other = network(spec, max_tile=(3, 7))
    other.load_state_dict(without)
    assert float((other(x) - y).abs().max()) > 1e-3
    train(run, 8, 8)
    assert float((model(x) - y).abs().max()) > 1e-3
    model.load_state_dict(best)  # the optimizer's arrays have gone on
    torch.testing.assert_close(model(x), y)
    assert all(
        torch.equal(w, layer.weight) for w, (_, layer) in zip(weights, analog_layers(model), strict=True)
    )
    AnalogSGD(alone.parameters(), lr=0.1)
    torch.testing.assert_close(alone(x), other(x))


# --- states of others ----------------------------------------------------------------------------

LESS_SPREAD = Spread(dw_min=0.3, w_max=0.3, w_min=0.3)
OTHERS: dict[str, tuple[dict[str, Any], str]] = {
    "seed": ({"seed": 8}, r"\(seed 8, here 7\)"),
    "device": ({"spec": device(write_noise=0.5)}, r"\(device.write_noise 0.5, here 0.0\)"),
    "spread": (
        {"spec": Device(SoftBounds.symmetric(0.6), 0.002, LESS_SPREAD, Noise(0.3))},
        r"\(device.spread.up_down 0.0, here 0.05\)",
    ),
    "response": (
        {"spec": Device(SoftBounds.symmetric(0.7), 0.002, SPREAD, Noise(0.3))},
        r"\(device.response.w_min -0.7, here -0.6\)",
    ),
    "tiling": ({"max_tile": (2, 18)}, r"\(tiles \[.*\], here \[.*\]\)"),
    "bands": ({"max_tile": (3, 8)}, r"\(tiles \[.*\], here \[.*\]\)"),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_a_state_of_other_elements_is_refused_before_anything_changes(kind: str) -> None:
    settings, says = OTHERS[kind]
    make = ALGORITHMS["tiki-taka-gamma"]
    run = (model := network(device()), make(model.parameters()))
    theirs = network(**{"spec": device(), **settings})
    other = (theirs, make(theirs.parameters()))
    train(run, 2)
    train(other, 2)
    before = copy.deepcopy([part.state_dict() for part in run])
    # only the last layer is of others: the first must not change either
    mixed = {k: v for k, v in model.state_dict().items() if not k.startswith("2.")}
    mixed.update({k: v for k, v in theirs.state_dict().items() if k.startswith("2.")})
    mixed["0.bias"] = torch.full((4,), 9.0)
    for state in (theirs.state_dict(), mixed if kind != "tiling" else theirs.state_dict()):
        with pytest.raises(InputError, match=says):
            model.load_state_dict(state)
        with pytest.raises(InputError, match=says):
            nn.Sequential(model).load_state_dict({f"0.{key}": value for key, value in state.items()})
    says = says if kind not in ("tiling", "bands") else "tiles, but here|its tile is"
    with pytest.raises(InputError, match=says):
        run[1].load_state_dict(other[1].state_dict())
    assert_same(before, [part.state_dict() for part in run])


def test_arrays_of_other_numbers_are_refused() -> None:
    model: Any = ohmgrad.convert(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3)), device())
    state = {key.replace("1.", "0.", 1): v for key, v in model.state_dict().items() if key.startswith("1.")}
    with pytest.raises(InputError, match=r"layer '0' is of other elements \(arrays 256, here 0\)"):
        model.load_state_dict(state, strict=False)


def test_weights_of_other_elements_are_written_onto_these() -> None:
    """As the message says: without the entries below `analog.`"""
    theirs, model = network(device(), seed=8), network(device(**MEMORIES["all"]))
    theirs[2].tiles[0].reset(0.55)
    theirs[2].tiles[0].weight[0] = 0.58
    state = {key: value for key, value in theirs.state_dict().items() if ".analog." not in key}
    missing, _ = model.load_state_dict(state, strict=False)
    assert missing == ["0.analog.events", "2.analog.events"]
    tile = model[2].tiles[0]
    cells = tile.contents.cell_state
    wanted = cells.nearest(state["2.weight"])
    assert not torch.equal(wanted, state["2.weight"])
    free = torch.ones(tile.shape, dtype=torch.bool)
    free.view(-1)[cells.array.stuck] = False
    assert torch.equal(tile.weight[free], wanted[free])


def test_more_events_than_this_version_counts_are_refused() -> None:
    model = network(device())
    state = model.state_dict()
    state["2.analog.events"] = torch.zeros(1, len(EVENTS) + 1, dtype=torch.int64)
    with pytest.raises(InputError, match=r"events of layer '2' in the state are \(1, "):
        model.load_state_dict(state)


# --- states of digital models --------------------------------------------------------------------


@pytest.mark.parametrize("omega", [None, 0.5])
@pytest.mark.parametrize("max_tile", [None, (3, 7)])
@pytest.mark.parametrize("name", ["plain", "write-noise", "reference"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_a_digital_state_is_mapped_as_at_conversion(
    name: str, max_tile: Any, omega: Any, wrapped: bool
) -> None:
    spec = Device(SoftBounds.symmetric(0.6), 0.002, **MEMORIES.get(name, {}))

    def make(seed: int) -> Any:
        torch.manual_seed(seed)
        net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))
        with torch.no_grad():
            for p in net.parameters():
                p.mul_(5.0)
        return net.eval()

    digital = make(1)
    settings: dict[str, Any] = {"omega": omega, "max_tile": max_tile, "seed": 3}
    wanted, model = ohmgrad.convert(digital, spec, **settings), ohmgrad.convert(make(2), spec, **settings)
    optimizer = TikiTaka(model.parameters(), lr=0.1, fast_lr=0.1, gamma=0.5)
    train((model, optimizer), 2)
    state = digital.state_dict()
    if wrapped:
        nn.Sequential(model).load_state_dict({f"0.{k}": v for k, v in state.items()}, strict=False)
    else:
        model.load_state_dict(state, strict=False)
    for (_, a), (_, b) in zip(analog_layers(wanted), analog_layers(model), strict=True):
        assert torch.equal(a.weight, b.weight)
        assert torch.equal(a.out_scale, b.out_scale)
    x = torch.randn(5, 2, 4, 4)
    assert torch.equal(model.eval()(x), wanted(x))
    with pytest.raises(RuntimeError, match=r"Missing key.*0.out_scale"):
        model.load_state_dict(state)


def test_parts_of_a_state_that_contradict_each_other_are_refused() -> None:
    model = network(device())
    state = model.state_dict()
    del state["2.out_scale"]
    with pytest.raises(InputError, match="no out_scale of layer '2', but its events: leave out both or none"):
        model.load_state_dict(state, strict=False)
    state = model.state_dict()
    state["2.weight"] = torch.zeros(3, 17)
    with pytest.raises(
        InputError, match=r"layer '2' in the state is \(3, 17\), but this model needs \(3, 16\)"
    ):
        model.load_state_dict(state)


def test_torchs_distributed_checkpoints_have_all_of_a_layer() -> None:
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, set_model_state_dict

    first, second = (network(device(**MEMORIES["all-pair"]), max_tile=(3, 7)) for _ in range(2))
    run = (first, TikiTaka(first.parameters(), lr=0.05, gamma=0.3))
    train(run, 2)
    set_model_state_dict(second, copy.deepcopy(get_model_state_dict(first)))
    assert_same(first.state_dict(), second.state_dict())
    with pytest.raises(AttributeError, match="no 'event': choose one of card, events"):
        _ = first[2].analog.event
