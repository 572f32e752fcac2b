"""Training runs: specification, folders, and resuming exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from ohmgrad import InputError
from ohmgrad.models import build
from ohmgrad.studies import Progress, RunSpec, read_metrics, train

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
    return RunSpec.from_dict({**SMALL, **changes})


WRONG = {
    "data": ("mnits", "did you mean 'mnist'"),
    "model": ("fnc", "did you mean 'fcn'"),
    "device": ("papr", "did you mean 'paper'"),
    "fidelity": ("pulse", "choose one of mean, pulsed"),
    "periphery": ("loud", "perfect, noisy"),
    "algorithms": (["sdg"], "did you mean 'sgd'"),
    "seeds": ([1, 1], "all different"),
    "epochs": (0, "at least 1"),
    "batch_size": (2.5, "at least 1"),
    "lr": (float("nan"), "lr is nan"),
    "tau": (-1.0, r"tau is -1.0"),
    "dw_min": (5.0, r"dw_min is 5.0"),
    "lr_gamma": (0.0, "lr_gamma"),
    "options": ({"fast": 1.0}, "did you mean 'fast_lr'"),
    "epoch": (3, "did you mean 'epochs'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_entries(name: str) -> None:
    value, message = WRONG[name]
    with pytest.raises(InputError, match=message):
        spec(**{name: value})


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
    for name, shape in (("mlp", (1, 8, 8)), ("fcn", (1, 28, 28)), ("cnn", (3, 32, 32))):
        one, two, other = (build(name, shape, 10, seed) for seed in (1, 1, 2))
        for a, b, c in zip(one.parameters(), two.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
            assert not torch.equal(a, c)
        assert one(torch.zeros(2, *shape)).shape == (2, 10)
    assert torch.equal(before, torch.get_rng_state())
    with pytest.raises(InputError, match="16 x 16"):
        build("cnn", (1, 8, 8), 10, 0)


def weights(folder: Path) -> dict[str, dict[str, torch.Tensor]]:
    files = sorted((folder / "checkpoints").glob("*.pt"))
    return {f.stem: torch.load(f, weights_only=True)["model"] for f in files}


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
    train(spec(algorithms=["digital"], epochs=1), run)
    with pytest.raises(InputError, match="epochs = 1, not 2"):
        train(spec(algorithms=["digital"], epochs=2), run, resume=True)
    with pytest.raises(InputError, match="is this a run folder"):
        read_metrics(tmp_path)
