"""A file as rows of cells: text with any of four separators, Excel, Parquet."""

from __future__ import annotations

import csv
import gzip
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import InputError, said, shown

__all__ = ["MISSING", "MOST_ROWS", "Grid", "number", "read_cells", "read_raw"]

#: rows of a file; a fit needs some thousand pulses, and keeps all of them in memory
MOST_ROWS = 500_000
#: characters of a row of text
_LONGEST = 100_000
#: what people write where there is no reading
MISSING = {"", "nan", "na", "n/a", "#n/a", "-", "--", "null", "none", "?"}
#: what separates cells, with names for people; None is any white space
SEPARATORS: dict[str | None, str] = {"\t": "tabs", ";": "semicolons", ",": "commas", None: "white space"}
#: first bytes of files that are no tables
_KINDS = {
    b"\x89PNG": "a picture (PNG)",
    b"\xff\xd8\xff": "a picture (JPEG)",
    b"GIF8": "a picture (GIF)",
    b"BM": "a picture (BMP)",
    b"%PDF": "a PDF document",
    b"\x89HDF": "an HDF5 file",
    b"\xd0\xcf\x11\xe0": "an old Excel file (.xls)",
    b"MATLAB": "a MATLAB file",
    b"\x93NUMPY": "a NumPy array (.npy)",
    b"{\\rtf": "a rich-text document",
    b"<!DOC": "a web page",
    b"<html": "a web page",
}
_NUMBER = re.compile(r"[-+−]?(\d+\.?\d*|\.\d+)([eEdD][-+−]?\d+)?")


@dataclass(frozen=True)
class Grid:
    """Rows of cells, with each row's number in the file (from 1), and what was found on the way.

    Cells are text, or numbers where the file has them; decimal commas are points already.
    """

    source: str
    rows: list[list[Any]]
    lines: list[int]
    said: str


def number(cell: Any) -> float | None:
    """A cell as a number; NaN for one that is missing, None for text."""
    if cell is None:
        return float("nan")
    if isinstance(cell, (int, float)) and not isinstance(cell, bool):
        return float(cell)
    text = str(cell).strip()
    if text.lower() in MISSING:
        return float("nan")
    if not _NUMBER.fullmatch(text):
        return None
    return float(text.replace("−", "-").replace("d", "e").replace("D", "e"))


def read_raw(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is gzip.

    Raises:
        InputError: when it cannot be read, or is empty.
    """
    if path.is_dir():
        raise InputError(f"{path} is a folder: name the file in it that has the pulses")
    try:
        raw = path.read_bytes()
        raw = gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or said(error)
        raise InputError(f"cannot read {path} ({reason}): name a file of measured pulses") from None
    if not raw.strip():
        raise InputError(f"{path} is empty: name a file of measured pulses")
    return raw


def read_cells(path: Path, sheet: str | None = None) -> Grid:
    """The rows of a file.

    Raises:
        InputError: when the file cannot be read as a table, is too long, or mixes separators.
    """
    end = path.suffix.lower()
    if end in (".xlsx", ".xlsm"):
        return _excel(path, sheet)
    if sheet is not None:
        raise InputError(f"--sheet is {shown(sheet)}, but {path} is no Excel file: leave it out")
    if end in (".parquet", ".pq"):
        return _parquet(path)
    return _text(path, read_raw(path))


def _text(path: Path, raw: bytes) -> Grid:
    for start, kind in _KINDS.items():
        if raw.startswith(start):
            raise InputError(
                f"{path} is {kind}: save its numbers as CSV or Excel (.xlsx), and name that file"
            )
    if raw.startswith(b"PK"):
        raise InputError(f"{path} is a packed file, such as Excel's: give it its own ending, such as .xlsx")
    text = _decoded(path, raw)
    if text.count("\n") > MOST_ROWS:
        raise InputError(
            f"{path} has {text.count(chr(10)):,} rows, but at most {MOST_ROWS:,} are read: keep some of "
            f"the "
            "cycles or devices, for a fit needs some thousand pulses"
        )
    lines = [
        (n, line) for n, line in enumerate(re.split(r"\r\n|\n|\r", text), 1) if line.strip(" \t,;").strip()
    ]
    lines = [(n, line) for n, line in lines if line.lstrip()[0] not in "#%"] or lines
    if not lines:
        raise InputError(f"{path} has no numbers: name a file of measured pulses")
    for n, line in lines:
        if len(line) > _LONGEST:
            raise InputError(
                f"{path} row {n} has {len(line):,} characters, but a row may have {_LONGEST:,}: write a ramp "
                "a column, with a row for each pulse"
            )
    separator, comma = _separator([line for _, line in lines])
    rows = []
    for n, line in lines:
        cells = _split(line, separator)
        if separator is not None or len(cells) == 1:
            _check_mixed(path, n, cells, separator, comma)
        rows.append([_pointed(cell) for cell in cells] if comma else cells)
    what = f"text, cells separated by {SEPARATORS[separator]}" + (", decimal commas" if comma else "")
    grid = Grid(str(path), rows, [n for n, _ in lines], what)
    if separator == "," and _decimal_commas(grid):
        raise InputError(
            f"{path} row {lines[-1][0]}: the commas look like decimal commas ({shown(lines[-1][1])}): "
            f"write "
            "decimal points, or separate the columns by semicolons"
        )
    return grid


def _decoded(path: Path, raw: bytes) -> str:
    codings = ("utf-16",) if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for coding in codings:
        try:
            text = raw.decode(coding)
        except UnicodeDecodeError:
            continue
        if "\0" not in text:
            return text
    raise InputError(
        f"{path} is no text, and no kind of table that is known: save it as CSV or Excel (.xlsx)"
    )


def _split(line: str, separator: str | None) -> list[str]:
    cells = line.split() if separator is None else next(csv.reader([line], delimiter=separator))
    cells = [cell.strip().strip('"') for cell in cells]
    while len(cells) > 1 and not cells[-1]:
        cells.pop()
    return cells


def _pointed(cell: str) -> str:
    return cell.replace(",", ".") if re.fullmatch(r"[-+−]?\d*,\d+([eE][-+−]?\d+)?", cell) else cell


def _separator(lines: list[str]) -> tuple[str | None, bool]:
    """What separates the cells, and whether the decimal sign is a comma: where most cells are numbers,
    and of several such where there are most columns."""
    sample = lines[: max(40, len(lines) // 50)][:400] + lines[-10:]
    best: tuple[float, float, int] | None = None
    choice: tuple[str | None, bool] = (None, False)
    for order, separator in enumerate(SEPARATORS):
        for comma in (False, True):
            if separator == "," and comma:
                continue
            cells = [_split(line, separator) for line in sample]
            pointed = [[_pointed(c) for c in row] if comma else row for row in cells]
            known = [c for row in pointed for c in row if c]
            share = sum(number(c) is not None for c in known) / max(len(known), 1)
            width = sorted(len(row) for row in cells)[len(cells) // 2]
            score = (round(share, 1), width, -order)
            if best is None or score > best:
                best, choice = score, (separator, comma)
    return choice


def _check_mixed(path: Path, line: int, cells: list[str], separator: str | None, comma: bool) -> None:
    """Raise InputError where a row is cut by another separator than the others."""
    for other, name in SEPARATORS.items():
        if other == separator or (comma and other == ","):
            continue
        for column, cell in enumerate(cells, 1):
            parts = cell.split(other)
            if len(parts) > 1 and all(number(p) is not None and p.strip() for p in parts):
                if other == "," and separator is not None and re.fullmatch(r"[-+]?\d+,\d+", cell):
                    raise InputError(
                        f"{path} row {line}, column {column} is {shown(cell)}, a decimal comma where other "
                        "cells have decimal points: write all numbers alike"
                    )
                raise InputError(
                    f"{path} row {line}, column {column} is {shown(cell)}, with {name} where other rows "
                    f"have "
                    f"{SEPARATORS[separator]} between the cells: write all rows alike"
                )


def _decimal_commas(grid: Grid) -> bool:
    """Whether commas are rather decimal than between two columns: few whole parts, many digits behind."""
    rows = [row for row in grid.rows if all(number(c) is not None for c in row)]
    if any(len(row) > 1 for row in grid.rows if row not in rows[:1] and number(row[0]) is None):
        return False  # a header has several cells
    if len(rows) < 6 or any(len(row) != 2 or not (row[0] + row[1]).isdigit() for row in rows):
        return False
    first = {row[0] for row in rows}
    return len(first) <= 3 and sum(len(row[1]) >= 2 for row in rows) > len(rows) / 2


def _excel(path: Path, sheet: str | None) -> Grid:
    read_raw(path)
    try:
        import openpyxl
    except ImportError:
        raise InputError(
            f"{path} is an Excel file, which needs openpyxl: pip install 'ohmgrad[excel]', or save it as CSV"
        ) from None
    try:
        return _sheet(path, openpyxl.load_workbook(path, read_only=True, data_only=True), sheet)
    except InputError:
        raise
    except Exception as error:  # openpyxl and what it builds on raise errors of many kinds
        why = said(error) or type(error).__name__
        raise InputError(f"{path} cannot be read as Excel ({why}): save it anew as .xlsx or CSV") from None


def _sheet(path: Path, book: Any, sheet: str | None) -> Grid:
    """The rows of a sheet; without its name, of the first that has numbers."""
    names = book.sheetnames
    if sheet is not None and sheet not in names:
        raise InputError(f"{path} has no sheet {shown(sheet)}: choose --sheet from {', '.join(names)}")
    for name in [sheet] if sheet else names:
        page = book[name]
        if (page.max_row or 0) > MOST_ROWS:
            raise InputError(
                f"{path} sheet {name} has {page.max_row:,} rows, but at most {MOST_ROWS:,} are read"
            )
        if not hasattr(page, "iter_rows"):
            continue
        kept = [
            (n, list(row))
            for n, row in enumerate(page.iter_rows(values_only=True), 1)
            if any(_there(c) for c in row)
        ]
        for _, row in kept:
            while len(row) > 1 and not _there(row[-1]):
                row.pop()
        if sum(number(c) is not None and _there(c) for _, row in kept for c in row) >= 4:
            others = f" of {', '.join(names)}" if len(names) > 1 else ""
            rows = [row for _, row in kept]
            return Grid(f"{path} sheet {name}", rows, [n for n, _ in kept], f"Excel, sheet {name}{others}")
    raise InputError(
        f"{path} has no numbers in {'sheet ' + sheet if sheet else 'any sheet'}: name another file"
    )


def _there(cell: Any) -> bool:
    return cell is not None and str(cell).strip() != ""


def _parquet(path: Path) -> Grid:
    read_raw(path)
    import pyarrow
    import pyarrow.parquet

    try:
        rows = pyarrow.parquet.ParquetFile(path).metadata.num_rows
        if rows > MOST_ROWS:
            raise InputError(
                f"{path} has {rows:,} rows, but at most {MOST_ROWS:,} are read: keep some cycles"
            )
        table = pyarrow.parquet.read_table(path)
        columns = [column.to_pylist() for column in table.columns]
    except InputError:
        raise
    except Exception as error:  # pyarrow raises errors of many kinds for the bytes of a stranger
        raise InputError(
            f"{path} cannot be read as Parquet ({said(error)}): write it anew, or save CSV"
        ) from None
    body = [list(row) for row in zip(*columns, strict=True)]
    # as if the names were the first row, so that data begin at row 1
    return Grid(str(path), [list(table.column_names), *body], list(range(len(body) + 1)), "Parquet")
