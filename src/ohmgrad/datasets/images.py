"""The data sets: digits (embedded), MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, in their original files.

Texts, as sequences of characters, are in `ohmgrad.datasets.text`; their files are sought in the same places.

Files come from the folder `root`, else from the folder that the environment variable OHMGRAD_DATA
names, else they are downloaded once into the user's cache, with a checksum. A folder may hold the files
in a subfolder with the data set's name or directly (MNIST's and Fashion-MNIST's are called the same, so
a folder that is to serve both needs the subfolders). Each file may be plain, gzip or xz; CIFAR-10 and
CIFAR-100 may also be their official `.tar.gz`. Folders are only read.
"""

from __future__ import annotations

import gzip
import lzma
import math
import os
import tarfile
import time
import zlib
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checked import checked
from ..errors import InputError, check_choice, check_integer, said, shown
from ..ranges import COUNT
from ..rng import Key, words
from ..user_files import is_in_file, made_in, object_in
from .arrays import check_arrays, is_file_of_arrays, read_arrays

__all__ = ["DATASETS", "ENVIRONMENT", "SHAKESPEARE", "Dataset", "batches", "check_data", "files", "load"]

DATASETS = ("digits", "mnist", "fashion-mnist", "cifar10", "cifar100")
#: names the folder of the data sets' files
ENVIRONMENT = "OHMGRAD_DATA"
#: what FILE.py:NAME must be
_OWN = (
    "an ohmgrad.datasets.Dataset, or train_x, train_y, test_x, test_y; or a function that gives one of these"
)
_DOWNLOAD = f"leave out root and {ENVIRONMENT} to download the files"

#: training images and labels, test images and labels
_IDX = tuple(f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1"))
_CIFAR = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")
#: files of each data set
_FILES: dict[str, tuple[str, ...]] = {
    "mnist": _IDX,
    "fashion-mnist": _IDX,
    "cifar10": _CIFAR,
    "cifar100": ("train.bin", "test.bin"),
    "shakespeare": ("input.txt",),
}
#: sha256 of the text
SHAKESPEARE = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
_ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
#: records in each file of training images and in that of test images; a record is the label (in CIFAR-100
#: a coarse one before it), a byte each, then 3 x 32 x 32 pixels
_CIFAR_RECORDS = {"cifar10": (10000, 10000), "cifar100": (50000, 10000)}
_CIFAR_CLASSES = {"cifar10": 10, "cifar100": 100}
#: mean and standard deviation of the training set, by channel
_CIFAR_STANDARDS = {
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
#: subfolders in which a data set's files may lie
_FOLDERS: dict[str, tuple[str, ...]] = {
    "mnist": ("mnist", "MNIST/raw"),
    "fashion-mnist": ("fashion-mnist", "FashionMNIST/raw"),
    "cifar10": ("cifar10", "cifar-10-batches-bin"),
    "cifar100": ("cifar100", "cifar-100-binary"),
    "shakespeare": ("shakespeare",),
}
#: where to download from, and each file's checksum: sha256, or what it is
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
        {_ARCHIVES["cifar10"]: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"},
    ),
    "cifar100": (  # the page that offers the archive gives its md5
        "https://www.cs.toronto.edu/~kriz/",
        {_ARCHIVES["cifar100"]: "md5:03b5dce01913d631647c71ecec9e9cb8"},
    ),
    "shakespeare": (
        "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/",
        {"input.txt": SHAKESPEARE},
    ),
}
_Part = tuple[str, bytes]  # a file: its name for messages, and what is in it
_OPEN = {".gz": gzip.open, ".xz": lzma.open}
_AGAIN = "get the file again"
_BAR_AFTER = 1.0  # seconds; what is done sooner shows no bar


@checked(classes=COUNT)
@dataclass(frozen=True, eq=False)
class Dataset:
    """Images (n, channels, height, width), float32, and labels (n,), int64; training and test part.

    Pixels in [0, 1] were standardised with `mean` and `std`, by channel (one entry serves all).
    """

    name: str
    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor
    classes: int = 10
    mean: tuple[float, ...] = (0.0,)
    std: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            x, y = getattr(self, f"{part}_x"), getattr(self, f"{part}_y")
            if x.dim() != 4 or x.shape[1:] != self.train_x.shape[1:] or not x.numel():
                raise InputError(
                    f"{part}_x is {tuple(x.shape)}, but must be (images, channels, height, width), as train_x"
                )
            if y.shape != (len(x),):
                raise InputError(f"{part}_y is {tuple(y.shape)}, but must be ({len(x)},), a label an image")
        for name in ("mean", "std"):
            if len(getattr(self, name)) not in (1, self.shape[0]):
                raise InputError(f"{name} is {shown(getattr(self, name))}, but must have an entry a channel")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        c, h, w = self.train_x.shape[1:]
        return c, h, w

    @checked
    def first(self, count: int | None) -> Dataset:
        """The first `count` images of either part; all for None."""
        if count is not None:
            count = check_integer("count", count, 1)
        names = ("train_x", "train_y", "test_x", "test_y")
        return replace(self, **{name: getattr(self, name)[:count] for name in names})


@checked
def load(name: str, *, root: str | Path | None = None, progress: bool = True) -> Dataset:
    """Load a data set.

    Pixels are scaled to [0, 1]; those of CIFAR-10 and CIFAR-100 are then standardised per channel with the
    training set's mean and standard deviation, which are in the data set. `digits` are scikit-learn's 1797
    images of 8 x 8 pixels in one fixed random order, the last 20 % for testing.

    Args:
        name: one of `DATASETS`; the path of a .npz file, see `ohmgrad.datasets.arrays`; or FILE.py:NAME, a
            `Dataset`, four arrays (training images and labels, test images and labels), or a function that
            gives one or the other.
        root: folder with the files; see the top of this module for where else they are sought.
        progress: show a bar on stderr, if that is a terminal, when reading or downloading takes a while.

    Raises:
        InputError: for an unknown name, a missing folder or file, or a file that is not what its name
            says (truncated, corrupted, of another kind), and when a download fails.
    """
    if is_in_file(check_data(name)):
        found = made_in(name, (Dataset, tuple, list, dict), _OWN)
        return found if isinstance(found, Dataset) else _of_arrays(name, check_arrays(found, name))
    if is_file_of_arrays(name):
        return _of_arrays(name, read_arrays(name))
    if name == "digits":
        return _digits()
    parts = files(name, root=root, progress=progress)
    if name in _ARCHIVES:
        train, test = (
            _cifar(name, *of) for of in zip((parts[:-1], parts[-1:]), _CIFAR_RECORDS[name], strict=True)
        )
        return Dataset(name, *train, *test, _CIFAR_CLASSES[name], *_CIFAR_STANDARDS[name])
    (train_x, train_y), (test_x, test_y) = _idx_pair(*parts[:2]), _idx_pair(*parts[2:])
    if train_x.shape[1:] != test_x.shape[1:]:
        train, test = (" x ".join(map(str, x.shape[2:])) for x in (train_x, test_x))
        raise InputError(f"{parts[2][0]} has {test} pixels, but training images have {train}: {_AGAIN}")
    return Dataset(name, train_x, train_y, test_x, test_y)


def _of_arrays(name: str, found: list[np.ndarray]) -> Dataset:
    arrays = [torch.from_numpy(array) for array in found]
    return Dataset(name, *arrays, classes=int(torch.cat(arrays[1::2]).max()) + 1)


def check_data(name: Any) -> str:
    """Return a data set's name if it is one of `DATASETS`, ends in .npz, or is FILE.py:NAME with that in it.

    Raises:
        InputError: for an unknown name, or a file without it.
    """
    if is_in_file(name):
        object_in(name)
    elif not is_file_of_arrays(name):
        check_choice("data set", name, DATASETS, "a .npz file, or FILE.py:NAME")
    return name


def files(name: str, *, root: str | Path | None = None, progress: bool = True) -> list[tuple[str, bytes]]:
    """The files of a data set, unpacked: a name for messages, and what is in it; arguments as for `load`."""
    return _read(_find(_folder(name, root, progress), name), _Bar(f"reading {name}", progress))


@checked
def batches(
    x: Tensor, y: Tensor, batch_size: int, *, seed: int, epoch: int, drop_last: bool = False
) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches in an order that (seed, epoch) fixes; `drop_last` leaves a smaller last one out."""
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} rows and y has {len(y)}: pass a label for each image")
    most = 2**32 - 1
    batch_size = check_integer("batch_size", batch_size, 1, most)
    key = (check_integer("seed", seed, 0, most) << 20) + check_integer("epoch", epoch, 0, most)
    key = (key ^ (key >> 32) * 0x9E3779B1) % 2**32  # torch uses 32 bits of a seed: fold the others in
    parts = torch.randperm(len(x), generator=torch.Generator().manual_seed(key)).split(batch_size)
    return ((x[i], y[i]) for i in parts if len(i) == batch_size or not drop_last)


def _digits() -> Dataset:
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    x = torch.from_numpy(np.asarray(pixels, np.float32)).view(-1, 1, 8, 8) / 16
    y = torch.from_numpy(np.asarray(labels, np.int64))
    order = words(len(x), 0, 0, 0, Key(0, 0)).argsort(stable=True)
    train, test = order.split([len(x) - len(x) // 5, len(x) // 5])
    return Dataset("digits", x[train], y[train], x[test], y[test])


def _folder(name: str, root: str | Path | None, progress: bool) -> Path:
    """The folder to look in; downloads where neither `root` nor OHMGRAD_DATA is given."""
    given = os.environ.get(ENVIRONMENT) if root is None else root
    if not given:
        return _download(name, progress)
    folder = os.path.expanduser(given)  # leaves an unknown ~user as it is
    if not os.path.isdir(folder):
        where = f"{ENVIRONMENT} is" if root is None else "root is"
        raise InputError(f"{where} {folder}, but there is no such folder: correct it, or {_DOWNLOAD}")
    return Path(folder)


def _find(folder: Path, name: str) -> dict[str, Path]:
    """Where each of a data set's files lies; all must be in one place."""
    wanted, best = _FILES[name], dict[str, Path]()
    for place in [*(folder / sub for sub in _FOLDERS[name]), folder]:
        paths = {(file, end): place / (file + end) for file in wanted for end in (".xz", ".gz", "")}
        found = {file: path for (file, _), path in paths.items() if os.path.isfile(path)}
        if name in _ARCHIVES and len(found) < len(wanted) and os.path.isfile(place / _ARCHIVES[name]):
            found = dict.fromkeys(wanted, place / _ARCHIVES[name])
        if len(found) == len(wanted):
            return found
        best = max(best, found, key=len)
    missing = ", ".join(file for file in wanted if file not in best)
    looked = f"plain, .gz or .xz, in {', '.join(_FOLDERS[name])} or directly"
    other = f", and no {_ARCHIVES[name]}" if name in _ARCHIVES else ""
    raise InputError(f"{folder} has no {missing} ({looked}){other}: put all in one place, or {_DOWNLOAD}")


def _download(name: str, progress: bool) -> Path:
    import pooch

    pooch.get_logger().setLevel("WARNING")
    base, checksums = _SOURCES[name]
    cache = Path(pooch.os_cache("ohmgrad"))
    advice = f"try again later, or put {name} into a folder and set {ENVIRONMENT} to it"
    for file, checksum in checksums.items():
        try:
            with closing(_Bar(f"downloading {file}", progress)) as bar:
                get = pooch.HTTPDownloader(progressbar=bar, chunk_size=1 << 16, timeout=30)  # pyright: ignore
                pooch.retrieve(base + file, checksum, file, cache / name, downloader=get)  # pyright: ignore
        except OSError as error:  # those of requests are OSErrors, too
            status = getattr(getattr(error, "response", None), "status_code", None)
            reason = f"status {status}" if status else error.strerror or type(error).__name__
            raise InputError(f"cannot download {base + file} to {cache} ({reason}): {advice}") from None
        except ValueError:
            kind = checksum if ":" in checksum else f"sha256 {checksum}"
            expected = f"has a checksum other than {kind[:19]}... and was not kept"
            raise InputError(f"{base + file} {expected}: {advice}") from None
    return cache


class _Bar:
    """A bar on stderr that comes up after a while, in the form that pooch wants (total, update, ...)."""

    def __init__(self, label: str, show: bool) -> None:
        from rich.console import Console
        from rich.progress import Progress

        console = Console(stderr=True)
        self._progress = Progress(console=console, transient=True)
        self._task = self._progress.add_task(label)
        self._show = show and console.is_terminal
        self.total, self._done, self._start = 0, 0, time.monotonic()

    def update(self, n: int) -> None:
        self._done += n
        if self._show and time.monotonic() - self._start >= _BAR_AFTER:
            self._progress.start()
            self._progress.update(self._task, completed=self._done, total=self.total or None)

    def reset(self) -> None:
        self._done = 0

    def close(self) -> None:
        if self._progress.live.is_started:
            self._progress.stop()


def _read(found: dict[str, Path], bar: _Bar) -> list[_Part]:
    """Unpack a data set's files; CIFAR's may all be in one archive."""
    bar.total, parts, path = len(found), list[_Part](), Path()
    try:
        with closing(bar):
            for path in found.values():
                if path.name in _ARCHIVES.values():
                    return _read_archive(path, list(found), bar)
                with _OPEN.get(path.suffix, open)(path, "rb") as file:
                    parts.append((str(path), file.read()))
                bar.update(1)
    except (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, tarfile.TarError) as error:
        raise InputError(f"{path} is damaged ({said(error)}): {_AGAIN}") from None
    except OSError as error:
        raise InputError(f"cannot read {path} ({error.strerror or error}): check its permissions") from None
    return parts


def _read_archive(path: Path, wanted: list[str], bar: _Bar) -> list[_Part]:
    found: dict[str, bytes] = {}
    with gzip.open(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
        for member in archive:
            name, content = Path(member.name).name, archive.extractfile(member)
            if name in wanted and content is not None:
                found[name] = content.read()
                bar.update(1)
        file.read()  # what follows the archive, up to gzip's checksum
    if missing := [name for name in wanted if name not in found]:
        raise InputError(f"{path} has no {', '.join(missing)} in it: {_AGAIN}")
    return [(f"{path} ({name})", found[name]) for name in wanted]


def _idx_pair(images: _Part, labels: _Part) -> tuple[Tensor, Tensor]:
    x, y = _idx(images, 3), _idx(labels, 1)
    if len(x) != len(y):
        raise InputError(f"{labels[0]} has {len(y)} labels for {len(x)} images: {_AGAIN}")
    return torch.from_numpy(x.astype(np.float32)).unsqueeze(1).div_(255), _labels(y, labels[0])


def _idx(part: _Part, dims: int) -> np.ndarray:
    """An idx file: big-endian magic 0x0000080D (D dimensions), sizes, then unsigned bytes."""
    (name, raw), head, magic = part, 4 + 4 * dims, (0x0800 + dims).to_bytes(4, "big")
    if len(raw) < head or raw[:4] != magic:
        found = f"starts with 0x{raw[:4].hex()} and has {len(raw)} bytes"
        raise InputError(f"{name} {found}, but must start with 0x{magic.hex()}, {head} or more: {_AGAIN}")
    sizes = [int(size) for size in np.frombuffer(raw, ">u4", dims, 4)]
    if len(raw) - head != math.prod(sizes) or 0 in sizes:
        need = "must not be 0" if 0 in sizes else f"need {math.prod(sizes)}"
        found = f"{len(raw) - head} bytes after its header"
        raise InputError(f"{name} has {found}, but its sizes {sizes} {need}: {_AGAIN}")
    return np.frombuffer(raw, np.uint8, offset=head).reshape(sizes)


def _cifar(name: str, parts: list[_Part], records: int) -> tuple[Tensor, Tensor]:
    head = 1 if name == "cifar10" else 2  # bytes of labels, of which the last counts
    for file, raw in parts:
        if len(raw) != (size := (head + 3072) * records):
            raise InputError(f"{file} has {len(raw)} bytes unpacked, but must have {size}: {_AGAIN}")
    found = [(file, np.frombuffer(raw, np.uint8).reshape(records, -1)) for file, raw in parts]
    labels = torch.cat([_labels(r[:, head - 1], file, _CIFAR_CLASSES[name]) for file, r in found])
    pixels = np.concatenate([r[:, head:] for _, r in found]).reshape(-1, 3, 32, 32).astype(np.float32)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in _CIFAR_STANDARDS[name])
    return torch.from_numpy(pixels).div_(255).sub_(mean).div_(std), labels


def _labels(labels: np.ndarray, name: str, classes: int = 10) -> Tensor:
    if len(wrong := np.flatnonzero(labels >= classes)):
        first = f"label {labels[wrong[0]]} at index {wrong[0]}"
        raise InputError(f"{name} has {first}, but labels must be in 0 to {classes - 1}: {_AGAIN}")
    return torch.from_numpy(labels.astype(np.int64))
