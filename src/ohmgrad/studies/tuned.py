"""Trainings with tuned options: each is a part of a study by itself, addressed by what determines it.

First short trainings with a seed that is not reported try some options; then those with the lowest training
loss train with every seed. So a folder may be run again with more seeds, devices or algorithms, and no
training is repeated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from .engine import Columns, Part, Progress, key_of
from .history import packed_history
from .spec import RunSpec
from .train import train_once

__all__ = ["TUNING_SEED", "Case", "Training", "reported", "trainings", "tunings"]

#: what a row has beside what every version kept: parts that lack it have other names
KEPT = ("history",)
#: seed of the trainings that choose options
TUNING_SEED = 1000


@dataclass(frozen=True)
class Training:
    """One training: a row.

    Args:
        spec: of one algorithm and one seed.
        labels: columns that tell its row from those of other trainings.
        what: for people.
        tuning: whether it is there to choose options only.
    """

    spec: RunSpec
    labels: Mapping[str, Any]
    what: str
    tuning: bool

    def part(self) -> Part:
        """The part that runs it."""
        what = f"{self.what}-lr{self.spec.lr:g}-{'tuning' if self.tuning else f'seed{self.spec.seeds[0]}'}"
        key = key_of({"spec": self.spec.key, "kept": KEPT})
        return Part(f"{re.sub(r'[^A-Za-z0-9._]+', '-', what)}-{key}", self.run, self.spec.epochs)

    def run(self, progress: Progress) -> Columns:
        """Train: a row with its labels, tuning, key (of the spec), lr, options (JSON), seed and epochs;
        train_loss (nats), test_accuracy (share); cells (elements), updates, pulses (of all elements);
        gradient_sq and floor, squared norms of the gradient as measured and as predicted over the last epoch,
        summed over arrays (`Monitor`; nan where nothing was watched); seconds; history, accuracies and events
        epoch by epoch (`packed_history`; "" where it is there to choose options).
        """
        spec = self.spec
        said = f"{self.what}, lr {spec.lr:g}, {'tuning' if self.tuning else f'seed {spec.seeds[0]}'}"
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # numbers are those of any number of jobs, and parts keep the cores busy
        try:
            trained = train_once(spec, lambda done, total, now: progress(done, total, f"{said}, {now}"))
        finally:
            torch.set_num_threads(threads)
        row = {
            **self.labels,
            "tuning": self.tuning,
            "key": spec.key,
            "lr": float(spec.lr),
            "options": json.dumps(spec.options),
            "seed": spec.seeds[0],
            "epochs": spec.epochs,
            "train_loss": trained.row["train_loss"],
            "test_accuracy": trained.row["test_accuracy"],
            "cells": trained.cells,
            "updates": trained.updates,
            "pulses": trained.pulses,
            **_gradient(trained.watched, trained.updates, spec.epochs),
            "seconds": trained.row["seconds"],
            "history": "" if self.tuning else packed_history(trained.accuracies, trained.epochs),
        }
        return {name: np.array([value]) for name, value in row.items()}


def _gradient(rows: Sequence[Mapping[str, Any]], updates: int, epochs: int) -> dict[str, float]:
    """Means over the last epoch of gradient_sq and floor, summed over arrays."""
    first = updates - updates // epochs
    found = {}
    for name in ("gradient_sq", "floor"):
        steps: dict[int, float] = {}
        for row in rows:
            if row["step"] > first:
                steps[row["step"]] = steps.get(row["step"], 0.0) + row[name]
        found[name] = math.fsum(steps.values()) / len(steps) if steps else math.nan
    return found


@dataclass(frozen=True)
class Case:
    """Trainings that are alike but for seed and tuned options.

    Args:
        labels: columns that tell their rows from those of other cases.
        what: for people.
        spec: arguments of `RunSpec` beside those below; one algorithm.
        tried: options, lr among them, from which the best are chosen.
    """

    labels: Mapping[str, Any]
    what: str
    spec: Mapping[str, Any]
    tried: Sequence[Mapping[str, Any]]

    def training(self, options: Mapping[str, Any], seed: int, epochs: int, *, tuning: bool) -> Training:
        """The training with these options."""
        own = {name: value for name, value in options.items() if name != "lr"}
        entries: dict[str, Any] = {**self.spec, "lr": options["lr"], "options": own, "seeds": (seed,)}
        if tuning:
            entries["monitor"] = False
        return Training(RunSpec(**entries, epochs=epochs), self.labels, self.what, tuning)


def tunings(cases: Sequence[Case], epochs: int) -> list[Part]:
    """The trainings that choose options."""
    return [training.part() for case in cases for training in _tried(case, epochs)]


def _tried(case: Case, epochs: int) -> list[Training]:
    return [case.training(options, TUNING_SEED, epochs, tuning=True) for options in case.tried]


def trainings(
    cases: Sequence[Case], columns: Columns, tuning_epochs: int, epochs: int, seeds: int
) -> list[Part]:
    """The trainings that are reported, with the options of the lowest training loss of each case.

    A case of which a tuning training is not in `columns`, since it failed, has none.
    """
    losses = dict(zip(columns["key"], columns["train_loss"], strict=True))
    parts = []
    for case in cases:
        keys = [training.spec.key for training in _tried(case, tuning_epochs)]
        if all(key in losses for key in keys):
            found = [losses[key] if math.isfinite(losses[key]) else math.inf for key in keys]
            best = case.tried[int(np.argmin(found))]
            parts += [case.training(best, s, epochs, tuning=False).part() for s in range(seeds)]
    return parts


def reported(columns: Columns) -> Columns:
    """The rows of trainings that are reported."""
    keep = ~columns["tuning"].astype(bool)
    return {name: column[keep] for name, column in columns.items()}
