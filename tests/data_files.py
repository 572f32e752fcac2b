"""Small data sets in their original formats, and the error of a loading that must fail."""

from __future__ import annotations

import gzip
import hashlib
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from ohmgrad import InputError, datasets

__all__ = [
    "ARCHIVE",
    "CIFAR",
    "PACK",
    "N",
    "check_cifar",
    "cifar_files",
    "idx",
    "message",
    "mnist_files",
    "sums",
    "tar",
    "write",
]  # fmt: skip

PACK: dict[str, Callable[[bytes], bytes]] = {"": lambda b: b, ".gz": gzip.compress, ".xz": lzma.compress}
N = {"train": 20, "t10k": 10}
CIFAR = [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"]
ARCHIVE = "cifar-10-binary.tar.gz"


def idx(values: np.ndarray) -> bytes:
    head = (0x0800 + values.ndim).to_bytes(4, "big")
    return head + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.astype(np.uint8).tobytes()


def mnist_files(seed: int = 0) -> dict[str, bytes]:
    rng = np.random.default_rng(seed)
    files = {}
    for part, n in N.items():
        files[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return files


def cifar_files() -> dict[str, bytes]:
    records = np.random.default_rng(1).integers(0, 256, (6, 4, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    return {name: r.tobytes() for name, r in zip(CIFAR, records, strict=True)}


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in {"readme.html": b"not images", **files}.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def write(folder: Path, files: dict[str, bytes], ending: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (name + ending)).write_bytes(PACK[ending](content))
    return folder


def message(name: str, **options: Any) -> str:
    """The error of a loading that must fail; it is one line."""
    with pytest.raises(InputError) as error:
        datasets.load(name, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def check_cifar(loaded: datasets.Dataset, files: dict[str, bytes]) -> None:
    mean, std = np.array([0.4914, 0.4822, 0.4465]), np.array([0.2470, 0.2435, 0.2616])
    assert loaded.shape == (3, 32, 32)
    for x, y, names in (
        (loaded.train_x, loaded.train_y, CIFAR[:-1]),
        (loaded.test_x, loaded.test_y, CIFAR[-1:]),
    ):
        records = np.frombuffer(b"".join(files[name] for name in names), np.uint8).reshape(-1, 3073)
        assert y.tolist() == records[:, 0].tolist()
        assert x.dtype == torch.float32
        pixels = (x.double().numpy().transpose(0, 2, 3, 1) * std + mean) * 255  # channels last
        wanted = records[:, 1:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        np.testing.assert_allclose(pixels, wanted, atol=1e-3)


def sums(files: dict[str, bytes]) -> dict[str, str]:
    return {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
