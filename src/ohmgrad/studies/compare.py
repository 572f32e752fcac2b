"""Algorithms on devices: accuracies, the gap to digital, what they wear of the elements, and a verdict.

Every algorithm on every device trains the same small network with each seed. Options are chosen for each pair
alone, by the training loss of short trainings with a seed that is not among those reported; the budget, so
many tuning trainings, is the same for each. They try every learning rate of `rates` with the options of
`OPTIONS`, and what the budget leaves tries other learning rates in the same range together with the option
of `RANGES`, at points of a Halton sequence; an algorithm without such an option tries more learning rates.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..devices.named import device_named, device_written
from ..errors import InputError
from ..models import check_model
from ..optim import AnalogOptimizer
from ..optim.registry import ALGORITHMS, algorithm_of
from ..style import BLACK, style_of
from ..user_files import anywhere
from .engine import Columns, Part
from .study import Study, interval, where
from .train import check_data
from .tuned import Case, reported, trainings, tunings
from .verdict import best_chances, verdict

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COMPARE", "DIGITAL", "OPTIONS", "Pair", "all_algorithms", "pairs", "verdicts"]

#: the algorithm without a device, the row to compare with
DIGITAL = "digital"

#: options of the algorithms beside lr, where the budget does not tune them
OPTIONS: dict[str, dict[str, Any]] = {
    "tiki-taka": {"fast_lr": 0.1, "columns": 16},
    "ttv2": {"fast_lr": 0.1, "columns": 16, "max_pulses": 10},
    "c-ttv2": {"fast_lr": 0.5, "columns": 16, "max_pulses": 10, "rest": "keep"},
    "agad": {"fast_lr": 0.5, "columns": 16, "max_pulses": 10},
    "residual": {"columns": 16},
    "residual-v2": {"columns": 16},
    "multi-tile": {"columns": 16},
    "sp-tracking": {"columns": 16},
    "sp-tracking-chopped": {"columns": 16},
}

#: the option that a larger budget tunes beside lr, between these values
RANGES: dict[str, tuple[str, float, float]] = {
    "tiki-taka": ("fast_lr", 0.02, 1.0),
    "ttv2": ("fast_lr", 0.02, 1.0),
    "c-ttv2": ("fast_lr", 0.02, 1.0),
    "agad": ("fast_lr", 0.02, 1.0),
    "residual": ("gamma", 0.05, 0.8),
    "residual-v2": ("gamma", 0.05, 0.8),
    "multi-tile": ("gamma", 0.05, 0.8),
    "sp-tracking": ("gamma", 0.05, 0.8),
    "sp-tracking-chopped": ("gamma", 0.05, 0.8),
}

Pair = tuple[str, str]


def all_algorithms() -> tuple[str, ...]:
    """All algorithms, digital SGD first."""
    return (DIGITAL, *ALGORITHMS)


def pairs(settings: dict[str, Any]) -> list[Pair]:
    """All (algorithm, device) of a comparison; digital SGD has the device "-" and always comes, once."""
    analog = [a for a in settings["algorithms"] if a != DIGITAL]
    return [(DIGITAL, "-"), *((a, d) for d in settings["devices"] for a in analog)]


def tried(settings: dict[str, Any], algorithm: str) -> list[dict[str, Any]]:
    """The options, lr among them, that the budget tries."""
    from scipy.stats import qmc

    rates, fixed = settings["rates"], OPTIONS.get(algorithm, {})
    found = [{"lr": lr, **fixed} for lr in rates]
    more = (settings["budget"] or len(rates)) - len(rates)
    if more > 0:
        least, most = min(rates), max(rates)
        name, low, high = RANGES.get(algorithm, ("lr", least, most))
        # the first point, of an unscrambled sequence, is a corner
        for u, v in qmc.Halton(2, scramble=False).random(more + 1)[1:]:
            lr, value = _between(least, most, float(u)), _between(low, high, float(v))
            found.append({"lr": lr, **fixed, **({} if name == "lr" else {name: value})})
    return found


def _between(low: float, high: float, share: float) -> float:
    """A number between two on a logarithmic scale, to three digits."""
    return float(f"{low * (high / low) ** share:.3g}")


def check(settings: dict[str, Any]) -> None:
    check_model(settings["model"])
    for algorithm in settings["algorithms"]:
        if algorithm != DIGITAL:
            algorithm_of(algorithm, DIGITAL)
    for name in settings["devices"]:
        device_named(name)
    if set(settings["algorithms"]) == {DIGITAL}:
        raise InputError(f"algorithms is ['{DIGITAL}'], which needs no device: name another one, too")
    budget, rates = settings["budget"], len(settings["rates"])
    if budget is not None and budget < rates:
        raise InputError(
            f"budget is {budget}, but must be at least {rates}, a tuning training for each of rates: raise "
            "it, or give fewer rates"
        )
    check_data(settings["data"])


def cases(settings: dict[str, Any]) -> list[Case]:
    """A case for each pair."""
    found = []
    devices = {name: device_named(name) for name in settings["devices"]}
    for algorithm, device in pairs(settings):
        spec: dict[str, Any] = {
            **{name: settings[name] for name in ("images", "batch_size")},
            **{name: anywhere(settings[name]) for name in ("data", "model")},
            "algorithms": (anywhere(algorithm),),
            "lr_gamma": 1.0,
        }
        label = style_of(algorithm).label
        if algorithm != DIGITAL:
            spec["device"] = device_written(device)
            spec["monitor"] = _is_predicted(algorithm) and devices[device].pair is None
            label += f" on {Path(device).stem}"
        labels = {"algorithm": algorithm, "device": device}
        found.append(Case(labels, label, spec, tried(settings, algorithm)))
    return found


def _is_predicted(algorithm: str) -> bool:
    """Whether the theory says where an algorithm comes to rest, see `Monitor`."""
    own = getattr(algorithm_of(algorithm), "transfer_model", None)
    return own not in (None, AnalogOptimizer.transfer_model)


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return tunings(cases(settings), settings["tuning_epochs"])


def follow(settings: dict[str, Any], columns: Columns) -> list[Part]:
    tuning, epochs, seeds = (settings[name] for name in ("tuning_epochs", "epochs", "seeds"))
    return trainings(cases(settings), columns, tuning, epochs, seeds)


def later(settings: dict[str, Any]) -> list[float]:
    return [float(settings["epochs"])] * (len(pairs(settings)) * settings["seeds"])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    """A row for each pair: means over seeds with their 95 % intervals; nan where all trainings failed.

    test_accuracy and gap, to digital with the same seeds (both in per cent); train_loss (nats); pulses
    (millions); pulses_per_update and pulses_per_element, by element, and update or whole training;
    gradient_sq and floor (nats^2 by weight^2); seconds; best, the probability that its accuracy is the
    highest on its device; lr and options, as chosen; seeds, trained.
    """
    columns = reported(columns)
    rows, digital = [], _by_seed(columns, DIGITAL, "-")
    for algorithm, device in pairs(settings):
        mine = where(columns, algorithm=algorithm, device=device)
        seeds = len(mine["seed"])
        row: dict[str, Any] = {"algorithm": algorithm, "device": device, "seeds": seeds}
        row |= {"lr": float(mine["lr"][0]) if seeds else math.nan}
        row |= {"options": str(mine["options"][0]) if seeds else ""}
        elements = np.maximum(mine["cells"], 1)
        accuracies = _by_seed(columns, algorithm, device)
        gaps = [digital[seed] - value for seed, value in accuracies.items() if seed in digital]
        values: dict[str, np.ndarray] = {
            "test_accuracy": 100 * mine["test_accuracy"],
            "gap": np.array(gaps) if algorithm != DIGITAL else np.array([]),
            "train_loss": mine["train_loss"],
            "pulses": 1e-6 * mine["pulses"],
            "pulses_per_update": mine["pulses"] / elements / np.maximum(mine["updates"], 1),
            "pulses_per_element": mine["pulses"] / elements,
            "gradient_sq": mine["gradient_sq"],
            "floor": mine["floor"],
            "seconds": mine["seconds"],
        }
        for name, sample in values.items():
            row[name], row[f"{name}_low"], row[f"{name}_high"] = _interval(sample)
        rows.append(row | {"best": math.nan})
    for device in settings["devices"]:
        mine = [row for row in rows if row["device"] == device]
        samples = [np.array([*_by_seed(columns, row["algorithm"], device).values()]) for row in mine]
        for row, chance in zip(mine, best_chances(samples, _resolution(columns)), strict=True):
            row["best"] = chance
    return rows


def _interval(sample: np.ndarray) -> tuple[float, float, float]:
    if not len(sample):
        return math.nan, math.nan, math.nan
    return interval(sample.astype(np.float64))


def _by_seed(columns: Columns, algorithm: str, device: str) -> dict[int, float]:
    """Test accuracy (per cent) of a pair by seed."""
    mine = where(columns, algorithm=algorithm, device=device)
    return {int(s): 100 * float(a) for s, a in zip(mine["seed"], mine["test_accuracy"], strict=True)}


def _resolution(columns: Columns) -> float:
    """Standard deviation (per cent) that rounding to whole images gives an accuracy."""
    shares = np.unique(columns["test_accuracy"])
    steps = np.diff(shares)
    return 100 * float(steps.min()) / math.sqrt(12) if len(steps) else 0.0


def verdicts(settings: dict[str, Any], columns: Columns, table: list[dict[str, Any]]) -> list[str]:
    """For each device: which algorithm, why, and how sure; `table` is what `summarise` gave."""
    found, columns = [], reported(columns)
    for device in settings["devices"]:
        rows = [row for row in table if row["device"] == device]
        accuracies = {row["algorithm"]: _by_seed(columns, row["algorithm"], device) for row in rows}
        found.append(verdict(device, rows, accuracies, settings["rates"]))
    return found


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    """Of one device, accuracies and pulses of every algorithm; of several, accuracies as a map."""
    if len(settings["devices"]) == 1:
        _draw_one(figure, summarise(settings, columns))
    else:
        _draw_map(figure, settings, columns)


def _draw_one(figure: Figure, rows: list[dict[str, Any]]) -> None:
    """Points with 95 % intervals, the best algorithm on top, and a band for digital SGD."""
    digital, *others = rows
    others = [row for row in others if math.isfinite(row["test_accuracy"])]
    others.sort(key=lambda row: row["test_accuracy"])
    figure.set_size_inches(6.8, 1.1 + 0.28 * len(others))
    left, right = figure.subplots(1, 2, sharey=True)
    for axis, name in ((left, "test_accuracy"), (right, "pulses_per_update")):
        for y, row in enumerate(others):
            look = style_of(row["algorithm"])
            ends = [[row[name] - row[f"{name}_low"]], [row[f"{name}_high"] - row[name]]]
            error = ends if np.isfinite(ends).all() else None
            axis.errorbar(row[name], y, xerr=error, fmt=look.marker, color=look.colour, ms=5, capsize=2)
    if math.isfinite(digital["test_accuracy"]):
        left.axvline(digital["test_accuracy"], color=BLACK, ls="--", lw=0.8, label="digital SGD")
        if math.isfinite(digital["test_accuracy_low"]):
            band = (digital["test_accuracy_low"], digital["test_accuracy_high"])
            left.axvspan(*band, color=BLACK, alpha=0.08, lw=0)
        left.legend(frameon=False, fontsize=7, loc="lower right", bbox_to_anchor=(1.0, 0.98))
    lowest = min([digital["test_accuracy"], *(row["test_accuracy"] for row in others)])
    left.set(xlabel="test accuracy (%)", xlim=(max(0.0, lowest - 10), 100.5), ylim=(-0.6, len(others) - 0.4))
    right.set(xlabel="pulses per element and update")
    pulses = [row["pulses_per_update"] for row in others if row["pulses_per_update"] > 0]
    if pulses and max(pulses) > 20 * min(pulses):
        right.set_xscale("log")
    else:
        right.set_xlim(left=0)
    left.set_yticks(range(len(others)), [style_of(row["algorithm"]).label for row in others], fontsize=7)


def _draw_map(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    """Accuracies, algorithms down and devices across; the half-width of the interval below."""
    algorithms = [a for a in settings["algorithms"] if a != DIGITAL]
    devices, rows = list(settings["devices"]), summarise(settings, columns)
    found = {(row["algorithm"], row["device"]): row for row in rows}
    values = np.array([[found[a, d]["test_accuracy"] for d in devices] for a in algorithms])
    figure.set_size_inches(1.6 + 0.85 * len(devices), 1.2 + 0.36 * len(algorithms))
    axis = figure.subplots()
    image = axis.imshow(values, cmap="cividis", vmin=0, vmax=100, aspect="auto")
    for i, a in enumerate(algorithms):
        for j, d in enumerate(devices):
            row = found[a, d]
            half = row["test_accuracy"] - row["test_accuracy_low"]
            text = (
                f"{row['test_accuracy']:.1f}\n± {half:.1f}"
                if math.isfinite(row["test_accuracy"])
                else "failed"
            )
            axis.text(
                j, i, text, ha="center", va="center", fontsize=6,
                color="white" if row["test_accuracy"] <= 55 else "black",
            )  # fmt: skip
    axis.set_xticks(range(len(devices)), [Path(d).stem for d in devices], rotation=30, ha="right", fontsize=7)
    axis.set_yticks(range(len(algorithms)), [style_of(a).label for a in algorithms], fontsize=7)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="test accuracy (%)")
    axis.set_title(f"digital SGD: {found[DIGITAL, '-']['test_accuracy']:.1f} %", fontsize=8)


COMPARE = Study(
    name="compare",
    title="algorithms on devices",
    source="test accuracy, with 95 % intervals over seeds (Student's t)",
    settings={
        "data": "digits",
        "model": "mlp",
        "images": None,
        "algorithms": all_algorithms(),
        "devices": ("paper", "reram-es", "reram-sb", "reram-array-om", "ecram-mo", "capacitor", "pcm"),
        "rates": (0.02, 0.1, 0.3, 1.0),
        "tuning_epochs": 4,
        "epochs": 12,
        "batch_size": 10,
        "seeds": 3,
        "budget": None,
    },
    quick={"epochs": 5, "tuning_epochs": 2, "rates": (0.1, 0.5)},
    parts=parts,
    summarise=summarise,
    claims=lambda settings, columns: [],
    draw=draw,
    check=check,
    follow=follow,
    later=later,
    hashed=True,
    partial=True,
)
