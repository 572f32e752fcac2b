"""ohmgrad map on a training that is a known function of the device's properties."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ohmgrad import InputError
from ohmgrad.cli import main
from ohmgrad.devices import Device, LinearStep, Noise, Spread
from ohmgrad.devices.presets import preset
from ohmgrad.devices.properties import PROPERTIES, plain, present, scaled
from ohmgrad.report import map_words, share_table
from ohmgrad.studies import map_runs
from ohmgrad.studies.attribution import chain, interval, orders, shares
from ohmgrad.studies.map import MapSettings, map_device
from ohmgrad.studies.spec import RunSpec
from ohmgrad.studies.surrogate import surface
from ohmgrad.studies.train import Trained

#: all properties but shift, which is none
DEVICE = Device(
    LinearStep(-1.0, 1.0, 0.5, 0.5),
    dw_min=0.02,
    spread=Spread(dw_min=0.2, up_down=0.05),
    noise=Noise(0.5),
)
FAULTS = ["states", "asymmetry", "sp-spread", "noise", "spread", "bounds"]
#: points of accuracy that each costs, and what two cost together beside that
COSTS = {"states": 2.0, "asymmetry": 1.0, "sp-spread": 3.0, "noise": 8.0, "spread": 0.5, "bounds": 0.0}
TOGETHER = {("states", "noise"): 4.0, ("asymmetry", "sp-spread"): 2.0, ("noise", "spread"): -1.0}


def amounts(device: Device) -> dict[str, float]:
    """How much there is of each fault, as a share of what `DEVICE` has."""
    half = torch.tensor([0.5], dtype=torch.float64)
    return {
        "states": max(0.0, device.dw_min - 1e-3) / 0.019,
        "asymmetry": float(device.response.G(half)) / float(DEVICE.response.G(half)),
        "sp-spread": device.spread.up_down / 0.05,
        "noise": device.noise.std / 0.5,
        "spread": device.spread.dw_min / 0.2,
        "bounds": float(device.response.w_max <= 1),
    }


def accuracy(device: Device) -> float:
    a = amounts(device)
    lost = sum(COSTS[n] * a[n] for n in FAULTS) + sum(c * a[m] * a[n] for (m, n), c in TOGETHER.items())
    return (96.0 - lost) / 100


class Stub:
    """A training that is not one. Counts what it was asked."""

    def __init__(self, noise: float = 0.0, fails: Any = lambda device, seed: False) -> None:
        self.noise, self.fails, self.asked = noise, fails, 0

    def __call__(self, spec: RunSpec, progress: Any = None) -> Trained:
        self.asked += 1
        seed, right = spec.seeds[0], 0.97
        rng = np.random.default_rng(self.asked)
        if spec.algorithms[0] != "digital":
            assert isinstance(spec.device, dict)
            device = Device.from_dict(spec.device)
            if self.fails(device, seed):
                raise RuntimeError("the training broke")
            right = accuracy(device) + self.noise * rng.standard_normal() / 100
        row = {"test_accuracy": right, "train_loss": 1 - right + spec.lr, "pulses_up": 1, "pulses_down": 1}
        return Trained(row, {}, 1, 1, 1, [], [], [], [])


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    found = Stub()
    monkeypatch.setattr(map_runs, "train_once", found)
    return found


def exact() -> dict[str, float]:
    """Shapley values of the known costs: of what two cost together a half; all, where one needs the other."""
    found = dict(COSTS)
    for (m, n), c in TOGETHER.items():
        needs = PROPERTIES[n].needs == m
        found[m] += 0 if needs else c / 2
        found[n] += c if needs else c / 2
    return found


def test_shares_are_the_known_shapley_values(stub: Stub, tmp_path: Path) -> None:
    assert present(plain(DEVICE)) == FAULTS
    found = map_device(DEVICE, tmp_path, MapSettings("sgd", trainings=30))
    assert {s.name: s.lost[0] for s in found.shares} == pytest.approx(exact(), abs=0.1)
    assert sum(s.lost[0] for s in found.shares) == pytest.approx(found.ideal[0] - found.own[0])
    assert [s.name for s in found.shares][:2] == ["noise", "sp-spread"]
    assert found.shares[0].loss == pytest.approx(exact()["noise"] / 100, abs=1e-3)
    assert (found.digital, found.lr) == (pytest.approx(97.0), 0.03)
    alone = {s.name: s.alone for s in found.shares}
    for name in FAULTS:
        assert alone[name] == pytest.approx(100 * accuracy(scaled(DEVICE, {name: 0.0})))
    assert "cycle-to-cycle noise costs 9.5" in map_words(found)


def test_the_trainings_are_as_many_as_stated(stub: Stub, tmp_path: Path) -> None:
    for trainings in (6, 25, 40):
        stub.asked = 0
        found = map_device(DEVICE, tmp_path / str(trainings), MapSettings("sgd", trainings=trainings))
        short = 3 * 4 + 2  # rates of three devices, digital SGD twice
        assert found.trainings == stub.asked - short
        assert found.trainings <= max(trainings, 2 * len(FAULTS))
        assert found.pairs == (2 if trainings == 40 else 1)
        assert all(math.isfinite(s.lost[1]) == (found.pairs > 1) for s in found.shares)


def test_a_map_goes_on_and_other_axes_cost_only_what_they_add(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Stopped(Stub):
        def __call__(self, spec: RunSpec, progress: Any = None) -> Trained:
            if self.asked == 20:
                raise KeyboardInterrupt
            return super().__call__(spec, progress)

    first, second = Stopped(), Stub()
    monkeypatch.setattr(map_runs, "train_once", first)
    settings = MapSettings("sgd", trainings=40)
    with pytest.raises(KeyboardInterrupt):
        map_device(DEVICE, tmp_path / "a", settings)
    monkeypatch.setattr(map_runs, "train_once", second)
    went_on = map_device(DEVICE, tmp_path / "a", settings)
    assert first.asked + second.asked == went_on.trainings + 14
    undisturbed = map_device(DEVICE, tmp_path / "b", settings)
    assert went_on.shares == undisturbed.shares
    asked = second.asked
    map_device(DEVICE, tmp_path / "b", settings)
    assert second.asked == asked  # nothing is trained again
    axes = (("states", "asymmetry"),)
    other = map_device(DEVICE, tmp_path / "b", MapSettings("sgd", trainings=40, axes=axes))
    assert other.planes[0].axes == ("states", "asymmetry")
    assert 0 < second.asked - asked <= 40 - 24


def test_failed_trainings_are_told_and_leave_their_pair_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(map_runs, "train_once", Stub(fails=lambda d, seed: seed == 1 and d.noise.std == 0))
    found = map_device(DEVICE, tmp_path / "a", MapSettings("sgd", trainings=40))
    assert found.pairs == 1
    assert "the training broke" in found.failed[0].error
    assert {s.name: s.lost[0] for s in found.shares} == pytest.approx(exact(), abs=0.1)
    monkeypatch.setattr(map_runs, "train_once", Stub(fails=lambda d, seed: seed < 2 and d.noise.std == 0))
    with pytest.raises(InputError, match="every pair of orders has a training that failed"):
        map_device(DEVICE, tmp_path / "b", MapSettings("sgd", trainings=40))


def test_the_least_improvement_is_where_the_accuracy_reaches_the_target(stub: Stub, tmp_path: Path) -> None:
    found = map_device(DEVICE, tmp_path, MapSettings("sgd", trainings=44, target=80.0))
    by_name = {i.name: i for i in found.improvements}
    least = {}
    for name in ("noise", "states", "sp-spread"):  # asymmetry, too, comes to 79.5 % when it is ideal
        factors = np.geomspace(1, 0.03, 400)
        reach = [f for f in factors if 100 * accuracy(scaled(DEVICE, {name: f})) >= 80]
        least[name] = 1 / reach[0]
    for name, times in least.items():
        assert by_name[name].times[0] == pytest.approx(times, rel=0.4), name  # 360 images: ± 2 points
        assert by_name[name].times[1] <= times <= by_name[name].times[2], name
    assert found.improvements[0].name == "noise" == min(least, key=lambda name: least[name])
    assert not by_name["spread"].reached
    words = map_words(found)
    assert f"Cheapest way to 80.0 %: {PROPERTIES[found.improvements[0].name].label}" in words
    hopeless = map_device(DEVICE, tmp_path, MapSettings("sgd", trainings=44, target=96.9))
    assert "No single property reaches 96.9 % by itself" in map_words(hopeless)
    easy = map_device(DEVICE, tmp_path, MapSettings("sgd", trainings=44, target=70.0))
    assert easy.improvements == []
    assert "The target of 70.0 % is reached" in map_words(easy)


def test_a_map_shows_the_known_accuracy(stub: Stub, tmp_path: Path) -> None:
    found = map_device(DEVICE, tmp_path, MapSettings("sgd", trainings=60, axes=(("states", "noise"),)))
    (plane,) = found.planes
    assert plane.error < 4  # the worse side is steep
    for j, i in itertools.product((0, 15, 30), repeat=2):
        true = 100 * accuracy(scaled(DEVICE, {"states": 10 ** plane.x[i], "noise": 10 ** plane.y[j]}))
        assert plane.accuracy[j, i] == pytest.approx(true, abs=1.5 + 3 * plane.sd[j, i])
    with (tmp_path / "map-states-noise.csv").open() as file:
        assert len(list(csv.DictReader(file))) == 41 * 41


def test_the_command_prints_the_tables_and_the_verdict(
    stub: Stub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.yaml").write_text(DEVICE.to_yaml())
    words = ["map", str(tmp_path / "mine.yaml"), "--algorithm", "sgd", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--axes", "states,asymmetry", "--axes", "shift,noise", "--target", "85"])
    assert not ended.value.code
    said = " ".join(capsys.readouterr().out.split())
    reached = "mine reaches 76.5 % where digital SGD reaches 97.0 %"
    for word in (
        "mine: what costs accuracy, Analog SGD",
        "what reaches 85.0 % by itself",
        reached,
        "Cheapest",
    ):
        assert word in said, word
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"spec.yaml", "shares.csv", "improvements.csv", "trainings.csv", "trainings.parquet",
                     "map-states-asymmetry.csv", "map-shift-noise.csv",
                     "figure.svg", "figure.pdf", "figure.png"}  # fmt: skip
    page = (tmp_path / "out" / "page.html").read_text()
    again = "--algorithm sgd --target 85.0 --axes states,asymmetry --axes shift,noise"
    assert f"ohmgrad map {tmp_path}/mine.yaml {again}" in page
    assert reached in page


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"algorithm": "sdg"}, "unknown algorithm 'sdg': did you mean 'sgd'"),
        ({"trainings": 3}, "trainings is 3, but must be an integer of at least 6"),
        ({"axes": (("states", "noize"),)}, "unknown axis 'noize': did you mean 'noise'"),
        ({"axes": (("noise", "noise"),)}, "must be two"),
        ({"target": 101.0}, "target is 101.0"),
        ({"rates": ()}, "rates is empty"),
        ({"data": "mnits"}, "unknown data set 'mnits'"),
        ({"options": {"fast_lr": 0.1}}, "unknown option 'fast_lr' of sgd"),
    ],
)
def test_wrong_settings_leave_no_folder(tmp_path: Path, changes: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        map_device(DEVICE, tmp_path / "x", MapSettings(**{"algorithm": "sgd", **changes}))
    assert not (tmp_path / "x").exists()


def test_an_ideal_device_and_a_folder_of_something_else_are_refused(stub: Stub, tmp_path: Path) -> None:
    ideal = Device(LinearStep(-5, 5, 0.0, 0.0), dw_min=0.001)
    with pytest.raises(InputError, match="mine is ideal in every property"):
        map_device(ideal, tmp_path / "x", name="mine")
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds something else than a map"):
        map_device(DEVICE, tmp_path)


def test_orders_keep_what_is_needed_first_and_are_reverses() -> None:
    plan = orders(FAULTS, {"sp-spread": "asymmetry", "shift": "asymmetry"}, 200)
    for pair in plan:
        for order in pair:
            assert sorted(order) == sorted(FAULTS)
            assert order.index("asymmetry") < order.index("sp-spread")
        free = [[n for n in order if n not in ("asymmetry", "sp-spread")] for order in pair]
        assert free[0] == free[1][::-1]
    # noise stands before states as often as after it: 400 orders, 5 standard deviations
    before = sum(order.index("noise") < order.index("states") for pair in plan for order in pair)
    assert before == 200  # reverses
    first = sum(pair[0].index("noise") == 0 for pair in plan)
    assert abs(first - 200 / 6) < 5 * math.sqrt(200 * 5 / 36)


def test_many_orders_give_the_shapley_values_of_three_that_act_together() -> None:
    """v = 6 where all of three are there: 2 each."""
    plan = orders(["a", "b", "c"], {}, 3000)
    values = {(n, s): 6.0 * (len(s) == 3) for n, pair in enumerate(plan) for o in pair for s in chain(o)}
    found = shares(["a", "b", "c"], plan, values)
    # each row has 3 for the last fault of either order: a variance of 2 at most
    assert np.abs(found.mean(0) - 2).max() < 5 * math.sqrt(2 / 3000)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """2000 tables of 2 pairs and 6 faults, with equal and with unequal noise."""
    rng, trials = np.random.default_rng(1), 2000
    for scale, low, high in (
        (np.ones(6), 0.88, 0.97),
        (np.array([0.5, 0.5, 1.0, 1.0, 2.0, 2.0]), 0.85, 0.97),
    ):
        inside = 0.0
        for _ in range(trials):
            found = interval(scale * rng.standard_normal((2, 6)))
            inside += float(((found[:, 1] <= 0) & (found[:, 2] >= 0)).mean())
        assert low < inside / trials < high
    alone = [interval(rng.standard_normal((5, 1)))[0] for _ in range(trials)]
    share = np.mean([low <= 0 <= high for _, low, high in alone])
    assert abs(share - 0.9) < 5 * math.sqrt(0.09 / trials)


def test_a_surface_knows_its_error() -> None:
    """Noisy points of a known curve: 5 % of them may lie three of its errors off, and it must not be flat."""
    rng = np.random.default_rng(0)
    x = np.linspace(-1, 1, 25)[:, None]
    true = 0.6 + 0.3 * np.sin(2 * x[:, 0])
    seen = rng.binomial(400, true) / 400
    fitted = surface(x, seen, 400)
    mean, sd = fitted.at(x)
    assert 1.0 < fitted.error < 4.0  # binomial scatter is 2.4 points at 0.6
    assert np.abs(mean - 100 * true).mean() < 2.0
    assert np.mean(np.abs(mean - 100 * true) < 3 * sd + 0.3) > 0.9


def test_a_real_training_goes_through(tmp_path: Path) -> None:
    settings = MapSettings("sgd", trainings=8, images=60, epochs=1, tuning_epochs=1, rates=(0.1,))
    found = map_device(preset("ald"), tmp_path, settings, name="ald")
    assert {s.name for s in found.shares} == {"asymmetry", "bounds"}
    assert found.trainings == 8
    assert all(0 <= s.alone <= 100 for s in found.shares)
    assert share_table(found).row_count == 4
