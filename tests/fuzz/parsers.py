"""Every parser of files: whatever is in one, it ends in a result or in an InputError of one sentence."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from ohmgrad import Device, Measured, Tile, datasets
from ohmgrad.cost.hardware import FOLDER, NAMES, hardware
from ohmgrad.datasets.arrays import read_arrays
from ohmgrad.devices.fitting.reading import read
from ohmgrad.devices.presets import preset
from ohmgrad.studies import RunSpec
from ohmgrad.studies.checkpoint import read_checkpoint, write_checkpoint
from ohmgrad.studies.events import read_events
from ohmgrad.studies.rows import COLUMNS, COUNTED, WATCHED, read_rows
from ohmgrad.studies.tables import read_table, write_table
from tests.cases import MEMORIES, NOISES, RESPONSES, SPREADS, TABULATED
from tests.data_files import idx
from tests.fuzz.mutations import REPLACED, altered, arrays_altered, replaced, yaml_altered
from tests.fuzz.running import Fuzzed, refused_in_a_sentence

__all__ = ["PARSERS"]


@cache
def folder() -> Path:
    """Where files are written that are read at once; taken away at the end."""
    held = tempfile.TemporaryDirectory(prefix="ohmgrad-fuzz-")
    _HELD.append(held)
    return Path(held.name)


_HELD: list[Any] = []


def parser(
    name: str, file: str, contents: SearchStrategy[bytes], read: Callable[[Path], Any], few: int = 12
) -> Fuzzed:
    def check(content: bytes) -> None:
        path = folder() / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        refused_in_a_sentence(lambda: read(path))

    return Fuzzed(f"parser: {name}", contents, check, few)


def made(write: Callable[[Path], Any], name: str) -> bytes:
    """What is written into a file."""
    with tempfile.TemporaryDirectory() as home:
        write(Path(home) / name)
        return (Path(home) / name).read_bytes()


# --- YAML -----------------------------------------------------------------------------------------


def device_in_use(path: Path) -> None:
    """A device that is taken is one that can be used: its elements are finite, also after pulses."""
    tile = Tile((2, 3), Device.from_yaml(path), seed=1)
    for _ in range(2):
        tile.pulse(torch.ones(2, 3), torch.tensor([[1.0, -1.0]]).repeat(2, 1), 2 * tile.device.dw_min)
    if not tile.weight.isfinite().all():
        raise AssertionError("weights are not finite")


DEVICES = [
    *(preset(name).to_yaml() for name in ("paper", "reram-es", "pcm", "capacitor")),
    *(
        Device(TABULATED[name], 0.01, SPREADS["spread"], NOISES["multiplicative"]).to_yaml()
        for name in TABULATED
    ),
    *(Device(RESPONSES["linear"], 0.01, **MEMORIES[name]).to_yaml() for name in ("all", "all-pair")),
]
RUN = RunSpec(
    device=preset("paper").to_dict(), algorithms=("digital", "ttv2"), options={"fast_lr": 0.5},
    lrs={"ttv2": 0.1}, lr_factors={"*": 0.5}, images=40, seeds=(0, 1), monitor=True, augment=("flip",),
    digital_lr=0.1, tau=0.7,
)  # fmt: skip


def read_run(path: Path) -> None:
    RunSpec.from_dict(RunSpec.read(path))


def run_text() -> str:
    import yaml

    return yaml.safe_dump(RUN.to_dict(), sort_keys=False)


HARDWARE = (FOLDER / f"{NAMES[0]}.yaml").read_text("utf-8")


# --- measured pulses ------------------------------------------------------------------------------


def table(separator: str = ",", decimal: str = ".") -> bytes:
    """Two ramps of 30 pulses in a table with a header."""
    rows = [["pulse", "direction", "conductance (uS)"]]
    for n in range(60):
        up = n < 30
        value = 10 + (n if up else 60 - n) * 0.3 + 0.01 * (-1) ** n
        rows.append([str(n), "up" if up else "down", f"{value:.4f}".replace(".", decimal)])
    return "\n".join(separator.join(row) for row in rows).encode()


def plain_columns() -> bytes:
    return "\n".join(f"{10 + 0.2 * n:.4f} {16 - 0.2 * n:.4f}" for n in range(30)).encode()


def excel(path: Path) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    assert book.active is not None
    for row in csv.reader(io.StringIO(table().decode())):
        book.active.append(row)
    book.save(path)


def parquet(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet as pq

    up = np.arange(60) < 30
    value = 10 + np.where(up, np.arange(60), 60 - np.arange(60)) * 0.3
    pq.write_table(pyarrow.table({"up": up, "conductance": value}), path)


def steps() -> dict[str, np.ndarray]:
    cdf, g = np.linspace(0, 1, 5), np.linspace(1.0, 2.0, 4)[None]
    up = np.full((1, 5, 4), 0.02) + 0.01 * cdf[:, None]
    return {"G": g, "cdf": cdf, "inc": up, "dec": -up}


def crosssim() -> bytes:
    cdf, g = np.linspace(0, 1, 5), np.linspace(1.0, 2.0, 4)
    rows = [g, cdf, *(np.full(4, 0.02 + 0.01 * p) for p in cdf)]
    return "\n".join(["header", *(",".join(f"{v:.5f}" for v in row) for row in rows)]).encode()


def read_pulses(path: Path) -> None:
    read([path])


def read_crosssim(path: Path) -> None:
    other = path.with_name("other.csv")
    other.write_bytes(crosssim())
    Measured.from_crosssim(path, other)


# --- data -----------------------------------------------------------------------------------------


def read_idx(path: Path) -> None:
    for name, values in _IDX.items():
        if path.name != name:
            (path.parent / name).write_bytes(values)
    datasets.load("mnist", root=path.parent, progress=False)


_IDX = {
    f"{part}-{what}-idx{dims}-ubyte": idx(np.arange(math).reshape(shape) % 10)
    for part, n in (("train", 6), ("t10k", 4))
    for what, dims, math, shape in (("images", 3, n * 9, (n, 3, 3)), ("labels", 1, n, (n,)))
}


def read_data(path: Path) -> None:
    """Images that are taken can be trained on."""
    if not all(np.isfinite(array).all() for array in read_arrays(path)):
        raise AssertionError("images are not finite")


ARRAYS = {
    f"{part}_{name}": values
    for part in ("train", "test")
    for name, values in (("x", np.linspace(0, 1, 24).reshape(6, 4)), ("y", np.arange(6) % 3))
}


# --- what runs leave ------------------------------------------------------------------------------

CONTENT = {
    "epoch": 1,
    "model": {"weight": torch.arange(6.0).reshape(2, 3), "none": torch.empty(0, 3)},
    "rows": [{"algorithm": "sgd", "seed": 0, "loss": 0.5}],
    "state": {0: {"events": torch.arange(4)}, "flag": None},
}
CHECKPOINT = made(lambda path: write_checkpoint(path, {"seed": 1}, CONTENT), "a.safetensors")


def with_right_checksum(edits: list[tuple[int, int, Any]]) -> bytes:
    """A checkpoint whose JSON was edited by somebody who made the checksum anew."""
    size = int.from_bytes(CHECKPOINT[:8], "little")
    header = json.loads(CHECKPOINT[8 : 8 + size])
    said = replaced(json.loads(header["__metadata__"]["ohmgrad"].partition(" ")[2]), edits)
    try:
        text = json.dumps(said)
    except ValueError:  # an integer that is too long for text
        text = "null"
    header["__metadata__"]["ohmgrad"] = f"{hashlib.sha256(text.encode()).hexdigest()} {text}"
    new = json.dumps(header).encode()
    return len(new).to_bytes(8, "little") + new + CHECKPOINT[8 + size :]


def rows_of(columns: tuple[str, ...]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(columns)
    for n in range(3):
        writer.writerow([f"sgd{n}" if name in ("algorithm", "layer", "array") else n for name in columns])
    return out.getvalue().encode()


PART = made(
    lambda path: write_table(path, {"x": np.arange(9.0), "name": np.array(["a"] * 9)}, {"part": "p"}),
    "p.parquet",
)


PARSERS = [
    parser("a device (YAML)", "device.yaml", yaml_altered(*DEVICES), device_in_use, few=25),
    parser("a run (YAML)", "spec.yaml", yaml_altered(run_text()), read_run, 20),
    parser("hardware (YAML)", "hardware.yaml", yaml_altered(HARDWARE), hardware),
    parser("pulses (CSV)", "pulses.csv", altered(table(), table(";", ",")), read_pulses, 25),
    parser("pulses (text)", "pulses.txt", altered(table("\t"), plain_columns()), read_pulses, 20),
    parser("pulses (Excel)", "pulses.xlsx", altered(made(excel, "a.xlsx")), read_pulses),
    parser("pulses (Parquet)", "pulses.parquet", altered(made(parquet, "a.parquet")), read_pulses),
    parser("pulses (gzip)", "pulses.csv.gz", altered(gzip.compress(table())), read_pulses),
    parser("steps (npz) of fit", "steps.npz", arrays_altered(**steps()), read_pulses),
    parser("tables of steps (npz)", "tables.npz", arrays_altered(**steps()), Measured.from_npz),
    parser("CrossSim's tables", "increasing.csv", altered(crosssim(), gzip.compress(crosssim())),
           read_crosssim),
    *(
        parser(f"images (idx), {name.partition('-idx')[0]}", f"mnist/{name}", altered(values), read_idx, 8)
        for name, values in _IDX.items()
        if "train" in name
    ),
    parser("data of one's own (npz)", "data.npz", arrays_altered(**ARRAYS), read_data),
    parser("a checkpoint", "a.safetensors", altered(CHECKPOINT), read_checkpoint),
    parser("a checkpoint with right checksum", "b.safetensors", st.builds(with_right_checksum, REPLACED),
           read_checkpoint),
    parser("metrics.csv", "metrics.csv", altered(rows_of(COLUMNS)), lambda p: read_rows(p, COLUMNS)),
    parser("monitor.csv", "monitor.csv", altered(rows_of(WATCHED)), lambda p: read_rows(p, WATCHED), 6),
    parser("events (CSV)", "events.csv", altered(rows_of(tuple(COUNTED))), read_events, 6),
    parser("a part of a study (Parquet)", "p.parquet", altered(PART), lambda p: read_table(p, part="p")),
]  # fmt: skip
