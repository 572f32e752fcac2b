"""How the time and the memory of an update grow, one factor at a time, beside the digital product.

    python benchmarks/growth.py            # measure: docs/growth.csv, the figure and a table
    python benchmarks/growth.py --redraw   # draw docs/growth.svg from docs/growth.csv again

Factors: side of the array, samples, pulses per cell and sample, states of the device, number of arrays and
threads; all others stay as in `BASE`. Digital is `w += lr d^T x` in float32. Both are timed in turn, and the
ratio is the median over rounds. Before an update is timed its mean change is checked. Memory is what the tile
holds for each cell, and the largest the process grows while it updates, in a process of its own (Linux).
"""

from __future__ import annotations

import csv
import ctypes
import dataclasses
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

import ohmgrad as og
from common import PAPER, machine
from ohmgrad.crossbar import Tile
from ohmgrad.style import BLUE, ORANGE, RC

FOLDER = Path(__file__).parents[1] / "docs"
ROUNDS = 9


@dataclasses.dataclass(frozen=True)
class Case:
    """One update: `arrays` square arrays, one after the other, each with its own samples.

    Attributes:
        pulses: wanted per cell and sample, mean over cells.
        states: range over granularity, 1.2/dw_min.
    """

    side: int = 512
    samples: int = 128
    pulses: float = 0.2
    states: int = 1200
    arrays: int = 1
    threads: int = 1


BASE = Case()
#: factor -> its values, and its name on an axis
FACTORS: dict[str, tuple[list[Any], str]] = {
    "side": ([32, 64, 128, 256, 512, 1024, 2048], "rows = columns"),
    "samples": ([1, 4, 16, 64, 256, 1024, 4096], "samples"),
    "pulses": ([0.002, 0.02, 0.2, 2.0, 20.0], "pulses per cell and sample"),
    "states": ([20, 60, 200, 600, 2000, 6000], "states"),
    "arrays": ([1, 4, 16, 64, 256], "arrays of 64 x 64"),
    "threads": ([1, 2], "threads"),
}
COLUMNS = ("factor", "value", "update_ms", "digital_ms", "ratio", "bytes_per_cell", "peak_mib")


def case_of(factor: str, value: Any) -> Case:
    """The base case with one factor changed."""
    side = 64 if factor == "arrays" else BASE.side
    return dataclasses.replace(BASE, **{"side": side, factor: value})


class Work:
    """The tiles, factors and learning rate of a case."""

    def __init__(self, case: Case) -> None:
        torch.set_num_threads(case.threads)
        torch.manual_seed(0)
        shape = (case.side, case.side)
        device = dataclasses.replace(PAPER, dw_min=1.2 / case.states)
        self.tiles = [Tile(torch.empty(shape).uniform_(-0.1, 0.1), device) for _ in range(case.arrays)]
        self.x = torch.rand(case.samples, case.side)  # mean 1/2
        self.d = torch.randn(case.samples, case.side)  # mean size sqrt(2/pi)
        self.lr = case.pulses * device.dw_min / (0.5 * 0.798)
        self.digital = [torch.zeros(shape) for _ in range(case.arrays)]

    def update(self) -> None:
        """To and fro, so that weights stay where they are."""
        for sign in (1, -1):
            for tile in self.tiles:
                tile.pulse(self.x, self.d, sign * self.lr)

    def multiply(self) -> None:
        """The same updates of digital weights."""
        for sign in (1, -1):
            for w in self.digital:
                w.addmm_(self.d.t(), self.x, alpha=sign * self.lr)

    def check(self) -> None:
        """The change follows the wanted one: their correlation over cells is far above chance."""
        tile = self.tiles[0]
        before = tile.weight.clone()
        tile.pulse(self.x, self.d, self.lr)
        pair = torch.stack([(tile.weight - before).flatten(), (self.d.t() @ self.x).flatten()])
        tile.pulse(self.x, self.d, -self.lr)
        seen, by_chance = float(torch.corrcoef(pair)[0, 1]), 5 / tile.weight.numel() ** 0.5
        assert seen > by_chance, f"the weights moved with correlation {seen:.3f} to what was asked"

    def bytes_per_cell(self) -> float:
        """What the first tile holds: weights and the planes of its elements."""
        tile = self.tiles[0]
        e = tile.elements
        held = (tile.weight, e.up, e.down, e.lower, e.upper)
        return sum(t.numel() * t.element_size() for t in held) / tile.weight.numel()


def measure(case: Case) -> tuple[float, float, float]:
    """Milliseconds of an update and of the digital one, and the median ratio."""
    work = Work(case)
    work.check()
    times: list[tuple[float, float]] = []
    for _ in range(ROUNDS + 2):
        start = time.perf_counter()
        work.update()
        between = time.perf_counter()
        work.multiply()
        times.append((between - start, time.perf_counter() - between))
    ours, theirs = zip(*times[2:], strict=True)
    ratio = statistics.median(a / b for a, b in times[2:])
    return 500 * statistics.median(ours), 500 * statistics.median(theirs), ratio


def peak_mib(case: Case) -> float:
    """MiB that the process grows at most while it updates, beyond what it held before."""
    work = Work(dataclasses.replace(case, side=8, samples=1))
    work.update()  # compiles
    work = Work(case)

    def status(name: str) -> float:
        lines = Path("/proc/self/status").read_text().splitlines()
        return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(name))

    ctypes.CDLL(None).malloc_trim(0)  # give back what was freed, which an update could take unseen
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
    before = status("VmRSS")
    work.update()
    return max(status("VmHWM") - before, 0.0)


def figure(rows: list[dict[str, str]]) -> None:
    """Time and ratio against every factor, on logarithmic axes: docs/growth.svg."""
    import matplotlib

    with matplotlib.rc_context(RC):
        from matplotlib.figure import Figure

        drawn = Figure(figsize=(10.2, 5.2), layout="constrained")
        for axis, (factor, (_, label)) in zip(drawn.subplots(2, 3).flat, FACTORS.items(), strict=True):
            mine = [row for row in rows if row["factor"] == factor]
            at = [float(row["value"]) for row in mine]
            for name, colour, marker in (("update", BLUE, "o"), ("digital", ORANGE, "s")):
                axis.plot(at, [float(r[f"{name}_ms"]) for r in mine], color=colour, marker=marker, label=name)
            axis.set(xscale="log", yscale="log", xlabel=label, ylabel="time (ms)")
        drawn.axes[0].legend(frameon=False)
        drawn.savefig(FOLDER / "growth.svg")


def main() -> None:
    table = FOLDER / "growth.csv"
    if sys.argv[1:2] == ["--peak"]:
        print(peak_mib(case_of(sys.argv[2], type(FACTORS[sys.argv[2]][0][0])(sys.argv[3]))))
        return
    if sys.argv[1:] != ["--redraw"]:
        print(f"{machine()}\n\n{''.join(f'{name:>15}' for name in COLUMNS)}")
        rows = []
        for factor, (values, _) in FACTORS.items():
            for value in values:
                if factor == "threads" and value > (os.cpu_count() or 1):
                    continue
                case = case_of(factor, value)
                command = [sys.executable, __file__, "--peak", factor, str(value)]
                peak = subprocess.run(command, capture_output=True, text=True, check=True).stdout
                row = (factor, value, *measure(case), Work(case).bytes_per_cell(), float(peak))
                rows.append([f"{v:.4g}" if isinstance(v, float) else v for v in row])
                print("".join(f"{v:>15}" for v in rows[-1]), flush=True)
        with table.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    with table.open(newline="", encoding="utf-8") as file:
        figure(list(csv.DictReader(file)))
    print(f"\n{og.__name__} {og.__version__}: {table}, {table.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
