"""Learning rates and momentum on a schedule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import lr_scheduler

from ohmgrad import AnalogMomentum, TikiTaka

from . import Group, beside_torch, real, same, step

group = Group("Schedulers")


def scheduled(make: Callable[[Any], Any], metric: bool = False, **options: Any) -> Callable[[Any, Any], Any]:
    """A loop with a scheduler; its rates and losses."""

    def train(model: Any, sgd: Any) -> list[tuple[float, float]]:
        optimizer = sgd(model.parameters(), **options)
        scheduler, seen = make(optimizer), []
        for _ in range(6):
            loss = step(model, optimizer)
            scheduler.step(*[loss] if metric else [])
            first = optimizer.param_groups[0]
            seen.append((loss, first["lr"], float(first["momentum"])))
        return seen

    return train


@group.works("`StepLR`, `LambdaLR`, `CosineAnnealingWarmRestarts`, `CyclicLR` without momentum, ...")
def by_epoch() -> None:
    for make in (
        lambda o: lr_scheduler.StepLR(o, 2, 0.5),
        lambda o: lr_scheduler.LambdaLR(o, lambda epoch: 1 / (1 + epoch)),
        lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 3),
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.5, step_size_up=2, cycle_momentum=False),
        lambda o: lr_scheduler.OneCycleLR(o, 1.0, total_steps=10, cycle_momentum=False),
    ):
        beside_torch(scheduled(make))


@group.works("`ReduceLROnPlateau`")
def plateau() -> None:
    def make(optimizer: Any) -> Any:
        return lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, threshold=0.5)

    beside_torch(scheduled(make, metric=True))


@group.works("`SequentialLR`, `ChainedScheduler`")
def combined() -> None:
    def warm_up(optimizer: Any) -> Any:
        parts = [lr_scheduler.ConstantLR(optimizer, 0.1, 2), lr_scheduler.ExponentialLR(optimizer, 0.9)]
        return lr_scheduler.SequentialLR(optimizer, parts, [2])

    def chained(optimizer: Any) -> Any:
        parts = [lr_scheduler.ExponentialLR(optimizer, 0.9), lr_scheduler.StepLR(optimizer, 2)]
        return lr_scheduler.ChainedScheduler(parts)

    for make in (warm_up, chained):
        beside_torch(scheduled(make))


@group.works(
    "`OneCycleLR` and `CyclicLR` that cycle momentum",
    "the momentum of digital parameters is cycled, with `AnalogMomentum` that of analog weights too",
)
def one_cycle() -> None:
    def make(optimizer: Any) -> Any:
        return lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=8)

    beside_torch(scheduled(make, momentum=0.9), optimizer=AnalogMomentum, atol=3e-3)
    model = real()
    optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
    make(optimizer)
    assert optimizer.param_groups[0]["momentum"] == 0.95  # of the biases


@group.works("a rate that is a tensor")
def tensor_rate() -> None:
    def train(model: Any, sgd: Any) -> Any:
        optimizer = sgd(model.parameters(), lr=torch.tensor(0.5))
        scheduler = lr_scheduler.StepLR(optimizer, 1, 0.5)
        losses = []
        for _ in range(3):
            losses.append(step(model, optimizer))
            scheduler.step()
        return losses

    beside_torch(train)


@group.works("the state of scheduler and optimizer, saved and loaded")
def resumed() -> None:
    def make(model: Any) -> tuple[Any, Any]:
        optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
        return optimizer, lr_scheduler.ExponentialLR(optimizer, 0.8)

    def train(model: Any, optimizer: Any, scheduler: Any) -> list[float]:
        losses = []
        for _ in range(3):
            losses.append(step(model, optimizer))
            scheduler.step()
        return losses

    parts = [real()]
    parts += make(parts[0])
    train(*parts)
    others = [real()]
    others += make(others[0])
    for part, other in zip(parts, others, strict=True):
        other.load_state_dict(part.state_dict())
    assert train(*parts) == train(*others)
    same(parts[1].param_groups[0]["lr"], 0.2 * 0.8**6)
