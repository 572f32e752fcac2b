"""record_pulses(): the pulses of every update, written while a training goes on."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checked import checked
from ..errors import InputError
from ..kernels.counts import Counts, listed
from ..optim import AnalogOptimizer
from ..version import __version__
from .arrays import PhysicalArray, arrays_in
from .conductances import new_folder, write_json

__all__ = ["PARTS", "PULSES", "PULSES_FORMAT", "PulseRecorder", "record_pulses"]

#: what the JSON file says of itself
PULSES_FORMAT, PULSES_VERSION = "ohmgrad pulses", 1
#: the JSON file, and the folder of the Parquet files
PULSES, PARTS = "pulses.json", "pulses"
#: rows of a Parquet file, at least: so many are kept in memory, 25 bytes each
ROWS = 2**20


class PulseRecorder:
    """Writes pulses into Parquet files of `ROWS` rows, each whole once it is there.

    Args:
        folder: of the files, which is there.
        arrays: whose pulses are recorded.
    """

    def __init__(self, folder: Path, arrays: list[PhysicalArray]) -> None:
        self.folder, self.arrays = folder, arrays
        #: rows so far, and files
        self.rows = self.files = 0
        self._kept: list[tuple[int, int, Tensor, Tensor, Tensor, Tensor]] = []
        self._waiting = 0

    def record(self, number: int, step: Tensor, counts: Counts) -> None:
        """Take the pulses of update `step` of an array."""
        cols, update = self.arrays[number].array.shape[1], int(step)
        for sign, pulses in zip((1, -1), counts, strict=True):
            cells, n = listed(pulses.n) if pulses.cells is None else pulses
            assert cells is not None
            if not len(cells):
                continue
            cells, n = cells.cpu(), n.cpu()
            kind = torch.full((len(cells),), sign, dtype=torch.int8)
            self._kept.append((number, update, (cells // cols).int(), (cells % cols).int(), kind, n.int()))
            self._waiting += len(cells)
        if self._waiting >= ROWS:
            self.flush()

    def flush(self) -> None:
        """Write what is kept in memory; nothing where there is none."""
        if not self._kept:
            return
        import pyarrow as pa
        from pyarrow import parquet

        sizes = torch.tensor([len(part[2]) for part in self._kept])
        array, step = (
            torch.tensor([part[i] for part in self._kept], dtype=kind).repeat_interleave(sizes)
            for i, kind in ((0, torch.int32), (1, torch.int64))
        )
        row, col, sign, count = (torch.cat([part[i] for part in self._kept]) for i in range(2, 6))  # pyright: ignore[reportArgumentType, reportCallIssue]
        columns = {"array": array, "step": step, "row": row, "col": col, "sign": sign, "count": count}
        table = pa.table({name: pa.array(values.numpy()) for name, values in columns.items()})
        path = self.folder / f"part-{self.files:06d}.parquet"
        whole = path.with_suffix(".tmp")
        parquet.write_table(table, whole, compression="zstd")
        os.replace(whole, path)
        self.rows, self.files = self.rows + len(row), self.files + 1
        self._kept, self._waiting = [], 0


@checked
@contextlib.contextmanager
def record_pulses(
    model: nn.Module, folder: str | Path, optimizer: AnalogOptimizer | None = None
) -> Iterator[PulseRecorder]:
    """Write the pulses of every update inside the block: array, step, row, col, sign, count.

    The folder gets pulses.json, which names the arrays, and pulses/part-000000.parquet and on, a new file for
    about a million rows: memory stays bounded, and what is written stays whole when a training is cut off.
    docs/export.md has the schema. `pandas.read_parquet(folder / "pulses")` reads all of it.

    Pulses of an update are summed over its samples, each sign by itself: a row for each element and sign. A
    recorded update takes longer, as its pulses are drawn twice; weights are the same bit for bit. Resets and
    the refresh of one-sided pairs are no updates, and not recorded.

    Args:
        model: whose arrays are recorded.
        folder: made if it does not exist.
        optimizer: whose auxiliary arrays are recorded, too: give it, or their pulses are missing.

    Raises:
        InputError: when there is nothing to record (fidelity "mean" has no pulses, the pulses of a board are
            known there), the folder holds a record, or cannot be written to; and at the end when an array was
            made anew on the way, as by loading a state, so that its later pulses are missing.
    """
    arrays = arrays_in(model, optimizer)
    for each in arrays:
        if each.array.pulsing.fidelity == "mean":
            raise InputError(
                f"{each} is pulsed at fidelity 'mean', which has no pulses: convert with "
                "Pulsing('pulsed') or Pulsing('pulse-by-pulse')"
            )
        if each.array.board is not None:
            raise InputError(
                f"{each} is on a board, which alone knows the pulses of its trains: record there"
            )
    out = new_folder(folder, PULSES)
    try:
        (out / PARTS).mkdir(exist_ok=True)
        said = {"format": PULSES_FORMAT, "version": PULSES_VERSION, "ohmgrad": __version__}
        first = [{**each.place(), "first_step": int(each.array.counters.updates)} for each in arrays]
        write_json(out / PULSES, {**said, "arrays": first})
    except OSError as error:
        raise InputError(f"cannot write to {out} ({error.strerror}): choose another folder") from None
    recorder = PulseRecorder(out / PARTS, arrays)
    counters = [each.array.counters for each in arrays]
    for number, counted in enumerate(counters):
        counted.recorder = partial(recorder.record, number)
    try:
        yield recorder
    finally:
        for counted in counters:
            counted.recorder = None
        recorder.flush()
    now = [each.array.counters for each in arrays_in(model, optimizer)]
    if [id(counted) for counted in now] != [id(counted) for counted in counters]:
        raise InputError(
            f"arrays were made anew while their pulses were recorded, so that {out} lacks some: load states "
            "and move the model before recording"
        )
