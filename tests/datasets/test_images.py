"""Loaders: original formats in every compression, and one-line errors for every damage."""

from __future__ import annotations

import gzip
import lzma
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from ohmgrad import InputError, datasets
from ohmgrad.datasets import images
from tests.data_files import (
    ARCHIVE,
    CIFAR,
    PACK,
    N,
    check_cifar,
    cifar_files,
    idx,
    message,
    mnist_files,
    tar,
    write,
)

pytestmark = pytest.mark.usefixtures("small_cifar_and_no_folder")


# formats


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("sub", ["", "mnist", "MNIST/raw"])
def test_mnist_formats(tmp_path: Path, ending: str, sub: str) -> None:
    files = mnist_files()
    write(tmp_path / sub, files, ending)
    loaded = datasets.load("mnist", root=str(tmp_path))
    for x, y, part in ((loaded.train_x, loaded.train_y, "train"), (loaded.test_x, loaded.test_y, "t10k")):
        raw = np.frombuffer(files[f"{part}-images-idx3-ubyte"], np.uint8, offset=16)
        assert x.dtype == torch.float32
        assert y.dtype == torch.int64
        assert torch.equal(x, torch.from_numpy(raw.copy()).view(-1, 1, 28, 28).float() / 255)
        assert y.tolist() == [i % 10 for i in range(N[part])]
    assert (loaded.name, loaded.classes, loaded.shape) == ("mnist", 10, (1, 28, 28))


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("sub", ["", "cifar10", "cifar-10-batches-bin"])
def test_cifar_formats(tmp_path: Path, ending: str, sub: str) -> None:
    write(tmp_path / sub, cifar_files(), ending)
    check_cifar(datasets.load("cifar10", root=tmp_path), cifar_files())


def test_cifar_archive_in_any_order_and_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path / "cifar10", {ARCHIVE: tar(dict(reversed(cifar_files().items())))})
    check_cifar(datasets.load("cifar10", root=tmp_path), cifar_files())
    assert [path.name for path in tmp_path.rglob("*")] == ["cifar10", ARCHIVE]


def test_order_of_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`root` before OHMGRAD_DATA; a data set's own subfolder before files that lie directly there."""
    write(tmp_path / "env", mnist_files(1))
    write(tmp_path / "env" / "fashion-mnist", mnist_files(2), ".xz")
    write(tmp_path / "root", mnist_files(3))
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path / "env"))

    def first(seed: int) -> float:
        return mnist_files(seed)["train-images-idx3-ubyte"][16] / 255

    def loaded(name: str, root: Path | None = None) -> float:
        return float(datasets.load(name, root=root).train_x[0, 0, 0, 0])

    assert len({first(seed) for seed in (1, 2, 3)}) == 3
    assert loaded("mnist") == pytest.approx(first(1))
    assert loaded("fashion-mnist") == pytest.approx(first(2))
    assert loaded("mnist", tmp_path / "root") == pytest.approx(first(3))


# damage


def corrupt(packed: bytes) -> bytes:
    """Bytes in the middle of a compressed stream changed, its header and end left as they are."""
    middle = len(packed) // 2
    return packed[:middle] + bytes(255 - b for b in packed[middle : middle + 8]) + packed[middle + 8 :]


def damaged(files: dict[str, bytes]) -> dict[str, tuple[str, bytes, str]]:
    name, images = "train-images-idx3-ubyte", files["train-images-idx3-ubyte"]
    labels, zeros = files["train-labels-idx1-ubyte"], idx(np.zeros((20, 28, 28)))
    huge = images[:4] + b"\xff" * 12
    return {
        "truncated gzip": (f"{name}.gz", gzip.compress(images)[:-20], "is damaged .*end-of-stream"),
        "cut gzip header": (f"{name}.gz", gzip.compress(images)[:5], "is damaged"),
        "corrupted gzip": (f"{name}.gz", corrupt(gzip.compress(zeros)), "is damaged"),
        "corrupted deflate": (
            f"{name}.gz",
            gzip.compress(images)[:10] + b"\xff" * 50,
            "is damaged .*Error -3",
        ),
        "not gzip": (f"{name}.gz", b"<html>not found</html>", "is damaged .*Not a gzipped file"),
        "truncated xz": (f"{name}.xz", lzma.compress(images)[:-20], "is damaged .*end-of-stream"),
        "corrupted xz": (f"{name}.xz", corrupt(lzma.compress(images)), "is damaged .*Corrupt"),
        "not xz": (f"{name}.xz", b"<html>not found</html>", "is damaged .*format"),
        "magic": (name, labels + bytes(99), "starts with 0x00000801 .*must start with 0x00000803"),
        "magic of labels": ("train-labels-idx1-ubyte", images, "0x00000803 .*must start with 0x00000801"),
        "empty": (name, b"", "has 0 bytes, but must start with 0x00000803, 16 or more"),
        "cut header": (name, images[:15], "has 15 bytes, but must .*16 or more"),
        "too short": (name, images[:-1], r"15679 bytes after its header, .*\[20, 28, 28\] need 15680"),
        "too long": (name, images + b"\0", "15681 bytes after its header, .*need 15680"),
        "huge sizes": (name, huge, "0 bytes after its header, .*need 79228162458924105385300197375"),
        "no images": (name, idx(np.zeros((0, 28, 28))), "must not be 0"),
        "count": ("train-labels-idx1-ubyte", idx(np.array([0, 9, 11, 12])), "4 labels for 20 images"),
        "label": ("train-labels-idx1-ubyte", idx(np.arange(20) % 12), "label 10 at index 10, .*0 to 9"),
        "pixels": ("t10k-images-idx3-ubyte", idx(np.zeros((10, 28, 27))), "28 x 27 pixels, .*28 x 28"),
    }


@pytest.mark.parametrize("case", damaged(mnist_files()))
def test_damaged_mnist(tmp_path: Path, case: str) -> None:
    files = mnist_files()
    name, content, wanted = damaged(files)[case]
    write(tmp_path, {k: v for k, v in files.items() if not name.startswith(k)})
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=wanted):
        datasets.load("mnist", root=tmp_path)
    error = message("mnist", root=tmp_path)
    assert error.startswith(str(tmp_path / name))
    assert error.endswith(": get the file again")


def test_damaged_cifar(tmp_path: Path) -> None:
    files = write(tmp_path / "files", cifar_files())
    name = files / "data_batch_3.bin"
    content = name.read_bytes()
    for wrong in (content[:-1], content[:-3073], content + content[:3073], b""):
        name.write_bytes(wrong)
        assert f"{name} has {len(wrong)} bytes unpacked, but must have 12292" in message(
            "cifar10", root=files
        )
    name.write_bytes(content[:3073] + b"\x0a" + content[3074:])
    assert f"{name} has label 10 at index 1, but labels must be in 0 to 9" in message("cifar10", root=files)
    name.write_bytes(content)
    (files / "test_batch.bin").write_bytes(b"")
    assert "test_batch.bin has 0 bytes" in message("cifar10", root=files)


def test_damaged_cifar_archive(tmp_path: Path) -> None:
    path = tmp_path / ARCHIVE
    good = tar(cifar_files())
    html, text = b"<html>not found</html>", gzip.compress(b"no archive" * 100)
    for wrong in (good[:-100], good[:1000], corrupt(good), b"", html, text):
        path.write_bytes(wrong)
        assert f"{path} is damaged (" in message("cifar10", root=tmp_path)
    files = cifar_files()
    path.write_bytes(tar({k: v for k, v in files.items() if "_3" not in k and "test" not in k}))
    assert f"{path} has no data_batch_3.bin, test_batch.bin in it" in message("cifar10", root=tmp_path)
    path.write_bytes(gzip.compress(gzip.decompress(good)[: 512 * 20]))  # cut before it was compressed
    assert str(path) in message("cifar10", root=tmp_path)
    path.write_bytes(tar({**files, "data_batch_2.bin": b"short"}))
    assert f"{path} (data_batch_2.bin) has 5 bytes unpacked" in message("cifar10", root=tmp_path)


def test_unreadable_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    write(tmp_path, mnist_files(), ".gz")
    monkeypatch.setitem(images._OPEN, ".gz", refuse)  # permissions themselves do not stop root
    assert message("mnist", root=tmp_path).startswith(
        f"cannot read {tmp_path / 'train-images-idx3-ubyte.gz'} (Permission denied)"
    )


# places


def test_unknown_names() -> None:
    assert "'mnits': did you mean 'mnist'? choose one of digits, mnist" in message("mnits")
    assert "choose one of digits" in message("zzz")


def test_missing_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = "but there is no such folder: correct it"
    assert f"root is {tmp_path / 'no'}, {there}" in message("mnist", root=tmp_path / "no")
    (tmp_path / "file").write_bytes(b"")
    assert there in message("mnist", root=tmp_path / "file")
    assert there in message("mnist", root="~no-such-user-here/data")
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path / "none"))
    assert f"OHMGRAD_DATA is {tmp_path / 'none'}, {there}" in message("cifar10")
    assert len(datasets.load("digits").train_x) > 0  # which need no folder


def test_missing_files_are_listed(tmp_path: Path) -> None:
    every = ", ".join(mnist_files())
    assert f"{tmp_path} has no {every} (plain, .gz or .xz, in mnist, MNIST/raw or directly): put" in message(
        "mnist", root=tmp_path
    )
    error = message("cifar10", root=tmp_path)
    assert f"has no {', '.join(CIFAR)} (" in error
    assert f"and no {ARCHIVE}: put all in one place, or leave out root and OHMGRAD_DATA" in error
    write(tmp_path / "mnist", {k: v for k, v in mnist_files().items() if "t10k-labels" not in k}, ".gz")
    assert "has no t10k-labels-idx1-ubyte (" in message("mnist", root=tmp_path)
    assert f"has no {every} (" in message("fashion-mnist", root=tmp_path)


def test_import_is_light() -> None:
    code = (
        "import sys, ohmgrad.datasets; "
        "print([m for m in ('sklearn', 'pooch', 'requests') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"


@pytest.mark.skipif(not os.environ.get("OHMGRAD_DATA"), reason="needs the real files in OHMGRAD_DATA")
def test_real_mnist_label_counts() -> None:
    mnist = datasets.load("mnist")
    assert mnist.train_y.bincount().tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert mnist.train_x.shape == (60000, 1, 28, 28)
    assert mnist.test_x.shape == (10000, 1, 28, 28)
    assert float(mnist.train_x.mean()) == pytest.approx(0.1307, abs=1e-4)
