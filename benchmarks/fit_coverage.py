"""How good `ohmgrad fit` is: data of every family, made by the devices themselves, fitted again.

For every family, trials of 3 cycles with 100 pulses up and 100 down, 30 % cycle-to-cycle noise and read
noise of three steps; plain, or with 5 % of the readings replaced by outliers and a fifth left out. Counted is
how often the 90 % intervals hold the true figures (steps, bounds, noises, symmetric point), and, with --rank,
how often the true family is first or not told apart from the first.

Every trial is one line in the output, by family, kind of data and seed: what is there is not done again, so
that a run that was stopped, by Ctrl-C or killed, goes on with the same command.

    python benchmarks/fit_coverage.py --trials 20 --out runs/fit_coverage.csv
    python benchmarks/fit_coverage.py --trials 5 --rank --out runs/fit_ranks.csv
"""

from __future__ import annotations

import argparse
import csv
import io
import math
import sys
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np

import ohmgrad as og
from common import machine
from ohmgrad.devices.fitting.estimates import estimates
from ohmgrad.devices.fitting.fit import fit_pulses, fitted_family
from ohmgrad.devices.fitting.marginal import corrected
from ohmgrad.devices.fitting.model import Data
from ohmgrad.devices.fitting.pulses import Pulses
from ohmgrad.devices.fitting.synthetic import synthetic

#: family of a fit -> a device of it, of some hundred states
DW, STD, READ = 0.02, 0.3, 0.06
NOISE = og.Noise(STD)
TRUE: dict[str, og.Device] = {
    "constant_step": og.Device(og.ConstantStep(-1, 1, 1.1, 0.9), DW, noise=NOISE),
    "linear_step": og.Device(og.LinearStep(-1, 1, 0.5, 0.4, 1.1, 0.9), DW, noise=NOISE),
    "soft_bounds": og.Device(og.SoftBounds(-1.1, 1.0, 1.1, 0.9), DW, noise=NOISE),
    "exponential": og.Device(
        og.ExpStep(-1, 1, 1 - 1e6, 1 - 1e6, -1.0, -0.8, 1.0, 0.0, 1.1e-6, 0.9e-6), DW, noise=NOISE
    ),
    "exp_step": og.Device(
        og.ExpStep(-1, 1, math.exp(-4), math.exp(-3), 4, 3, 1.0, 0.0, 1.0, 1.0), DW, noise=NOISE
    ),
    "exp_bounds": og.Device(og.ExpBounds(-1, 1.1, 2.0, 1.5, 1.1, 0.9), DW, noise=NOISE),
    "pow_step": og.Device(og.PowStep(-1.1, 1.0, 2.0, 1.5, 1.1, 0.9), DW, noise=NOISE),
    "piecewise_step": og.Device(
        og.PiecewiseStep(-1, 1, (1.8, 0.7, 1.2, 1.1, 0.5, 0.3), (0.3, 0.5, 1.1, 0.9, 0.7, 1.6)),
        DW,
        noise=NOISE,
    ),
}
KINDS = ("plain", "outliers and gaps")
#: last cell of a line that is whole
END = "."


def readings(family: str, kind: str, seed: int) -> Pulses:
    """Ramps of the true device; the second kind with 5 % outliers and a fifth missing."""
    seed += 1000 * list(TRUE).index(family)  # no two trials have the same noise
    pulses = synthetic(TRUE[family], 100, 3, read_noise=READ, seed=seed)
    if kind == "plain":
        return pulses
    rng, ramps = np.random.default_rng(seed), []
    for r in pulses.ramps:
        y = r.readings.copy()
        out = rng.random(y.size) < 0.05
        y[out] = rng.uniform(-1.5, 1.5, out.sum())
        y[rng.random(y.size) < 0.2] = np.nan
        ramps.append(replace(r, readings=y))
    return Pulses(tuple(ramps), "", 0.0, 1.0)


def truth(family: str) -> dict[str, float]:
    """The true figures by the names of the estimates."""
    device = TRUE[family]
    plus, minus = device.nominal_steps
    out = {
        "step up at w = 0": plus * device.dw_min,
        "step down at w = 0": minus * device.dw_min,
        "granularity dw_min": (plus + minus) / 2 * device.dw_min,
        "cycle-to-cycle noise, of a step": STD,
        "read noise": READ,
        "symmetric point": device.response.symmetric_point(),
    }
    if abs(out["symmetric point"]) >= 1:
        del out["symmetric point"]
    out |= {"upper bound": device.response.w_max, "lower bound": device.response.w_min}
    r = device.response
    for name in ("gamma_up", "gamma_down"):
        if family == "pow_step":
            out[f"exponent {name[6:]}"] = getattr(r, name)
    return out


def trial(family: str, kind: str, seed: int, rank: bool) -> dict[str, object]:
    pulses = readings(family, kind, seed)
    if rank:
        result = fit_pulses(pulses)
        mine = next(r for r in result.ranking if r.name == family)
        return {"first": result.ranking[0].name, "tied": mine.tied, "chosen": result.family}
    data = Data(pulses.ramps)
    best = corrected(fitted_family(family, "additive", False, data))
    inside: dict[str, object] = {}
    true = truth(family)
    for e in estimates(best, None):
        if e.interval is not None and e.name in true:
            i = e.interval
            low = -math.inf if i.open_low else i.low
            high = math.inf if i.open_high else i.high
            inside[e.name] = f"{low <= true[e.name] <= high:d} {i.value:.5g} {i.low:.5g} {i.high:.5g}"
    return inside


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=20)
    parser.add_argument("--rank", action="store_true")
    parser.add_argument("--families", default=",".join(TRUE))
    parser.add_argument("--out", type=Path, default=Path("runs/fit_coverage.csv"))
    options = parser.parse_args()
    options.out.parent.mkdir(parents=True, exist_ok=True)
    wanted = [
        (family, kind, seed)
        for seed in range(options.trials)
        for family in options.families.split(",")
        for kind in KINDS
    ]
    done = {(family, kind, int(seed)) for family, kind, seed, *_ in lines(options.out)}
    left = [one for one in wanted if one not in done]
    start = time.monotonic()
    try:
        for n, (family, kind, seed) in enumerate(left, 1):
            found = trial(family, kind, seed, options.rank)
            append(options.out, [family, kind, seed, *(f"{k}={v}" for k, v in found.items()), END])
            each = (time.monotonic() - start) / n
            print(
                f"{n} of {len(left)}, {each * (len(left) - n) / 60:.0f} min left", file=sys.stderr, flush=True
            )
    except KeyboardInterrupt:
        print(f"stopped; what is done is in {options.out}, the same command goes on", file=sys.stderr)
    print(machine())
    report(options.out, options.rank)


def lines(path: Path) -> list[list[str]]:
    """The trials in a file; a line that was cut off when a run was killed is none."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [row[:-1] for row in csv.reader(file) if row and row[-1] == END]


def append(path: Path, row: list[object]) -> None:
    """Add a trial at the end of a file, in one piece, so that several runs may share it."""
    text = io.StringIO()
    csv.writer(text).writerow(row)
    with path.open("ab", buffering=0) as file:
        cut = path.stat().st_size and path.read_bytes()[-1:] != b"\n"
        file.write((b"\n" if cut else b"") + text.getvalue().encode())


def report(path: Path, rank: bool) -> None:
    """The table of what is in the file."""
    counts: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(lambda: [0, 0]))
    for family, kind, _, *cells in lines(path):
        for name, value in (cell.rsplit("=", 1) for cell in cells):
            cell = counts[family, kind][name]
            cell[0] += value == family or value == "True" or value.startswith("1 ")
            cell[1] += 1
    totals: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for (family, kind), cells in sorted(counts.items()):
        words = ", ".join(f"{name} {good}/{n}" for name, (good, n) in cells.items())
        print(f"{family:15} {kind:18} {words}")
        if not rank:
            good, n = (sum(c[k] for c in cells.values()) for k in (0, 1))
            print(f"{'':15} {'':18} all: {good}/{n} = {100 * good / n:.1f} %")
        for name, (good, n) in cells.items():
            totals[f"{name}, {kind}"][0] += good
            totals[f"{name}, {kind}"][1] += n
    for name, (good, n) in sorted(totals.items()):
        print(f"{name:52} {good}/{n} = {100 * good / n:.1f} %")


if __name__ == "__main__":
    main()
