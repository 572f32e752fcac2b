"""Devices, networks and data sets in files of one's own, wherever a name is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from ohmgrad.cli import main
from ohmgrad.datasets import load
from ohmgrad.devices import Device
from ohmgrad.devices.named import device_named, device_written
from ohmgrad.devices.presets import preset
from ohmgrad.errors import InputError
from ohmgrad.models import build
from ohmgrad.studies import RunSpec, read_metrics, read_spec
from ohmgrad.user_files import anywhere

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

EXAMPLES = Path(__file__).parent.parent / "examples"
DEVICE, MINE = f"{EXAMPLES}/my_device.py:device", f"{EXAMPLES}/my_optimizer.py:SignTransfer"
NETWORK, DATA = (f"{EXAMPLES}/my_network.py:{name}" for name in ("small", "stripes"))

TEXT = """
import numpy as np, torch, ohmgrad as og
from torch import nn
from ohmgrad.datasets import Dataset
def made(): return og.Device(og.SoftBounds.symmetric(0.5), dw_min=0.01)
def none(x): return 1
def wrong(): return 3
def broken(): raise KeyError("k")
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 10)
    def forward(self, x): return self.layer(x.flatten(1))
net = Net()
x, y = np.ones((6, 4), dtype=np.float32), np.array([0, 1, 2, 0, 1, 2])
arrays = (x, y, x[:3], y[:3])
named = {"train_x": x, "train_y": y, "test_x": x[:3], "test_y": y[:3]}
images = torch.ones(2, 1, 3, 3)
data = Dataset("d", images, torch.tensor([0, 1]), images[:1], torch.tensor([0]), 2)
short = (x, y[:2], x, y)
three = (x, y, x)
"""


@pytest.fixture
def mine(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(TEXT)
    return str(tmp_path / "mine.py")


def run(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*words])
    assert ended.value.code in (0, None)


def test_all_four_at_once_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names relative to the folder of the files; the run goes on from any folder."""
    monkeypatch.chdir(EXAMPLES)
    words = ["train", "--model", "my_network.py:small", "--data", "my_network.py:stripes"]
    words += ["--device", "my_device.py:device", "--algorithms", f"digital,{MINE}", "--images", "100"]
    run(*words, "--option", "threshold=0.1", "--out", str(tmp_path / "run"))
    monkeypatch.chdir(tmp_path)
    run("train", "--resume", "--epochs", "2", "--out", "run")
    rows = read_metrics(Path("run"))
    assert [(row["algorithm"], row["epoch"]) for row in rows] == [
        ("digital", 1),
        ("digital", 2),
        (MINE, 1),
        (MINE, 2),
    ]
    spec = read_spec(Path("run"))
    assert (spec.device, spec.model) == (anywhere(DEVICE), anywhere(NETWORK))  # functions have no text
    assert spec.built_device() == device_named(DEVICE)
    assert "Its steps are functions" in Path("run/page.html").read_text()


def test_other_commands_take_them_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    run("devices", "show", DEVICE, "--out", "d.svg")
    run("tiles", NETWORK, "--data", DATA)
    run("check", "device", DEVICE, "--law", "responses")
    out = capsys.readouterr().out
    assert "its steps are functions" in " ".join(out.split())
    assert "36" in out  # inputs of the first layer
    small = ("--seeds", "2", "--epochs", "1", "--set", "rates=[0.1]", "--set", "tuning_epochs=1",
             "--set", "images=60", "--set", f"data={DATA}", "--set", f"model={NETWORK}")  # fmt: skip
    run("compare", DEVICE, "--algorithms", "sgd", "--jobs", "1", "--out", "c", *small)
    assert "my_device" in capsys.readouterr().out


def test_devices(mine: str, tmp_path: Path) -> None:
    assert device_named(f"{mine}:made").dw_min == 0.01
    assert device_written(f"{mine}:made") == device_named(f"{mine}:made").to_dict()
    assert device_written(DEVICE) == anywhere(DEVICE)
    assert device_named("paper") == preset("paper")
    (tmp_path / "d.yaml").write_text(preset("paper").to_yaml())
    assert device_named(str(tmp_path / "d.yaml")) == preset("paper")
    assert RunSpec(device=f"{mine}:made").built_device() == device_named(f"{mine}:made")


def test_networks(mine: str) -> None:
    first, again, other = (build(NETWORK, (1, 8, 8), 10, seed) for seed in (0, 0, 1))
    assert isinstance(first, nn.Module)
    assert torch.equal(first[1].weight, again[1].weight)  # pyright: ignore
    assert not torch.equal(first[1].weight, other[1].weight)  # pyright: ignore
    assert build(f"{mine}:Net", (1, 8, 8), 10, 0)(torch.ones(2, 1, 8, 8)).shape == (2, 10)


@pytest.mark.parametrize("name", ["arrays", "named", "data"])
def test_data_sets(mine: str, name: str) -> None:
    found = load(f"{mine}:{name}")
    assert found.train_x.dtype == torch.float32
    assert found.train_y.dtype == torch.int64
    assert (found.classes, len(found.test_y)) == ((2, 1) if name == "data" else (3, 3))
    if name != "data":
        assert found.train_x.shape == (6, 1, 1, 4)
        np.testing.assert_array_equal(found.test_y, [0, 1, 2])


@pytest.mark.parametrize(
    ("what", "name", "message"),
    [
        ("device", "x", r"x is array\(.*but must be an ohmgrad.Device, or a function without arguments"),
        ("device", "none", "none is <function none.*, but must be an ohmgrad.Device"),
        ("device", "wrong", "wrong gives 3, but must be an ohmgrad.Device"),
        ("device", "broken", r"broken raised KeyError \('k'\): run it by itself first"),
        ("device", "mde", "unknown name in .*mine.py 'mde': did you mean 'made'"),
        ("model", "net", r"net is Net\(.*, but must be a function or class that gives a torch.nn.Module"),
        ("model", "none", "none is <function none|none gives 1, but must be"),
        ("data", "short", r"train_y of .*short is int64 \(2,\), but must be 6 whole numbers"),
        ("data", "three", "three has 3 arrays, but must have train_x, train_y, test_x, test_y"),
        ("data", "wrong", r"wrong gives 3, but must be an ohmgrad.datasets.Dataset"),
    ],
)  # fmt: skip
def test_wrong_objects(mine: str, what: str, name: str, message: str) -> None:
    ways = {
        "device": lambda text: device_named(text),
        "model": lambda text: (RunSpec(model=text), build(text, (1, 8, 8), 10, 0)),
        "data": load,
    }
    with pytest.raises(InputError, match=message):
        ways[what](f"{mine}:{name}")


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("device", "papre", "did you mean 'paper'.*or a YAML file, or FILE.py:NAME"),
        ("device", "paper.csv", "paper.csv is no device: give a preset"),
        ("model", "fnc", "did you mean 'fcn'.*or FILE.py:NAME"),
        ("data", "mnst", "did you mean 'mnist'.*or a .npz file, or FILE.py:NAME"),
        ("algorithms", ("sdg",), "did you mean 'sgd'.*or FILE.py:CLASS, one of your own"),
        ("data", "missing.py:x", "cannot read missing.py"),
    ],
)
def test_unknown_names_say_what_there_is(field: str, value: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as error:
        RunSpec(**{field: value})  # pyright: ignore
    assert len(str(error.value)) <= 400


def test_a_file_that_changed_makes_other_runs(mine: str) -> None:
    """The contents of a file are part of what determines a training, of a network and of a data set."""
    for field, name in (("model", "Net"), ("data", "data"), ("device", "lines")):
        text = TEXT + "\nlines = og.Device(og.Custom(lambda w: 1 - w, lambda w: 1 + w), dw_min=0.01)\n"
        Path(mine).write_text(text)
        key = RunSpec(**{field: f"{mine}:{name}"}).key  # pyright: ignore
        assert RunSpec(**{field: f"{mine}:{name}"}).key == key  # pyright: ignore
        Path(mine).write_text(text + "\n# changed\n")
        assert RunSpec(**{field: f"{mine}:{name}"}).key != key  # pyright: ignore
    assert isinstance(device_named(f"{mine}:made"), Device)
