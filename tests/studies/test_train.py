"""Training runs: specification, folders, and resuming exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ohmgrad import InputError
from ohmgrad.datasets import load
from ohmgrad.models import build
from ohmgrad.studies import Progress, RunSpec, read_metrics, read_spec, train
from ohmgrad.studies.checkpoint import read_checkpoint
from ohmgrad.studies.train import train_once

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "algorithms": ["digital", "sgd", "tiki-taka"],
    "options": {"fast_lr": 0.1, "columns": 2, "order": "random"},
    "lr": 0.2,
    "lr_step": 2,
    "batch_size": 50,
    "epochs": 3,
    "periphery": "noisy",
}


def spec(**changes: Any) -> RunSpec:
    has_options = changes.get("algorithms") not in (["digital"], ["sgd"])
    return RunSpec.from_dict({**SMALL, "options": SMALL["options"] if has_options else {}, **changes})


WRONG: list[tuple[str, Any, str]] = [
    ("data", "mnits", "did you mean 'mnist'"),
    ("model", "fnc", "did you mean 'fcn'"),
    ("images", 0, "images is 0"),
    ("images", 1.5, "images is 1.5"),
    ("device", "papr", "did you mean 'paper'"),
    ("device", 3, "device is 3, but must be the name"),
    ("fidelity", "pulse", "choose one of mean, pulsed"),
    ("periphery", "loud", "perfect, noisy"),
    ("algorithms", ["sdg"], "did you mean 'sgd'"),
    ("algorithms", "sgd", "algorithms is 'sgd'"),
    ("seeds", [1, 1], "all different"),
    ("seeds", [[0]], r"seed is \[0\]"),
    ("seeds", [True], "seed is True"),
    ("epochs", 0, "at least 1"),
    ("epochs", True, "epochs is True"),
    ("batch_size", 2.5, "at least 1"),
    ("lr", float("nan"), "lr is nan"),
    ("lrs", 3, "lrs is 3, but must be a mapping"),
    ("tau", -1.0, r"tau is -1.0"),
    ("dw_min", 5.0, r"dw_min is 5.0"),
    ("lr_gamma", 0.0, "lr_gamma"),
    ("omega", 3, "omega is 3"),
    ("options", 3, "options is 3, but must be a mapping"),
    ("options", {"fast": 1.0}, "did you mean 'fast_lr'"),
    (
        "options",
        {"momentum": 0.9},
        "unknown option 'momentum' of digital, sgd, tiki-taka: leave it out; digital has",
    ),
    ("options", {"fast_lr": -1}, "fast_lr is -1"),
    ("options", {"columns": True}, "columns is True"),
    ("options", {"columns": 2.0}, "columns is 2.0"),
    ("options", {"order": "sorted"}, "order 'sorted'"),
    ("epoch", 3, "did you mean 'epochs'"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_entries(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(**{name: value})


def test_only_the_first_images(tmp_path: Path) -> None:
    """20 images of either part: one batch of 50 holds them all, and accuracies are multiples of 1/20."""
    steps: set[int] = set()
    progress = Progress(step=lambda *told: steps.add(told[3]))
    few = spec(algorithms=["digital"], images=20)
    rows = train(few, tmp_path / "few", progress=progress)
    assert steps == {3}  # one step an epoch
    assert all((20 * row["test_accuracy"]) % 1 == 0 for row in rows)
    whole, part = load("digits"), load("digits").first(20)
    assert torch.equal(part.train_x, whole.train_x[:20])
    assert torch.equal(part.test_y, whole.test_y[:20])
    with pytest.raises(InputError, match="images = 20, not None"):
        train(spec(algorithms=["digital"]), tmp_path / "few", resume=True)


def test_spec_round_trip_and_device() -> None:
    one = spec(tau=0.8, dw_min=0.004, seeds=[3, 4])
    assert RunSpec.from_dict(one.to_dict()) == one
    device = one.built_device()
    assert (device.response.w_min, device.response.w_max, device.dw_min) == (-0.8, 0.8, 0.004)
    assert device.noise.std == 0.3
    assert spec(device=device.to_dict(), tau=None).built_device() == device


def test_models_do_not_touch_the_global_generator() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    for name, shape in (
        ("mlp", (1, 8, 8)),
        ("fcn", (1, 28, 28)),
        ("cnn", (3, 32, 32)),
        ("lenet5", (1, 28, 28)),
    ):
        one, two, other = (build(name, shape, 10, seed) for seed in (1, 1, 2))
        for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
            assert not torch.equal(a, c)
        assert one(torch.zeros(2, *shape)).shape == (2, 10)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(InputError, match="16 x 16"):
        build("cnn", (1, 8, 8), 10, 0)


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    files = sorted((folder / "checkpoints").glob("*-0.safetensors"))
    return {f.stem: read_checkpoint(f).content["model"] for f in files}


def test_resumed_run_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    expected = train(spec(), whole)
    assert len(expected) == 9

    class StopError(Exception):
        pass

    def stop_at(algorithm: str, seed: int, step: int, steps: int, loss: float) -> None:
        if algorithm == "tiki-taka" and step >= 2 * steps // 3:
            raise StopError  # in the middle of Tiki-Taka's last epoch

    with pytest.raises(StopError):
        train(spec(), cut, progress=Progress(step=stop_at))
    assert len(read_metrics(cut)) == 8  # nothing computed is lost
    resumed = train(spec(), cut, resume=True)
    for a, b in zip(expected, resumed, strict=True):
        assert {k: v for k, v in a.items() if k != "seconds"} == {
            k: v for k, v in b.items() if k != "seconds"
        }
    for name, state in weights(whole).items():
        other = weights(cut)[name]
        for key, value in state.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[key]), (name, key)
    assert len(train(spec(), cut, resume=True)) == 9  # a finished run has nothing left to do


def test_algorithms_learn_and_count(tmp_path: Path) -> None:
    options = {"fast_lr": 0.1, "columns": 4}
    one = spec(periphery="perfect", epochs=6, batch_size=10, lr_step=35, options=options)
    rows = train(one, tmp_path / "run")
    last = {row["algorithm"]: row for row in rows if row["epoch"] == 6}
    assert last["digital"]["test_accuracy"] > 0.8
    assert last["tiki-taka"]["test_accuracy"] > 0.8
    assert last["digital"]["pulses_up"] == 0
    assert last["sgd"]["pulses_up"] > last["tiki-taka"]["pulses_up"] > 0


def test_options_go_to_the_algorithms_that_have_them(tmp_path: Path) -> None:
    options = {"fast_lr": 0.1, "columns": 4, "chop_prob": 0.5}
    one = spec(algorithms=["sgd", "tiki-taka", "ttv2", "c-ttv2", "agad"], options=options, epochs=1)
    got = {a: one.prepare(build("mlp", (1, 1, 1), 1, 0), a, 0)[1].param_groups[0] for a in one.algorithms}
    assert {a: {o for o in options if group.get(o) == options[o]} for a, group in got.items()} == {
        "sgd": set(), "tiki-taka": {"fast_lr", "columns"}, "ttv2": {"fast_lr", "columns"},
        "c-ttv2": set(options), "agad": set(options),
    }  # fmt: skip
    assert {row["algorithm"] for row in train(one, tmp_path / "run")} == set(got)
    with pytest.raises(InputError, match="unknown option 'chop_prob' of sgd, tiki-taka, ttv2"):
        spec(algorithms=["sgd", "tiki-taka", "ttv2"], options=options)
    with pytest.raises(InputError, match=r"chop_prob is 2"):
        spec(algorithms=["agad"], options={"chop_prob": 2})


def test_folders(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("x")
    with pytest.raises(InputError, match="is a file"):
        train(spec(), file)
    with pytest.raises(InputError, match="cannot write"):
        train(spec(), file / "below")
    full = tmp_path / "full"
    full.mkdir()
    (full / "x").write_text("x")
    with pytest.raises(InputError, match="pass --resume"):
        train(spec(), full)
    with pytest.raises(InputError, match=r"no spec\.yaml"):
        train(spec(), full, resume=True)
    run = tmp_path / "run"
    train(spec(algorithms=["digital"], epochs=2, images=50), run)
    with pytest.raises(InputError, match="epochs = 2, not 1"):
        train(spec(algorithms=["digital"], epochs=1, images=50), run, resume=True)
    with pytest.raises(InputError, match="is this a run folder"):
        read_metrics(tmp_path)
    (run / "spec.yaml").write_text("epochs: x\n")
    with pytest.raises(InputError, match=r"spec\.yaml: epochs is 'x'"):
        train(spec(), run, resume=True)


def test_wrong_input_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path / "nowhere"))
    for wrong in ({"data": "mnist"}, {"model": "cnn"}):
        with pytest.raises(InputError):
            train(spec(**wrong), tmp_path / "run" / "below")
        assert not any(tmp_path.iterdir())


def test_more_epochs_on_resuming(tmp_path: Path) -> None:
    """A run that gets its last epochs later equals one that had them from the start."""
    settings: dict[str, Any] = {"algorithms": ["sgd"], "images": 100}
    whole = train(spec(**settings), tmp_path / "whole")
    train(spec(**settings, epochs=1), tmp_path / "more", resume=True)  # of a folder that does not exist yet
    more = train(spec(**settings), tmp_path / "more", resume=True)
    assert read_spec(tmp_path / "more") == spec(**settings)
    assert [row["epoch"] for row in more] == [1, 2, 3]
    for a, b in zip(whole, more, strict=True):
        assert {**a, "seconds": 0} == {**b, "seconds": 0}


def test_a_training_that_keeps_nothing_gives_the_row_of_one_that_does(tmp_path: Path) -> None:
    spec = RunSpec(images=40, epochs=2, algorithms=("tiki-taka",), seeds=(3,))
    (*_, last) = train(spec, tmp_path / "kept")
    once = train_once(spec)
    assert {k: v for k, v in once.row.items() if k != "seconds"} == {
        k: v for k, v in last.items() if k != "seconds"
    }
    assert once.events["pulses_up"] == last["pulses_up"]
    assert once.updates == 2 * 4
    assert once.cells % 2 == 0  # the weights and their auxiliary arrays
    with pytest.raises(InputError, match="must have one of each"):
        train_once(RunSpec(algorithms=("sgd", "tiki-taka")))
