"""Training steps of models that torch.compile has compiled, against the same steps uncompiled.

Losses of both must agree first. Then: graph breaks and recompilations of training, seconds until the first
compiled step is done, and the times of steps, in turn; of the analog and of the digital model.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch._dynamo.utils import counters

import ohmgrad as og
from common import PAPER, batches, machine
from ohmgrad.models import build
from ohmgrad.models.gpt import GPT

#: steps of a round, rounds, and steps before
STEPS, ROUNDS, WARM = 4, 40, 20
#: relative difference of losses, compiled and not, over the steps before; converters round what lies between
#: two of their values to either one
TOLERANCE, ROUNDED = 1e-4, 1e-2


def cnn() -> nn.Module:
    """The papers' CNN with average pooling: compiled, torch 2.13 gives that of maxima wrong gradients."""
    layers = build("cnn", (1, 28, 28), 10, 0).children()
    return nn.Sequential(*(nn.AvgPool2d(2) if isinstance(m, nn.MaxPool2d) else m for m in layers))


NETS: dict[str, tuple[Callable[[], nn.Module], Callable[[], list[Any]], dict[str, Any]]] = {
    "fcn, batch 10": (lambda: build("fcn", (1, 28, 28), 10, 0), lambda: batches(10, 100), {}),
    "cnn, batch 8": (cnn, lambda: batches(8, 100), {}),
    "gpt 4 x 128, batch 8 x 64": (
        lambda: GPT(64, context=64, width=128, layers=4, heads=4),
        lambda: [(x, x.roll(-1, 1)) for x in torch.randint(0, 64, (20, 8, 64)).unbind()],
        {"include": ["blocks.*"]},
    ),
}


def training(model: nn.Module, run: Any, optimizer: Any, data: list[Any]) -> Callable[[int], list[Tensor]]:
    """A function that trains for some minibatches, going on where it stopped, and gives the losses."""
    at = 0

    def work(steps: int) -> list[Tensor]:
        nonlocal at
        losses = []
        for _ in range(steps):
            x, y = data[at % len(data)]
            at += 1
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(run(x).flatten(0, -2), y.flatten())
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        return losses

    return work


def made(net: str, periphery: og.Periphery | None) -> tuple[nn.Module, Any]:
    """A network and its optimizer, digital without a periphery."""
    build_net, _, settings = NETS[net]
    model = build_net()
    if periphery is None:
        return model, torch.optim.SGD(model.parameters(), lr=0.05)
    model = og.convert(model, PAPER, seed=1, periphery=periphery, **settings)
    return model, og.AnalogSGD(model.parameters(), lr=0.05)


def measured(
    net: str, periphery: og.Periphery | None, data: list[Any]
) -> tuple[int, int, float, list[float]]:
    """Graph breaks; recompilations; seconds to the first compiled step; ms of a step, plain and compiled."""
    torch._dynamo.reset()
    counters.clear()
    (model, optimizer), (twin, other) = made(net, periphery), made(net, periphery)
    twin.load_state_dict(model.state_dict())  # the same elements, too
    works = [training(model, model, optimizer, data), training(twin, torch.compile(twin), other, data)]
    plain = works[0](WARM)
    start = time.perf_counter()
    found = works[1](1)
    first = time.perf_counter() - start
    graphs = counters["stats"]["unique_graphs"]
    found += works[1](WARM - 1)
    worst = max(float((a - b).abs() / b) for a, b in zip(found, plain, strict=True))
    perfect = periphery is None or periphery.perfect
    assert worst < (TOLERANCE if perfect else ROUNDED), f"losses differ by {worst:.1e}"
    times: list[list[float]] = [[], []]
    for _ in range(ROUNDS):
        for taken, work in zip(times, works, strict=True):
            start = time.perf_counter()
            work(STEPS)
            taken.append((time.perf_counter() - start) / STEPS * 1e3)
    breaks, again = sum(counters["graph_break"].values()), counters["stats"]["unique_graphs"] - graphs
    return breaks, again, first, [statistics.median(t) for t in times]


def main() -> None:
    print(f"steps of compiled models, {torch.get_num_threads()} threads\n{machine()}\n")
    columns = "breaks", "again", "first s", "plain ms", "compiled ms", "ratio"
    print(f"{'network':26} {'periphery':9} " + " ".join(f"{name:>11}" for name in columns))
    kinds = {"digital": None, "perfect": og.Periphery(), "noisy": og.NOISY_PERIPHERY}
    for net, (_, load, _) in NETS.items():
        data = load()
        for kind, periphery in kinds.items():
            breaks, again, first, (plain, compiled) = measured(net, periphery, data)
            numbers = f"{breaks:11} {again:11} {first:11.1f} {plain:11.2f} {compiled:11.2f}"
            print(f"{net:26} {kind:9} {numbers} {compiled / plain:11.2f}", flush=True)


if __name__ == "__main__":
    main()
