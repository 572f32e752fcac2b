"""Configurations of aihwkit become algorithms and circuits, in every form; the page says what converts."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ohmgrad as og
from ohmgrad.aihwkit import FromAihwkit, from_aihwkit
from ohmgrad.errors import InputError
from ohmgrad.nn.convert import analog_layers
from tests.aihwkit.configurations import EXAMPLES, PRESETS
from tests.roads import page, run_road

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

PAGE = page("from_aihwkit")


def found(device: str, **settings: Any) -> FromAihwkit:
    return from_aihwkit(device, **settings)


def status(text: str) -> str:
    try:
        return "in part" if from_aihwkit(text, vectors=10).missing else "whole"
    except InputError:
        return "no"


# --- algorithms -------------------------------------------------------------------------------------------

E = "unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice()]"


@pytest.mark.parametrize(
    ("text", "name", "options", "of_lr"),
    [
        ("SoftBoundsDevice()", "sgd", {}, {}),
        (
            f"TransferCompound({E}, transfer_every=3, n_reads_per_transfer=2, random_selection=True, "
            "gamma=0.2, fast_lr=0.5, transfer_lr=2.0)",
            "tiki-taka",
            {"transfer_every": 3, "columns": 2, "order": "random", "gamma": 0.2, "fast_lr": 0.5},
            {"transfer_lr": 2.0},
        ),
        (
            f"TransferCompound({E}, scale_fast_lr=True, fast_lr=0.5, scale_transfer_lr=False, "
            "transfer_lr=0.3, units_in_mbatch=False, transfer_every=4)",
            "tiki-taka",  # 12 vectors an update: 3 transfers in it
            {"transfer_every": 1, "columns": 3, "gamma": 0.0, "transfer_lr": 0.3},
            {"fast_lr": 0.5},
        ),
        (
            f"BufferedTransferCompound({E}, fast_lr=0.5, thres_scale=2.0, momentum=0.3, forget_buffer=False)",
            "ttv2",
            {"transfer_every": 1, "columns": 1, "gamma": 0.0, "fast_lr": 0.5, "granularity": 2.0,
             "buffer_momentum": 0.3, "rest": "keep", "max_pulses": 1},
            {},
        ),
        (
            f"ChoppedTransferCompound({E}, in_chop_prob=0.05, transfer_every=24, fast_lr=0.5, "
            "buffer_granularity=3.0, transfer_update=UpdateParameters(desired_bl=4))",
            "c-ttv2",  # a transfer in 24 vectors, in every second update
            {"transfer_every": 2, "columns": 1, "fast_lr": 0.5, "granularity": 3.0, "buffer_momentum": 0.0,
             "rest": "forget", "max_pulses": 4, "chop_prob": 0.05, "chopping": "random"},
            {},
        ),
        (
            f"DynamicTransferCompound({E}, units_in_mbatch=True, tail_weightening=7.0)",
            "agad",
            {"transfer_every": 1, "columns": 1, "fast_lr": 1.0, "granularity": 1.0, "buffer_momentum": 0.0,
             "rest": "forget", "max_pulses": 1, "chop_prob": 0.1, "chopping": "regular", "tail": 7.0},
            {},
        ),
        (
            "MixedPrecisionCompound(device=SoftBoundsDevice(), granularity=0.1, transfer_every=5, "
            "n_rows_per_transfer=2)",
            "mixed-precision",
            {"granularity": 0.1, "transfer_every": 5, "rows": 2},
            {},
        ),
        (
            "TransferCompound(unit_cell_devices=[SoftBoundsDevice(), SoftBoundsDevice(), "
            "SoftBoundsDevice()], gamma_vec=[0.01, 0.1, 1.0], transfer_every_vec=[2, 10, 50], "
            "transfer_lr_vec=[0.2, 0.1, 0.05], "
            "scale_transfer_lr=False, fast_lr=0.3)",
            "multi-tile",
            {"tiles": 3, "alpha": 0.3, "beta": 0.2, "beta_ratio": 0.5, "gamma": 0.1, "transfer_every": 2,
             "inner": 5, "columns": 1},
            {},
        ),
    ],
    ids=lambda value: value.partition("(")[0] if isinstance(value, str) and "(" in value else "",
)  # fmt: skip
def test_a_compound_is_an_algorithm(
    text: str, name: str, options: dict[str, Any], of_lr: dict[str, float]
) -> None:
    converted = found(text, vectors=12)
    assert (converted.algorithm, converted.options, converted.of_lr) == (name, options, of_lr)
    assert not converted.missing
    model = converted.convert(nn.Linear(6, 4))
    optimizer = converted.optimizer(model, lr=0.1)
    for option, value in (options | {n: f * 0.1 for n, f in of_lr.items()}).items():
        assert optimizer.param_groups[0][option] == value
    model(torch.ones(2, 6)).square().sum().backward()
    optimizer.step()


def test_circuits_and_pulses() -> None:
    io = (
        "IOParameters(inp_bound=2.0, inp_res=62, inp_noise=0.01, out_bound=5.0, out_res=1/30, "
        "out_noise=0.02, w_noise=0.03, w_noise_type=WeightNoiseType.ADDITIVE_CONSTANT, "
        "noise_management=NoiseManagementType.NONE, bound_management=BoundManagementType.NONE)"
    )
    update = "UpdateParameters(desired_bl=7, update_bl_management=False, update_management=False)"
    mapping = "MappingParameter(max_input_size=100, max_output_size=0, weight_scaling_omega=0.3)"
    converted = found(
        f"SingleRPUConfig(device=ConstantStepDevice(), forward={io}, backward={io}, update={update}, "
        f"mapping={mapping})"
    )
    assert not converted.missing
    assert converted.periphery == og.Periphery(
        in_bound=2.0,
        in_steps=62,
        in_noise=0.01,
        out_bound=5.0,
        out_steps=30,
        out_noise=0.02,
        weight_noise=0.03,
    )
    assert converted.pulsing == og.Pulsing(max_bl=7, bl_management=False, update_management=False)
    assert converted.omega == pytest.approx(0.5)  # of the range [-0.6, 0.6]
    model = converted.convert(nn.Linear(150, 4))
    layer = analog_layers(model)[0][1]
    assert [t.shape[1] for t in layer.tiles] == [75, 75]
    assert float(layer.weight.detach().abs().amax()) == pytest.approx(0.3)
    assert not layer.out_scale.requires_grad
    # aihwkit's defaults are the circuits that papers on Tiki-Taka used
    assert found("SoftBoundsDevice()").periphery == og.NOISY_PERIPHERY
    perfect = "IOParameters(is_perfect=True, ir_drop=1.0)"  # disregards the rest
    digital = found(f"SingleRPUConfig(forward={perfect}, backward={perfect}, update=UpdateParameters("
                    "pulse_type=PulseType.NONE))")  # fmt: skip
    assert (digital.periphery, digital.pulsing.fidelity, digital.missing) == (og.Periphery(), "mean", [])


def test_digital_updates_are_digital() -> None:
    perfect = "IOParameters(is_perfect=True)"
    converted = found(
        f"InferenceRPUConfig(forward={perfect}, update=UpdateParameters(pulse_type=PulseType.NONE))"
    )
    torch.manual_seed(0)
    plain = nn.Linear(5, 3)
    model, x = converted.convert(plain), torch.randn(4, 5)
    for each, optimizer in (
        (plain, torch.optim.SGD(plain.parameters(), lr=0.1)), (model, converted.optimizer(model, lr=0.1))
    ):  # fmt: skip
        for _ in range(3):
            optimizer.zero_grad()
            each(x).square().sum().backward()
            optimizer.step()
    torch.testing.assert_close(model(x), plain(x))


def test_a_threshold_follows_the_inputs_of_a_layer() -> None:
    converted = found(
        f"ChoppedTransferCompound({E}, auto_granularity=240, fast_lr=0.5, transfer_every=2)", vectors=1
    )
    model = converted.convert(nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 2)))
    optimizer = converted.optimizer(model, lr=0.1)
    assert [g.get("granularity") for g in optimizer.param_groups] == [20.0, 30.0, 1.0]
    own = converted.optimizer(model, lr=0.1, granularity=5.0)
    assert [g["granularity"] for g in own.param_groups] == [5.0]


# --- what has no counterpart ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    ["forward.out_asymmetry = 0.1", "forward.r_series = 0.2", "forward.mv_type = 'PosNegSeparate'",
     "update.fixed_bl = False", "update.um_grad_scale = 0.5", "runtime.data_type = 'half'",
     "mapping.digital_bias = False", "pre_post.input_range.enable = True", "device.with_reset_prob = 0.1",
     "device.transfer_columns = False", "device.unit_cell_devices[1].slope_up_dtod = 0.1",
     "device.unit_cell_devices[1].perfect_bias = True", "something_new = 3"],
)  # fmt: skip
def test_a_planted_field_is_reported(field: str) -> None:
    """Each is set alone, in a configuration that converts as a whole without it."""
    element = {"class": "SoftBoundsReferenceDevice"}
    config: dict[str, Any] = {
        "class": "UnitCellRPUConfig", "forward": {"class": "IOParameters"},
        "update": {"class": "UpdateParameters", "update_bl_management": False},
        "runtime": {"class": "RuntimeParameter"}, "mapping": {"class": "MappingParameter"},
        "pre_post": {"class": "PrePostProcessingParameter", "input_range": {"class": "InputRangeParameter"}},
        "device": {
            "class": "TransferCompound", "unit_cell_devices": [dict(element), dict(element)],
            "transfer_update": {"class": "UpdateParameters", "update_bl_management": False},
        },
    }  # fmt: skip
    assert from_aihwkit(config).missing == []
    path, _, value = field.partition(" = ")
    *way, last = re.findall(r"[a-z_]+|\d+", path)
    at: Any = config
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    at[last] = ast.literal_eval(value)
    for text in (config, json.dumps(config)):
        assert any(said.startswith(path) for said in from_aihwkit(text).missing)
        assert path in str(from_aihwkit(text))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (3, r"3 is no configuration of aihwkit: give its rpu_config"),
        (
            "SingleRPUKonfig()",
            r"unknown configuration of aihwkit 'SingleRPUKonfig': did you mean 'SingleRPUConfig'",
        ),
        ("SingleRPUConfig(device=", "is no text of a configuration of aihwkit"),
        ("SingleRPUConfig(ConstantStepDevice())", "arguments of SingleRPUConfig must have names"),
        ("SingleRPUConfig(device=open('x').read())", "device is a read, which has no counterpart here"),
        ("{", "the text is no JSON"),
        (Path("missing.json"), "cannot read missing.json"),
        ("FloatingPointRPUConfig()", "is a digital layer: leave the model as it is"),
        (PRESETS["EcRam2Preset"], "device is a VectorUnitCell of 2 devices that are added up"),
        (f"TransferCompound({E}, transfer_every=0)", "transfer_every is 0, but must be above 0"),
        ("ConstantStepDevice(dw_min=2.0)", r"granularity dw_min is 2.0, but must be a number in"),
        ("PCMPresetDevice()", "w_min"),
        (
            "UnitCellRPUConfig(device=VectorUnitCell(unit_cell_devices=[SoftBoundsDevice(), "
            "SoftBoundsDevice()]), forward=IOParameters(ir_drop=1.0), "
            "pre_post=PrePostProcessingParameter(input_range="
            "InputRangeParameter(enable=True)))",
            r"no counterpart have, too: .*input_range.enable = True.*ir_drop = 1.0",  # all at once
        ),
    ],
)
def test_wrong_input(source: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_aihwkit(source)


# --- forms ------------------------------------------------------------------------------------------------


def alike(a: FromAihwkit, b: FromAihwkit) -> bool:
    plain = (dataclasses.replace(each, taken=[], close=[], missing=[]) for each in (a, b))
    return len({*map(repr, plain)}) == 1 and len(a.missing) == len(b.missing)


@dataclasses.dataclass
class SoftBoundsDevice:
    """An object with some of the fields of aihwkit's class, of its name."""

    dw_min: float = 0.01
    w_max: float = 0.4
    own: int = 3


@dataclasses.dataclass
class MyDevice(SoftBoundsDevice):
    """One that extends it."""

    dw_min: float = 0.02


def test_objects_are_known_by_their_classes() -> None:
    device = from_aihwkit(MyDevice()).device
    assert (device.dw_min, device.response.w_max, device.response.w_min) == (0.02, 0.4, -0.6)
    assert not from_aihwkit(MyDevice()).missing  # `own` is as its class has it
    assert from_aihwkit(MyDevice(own=4)).missing == ["own = 4"]


def test_files_and_assignments_are_read(tmp_path: Path) -> None:
    text = "rpu_config = SingleRPUConfig(\n    device=configs.SoftBoundsDevice(dw_min=1 / 200))\n"
    (tmp_path / "config.txt").write_text(text)
    read = from_aihwkit(tmp_path / "config.txt")
    assert read.device.dw_min == 0.005
    assert alike(read, from_aihwkit(text))


@pytest.mark.skipif(importlib.util.find_spec("aihwkit") is None, reason="aihwkit is not installed")
@pytest.mark.parametrize("name", PRESETS)
def test_aihwkits_own_objects(name: str) -> None:
    """The object, both of its texts and its JSON are one; and so is our text of it, derived by hand."""
    from aihwkit.simulator import presets  # pyright: ignore[reportMissingImports]

    made = getattr(presets, name)()
    forms = (made, str(made), repr(made), json.dumps(dataclasses.asdict(made), default=str))
    if name == "StandardHWATrainingPreset":
        forms = forms[:3]
    if status(PRESETS[name]) == "no":
        for form in (*forms, PRESETS[name]):
            with pytest.raises(InputError, match="devices that are added up"):
                from_aihwkit(form)
        return
    first, *others = (from_aihwkit(form, vectors=8) for form in forms)
    assert all(alike(first, other) for other in others)
    if "Inference" not in PRESETS[name]:
        assert alike(first, from_aihwkit(PRESETS[name], vectors=8))


# --- the page ---------------------------------------------------------------------------------------------


def test_the_road_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert list(run_road(PAGE, capsys)) == []
    assert "no counterpart:" in capsys.readouterr().out


@pytest.mark.parametrize(("what", "texts"), [("preset", PRESETS), ("example", EXAMPLES)])
def test_the_table_says_what_converts(what: str, texts: dict[str, str]) -> None:
    counts = Counter[str]()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in PAGE.splitlines() if line[:1] == "|"]
    for name, text in texts.items():
        now = status(text)
        counts[now] += 1
        (row,) = (row for row in rows if name in (row[0], *row[0].replace("`", "").split(", ")))
        assert row[1] == now, f"{name} converts: {now}"
    assert (
        f"{len(texts)} {what}s: {counts['whole']} as a whole, {counts['in part']} in part, "
        f"{counts['no']} not at all" in PAGE
    )
