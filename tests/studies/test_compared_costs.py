"""Costs of a comparison: histories that come back, curves, and what equal accuracy means."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from ohmgrad.cost import baseline, cost_of, hardware
from ohmgrad.errors import InputError
from ohmgrad.studies.compare import COMPARE, pairs
from ohmgrad.studies.compared_costs import Curve, at_equal_accuracy, common_accuracy, curves
from ohmgrad.studies.history import packed_history, unpacked_history
from ohmgrad.studies.spec import RunSpec
from ohmgrad.studies.study import run_study, where
from ohmgrad.studies.train import train_once
from ohmgrad.studies.tuned import reported

pytestmark = pytest.mark.usefixtures("one_thread")
SMALL = {"images": 60, "epochs": 2, "tuning_epochs": 1, "rates": (0.3,), "seeds": 2, "devices": ("paper",)}


def test_a_history_comes_back_and_costs_what_the_training_did() -> None:
    spec = RunSpec(images=30, batch_size=10, epochs=2, algorithms=("ttv2",), options={"columns": 16})
    trained = train_once(spec)
    history = unpacked_history(packed_history(trained.accuracies, trained.epochs))
    assert (history.accuracies, history.epochs) == (trained.accuracies, trained.epochs)
    first, last = history.costs("ttv2", hardware("rasch-li"))
    assert last == cost_of(trained.arrays, "ttv2", hardware("rasch-li"), images=60, steps=6)
    assert first.energy(phase="forward") == pytest.approx(last.energy(phase="forward") / 2)
    assert [*history.images()] == [30, 60]


def curve(*accuracies: float, energy: float = 1.0) -> Curve:
    """Two seeds whose energies differ by a fifth, growing by epochs."""
    epochs = np.arange(1, 1 + len(accuracies))
    energies = energy * np.array([0.9, 1.1])[:, None] * epochs
    return Curve(np.array(accuracies), energies, 1e3 * energies)


FOUND = {
    ("digital", "-"): curve(50, 80, 95),
    ("sgd", "a"): curve(20, 70, 60, energy=2.0),
    ("ttv2", "a"): curve(72, 80, 90, energy=3.0),
    ("sgd", "b"): curve(90, 91, 92),
}


def test_all_means_reach_the_common_accuracy_and_one_reaches_no_more() -> None:
    assert common_accuracy(FOUND, "a") == 70
    assert common_accuracy(FOUND, "b") == 92
    assert math.isnan(common_accuracy({}, "a"))


def test_costs_are_of_the_epochs_up_to_the_first_that_reaches_it() -> None:
    rows = at_equal_accuracy([*FOUND], FOUND, 0.0)
    a = {name: rows[name, "a"] for name in ("sgd", "ttv2")}
    assert [row["cost_epoch"] for row in a.values()] == [2, 1]
    assert [row["energy"] for row in a.values()] == pytest.approx([4.0, 3.0])
    assert a["sgd"]["time"] == pytest.approx(4e3)
    assert a["sgd"]["energy_low"] < 3.6 < 4.4 < a["sgd"]["energy_high"]
    assert [row["digital_energy"] for row in a.values()] == pytest.approx([2.0, 2.0])  # 80 % in its second
    assert rows["sgd", "b"]["digital_energy"] == pytest.approx(3.0)
    assert math.isnan(rows["digital", "-"]["energy"])  # devices differ


def test_a_stated_accuracy_may_not_be_reached() -> None:
    rows = at_equal_accuracy([*FOUND], FOUND, 85.0)
    assert {row["cost_accuracy"] for row in rows.values()} == {85.0}
    assert math.isnan(rows["sgd", "a"]["energy"])
    assert math.isnan(rows["sgd", "a"]["cost_epoch"])
    assert rows["ttv2", "a"]["energy"] == pytest.approx(9.0)
    assert rows["digital", "-"]["energy"] == pytest.approx(3.0)


def test_a_comparison_has_costs_of_every_algorithm(tmp_path: Path) -> None:
    outcome = run_study(COMPARE, tmp_path, changes={**SMALL, "algorithms": ("sgd", "ttv2")})
    columns, names = reported(outcome.columns), pairs(outcome.settings)
    assert all(text == "" for text in outcome.columns["history"][outcome.columns["tuning"]])
    found = curves(names, columns, "rasch-li")
    assert [*found] == names
    mine = where(columns, algorithm="sgd")
    np.testing.assert_allclose(found["sgd", "paper"].accuracy[-1], 100 * mine["test_accuracy"].mean())
    # 64 x 32 and 32 x 10, of which the first has no backward pass
    operations = 2 * 60 * 2 * (2 * 64 * 32 + 3 * 32 * 10)
    hw = hardware("rasch-li")
    np.testing.assert_allclose(found["digital", "-"].energy[:, -1], operations * hw.baseline_energy)
    history = unpacked_history(str(mine["history"][0]))
    assert baseline(history.epochs[0].arrays, hw).time == pytest.approx(operations / 2 / hw.baseline_rate)
    rows = {row["algorithm"]: row for row in outcome.table}
    assert 0 < rows["sgd"]["energy"] < rows["ttv2"]["energy"] * 10
    other = run_study(
        COMPARE, tmp_path, changes={**SMALL, "algorithms": ("sgd", "ttv2"), "hardware": "row-serial"}
    )
    assert other.computed == []  # the same trainings
    again = {row["algorithm"]: row for row in other.table}
    assert again["sgd"]["time"] > 10 * rows["sgd"]["time"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"hardware": "rash-li"}, "unknown hardware 'rash-li': did you mean 'rasch-li'"),
        ({"accuracy": 101}, "accuracy is 101 %, but must be in"),
        ({"accuracy": -1}, "accuracy is -1, but must be a number of at least 0"),
    ],
)
def test_wrong_settings_leave_no_folder(tmp_path: Path, changes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_study(COMPARE, tmp_path / "x", changes={**SMALL, "algorithms": ("sgd",), **changes})
    assert not (tmp_path / "x").exists()
