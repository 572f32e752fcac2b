"""CIFAR-100 in its original files: fine labels count, plain, packed and in its archive; damage is named."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from ohmgrad import datasets
from ohmgrad.datasets import images
from tests.data_files import PACK, message, write

pytestmark = pytest.mark.usefixtures("small_cifar_and_no_folder")

ARCHIVE = "cifar-100-binary.tar.gz"
MEAN, STD = np.array([0.5071, 0.4865, 0.4409]), np.array([0.2673, 0.2564, 0.2762])


def files() -> dict[str, bytes]:
    """20 and 4 records: a coarse label below 20, a fine one below 100, pixels."""
    rng = np.random.default_rng(2)
    found = {}
    for name, n in (("train.bin", 20), ("test.bin", 4)):
        records = rng.integers(0, 256, (n, 3074), dtype=np.uint8)
        records[:, 0] %= 20
        records[:, 1] %= 100
        records[0, 1] = 99
        found[name] = records.tobytes()
    return found


def tar() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, content in {"fine_label_names.txt": b"apple", **files()}.items():
            member = tarfile.TarInfo(f"cifar-100-binary/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def check(loaded: datasets.Dataset) -> None:
    assert (loaded.shape, loaded.classes) == ((3, 32, 32), 100)
    assert loaded.mean == pytest.approx(MEAN)
    assert loaded.std == pytest.approx(STD)
    for x, y, name in (
        (loaded.train_x, loaded.train_y, "train.bin"),
        (loaded.test_x, loaded.test_y, "test.bin"),
    ):
        records = np.frombuffer(files()[name], np.uint8).reshape(-1, 3074)
        assert y.tolist() == records[:, 1].tolist()
        pixels = records[:, 2:].reshape(-1, 3, 32, 32) / 255
        expected = (pixels - MEAN[:, None, None]) / STD[:, None, None]
        assert torch.allclose(x, torch.tensor(expected, dtype=torch.float32), atol=1e-5)


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("sub", ["", "cifar100", "cifar-100-binary"])
def test_formats(tmp_path: Path, ending: str, sub: str) -> None:
    write(tmp_path / sub, files(), ending)
    check(datasets.load("cifar100", root=tmp_path))


def test_archive(tmp_path: Path) -> None:
    write(tmp_path / "cifar100", {ARCHIVE: tar()})
    check(datasets.load("cifar100", root=tmp_path))


def test_damage_is_named(tmp_path: Path) -> None:
    place = write(tmp_path, files())
    content = (place / "train.bin").read_bytes()
    (place / "train.bin").write_bytes(content[:-1])
    assert f"has {len(content) - 1} bytes unpacked, but must have {20 * 3074}" in message(
        "cifar100", root=place
    )
    (place / "train.bin").write_bytes(content[:1] + b"\x64" + content[2:])
    assert "has label 100 at index 0, but labels must be in 0 to 99" in message("cifar100", root=place)
    (place / "test.bin").unlink()
    assert (
        f"has no test.bin (plain, .gz or .xz, in cifar100, cifar-100-binary or directly), and no {ARCHIVE}"
        in (message("cifar100", root=place))
    )


def test_a_wrong_archive_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its md5 is checked as the others' sha256 is."""
    import pooch

    good = tar()
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")

    def fetch(url: str, output: str, *_: object) -> None:
        Path(output).write_bytes(served[0])

    monkeypatch.setattr(pooch, "HTTPDownloader", lambda **_: fetch)
    checksum = f"md5:{hashlib.md5(good).hexdigest()}"
    monkeypatch.setattr(images, "_SOURCES", {"cifar100": ("http://nowhere/", {ARCHIVE: checksum})})
    served = [gzip.compress(b"other")]
    assert f"has a checksum other than {checksum[:19]}... and was not kept" in message("cifar100")
    served[0] = good
    check(datasets.load("cifar100"))
