"""With what the numbers of a folder were made: versions of the programs, kept beside the numbers."""

from __future__ import annotations

import os
import platform
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
import yaml

from ..errors import InputError
from ..version import __version__
from ..yaml_text import read_yaml

__all__ = ["note_versions", "read_versions", "versions_now"]

#: file of a run's or a study's folder
_FILE = "versions.yaml"


def versions_now() -> dict[str, str]:
    """Versions of what makes numbers here, the machine, and the threads, on which torch's sums depend."""
    out = {"ohmgrad": __version__, "python": platform.python_version()}
    for name in ("torch", "numpy", "numba", "scipy"):
        try:
            out[name] = version(name)
        except PackageNotFoundError:
            continue
    return {
        **out,
        "machine": f"{platform.system()} {platform.machine()}",
        "threads": str(torch.get_num_threads()),
    }


def note_versions(folder: Path) -> None:
    """Note in a folder what makes its numbers from now on; of a folder that went on elsewhere, all."""
    known = read_versions(folder)
    for name, value in versions_now().items():
        old = known.get(name, value).split(", ")
        known[name] = ", ".join([*old, *([] if value in old else [value])])
    with tempfile.NamedTemporaryFile("w", dir=folder, suffix=".tmp", delete=False, encoding="utf-8") as file:
        file.write(yaml.safe_dump(known, sort_keys=False))
    os.replace(file.name, folder / _FILE)  # of two processes that share a folder, too, the file is whole


def read_versions(folder: Path) -> dict[str, str]:
    """What was noted in a folder; nothing where nothing was, or the file is damaged."""
    file = folder / _FILE
    try:
        found = read_yaml(file) if file.is_file() else {}
    except InputError:
        found = {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}
