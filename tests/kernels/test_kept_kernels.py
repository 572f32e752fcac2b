"""Compiled kernels that are kept: damaged, swapped, unwritable and lost files cost time, and nothing else."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import pytest
from numba import njit

from ohmgrad import kernel_cache
from ohmgrad.kernel_cache import cache_folder, keep


def twice(x):
    return x + x


def compiled(*values: Any) -> tuple[Any, int, int]:
    """What a new process gets: the results, kernels that came from the folder, and those compiled."""
    kernel = keep(njit(twice))
    results = [kernel(value) for value in values]
    return results, sum(kernel.stats.cache_hits.values()), sum(kernel.stats.cache_misses.values())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this module's kernels, with that of `twice` for integers."""
    monkeypatch.setattr(kernel_cache, "cache_folder", lambda: str(tmp_path))
    monkeypatch.setattr(kernel_cache._Cache, "told", False)
    assert compiled(3) == ([6], 0, 1)
    assert compiled(3) == ([6], 1, 0)
    return tmp_path / __name__


@pytest.mark.parametrize("ending", ["nbi", "nbc"])
def test_damaged_files_are_made_anew(ending: str, folder: Path) -> None:
    (file,) = folder.glob(f"*.{ending}")
    right = file.read_bytes()
    flipped = bytearray(right)
    flipped[len(right) // 2] ^= 4
    for content in (bytes(flipped), right[: len(right) // 2], b"", right[::-1]):
        file.write_bytes(content)
        assert compiled(3) == ([6], 0, 1)
        assert compiled(3) == ([6], 1, 0)


def test_the_file_of_another_signature_is_not_taken(folder: Path) -> None:
    """As when two processes compile at once."""
    assert compiled(3, 1.5) == ([6, 3.0], 1, 1)
    one, two = sorted(folder.glob("*.nbc"))
    one.write_bytes(two.read_bytes())
    assert compiled(3, 1.5) == ([6, 3.0], 1, 1)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS])
def test_a_folder_that_cannot_be_written_to(
    number: int, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: Any) -> None:
        raise OSError(number, "no more")

    monkeypatch.setattr(kernel_cache._Files, "_write", full)
    assert compiled(1.5, 3, 2j) == ([3.0, 6, 4j], 1, 2)
    line = f"ohmgrad: kernels cannot be kept in {folder.parent} (no more): each start compiles them again\n"
    assert capsys.readouterr().err == line


def test_which_folder_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    request.addfinalizer(cache_folder.cache_clear)

    def asked() -> str:
        cache_folder.cache_clear()
        return cache_folder()

    monkeypatch.setattr(kernel_cache.config, "CACHE_DIR", str(tmp_path / "own"))
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path))
    own = Path(asked())
    assert (own.parent, own.is_dir()) == (tmp_path / "own", True)

    monkeypatch.setattr(kernel_cache, "_can_write", lambda folder: folder.parent != own.parent)
    assert asked() == str(own)  # one that can only be read may have kernels
    own.rmdir()
    other = Path(asked())
    assert other.name == own.name
    assert other.parent.parent == tmp_path
    assert other.parent.stat().st_mode & 0o777 == 0o700
    for unsafe in (0o770, 0o755):  # where somebody else could put code
        other.parent.chmod(unsafe)
        assert asked() == str(own)
    other.parent.rmdir()
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    other.parent.symlink_to(tmp_path / "elsewhere")
    assert asked() == str(own)
