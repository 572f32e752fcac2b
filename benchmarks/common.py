"""What all benchmarks share: the machine in a line, a fair clock, and the optional peer."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import ohmgrad as og

#: the paper's device (Wu et al. 2024) with its element-to-element spread and pulse noise
PAPER = og.Device(
    og.SoftBounds.symmetric(0.6),
    dw_min=0.001,
    spread=og.Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
    noise=og.Noise(0.3),
)


def machine() -> str:
    """Processor, cores and versions, in one line."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        cpu = names[0].split(":")[1].strip() if names else cpu
    parts = [f"{cpu}, {os.cpu_count()} cores", f"Python {platform.python_version()}"]
    for name in ("torch", "numba", "numpy", "aihwkit"):
        try:
            parts.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            parts.append(f"{name} not installed")
    return "; ".join(parts)


def seconds(work: Callable[[], object], *, rounds: int = 7, warm: int = 2) -> float:
    """Median wall time of one call."""
    for _ in range(warm):
        work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def interleaved(works: Mapping[str, Callable[[], object]], *, rounds: int = 7) -> dict[str, float]:
    """Median wall times of several pieces of work, taken in turn so that all see the same machine."""
    times: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work()
    for _ in range(rounds):
        for name, work in works.items():
            start = time.perf_counter()
            work()
            times[name].append(time.perf_counter() - start)
    return {name: statistics.median(t) for name, t in times.items()}


def batches(size: int, count: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """MNIST minibatches; made-up images with as many silent pixels if the data is not at hand."""
    try:
        from ohmgrad import datasets

        if not os.environ.get("OHMGRAD_DATA"):
            raise og.InputError("no local data")
        mnist = datasets.load("mnist")
        x, y = mnist.train_x[: size * count], mnist.train_y[: size * count]
    except og.InputError:
        print("(OHMGRAD_DATA is not set: made-up images, 81 % of the pixels zero as in MNIST)")
        generator = torch.Generator().manual_seed(0)
        x = torch.rand(size * count, 1, 28, 28, generator=generator)
        x *= torch.rand(x.shape, generator=generator) < 0.19
        y = torch.randint(0, 10, (size * count,), generator=generator)
    return list(zip(x.split(size), y.split(size), strict=True))
