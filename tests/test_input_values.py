"""Integers and numbers that users give, and messages about wrong values: of every public place alike."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

import ohmgrad as og
from ohmgrad import ensemble, theory
from ohmgrad.datasets import batches, load
from ohmgrad.datasets.text import windows
from ohmgrad.devices import OneSided, Reference, Retention, Stuck, draw
from ohmgrad.ensemble import simulate
from ohmgrad.errors import InputError, shown
from ohmgrad.models import build
from ohmgrad.models.gpt import GPT, sample
from ohmgrad.optim import MultiTile, calibrate_symmetric_points
from ohmgrad.rng import Key
from ohmgrad.studies import RunSpec

DEVICE = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.01)
PROBLEM = theory.Quadratic(torch.eye(1), torch.tensor([0.3]))
LAYER = og.convert(torch.nn.Linear(3, 2), DEVICE)
NUMBERS = torch.arange(40)


def tile() -> og.Tile:
    return og.Tile((2, 3), DEVICE)


def fitted(kind: Any, **options: Any) -> Any:
    return kind(LAYER.parameters(), lr=0.1, **options)


def run(steps: Any = 3, **options: Any) -> Any:
    return simulate(PROBLEM, ensemble.AnalogSGD(0.1), steps=steps, device=DEVICE, **{"seeds": [0], **options})


#: every place that takes an integer, and one that it takes
INTEGERS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "Tile seed": (lambda n: og.Tile((2, 3), DEVICE, seed=n), 3),
    "Tile array": (lambda n: og.Tile((2, 3), DEVICE, array=n), 3),
    "Tile rows": (lambda n: og.Tile((n, 3), DEVICE), 2),
    "draw": (lambda n: draw(DEVICE, (2, n), Key(0, 0)), 2),
    "sibling": (lambda n: tile().sibling(n), 2),
    "zero_shift": (lambda n: tile().zero_shift(n), 2),
    "calibrate": (lambda n: tile().calibrate(n), 2),
    "calibrate reads": (lambda n: tile().calibrate(1, reads=n), 2),
    "program": (lambda n: tile().program(torch.zeros(2, 3), rounds=n), 2),
    "read columns": (lambda n: tile().read([n]), 2),
    "read repeats": (lambda n: tile().read([0], n), 2),
    "wait": (lambda n: og.Tile((2, 3), og.Device(DEVICE.response, 0.01, retention=Retention(9))).wait(n), 2),
    "convert seed": (lambda n: og.convert(torch.nn.Linear(2, 2), DEVICE, seed=n), 3),
    "convert max_tile": (lambda n: og.convert(torch.nn.Linear(2, 2), DEVICE, max_tile=(n, n)), 2),
    "in_features": (lambda n: og.AnalogLinear(n, 2, DEVICE), 2),
    "out_features": (lambda n: og.AnalogLinear(2, n, DEVICE), 2),
    "layer array": (lambda n: og.AnalogLinear(2, 2, DEVICE, array=n), 512),
    "max_bl": (lambda n: og.Pulsing(max_bl=n), 5),
    "in_steps": (lambda n: og.Periphery(in_bound=1.0, in_steps=n), 5),
    "out_steps": (lambda n: og.Periphery(out_bound=1.0, out_steps=n), 5),
    "refresh_every": (lambda n: OneSided(refresh_every=n), 5),
    "columns": (lambda n: fitted(og.TikiTaka, columns=n), 2),
    "transfer_every": (lambda n: fitted(og.TikiTaka, transfer_every=n), 2),
    "reads": (lambda n: fitted(og.TikiTaka, reads=n), 2),
    "max_pulses": (lambda n: fitted(og.AGAD, max_pulses=n), 2),
    "rows": (lambda n: fitted(og.MixedPrecision, rows=n), 2),
    "tiles": (lambda n: fitted(MultiTile, tiles=n), 3),
    "warm_start": (lambda n: fitted(MultiTile, warm_start=n), 3),
    "calibrate_symmetric_points": (lambda n: calibrate_symmetric_points(fitted(og.TikiTaka), n), 2),
    "monitor every": (lambda n: og.Monitor(LAYER, fitted(og.AnalogSGD), every=n), 3),
    "monitor memory": (lambda n: og.Monitor(LAYER, fitted(og.AnalogSGD), memory=n), 3),
    "simulate steps": (run, 3),
    "simulate tail": (lambda n: run(tail=n), 2),
    "simulate record": (lambda n: run(record=n), 2),
    "simulate step": (lambda n: run(record=[n]), 2),
    "simulate seeds": (lambda n: run(seeds=[n]), 2),
    "analog_sgd_lr": (lambda n: theory.analog_sgd_lr(1.0, 1.0, 0.1, n), 10),
    "RunSpec seeds": (lambda n: RunSpec(seeds=(n,)).to_dict(), 3),
    "RunSpec epochs": (lambda n: RunSpec(epochs=n).to_dict(), 3),
    "RunSpec images": (lambda n: RunSpec(images=n).to_dict(), 3),
    "RunSpec option": (lambda n: RunSpec(options={"columns": n}).to_dict(), 3),
    "batches": (lambda n: list(batches(NUMBERS, NUMBERS, n, seed=0, epoch=0)), 30),
    "batches seed": (lambda n: list(batches(NUMBERS, NUMBERS, 30, seed=n, epoch=0)), 3),
    "batches epoch": (lambda n: list(batches(NUMBERS, NUMBERS, 30, seed=0, epoch=n)), 3),
    "first": (lambda n: load("digits").first(n), 3),
    "windows length": (lambda n: windows(NUMBERS, n, 2, seed=0, step=0), 3),
    "windows size": (lambda n: windows(NUMBERS, 3, n, seed=0, step=0), 3),
    "windows seed": (lambda n: windows(NUMBERS, 3, 2, seed=n, step=0), 3),
    "GPT width": (lambda n: GPT(5, 4, n, 1, 1), 4),
    "GPT layers": (lambda n: GPT(5, 4, 4, n, 1), 1),
    "GPT seed": (lambda n: GPT(5, 4, 4, 1, 1, seed=n), 1),
    "sample count": (lambda n: sample(GPT(5, 4, 4, 1, 1), torch.zeros(1, dtype=torch.int64), n), 2),
    "build seed": (lambda n: build("mlp", (1, 2, 2), 2, n), 2),
}
#: every place that takes a number, and one that it takes
FLOATS: dict[str, tuple[Callable[[Any], Any], float]] = {
    "w_max": (lambda v: og.SoftBounds(-1.0, v), 0.5),
    "slope_up": (lambda v: og.LinearStep(slope_up=v), 0.5),
    "gamma_up": (lambda v: og.PowStep(gamma_up=v), 0.5),
    "gamma_down": (lambda v: og.ExpBounds(gamma_down=v), 0.5),
    "A_up": (lambda v: og.ExpStep(A_up=v), 0.5),
    "node": (lambda v: og.PiecewiseStep(nodes_up=(1.0, v, 1.0)), 0.5),
    "dw_min": (lambda v: og.Device(og.SoftBounds(), dw_min=v).to_yaml(), 0.5),
    "noise": (lambda v: og.Device(og.SoftBounds(), 0.1, noise=og.Noise(v)).to_yaml(), 0.5),
    "spread": (lambda v: og.Device(og.SoftBounds(), 0.1, og.Spread(dw_min=v)).to_yaml(), 0.5),
    "stuck": (lambda v: Stuck(v), 0.5),
    "lifetime": (lambda v: Retention(lifetime=v), 5.0),
    "refresh_at": (lambda v: OneSided(refresh_at=v), 0.5),
    "reference": (lambda v: Reference(at=v), 0.5),
    "write_noise": (lambda v: og.Device(og.SoftBounds(), 0.1, write_noise=v).to_yaml(), 0.5),
    "in_bound": (lambda v: og.Periphery(in_bound=v), 0.5),
    "lr": (lambda v: og.AnalogSGD(LAYER.parameters(), lr=v), 0.5),
    "fast_lr": (lambda v: fitted(og.TikiTaka, fast_lr=v), 0.5),
    "momentum": (lambda v: fitted(og.AnalogSGD, momentum=v), 0.5),
    "omega": (lambda v: og.convert(torch.nn.Linear(2, 2), DEVICE, omega=v), 0.5),
    "sigma": (theory.GradientNoise, 0.5),
    "RunSpec lr": (lambda v: RunSpec(lr=v).to_dict(), 0.5),
}


@pytest.mark.parametrize("name", INTEGERS)
def test_numpy_integers_are_integers_and_nothing_else_is(name: str) -> None:
    make, value = INTEGERS[name]
    make(value)
    for kind in (np.int64, np.int32, np.uint8 if value < 256 else np.uint16):
        make(kind(value))
    for wrong in (True, np.True_, float(value), np.float64(value), str(value)):
        with pytest.raises(InputError) as error:
            make(wrong)
        assert shown(wrong) in str(error.value) or "must" in str(error.value)


@pytest.mark.parametrize("name", FLOATS)
def test_numpy_numbers_are_numbers_and_truth_is_none(name: str) -> None:
    make, value = FLOATS[name]
    for kind in (float, np.float64, np.float32):
        make(kind(value))
    for wrong in (True, np.True_, str(value), float("nan"), np.float32("inf")):
        with pytest.raises(InputError):
            make(wrong)


def test_numpy_integers_give_the_same_numbers() -> None:
    one, two = (og.Tile((4, 5), DEVICE, seed=kind(3), array=kind(7)) for kind in (int, np.int32))
    for t in (one, two):
        t.pulse(torch.ones(2, 5), torch.ones(2, 4), 0.02)
    assert torch.equal(one.weight, two.weight)
    assert og.Device(og.SoftBounds(), np.float64(0.5)) == og.Device(og.SoftBounds(), 0.5)
    assert yaml.safe_load(og.Device(og.SoftBounds(), np.float32(0.5)).to_yaml())["dw_min"] == 0.5


# --- messages --------------------------------------------------------------------------------------

JUNK = "0.1,0.2,0.3\n" * 4000


def _npz(path: Path, **arrays: Any) -> Path:
    np.savez(path, **arrays)
    return path


#: every reader of files, with a file that it cannot use
READERS: dict[str, Callable[[Path], Any]] = {
    "device, text": lambda f: og.Device.from_yaml(_written(f, JUNK)),
    "device, list": lambda f: og.Device.from_yaml(_written(f, "- 1\n" * 4000)),
    "device, broken": lambda f: og.Device.from_yaml(_written(f, "a: [" + "x, " * 4000)),
    "device, entry": lambda f: og.Device.from_yaml(_written(f, f"{'x' * 900}: 1")),
    "device, value": lambda f: og.Device.from_yaml(
        _written(f, f"response: {{family: soft_bounds}}\ndw_min: {'y' * 4000}")
    ),
    "device, nodes": lambda f: og.Device.from_yaml(
        _written(f, f"response: {{family: piecewise_step, nodes_up: {[1] * 3000}}}")
    ),
    "device, missing": lambda f: og.Device.from_yaml(f),
    "npz, text": lambda f: og.Measured.from_npz(_written(f, JUNK)),
    "npz, zip": lambda f: og.Measured.from_npz(_written(f, "PK\x03\x04" + JUNK)),
    "npz, names": lambda f: og.Measured.from_npz(_npz(f.with_suffix(".npz"), G=np.arange(3))),
    "npz, values": lambda f: og.Measured.from_npz(
        _npz(
            f.with_suffix(".npz"), G=np.arange(3), cdf=[0, 1], inc=[["a" * 500] * 3] * 2, dec=np.ones((2, 3))
        )
    ),
    "crosssim, text": lambda f: og.Measured.from_crosssim(_written(f, "z" * 9000 + "\n" + "q" * 9000), f),
    "crosssim, rows": lambda f: og.Measured.from_crosssim(_written(f, JUNK), f),
    "crosssim, gzip": lambda f: og.Measured.from_crosssim(_bytes(f, gzip.compress(b"x" * 999)[:20]), f),
    "run, text": lambda f: RunSpec.read(_written(f, JUNK)),
}


def _written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def _bytes(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("name", READERS)
def test_messages_about_files_name_them_and_are_short(name: str, tmp_path: Path) -> None:
    file = tmp_path / "my_file.txt"
    with pytest.raises(InputError) as error:
        READERS[name](file)
    said = str(error.value).replace(str(tmp_path), "")
    assert "my_file" in said
    assert len(said) <= 300
    assert "\n" not in said


@pytest.mark.parametrize("value", ["x" * 5000, list(range(5000)), torch.zeros(99, 99), {"a" * 400: 1}])
def test_long_values_lose_their_middle(value: Any) -> None:
    text = shown(value)
    assert len(text) == 80
    whole = " ".join(repr(value).split())
    assert text.startswith(whole[:50])
    assert text.endswith(whole[-20:])
    for wrong in (
        lambda: og.Device(value),
        lambda: og.Tile((2, 3), DEVICE, seed=value),
        lambda: og.Spread(dw_min=value),
        lambda: og.Noise(0.1, value),
        lambda: og.convert(torch.nn.Linear(2, 2), value),
        lambda: og.Pulsing(value),
    ):
        with pytest.raises(InputError) as error:
            wrong()
        assert len(str(error.value)) <= 400


def test_short_values_stay_as_they_are() -> None:
    assert shown("a b") == "'a b'"
    assert shown(torch.tensor([1.0])) == "tensor([1.])"
    with pytest.raises(InputError, match=r"^seed is -1, but must be an integer in \[0, 2\^32\)$"):
        og.Tile((2, 3), DEVICE, seed=-1)


# --- what a layer and an optimizer take --------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float64, torch.int64, torch.complex64, torch.bool])
def test_inputs_of_another_type_are_refused_with_the_fix(dtype: torch.dtype) -> None:
    layers: list[tuple[Any, tuple[int, ...]]] = [
        (torch.nn.Linear(3, 2), (4, 3)),
        (torch.nn.Conv2d(1, 2, 2), (1, 1, 3, 3)),
        (torch.nn.Conv1d(1, 2, 2, padding=1), (1, 3)),
        (torch.nn.LSTM(3, 2), (4, 1, 3)),
    ]
    for layer, shape in layers:
        model = og.convert(layer, DEVICE)
        with pytest.raises(InputError, match=rf"^input is {dtype}, but crossbars compute in torch.float32"):
            model(torch.ones(shape).to(dtype))
        model(torch.ones(shape))


def test_weight_decay_of_analog_weights_alone_is_warned_about() -> None:
    params = {"analog": [LAYER.weight], "digital": [LAYER.bias], "both": [*LAYER.parameters()]}
    for name, group in params.items():
        optimizer = og.AnalogSGD(LAYER.parameters(), lr=0.1)
        optimizer.param_groups.clear()
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            optimizer.add_param_group({"params": group, "weight_decay": 0.1})
        assert len(said) == (name == "analog")
    with pytest.warns(
        UserWarning, match="weight_decay decays digital parameters only, and this group has none"
    ):
        og.TikiTaka([LAYER.weight], lr=0.1, weight_decay=0.1)
