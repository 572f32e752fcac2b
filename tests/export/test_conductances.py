"""Conductances out and read-backs in: the values, the round trip, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from pyarrow import parquet

from ohmgrad import (
    AnalogSGD,
    Device,
    InputError,
    MultiTile,
    SoftBounds,
    SPTracking,
    TikiTaka,
    convert,
    hold,
    to_digital,
)
from ohmgrad.export import export_conductances, import_conductances
from ohmgrad.export.arrays import arrays_in
from ohmgrad.optim import AnalogOptimizer, calibrate_symmetric_points
from tests.cases import MEMORIES
from tests.export.trained import SPREAD, network, step, trained

pytestmark = pytest.mark.usefixtures("one_thread")

SIEMENS: dict[str, Any] = {"g_min": 1e-6, "g_max": 2e-5}
#: of the range, to which weights come back: eight roundings of float64, each of at most 2^-53 g_max, in units
#: of g_max - g_min
ROUNDING = 8 * 2.0**-53 * 2e-5 / (2e-5 - 1e-6)
Rows = dict[str, Any]
PLAIN = Device(SoftBounds.symmetric(0.6), 0.005)


def table_of(folder: Path) -> dict[str, np.ndarray]:
    table = parquet.read_table(folder / "conductances.parquet")
    return {name: np.array(table[name].to_pylist()) for name in table.column_names}


def write(folder: Path, columns: dict[str, Any]) -> None:
    parquet.write_table(pa.table(columns), folder / "conductances.parquet")


def change(folder: Path, **entries: Any) -> None:
    path = folder / "conductances.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


#: device, options of the export, algorithm
ROUND_TRIPS: dict[str, tuple[Device, dict[str, Any], Callable[..., AnalogOptimizer]]] = {
    "plain": (PLAIN, {}, AnalogSGD),
    "spread": (SPREAD, {}, AnalogSGD),
    "pairs": (SPREAD, {"pairs": True}, AnalogSGD),
    "gamma": (SPREAD, {}, partial(TikiTaka, fast_lr=0.05, gamma=0.4)),
    "four-arrays": (SPREAD, {"pairs": True}, partial(MultiTile, tiles=4, inner=2)),
    **{
        name: (Device(SoftBounds.symmetric(0.6), 0.005, **more), {}, AnalogSGD)
        for name, more in MEMORIES.items()
    },
    "pair-two-arrays": (Device(SoftBounds.symmetric(0.6), 0.005, **MEMORIES["pair"]), {}, TikiTaka),
}


@pytest.mark.parametrize("name", ROUND_TRIPS)
def test_a_round_trip_gives_what_elements_hold(name: str, tmp_path: Path) -> None:
    device, options, make = ROUND_TRIPS[name]
    model, optimizer = trained(device, make)
    hold(model[0], torch.arange(30).view(5, 6) % 7 == 0)
    export_conductances(model, tmp_path, **SIEMENS, **options, optimizer=optimizer)
    before = [each.array.held.clone() for each in arrays_in(model, optimizer)]
    for number in range(5, 10):
        step(model, optimizer, number)
    found = import_conductances(model, tmp_path, optimizer=optimizer)
    response = device.response
    bound = ROUNDING * (response.w_max - response.w_min)
    assert any(each.largest > 0.004 for each in found)
    for each, kept in zip(arrays_in(model, optimizer), before, strict=True):
        assert float((each.array.held.double() - kept.double()).abs().max()) <= bound
    step(model, optimizer, 10)


def test_a_calibrated_array_has_a_reference(tmp_path: Path) -> None:
    model, optimizer = trained(SPREAD, TikiTaka, 0)
    calibrate_symmetric_points(optimizer, 50)
    step(model, optimizer, 0)
    export_conductances(model, tmp_path, **SIEMENS, optimizer=optimizer)
    kinds = {tuple(a["elements"]) for a in json.loads((tmp_path / "conductances.json").read_text())["arrays"]}
    assert kinds == {("element",), ("element", "reference")}
    import_conductances(model, tmp_path, optimizer=optimizer)
    with pytest.raises(InputError, match="has a reference already"):
        export_conductances(model, tmp_path / "b", **SIEMENS, pairs=True, optimizer=optimizer)


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("make", [AnalogSGD, partial(TikiTaka, fast_lr=0.2, gamma=0.4)])
def test_the_two_files_say_the_whole_function(
    make: Callable[..., AnalogOptimizer], pairs: bool, tmp_path: Path
) -> None:
    """What the page says: a network from siemens, scales and biases alone, against the analog one."""
    model, optimizer = trained(SPREAD, make)
    export_conductances(model, tmp_path, **SIEMENS, pairs=pairs, optimizer=optimizer)
    said, rows = json.loads((tmp_path / "conductances.json").read_text()), table_of(tmp_path)
    x = torch.linspace(-1, 1, 24).view(4, 6)
    y = x.double().numpy()
    for layer in said["layers"]:
        total = np.tile(layer["bias"], (4, 1))
        for array in (a for a in said["arrays"] if a["layer"] == layer["layer"]):
            planes = []
            for element in array["elements"]:
                mine = (rows["array"] == array["array"]) & (rows["element"] == element)
                plane = np.empty((array["rows"], array["cols"]))
                plane[rows["row"][mine], rows["col"][mine]] = rows["siemens"][mine]
                planes.append(plane)
            second = planes[1] if pairs else array["siemens_at_zero"]
            w = (planes[0] - second) / array["siemens_per_weight"] * np.array(array["seen_times"])
            top, left = array["first_row"], array["first_col"]
            band = sorted({a["first_col"] for a in said["arrays"] if a["layer"] == layer["layer"]}).index(
                left
            )
            scale = np.array(layer["out_scale"])[band, top : top + array["rows"]]
            total[:, top : top + array["rows"]] += y[:, left : left + array["cols"]] @ w.T * scale
        y = np.tanh(total) if layer["layer"] == "0" else total
    assert np.abs(y - model(x).detach().numpy()).max() < 1e-6
    assert np.abs(y - to_digital(model)(x).detach().numpy()).max() < 1e-6


def test_conductances_span_the_range_of_the_device(tmp_path: Path) -> None:
    """-0.6, 0 and 0.6 are g_min, the middle and g_max, by hand."""
    model: Any = convert(torch.nn.Linear(3, 1), PLAIN)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[-0.6, 0.0, 0.6]]))
    export_conductances(model, tmp_path / "a", **SIEMENS)
    assert np.allclose(table_of(tmp_path / "a")["siemens"], [1e-6, 1.05e-5, 2e-5], rtol=1e-6, atol=0)
    export_conductances(model, tmp_path / "b", **SIEMENS, pairs=True)
    pairs = [1e-6, 1e-6, 2e-5, 2e-5, 1e-6, 1e-6]  # plus, then minus
    assert np.allclose(table_of(tmp_path / "b")["siemens"], pairs, rtol=1e-6, atol=0)


LAYERS = {
    "conv2d-groups": torch.nn.Conv2d(4, 4, 2, groups=2),
    "lstm": torch.nn.LSTM(3, 5),
    "gru": torch.nn.GRU(3, 2),
    "attention": torch.nn.MultiheadAttention(8, 2),
}


@pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)
def test_other_layers_go_out_and_come_back(layer: torch.nn.Module, tmp_path: Path) -> None:
    model = convert(layer, SPREAD)
    arrays = arrays_in(model)
    export_conductances(model, tmp_path, **SIEMENS)
    before = [each.array.weight.clone() for each in arrays]
    with torch.no_grad():
        for each in arrays:
            each.array.weight.mul_(0.5)
    import_conductances(model, tmp_path)
    for each, kept in zip(arrays, before, strict=True):
        assert float((each.array.weight - kept).abs().max()) <= ROUNDING * 1.3


def test_training_goes_on_from_what_was_read(tmp_path: Path) -> None:
    """Readings off by noise: the model holds them, the differences are told, and steps start there."""
    model, optimizer = trained(PLAIN)
    export_conductances(model, tmp_path, **SIEMENS)
    rows = table_of(tmp_path)
    off = 2e-7 * np.sin(np.arange(len(rows["siemens"])))
    shuffled = np.random.default_rng(0).permutation(len(off))
    write(tmp_path, {name: v[shuffled] for name, v in {**rows, "siemens": rows["siemens"] + off}.items()})
    before = [each.array.weight.clone() for each in arrays_in(model)]
    found = import_conductances(model, tmp_path)
    s, at = 1.9e-5 / 1.2, 0
    for each, kept, told in zip(arrays_in(model), before, found, strict=True):
        moved = torch.from_numpy(off[at : at + kept.numel()] / s).view(kept.shape)
        at += kept.numel()
        assert torch.allclose(each.array.weight.double(), kept.double() + moved, atol=1e-7)
        assert told.rms == pytest.approx(float(moved.square().mean().sqrt()), rel=1e-4)
        assert (told.weights, told.clipped) == (kept.numel(), 0)
    held = model[0].weight.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0
    step(model, optimizer, 0)
    assert torch.equal(model[0].weight, held)


def test_clip_takes_readings_beyond_the_range_to_the_bound(tmp_path: Path) -> None:
    model, _ = trained(PLAIN, steps=0)
    export_conductances(model, tmp_path, **SIEMENS)
    rows = table_of(tmp_path)
    rows["siemens"][4] = 3e-5
    write(tmp_path, rows)
    assert import_conductances(model, tmp_path, clip=True)[0].clipped == 1
    assert float(arrays_in(model)[0].array.weight[1, 1]) == pytest.approx(0.6)


def with_siemens(value: float) -> Callable[[Rows], Rows]:
    def changed(rows: Rows) -> Rows:
        rows["siemens"][4] = value
        return rows

    return changed


def every(change: Callable[[Any], Any]) -> Callable[[Rows], Rows]:
    return lambda rows: {name: change(column) for name, column in rows.items()}


def other(name: str, change: Callable[[Any], Any]) -> Callable[[Rows], Rows]:
    return lambda rows: {**rows, name: change(rows[name])}


#: what is wrong in the Parquet file, and what the error says
WRONG: dict[str, tuple[Callable[[Rows], Rows], str]] = {
    "nan": (
        with_siemens(np.nan),
        r"array 0 \(weights of layer '0', tile 0\), row 1, col 1, 'element', nan S",
    ),
    "infinite": (with_siemens(np.inf), "row 1, col 1, 'element', inf S, is not a finite number"),
    "negative": (with_siemens(-1e-9), "row 1, col 1, 'element', -1e-09 S, is below 0 S"),
    "high": (with_siemens(2.5e-5), "row 1, col 1.*2.5e-05 S, is outside its range, 1e-06 to 2e-05 S"),
    "missing": (every(lambda v: np.delete(v, 4)), "row 1, col 1, 'element' is missing"),
    "twice": (every(lambda v: np.append(v, v[4])), "row 1, col 1, 'element' is there twice"),
    "place": (other("col", lambda v: v + 1), "row 0, col 3, 'element' is outside its 3 rows and 3 columns"),
    "element": (other("element", lambda v: ["plus"] * len(v)), "'plus', but there are elements element"),
    "array": (other("array", lambda v: v + 9), "array 9, element 'element', but there are 6 arrays"),
    "column": (lambda rows: {n: v for n, v in rows.items() if n != "siemens"}, "has no column 'siemens'"),
    "words": (other("siemens", lambda v: ["high"] * len(v)), "cannot read"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_tables_are_refused_and_nothing_changes(name: str, tmp_path: Path) -> None:
    changed, said = WRONG[name]
    model, _ = trained(PLAIN, steps=0)
    export_conductances(model, tmp_path, **SIEMENS)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    write(tmp_path, changed(table_of(tmp_path)))
    with pytest.raises(InputError, match=said):
        import_conductances(model, tmp_path)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_other_folders_are_refused(tmp_path: Path) -> None:
    model, optimizer = trained(PLAIN, TikiTaka, 1)
    export_conductances(model, tmp_path, **SIEMENS, optimizer=optimizer)
    with pytest.raises(InputError, match="of an algorithm: pass optimizer="):
        import_conductances(model, tmp_path)
    with pytest.raises(InputError, match=r"has a conductances\.json already"):
        export_conductances(model, tmp_path, **SIEMENS)
    for other, said in ((convert(network(), PLAIN), "rows is 3, here 5"),
                        (convert(torch.nn.Linear(3, 3), PLAIN), "layer is '0', here ''")):  # fmt: skip
        with pytest.raises(InputError, match=said):
            import_conductances(other, tmp_path, optimizer=TikiTaka(other.parameters(), lr=0.1))
    change(tmp_path, version=2)
    with pytest.raises(InputError, match="version 2, but version 1 is read here"):
        import_conductances(model, tmp_path, optimizer=optimizer)
    (tmp_path / "conductances.json").write_text("{")
    with pytest.raises(InputError, match="is no JSON"):
        import_conductances(model, tmp_path, optimizer=optimizer)
    with pytest.raises(InputError, match="give a folder of an export"):
        import_conductances(model, tmp_path / "nowhere")


def test_wrong_arguments_are_refused(tmp_path: Path) -> None:
    model, _ = trained(PLAIN, steps=0)
    for low, high in ((-1e-6, 1e-5), (1e-5, 1e-5), (float("nan"), 1.0)):
        with pytest.raises(InputError, match="but must be a number"):
            export_conductances(model, tmp_path, g_min=low, g_max=high)
    with pytest.raises(InputError, match="no analog layer"):
        export_conductances(network(), tmp_path, **SIEMENS)
    _, other = trained(PLAIN, steps=0)
    with pytest.raises(InputError, match="trains no layer of this model"):
        export_conductances(model, tmp_path, **SIEMENS, optimizer=other)
    assert not list(tmp_path.iterdir())


def test_sp_tracking_has_two_arrays(tmp_path: Path) -> None:
    model, optimizer = trained(SPREAD, SPTracking, 2)
    export_conductances(model, tmp_path, **SIEMENS, optimizer=optimizer)
    arrays = json.loads((tmp_path / "conductances.json").read_text())["arrays"]
    assert {a["seen_times"] for a in arrays if a["name"] != "weights"} == {optimizer.param_groups[0]["gamma"]}
