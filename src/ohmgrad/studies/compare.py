"""Algorithms against devices: one table of accuracies and pulses, with intervals.

Every algorithm on every device trains the same small network with each seed. Learning rates are chosen for
each pair alone, by the training loss of one short training with a seed that is not among those reported;
all other options are `OPTIONS`, the same for all devices. So the table says what an algorithm does on a
device without further care, not the best that it can do.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from ..datasets import DATASETS, Dataset, batches, load
from ..devices import Device
from ..devices.presets import preset
from ..errors import InputError, check_choice
from ..models import MODELS, build
from ..nn import convert
from ..optim import ALGORITHMS, AnalogOptimizer
from ..style import style_of
from .engine import Columns, Part
from .study import Study, interval, where
from .train import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["COMPARE", "DIGITAL", "OPTIONS", "Pair", "all_algorithms", "device_of", "pairs", "trained"]

#: the algorithm without a device, the row to compare with
DIGITAL = "digital"

#: options of the algorithms beside lr
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

#: seed of the trainings that choose the learning rate
TUNING_SEED = 1000

Pair = tuple[str, str]


def device_of(name: str) -> Device:
    """A preset, or the device in a YAML file.

    Raises:
        InputError: for an unknown name or a wrong file.
    """
    return Device.from_yaml(Path(name)) if name.endswith((".yaml", ".yml")) else preset(name)


def all_algorithms() -> tuple[str, ...]:
    """All algorithms, digital SGD first."""
    return (DIGITAL, *ALGORITHMS)


def pairs(settings: dict[str, Any]) -> list[Pair]:
    """All (algorithm, device) of a comparison; digital SGD has the device "-" and comes once."""
    found = [(DIGITAL, "-")] if DIGITAL in settings["algorithms"] else []
    return found + [(a, d) for d in settings["devices"] for a in settings["algorithms"] if a != DIGITAL]


def check(settings: dict[str, Any]) -> None:
    check_choice("data set", settings["data"], DATASETS)
    check_choice("model", settings["model"], MODELS)
    for algorithm in settings["algorithms"]:
        check_choice("algorithm", algorithm, (DIGITAL, *ALGORITHMS))
    for name in settings["devices"]:
        device_of(name)
    if set(settings["algorithms"]) == {DIGITAL}:
        raise InputError(f"algorithms is ['{DIGITAL}'], which needs no device: name another one, too")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(a if a == DIGITAL else f"{a}-on-{_mark(d)}", partial(_run, settings, a, d))
        for a, d in pairs(settings)
    ]


def _mark(device: str) -> str:
    """A device in a part's name: one whose file was changed, or lies elsewhere, is another one."""
    path = Path(device)
    if path.suffix not in (".yaml", ".yml"):
        return device
    return f"{path.stem}-{hashlib.sha256(device.encode() + path.read_bytes()).hexdigest()[:8]}"


def _run(settings: dict[str, Any], algorithm: str, device: str, progress: Any) -> Columns:
    """The trainings of a pair, a row each."""
    label = style_of(algorithm).label + ("" if algorithm == DIGITAL else f" on {Path(device).stem}")
    built = None if algorithm == DIGITAL else device_of(device)
    columns = trained(settings, algorithm, built, OPTIONS.get(algorithm, {}), label, progress)
    n = len(columns["seed"])
    return {"algorithm": np.full(n, algorithm), "device": np.full(n, device), **columns}


def trained(
    settings: dict[str, Any],
    algorithm: str,
    device: Device | None,
    options: dict[str, Any],
    what: str,
    progress: Any,
) -> Columns:
    """Choose the learning rate, then train with every seed.

    Args:
        settings: data, images, model, batch_size, rates, tuning_epochs, epochs, seeds.
        algorithm: a name in `ALGORITHMS`, or digital.
        device: of the elements; None for digital.
        options: of the algorithm beside lr.
        what: said on the way, with what is done.
        progress: called with (done, total, what).

    Returns:
        seed, lr, train_loss, test_accuracy, pulses and seconds of every training.
    """
    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    data = load(settings["data"]).first(settings["images"])
    rates, short, epochs = settings["rates"], settings["tuning_epochs"], settings["epochs"]
    total, done = len(rates) * short + settings["seeds"] * epochs, 0

    def train(lr: float, seed: int, epochs: int) -> dict[str, Any]:
        def count() -> None:
            nonlocal done
            done += 1
            progress(done, total, f"{what}, lr {lr:g}, seed {seed}")

        return _train(settings, data, algorithm, device, {"lr": lr, **options}, seed, epochs, count)

    losses = [train(lr, TUNING_SEED, short)["train_loss"] for lr in rates]
    lr = rates[int(np.argmin([x if math.isfinite(x) else math.inf for x in losses]))]
    rows = [train(lr, seed, epochs) for seed in range(settings["seeds"])]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _train(
    settings: dict[str, Any],
    data: Dataset,
    algorithm: str,
    device: Device | None,
    options: dict[str, Any],
    seed: int,
    epochs: int,
    count: Callable[[], None],
) -> dict[str, Any]:
    model = build(settings["model"], data.shape, data.classes, seed)
    if device is None:
        optimizer: Any = torch.optim.SGD(model.parameters(), **options)
    else:
        model = convert(model, device, seed=seed)
        optimizer = ALGORITHMS[algorithm](model.parameters(), **options)
    loss_of, start = nn.CrossEntropyLoss(), time.perf_counter()
    for epoch in range(epochs):
        for x, y in batches(data.train_x, data.train_y, settings["batch_size"], seed=seed, epoch=epoch):
            optimizer.zero_grad()
            loss_of(model(x), y).backward()
            optimizer.step()
        count()
    seconds = time.perf_counter() - start
    events = optimizer.events() if isinstance(optimizer, AnalogOptimizer) else {}
    return {
        "seed": seed,
        "lr": options["lr"],
        "train_loss": evaluate(model, data.train_x, data.train_y)[0],
        "test_accuracy": evaluate(model, data.test_x, data.test_y)[1],
        "pulses": events.get("pulses_up", 0) + events.get("pulses_down", 0),
        "seconds": seconds,
    }


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for algorithm, device in pairs(settings):
        mine = where(columns, algorithm=algorithm, device=device)
        row: dict[str, Any] = {"algorithm": algorithm, "device": device, "lr": float(mine["lr"][0])}
        for name, factor in (("test_accuracy", 100), ("train_loss", 1), ("pulses", 1e-6), ("seconds", 1)):
            mean, low, high = interval(factor * mine[name].astype(np.float64))
            row |= {name: mean, f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    return rows


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    """Accuracies as a map, algorithms down and devices across; the half-width of the interval below."""
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
            axis.text(
                j, i, f"{row['test_accuracy']:.1f}\n± {half:.1f}", ha="center", va="center", fontsize=6,
                color="black" if row["test_accuracy"] > 55 else "white",
            )  # fmt: skip
    axis.set_xticks(range(len(devices)), [Path(d).stem for d in devices], rotation=30, ha="right", fontsize=7)
    axis.set_yticks(range(len(algorithms)), [style_of(a).label for a in algorithms], fontsize=7)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.colorbar(image, ax=axis, label="test accuracy (%)")
    if DIGITAL in settings["algorithms"]:
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
    },
    quick={"epochs": 5, "tuning_epochs": 2, "rates": (0.1, 0.5)},
    parts=parts,
    summarise=summarise,
    claims=lambda settings, columns: [],
    draw=draw,
    check=check,
)
