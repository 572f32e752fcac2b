"""Averages and copies of models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import SWALR, AveragedModel, get_ema_multi_avg_fn, update_bn

from ohmgrad import TikiTaka, to_digital

from . import Group, X, beside_torch, real, same, step

group = Group("Averages and copies")


def averaged(start: Callable[[Any], Any], update: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """A loop with an average beside the model; what the average computes in the end."""

    def train(model: Any, sgd: Any) -> Tensor:
        optimizer, average = sgd(model.parameters()), start(model)
        for _ in range(3):
            step(model, optimizer)
            update(average, model)
        return average(X).detach()

    return train


@group.works("exponential averages by `AveragedModel`, with `use_buffers` or without")
def ema() -> None:
    for buffers in (False, True):

        def start(model: Any, buffers: bool = buffers) -> Any:
            return AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.5), use_buffers=buffers)

        beside_torch(averaged(start, lambda average, model: average.update_parameters(model)))


@group.works("stochastic weight averaging: `AveragedModel`, `SWALR`, `update_bn`")
def swa() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    def train(model: Any, sgd: Any) -> Tensor:
        optimizer, average = sgd(model.parameters()), AveragedModel(model)
        scheduler = SWALR(optimizer, 0.05)
        for _ in range(3):
            step(model, optimizer)
            average.update_parameters(model)
            scheduler.step()
        update_bn([X], average)
        return average.eval()(X).detach()

    beside_torch(train, make)


@group.works("`copy.deepcopy` and `lerp_`, or averages of `state_dict()` tensors")
def lerp() -> None:
    def parameters(average: Any, model: Any) -> None:
        with torch.no_grad():
            for a, b in zip(average.parameters(), model.parameters(), strict=True):
                a.lerp_(b, 0.5)

    def states(average: Any, model: Any) -> None:
        mean, state = average.state_dict(), model.state_dict()
        for name, value in state.items():
            mean[name] = 0.5 * mean[name] + 0.5 * value if "weight" in name or "bias" in name else value
        average.load_state_dict(mean)

    for update in (parameters, states):
        beside_torch(averaged(copy.deepcopy, update))


@group.works(
    "weights swapped for averaged ones and back, by `p.data = ...`",
    "each swap is a write, with noise of its own on a device with write noise",
)
def swapped() -> None:
    def train(model: Any, sgd: Any) -> Tensor:
        optimizer, seen = sgd(model.parameters()), []
        shadow = [p.detach().clone() for p in model.parameters()]
        for _ in range(3):
            step(model, optimizer)
            kept = [p.data for p in model.parameters()]
            for s, p in zip(shadow, model.parameters(), strict=True):
                s.lerp_(p.detach(), 0.5)
                p.data = s
            seen.append(model(X).detach())
            for k, p in zip(kept, model.parameters(), strict=True):
                p.data = k
        return torch.stack(seen)

    beside_torch(train)


@group.works(
    "averages where the network sees arrays of the algorithm, as `TikiTaka` with `gamma > 0`",
    "an average of the parameters leaves these arrays out, and a warning says so: average "
    "`to_digital(model)`",
)
def seen_arrays() -> None:
    model = real()
    optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1, gamma=0.5)
    step(model, optimizer)
    average, of_parameters, plain = AveragedModel(to_digital(model)), AveragedModel(model), []
    for _ in range(3):
        step(model, optimizer)
        average.update_parameters(to_digital(model))
        of_parameters.update_parameters(model)
        plain.append(model[0].digital_weight())
    same(average.module[0].weight.detach(), torch.stack(plain).mean(0))
    with pytest.warns(UserWarning, match=r"an optimizer \(gamma > 0\) add to them stayed"):
        of_parameters(X)


@group.works("`copy.deepcopy` of model and optimizer together: the copy goes on with the same numbers")
def copied() -> None:
    model = real()
    optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
    step(model, optimizer)
    other, its_optimizer = copy.deepcopy((model, optimizer))
    assert [step(model, optimizer) for _ in range(3)] == [step(other, its_optimizer) for _ in range(3)]
