"""`ohmgrad info`: what a bug report needs to know of a machine."""

from __future__ import annotations

import json
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from .console import console

__all__ = ["info"]

#: what results and speed depend on
PACKAGES = ("torch", "numba", "llvmlite", "numpy", "scipy", "pyarrow", "matplotlib", "triton", "aihwkit")


def info(
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, for programs.")] = False,
) -> None:
    """Versions, back ends, threads, kernel cache, data folder and cards of this machine, for bug reports."""
    found = gathered()
    if as_json:
        print(json.dumps(found, indent=2))
        return
    width = max(map(len, found))
    for name, value in found.items():
        text = ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
        console.print(f"{name:<{width}}  {text}", highlight=False, soft_wrap=True, markup=False)


def gathered() -> dict[str, Any]:
    """What `ohmgrad info` prints, by name."""
    import torch

    from ..datasets import ENVIRONMENT
    from ..kernel_cache import cache_folder
    from ..version import __version__

    cache = Path(cache_folder())
    size = sum(file.stat().st_size for file in cache.rglob("*") if file.is_file()) if cache.is_dir() else 0
    cards = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "ohmgrad": __version__,
        "Python": platform.python_version(),
        "system": f"{platform.platform()}, {_processor()}, {os.cpu_count()} cores",
        "packages": {name: _version(name) for name in PACKAGES},
        "threads": {"torch": torch.get_num_threads(), **_threads()},
        "back ends": _back_ends(cards),
        "cards": ", ".join(cards) or "none",
        "kernel cache": f"{cache} ({size / 2**20:.0f} MiB)" if size else f"{cache} (empty)",
        "data folder": os.environ.get(ENVIRONMENT) or f"{ENVIRONMENT} is not set: data sets are downloaded",
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The processor's name, where the system tells it."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text().splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _threads() -> dict[str, str]:
    """What the environment asks for."""
    names = ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    return {name: os.environ[name] for name in names if name in os.environ}


def _back_ends(cards: list[str]) -> str:
    card = "triton" if cards and _version("triton") != "not installed" else ""
    return ", ".join(filter(None, ("reference", "numba", card)))
