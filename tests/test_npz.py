"""Files of arrays that are damaged, or would need more memory than there is: one line that names them."""

from __future__ import annotations

import gzip
import io
import random
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad import InputError, Measured, npz
from ohmgrad.datasets.arrays import read_arrays


def tables() -> dict[str, Any]:
    cdf, g = np.linspace(0, 1, 5), np.linspace(1.0, 2.0, 4)[None]
    up = np.full((1, 5, 4), 0.02) + 0.01 * cdf[:, None]
    return {"G": g, "cdf": cdf, "inc": up, "dec": -up}


def test_tables_that_are_damaged(tmp_path: Path) -> None:
    """Bits that flip and files that end early: refused in a line, or the same tables."""
    file, draw, told = tmp_path / "a.npz", random.Random(0), []
    for save in (np.savez, np.savez_compressed):
        save(file, **tables())
        good, whole = file.read_bytes(), Measured.from_npz(file)
        wrong = [good[:size] for size in (0, 1, 30, len(good) // 2, len(good) - 1)]
        for at in [draw.randrange(8 * len(good)) for _ in range(150)]:
            flipped = bytearray(good)
            flipped[at // 8] ^= 1 << at % 8
            wrong.append(bytes(flipped))
        for bad in wrong:
            file.write_bytes(bad)
            try:
                assert Measured.from_npz(file) == whole
            except InputError as error:
                told.append(str(error))
    assert all(line.startswith(str(file)) and "\n" not in line for line in told)
    assert len(told) > 200


def huge(shape: tuple[int, ...], kind: str = "<f8", size: int = 0) -> bytes:
    """A .npy file whose header says more than there is."""
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    return out.getvalue() + bytes(size)


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (huge((10**6, 10**6)), "has not the 8000000000000 bytes"),
        (huge((2**70,)), "has not the"),
        (huge((3,), size=23), "has not the 24 bytes"),
        (huge((3,), "|O", 24), "cannot be read"),
        (b"\x93NUMPY\x09\x00", "cannot be read"),
        (b"text", "cannot be read"),
    ],
)
def test_arrays_that_are_not_there(member: bytes, message: str, tmp_path: Path) -> None:
    file = tmp_path / "a.npz"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("G", "train_x"):
            archive.writestr(f"{name}.npy", member)
    for read in (Measured.from_npz, read_arrays):
        with pytest.raises(InputError, match=rf"^{file} .*{message}"):
            read(file)


def test_more_than_the_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "a.npz"
    np.savez(file, **tables())
    monkeypatch.setattr(npz, "memory", lambda: 2**8)
    with pytest.raises(InputError, match=r"a\.npz has arrays of .* GiB of memory: write fewer values"):
        Measured.from_npz(file)


def test_text_that_is_large_once_it_is_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ohmgrad.devices.measured.MOST_TEXT", 2**20)
    file = tmp_path / "a.csv.gz"
    content = gzip.compress(bytes(2**22))
    cut, broken = content[:50], content[:12] + b"xxxx" + content[16:]
    for bad, message in ((content, "more than 1 MiB"), (cut, "end"), (broken, "cannot be read")):
        file.write_bytes(bad)
        with pytest.raises(InputError, match=message):
            Measured.from_crosssim(file, file)
