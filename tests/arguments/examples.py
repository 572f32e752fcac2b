"""A valid value for every position: by the type of a parameter, and by name where a type says too little."""

from __future__ import annotations

import collections.abc as abc
import functools
import tempfile
import types
import typing
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import yaml
from matplotlib.figure import Figure
from torch import Tensor, nn

import ohmgrad as og
from ohmgrad import cost, deployment, ensemble, export, optim, theory
from ohmgrad.conformance import Finding
from ohmgrad.datasets import Dataset
from ohmgrad.devices import AbstractResponse
from ohmgrad.ensemble import Grid
from ohmgrad.nn import analog_layers
from ohmgrad.optim.work import Work
from ohmgrad.report import Page, Section, summarise
from ohmgrad.rng import Key
from ohmgrad.studies import RunSpec, read_metrics

from .surface import Target, parameters, targets

__all__ = ["DEVICE", "FOLDER", "NO_CALL", "call_of"]

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


class NoExampleError(Exception):
    """A parameter without a valid value."""


@dataclass(frozen=True)
class Call:
    """A call of a target with valid values, into which nonsense can be put.

    `positions` are the names of what can be given, each with its type; `make` gives what is called and the
    arguments, made anew, as calls may change them.
    """

    target: Target
    positions: dict[str, Any]
    make: Callable[[], tuple[Callable[..., Any], dict[str, Any]]]
    spread: str | None
    runs: bool

    def run(self, **changes: Any) -> Any:
        """Call it, with some arguments replaced."""
        function, arguments = self.make()
        arguments |= changes
        first = [arguments.pop(self.spread)] if self.spread else []
        result = function(*first, **arguments)
        if self.target.name in USED:
            result = USED[self.target.name](result)
        return list(result) if isinstance(result, types.GeneratorType) else result


@functools.cache
def call_of(target: Target) -> Call:
    """The call of a target.

    Raises:
        NoExampleError: saying what to add where a parameter has no valid value.
    """
    positions: dict[str, Any] = {}
    needed: dict[str, Callable[[], Any]] = {}
    spread, runs = None, not any(f".{target.name}".endswith(f".{name}") for name in LONG)
    for name, (parameter, hint) in parameters(target).items():
        if parameter.kind is parameter.VAR_KEYWORD:
            named = KEYWORDS.get(f"{target.function.__name__}.{name}", KEYWORDS.get(name, {}))
            positions |= {k: v for k, v in named.items() if k not in positions}
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            spread = name
        positions[name] = hint
        if parameter.default is parameter.empty or f"{target.function.__name__}.{name}" in WANTED:
            needed[name] = _example(target.name, name, hint)
            runs = runs and not any(t.__name__ in NO_CALL for t in _classes(hint))

    def make() -> tuple[Callable[..., Any], dict[str, Any]]:
        arguments = {name: example() for name, example in needed.items()}
        if target.owner is None:
            return target.function, arguments
        return getattr(_instance(target.owner), target.function.__name__), arguments

    return Call(target, positions, make, spread, runs)


@functools.cache
def _instances() -> dict[str, Callable[[], Any]]:
    return {
        "Tile": lambda: og.Tile((2, 3), DEVICE),
        "Monitor": lambda: og.Monitor(model(), og.AnalogSGD(alive().parameters(), lr=0.1)),
        "Grid": ensemble_result,
        "Dataset": dataset,
        "Measured": lambda: og.Measured(**arrays()),
        "Hardware": lambda: cost.hardware("rasch-li"),
        "Cost": lambda: cost.cost_of(events(), "sgd", cost.hardware("rasch-li"), images=1, steps=1),
        "ArrayEvents": lambda: events()[0],
        "SkewedNoise": lambda: theory.SkewedNoise(0.1, 1.0),
        "Deployed": lambda: deployment.deploy(nn.Linear(3, 2)),
        "FromAihwkit": lambda: og.from_aihwkit(AIHWKIT),
    }


def _instance(owner: type) -> Any:
    """An object of a class, to call a method of."""
    if owner.__name__ in _instances():
        return _instances()[owner.__name__]()
    if issubclass(owner, AbstractResponse):
        return owner(lambda w: 1 - w, lambda w: 1 + w) if owner is og.Custom else owner()
    for kind, example in BY_TYPE.items():
        if isinstance(kind, type) and issubclass(owner, kind) and type(example()) is owner:
            return example()
    function, arguments = call_of(targets()[f"{_home(owner)}"]).make()
    return function(**arguments)


def _home(owner: type) -> str:
    return next(name for name, target in targets().items() if target.function is owner)


def _classes(hint: Any) -> list[type]:
    """The classes that a type is made of."""
    parts = typing.get_args(hint)
    if parts and typing.get_origin(hint) is not typing.Literal:
        return [c for part in parts for c in _classes(part)]
    return [hint] if isinstance(hint, type) else []


def _example(owner: str, name: str, hint: Any) -> Callable[[], Any]:
    """What makes a valid value of a parameter."""
    parts = owner.split(".")
    for key in (*(f"{'.'.join(parts[k:])}.{name}" for k in range(len(parts))), name):
        if key in BY_NAME:
            return BY_NAME[key]
    if (listed := typing.get_origin(hint)) in (abc.Sequence, abc.Iterable, list, tuple):
        first = _example(owner, name, typing.get_args(hint)[0])
        return lambda: (first(),) if listed is tuple else [first()]
    choices = [c for c in (hint, *typing.get_args(hint)) if not isinstance(c, list)]
    for choice in choices:
        if choice in BY_TYPE:
            return BY_TYPE[choice]
        if typing.get_origin(choice) is typing.Literal:
            return functools.partial(next, iter(typing.get_args(choice)))
        if isinstance(choice, type) and choice.__name__ in NO_CALL:
            return functools.partial(object.__new__, choice)
    inner = next((c for c in choices if typing.get_args(c)), None)
    if inner is not None and typing.get_origin(inner) in (abc.Sequence, abc.Iterable, list, tuple):
        return _example(owner, name, inner)
    if type(None) in choices:
        return lambda: None
    if typing.get_origin(hint) is abc.Callable:
        return lambda: lambda *_: None
    raise NoExampleError(
        f"{owner}({name}: {hint}) has no valid value: add one to BY_TYPE or BY_NAME of "
        "tests/arguments/examples.py"
    )
