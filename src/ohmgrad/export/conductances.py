"""export_conductances(): what every element of every array is to hold, in siemens."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checked import checked
from ..errors import InputError, check_number
from ..nn import AnalogLayer
from ..optim import AnalogOptimizer
from ..version import __version__
from .arrays import PhysicalArray, analog_layers_in, arrays_in
from .mapping import Siemens, held, siemens_for

__all__ = ["ELEMENTS", "FORMAT", "TABLE", "VERSION", "export_conductances", "new_folder", "write_json"]

#: what the JSON file says of itself
FORMAT, VERSION = "ohmgrad conductances", 1
#: names of the two files
ELEMENTS, TABLE = "conductances.json", "conductances.parquet"


@checked
def export_conductances(
    model: nn.Module,
    folder: str | Path,
    *,
    g_min: float,
    g_max: float,
    pairs: bool = False,
    optimizer: AnalogOptimizer | None = None,
) -> Path:
    """Write the target conductance of every element of every array of a model.

    The folder gets conductances.parquet, a row for every element, and conductances.json, which says what the
    rows are; docs/export.md has the schema. Memory is taken for one array at a time.

    Args:
        model: with analog layers, as it is now.
        folder: made if it does not exist.
        g_min, g_max: conductances in siemens (0 <= g_min < g_max) at the ends of the device's nominal range;
            elements whose own bounds lie beyond it may be beyond these, too.
        pairs: write two elements a weight, one of them at g_min, for a device with one.
        optimizer: whose auxiliary arrays are written, too; None for the weights alone.

    Returns:
        The folder.

    Raises:
        InputError: when an argument is out of range, the folder holds an export, or cannot be written to.

    Example:
        >>> import tempfile, torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> model = ohmgrad.convert(nn.Linear(3, 2), Device(SoftBounds.symmetric(0.6)))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = export_conductances(model, folder, g_min=1e-6, g_max=1e-5)
        ...     sorted(path.name for path in Path(folder).iterdir())
        ['conductances.json', 'conductances.parquet']
    """
    g_min = check_number("g_min", g_min, low=0)
    g_max = check_number("g_max", g_max, low=g_min, open_low=True)
    layers, arrays = analog_layers_in(model), arrays_in(model, optimizer)
    mappings = [siemens_for(each.array, g_min, g_max, pairs) for each in arrays]
    out = new_folder(folder, ELEMENTS)
    try:
        _write_table(out / TABLE, arrays, mappings)
        said = {
            "format": FORMAT, "version": VERSION, "ohmgrad": __version__,
            "g_min": g_min, "g_max": g_max, "unit": "S",
            "arrays": [_array(*both) for both in zip(arrays, mappings, strict=True)],
            "layers": [_layer(name, layer) for name, layer in layers],
        }  # fmt: skip
        write_json(out / ELEMENTS, said)
    except OSError as error:
        raise InputError(f"cannot write to {out} ({error.strerror}): choose another folder") from None
    return out


def new_folder(folder: str | Path, file: str) -> Path:
    """A folder to write to, made if it is not there.

    Raises:
        InputError: when it holds `file` already, or cannot be made.
    """
    out = Path(folder)
    if (out / file).exists():
        raise InputError(f"{out} has a {file} already: choose another folder")
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out} ({error.strerror}): choose another") from None
    return out


def write_json(path: Path, said: dict[str, Any]) -> None:
    """Write a JSON file; one that is cut off leaves the old one whole."""
    whole = path.with_suffix(".tmp")
    whole.write_text(json.dumps(said, indent=1) + "\n", encoding="utf-8")
    os.replace(whole, path)


def _write_table(path: Path, arrays: list[PhysicalArray], mappings: list[Siemens]) -> None:
    """The rows of all elements, a row group for each array."""
    import pyarrow as pa
    from pyarrow import parquet

    kind = pa.dictionary(pa.int8(), pa.string())
    fields = [("array", pa.int32()), ("row", pa.int32()), ("col", pa.int32()), ("element", kind)]
    schema = pa.schema([*fields, ("siemens", pa.float64())])
    whole = path.with_suffix(".tmp")
    with parquet.ParquetWriter(whole, schema, compression="zstd") as file:
        for each, mapping in zip(arrays, mappings, strict=True):
            rows, cols = each.array.shape
            row, col = (t.flatten().numpy() for t in _numbers(rows, cols))
            for name, v in held(each.array, mapping.elements).items():
                n = rows * cols
                columns = [
                    pa.repeat(pa.scalar(each.number, pa.int32()), n), pa.array(row), pa.array(col),
                    pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int8()), n), [name]),
                    pa.array(mapping.conductances(v).cpu().flatten().numpy()),
                ]  # fmt: skip
                file.write_table(pa.table(columns, schema=schema))
    os.replace(whole, path)


def _numbers(rows: int, cols: int) -> tuple[Tensor, Tensor]:
    """Row and column of every element, int32 (rows, cols)."""
    row, col = torch.arange(rows, dtype=torch.int32), torch.arange(cols, dtype=torch.int32)
    return row.view(-1, 1).expand(rows, cols), col.expand(rows, cols)


def _array(each: PhysicalArray, mapping: Siemens) -> dict[str, Any]:
    device, seen = each.array.device, each.seen
    return {
        **each.place(),
        "elements": list(mapping.elements),
        "siemens_per_weight": mapping.per_weight,
        "siemens_at_zero": mapping.at_zero,
        "w_min": device.response.w_min,
        "w_max": device.response.w_max,
        "dw_min": device.dw_min,
        "seen_times": seen.tolist() if isinstance(seen, Tensor) else seen,
    }


def _layer(name: str, layer: AnalogLayer) -> dict[str, Any]:
    bias = None if layer.bias is None else layer.bias.detach().tolist()
    scale = layer.out_scale.detach().view(layer.bands, -1).tolist()
    shape = list(layer.weight.shape)
    return {"layer": name, "type": type(layer).__name__, "shape": shape, "out_scale": scale, "bias": bias}
