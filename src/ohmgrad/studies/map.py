"""What must improve: which properties of a device cost accuracy, maps over two of them, the cheapest change.

    chosen        the learning rate, one for all: that of the lowest sum of losses of short trainings on the
                  device as it is and on the ideal one
    attribution   Shapley values of the device's properties (`ohmgrad.studies.attribution`), for about two
                  thirds of the trainings
    alone         every property made ideal by itself
    improvement   for properties that reach the target when they are ideal, bisection of the least change
    map           a design that fills the plane of two properties, with what is left

The stages follow from the results before them and from the settings, and every training is kept under the
hash of what determines it: an interrupted map goes on, and other axes or another target cost only what they
add.

Accuracy, and not training loss, is what is divided: it is what a target is given in, it has a floor where a
training fails, and its shares add up to the points that people speak of. The loss is kept beside it.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ..devices import Device, Measured
from ..devices.properties import PROPERTIES, plain, present
from ..errors import InputError, check_integer
from ..version import __version__
from .attribution import chain, interval, orders, shares
from .engine import Failure, Progress
from .files import write_whole
from .improvement import Improvement, Search, place
from .map_runs import Factors, MapSettings, Runs
from .study import is_begun
from .surrogate import design, surface

__all__ = ["DeviceMap", "MapSettings", "Plane", "Share", "map_device"]

#: log10 of the factor up to which a map goes to the worse side
_WORSE = 0.5
#: shares of the trainings: of the attribution, and where two pairs need more; of the map, of what is left
_ATTRIBUTION, _MOST, _MAP = 0.7, 0.85, 0.6


@dataclass(frozen=True)
class Share:
    """What a property costs: percent points of accuracy with a 90 % interval, and nats of training loss."""

    name: str
    lost: tuple[float, float, float]
    loss: float
    alone: float  #: accuracy (percent) when it alone is ideal; NaN if that was not trained


@dataclass(frozen=True, eq=False)
class Plane:
    """A map over two properties: log10 factors `x`, `y` (n,), accuracy and its uncertainty (percent), (y, x).

    `points` are (log10 factor, log10 factor, accuracy) of the trainings; `error` is the cross-validated one.
    """

    axes: tuple[str, str]
    x: np.ndarray
    y: np.ndarray
    accuracy: np.ndarray
    sd: np.ndarray
    points: np.ndarray
    error: float


@dataclass(frozen=True, eq=False)
class DeviceMap:
    """What a map gave; accuracies in percent, with 90 % intervals where there are three numbers."""

    name: str
    device: Device  #: the plain form
    settings: MapSettings
    folder: Path
    lr: float
    target: float
    digital: float
    own: tuple[float, float, float]
    ideal: tuple[float, float, float]
    pairs: int
    shares: list[Share]
    planes: list[Plane]
    improvements: list[Improvement]
    trainings: int
    failed: list[Failure]
    measured: bool


def map_device(
    device: Device,
    folder: Path,
    settings: MapSettings | None = None,
    *,
    name: str = "device",
    jobs: int = 1,
    progress: Progress | None = None,
) -> DeviceMap:
    """Find what must improve on a device, or go on where a map in this folder was interrupted.

    The folder gets spec.yaml, raw/ with a Parquet file for each training, and trainings.parquet, shares.csv,
    improvements.csv and map-X-Y.csv.

    Args:
        device: a device.
        folder: made if it does not exist.
        settings: see `MapSettings`.
        name: of the device, for people.
        jobs: trainings at a time, in processes of their own.
        progress: called with (done, total, what).

    Raises:
        InputError: when a setting is wrong, the device has nothing to improve, or the folder cannot be
            written to, before anything is computed; when every pair of the attribution has a training that
            failed.
    """
    settings = settings or MapSettings()
    check_integer("jobs", jobs, 1)
    base = plain(device)
    faults = present(base)
    if not faults:
        raise InputError(f"{name} is ideal in every property: there is nothing to improve")
    runs = Runs(settings, base, faults, folder, jobs, progress or (lambda *_: None))
    _open(folder, name, base, settings)
    digital = runs.tune()
    target = settings.target if settings.target is not None else digital - 1.0

    pairs = _pairs(len(faults), settings.trainings)
    lost, loss, ends = _attribution(runs, faults, pairs)
    costs = interval(lost)
    ranked = sorted(range(len(faults)), key=lambda i: -costs[i, 0])
    smooth = [faults[i] for i in ranked if PROPERTIES[faults[i]].smooth]

    alone = [({n: 0.0}, 0) for n in (faults[i] for i in ranked) if not runs.known({n: 0.0})][: runs.left]
    axes = settings.axes or (_two(smooth),)
    runs.train(alone)
    kept = math.ceil(_MAP * runs.left)  # for the maps, which also get what the search leaves
    search = Search(base, smooth, target, runs.images)
    while tries := _new(search.next(runs.along), runs)[: max(0, runs.left - kept)]:
        runs.train([({n: factor}, turn % pairs) for n, factor, turn in tries])
    filling = runs.left // len(axes)
    runs.train([point for pair in axes for point in _filled(base, pair, filling, pairs)])

    result = DeviceMap(
        name=name,
        device=base,
        settings=settings,
        folder=folder,
        lr=runs.lr,
        target=target,
        digital=digital,
        own=_three(ends[0]),
        ideal=_three(ends[1]),
        pairs=len(lost),
        shares=[
            Share(faults[i], _three(costs[i]), float(loss[:, i].mean()), runs.mean({faults[i]: 0.0}))
            for i in ranked
        ],
        planes=[p for pair in axes if (p := _plane(runs, base, pair)) is not None],
        improvements=search.found(runs.along),
        trainings=len(runs.used),
        failed=runs.failed,
        measured=isinstance(device.response, Measured),
    )
    _write(result, runs)
    return result


def _attribution(runs: Runs, faults: Sequence[str], pairs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points of accuracy and nats of loss that each fault adds, by pair; accuracies of device and ideal one.

    Raises:
        InputError: when every pair has a training that failed.
    """
    plan = orders(faults, {n: PROPERTIES[n].needs for n in faults}, pairs)
    wanted = {
        (number, *sorted(there)): (number, there)
        for number, pair in enumerate(plan)
        for order in pair
        for there in chain(order)
    }
    keys = [wanted[key] for key in sorted(wanted)]
    found = runs.train([({n: 0.0 for n in faults if n not in there}, number) for number, there in keys])
    values = dict(zip(keys, found, strict=True))
    lost, loss = (
        shares(faults, plan, {key: sign * v[i] for key, v in values.items()})
        for i, sign in ((0, -100), (1, 1))
    )
    if not len(lost):
        why = f"first {runs.failed[0].error}; " if runs.failed else ""
        raise InputError(f"every pair of orders has a training that failed: {why}{runs.raw} has their errors")
    ends = [[100 * values[n, frozenset(s)][0] for s in (faults, ())] for n in range(pairs)]
    return lost, loss, interval(np.array(ends)[np.isfinite(ends).all(1)])


def _new(tries: list[tuple[str, float, int]], runs: Runs) -> list[tuple[str, float, int]]:
    """Those that were not trained: one that failed is not tried again."""
    return [(name, factor, turn) for name, factor, turn in tries if not runs.known({name: factor})]


def _three(values: np.ndarray) -> tuple[float, float, float]:
    mean, low, high = (float(v) for v in values)
    return mean, low, high


def _pairs(faults: int, trainings: int) -> int:
    """Pairs of orders, of 2 faults trainings each: as many as two thirds allow, two if they fit at all."""
    cost = 2 * faults
    pairs = int(_ATTRIBUTION * trainings / cost)
    return max(1, pairs if pairs > 1 or 2 * cost > _MOST * trainings else 2)


def _two(ranked: Sequence[str]) -> tuple[str, str]:
    """The two properties that cost most; of a device with one, that and another one."""
    first, second, *_ = [*ranked, *(n for n in ("noise", "states", "asymmetry") if n not in ranked)]
    return first, second


def _ends(base: Device, name: str, has: Sequence[str]) -> tuple[float, float]:
    """log10 of the factors between which a map lies, of a usual amount where the device has none."""
    return place(base, name), _WORSE if name in has else 0.0


def _filled(base: Device, pair: tuple[str, str], points: int, seeds: int) -> list[tuple[Factors, int]]:
    """Trainings that fill the plane of two properties evenly."""
    if points < 1:
        return []
    has = present(base)
    low, high = np.array([_ends(base, n, has) for n in pair]).T
    where = low + (high - low) * design(points)
    found = [{n: float(f"{10**u:.4g}") for n, u in zip(pair, row, strict=True)} for row in where]
    return [(factors, i % seeds) for i, factors in enumerate(found)]


def _plane(runs: Runs, base: Device, pair: tuple[str, str]) -> Plane | None:
    """The surface through all trainings that differ from the device in these two properties only."""
    has = present(base)
    rows = []
    for factors, _, accuracy, _ in runs.all():
        if {*factors} <= {*pair} and math.isfinite(accuracy):
            own = [factors.get(n, 1.0 if n in has else 0.0) for n in pair]
            rows.append([*(place(base, n, f) for n, f in zip(pair, own, strict=True)), accuracy])
    points = np.array(rows)
    if len(rows) < 3 or (np.ptp(points[:, :2], axis=0) == 0).any():
        return None
    fitted = surface(points[:, :2], points[:, 2], runs.images)
    x, y = (np.linspace(*_ends(base, n, has), 41) for n in pair)
    grid = np.stack([v.ravel() for v in np.meshgrid(x, y)], 1)
    mean, sd = (v.reshape(41, 41) for v in fitted.at(grid))
    points[:, 2] *= 100
    return Plane(pair, x, y, mean, sd, points, fitted.error)


def _open(folder: Path, name: str, base: Device, settings: MapSettings) -> None:
    """Make the folder, or take one that holds a map; of another device its trainings are simply not used."""
    if is_begun(folder) and not (folder / "spec.yaml").is_file():
        raise InputError(f"{folder} holds something else than a map: choose another --out")
    spec = {"map": name, "ohmgrad": __version__, "device": base.to_dict(), **asdict(settings)}
    spec |= {"axes": [list(pair) for pair in settings.axes], "rates": list(settings.rates)}
    try:
        (folder / "raw").mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
        write_whole(folder / "spec.yaml", yaml.safe_dump(spec, sort_keys=False))
    except OSError as error:
        raise InputError(f"cannot write to {folder} ({error.strerror}): choose another --out") from None


def _write(result: DeviceMap, runs: Runs) -> None:
    """The numbers, as tables."""
    from pyarrow import BufferOutputStream, Table, csv, parquet

    def write(name: str, rows: list[dict[str, Any]]) -> None:
        if rows:
            write_bytes(csv.write_csv, f"{name}.csv", rows)

    def write_bytes(how: Callable[[Any, Any], None], name: str, rows: list[dict[str, Any]]) -> None:
        out = BufferOutputStream()
        how(Table.from_pylist(rows), out)
        write_whole(result.folder / name, out.getvalue().to_pybytes())

    names = sorted({n for factors, *_ in runs.all() for n in factors})
    trained = [
        {
            **{n: factors.get(n, 1.0) for n in names},
            "seed": seed,
            "test_accuracy": accuracy,
            "train_loss": loss,
        }
        for factors, seed, accuracy, loss in runs.all()
    ]
    write_bytes(parquet.write_table, "trainings.parquet", trained)
    write("trainings", trained)
    write(
        "shares",
        [
            {"property": s.name, "points": s.lost[0], "low": s.lost[1], "high": s.lost[2], "loss": s.loss,
             "accuracy_alone_ideal": s.alone}
            for s in result.shares
        ],
    )  # fmt: skip
    write(
        "improvements",
        [
            {"property": i.name, "times": i.times[0], "low": i.times[1], "high": i.times[2],
             "chance": i.chance, "before": i.before, "after": i.after}
            for i in result.improvements
        ],
    )  # fmt: skip
    for plane in result.planes:
        (a, b), grid = plane.axes, np.meshgrid(plane.x, plane.y)
        rows = zip(*(v.ravel().tolist() for v in (*grid, plane.accuracy, plane.sd)), strict=True)
        write(f"map-{a}-{b}", [dict(zip((a, b, "accuracy", "sd"), row, strict=True)) for row in rows])
