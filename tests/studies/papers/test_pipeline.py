"""The pipeline study: what a stage's weights are when a micro-batch comes by, and its claims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ohmgrad import AnalogSGD, InputError
from ohmgrad.datasets import Dataset
from ohmgrad.studies.papers import STUDIES
from ohmgrad.studies.papers.pipeline import (
    KINDS,
    SCHEDULES,
    cycles,
    first_below,
    micro_steps,
    network,
    stages_of,
)
from tests.studies.papers.test_claims import results, same

pytestmark = pytest.mark.usefixtures("one_thread")

IMAGES = torch.linspace(0, 7, 40 * 6).sin().abs().view(40, 1, 2, 3)
DATA = Dataset("digits", IMAGES, torch.arange(40) % 3, IMAGES, torch.arange(40) % 3)
STREAM = [(x.flatten(1), y) for x, y in zip(DATA.train_x.split(4), DATA.train_y.split(4), strict=True)]


def weights(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def trained(kind: str, stages: int, schedule: str, micro: int = 1) -> list[Tensor]:
    model = network(DATA, 5, kind, seed=3)
    parts = stages_of(model, stages)
    assert [layer for part in parts for layer in part] == list(model)
    optimizers = [AnalogSGD(part.parameters(), lr=0.1) for part in parts]
    micro_steps(parts, optimizers, STREAM, schedule, micro)
    return weights(model)


class Counted(nn.Module):
    """A stage that notes how many updates it has had at every pass."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))
        self.updates = 0
        self.forwards: list[int] = []
        self.backwards: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.forwards.append(self.updates)
        y = x * self.weight.detach()
        if not y.requires_grad:
            y.requires_grad_()
        y.register_hook(lambda _: self.backwards.append(self.updates))
        return y

    def step(self) -> None:
        self.updates += 1

    def zero_grad(self, set_to_none: bool = True) -> None:
        pass


@pytest.mark.parametrize("stages", [1, 2, 3, 5])
def test_forward_weights_are_stale_and_backward_weights_are_not(stages: int) -> None:
    parts: Any = [Counted() for _ in range(stages)]
    micro_steps(parts, parts, STREAM, "asynchronous", 1)
    for m, part in enumerate(parts, 1):
        assert part.forwards == [max(k - 2 * (stages - m), 0) for k in range(len(STREAM))]
        assert part.backwards == list(range(len(STREAM)))


@pytest.mark.parametrize("stages", [1, 2, 4])
def test_the_asynchronous_pipe_is_its_recursion(stages: int) -> None:
    model = network(DATA, 5, "digital", seed=3)
    parts = stages_of(model, stages)
    plain: Any = [nn.Sequential(*map(twin, part)) for part in parts]
    copy_weights(parts, plain)
    versions = [[[p.detach().clone() for p in stage.parameters()]] for stage in plain]
    for k, (x, y) in enumerate(STREAM):
        seen = [versions[m][max(k - 2 * (stages - 1 - m), 0)] for m in range(stages)]
        inputs, outs = [], []
        for m in range(stages):
            inputs.append(x)
            x = run(plain[m], seen[m], x)[0]
            outs.append(x)
        logits = outs[-1].requires_grad_()
        (error,) = torch.autograd.grad(nn.functional.cross_entropy(logits, y), logits)
        for m in reversed(range(stages)):
            # activations of the forward pass, weights of now
            error, grads = back(plain[m], seen[m], versions[m][-1], inputs[m], error)
            versions[m].append([w - 0.1 * g for w, g in zip(versions[m][-1], grads, strict=True)])
    micro_steps(parts, [AnalogSGD(p.parameters(), lr=0.1) for p in parts], STREAM, "asynchronous", 1)
    copy_weights(parts, plain)
    for m, stage in enumerate(plain):
        for found, wanted in zip(stage.parameters(), versions[m][-1], strict=True):
            torch.testing.assert_close(found.detach(), wanted, rtol=1e-5, atol=1e-6)


def twin(layer: Any) -> nn.Module:
    """A plain layer of the same sizes."""
    return nn.Linear(layer.in_features, layer.out_features) if hasattr(layer, "tiles") else layer


def copy_weights(parts: Any, plain: Any) -> None:
    for part, stage in zip(parts, plain, strict=True):
        for layer, other in zip(part, stage, strict=True):
            if isinstance(other, nn.Linear):
                other.weight.data.copy_(layer.digital_weight())
                other.bias.data.copy_(layer.bias)


def run(stage: Any, values: list[Tensor], x: Tensor) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
    """Output of a stage with these weights, and input and output of every layer."""
    left, passed = list(values), []
    for layer in stage:
        y = x @ left.pop(0).t() + left.pop(0) if isinstance(layer, nn.Linear) else x.tanh()
        passed.append((x, y))
        x = y
    return x, passed


def back(
    stage: Any, seen: list[Tensor], now: list[Tensor], x: Tensor, error: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Error of a stage's input, and gradients: layer inputs from `seen`, backward products with `now`."""
    grads: list[Tensor] = []
    left = list(now)
    for layer, (x_in, y) in reversed(list(zip(stage, run(stage, seen, x)[1], strict=True))):
        if isinstance(layer, nn.Linear):
            _, weight = left.pop(), left.pop()
            grads = [error.t() @ x_in, error.sum(0), *grads]
            error = error @ weight
        else:
            error = error * (1 - y * y)
    return error, grads


@pytest.mark.parametrize("kind", KINDS)
def test_one_stage_waits_for_nothing_and_a_full_batch_sums(kind: str) -> None:
    alone = trained(kind, 1, "one")
    for other in (trained(kind, 1, "asynchronous"), trained(kind, 4, "one"), trained(kind, 2, "synchronous")):
        assert all((a == b).all() for a, b in zip(alone, other, strict=True))
    stale = trained(kind, 4, "asynchronous")
    batch = trained(kind, 1, "synchronous", micro=5)
    for other in (stale, batch):
        assert not all((a == b).all() for a, b in zip(alone, other, strict=True))


def test_cycles_are_those_of_the_schedules() -> None:
    assert [cycles(name, 4, 4) for name in SCHEDULES] == [4.0, 1.75, 1.0]
    assert [cycles(name, 1, 8) for name in SCHEDULES] == [1.0, 1.0, 1.0]
    assert first_below(np.array([3.0, 2.0, 1.0]), 1.5) == 2.5
    assert first_below(np.array([3.0, 2.0]), 3.0) == 1.0
    assert first_below(np.array([3.0, 2.0]), 1.9) == np.inf


def test_settings_that_do_not_fit_are_refused() -> None:
    study = STUDIES["pipeline"]
    with pytest.raises(InputError, match=r"stages is \[2, 3\], but must be 2 and 4"):
        study.check({**study.settings, "stages": (2, 3)})
    with pytest.raises(InputError, match="rates is"):
        study.check({**study.settings, "rates": (0.1,)})


def claimed(lost: float, lag: float, law: float, by_stages: float) -> dict[str, bool]:
    """Claims of made-up trainings whose loss falls as 1 / epoch; (1 + excess) grows with lr and stages."""
    rates, epochs = (0.01, 0.1), 20
    trainings = (("one", 1), ("synchronous", 1), ("asynchronous", 2), ("asynchronous", 4))
    rows = []
    for kind in KINDS:
        for lr in rates:
            for schedule, stages in trainings:
                stale = schedule == "asynchronous"
                extra = lag * (lr / 0.01) ** law * (stages / 4) ** by_stages if stale else 0.0
                for seed in range(4):
                    for epoch in range(1, epochs + 1):
                        noise = 1 + 1e-4 * ((seed * 7 + stages) % 5)
                        rows.append({
                            "kind": kind, "lr": lr, "schedule": schedule, "stages": stages, "seed": seed,
                            "epoch": epoch, "steps": 10 * epoch,
                            "train_loss": (1 + extra) * noise / epoch,
                            "test_accuracy": 0.95 * noise - (lost if stale else 0.0),
                        })  # fmt: skip
    return results("pipeline", rows, rates=rates, stages=(2, 4), epochs=epochs, seeds=4)


def test_claims_are_about_what_they_say() -> None:
    same(claimed(lost=0.01, lag=0.05, law=2.0, by_stages=1.0), True, 10)
    same(claimed(lost=0.03, lag=0.5, law=0.5, by_stages=-1.0), False, 10)
