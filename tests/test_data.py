"""Loaders: original formats in every compression, one-line errors for every damage, downloads."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import lzma
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from ohmgrad import InputError, data

PACK: dict[str, Callable[[bytes], bytes]] = {"": lambda b: b, ".gz": gzip.compress, ".xz": lzma.compress}
N = {"train": 20, "t10k": 10}


def idx(values: np.ndarray) -> bytes:
    head = (0x0800 + values.ndim).to_bytes(4, "big")
    return head + b"".join(n.to_bytes(4, "big") for n in values.shape) + values.astype(np.uint8).tobytes()


def mnist_files() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    files = {}
    for part, n in N.items():
        files[f"{part}-images-idx3-ubyte"] = idx(rng.integers(0, 256, (n, 28, 28)))
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return files


def write(folder: Path, files: dict[str, bytes], ending: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / (name + ending)).write_bytes(PACK[ending](content))
    return folder


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("sub", ["", "mnist"])
def test_mnist_formats(tmp_path: Path, ending: str, sub: str) -> None:
    files = mnist_files()
    write(tmp_path / sub, files, ending)
    loaded = data.load("mnist", root=tmp_path)
    raw = np.frombuffer(files["train-images-idx3-ubyte"], np.uint8, offset=16).reshape(20, 1, 28, 28)
    assert loaded.shape == (1, 28, 28)
    assert torch.equal(loaded.train_x, torch.from_numpy(raw.copy()).float() / 255)
    assert loaded.train_y.tolist() == [i % 10 for i in range(20)]
    assert len(loaded.test_x) == len(loaded.test_y) == 10


@pytest.mark.parametrize("ending", PACK)
def test_cifar_formats(tmp_path: Path, ending: str) -> None:
    rng = np.random.default_rng(1)
    names = [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    records = rng.integers(0, 256, (6, 4, 3073), dtype=np.uint8)
    records[:, :, 0] %= 10
    write(tmp_path, {n: r.tobytes() for n, r in zip(names, records, strict=True)}, ending)
    loaded = data.load("cifar10", root=tmp_path)
    assert loaded.train_x.shape == (20, 3, 32, 32)
    assert loaded.test_y.tolist() == records[5, :, 0].tolist()
    back = loaded.test_x[0, 2, 3, 4] * 0.2616 + 0.4465
    assert float(back) * 255 == pytest.approx(records[5, 0, 1 + 2048 + 3 * 32 + 4], abs=1e-3)


def damaged(files: dict[str, bytes]) -> dict[str, tuple[str, bytes, str]]:
    images, labels = files["train-images-idx3-ubyte"], files["train-labels-idx1-ubyte"]
    return {
        "truncated gzip": ("train-images-idx3-ubyte.gz", gzip.compress(images)[:-20], "damaged"),
        "not gzip": ("train-images-idx3-ubyte.gz", b"<html>not found</html>", "damaged"),
        "truncated xz": ("train-images-idx3-ubyte.xz", lzma.compress(images)[:-20], "damaged"),
        "magic": ("train-images-idx3-ubyte", labels, "0x00000803"),
        "empty": ("train-images-idx3-ubyte", b"", "0x00000803"),
        "size": ("train-images-idx3-ubyte", images[:-1], "15679 bytes"),
        "label": ("train-labels-idx1-ubyte", idx(np.full(20, 11)), "labels up to 11"),
        "count": ("train-labels-idx1-ubyte", idx(np.arange(9)), "9 labels for 20 images"),
    }


@pytest.mark.parametrize("case", damaged(mnist_files()))
def test_damage_is_one_line(tmp_path: Path, case: str) -> None:
    files = mnist_files()
    name, content, message = damaged(files)[case]
    write(tmp_path, {k: v for k, v in files.items() if not name.startswith(k)}, "")
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message) as error:
        data.load("mnist", root=tmp_path)
    assert "\n" not in str(error.value)
    assert name in str(error.value)


def test_wrong_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="did you mean 'mnist'"):
        data.load("mnits")
    with pytest.raises(InputError, match="does not exist"):
        data.load("mnist", root=tmp_path / "no")
    monkeypatch.setenv("OHMGRAD_DATA", str(tmp_path / "none"))
    with pytest.raises(InputError, match="OHMGRAD_DATA"):
        data.load("cifar10")
    with pytest.raises(InputError, match="train-images-idx3-ubyte"):
        data.load("mnist", root=tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(b"x" * 100)
    with pytest.raises(InputError, match="3073"):
        data.load("cifar10", root=tmp_path)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    folder = tmp_path / "served"
    folder.mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    handler.log_message = lambda *_: None  # pyright: ignore
    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=web.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{web.server_port}/", folder
    web.shutdown()


def test_download(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    files = {f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()}
    write(folder, files, "")
    sums = {k: hashlib.sha256(v).hexdigest() for k, v in files.items()}
    monkeypatch.setattr(data, "_SOURCES", {"mnist": (url, sums)})
    monkeypatch.delenv("OHMGRAD_DATA", raising=False)
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    first = data.load("mnist")
    (folder / "train-images-idx3-ubyte.gz").unlink()  # the second time nothing is downloaded
    assert torch.equal(data.load("mnist").train_x, first.train_x)

    wrong = {**sums, "t10k-labels-idx1-ubyte.gz": "0" * 64}
    monkeypatch.setattr(data, "_SOURCES", {"mnist": (url, wrong)})
    with pytest.raises(InputError, match=r"cannot download .*t10k-labels") as error:
        data.load("mnist")
    assert "\n" not in str(error.value)
    monkeypatch.setattr(data, "_SOURCES", {"mnist": ("http://127.0.0.1:9/", wrong)})
    with pytest.raises(InputError, match="set OHMGRAD_DATA"):
        data.load("mnist")


def test_checksums_are_sha256() -> None:
    for _, files in data._SOURCES.values():
        assert all(len(checksum) == 64 for checksum in files.values())


def test_digits() -> None:
    digits = data.load("digits")
    assert digits.shape == (1, 8, 8)
    assert len(digits.train_x) + len(digits.test_x) == 1797
    assert float(digits.train_x.min()) == 0.0
    assert float(digits.train_x.max()) == 1.0
    assert digits.test_y.bincount().min() > 20


def test_batches_depend_on_seed_and_epoch_only() -> None:
    x, y = torch.arange(23.0), torch.arange(23)

    def order(seed: int, epoch: int) -> list[int]:
        got = list(data.batches(x, y, 5, seed=seed, epoch=epoch))
        assert [len(b) for b, _ in got] == [5, 5, 5, 5, 3]
        assert all(torch.equal(a.long(), b) for a, b in got)
        return torch.cat([b for _, b in got]).tolist()

    assert order(1, 2) == order(1, 2)
    assert sorted(order(1, 2)) == list(range(23))
    assert len({tuple(order(s, e)) for s in range(3) for e in range(3)}) == 9


@pytest.mark.skipif(not os.environ.get("OHMGRAD_DATA"), reason="needs the real files in OHMGRAD_DATA")
def test_real_mnist_label_counts() -> None:
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert data.load("mnist").train_y.bincount().tolist() == counts
