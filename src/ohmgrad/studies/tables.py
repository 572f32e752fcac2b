"""Tables of numbers as Parquet files that say what they are of, under a checksum.

The metadata of the schema has one entry, `ohmgrad`: the SHA-256 of the columns and of the JSON text that
follows it. The text says what the table is of, and which version wrote it. So a file that is damaged, was
edited, or is that of another part is told from the right one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..version import __version__
from .files import write_whole

__all__ = ["Columns", "read_table", "write_table"]

#: a table as columns of equal length
Columns = dict[str, np.ndarray]

_ENTRY = b"ohmgrad"


def write_table(file: Path, columns: Columns, about: Mapping[str, Any]) -> None:
    """Write a table, see `files.write_whole`.

    Args:
        file: to write.
        columns: numbers, truth values or text.
        about: what it is of: plain values, compared when it is read.

    Raises:
        OSError: when it cannot be written.
    """
    import pyarrow
    from pyarrow import parquet

    text = json.dumps({"ohmgrad": __version__, **about})
    table = pyarrow.table(dict(columns))
    entry = f"{_digest(_columns(table), text)} {text}"
    out = pyarrow.BufferOutputStream()
    parquet.write_table(table.replace_schema_metadata({_ENTRY: entry}), out)
    write_whole(file, out.getvalue().to_pybytes())


def read_table(file: Path, **wanted: Any) -> tuple[Columns, dict[str, Any]]:
    """A table that `write_table` wrote, and what it says that it is of.

    Args:
        file: to read.
        wanted: of what it must be.

    Raises:
        InputError: when the file is damaged or of something else.
    """
    import pyarrow
    from pyarrow import parquet

    again = "delete it, and the command that wrote it computes it again"
    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror}): {again}") from None
    try:
        table = parquet.read_table(pyarrow.BufferReader(content))
        digest, _, text = (table.schema.metadata or {})[_ENTRY].decode().partition(" ")
        columns, about = _columns(table), json.loads(text)
    except Exception as error:  # pyarrow and numpy raise errors of many kinds for the bytes of a stranger
        raise InputError(f"{file} is damaged ({type(error).__name__}): {again}") from None
    if _digest(columns, text) != digest or not isinstance(about, dict):
        raise InputError(f"{file} is damaged: its checksum is not that of its numbers: {again}")
    for name, value in wanted.items():
        if about.get(name) != value:
            raise InputError(f"{file} is of another {name}: {again}")
    return columns, about


def _columns(table: Any) -> Columns:
    """The columns of an Arrow table as arrays."""
    found = {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}
    return {name: c.astype(str) if c.dtype.kind == "O" else c for name, c in found.items()}


def _digest(columns: Columns, text: str) -> str:
    """SHA-256 of columns, their names and types, and a text."""
    found = hashlib.sha256(text.encode())
    for name, column in columns.items():
        kind = column.dtype.kind
        content = (
            json.dumps(column.tolist()).encode() if kind == "U" else np.ascontiguousarray(column).tobytes()
        )
        found.update(
            f"\n{json.dumps(name)} {kind if kind == 'U' else column.dtype.str} {len(content)}\n".encode()
        )
        found.update(content)
    return found.hexdigest()
