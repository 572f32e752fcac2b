"""What fuzzing found, once each."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad import Device, InputError, Noise, SoftBounds, Spread
from ohmgrad.datasets.arrays import read_arrays
from ohmgrad.devices import ExpBounds
from ohmgrad.devices.fitting.reading import read
from tests.fuzz.mutations import members
from tests.fuzz.parsers import ARRAYS, excel, made


@pytest.mark.parametrize(
    "made",
    [
        lambda: Device(SoftBounds(-1e308, 0.6)),
        lambda: Device(SoftBounds(-0.6, 2**70)),
        lambda: Device(ExpBounds(up=1e-320)),
        lambda: Device(SoftBounds(), 1e-320),
        lambda: Spread(dw_min=1e308),
        lambda: Noise(1e308),
    ],
)
def test_sizes_beyond_float32(made: Any) -> None:
    with pytest.raises(InputError, match=r"must be a number in|is needed"):
        made()


def test_a_file_of_a_sign_that_is_blank_to_python_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\x1c")
    with pytest.raises(InputError, match="no numbers"):
        read([tmp_path / "a.csv"])


def test_an_excel_file_with_a_damaged_sheet(tmp_path: Path) -> None:
    content = bytearray(made(excel, "a.xlsx"))
    at = content.index(b"sheet1.xml") + len(b"sheet1.xml")
    content[at : at + 40] = bytes(40)
    (tmp_path / "a.xlsx").write_bytes(content)
    with pytest.raises(InputError, match="cannot be read as Excel"):
        read([tmp_path / "a.xlsx"])


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_images_that_are_not_finite(value: float, tmp_path: Path) -> None:
    images = ARRAYS["test_x"].copy()
    images[2, 1] = value
    (tmp_path / "a.npz").write_bytes(members(**{**ARRAYS, "test_x": images}))
    with pytest.raises(InputError, match=rf"test_x of .* is {re.escape(str(value))} at \(2, 0, 0, 1\), but"):
        read_arrays(tmp_path / "a.npz")
