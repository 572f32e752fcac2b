"""The studies of a network's last layer, and features that are computed once, on a tiny network and data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ohmgrad import InputError
from ohmgrad.datasets import load
from ohmgrad.models import build, last_layer
from ohmgrad.report import study_figure
from ohmgrad.studies import features as features_module
from ohmgrad.studies.checkpoint import read_checkpoint
from ohmgrad.studies.features import features
from ohmgrad.studies.folders import checkpoint_file
from ohmgrad.studies.papers import STUDIES, wu_2025_tables
from ohmgrad.studies.study import run_study
from tests.studies.papers.test_claims import axes, ends, results, same

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture
def place(tmp_path: Path) -> dict[str, Any]:
    """Ten made-up images of either part, and weights of a resnet8, as settings of a study."""
    rng = np.random.default_rng(0)
    x, y = rng.random((20, 3, 8, 8)).astype(np.float32), np.arange(20) % 4
    np.savez(tmp_path / "tiny.npz", train_x=x[:10], train_y=y[:10], test_x=x[10:], test_y=y[10:])
    torch.save(build("resnet8", (3, 8, 8), 7, 3).state_dict(), tmp_path / "weights.pt")
    return {
        "data": str(tmp_path / "tiny.npz"),
        "model": "resnet8",
        "pretrained": str(tmp_path / "weights.pt"),
        "resize": 12,
    }


def test_features_are_what_the_last_layer_sees(place: dict[str, Any], tmp_path: Path) -> None:
    file = features(tmp_path / "features" / "a.npz", **place)
    assert [p.name for p in file.parent.iterdir()] == ["a.npz"]  # no chunks are left
    found, images = load(str(file)), load(place["data"])
    assert torch.equal(found.train_y, images.train_y)
    network = build("resnet8", (3, 12, 12), 4, 0, pretrained=place["pretrained"]).eval()
    for x, ours in ((images.train_x, found.train_x), (images.test_x, found.test_x)):
        large = torch.nn.functional.interpolate(x, (12, 12), mode="bilinear", antialias=True)
        logits = network(large)
        assert torch.allclose(network[8](ours.flatten(1)), logits, atol=1e-5)


def test_features_go_on_and_are_reused(
    place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut off after its first chunk, a computation does only the other four; a finished one does none."""
    monkeypatch.setattr(features_module, "CHUNK", 4)
    outputs, computed = features_module._outputs, []

    class StopError(Exception):
        pass

    def counted(*args: Any) -> np.ndarray:
        computed.append(len(args[2]))
        return outputs(*args)

    monkeypatch.setattr(features_module, "_outputs", counted)
    expected = features(tmp_path / "whole.npz", **place)
    assert sorted(computed) == [2, 2, 4, 4, 4, 4]

    def stop(*_: Any) -> None:
        raise StopError

    with pytest.raises(StopError):
        features(tmp_path / "cut.npz", **place, progress=stop)
    computed.clear()
    told: list[tuple[int, int]] = []
    cut = features(tmp_path / "cut.npz", **place, progress=lambda done, total, _: told.append((done, total)))
    assert len(computed) == 5
    assert told[-1] == (20, 20)
    with np.load(expected) as one, np.load(cut) as two:
        assert all(np.array_equal(one[name], two[name]) for name in one.files)
    computed.clear()
    features(cut, **place)
    assert computed == []
    for changes in ({"resize": 10}, {"images": 5}, {"data": "digits"}):
        with pytest.raises(InputError, match=f"holds features with {next(iter(changes))} = "):
            features(cut, **{**place, **changes})
    os.utime(place["data"], (1, 1))  # other images under the same name
    with pytest.raises(InputError, match="holds features with files written at = "):
        features(cut, **place)


@pytest.mark.parametrize("finished", [4, 20])
def test_two_processes_may_compute_the_same_features(
    finished: int, place: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process finishes, and takes the chunks away, while this one computes a chunk or joins them."""
    monkeypatch.setattr(features_module, "CHUNK", 4)
    file = tmp_path / "a.npz"
    whole = features(tmp_path / "b.npz", **place).read_bytes()
    outputs, computed = features_module._outputs, []

    def finish() -> None:
        file.write_bytes(whole)
        features_module.shutil.rmtree(file.with_suffix(".chunks"))

    def meanwhile(*args: Any) -> np.ndarray:
        computed.append(len(args[2]))
        if sum(computed) >= finished:
            finish()
        return outputs(*args)

    monkeypatch.setattr(features_module, "_outputs", meanwhile)
    assert features(file, **place).read_bytes() == whole


def settings(name: str, place: dict[str, Any], **changes: Any) -> dict[str, Any]:
    data = {"datasets": [place["data"]]} if name == "RL-T1" else {"data": place["data"]}
    few = {
        "models": ["resnet8"],
        "pretrained": place["pretrained"],
        "resize": 12,
        "epochs": 1,
        "seeds": [0, 1],
    }
    return {**data, **few, "images": 10, **changes}


@pytest.mark.parametrize(("name", "columns", "claims"), [("S5", 3, 2), ("RL-T1", 5, 3)])
def test_studies_run_on_a_small_scale(
    name: str, columns: int, claims: int, place: dict[str, Any], tmp_path: Path
) -> None:
    told: list[str] = []
    changes = settings(name, place)
    folder = tmp_path / "out" / name
    outcome = run_study(
        STUDIES[name], folder, quick=True, changes=changes, progress=lambda *a: told.append(a[2])
    )
    assert len(outcome.computed) == 2 * columns
    assert (len(outcome.table), len(outcome.claims)) == (columns, claims)
    assert {row["model"] for row in outcome.table} == {"resnet8"}
    assert "resnet8: features of " in told[0]
    assert any("resnet8, digital SGD, seed 1" in line for line in told)
    assert [p.name for p in (tmp_path / "out" / "features").iterdir()] == ["resnet8-tiny-12-10.npz"]
    assert study_figure(outcome)[0].is_file()
    assert all(0 <= row["test_accuracy"] <= 100 for row in outcome.table)
    again = run_study(STUDIES[name], folder, quick=True, changes=changes)
    assert again.computed == []


def test_all_layers_may_be_trained(place: dict[str, Any], tmp_path: Path) -> None:
    """The last layer is analog, and all others, digital, move too; with flips and a tenth of the rate."""
    changes = settings("S5", place, layers="all")
    outcome = run_study(STUDIES["S5"], tmp_path / "out" / "S5", quick=True, changes=changes)
    assert len(outcome.table) == 3
    spec_file = tmp_path / "out" / "S5" / "networks" / "tiny-resnet8-sgd-seed0"
    kept = read_checkpoint(checkpoint_file(spec_file, "sgd", 0)).content
    start = torch.load(place["pretrained"], weights_only=True)
    assert not torch.equal(kept["model"]["0.weight"], start["0.weight"])
    assert "8.out_scale" in kept["model"]
    assert sum(name.endswith("out_scale") for name in kept["model"]) == 1
    assert [g["lr"] for g in kept["groups"]] == pytest.approx([0.0075, 0.075])
    with pytest.raises(InputError, match="layers 'some'"):
        run_study(STUDIES["S5"], tmp_path / "b", quick=True, changes={"layers": "some"})


def test_the_last_layers_of_networks() -> None:
    assert [last_layer(name) for name in ("linear", "mlp", "fcn", "resnet8")] == ["1", "3", "5", "8"]


def test_devices_of_the_tables() -> None:
    """Table 1's for ResNets, Table 4's for small networks: 1200 states, q+ = (1 - w/tau)^exponent."""
    full = STUDIES["RL-T1"].settings
    for kind, tau, exponent in (("resnet", 0.1, 3.0), ("mobile", 0.05, 4.0)):
        device = wu_2025_tables._device(full["taus"], full["exponents"], kind)
        assert device["dw_min"] == pytest.approx(2 * tau / 1200)
        assert device["response"]["gamma_up"] == device["response"]["gamma_down"] == exponent
        assert (device["response"]["w_min"], device["response"]["w_max"]) == (-tau, tau)
    models = ("torchvision:resnet18", "torchvision:mobilenet_v2", "efficientnet-lite0")
    kinds = [kind for _, kind in wu_2025_tables._networks({"models": models})]
    assert kinds == ["resnet", "mobile", "mobile"]


def last_epochs(name: str, accuracies: dict[str, float]) -> dict[str, bool]:
    """Claims about test accuracies in the last epoch; in the first they are the other way round."""
    rows = []
    for at in axes(data=("cifar10", "cifar100") if name == "RL-T1" else ("cifar10",), model=("resnet18",)):
        for epoch, values in ((1, list(reversed(accuracies.values()))), (2, list(accuracies.values()))):
            for algorithm, value in zip(accuracies, values, strict=True):
                run = [{**at, "algorithm": algorithm, "epoch": epoch}]
                rows += ends("test_accuracy", run, lambda value=value, **_: value)
    changes = {"datasets": ("cifar10", "cifar100")} if name == "RL-T1" else {}
    return results(name, rows, models=("torchvision:resnet18",), **changes)


def test_s5_claims() -> None:
    """The table's own values pass, with spread around them; a loss of two points does not."""
    same(last_epochs("S5", {"digital": 0.9303, "sgd": 0.9358, "tiki-taka": 0.9374}), True, 2)
    same(last_epochs("S5", {"digital": 0.96, "sgd": 0.94, "tiki-taka": 0.94}), False, 2)


def test_rl_t1_claims() -> None:
    paper = {"digital": 0.9543, "sgd": 0.8447, "residual": 0.9481, "ttv2": 0.9531, "residual-v2": 0.9512}
    same(last_epochs("RL-T1", paper), True, 7)
    worse = {"digital": 0.96, "sgd": 0.95, "residual": 0.945, "ttv2": 0.95, "residual-v2": 0.94}
    same(last_epochs("RL-T1", worse), False, 7)
