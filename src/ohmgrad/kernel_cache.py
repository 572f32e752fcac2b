"""Where compiled kernels are kept, in files that are whole or not there.

Numba's own files have no checksum, and what goes wrong with them ends the program. Here a file that is
damaged, or that another process has written over, is one that is not there: its kernel is compiled again. One
that cannot be written, as on a full disk, is left out, with a line.
"""

# pyright: reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
# (Numba's settings are made when it is imported; it says of abstract methods that they return nothing)

from __future__ import annotations

import hashlib
import os
import pickle
import sys
import tempfile
from functools import cache, lru_cache
from pathlib import Path
from types import FunctionType
from typing import Any

import platformdirs
from numba.core import caching, config
from numba.core.serialize import dumps

__all__ = ["SOURCES", "cache_folder", "cache_key", "keep", "sources"]

#: files below the package that kernels take code or numbers from, as patterns
SOURCES = ("rng.py", "kernel_cache.py", "kernels/*.py", "kernels/reference/*.py", "kernels/cpu/*.py",
           "ensemble/*.py")  # fmt: skip
_DIGEST = hashlib.sha256().digest_size


def sources(package: Path) -> list[Path]:
    """The files of `SOURCES`, in a fixed order."""
    return sorted({path for pattern in SOURCES for path in package.glob(pattern)})


def cache_key(package: Path) -> str:
    """Short name of what is in all kernel sources.

    Numba's own rule looks only at the file that holds a kernel, so that after an edit or an upgrade
    further down the chain it would go on running the old code.
    """
    content = hashlib.sha256()
    for path in sources(package):
        text = path.read_bytes()
        content.update(f"{path.relative_to(package).as_posix()} {len(text)}\n".encode() + text)
    return content.hexdigest()[:16]


@lru_cache(maxsize=1)
def cache_folder() -> str:
    """Folder of the compiled kernels: one per content of their sources.

    It is that of the user, if only to be read; where that cannot be made, one of the user's own among the
    temporary files.
    """
    name = f"kernels-{cache_key(Path(__file__).parent)}"
    own = Path(config.CACHE_DIR or platformdirs.user_cache_dir("ohmgrad")) / name
    if own.is_dir() or _can_write(own):
        return str(own)
    user = getattr(os, "getuid", lambda: "user")()
    root = Path(tempfile.gettempdir()) / f"ohmgrad-{user}"
    try:
        root.mkdir(mode=0o700, exist_ok=True)
        state = root.lstat()
        # what lies there is run, so that it must be nobody else's
        safe = root.is_dir() and not root.is_symlink() and (os.name != "posix" or state.st_uid == user)
        if safe and (os.name != "posix" or not state.st_mode & 0o077) and _can_write(root / name):
            return str(root / name)
    except OSError:
        pass
    return str(own)


def _can_write(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError:
        return False
    return True


def keep(dispatcher: Any) -> Any:
    """The compiled function, with its code kept in the folder from now on."""
    dispatcher._cache = _Cache(dispatcher.py_func)
    return dispatcher


class _Place(caching._CacheLocator):
    """A folder for each module, whether it can be written to or not."""

    def __init__(self, function: FunctionType, file: str) -> None:
        self._line, self._file = function.__code__.co_firstlineno, file
        self._folder = str(Path(cache_folder()) / function.__module__)

    def get_cache_path(self) -> str:
        return self._folder

    def get_source_stamp(self) -> bytes:
        return _content(self._file)

    def get_disambiguator(self) -> str:
        return str(self._line)

    @classmethod
    def from_function(cls, py_func: FunctionType, py_file: str) -> _Place:
        return cls(py_func, py_file)


@cache
def _content(file: str) -> bytes:
    return hashlib.sha256(Path(file).read_bytes()).digest()


class _Results(caching.CompileResultCacheImpl):
    _locator_classes = [_Place]  # noqa: RUF012 (Numba's)


class _Cache(caching.FunctionCache):
    """Numba's cache of a function, with files of ours."""

    _impl_class = _Results
    told = False

    def __init__(self, function: FunctionType) -> None:
        super().__init__(function)
        impl = self._impl
        self._cache_file = _Files(self._cache_path, impl.filename_base, impl.locator.get_source_stamp())

    def save_overload(self, sig: Any, data: Any) -> None:
        try:
            super().save_overload(sig, data)
        except OSError as error:
            if not _Cache.told:
                _Cache.told = True
                why = f"cannot be kept in {cache_folder()} ({error.strerror})"
                print(f"ohmgrad: kernels {why}: each start compiles them again", file=sys.stderr)


class _Files(caching.IndexDataCacheFile):
    """An index, and a file for each signature that says which; each begins with the SHA-256 of the rest."""

    def save(self, key: Any, data: Any) -> None:
        super().save(key, (key, data))

    def load(self, key: Any) -> Any:
        found = super().load(key)
        # two processes that compile at once may give two signatures the same number
        return found[1] if found is not None and found[0] == key else None

    def _load_index(self) -> dict[Any, str]:
        try:
            version, stamp, overloads = _read(self._index_path)
        except OSError:
            return {}
        return overloads if (version, stamp) == (self._version, self._source_stamp) else {}

    def _save_index(self, overloads: dict[Any, str]) -> None:
        self._write(self._index_path, (self._version, self._source_stamp, overloads))

    def _load_data(self, name: str) -> Any:
        return _read(self._data_path(name))

    def _save_data(self, name: str, data: Any) -> None:
        self._write(self._data_path(name), data)

    def _write(self, path: str, value: Any) -> None:
        content = dumps(value)
        with self._open_for_write(path) as file:
            file.write(hashlib.sha256(content).digest() + content)


def _read(path: str) -> Any:
    """What `_Files` wrote.

    Raises:
        OSError: also when it is damaged.
    """
    content = Path(path).read_bytes()
    if hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        raise OSError(f"{path} is damaged")
    try:
        return pickle.loads(content[_DIGEST:])
    except Exception as error:  # as of another version of Numba, whose modules have other names
        raise OSError(f"{path} cannot be read") from error
