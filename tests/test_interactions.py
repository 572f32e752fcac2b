"""Features that meet: copies of optimizers, calibration, and steps that raise, with every algorithm."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from torch import nn

from ohmgrad import (
    AnalogMomentum,
    Device,
    InputError,
    MixedPrecision,
    Noise,
    PowStep,
    SoftBounds,
    Spread,
    convert,
)
from ohmgrad.cli import main
from ohmgrad.conformance.training import same
from ohmgrad.kernels.cpu import digital as cpu_rounding
from ohmgrad.kernels.reference import digital as rounding
from ohmgrad.optim import ALGORITHMS, calibrate_symmetric_points

DEVICE = Device(SoftBounds.symmetric(0.6), 0.002, Spread(dw_min=0.2, up_down=0.1), Noise(0.3))
#: arrays beside the weights; Q of symmetric-point tracking is digital
BESIDE = {
    "tiki-taka": 1,
    "ttv2": 1,
    "c-ttv2": 1,
    "agad": 1,
    "residual": 1,
    "residual-v2": 1,
    "multi-tile": 2,
    "sp-tracking": 1,
    "sp-tracking-chopped": 2,
}


def made(algorithm: str) -> tuple[Any, Any]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = convert(nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), DEVICE, seed=3)
    return model, ALGORITHMS[algorithm](model.parameters(), lr=0.05)


def step(model: Any, optimizer: Any, number: int) -> None:
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(number))
    optimizer.zero_grad()
    model(x).square().sum().backward()
    optimizer.step()


def _types(state: Any) -> Any:
    """A state with the types of its tensors in their place."""
    if isinstance(state, dict):
        return {name: _types(value) for name, value in state.items()}
    return str(state.dtype) if isinstance(state, torch.Tensor) else state


@pytest.mark.parametrize(
    "how", [copy.deepcopy, lambda pair: pickle.loads(pickle.dumps(pair))], ids=["copy", "pickle"]
)
@pytest.mark.parametrize("algorithm", ["sgd", "tiki-taka", "agad", "sp-tracking-chopped"])
def test_an_optimizer_that_is_copied_before_its_model_trains_by_pulses(
    algorithm: str, how: Callable[[Any], Any]
) -> None:
    model, optimizer = made(algorithm)
    for i in range(6):
        step(model, optimizer, i)
    twin_optimizer, twin = how((optimizer, model))
    for i in range(6, 9):
        step(model, optimizer, i)
        step(twin, twin_optimizer, i)
    assert twin[0].weight.grad is None
    assert same(dict(twin.state_dict()), dict(model.state_dict()))
    assert same(twin_optimizer.state_dict(), optimizer.state_dict())


@pytest.mark.parametrize("algorithm", BESIDE)
def test_calibration_pulses_every_array_beside_the_weights_and_nothing_else(algorithm: str) -> None:
    model, optimizer = made(algorithm)
    before = model.state_dict()
    calibrate_symmetric_points(optimizer, 3)
    elements = sum(layer.weight.numel() for layer in (model[0], model[2]))
    events = optimizer.events()
    assert events["pulses_up"] == events["pulses_down"] == 3 * BESIDE[algorithm] * elements
    assert same(dict(model.state_dict()), dict(before))


@pytest.mark.parametrize("algorithm", BESIDE)
def test_a_restored_optimizer_has_all_its_arrays_before_the_first_step(algorithm: str) -> None:
    model, optimizer = made(algorithm)
    for i in range(3):
        step(model, optimizer, i)
    other, fresh = made(algorithm)
    other.load_state_dict(model.state_dict())
    fresh.load_state_dict(optimizer.state_dict())
    assert fresh.events() == optimizer.events()
    assert same(_types(fresh.state_dict()), _types(optimizer.state_dict()))
    assert len(fresh.arrays()) == len(optimizer.arrays()) == 2 * BESIDE[algorithm]


@pytest.mark.parametrize(
    "make",
    [
        partial(MixedPrecision, rows=1),
        partial(AnalogMomentum, dampening=0.5),
        *map(partial, ALGORITHMS.values()),
    ],
    ids=lambda make: make.func.__name__,
)
@pytest.mark.parametrize("when", [0, 2])
def test_a_step_that_raises_leaves_the_run_as_it_was(make: Any, when: int) -> None:
    ends = []
    for raises in (False, True):
        model, _ = made("sgd")
        optimizer = make(model.parameters(), lr=0.05)
        for i in range(4):
            if raises and i == when:
                optimizer.zero_grad()
                (model(torch.ones(2, 6)) * float("nan")).sum().backward()
                with pytest.raises(InputError, match="must be finite"):
                    optimizer.step()
            step(model, optimizer, i)
        ends.append([p.detach() for p in model.parameters()])
    assert same(*ends)


@pytest.mark.parametrize(("samples", "rows", "cols"), [(1, 1, 1), (7, 5, 9), (600, 3, 17)])
def test_the_gradient_is_the_same_in_the_kernel(samples: int, rows: int, cols: int) -> None:
    g = torch.Generator().manual_seed(1)
    x, d = torch.randn(samples, cols, generator=g), torch.randn(samples, rows, generator=g)
    d[::3] = 0.0
    assert torch.equal(cpu_rounding.digital_gradient(x, d), rounding.digital_gradient(x, d))


@pytest.mark.parametrize("algorithm", ["mixed-precision", "gradient-counts", "momentum", "sign-rule", "eapu"])
@pytest.mark.parametrize("max_tile", [None, (3, 4)])
def test_digital_gradients_go_to_any_array_alike(algorithm: str, max_tile: tuple[int, int] | None) -> None:
    """Tabulated elements, and blocks: the backends send the same pulses."""
    device = Device(PowStep(-0.6, 0.6), 0.002)
    ends = []
    for backend in ("numba", "reference"):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            digital = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))
        model = convert(digital, device, max_tile=max_tile, backend=backend)
        optimizer = ALGORITHMS[algorithm](model.parameters(), lr=0.05)
        step(model, optimizer, 0)
        ends.append(optimizer.events())
    assert ends[0] == ends[1]
    assert ends[0]["pulses_up"] > 0 < ends[0]["pulses_down"]


def test_check_knows_the_names_of_compare_and_train(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["check", "algorithm", "ttv2", "--law", "schedule"])
    assert not ended.value.code
    assert "1 of 1 laws hold" in capsys.readouterr().out
