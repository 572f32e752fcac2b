"""The data sets: digits (embedded), MNIST, Fashion-MNIST and CIFAR-10, in their original files.

Files come from the folder `root`, else from the folder that the environment variable OHMGRAD_DATA
names, else they are downloaded once into the user's cache, with a checksum. A folder may hold the files
directly or in a subfolder with the data set's name; each file may be plain, gzip or xz.
"""

from __future__ import annotations

import gzip
import hashlib
import lzma
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from .errors import InputError, check_choice

__all__ = ["DATASETS", "Dataset", "batches", "load"]

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10")
ENVIRONMENT = "OHMGRAD_DATA"

_IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_CIFAR = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
#: subfolders in which a data set's files may lie
_FOLDERS = {
    "mnist": ("mnist", "MNIST/raw"),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw"),
    "cifar10": ("cifar10", "cifar-10-batches-bin"),
}
#: where to download from, and each file's sha256
_SOURCES: dict[str, tuple[str, dict[str, str]]] = {
    "mnist": (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        {
            "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
            "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
            "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
            "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        },
    ),
    "fashion-mnist": (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        {
            "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
            "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
            "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
            "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        },
    ),
    "cifar10": (
        "https://www.cs.toronto.edu/~kriz/",
        {"cifar-10-binary.tar.gz": "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ),
}
_CIFAR_MEAN = (0.4914, 0.4822, 0.4465)
_CIFAR_STD = (0.2470, 0.2435, 0.2616)


@dataclass(frozen=True)
class Dataset:
    """Images (n, channels, height, width), float32, and labels (n,), int64; training and test part."""

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int = 10

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        c, h, w = self.train_x.shape[1:]
        return c, h, w


def load(name: str, *, root: str | Path | None = None) -> Dataset:
    """Load a data set.

    Pixels are scaled to [0, 1]; those of CIFAR-10 are then standardised per channel with the training
    set's mean (0.4914, 0.4822, 0.4465) and standard deviation (0.2470, 0.2435, 0.2616). `digits` are
    scikit-learn's 1797 images of 8 x 8 pixels, of which every fifth is a test image.

    Args:
        name: one of `DATASETS`.
        root: folder with the files; see the top of this module for where else they are sought.

    Raises:
        InputError: for an unknown name, a missing folder or file, or a file that is not what its name
            says (truncated, corrupted, of another kind), and when a download fails.
    """
    check_choice("data set", name, DATASETS)
    if name == "digits":
        return _digits()
    folder = _folder(name, root)
    if name == "cifar10":
        parts = [_cifar(_find(folder, name, file)) for file in _CIFAR]
        x = torch.cat([images for images, _ in parts[:-1]])
        y = torch.cat([labels for _, labels in parts[:-1]])
        return Dataset(name, x, y, parts[-1][0], parts[-1][1])
    paths = [_find(folder, name, file) for file in _IDX]
    train_x, test_x = _idx(paths[0], 3), _idx(paths[2], 3)
    train_y, test_y = _idx(paths[1], 1), _idx(paths[3], 1)
    for images, labels, path in ((train_x, train_y, paths[1]), (test_x, test_y, paths[3])):
        if len(images) != len(labels):
            raise InputError(f"{path} has {len(labels)} labels for {len(images)} images: {_AGAIN}")
        _check_labels(labels, path)
    return Dataset(
        name,
        train_x.unsqueeze(1).float() / 255,
        train_y.long(),
        test_x.unsqueeze(1).float() / 255,
        test_y.long(),
    )


def batches(x: Tensor, y: Tensor, size: int, *, seed: int, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches in an order that (seed, epoch) fixes; the last one may be smaller."""
    generator = torch.Generator().manual_seed((seed << 20) + epoch)
    for index in torch.randperm(len(x), generator=generator).split(size):
        yield x[index], y[index]


_AGAIN = "get the file again"


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    bunch = load_digits()
    x = torch.from_numpy(bunch.images).float().unsqueeze(1) / 16  # pyright: ignore
    y = torch.from_numpy(bunch.target).long()  # pyright: ignore
    test = torch.arange(len(x)) % 5 == 4
    return Dataset("digits", x[~test], y[~test], x[test], y[test])


def _folder(name: str, root: str | Path | None) -> Path:
    """The folder to look in; downloads where neither `root` nor OHMGRAD_DATA is given."""
    given = root if root is not None else os.environ.get(ENVIRONMENT)
    if not given:
        return _download(name)
    folder = Path(given).expanduser()
    if not folder.is_dir():
        where = "the data folder" if root is not None else f"the folder in {ENVIRONMENT}"
        raise InputError(f"{where}, {folder}, does not exist: correct it, or unset {ENVIRONMENT} to download")
    return folder


def _find(folder: Path, name: str, file: str) -> Path:
    for sub in ("", *_FOLDERS[name]):
        for ending in ("", ".gz", ".xz"):
            path = folder / sub / (file + ending)
            if path.is_file():
                return path
    raise InputError(
        f"{folder} has no {file}, {file}.gz or {file}.xz, there or in {_FOLDERS[name][0]}/: put the file "
        f"there, or unset {ENVIRONMENT} to download the data set"
    )


def _download(name: str) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    base, files = _SOURCES[name]
    folder = Path(pooch.os_cache("ohmgrad")) / name
    for file, checksum in files.items():
        if (folder / file).is_file() and pooch.file_hash(str(folder / file)) == checksum:
            continue
        bar = pooch.HTTPDownloader(progressbar=_Bar(file), timeout=60)  # pyright: ignore
        try:
            pooch.retrieve(base + file, checksum, file, folder, downloader=bar)  # pyright: ignore
        except (OSError, ValueError) as error:  # no network, refused, or another checksum
            reason = " ".join(str(error).split())[:160]
            raise InputError(
                f"cannot download {base + file} ({reason}): put the files in a folder and set {ENVIRONMENT}"
            ) from None
    if name == "cifar10":
        _unpack(folder)
    return folder


class _Bar:
    """Progress of a download, in the form that pooch wants: `total` is set, then update and close."""

    def __init__(self, label: str) -> None:
        from rich.progress import Progress

        self.total = 0
        self._progress = Progress(transient=True)
        self._task = self._progress.add_task(f"downloading {label}", total=None)
        self._progress.start()

    def update(self, n: int) -> None:
        self._progress.update(self._task, advance=n, total=self.total or None)

    def reset(self) -> None:
        self._progress.reset(self._task)

    def close(self) -> None:
        self._progress.stop()


def _unpack(folder: Path) -> None:
    import tarfile

    with tarfile.open(folder / "cifar-10-binary.tar.gz") as archive:
        for member in archive.getmembers():
            if Path(member.name).name in _CIFAR and not (folder / Path(member.name).name).is_file():
                source = archive.extractfile(member)
                if source is not None:
                    (folder / Path(member.name).name).write_bytes(source.read())


def _read(path: Path) -> bytes:
    opener = {".gz": gzip.open, ".xz": lzma.open}.get(path.suffix, open)
    try:
        with opener(path, "rb") as file:
            return file.read()
    except (OSError, EOFError, lzma.LZMAError, ValueError) as error:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else "unreadable"
        raise InputError(
            f"{path} is damaged ({' '.join(str(error).split())}; sha256 {digest}...): {_AGAIN}"
        ) from None


def _idx(path: Path, dims: int) -> Tensor:
    """An idx file: big-endian magic 0x0000080D (D dimensions), sizes, then unsigned bytes."""
    raw = _read(path)
    head = 4 + 4 * dims
    magic = int.from_bytes(raw[:4], "big")
    if len(raw) < head or magic != 0x0800 + dims:
        raise InputError(f"{path} starts with 0x{magic:08x}, but must with 0x{0x0800 + dims:08x}: {_AGAIN}")
    sizes = [int.from_bytes(raw[4 + 4 * i : 8 + 4 * i], "big") for i in range(dims)]
    if len(raw) - head != int(np.prod(sizes)):
        raise InputError(
            f"{path} has {len(raw) - head} bytes after its header, but its sizes {sizes} need "
            f"{int(np.prod(sizes))}: {_AGAIN}"
        )
    return torch.from_numpy(np.frombuffer(raw, np.uint8, offset=head).reshape(sizes).copy())


def _cifar(path: Path) -> tuple[Tensor, Tensor]:
    """Records of one label byte and 3 x 32 x 32 pixels."""
    raw = _read(path)
    if not raw or len(raw) % 3073:
        raise InputError(f"{path} has {len(raw)} bytes, but must have a multiple of 3073: {_AGAIN}")
    records = torch.from_numpy(np.frombuffer(raw, np.uint8).reshape(-1, 3073).copy())
    labels = records[:, 0].long()
    _check_labels(labels, path)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (_CIFAR_MEAN, _CIFAR_STD))
    return (records[:, 1:].view(-1, 3, 32, 32).float() / 255 - mean) / std, labels


def _check_labels(labels: Tensor, path: Path) -> None:
    if len(labels) == 0 or int(labels.max()) > 9:
        top = int(labels.max()) if len(labels) else "none"
        raise InputError(f"{path} has labels up to {top}, but they must be in 0 to 9: {_AGAIN}")
