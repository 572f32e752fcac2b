"""A valid value for every position: by the type of a parameter, and by name where a type says too little."""

from __future__ import annotations

import functools
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from torch import Tensor, nn

import ohmgrad as og
from ohmgrad import cost, ensemble, export, optim, theory
from ohmgrad.conformance import Finding
from ohmgrad.datasets import Dataset
from ohmgrad.devices import AbstractResponse
from ohmgrad.ensemble import Grid
from ohmgrad.nn import analog_layers
from ohmgrad.optim.work import Work
from ohmgrad.report import Page, Section, summarise
from ohmgrad.rng import Key
from ohmgrad.studies import RunSpec, read_metrics

__all__ = ["BY_NAME", "BY_TYPE", "DEVICE", "FOLDER", "KEYWORDS", "NO_CALL", "USED"]

#: where calls read and write
FOLDER = Path(tempfile.mkdtemp(prefix="ohmgrad-arguments-"))
DEVICE = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.01)
AIHWKIT = "SingleRPUConfig(device=ConstantStepDevice(w_max=0.5, w_min=-0.5))"

#: what needs a fit, a map, a study or a long computation: nothing is called with valid values only, which the
#: tests of these do; nonsense is put into its positions all the same
NO_CALL = {
    "Cell", "Claim", "DeviceMap", "Fit", "Outcome", "Pulses", "StepTable",
}  # fmt: skip
#: what has a default, but not one that every call can do with
WANTED = {"Hardware.sources", "simulate.device"}
LONG = {
    "UserObjective.errors",
    "Quadratic.errors",
    "fit",
    "check_algorithm",
    "check_device",
    "check_board",
    "train",
    "load",
    "runs_page",
    "run_page",
    "page_of",
    "read_monitor",
}


#: models of parameters that calls get, which are analog as long as their model is there
ALIVE: deque[nn.Module] = deque(maxlen=20)


def model() -> nn.Module:
    ALIVE.append(og.convert(nn.Linear(3, 2), DEVICE))
    return ALIVE[-1]


def alive() -> nn.Module:
    """The model of the call that is being made, or a new one."""
    return ALIVE[-1] if ALIVE else model()


def optimizer(name: str = "TikiTaka") -> optim.AnalogOptimizer:
    return getattr(optim, name)(model().parameters(), lr=0.1)


def ensemble_result() -> Grid:
    return ensemble.grid(
        problem(), ensemble.AnalogSGD, {"tau": [1.0, 2.0], "sigma": 1.0, "lr": 0.03}, seeds=[0, 1], steps=3
    )


def problem() -> theory.Quadratic:
    return theory.Quadratic(torch.eye(1), torch.tensor([0.3]))


def events() -> list[cost.ArrayEvents]:
    arrays = model()
    own = og.AnalogSGD(arrays.parameters(), lr=0.1)
    return cost.array_events(arrays, own)


def board(place: og.Place) -> og.SimulatedBoard:
    return og.SimulatedBoard(og.Tile(place.shape, DEVICE, array=place.array))


@functools.cache
def exported() -> tuple[nn.Module, Path]:
    """A model, and the folder of its conductances."""
    analog = og.convert(nn.Linear(3, 2), DEVICE)
    return analog, export.export_conductances(analog, FOLDER / "exported", g_min=1e-6, g_max=1e-5)


def dataset() -> Dataset:
    x, y = torch.rand(6, 1, 2, 2), torch.arange(6) % 3
    return Dataset("mine", x, y, x, y, classes=3)


def arrays() -> dict[str, Any]:
    """What tables of steps are made of: conductances, probabilities and steps."""
    steps = 2e-8 * np.outer([0.9, 1.0, 1.1], np.ones(5))
    return {
        "conductance": np.linspace(1e-6, 2e-6, 5), "cdf": np.array([0.0, 0.5, 1.0]),
        "increasing": steps, "decreasing": -steps,
    }  # fmt: skip


@functools.cache
def files() -> dict[str, Path]:
    """Files that calls read."""
    G, cdf, up, down = arrays().values()
    np.savez(FOLDER / "tables.npz", G=G, cdf=cdf, inc=up, dec=down)
    for name, steps in (("increasing", up), ("decreasing", down)):
        rows = ["header", *(", ".join(f"{v:g}" for v in row) for row in (G, cdf, *steps))]
        (FOLDER / f"{name}.txt").write_text("\n".join(rows))
    w = -0.5 + np.cumsum(0.05 * np.ones(20))
    (FOLDER / "pulses.csv").write_text("up,down\n" + "\n".join(f"{a:.4f},{-a:.4f}" for a in w))
    (FOLDER / "device.yaml").write_text(DEVICE.to_yaml())
    from tests.report.made import run_folder

    run_folder(FOLDER / "run")
    return {
        name: FOLDER / name
        for name in ("tables.npz", "increasing.txt", "decreasing.txt", "pulses.csv", "run")
    }


#: by type
BY_TYPE: dict[Any, Callable[[], Any]] = {
    int: lambda: 2,
    float: lambda: 0.1,
    bool: lambda: False,
    str: lambda: "text",
    Tensor: lambda: torch.full((2, 3), 0.1),
    og.Device: lambda: DEVICE,
    AbstractResponse: lambda: og.SoftBounds(),
    og.SoftBounds: lambda: og.SoftBounds(),
    og.Tile: lambda: og.Tile((2, 3), DEVICE),
    og.Pulsing: lambda: og.Pulsing(),
    nn.Module: model,
    optim.AnalogOptimizer: optimizer,
    torch.optim.Optimizer: optimizer,
    theory.Quadratic: problem,
    theory.Objective: problem,
    theory.GradientNoise: lambda: theory.GradientNoise(0.1),
    Key: lambda: Key(0, 1),
    cost.Hardware: lambda: cost.hardware("rasch-li"),
    RunSpec: lambda: RunSpec(images=20, algorithms=("sgd",)),
    Figure: lambda: Figure(),
    Path: lambda: FOLDER / "new",
    torch.Generator: lambda: torch.Generator().manual_seed(0),
    Finding: lambda: Finding("ok", "0", "1", ""),
    Work: lambda: Work(planes=1),
    Section: lambda: Section("title", ("text",)),
    Page: lambda: Page("title", "verdict", (Section("title", ("text",)),), "command", {}),
    cost.ArrayEvents: lambda: events()[0],
    Grid: ensemble_result,
}

#: by name, `Owner.name` before `name`
BY_NAME: dict[str, Callable[[], Any]] = {
    "params": lambda: list(model().parameters()),
    "shape": lambda: (2, 3),
    "build.shape": lambda: (1, 4, 4),
    "check_board.shape": lambda: (3, 3),
    "boards": lambda: board,
    "direction": lambda: "forward",
    "Live.update.loss": lambda: torch.tensor(0.5),
    "vectors": lambda: torch.ones(4, 3),
    "beside": lambda: [(0.5, torch.ones(2, 3))],
    "SimulatedBoard.pulse_counts.n": lambda: torch.ones(2, 3, dtype=torch.int64),
    "rpu_config": lambda: AIHWKIT,
    "FromAihwkit.convert.model": lambda: nn.Linear(3, 2),
    "arrays_of.tile": lambda: next(iter(analog_layers(alive())))[1].tiles[0],
    "g_min": lambda: 1e-6,
    "g_max": lambda: 1e-5,
    "export_conductances.folder": lambda: Path(tempfile.mkdtemp(dir=FOLDER)),
    "record_pulses.folder": lambda: Path(tempfile.mkdtemp(dir=FOLDER)),
    "import_conductances.model": lambda: exported()[0],
    "import_conductances.folder": lambda: exported()[1],
    "weight": lambda: (2, 3),
    "n": lambda: 2,
    "Tile.pulse_counts.n": lambda: torch.ones(2, 3, dtype=torch.int64),
    "x": lambda: torch.ones(4, 3),
    "d": lambda: torch.ones(4, 2),
    "mask": lambda: torch.ones(2, 3, dtype=torch.bool),
    "hold.layer": lambda: model(),
    "Monitor.optimizer": lambda: og.AnalogSGD(alive().parameters(), lr=0.1),
    "array_events.optimizer": lambda: og.AnalogSGD(alive().parameters(), lr=0.1),
    "target": lambda: torch.full((2, 3), 0.1),
    "count.name": lambda: "pulses_up",
    "batches.x": lambda: torch.ones(6, 3),
    "batches.y": lambda: torch.arange(6),
    "w": lambda: torch.full((3,), 0.1),
    **{
        f"{owner}.{method}.w": lambda n=n: torch.full((4, n), 0.1)
        for owner, n in (("Quadratic", 1), ("Logistic", 1), ("UserObjective", 2))
        for method in ("errors", "loss", "gradient")
    },
    "quantity": lambda: "tail_loss",
    "Grid.by_configuration.values": lambda: torch.ones(4),
    "values": lambda: torch.tensor([[1.0, 2.0, 3.0]]),
    "axes": lambda: {"tau": [1.0, 2.0], "sigma": 1.0, "lr": 0.03},
    "ensemble.grid.algorithm": lambda: ensemble.AnalogSGD,
    "ensemble.simulate.algorithm": lambda: ensemble.AnalogSGD(0.1),
    "cost_of.algorithm": lambda: "sgd",
    "lr_of.algorithm": lambda: "sgd",
    "RunSpec.prepare.algorithm": lambda: "sgd",
    "RunSpec.prepare.model": lambda: nn.Linear(3, 2),
    "smallest.algorithm": lambda: "sgd",
    "convert.model": lambda: nn.Linear(3, 2),
    "exchange_gradients.model": model,
    **{
        f"{name}.model": lambda: nn.Linear(3, 2)
        for name in ("deploy", "hardware_aware", "accuracy_over_time")
    },
    "accuracy_over_time.accuracy": lambda: lambda _: 0.5,
    "seeds": lambda: (0, 1),
    "devices": lambda: (0,),
    "up": lambda: lambda w: 1 - w,
    "down": lambda: lambda w: 1 + w,
    "Measured.conductance": lambda: arrays()["conductance"],
    "Measured.cdf": lambda: arrays()["cdf"],
    "Measured.increasing": lambda: arrays()["increasing"],
    "Measured.decreasing": lambda: arrays()["decreasing"],
    "from_npz.path": lambda: files()["tables.npz"],
    "from_crosssim.increasing": lambda: files()["increasing.txt"],
    "from_crosssim.decreasing": lambda: files()["decreasing.txt"],
    "devices.fit.files": lambda: files()["pulses.csv"],
    "Device.from_dict.data": lambda: DEVICE.to_dict(),
    "Device.from_yaml.source": lambda: DEVICE.to_yaml(),
    "Hardware.from_dict.data": lambda: hardware_mapping(),
    "Hardware.from_yaml.text": lambda: cost.hardware("rasch-li").to_yaml(),
    "cost.hardware.name": lambda: "rasch-li",
    "presets.preset.name": lambda: "paper",
    "Preset.made": lambda: DEVICE,
    "check_data.name": lambda: "digits",
    "load.name": lambda: "digits",
    "check_model.name": lambda: "mlp",
    "last_layer.name": lambda: "mlp",
    "models.build.name": lambda: "mlp",
    "RunSpec.from_dict.data": lambda: {"images": 20},
    "read_metrics.folder": lambda: files()["run"],
    "read_spec.folder": lambda: files()["run"],
    "page_of.folder": lambda: files()["run"],
    "save.path": lambda: FOLDER / "figure",
    "Page.write.path": lambda: FOLDER / "page.html",
    "write_summary.path": lambda: FOLDER / "summary.csv",
    "monitor_figure.rows": lambda: [],
    "run_figure.rows": lambda: read_metrics(files()["run"]),
    "summarise.rows": lambda: read_metrics(files()["run"]),
    "summary": lambda: summarise(read_metrics(files()["run"])),
    "versions": lambda: {},
    "parallel_update": lambda: 1,
    "tiki_taka_rates.noise": lambda: theory.GradientNoise(0.5),
    "Hardware.sources": lambda: cost.hardware("rasch-li").sources,
    "status": lambda: "ok",
    "layer": lambda: "fc",
    "Cost.energy.layer": lambda: None,
    "events": lambda: {"pulses_up": 1.0},
    "ArrayEvents.count.name": lambda: "pulses_up",
    "train_x": lambda: torch.rand(6, 1, 2, 2),
    "test_x": lambda: torch.rand(6, 1, 2, 2),
    "train_y": lambda: torch.arange(6) % 3,
    "test_y": lambda: torch.arange(6) % 3,
    "writer": lambda: SimpleNamespace(add_scalar=lambda *_: None),
    "hook": lambda: lambda *_: None,
    "function": lambda: lambda w: (w**2).sum(-1),
    "blocks": lambda: ("text",),
    "make": lambda: optim.AnalogSGD,
    # theory
    "hessian": lambda: torch.eye(1),
    "Quadratic.solution": lambda: torch.tensor([0.3]),
    "inputs": lambda: torch.tensor([[0.5], [1.0]]),
    "labels": lambda: torch.tensor([1.0, -1.0]),
    "matrix": lambda: torch.eye(2),
    "least_squares.solution": lambda: torch.tensor([0.3, 0.1]),
    "weights": lambda: torch.full((3, 2), 0.1),
    "tau": lambda: 1.0,
    "error": lambda: 1e-3,
    "ensemble.simulate.device": lambda: DEVICE,
    "peaks": lambda: torch.full((3,), 0.1),
    "fast_peaks": lambda: torch.full((3,), 0.1),
    "abs_gradient": lambda: (0.1, 0.2),
    "path": lambda: torch.full((4, 2), 0.1),
    "changes": lambda: torch.full((3, 2), 0.01),
    "descent_range.solution": lambda: torch.tensor([0.1, 0.1]),
    "scalar_descent.path": lambda: torch.full((4, 1), 0.1),
    "scalar_descent.solution": lambda: 0.1,
    "solutions": lambda: torch.tensor([[0.1, 0.1], [0.2, 0.2]]),
    "scalar_sample_range.path": lambda: torch.full((4, 1), 0.1),
    "scalar_sample_range.solutions": lambda: torch.tensor([0.1, 0.2]),
    "stochastic_range.start": lambda: torch.tensor([0.1, 0.1]),
    "theory.simulate.start": lambda: torch.full((4, 1), 0.1),
    "theory.simulate.step": lambda: theory.digital_step(0.1),
    "theory.simulate.steps": lambda: 3,
    "implicit_penalty.w": lambda: torch.full((4, 1), 0.1),
    "sample_sigma.w": lambda: torch.full((4, 2), 0.1),
    "sample_sigma.objective": lambda: theory.least_squares(torch.eye(2), torch.tensor([0.3, 0.1])),
    "zero_shift_accuracy.device": lambda: og.Device(og.SoftBounds.symmetric(0.6), 0.01, noise=og.Noise(0.3)),
    "zero_shift_pulses.device": lambda: og.Device(og.SoftBounds.symmetric(0.6), 0.01, noise=og.Noise(0.3)),
    "families": lambda: ("soft_bounds",),
}


def hardware_mapping() -> dict[str, Any]:
    return yaml.safe_load(cost.hardware("rasch-li").to_yaml())


#: options that reach a call as **keywords, by the name of what collects them, `function.name` before `name`
KEYWORDS: dict[str, dict[str, Any]] = {
    "digital": {"momentum": float, "dampening": float, "weight_decay": float, "nesterov": bool},
    "convert.settings": {"pulsing": og.Pulsing | None, "seed": int, "max_tile": tuple[int, int] | None},
    "settings": {
        "pulsing": og.Pulsing | None, "periphery": og.Periphery | None, "seed": int, "array": int | None,
        "max_tile": tuple[int, int] | None, "backend": str,
    },
}  # fmt: skip


#: what is looked at where it is used: the rates of ensembles may be one a run
USED: dict[str, Callable[[Any], Any]] = {
    f"ohmgrad.ensemble.{name}": lambda made: ensemble.simulate(
        problem(), made, seeds=[0], steps=2, device=DEVICE
    )
    for name in ("AnalogSGD", "Digital", "ResidualLearning", "TikiTaka")
}
USED["ohmgrad.export.record_pulses"] = lambda made: made.__enter__()
