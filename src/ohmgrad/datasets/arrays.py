"""A data set of one's own, or of features that were computed once, in one .npz file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, shown
from ..npz import read_npz

__all__ = ["NAMES", "check_arrays", "is_file_of_arrays", "read_arrays"]

#: arrays of the file: images (n, channels, height, width) or vectors (n, inputs), and labels (n,)
NAMES = ("train_x", "train_y", "test_x", "test_y")


def is_file_of_arrays(name: Any) -> bool:
    """Whether a data set's name is the path of a .npz file."""
    return isinstance(name, str) and name.endswith(".npz")


def read_arrays(path: str | Path) -> list[np.ndarray]:
    """The arrays `NAMES` of a file: images float32, (n, channels, height, width); labels int64, from 0.

    Vectors (n, inputs) become images (n, 1, 1, inputs).

    Raises:
        InputError: when the file cannot be read, lacks an array, or has one of another shape or kind.
    """
    path = Path(path).expanduser()
    try:
        found = read_npz(path, NAMES, "a .npz file of numbers")
    except FileNotFoundError:
        raise InputError(f"data is {shown(str(path))}, but there is no such file: correct the path") from None
    if missing := [name for name in NAMES if name not in found]:
        raise InputError(f"{path} has no array {missing[0]}: it must have {', '.join(NAMES)}")
    return check_arrays({name: found[name] for name in NAMES}, path)


def check_arrays(given: Any, path: str | Path) -> list[np.ndarray]:
    """The arrays `NAMES`, images float32 and labels int64, of a mapping or in this order; as `read_arrays`.

    Args:
        given: a mapping with these names, or a sequence of four; anything that NumPy makes an array of.
        path: where they are from, for messages.
    """
    names = given if isinstance(given, dict) else NAMES
    if len(given) != len(NAMES) or {*names} != {*NAMES}:
        raise InputError(f"{path} has {len(given)} arrays, but must have {', '.join(NAMES)}")
    values = (given[name] for name in NAMES) if isinstance(given, dict) else given
    found = {name: np.asarray(value) for name, value in zip(NAMES, values, strict=True)}
    for part in ("train", "test"):
        x, y = found[f"{part}_x"], found[f"{part}_y"]
        if x.dtype.kind not in "fiu" or x.ndim not in (2, 4) or 0 in x.shape:
            raise InputError(
                f"{part}_x of {path} is {x.dtype} {x.shape}, but must be numbers (n, inputs) or (n, "
                "channels, height, width)"
            )
        if y.dtype.kind not in "iu" or y.shape != x.shape[:1] or y.min() < 0:
            raise InputError(
                f"{part}_y of {path} is {y.dtype} {y.shape}, but must be {len(x)} whole numbers from 0 up"
            )
        with np.errstate(over="ignore"):
            images = (x[:, None, None, :] if x.ndim == 2 else x).astype(np.float32, copy=False)
        if not np.isfinite(images).all():
            first = tuple(int(i) for i in np.argwhere(~np.isfinite(images))[0])
            wrong = x[first if x.ndim == 4 else (first[0], first[3])]
            raise InputError(f"{part}_x of {path} is {wrong} at {first}, but must be finite in float32")
        found[f"{part}_x"] = images
        found[f"{part}_y"] = y.astype(np.int64, copy=False)
    if found["train_x"].shape[1:] != found["test_x"].shape[1:]:
        shapes = " and ".join(str(found[f"{part}_x"].shape[1:]) for part in ("train", "test"))
        raise InputError(f"train_x and test_x of {path} are of shapes {shapes}, but must be alike")
    return [found[name] for name in NAMES]
