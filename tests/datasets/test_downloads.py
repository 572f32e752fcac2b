"""Downloads of data sets: what is kept, what is refused, and the bar on the way."""

from __future__ import annotations

import functools
import gzip
import http.server
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from ohmgrad import datasets
from ohmgrad.datasets import images
from tests.data_files import (
    ARCHIVE,
    check_cifar,
    cifar_files,
    message,
    mnist_files,
    sums,
    tar,
    write,
)

pytestmark = pytest.mark.usefixtures("small_cifar_and_no_folder")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, Path]]:
    """A web server for a folder, which sends half of each file if one is named `cut`.

    Downloads go to tmp_path/cache.
    """
    folder = tmp_path / "served"
    folder.mkdir()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

        def copyfile(self, source: Any, outputfile: Any) -> None:
            content = source.read()
            outputfile.write(content[: len(content) // 2] if (folder / "cut").exists() else content)

    web = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=web.serve_forever, args=(0.01,), daemon=True).start()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("pooch.os_cache", lambda _: tmp_path / "cache")
    yield f"http://127.0.0.1:{web.server_port}/", folder
    web.shutdown()
    web.server_close()


def test_download(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    files = {f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()}
    write(folder, files)
    monkeypatch.setattr(images, "_SOURCES", {"mnist": (url, sums(files))})
    monkeypatch.setenv("OHMGRAD_DATA", "")  # empty is unset
    first = datasets.load("mnist")
    assert sorted(path.name for path in (tmp_path / "cache" / "mnist").iterdir()) == sorted(files)
    assert torch.equal(first.train_x, datasets.load("mnist", root=folder).train_x)
    for name in files:
        (folder / name).unlink()
    assert torch.equal(datasets.load("mnist").test_x, first.test_x)  # nothing is downloaded again

    kept = tmp_path / "cache" / "mnist" / "t10k-images-idx3-ubyte.gz"
    kept.write_bytes(b"damaged")  # which the checksum finds; it is downloaded again
    assert f"{url}t10k-images-idx3-ubyte.gz" in message("mnist")
    write(folder, files)
    assert torch.equal(datasets.load("mnist").test_x, first.test_x)


def test_download_of_an_archive(server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    files = {ARCHIVE: tar(cifar_files())}
    write(folder, files)
    monkeypatch.setattr(images, "_SOURCES", {"cifar10": (url, sums(files))})
    check_cifar(datasets.load("cifar10"), cifar_files())


def test_failed_downloads(server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url, folder = server
    files = {f"{k}.gz": gzip.compress(v) for k, v in mnist_files().items()}
    write(folder, files)
    label = "t10k-labels-idx1-ubyte.gz"
    monkeypatch.setattr(images, "_SOURCES", {"mnist": (url, {**sums(files), label: "0" * 64})})
    error = message("mnist")
    assert f"{url}{label} has a checksum other than sha256 000000000000... and was not kept" in error
    assert error.endswith("or put mnist into a folder and set OHMGRAD_DATA to it")
    assert not (tmp_path / "cache" / "mnist" / label).exists()

    (folder / label).unlink()
    assert f"cannot download {url}{label}" in message("mnist")
    assert "(status 404)" in message("mnist")
    monkeypatch.setattr(images, "_SOURCES", {"fashion-mnist": ("http://127.0.0.1:9/", sums(files))})
    assert "(ConnectionError): try again later" in message("fashion-mnist")
    monkeypatch.setattr("pooch.os_cache", lambda _: folder / "train-images-idx3-ubyte.gz")  # a file
    assert "cannot download http://127.0.0.1:9/" in message("fashion-mnist")


def test_every_file_has_a_checksum() -> None:
    """A sha256, but for CIFAR-100, of which its page gives the md5."""
    wanted = {"mnist": [f"{k}.gz" for k in mnist_files()], "cifar10": [ARCHIVE], "shakespeare": ["input.txt"]}
    wanted["fashion-mnist"] = wanted["mnist"]
    wanted["cifar100"] = ["cifar-100-binary.tar.gz"]
    assert {name: list(files) for name, (_, files) in images._SOURCES.items()} == wanted
    checksums = [c for _, files in images._SOURCES.values() for c in files.values()]
    assert len(set(checksums)) == 11
    md5 = images._SOURCES["cifar100"][1]["cifar-100-binary.tar.gz"]
    kind, _, digits = md5.partition(":")
    assert (kind, len(digits)) == ("md5", 32)
    checksums.remove(md5)
    assert all(len(c) == 64 and set(c) <= set("0123456789abcdef") for c in checksums)


@pytest.mark.parametrize(("progress", "terminal"), [(True, True), (False, True), (True, False)])
def test_bar_is_for_terminals_and_goes_away(
    progress: bool, terminal: bool, server: tuple[str, Path], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(images, "_BAR_AFTER", 0.0)
    monkeypatch.delenv("FORCE_COLOR", raising=False)
    monkeypatch.setenv("TTY_COMPATIBLE", "1" if terminal else "0")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: terminal, raising=False)
    url, folder = server
    shown = progress and terminal
    archive = write(folder, {ARCHIVE: tar(cifar_files())}) / ARCHIVE
    monkeypatch.setattr(images, "_SOURCES", {"cifar10": (url, sums({ARCHIVE: archive.read_bytes()}))})
    datasets.load("cifar10", progress=progress)
    out, err = capsys.readouterr()
    assert out == ""
    assert (f"downloading {ARCHIVE}" in err, "reading cifar10" in err, err != "") == (shown, shown, shown)

    write(folder, {"cut": b"", ARCHIVE: bytes(2**19)})  # a download that breaks off leaves no bar, either
    (tmp_path / "cache" / "cifar10" / ARCHIVE).unlink()
    assert "(ChunkedEncodingError)" in message("cifar10", progress=progress)
    assert (f"downloading {ARCHIVE}" in capsys.readouterr().err) == shown
    for thread in threading.enumerate():
        if "rich" in type(thread).__module__:
            thread.join(timeout=2)  # it looks ten times a second whether it is to end
            assert not thread.is_alive()
