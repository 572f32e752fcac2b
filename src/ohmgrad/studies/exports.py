"""Trainings of a run to real arrays and back: conductances, pulses, and accuracy with read-backs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..errors import InputError, check_choice
from ..export import ReadBack, export_conductances, import_conductances, record_pulses
from ..optim import AnalogOptimizer
from .folders import read_spec
from .train import training_of
from .training import Progress, Training

__all__ = ["Accuracies", "export_run", "read_back"]


def export_run(
    folder: Path,
    out: Path,
    algorithm: str | None = None,
    seed: int | None = None,
    *,
    g_min: float,
    g_max: float,
    pairs: bool = False,
    pulses: bool = False,
    progress: Callable[[int, int, float], None] = lambda *_: None,
    note: Callable[[str], None] = lambda _: None,
) -> Training:
    """Write the conductances of all arrays of a training, as after its last epoch.

    Args:
        folder: of the run.
        out: new folder, see `ohmgrad.export.export_conductances`.
        algorithm, seed: of the training; where the run has one analog training alone, None.
        g_min, g_max, pairs: as for `export_conductances`.
        pulses: train again, bit for bit, and write the pulses of all updates beside.
        progress: of that training, called with (step, steps, running loss).
        note: called with a line when the last checkpoint cannot be used, but the one before it.

    Returns:
        The training.

    Raises:
        InputError: when there is no such training, an argument is wrong, or a training again ends elsewhere.
    """
    kept = _training(folder, algorithm, seed, note)
    optimizer = _analog(kept)
    given: dict[str, Any] = {"g_min": g_min, "g_max": g_max, "pairs": pairs, "optimizer": optimizer}
    export_conductances(kept.model, out, **given)
    if pulses:
        again = training_of(kept.spec, None, kept.algorithm, kept.seed)
        told = Progress(lambda _, __, done, total, loss: progress(done, total, loss))
        with record_pulses(again.model, out, _analog(again)):
            while again.epoch < kept.epoch:
                again.run_epoch(told)
        ends = [training.model.state_dict() for training in (kept, again)]
        if any(not torch.equal(value, ends[1][name]) for name, value in ends[0].items()):
            raise InputError(
                f"a training again ended in other weights than {folder} has, which another version or "
                f"machine made: the pulses in {out} are not those of the run; train anew and export that"
            )
    return kept


@dataclass(frozen=True)
class Accuracies:
    """What a training reaches on its test set with what its arrays really hold.

    Args:
        before: accuracy with the weights that it ended in.
        after: with the read-backs.
        arrays: how far each array was off.
    """

    before: float
    after: float
    arrays: list[ReadBack]


def read_back(
    folder: Path,
    readings: Path,
    algorithm: str | None = None,
    seed: int | None = None,
    *,
    clip: bool = False,
    note: Callable[[str], None] = lambda _: None,
) -> Accuracies:
    """Test accuracy of a training with conductances that were read back, beside that with its own.

    Args:
        folder: of the run.
        readings: folder of the conductances, see `ohmgrad.export.import_conductances`; and `clip`.
        algorithm, seed, note: as for `export_run`.

    Raises:
        InputError: as `export_run` and `import_conductances`.
    """
    training = _training(folder, algorithm, seed, note)
    before = training.test_accuracy()
    found = import_conductances(training.model, readings, optimizer=_analog(training), clip=clip)
    return Accuracies(before, training.test_accuracy(), found)


def _training(folder: Path, algorithm: str | None, seed: int | None, note: Callable[[str], None]) -> Training:
    """The training of a run that is meant, as after its last epoch."""
    spec = read_spec(folder)
    analog = [name for name in spec.algorithms if name != "digital"]
    if not analog:
        raise InputError(f"{folder} has no analog training: train one, as in --algorithms ttv2")
    for name, given, has in (("algorithm", algorithm, analog), ("seed", seed, list(spec.seeds))):
        if given is None and len(has) > 1:
            raise InputError(f"{folder} has {name}s {', '.join(map(str, has))}: choose one with --{name}")
    chosen = analog[0] if algorithm is None else check_choice("algorithm of the run", algorithm, analog)
    number = spec.seeds[0] if seed is None else seed
    if number not in spec.seeds:
        raise InputError(f"{folder} has seeds {', '.join(map(str, spec.seeds))}, but not {number}")
    training = training_of(spec, folder, chosen, number, note)
    if not training.epoch:
        raise InputError(f"{folder} has no finished epoch of {chosen} with seed {number}: train --resume")
    return training


def _analog(training: Training) -> AnalogOptimizer:
    assert isinstance(training.optimizer, AnalogOptimizer)
    return training.optimizer
