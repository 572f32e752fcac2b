"""import_conductances(): what arrays really hold, as it was read back, into a model."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..checked import checked
from ..errors import InputError, is_integer, said, shown
from ..optim import AnalogOptimizer
from .arrays import WEIGHTS, PhysicalArray, arrays_in
from .conductances import ELEMENTS, FORMAT, TABLE, VERSION
from .mapping import SLACK, Siemens, bounds, take_back

__all__ = ["ReadBack", "import_conductances"]

#: rows of the Parquet file that are looked at together
ROWS = 2**18


@dataclass(frozen=True)
class ReadBack:
    """What one array turned out to hold, in weight units.

    Args:
        array: which, in words.
        weights: how many it has.
        rms, largest: of the differences to what the model held, after its elements took the values over.
        clipped: elements that were read beyond what they can hold.
    """

    array: str
    weights: int
    rms: float
    largest: float
    clipped: int


@checked
def import_conductances(
    model: nn.Module,
    folder: str | Path,
    *,
    optimizer: AnalogOptimizer | None = None,
    clip: bool = False,
) -> list[ReadBack]:
    """Take over what the arrays of a model were read to hold, so that training goes on from there.

    The folder is as `export_conductances` writes it, with readings as `siemens`; rows may be in any order.
    Everything is checked before anything is changed. Output scales and biases stay the model's.

    Args:
        model: of the same layers, tiles and devices.
        folder: with conductances.json and conductances.parquet.
        optimizer: whose auxiliary arrays are read, too, where the folder has any.
        clip: put readings beyond what an element can hold at its bound, and count them; else refuse them.

    Returns:
        For each array how far it was from what the model held.

    Raises:
        InputError: when files are missing, damaged or of another version, or of other arrays; when an element
            is missing, twice there, not finite or out of range: the file, array and element are named.
    """
    path, table = Path(folder) / ELEMENTS, Path(folder) / TABLE
    entries = _entries(path)
    arrays = arrays_in(model, optimizer)
    mappings = _matched(path, arrays, entries)
    readings = _readings(table, arrays, mappings)
    taken = []
    for each, mapping in zip(arrays, mappings, strict=True):
        values = {name: mapping.values(g) for name, g in readings[each.number].items()}
        clipped = _keep_inside(f"{table}: {each}", each, mapping, values, clip)
        taken.append((each, values, clipped))
    found = []
    for each, values, clipped in taken:
        before = each.array.weight.clone()
        take_back(each.array, values)
        gap = (each.array.weight - before).double()
        rms = float(gap.square().mean().sqrt())
        found.append(ReadBack(str(each), gap.numel(), rms, float(gap.abs().max()), clipped))
    return found


def _entries(path: Path) -> list[dict[str, Any]]:
    """The entries of arrays in the JSON file, of this format and version."""
    try:
        whole = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror}): give a folder of an export") from None
    except ValueError as error:
        raise InputError(f"{path} is no JSON ({said(error)}): export again") from None
    if not isinstance(whole, dict) or whole.get("format") != FORMAT:
        raise InputError(f"{path} does not say format {FORMAT!r}: give a folder of an export")
    if whole.get("version") != VERSION:
        raise InputError(
            f"{path} has version {shown(whole.get('version'))}, but version {VERSION} is read here: use the "
            "ohmgrad that wrote it, or export again"
        )
    entries = whole.get("arrays")
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise InputError(f"{path} has no list of arrays: export again")
    return entries


def _matched(path: Path, arrays: list[PhysicalArray], entries: list[dict[str, Any]]) -> list[Siemens]:
    """The mappings of all arrays, which the entries are of."""
    here = {each.number: each for each in arrays}
    beside = [entry for entry in entries if entry.get("name") != WEIGHTS]
    if beside and all(each.name == WEIGHTS for each in arrays):
        raise InputError(
            f"{path} has array {shown(beside[0].get('name'))} of layer {shown(beside[0].get('layer'))}, of "
            "an algorithm: pass optimizer=, made by the algorithm that was exported"
        )
    for entry in entries:
        number: Any = entry.get("array")
        each = here.get(number) if is_integer(number) else None
        for name, value in each.place().items() if each else [("array", f"one of {len(arrays)}")]:
            if entry.get(name) != value:
                raise InputError(
                    f"{path}, array {shown(entry.get('array'))}: {name} is {shown(entry.get(name))}, here "
                    f"{shown(value)}: give the model (and optimizer) that was exported"
                )
    numbers = [entry["array"] for entry in entries]
    missing = [each for each in arrays if each.number not in numbers]
    if missing or len(numbers) > len(arrays):
        what = f"lacks {missing[0]}" if missing else "has an array twice"
        raise InputError(f"{path} {what}: export the model with the optimizer that is given here")
    return [_mapping(path, here[n], entries[numbers.index(n)]) for n in range(len(arrays))]


def _mapping(path: Path, each: PhysicalArray, entry: dict[str, Any]) -> Siemens:
    names, device = entry.get("elements"), each.array.device
    may = [["plus", "minus"]] if device.pair is not None else [["element"], ["plus", "minus"]]
    if "reference" in each.array.memory:
        may = [["element", "reference"]]
    if names not in may:
        raise InputError(f"{path}, {each}: elements are {shown(names)}, but this device has {may[0]}")
    numbers = []
    for name in ("siemens_per_weight", "siemens_at_zero"):
        value = entry.get(name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
            raise InputError(f"{path}, {each}: {name} is {shown(value)}, but must be a number of at least 0")
        numbers.append(float(value))
    if not numbers[0]:
        raise InputError(f"{path}, {each}: siemens_per_weight is 0, but must be above 0")
    return Siemens(tuple(names), *numbers)


def _readings(table: Path, arrays: list[PhysicalArray], mappings: list[Siemens]) -> list[dict[str, Tensor]]:
    """Siemens of every element of every array, float64 (rows, cols), by name; all are there and finite."""
    found, times = (
        [
            {name: torch.zeros(each.array.shape, dtype=kind) for name in mapping.elements}
            for each, mapping in zip(arrays, mappings, strict=True)
        ]
        for kind in (torch.float64, torch.int32)
    )
    for number, row, col, element, siemens in _rows(table):
        if not 0 <= number < len(arrays) or element not in found[number]:
            known = 0 <= number < len(arrays)
            have = f"elements {', '.join(found[number])}" if known else f"{len(arrays)} arrays"
            raise InputError(f"{table}: array {number}, element {shown(element)}, but there are {have}")
        rows, cols = arrays[number].array.shape
        where = f"{table}: {arrays[number]}"
        outside = (row < 0) | (row >= rows) | (col < 0) | (col >= cols)
        _refuse(where, element, row, col, outside, f"is outside its {rows} rows and {cols} columns")
        _refuse(where, element, row, col, ~siemens.isfinite(), "is not a finite number", siemens)
        _refuse(where, element, row, col, siemens < 0, "is below 0 S", siemens)
        at = row * cols + col
        found[number][element].view(-1)[at] = siemens
        times[number][element].view(-1).index_add_(0, at, torch.ones(len(at), dtype=torch.int32))
    for each, planes in zip(arrays, times, strict=True):
        for element, plane in planes.items():
            for wrong, why in ((plane == 0, "is missing"), (plane > 1, "is there twice")):
                row, col = wrong.nonzero(as_tuple=True)
                _refuse(f"{table}: {each}", element, row, col, torch.ones_like(row, dtype=torch.bool), why)
    return found


def _refuse(
    where: str, element: str, row: Tensor, col: Tensor, wrong: Tensor, why: str, value: Tensor | None = None
) -> None:
    """Raise InputError that names the first wrong element, and how many there are."""
    if bool(wrong.any()):
        i = int(wrong.nonzero()[0])
        reads = "" if value is None else f", {float(value[i]):g} S,"
        more = int(wrong.sum()) - 1
        others = f" (and {more} more)" if more else ""
        raise InputError(f"{where}, row {int(row[i])}, col {int(col[i])}, {element!r}{reads} {why}{others}")


def _rows(table: Path) -> Iterator[tuple[int, Tensor, Tensor, str, Tensor]]:
    """The rows of the Parquet file, those of one array and element together, a part of the file at a time."""
    import pyarrow as pa
    from pyarrow import parquet

    columns = {"array": pa.int64(), "row": pa.int64(), "col": pa.int64(), "siemens": pa.float64()}
    try:
        file = parquet.ParquetFile(table)
        lacking = [name for name in (*columns, "element") if name not in file.schema_arrow.names]
        if lacking:
            raise InputError(f"{table} has no column {lacking[0]!r}: export again")
        for batch in file.iter_batches(ROWS, columns=[*columns, "element"]):
            read = {name: batch[name].cast(kind).fill_null(_null(kind)) for name, kind in columns.items()}
            array, row, col, siemens = (
                torch.from_numpy(a.to_numpy(zero_copy_only=False).copy()) for a in read.values()
            )
            names = batch["element"].cast(pa.string()).fill_null("").dictionary_encode()
            which = torch.from_numpy(names.indices.to_numpy(zero_copy_only=False).copy())
            for number, i in itertools.product(array.unique().tolist(), range(len(names.dictionary))):
                mine = ((array == number) & (which == i)).nonzero().flatten()
                if len(mine):
                    yield number, row[mine], col[mine], names.dictionary[i].as_py(), siemens[mine]
    except (OSError, pa.ArrowException) as error:
        raise InputError(f"cannot read {table} ({said(error)}): export again") from None


def _null(kind: Any) -> Any:
    """What stands for a cell that is empty: no number, or a place that is in no array."""
    return float("nan") if str(kind) == "double" else -1


def _keep_inside(
    where: str, each: PhysicalArray, mapping: Siemens, values: dict[str, Tensor], clip: bool
) -> int:
    """Put values within rounding of an element's range inside it; all, and count them, if `clip`.

    Raises:
        InputError: when a value lies farther out, unless `clip`.
    """
    clipped = 0
    response = each.array.device.response
    slack = SLACK * (response.w_max - response.w_min)
    for name, (low, high) in bounds(each.array, mapping.elements).items():
        v = values[name]
        low, high = low.to(v.device), high.to(v.device)
        outside = (v < low - slack) | (v > high + slack)
        if not clip:
            row, col = outside.nonzero(as_tuple=True)
            here = outside[row, col]
            i = (row[:1], col[:1])
            least, most = (
                float(g) for g in (mapping.conductances(low[i]).sum(), mapping.conductances(high[i]).sum())
            )
            why = f"is outside its range, {least:g} to {most:g} S: correct it, or pass clip=True"
            _refuse(where, name, row, col, here, why, mapping.conductances(v[row, col]))
        clipped += int(outside.sum())
        values[name] = torch.minimum(torch.maximum(v, low), high)
    return clipped
