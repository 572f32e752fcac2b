"""This version against another one, measured in turn: what a rebuild costs or gains.

    python benchmarks/against_version.py path/to/other/src     # a checkout of the other version
    python benchmarks/against_version.py path/to/other/src step

Two processes, one for each version, run the same work round by round, so that whatever else the machine does
meets both. The ratio is the median over rounds of (this / other), with the quartiles; weights at the end are
compared first. A second argument picks the cases whose name contains it. Python calls are counted with
sys.setprofile in one step of a lone layer.
"""

from __future__ import annotations

import hashlib
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

#: rounds, after those that compile and in which the untrained network pulses most
ROUNDS, WARM = 40, 4


def _fcn() -> nn.Module:
    return nn.Sequential(
        nn.Linear(784, 256), nn.Sigmoid(), nn.Linear(256, 128), nn.Sigmoid(), nn.Linear(128, 10)
    )


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 28)), nn.Conv2d(1, 16, 5), nn.Tanh(), nn.MaxPool2d(2), nn.Conv2d(16, 32, 5),
        nn.Tanh(), nn.MaxPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(512, 128), nn.Tanh(),
        nn.Linear(128, 10),
    )  # fmt: skip


Work = tuple[Callable[[], None], Callable[[], torch.Tensor]]


def _device() -> Any:
    import ohmgrad as og

    spread = og.Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3)
    return og.Device(og.SoftBounds.symmetric(0.6), 0.001, spread, og.Noise(0.3))


def _training(net: Callable[[], nn.Module], algorithm: str, noisy: bool, steps: int, **options: Any) -> Work:
    import ohmgrad as og

    torch.manual_seed(0)
    periphery = og.NOISY_PERIPHERY if noisy else og.Periphery()
    model = og.convert(net(), _device(), periphery=periphery, seed=1)
    optimizer = getattr(og, algorithm)(model.parameters(), lr=0.05, **options)
    data = torch.Generator().manual_seed(1)
    first = next(model.parameters())
    flat = first.dim() == 2
    x = torch.randn(8, 784, generator=data) if flat else torch.randn(8, 28, 28, generator=data)
    y = torch.randint(0, 10, (8,), generator=data)

    def work() -> None:
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    return work, lambda: torch.cat([p.detach().flatten() for p in model.parameters()])


def _update(shape: tuple[int, int], samples: int, pulses: float, columns: bool = False) -> Work:
    import ohmgrad as og

    tile = og.Tile(shape, _device(), seed=1)
    g = torch.Generator().manual_seed(2)
    x, d = torch.randn(samples, shape[1], generator=g), torch.randn(samples, shape[0], generator=g)
    if columns:
        x = torch.zeros(samples, shape[1])
        x[torch.arange(samples), torch.arange(samples)] = 1.0
    lr = 0.001 * pulses

    def work() -> None:
        for _ in range(max(1, 2_000_000 // (shape[0] * shape[1] * samples)) if not columns else 200):
            tile.pulse(x, d, lr)
            tile.pulse(x, d, -lr)

    return work, lambda: tile.weight.flatten()


def _ensemble(n: int, runs: int, steps: int, spread: bool) -> Work:
    import ohmgrad as og
    from ohmgrad.ensemble import AnalogSGD, simulate
    from ohmgrad.theory.problem import GradientNoise, least_squares

    g = torch.Generator().manual_seed(0)
    f = least_squares(torch.randn(2 * n, n, generator=g) / 2, 0.3 * torch.randn(n, generator=g))
    device = og.Device(og.SoftBounds.symmetric(1.5), 0.005, noise=og.Noise(0.3))
    if spread:
        device = og.Device(og.SoftBounds.symmetric(1.5), 0.005, og.Spread(dw_min=0.3), og.Noise(0.3))
    found: list[torch.Tensor] = []

    def work() -> None:
        result = simulate(
            f, AnalogSGD(0.03), seeds=range(runs), device=device, noise=GradientNoise(0.1), steps=steps
        )
        found[:] = [result.weight.flatten()]

    return work, lambda: found[0]


CASES: dict[str, Callable[[], Work]] = {
    **{
        f"step {net} {algorithm} {'noisy' if noisy else 'perfect'}": (
            lambda net=net, algorithm=algorithm, noisy=noisy: _training(
                {"fcn": _fcn, "cnn": _cnn}[net], algorithm, noisy, 8 if net == "fcn" else 2
            )
        )
        for net in ("fcn", "cnn")
        for algorithm in ("AnalogSGD", "TikiTaka")
        for noisy in (False, True)
    },
    "step one layer AnalogSGD": lambda: _training(lambda: nn.Linear(784, 10), "AnalogSGD", False, 40),
    "step fcn MixedPrecision": lambda: _training(_fcn, "MixedPrecision", False, 4),
    "step fcn TTv2": lambda: _training(_fcn, "TTv2", False, 8),
    "step fcn AGAD": lambda: _training(_fcn, "AGAD", False, 8),
    "update 1024 x 1024, 32 samples, 0.2 pulses": lambda: _update((1024, 1024), 32, 0.2),
    "update 1024 x 1024, 32 samples, 4 pulses": lambda: _update((1024, 1024), 32, 4.0),
    "update 512 x 512, 128 samples": lambda: _update((512, 512), 128, 0.2),
    "update 256 x 784, one column": lambda: _update((256, 784), 1, 2.0, columns=True),
    "update 10 x 10, 8 samples": lambda: _update((10, 10), 8, 1.0),
    "ensemble 40 weights, alike": lambda: _ensemble(40, 100, 200, False),
    "ensemble 40 weights, spread": lambda: _ensemble(40, 100, 200, True),
    "ensemble 1 weight": lambda: _ensemble(1, 400, 400, False),
}


def calls_per_step(algorithm: str) -> int:
    """Python function calls in `optimizer.step` of one layer."""
    import ohmgrad as og

    torch.manual_seed(0)
    model = og.convert(nn.Linear(784, 256), _device(), seed=1)
    optimizer = getattr(og, algorithm)(model.parameters(), lr=0.05)
    calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event == "call"

    for _ in range(3):
        model(torch.randn(8, 784)).square().mean().backward()
        calls = 0
        sys.setprofile(count)
        optimizer.step()
        sys.setprofile(None)
    return calls


def worker() -> None:
    """Serve one version: a name makes a case, "run" times it, "digest" hashes its weights, "calls NAME"."""
    torch.set_num_threads(1)
    work: Work | None = None
    for line in sys.stdin:
        word, _, rest = line.strip().partition(" ")
        if word == "case":
            work = CASES[rest]()
            answer: Any = "ready"
        elif word == "calls":
            answer = calls_per_step(rest)
        elif word == "run":
            assert work is not None
            start = time.perf_counter()
            work[0]()
            answer = time.perf_counter() - start
        else:
            assert work is not None
            answer = hashlib.sha256(work[1]().contiguous().numpy().tobytes()).hexdigest()
        print(answer, flush=True)


class Version:
    """A process that runs the cases on one version."""

    def __init__(self, source: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(source), "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker"], env=environment, text=True, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip

    def ask(self, line: str) -> str:
        """Send a line and wait for the answer."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


def main() -> None:
    here = Path(__file__).parent.parent / "src"
    this, other = Version(here), Version(Path(sys.argv[1]).resolve())
    part = sys.argv[2] if len(sys.argv) > 2 else ""
    print(f"torch {torch.__version__}, one thread; ratios of times, this version / the other\n")
    for algorithm in ("AnalogSGD", "TikiTaka"):
        before, after = other.ask(f"calls {algorithm}"), this.ask(f"calls {algorithm}")
        print(f"Python calls in a step of one layer, {algorithm}: {before} before, {after} now")
    print(f"\n{'case':45} {'other, ms':>10} {'this, ms':>10} {'ratio':>6}  quartiles     weights")
    for name in CASES:
        if part not in name:
            continue
        for version in (this, other):
            version.ask(f"case {name}")
        for _ in range(WARM):
            for version in (this, other):
                version.ask("run")
        pairs = []
        for i in range(ROUNDS):
            order = (this, other) if i % 2 else (other, this)
            times = {id(version): float(version.ask("run")) for version in order}
            pairs.append((times[id(this)], times[id(other)]))
        ratios = sorted(a / b for a, b in pairs)
        same = "equal" if this.ask("digest") == other.ask("digest") else "differ"
        low, high = ratios[len(ratios) // 4], ratios[3 * len(ratios) // 4]
        ours, theirs = (1e3 * statistics.median(p[i] for p in pairs) for i in (0, 1))
        print(
            f"{name:45} {theirs:10.2f} {ours:10.2f} {statistics.median(ratios):6.2f}  {low:.2f} to {high:.2f}"
            f"  {same}",
            flush=True,
        )


if __name__ == "__main__":
    worker() if "--worker" in sys.argv else main()
