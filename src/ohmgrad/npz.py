"""Arrays of .npz files, of which nothing is run, and whose sizes are looked at before memory is asked for."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import InputError, said
from .sizes import memory

__all__ = ["read_npz"]

_HEADERS: dict[Any, Any] = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def read_npz(path: Path, names: Sequence[str], what: str) -> dict[str, np.ndarray]:
    """The arrays of these names in a file; those that it has not are left out.

    Args:
        path: of the file.
        names: of the arrays.
        what: the file should be, for messages.

    Raises:
        FileNotFoundError: when there is none.
        InputError: when it is no .npz file of numbers or text, is damaged, or its arrays do not fit into the
            memory of the machine.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            there = {info.filename: info for info in archive.infolist()}
            found = {name: there[f"{name}.npy"] for name in names if f"{name}.npy" in there}
            sizes = [_size(archive, info) for info in found.values()]
        if sum(sizes) > memory():
            raise InputError(
                f"{path} has arrays of {sum(sizes) / 2**30:.3g} GiB, but this machine has "
                f"{memory() / 2**30:.3g} GiB of memory: write fewer values, or in a smaller type"
            )
        with np.load(path, allow_pickle=False) as file:
            return {name: file[name] for name in found}
    except (FileNotFoundError, InputError):
        raise
    except Exception as error:  # a damaged file may raise anything
        raise InputError(f"{path} cannot be read as {what}: {said(error) or type(error).__name__}") from None


def _size(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Bytes of an array, as its header says, which must be those of its file."""
    with archive.open(info) as member:
        read = _HEADERS[np.lib.format.read_magic(member)]
        shape, _, kind = read(member)
        size = math.prod(shape) * kind.itemsize
        if size != info.file_size - member.tell():
            raise ValueError(f"{info.filename} has not the {size} bytes of its {kind} {shape}")
    return size
