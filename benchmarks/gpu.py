"""Analog training on a card: results first, then times beside the same work done digitally.

Needs a card that torch calls "cuda" (NVIDIA or AMD) and Triton. The tests of the kernels run on it first, all
cases of their table, then updates of a size at which programs run side by side, three times, which must agree
to the bit, and with the CPU. Then the table: an update against the memory's speed, and whole steps against
torch's own layers and SGD in the same precision, medians of interleaved rounds.
"""

from __future__ import annotations

import argparse
import datetime
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import ohmgrad as og
from common import PAPER
from ohmgrad.models import build
from ohmgrad.models.gpt import GPT

HOME = Path(__file__).parent.parent
#: rounds of a measurement, and steps in a round
ROUNDS, STEPS = 7, 5
#: bytes that an update moves for a cell with planes of its own: four planes read, the weight read and written
BYTES = 24


class Row(NamedTuple):
    """A line of the table: what was measured, and its aim."""

    what: str
    measured: str
    met: bool
    aim: str


def no_card() -> str | None:
    """Why nothing can be measured here, or None."""
    if not torch.cuda.is_available():
        return "there is no card: torch.cuda.is_available() is false. Run this where there is one"
    try:
        import triton  # noqa: F401
    except ImportError:
        return "Triton is not installed: pip install 'ohmgrad[gpu]'"
    return None


def machine() -> str:
    """Card, versions and date, in one line."""
    card, version = torch.cuda.get_device_name(), getattr(torch.version, "hip", None) or torch.version.cuda
    import triton

    return (
        f"{card}; torch {torch.__version__} ({version}); triton {triton.__version__}; {datetime.date.today()}"
    )


def interleaved(works: Mapping[str, Callable[[], object]]) -> dict[str, float]:
    """Median seconds of a call of each, in turn, so that all see the same clock rates."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(ROUNDS):
        for name, work in works.items():
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(STEPS):
                work()
            torch.cuda.synchronize()
            times[name].append((time.perf_counter() - start) / STEPS)
    return {name: statistics.median(t) for name, t in times.items()}


# --- results --------------------------------------------------------------------------------------------


def check_kernels() -> None:
    """All cases of the tests, on the card."""
    import pytest

    if pytest.main(["-q", "-x", "-p", "no:cacheprovider", str(HOME / "tests/kernels/test_gpu.py")]):
        raise SystemExit("kernels do not agree with the reference: no times are printed")


def check_races() -> None:
    """An update of many programs, three times from the same state, and on the CPU."""
    torch.manual_seed(0)
    x, d, start = torch.rand(32, 1024), torch.randn(32, 1024), torch.empty(1024, 1024).uniform_(-0.3, 0.3)
    ends, events = [], []
    for place in ("cpu", "cuda", "cuda", "cuda"):
        tile = og.Tile(start.clone().to(place), PAPER, pulsing=og.Pulsing(order="strict"), seed=1)
        for lr in (1e-2, -1e-3):
            tile.pulse(x.to(place), d.to(place), lr)
        ends.append(tile.weight.cpu())
        events.append(tile.events.tolist())
    fine = all(e == events[0] for e in events) and all(torch.equal(ends[1], end) for end in ends[2:])
    # rounding decides for an element in a million on which side of the rule for bounds it is
    off = float(((ends[1] - ends[0]).abs() > 1e-5).double().mean())
    if not fine or off > 2e-5:
        raise SystemExit(
            f"updates of 1024 x 1024 differ: events {events}, {off:.2g} of the weights from the CPU's"
        )
    print("results: kernels and a large update as on the CPU, and the same each time\n")


# --- times ----------------------------------------------------------------------------------------------


def update() -> list[Row]:
    """4096 x 4096, batch 32, planes of its own for each cell: part of the speed at which memory is copied."""
    side, batch = 4096, 32
    torch.manual_seed(0)
    x, d = torch.rand(batch, side, device="cuda"), torch.randn(batch, side, device="cuda")
    tile = og.Tile(torch.zeros(side, side, device="cuda"), PAPER, seed=1)
    source = torch.zeros(side * side * BYTES // 8, device="cuda")  # copied: as many bytes in all
    target, weight, rows = torch.empty_like(source), torch.zeros(side, side, device="cuda"), []
    for lr in (1e-3, 1e-5):
        before = tile.events.tolist()

        def work(lr: float = lr) -> None:
            tile.pulse(x, d, lr)
            tile.pulse(x, d, -lr)  # and back, so that the weights stay where they are

        found = interleaved({
            "update": work,
            "copy": lambda: target.copy_(source),
            "digital": lambda lr=lr: weight.addmm_(d.t(), x, alpha=lr),
        })  # fmt: skip
        pulses = sum(tile.events.tolist()[1:3]) - sum(before[1:3])
        a_cell = pulses / (2 * (ROUNDS * STEPS + 1) * side * side)
        took = found["update"] / 2
        part, ratio = found["copy"] / took, took / found["digital"]
        measured = f"{1e3 * took:.2f} ms, {100 * part:.0f} % of the memory's speed, {ratio:.1f}x digital"
        rows.append(
            Row(f"update 4096 x 4096, batch 32, {a_cell:.2g} pulses a cell", measured, part >= 0.6, "60 %")
        )
    return rows


def step_of(model: nn.Module, optimizer: Any, x: Tensor, y: Tensor) -> Callable[[], None]:
    """A training step on one minibatch."""

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x).flatten(0, -2), y.flatten()).backward()
        optimizer.step()

    return step


def captured(step: Callable[[], None]) -> Callable[[], None]:
    """The step as one CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step()
    return graph.replay


def compare(
    what: str, make: Callable[[], nn.Module], x: Tensor, y: Tensor, aim: float, *, graphs: bool = False,
    **settings: Any,
) -> Row:  # fmt: skip
    """Analog against digital steps of the same network.

    Args:
        settings: of `convert`.
    """
    torch.manual_seed(0)
    digital = make().cuda()
    analog = og.convert(make(), PAPER, seed=1, **settings).cuda()
    optimizer = og.AnalogSGD(analog.parameters(), lr=0.01)
    steps = {
        "analog": step_of(analog, optimizer, x, y),
        "digital": step_of(digital, torch.optim.SGD(digital.parameters(), lr=0.01), x, y),
    }
    if graphs:
        steps = {name: captured(step) for name, step in steps.items()}
    took = interleaved(steps)
    events = optimizer.events()  # tells of values that were not finite
    assert events["pulses_up"] + events["pulses_down"] > 0, f"{what}: nothing was pulsed"
    ratio = took["analog"] / took["digital"]
    times = f"{1e3 * took['analog']:.2f} ms, {ratio:.2f}x digital ({1e3 * took['digital']:.2f} ms)"
    return Row(what, times, ratio <= aim, f"{aim:g}x")


class Basic(nn.Module):
    """Two convolutions with a way around them (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.way = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs),
        )  # fmt: skip
        same = stride == 1 and inputs == outputs
        around = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))
        self.around = nn.Identity() if same else around

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.way(x) + self.around(x))


def resnet18() -> nn.Module:
    """ResNet-18 as it is used on images of 32 x 32."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    inputs = 64
    for outputs, stride in ((64, 1), (64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), (512, 1)):
        layers.append(Basic(inputs, outputs, stride))
        inputs = outputs
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 10))


def networks() -> list[Callable[[], Row]]:
    """The lines of the table that are whole steps."""

    def images(batch: int, channels: int, size: int) -> tuple[Tensor, Tensor]:
        g = torch.Generator().manual_seed(0)
        x = torch.rand(batch, channels, size, size, generator=g)
        return x.cuda(), torch.randint(0, 10, (batch,), generator=g).cuda()

    def gpt() -> nn.Module:
        return GPT(256, 512, 768, 12, 12)

    text = torch.randint(0, 256, (8, 512), generator=torch.Generator().manual_seed(0)).cuda()
    fcn, cnn, large = images(10, 1, 28), images(8, 1, 28), images(128, 3, 32)
    return [
        lambda: compare(
            "FCN 784-256-128-10, batch 10, graphs",
            lambda: build("fcn", (1, 28, 28), 10, 0),
            *fcn,
            2.0,
            graphs=True,
        ),
        lambda: compare(
            "CNN, batch 8, graphs", lambda: build("cnn", (1, 28, 28), 10, 0), *cnn, 2.0, graphs=True
        ),
        lambda: compare("GPT 12 x 768, batch 8 x 512", gpt, text, text, 1.5, include=["blocks.*"]),
        lambda: compare("ResNet-18, batch 128, 32 x 32", resnet18, *large, 1.5, exclude=["13"]),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checks", action="store_true", help="check the results, and time nothing")
    asked, reason = parser.parse_args(), no_card()
    if reason:
        raise SystemExit(reason)
    sys.path.insert(0, str(HOME))  # the tests
    print(f"{machine()}\n")
    begin = time.perf_counter()
    check_kernels()
    check_races()
    if asked.checks:
        return
    torch.set_float32_matmul_precision("highest")
    for measure in (update, *networks()):
        found = measure()
        for row in found if isinstance(found, list) else [found]:
            print(
                f"{row.what:52} {row.measured:62} aim {row.aim:5} {'met' if row.met else 'missed'}",
                flush=True,
            )
    print(f"\n{time.perf_counter() - begin:.0f} seconds in all")


if __name__ == "__main__":
    main()
