"""Nonsense, and which of it makes sense after all: a rule for each kind of parameter, stated here.

The rule comes from the type of a parameter and, where a type says too little, from its name. It was not read
off the library: what the library takes must obey it.
"""

from __future__ import annotations

import collections.abc as abc
import math
import types
import typing
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "FACES",
    "HUGE",
    "HUGE_WHOLE",
    "LARGE",
    "MAY_DIVERGE",
    "NONSENSE",
    "POSITIVE",
    "RANGES",
    "RATE",
    "VALUE_BY_VALUE",
    "Nonsense",
    "Numbers",
    "legitimate",
    "variants",
]  # fmt: skip

LARGE, HUGE, HUGE_WHOLE = 1e29, 1e308, 10**40


class Nonsense:
    """A value that no parameter takes."""

    def __init__(self, *_: Any) -> None: ...

    def __repr__(self) -> str:
        return "<nonsense>"


def _nothing(*_: Any) -> None:
    return None


#: what is put into every position
NONSENSE: dict[str, Any] = {
    "None": None,
    "text": "nonsense",
    "empty text": "",
    "NaN": math.nan,
    "inf": math.inf,
    "-inf": -math.inf,
    "-1": -1,
    "-0.5": -0.5,
    "0": 0,
    "large": LARGE,
    "huge": HUGE,
    "huge integer": HUGE_WHOLE,
    "-huge": -HUGE,
    "True": True,
    "[]": [],
    "{}": {},
    "seven numbers": (1, 2, 3, 4, 5, 6, 7),
    "list of text": ["nonsense"],
    "list of None": [None],
    "no cells": torch.zeros(0),
    "five dimensions": torch.zeros(3, 1, 4, 1, 5),
    "tensor of NaN": torch.tensor([math.nan, 1.0]),
    "array of objects": np.array([None, "x"], dtype=object),
    "object": Nonsense(),
    "complex": 1j,
    "bytes": b"bytes",
    "class": Nonsense,
    "function": _nothing,
}


@dataclass(frozen=True)
class Numbers:
    """The numbers in [low, high], without the ends that are open; none is larger than 1e30."""

    low: float = -1e30
    high: float = 1e30
    open_low: bool = False
    open_high: bool = False

    def has(self, value: Any) -> bool:
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            return False
        number: Any = value
        above = number > self.low if self.open_low else number >= self.low
        return bool(above and (number < self.high if self.open_high else number <= self.high))


POSITIVE = Numbers(0, open_low=True)
NOT_NEGATIVE = Numbers(0)
ANY = Numbers()
SHARE = Numbers(0, 1)
COUNT = Numbers(1, 2**31 - 1)
COUNT_OR_NONE = Numbers(0, 2**31 - 1)
SEED = Numbers(0, 2**32 - 1)
RATE = Numbers(0, 1e6, open_low=True)

#: of hardware: coefficients that a description may leave out of its account
COEFFICIENTS = (
    "line_resistance", "line_capacitance", "read_voltage", "read_duty", "write_voltage", "verify_reads",
    "dac_energy", "adc_energy", "adc_area", "integrator_power", "translator_power", "line_area",
    "digital_energy", "digital_area", "memory_energy", "memory_area", "baseline_energy",
)  # fmt: skip
#: ranges by name, of numbers whose type says only int or float; `Owner.name` comes before `name`.
#: A float is POSITIVE where nothing is said, an int a COUNT
RANGES: dict[str, Numbers] = {
    "seed": SEED,
    "seeds": SEED,
    "array": SEED,
    "n": COUNT_OR_NONE,  # of pulses, pairs
    "rounds": COUNT_OR_NONE,
    "pairs": COUNT_OR_NONE,
    "parallel_update": Numbers(0, 1),
    "part": COUNT_OR_NONE,
    "role": Numbers(0, 255),
    "deploy.programming": SEED,
    "PCM.programming": ANY,
    "PCM.exponent": ANY,
    "PCM.exponent_spread": ANY,
    "PCM.read": ANY,
    "seconds": Numbers(20),  # of phase-change memory
    "times": Numbers(20),
    "input_bits": Numbers(2, 16),
    "check_board.shape": Numbers(3, 2**31 - 1),
    "export_conductances.g_min": Numbers(0, 1e-5, open_high=True),  # below the example's g_max
    "epoch": COUNT_OR_NONE,
    "burn_in": COUNT_OR_NONE,
    "tile": COUNT_OR_NONE,
    "warm_start": COUNT_OR_NONE,
    "tiles": Numbers(2, 254),
    "columns": COUNT,
    "max_bl": Numbers(1, 2**20),
    "pulses": COUNT,
    "devices": COUNT_OR_NONE,
    # numbers in any range
    "value": ANY,
    "solution": ANY,
    "start": ANY,
    "at": ANY,
    "rest": ANY,
    "loss": ANY,
    "symmetric_point_mean": ANY,
    "mean": ANY,
    "a": ANY,
    "b": ANY,
    "A_up": ANY,
    "A_down": ANY,
    "ExpStep.gamma_up": ANY,
    "ExpStep.gamma_down": ANY,
    "slope_up": Numbers(-1, 1),
    "slope_down": Numbers(-1, 1),
    "diffusion": NOT_NEGATIVE,
    "drift": ANY,
    # that may be zero
    "std": NOT_NEGATIVE,
    "write_noise": NOT_NEGATIVE,
    "noise_std": NOT_NEGATIVE,
    "in_noise": NOT_NEGATIVE,
    "out_noise": NOT_NEGATIVE,
    "weight_noise": NOT_NEGATIVE,
    "fast": NOT_NEGATIVE,
    "slow": NOT_NEGATIVE,
    "lifetime_spread": NOT_NEGATIVE,
    "drift_spread": NOT_NEGATIVE,
    "weight_decay": NOT_NEGATIVE,
    "ridge": NOT_NEGATIVE,
    "peak": SHARE,
    "gap": NOT_NEGATIVE,
    "sigma": NOT_NEGATIVE,
    "tail": NOT_NEGATIVE,
    "threshold": NOT_NEGATIVE,
    "lr": NOT_NEGATIVE,  # as torch has it
    "RunSpec.lr": RATE,
    "RunSpec.lrs": RATE,
    "digital_lr": RATE,
    "MapSettings.rates": RATE,
    "compare.accuracy": Numbers(0, 100),  # 0: the highest that all reach
    "fast_lr": NOT_NEGATIVE,
    "transfer_lr": NOT_NEGATIVE,
    "alpha": NOT_NEGATIVE,
    "beta": NOT_NEGATIVE,
    "beta_ratio": NOT_NEGATIVE,
    "gamma": NOT_NEGATIVE,
    "abs_gradient": NOT_NEGATIVE,
    "sample_sigma": NOT_NEGATIVE,
    "events": NOT_NEGATIVE,
    "up_down_mean": Numbers(-0.9, 0.9),
    # shares
    "momentum": Numbers(0, 1, open_high=True),
    "buffer_momentum": Numbers(0, 1, open_high=True),
    "dampening": SHARE,
    "fraction": SHARE,
    "chop_prob": SHARE,
    "eta": SHARE,
    "share": Numbers(0, 1, open_low=True, open_high=True),
    "omega": Numbers(0, 1, open_low=True),
    "lr_gamma": Numbers(0, 1, open_low=True),
    "refresh_at": Numbers(0, 1, open_low=True),
    # in which zero stands for nothing
    "verify": COUNT_OR_NONE,
    "read_voltage": ANY,
    # bounds of a range, on either side of 0
    "w_min": Numbers(-1e30, 0, open_high=True),
    # of a device: relative spreads
    **{
        f"Spread.{n}": NOT_NEGATIVE
        for n in ("dw_min", "up_down", "w_max", "w_min", "symmetric_point", "shape_up", "shape_down")
    },
    **{f"Hardware.{name}": NOT_NEGATIVE for name in COEFFICIENTS},
    "simulate.start": ANY,
    "SimulatedBoard.pulse.lr": ANY,
    "Tile.pulse.lr": ANY,  # negative to descend
    "PiecewiseStep.nodes_up": POSITIVE,
    "UserObjective.n": COUNT,
    "lower_bound.n": COUNT,
    "tiki_taka_statement.n": COUNT,
}

#: texts that are names, so that an unknown one is nonsense; of others any text will do
NAMES = {
    "data", "model", "device", "algorithms", "algorithm", "fidelity", "periphery", "backend",
    "direction", "laws", "families", "quantity", "include", "exclude", "augment", "pretrained", "at",
    "law", "kind", "name", "files", "path", "source", "increasing", "decreasing", "root", "text",
    "layer", "phase", "technology",
}  # fmt: skip
#: texts of a name in NAMES that may be any, by owner
FREE = {
    "Hardware.name", "Dataset.name", "ArrayEvents.layer", "Place.layer", "Source.text",
    "Source.text.source", "Code.text",
    "device_figure.name", "fit_figure.name", "Preset.source", "exclude", "map_page.device", "root",
    "RunSpec.include", "fit_page.families",
}  # fmt: skip
#: tensors that may have any shape, or no values at all
ANY_SHAPE = {"w", "mean", "changes", "path", "peaks", "fast_peaks", "values", "weights", "parameter"}
#: tensors that may have any number of dimensions, but must have values
ANY_DIMENSIONS = {"Tile.weight"}
#: functions of a tensor, value by value: what is not finite is passed on
VALUE_BY_VALUE = {
    "q_plus",
    "q_minus",
    "F",
    "G",
    "mean_abs",
    "chance",
    "outcomes",
    "errors",
    "loss",
    "gradient",
}
#: a run that diverged has values that are not finite
MAY_DIVERGE = {"path", "changes", "values", "end_epoch.loss", "Live.update.loss"}
#: lists and mappings that may be empty
MAY_BE_EMPTY = {
    "SimulatedBoard.product.beside",
    "options", "lrs", "lr_factors", "augment", "exclude", "events", "findings", "arrays", "before",
    "after", "calibration", "blocks", "sections", "versions", "rows", "cells", "claims", "types",
    "memory", "record", "RunSpec.from_dict.data", "MapSettings.axes", "fit_page.families",
}  # fmt: skip


def _named(table: abc.Container[str], owner: str, name: str) -> str | None:
    parts = owner.split(".")
    for key in (*(f"{'.'.join(parts[k:])}.{name}" for k in range(len(parts))), name):
        if key in table:
            return key
    return None


def legitimate(value: Any, hint: Any, owner: str, name: str) -> bool:
    """Whether a value makes sense for a parameter.

    Args:
        hint: its type, resolved.
        owner: what is called, such as `ohmgrad.Tile.pulse`.
    """
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any or isinstance(hint, typing.TypeVar):
        return True
    if origin in (typing.Union, types.UnionType):
        return any(legitimate(value, part, owner, name) for part in args)
    if hint is None or hint is type(None):
        return value is None
    if origin is typing.Literal:
        return isinstance(value, str) and value in args
    if hint is bool:
        return isinstance(value, (bool, np.bool_))
    if hint in (int, float):
        if hint is float and isinstance(value, float) and _named(MAY_DIVERGE, owner, name):
            return True
        key = _named(RANGES, owner, name)
        numbers = RANGES[key] if key else (COUNT if hint is int else POSITIVE)
        return numbers.has(value) and (hint is float or isinstance(value, Integral))
    if hint is str:
        free = _named(FREE, owner, name) or not _named(NAMES, owner, name)
        return isinstance(value, str) and bool(free)
    if hint is Path:
        return isinstance(value, Path)
    if hint is Tensor:
        if owner.rpartition(".")[2] in VALUE_BY_VALUE or _named(MAY_DIVERGE, owner, name):
            return isinstance(value, Tensor) and not value.is_complex()
        if not isinstance(value, Tensor) or not bool(torch.isfinite(value.double()).all()):
            return False
        many = value.dim() > 2 and not _named(ANY_DIMENSIONS, owner, name)
        return bool(_named(ANY_SHAPE, owner, name)) or (value.numel() > 0 and not many)
    if origin is type:
        return isinstance(value, type) and issubclass(value, args[0])
    if origin is abc.Callable or hint is abc.Callable:
        return callable(value)
    if origin in (abc.Mapping, dict) or hint in (abc.Mapping, dict):
        return isinstance(value, abc.Mapping) and (bool(value) or bool(_named(MAY_BE_EMPTY, owner, name)))
    if origin in (abc.Sequence, abc.Iterable, list, tuple):
        if not isinstance(value, (list, tuple)) and not (
            origin is abc.Iterable and hasattr(value, "__iter__")
        ):
            return False
        if isinstance(value, (str, bytes, Tensor, np.ndarray, abc.Mapping)):
            return False
        if not value:
            return bool(_named(MAY_BE_EMPTY, owner, name))
        if origin is tuple and args[-1] is not Ellipsis:
            return len(value) == len(args) and all(
                legitimate(v, a, owner, name) for v, a in zip(value, args, strict=True)
            )
        return all(legitimate(v, args[0], owner, name) for v in value)
    if getattr(hint, "_is_protocol", False):
        return all(hasattr(value, name) for name in vars(hint) if not name.startswith("_"))
    if isinstance(hint, type):
        return isinstance(value, hint)
    return True


def variants(valid: Any) -> dict[str, Any]:
    """Nonsense made of a valid value: a tensor of another shape, type or with a gap."""
    if not isinstance(valid, Tensor) or not valid.numel():
        return {}
    made: dict[str, Any] = {"one dimension more": valid.unsqueeze(0).clone()}
    if valid.is_floating_point():
        gap = valid.detach().clone()
        gap.view(-1)[0] = math.nan
        made |= {"with NaN": gap, "complex tensor": valid.detach().to(torch.complex64)}
    return made


#: how text of every kind looks on a command line
FACES = (
    "", "nonsense", "nan", "inf", "-inf", "-1", "-0.5", "0", "1e308", "9" * 30, "1.5", "true", "[]",
    "{}", "a[/b]c", "/no/such/file", "/no/such/file.yaml", "ü", "1,2,x", ",", "=", "x=", "=1", "x=[",
    "--", "0x10", "1e", "null",
)  # fmt: skip
