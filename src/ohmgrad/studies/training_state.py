"""What a training goes on from: of which training it is, and whether a training can have left it.

A checksum tells damage, and `identity` whose a checkpoint is. What is left are contents that no training
leaves: they are held against the training as it begins, with its model, its optimizer and its schedule.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..crossbar import EVENTS, Tile, tiles_of
from ..datasets import Dataset
from ..errors import InputError, check_integer, check_number, is_integer, shown
from ..monitor import Monitor
from ..optim import AnalogOptimizer
from .rows import Row, check_names, watched_rows
from .spec import RunSpec

__all__ = ["check_groups", "check_identity", "check_model", "check_monitor", "check_optimizer",
           "check_pulses", "identity"]  # fmt: skip

#: of a specification, what says nothing of a single training
_OF_THE_RUN = ("algorithms", "seeds", "epochs")
#: the longest list that a tile's state has
_LONGEST = 100


# --- whose it is ---------------------------------------------------------------------------------------


def identity(spec: RunSpec, data: Dataset) -> dict[str, Any]:
    """What determines the trainings of a run beside algorithm, seed and epochs, as JSON has it."""
    settings = {name: value for name, value in spec.to_dict().items() if name not in _OF_THE_RUN}
    settings["lr_factors"] = list(spec.lr_factors.items())  # of patterns the first counts
    if spec.data.endswith(".npz"):
        parts = (data.train_x, data.train_y, data.test_x, data.test_y)
        settings["content of data"] = _digest(t.contiguous().numpy() for t in parts)
    if spec.pretrained is not None and (weights := Path(spec.pretrained).expanduser()).is_file():
        settings["content of pretrained"] = _digest([weights.read_bytes()])
    return json.loads(json.dumps(settings))


def _digest(parts: Iterable[Any]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def check_identity(about: Mapping[str, Any], wanted: Mapping[str, Any]) -> None:
    """Raise InputError unless a checkpoint is of the training that is wanted."""
    for name, value in wanted.items():
        theirs = shown(about[name]) if name in about else "nothing"
        if name not in about or about[name] != value or type(about[name]) is not type(value):
            raise InputError(f"it is of a training with {name} = {theirs}, not {shown(value)}")


# --- tensors -------------------------------------------------------------------------------------------


def _check_values(what: str, t: Tensor, finite: bool) -> None:
    """Counts are not negative; numbers are finite unless the training diverged."""
    if t.dtype.is_floating_point:
        held = what.endswith("fixed")  # nan where a weight is not held
        if finite and not held and not bool(t.isfinite().all()):
            raise InputError(f"{what} has a value that is not finite")
    elif t.numel() and t.dtype != torch.bool and int(t.min()) < 0:
        raise InputError(f"{what} has the value {int(t.min())}, but counts nothing below 0")


def check_model(kept: Any, fresh: Mapping[str, Tensor], finite: bool) -> None:
    """Raise InputError unless `kept` has the names, types and shapes of a model's state, and sound values.

    What elements hold beside the weights comes and goes; the layers look at it when they load it.
    """
    if not isinstance(kept, dict) or not all(isinstance(t, Tensor) for t in kept.values()):
        raise InputError("its model is no dictionary of tensors")
    for name in {**fresh, **kept}:
        beside = any(f".analog.{kind}." in f".{name}" for kind in ("memory", "beside"))
        mine, theirs = fresh.get(name), kept.get(name)
        if theirs is None or (mine is None and not beside):
            if beside:
                continue
            raise InputError(f"its model has {'no' if theirs is None else 'a'} {shown(name)}")
        if mine is not None and (theirs.dtype != mine.dtype or theirs.dim() != mine.dim()):
            raise InputError(f"{name} of its model is {theirs.dtype} {tuple(theirs.shape)}")
        if mine is not None and theirs.shape != mine.shape and not name.endswith("analog.card"):
            raise InputError(f"{name} of its model is {tuple(theirs.shape)}, not {tuple(mine.shape)}")
        _check_values(f"{name} of its model", theirs, finite)


# --- the optimizer -------------------------------------------------------------------------------------


def check_groups(kept: Any, fresh: list[dict[str, Any]]) -> None:
    """Raise InputError unless the options of parameter groups are those that the schedule gives now."""
    if not isinstance(kept, list) or len(kept) != len(fresh) or not all(isinstance(g, dict) for g in kept):
        raise InputError(f"its groups are not {len(fresh)} dictionaries of options")
    for theirs, mine in zip(kept, fresh, strict=True):
        for name in {*mine, *theirs} if "lr" not in theirs else {*mine} & {*theirs}:
            wanted = list(mine[name]) if isinstance(mine.get(name), tuple) else mine.get(name)
            if theirs.get(name) != wanted:
                raise InputError(f"{name} of its groups is {shown(theirs.get(name))}, not {shown(wanted)}")


def check_optimizer(
    kept: Any, optimizer: torch.optim.Optimizer, spec: RunSpec, algorithm: str, updates: int, finite: bool
) -> None:
    """Raise InputError unless `kept` can be the state of an optimizer after `updates` updates."""
    params = [p for group in optimizer.param_groups for p in group["params"]]
    if not isinstance(kept, dict) or not {*kept} <= {*range(len(params))}:
        raise InputError(f"its state is not of the {len(params)} parameters of the optimizer")
    wanted = {} if algorithm == "digital" else _after_one_update(spec, algorithm)
    for number, p in enumerate(params):
        state, tiles = kept.get(number, {}), tiles_of(p)
        if not isinstance(state, dict) or {*state} - {"momentum_buffer"} != {*range(len(tiles))}:
            raise InputError(f"the state of parameter {number} is not of its {len(tiles)} tiles")
        for i, tile in enumerate(tiles):
            what = f"of tile {i} of parameter {number}"
            if not isinstance(state[i], dict) or {*wanted} - {*state[i]}:
                raise InputError(f"the state {what} has not all of {', '.join(wanted)}")
            for name, value in state[i].items():
                _check_kept(f"{name} {what}", value, wanted.get(name), tile, finite)
            if state[i].get("updates", updates) != updates:
                raise InputError(f"updates {what} is {shown(state[i]['updates'])}, not {updates}")
        buffer = state.get("momentum_buffer")
        if buffer is not None and (not isinstance(buffer, Tensor) or buffer.shape != p.shape):
            raise InputError(f"momentum_buffer of parameter {number} is {shown(buffer)}")


def _after_one_update(spec: RunSpec, algorithm: str) -> dict[str, Any]:
    """The state of a tile after an update, of the smallest network: what a state has, and of which type."""
    model, optimizer = spec.smallest(algorithm)
    model(torch.ones(1, 1, 1, 1)).sum().backward()
    optimizer.step()
    assert isinstance(optimizer, AnalogOptimizer)
    return next(state for _, state in optimizer.tiles_in(optimizer.param_groups[0]))


def _check_kept(what: str, value: Any, like: Any, tile: Tile, finite: bool) -> None:
    """Raise InputError unless a value of a tile's state is of the type of `like`, where that is known."""
    if isinstance(like, (Tensor, dict, list)) and not isinstance(value, type(like)):
        raise InputError(f"{what} is {shown(value)}, not a {type(like).__name__}")
    if isinstance(value, Tensor):
        if isinstance(like, Tensor) and (value.dtype != like.dtype or value.dim() != like.dim()):
            raise InputError(f"{what} is {value.dtype} {tuple(value.shape)}")
        shapes = (tile.shape, tile.shape[::-1], tile.shape[:1], tile.shape[1:], ())
        if tuple(value.shape) not in shapes:
            raise InputError(f"{what} is {tuple(value.shape)}, but its tile is {tile.shape}")
        _check_values(what, value, finite)
    elif isinstance(value, dict):
        check_names(what, value, ("weight", "events", "card", "memory"))
        planes = value["memory"]
        if not isinstance(planes, dict):
            raise InputError(f"memory of {what} is {shown(planes)}")
        for name, t in {**planes, **{n: t for n, t in value.items() if n != "memory"}}.items():
            if not isinstance(t, Tensor):
                raise InputError(f"{name} of {what} is {shown(t)}, not a tensor")
            _check_values(f"{what}, {name}", t, finite)
        if value["events"].dtype != torch.int64 or tuple(value["events"].shape) != (len(EVENTS),):
            raise InputError(f"events of {what} are {tuple(value['events'].shape)}")
    elif isinstance(value, list):
        if len(value) > _LONGEST or not all(type(v) in (int, float) for v in value):
            raise InputError(f"{what} is {shown(value)}")
    elif is_integer(like):
        check_integer(what, value, 0, 2**63 - 1)
    elif value is not None and type(value) not in (int, float, bool, str):
        raise InputError(f"{what} is {shown(value)}")


def check_pulses(row: Row, optimizer: torch.optim.Optimizer) -> None:
    """Raise InputError unless all arrays together have counted the pulses of the last row."""
    events = optimizer.events() if isinstance(optimizer, AnalogOptimizer) else {}
    for name in ("pulses_up", "pulses_down"):
        if row[name] != events.get(name, 0):
            raise InputError(f"its arrays have counted {events.get(name, 0)} {name}, its rows {row[name]}")


# --- the monitor ---------------------------------------------------------------------------------------


def check_monitor(kept: Any, monitor: Monitor | None, updates: int, finite: bool) -> None:
    """Raise InputError unless `kept` can be the state of a monitor after `updates` updates."""
    if monitor is None:
        if kept is not None:
            raise InputError("it has a monitor, which this run has not")
        return
    fresh = monitor.state_dict()
    check_names("its monitor", kept, fresh)
    check_names("its monitor", kept["tiles"], fresh["tiles"])
    if kept["step"] != updates:
        raise InputError(f"its monitor has done {shown(kept['step'])} updates, not {updates}")
    for row in watched_rows(kept, "", 0):
        if row["layer"] not in kept["tiles"] or row["step"] > updates:
            raise InputError(f"a row of its monitor is {shown(row)}")
    for layer, (shape, planes) in monitor.kept().items():
        averages = kept["tiles"][layer]
        check_names(f"{layer} of its monitor", averages, ("count", "rho", "power", "planes"))
        count = check_integer("count of its monitor", averages["count"], 0, updates // monitor.every)
        check_number("rho of its monitor", averages["rho"], low=0, high=1)
        if type(averages["power"]) is not float or averages["power"] < 0:
            raise InputError(f"power of its monitor is {shown(averages['power'])}")
        check_names(f"{layer} of its monitor", averages["planes"], planes if count else ())
        for name, plane in averages["planes"].items():
            if not isinstance(plane, Tensor) or tuple(plane.shape) != shape:
                raise InputError(f"{name} of its monitor is no plane of {shape}")
            _check_values(f"{name} of its monitor", plane, finite)
