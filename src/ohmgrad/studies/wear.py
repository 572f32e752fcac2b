"""Pulses of every element in the trainings of a run: each trains again, bit for bit, once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ..cost.counts import added
from ..cost.wear import Histogram, record_wear
from ..errors import InputError
from ..optim import AnalogOptimizer
from .events import EpochEvents, events_file, read_events
from .folders import file_name, read_metrics, read_spec
from .rows import WORN, read_rows, write_rows
from .train import training_of
from .training import Progress

__all__ = ["Wear", "read_wear", "wear_of_run"]

#: by algorithm and seed: histograms of all arrays
Wear = dict[tuple[str, int], list[Histogram]]


def read_wear(folder: Path) -> Wear:
    """The histograms that `wear_of_run` left in a run folder; of trainings that went on since, none.

    Raises:
        InputError: when a file is damaged.
    """
    found: Wear = {}
    for (algorithm, seed), epochs in _epochs(folder).items():
        path = _file(folder, algorithm, seed)
        rows = read_rows(path, WORN, f"delete {path}") if path.is_file() else []
        if not rows or rows[0]["epoch"] != epochs:
            continue
        arrays: dict[tuple[str, int, str], Histogram] = {}
        for row in rows:
            place = row["layer"], row["tile"], row["array"]
            arrays.setdefault(place, Histogram(*place, {})).elements[row["pulses"]] = row["elements"]
        found[algorithm, seed] = list(arrays.values())
    return found


def wear_of_run(folder: Path, progress: Callable[[str, int, int], None] = lambda *_: None) -> Wear:
    """Histograms of the pulses by element of all analog trainings of a run, over all their epochs.

    A training whose histograms are not there trains again, and leaves them in wear/ of the folder.

    Args:
        folder: of the run.
        progress: called with what trains, and (step, steps) of its epoch.

    Raises:
        InputError: when there is no run or no analog training, pulses are not known (fidelity "mean"), or a
            training again counts other events than the run has.
    """
    spec, found, wanted = read_spec(folder), read_wear(folder), _epochs(folder)
    if not wanted:
        raise InputError(f"{folder} has no analog training: train one, as in --algorithms ttv2")
    for (algorithm, seed), last in wanted.items():
        if (algorithm, seed) in found:
            continue
        again = training_of(spec, None, algorithm, seed)
        assert isinstance(again.optimizer, AnalogOptimizer)
        with record_wear(again.model, again.optimizer) as worn:
            while again.epoch < last:
                what = f"{algorithm}, seed {seed}, epoch {again.epoch + 1} of {last}"
                again.run_epoch(
                    Progress(lambda _, __, done, total, ___, what=what: progress(what, done, total))
                )
        if again.events != read_events(events_file(folder, algorithm, seed))[:last]:
            raise InputError(
                f"{algorithm} with seed {seed}, trained again, counted other events than {folder} has, which "
                "another version or machine made: train anew, into another folder"
            )
        found[algorithm, seed] = [each.histogram for each in worn]
        _check(again.events, found[algorithm, seed])
        rows = [
            {"epoch": last, "layer": each.layer, "tile": each.tile, "array": each.array,
             "pulses": pulses, "elements": elements}
            for each in found[algorithm, seed]
            for pulses, elements in each.elements.items()
        ]  # fmt: skip
        path = _file(folder, algorithm, seed)
        path.parent.mkdir(exist_ok=True)
        write_rows(path, rows, WORN)
    return {key: found[key] for key in wanted}


def _check(epochs: list[EpochEvents], histograms: list[Histogram]) -> None:
    """Raise InputError unless the histograms have the pulses that the arrays counted."""
    counted = {each.key: each for each in added(array for epoch in epochs for array in epoch.arrays)}
    if [*counted] != [(each.layer, each.tile, each.array) for each in histograms]:
        raise InputError("arrays were made in the middle of the training: its wear is known as a mean alone")
    for each in histograms:
        array = counted[each.layer, each.tile, each.array]
        pulses = array.count("pulses_up") + array.count("pulses_down") - array.count("rewrite_pulses")
        if each.pulses != pulses:
            raise InputError(
                f"{each.array} of layer {each.layer!r} counted {pulses:,} pulses in updates, of which "
                f"{each.pulses:,} were seen element by element: its wear is known as a mean alone"
            )


def _epochs(folder: Path) -> dict[tuple[str, int], int]:
    """Epochs of every analog training of a run."""
    rows = [row for row in read_metrics(folder) if row["algorithm"] != "digital"]
    return {(row["algorithm"], row["seed"]): row["epoch"] for row in rows}


def _file(folder: Path, algorithm: str, seed: int) -> Path:
    return folder / "wear" / f"{file_name(algorithm)}-{seed}.csv"
