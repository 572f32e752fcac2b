"""Costs of runs: events of training steps alone, epoch by epoch, and costs up to an accuracy."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from ohmgrad.cost import cost_of, hardware
from ohmgrad.errors import InputError
from ohmgrad.report import run_page
from ohmgrad.studies import RunSpec, read_metrics, train
from ohmgrad.studies.costs import costs_of_run
from ohmgrad.studies.events import events_file, read_events
from ohmgrad.studies.train import train_once

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

IMAGES, BATCH, EPOCHS = 50, 10, 3
SPEC = RunSpec(images=IMAGES, batch_size=BATCH, epochs=EPOCHS, algorithms=("digital", "sgd", "ttv2"), lr=0.3,
               options={"columns": 16, "fast_lr": 0.3})  # fmt: skip
HARDWARE = hardware("rasch-li")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "a"
    train(SPEC, folder)
    return folder


def test_events_are_of_training_steps(run: Path) -> None:
    """Evaluations, which make products too, are left out."""
    epochs = read_events(events_file(run, "ttv2", 0))
    assert [each.epoch for each in epochs] == [1, 2, 3]
    for each in epochs:
        assert (each.images, each.steps) == (IMAGES, IMAGES / BATCH)
        assert [(a.layer, a.array) for a in each.arrays] == [
            ("1", "weights"), ("1", "fast"), ("3", "weights"), ("3", "fast"),
        ]  # fmt: skip
        for array in each.arrays:
            weights = array.array == "weights"
            assert array.count("forward_vectors") == IMAGES * weights
            assert array.count("backward_vectors") == IMAGES * (weights and array.layer == "3")
            assert array.count("updates") == IMAGES / BATCH or weights
            assert array.count("read_columns") == (0 if weights else 16 * IMAGES / BATCH)
    assert not events_file(run, "digital", 0).exists()


def test_a_resumed_run_has_the_events_of_one_that_was_not_cut_off(run: Path, tmp_path: Path) -> None:
    short = replace(SPEC, epochs=1, algorithms=("ttv2",))
    train(short, tmp_path / "b")
    train(replace(short, epochs=EPOCHS), tmp_path / "b", resume=True)
    again = events_file(tmp_path / "b", "ttv2", 0).read_text()
    assert again == events_file(run, "ttv2", 0).read_text()


def test_an_epoch_that_no_checkpoint_has_is_counted_once(run: Path, tmp_path: Path) -> None:
    """Cut off after the events of epoch 2 were written, before its checkpoint was."""
    short = replace(SPEC, epochs=1, algorithms=("ttv2",))
    train(short, tmp_path / "b")
    lines = events_file(run, "ttv2", 0).read_text().splitlines(keepends=True)
    events_file(tmp_path / "b", "ttv2", 0).write_text("".join(lines[: 1 + 2 * 4]))
    train(replace(short, epochs=EPOCHS), tmp_path / "b", resume=True)
    assert events_file(tmp_path / "b", "ttv2", 0).read_text() == "".join(lines)


def test_a_training_without_a_folder_has_the_same_cost(run: Path) -> None:
    once = train_once(replace(SPEC, algorithms=("ttv2",)))
    cost = cost_of(once.arrays, "ttv2", HARDWARE, images=once.images, steps=once.updates)
    (found,) = (each.cost for each in costs_of_run(run, HARDWARE) if each.algorithm == "ttv2")
    assert cost == found
    assert once.images == IMAGES * EPOCHS


def test_costs_are_of_the_epochs_up_to_an_accuracy(run: Path) -> None:
    whole = {each.algorithm: each for each in costs_of_run(run, HARDWARE)}
    assert [each.epoch for each in whole.values()] == [EPOCHS] * 3
    rows = [row for row in read_metrics(run) if row["algorithm"] == "ttv2"]
    accuracy = max(row["test_accuracy"] for row in rows)
    first = next(row["epoch"] for row in rows if row["test_accuracy"] == accuracy)
    part = {each.algorithm: each for each in costs_of_run(run, HARDWARE, accuracy)}["ttv2"]
    assert (part.epoch, part.accuracy, part.reached) == (first, accuracy, True)
    assert part.images == first * IMAGES
    assert part.cost is not None
    assert part.cost.energy(phase="forward") == pytest.approx(
        whole["ttv2"].cost.energy(phase="forward") * first / EPOCHS  # pyright: ignore[reportOptionalMemberAccess]
    )
    for each in costs_of_run(run, HARDWARE, 1.0):
        assert not each.reached
        assert each.epoch == EPOCHS
    assert whole["digital"].cost is None
    # 64 x 32 and 32 x 10, of which the first has no backward pass
    operations = 2 * IMAGES * EPOCHS * (2 * 64 * 32 + 3 * 32 * 10)
    for each in whole.values():
        assert each.digital.energy == pytest.approx(operations * HARDWARE.baseline_energy)


def test_the_page_of_a_run_has_its_costs(run: Path) -> None:
    page = run_page(run)
    assert [section.title for section in page.sections][:2] == ["Accuracy and loss", "Cost"]
    text = page.html()
    best = [
        max(row["test_accuracy"] for row in read_metrics(run) if row["algorithm"] == a)
        for a in SPEC.algorithms
    ]
    assert f"up to the first epoch with {100 * min(best):.1f} % test accuracy" in text
    assert "not reached" not in text
    assert "most worn array" in text


def test_runs_without_events_are_named(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "b")
    path = events_file(tmp_path / "b", "ttv2", 0)
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    with pytest.raises(InputError, match="events of 1 epochs of ttv2 with seed 0, but 3 are asked for"):
        costs_of_run(tmp_path / "b", HARDWARE)
    path.write_text("layer,array\n")
    with pytest.raises(InputError, match="has no column epoch: train again, into another folder"):
        costs_of_run(tmp_path / "b", HARDWARE)
    shutil.rmtree(tmp_path / "b" / "events")
    with pytest.raises(InputError, match="no events of an analog training"):
        costs_of_run(tmp_path / "b", HARDWARE)
    with pytest.raises(InputError, match="is this a run folder"):
        costs_of_run(tmp_path / "nowhere", HARDWARE)
