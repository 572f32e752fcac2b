"""Sixty broken or strange files end in one sentence each."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad import InputError
from ohmgrad.devices.fitting.cells import MOST_ROWS
from ohmgrad.devices.fitting.pulses import ReadOptions
from ohmgrad.devices.fitting.reading import read
from tests.devices.fitting.test_reading import (
    BOTH,
    DOWN,
    RNG,
    UP,
    crosssim,
    long,
    wide,
)


def put(line: int, text: str, base: str | None = None) -> str:
    """A good file with one row replaced (from 1)."""
    lines = (wide(header="up,down\n") if base is None else base).splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


def a(content: str | bytes, name: str = "a.csv") -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return [folder / name]

    return write


def b(contents: dict[str, str]) -> Callable[[Path], list[Path]]:
    return lambda folder: [a(content, name)(folder)[0] for name, content in contents.items()]


def npz(**arrays: Any) -> Callable[[Path], list[Path]]:
    def write(folder: Path) -> list[Path]:
        np.savez(folder / "a.npz", **arrays)
        return [folder / "a.npz"]

    return write


def folder(path: Path) -> list[Path]:
    return [path]


def numbered(number: Callable[[int], int]) -> str:
    """Rows of both ramps with numbers of pulses."""
    return "\n".join(f"{number(n)},{u:.4f},{d:.4f}" for n, (u, d) in enumerate(BOTH))


def opt(**options: Any) -> ReadOptions:
    return ReadOptions(**options)


SEMICOLONS = wide(header="up;down\n").replace(",", ";")
NOISE = "\n".join(f"{v:.4f},{w:.4f}" for v, w in RNG.standard_normal((90, 2)))
#: name -> (what writes the files, what the message must have, options)
BROKEN: dict[str, tuple[Callable[[Path], list[Path]], tuple[str, ...], ReadOptions]] = {
    name: (case[0], case[1], case[2] if len(case) > 2 else ReadOptions())  # pyright: ignore
    for name, case in {
        "no file": (lambda f: [f / "none.csv"], ("none.csv", "cannot read", "name a file")),
        "no files at all": (lambda f: [], ("no file is given",)),
        "a folder": (folder, ("is a folder", "name the file")),
        "the same twice": (lambda f: a(wide())(f) * 2, ("given twice",)),
        "empty": (a(""), ("a.csv is empty",)),
        "blank lines": (a("\n\n  \n"), ("a.csv is empty",)),
        "only a header": (a("up,down\n"), ("a.csv has no numbers",)),
        "only words": (a("hello world\nthis is no table\n"), ("has no numbers",)),
        "a picture": (a(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"), ("is a picture (PNG)", "save")),
        "a jpeg": (a(b"\xff\xd8\xff\xe0\0\x10JFIF"), ("is a picture (JPEG)",)),
        "a pdf": (a(b"%PDF-1.7\n"), ("is a PDF",)),
        "a web page": (a("<!DOCTYPE html><html>"), ("is a web page",)),
        "excel named csv": (a(b"PK\x03\x04" + bytes(50)), ("packed file", ".xlsx")),
        "old excel": (a(b"\xd0\xcf\x11\xe0" + bytes(50), "a.xls"), ("old Excel file",)),
        "hdf5": (a(b"\x89HDF\r\n\x1a\n", "a.h5"), ("is an HDF5 file",)),
        "npy": (a(b"\x93NUMPY\x01\0", "a.npy"), ("is a NumPy array",)),
        "bytes": (a(bytes(range(256)) * 4), ("is no text",)),
        "broken gzip": (a(b"\x1f\x8b\x08\0broken", "a.csv.gz"), ("cannot read",)),
        "half a gzip": (a(gzip.compress(wide().encode())[:-20], "a.csv.gz"), ("cannot read", "ended")),
        "gzip of nothing": (a(gzip.compress(b""), "a.csv.gz"), ("is empty",)),
        "a picture in gzip": (a(gzip.compress(b"\x89PNG"), "a.csv.gz"), ("is a picture",)),
        "broken npz": (a(b"PK\x03\x04broken", "a.npz"), ("cannot be read as .npz",)),
        "broken parquet": (a(b"PAR1broken", "a.parquet"), ("cannot be read as Parquet",)),
        "broken excel": (a(b"PK\x03\x04broken", "a.xlsx"), ("Excel",)),
        "text among numbers": (
            a(put(12, "1.2,broken")),
            ("a.csv row 12, column 2 (down)", "'broken'", "correct it"),
        ),
        "a word in the first column": (
            a(put(7, "contact lost,1.3")),
            ("row 7, column 1 (up)", "contact lost"),
        ),
        "a unit in a cell": (a(put(9, "1.2 uS,1.4")), ("row 9, column 1", "unit in the header")),
        "a unit in every cell": (
            a(wide(header="up,down\n").replace("\n", " uS\n")),
            ("row 2, column 2 (down uS)", "unit in the header"),
        ),
        "percent": (a(wide(header="up,down\n").replace("\n", "%\n")), ("row 2, column 2 (down%)", "%")),
        "dates for readings": (
            a("up,down\n" + "".join(f"2024-01-{n + 1:02d},1.{n}\n" for n in range(28))),
            ("row 2, column 1 (up)", "2024-01-01", "no number"),
        ),
        "an overload": (a(put(9, "9.9e37,1.4")), ("row 9, column 1 (up) is 9.9e+37", "overloaded")),
        "another size": (
            a("up,down\n" + "\n".join(f"{u},{d}e20" for u, d in BOTH)),
            ("row 2, column 2 (down)", "readings are around"),
        ),
        "two numbers in a cell": (a(put(9, '"1.2;1.3",1.4')), ("row 9, column 1", "semicolons")),
        "infinite": (a(put(9, "inf,1.4")), ("row 9, column 1", "'inf'")),
        "overflow": (a(put(9, "1e999,1.4")), ("row 9, column 1", "too large")),
        "overrange": (a(put(9, "OVRFLW,1.4")), ("row 9, column 1", "'OVRFLW'")),
        "hexadecimal": (a(put(9, "0x1F,1.4")), ("row 9, column 1", "0x1F")),
        "a fraction": (a(put(9, "1/2,1.4")), ("row 9, column 1", "1/2")),
        "thousands": (a(put(9, '"1,200.5",1.4')), ("row 9, column 1",)),
        "mixed delimiters": (a(put(8, "1.2 1.4", SEMICOLONS)), ("row 8", "white space", "semicolons")),
        "mixed delimiters 2": (a(put(8, "1.2;1.4")), ("row 8", "semicolons", "commas")),
        "one decimal comma": (a(put(8, "1,2;1.4", wide(";"))), ("row 8, column 1", "decimal comma")),
        "decimal commas between commas": (
            a("\n".join(f"{u:.4f}".replace(".", ",") for u in UP)),
            ("decimal commas", "semicolons"),
        ),
        "only separators": (a(",,,,\n;;;\n"), ("a.csv has no numbers",)),
        "the header again": (a(wide(header="up,down\n") * 2), ("row 42, column 1 (up)", "'up'")),
        "one row of all": (a(",".join(["1.5"] * 50_000)), ("row 1 has 199,999 characters",)),
        "no text at all": (a(wide().encode("utf-16-le")), ("is no text",)),
        "a hole in the text": (a(wide().replace("1", "\0", 1)), ("is no text",)),
        "one ramp up": (a("up\n" + "\n".join(f"{u:.4f}" for u in UP)), ("pulses up only", "both directions")),
        "one column": (a("\n".join(f"{d:.4f}" for d in DOWN)), ("pulses down only", "--pulses")),
        "two ramps up": (a("up,up2\n" + "\n".join(f"{u:.4f},{u:.4f}" for u in UP)), ("up only",)),
        "one row": (a("1.0,2.0\n"), ("1 readings", "needs 5")),
        "three rows": (a("up,down\n1,2\n1.5,1.5\n2,1\n"), ("3 readings", "needs 5")),
        "constant": (a("up,down\n" + "1.0,2.0\n" * 30), ("does not change",)),
        "constant without names": (a("a,y,z\n" + "1.0,2.0,3.0\n" * 30), ("does not change", "(a)")),
        "noise": (a(NOISE), ("scatters", "more than it moves")),
        "all missing": (a("up,down\n" + "nan,nan\n" * 30), ("no numbers",)),
        "a missing column": (a("up,down\n" + "\n".join(f"{u:.4f},nan" for u in UP)), ("up only",)),
        "exchanged": (
            a("up,down\n" + "\n".join(f"{d:.4f},{u:.4f}" for u, d in BOTH)),
            ("exchanged", "--unit ohm"),
        ),
        "10 million rows": (a("1\n" * 10_000_000), ("10,000,000 rows", f"{MOST_ROWS:,}", "keep some")),
        "pulse numbers fall": (
            a("pulse,up,down\n" + numbered(lambda n: n % 7)),
            ("row 9", "does not follow", "cycle="),
        ),
        "pulse numbers as dates": (
            a("pulse,up,down\n" + numbered(lambda n: n * 1_000_000)),
            ("pulses", "200,000", "pulse=NUMBER"),
        ),
        "zero resistance": (
            a("up (ohm),down (ohm)\n" + "0,1\n" + "\n".join(f"{1 / u:.5f},{1 / d:.5f}" for u, d in BOTH)),
            ("row 2, column 1", "resistance of 0"),
        ),
        "volts": (a(wide(header="up (V),down (V)\n")), ("column 1 (up (V)) is in V", "S, A or ohm")),
        "two units": (a(wide(header="up (uS),down (nS)\n")), ("nS and uS", "--unit")),
        "polarity": (a(long(("LTP", "sideways"))), ("row 42", "'sideways'", "up and down")),
        "device without name": (a(long().replace("\na,1,LTP,1,", "\n,1,LTP,1,", 1)), ("row 2", "is empty")),
        "no reading column": (
            a("device,cycle\n1,1\n1,2\n1,3\n"),
            ("no column of readings", "--column conductance=NUMBER"),
        ),
        "short ramps": (
            a("device,polarity,conductance\n" + "".join(f"{k},up,1.{k}\n{k},down,2.{k}\n" for k in range(9))),
            ("5 readings", "longer ramps"),
        ),
        "crosssim alone": (a(crosssim(), "inc.txt"), ("table of steps", "one of each direction")),
        "crosssim two up": (b({"inc.txt": crosssim(), "inc2.txt": crosssim()}), ("both tables of up",)),
        "crosssim short": (
            a("\n".join(crosssim().splitlines()[:-2]), "inc.txt"),
            ("3 rows of dG from row 4", "has 5"),
        ),
        "crosssim ragged": (a(crosssim() + " 3", "inc.txt"), ("row 8 has 8 numbers", "7 conductances")),
        "crosssim grids": (
            b({"inc.txt": crosssim(), "dec.txt": crosssim(-1).replace("9.000000e-04", "9.100000e-04")}),
            ("other conductances",),
        ),
        "crosssim exchanged": (b({"inc.txt": crosssim(-1), "dec.txt": crosssim()}), ("exchanged",)),
        "steps negative": (
            a("step up,step down\n0.1,0.2\n-0.1,0.2\n0.1,0.2\n"),
            ("row 3, column 1 (step up) is -0.1", "at least 0"),
        ),
        "probability": (
            a("direction,conductance,step,probability\nup,1,0,0\nup,2,0,1\nup,3,0,1\ndown,1,0,1\n"),
            ("conductance 1", "sum to 1"),
        ),
        "npz of text": (npz(name=np.array(["a"], dtype=object)), (".npz",)),
        "npz cube": (npz(a=np.zeros((3, 4, 5))), ("array a", "(3, 4, 5)")),
        "npz empty": (npz(a=np.float64(1)), ("no arrays of numbers",)),
        "npz complex": (npz(up=np.array(UP) + 0j), ("array up is complex128",)),
        "npz dates": (npz(up=np.zeros(9, "datetime64[s]")), ("array up is datetime64",)),
        "npz of gaps": (
            npz(G=np.arange(9.0)[None], cdf=np.linspace(0, 1, 5), inc=np.full((1, 5, 9), np.nan),
                dec=np.zeros((1, 5, 9))),
            ("increasing has a value that is not finite",),
        ),
        "npz infinite": (npz(up=np.full(9, np.inf), down=DOWN), ("array up has an infinite value",)),
        "flag: column": (a(wide()), ("no column '7'", "1 to 2"), opt(columns={"up": "7"})),
        "flag: one column twice": (
            a(wide()),
            ("--column up and --column down both name column 1",),
            opt(columns={"up": "1", "down": "1"}),
        ),
        "flag: role": (a(wide()), ("unknown role", "polarity"), opt(columns={"upp": "1"})),
        "flag: unit": (a(wide()), ("--unit is 'furlong'", "S, A or ohm"), opt(unit="furlong")),
        "flag: voltage": (a(wide()), ("--read-voltage is 0",), opt(read_voltage=0.0)),
        "flag: pulses": (a(wide()), ("--pulses is (2, 3)",), opt(pulses=(2, 3))),
        "flag: layout": (a(wide()), ("unknown layout 'tall'",), opt(layout="tall")),
        "flag: sheet": (a(wide()), ("--sheet is 'x'", "no Excel"), opt(sheet="x")),
    }.items()
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_file_ends_in_one_sentence(case: str, tmp_path: Path) -> None:
    write, parts, options = BROKEN[case]
    files = write(tmp_path)
    if case == "broken excel":
        pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    with pytest.raises(InputError) as error:
        read(files, options)
    text = str(error.value).replace(str(tmp_path) + "/", "")
    for part in parts:
        assert part in text
    assert "\n" not in text
    assert len(text) <= 400  # never more than a few lines of a terminal
    assert not re.search(r"Traceback|Error\b", text)


def test_two_columns_of_whole_numbers_are_no_decimal_commas(tmp_path: Path) -> None:
    rows = "".join(f"1,{100 + n}\n" for n in range(40))
    (tmp_path / "a.csv").write_text("amplitude,conductance\n" + rows)
    with pytest.raises(InputError, match="up only"):
        read([tmp_path / "a.csv"])


def test_there_are_sixty_broken_files() -> None:
    assert len(BROKEN) >= 60
