"""Files that are whole or not there: written beside, brought to the disk, then put in their place."""

from __future__ import annotations

import contextlib
import os
import uuid
from pathlib import Path

__all__ = ["HALF", "write_whole"]

#: ending of files that were cut off while they were written
HALF = ".half"


def write_whole(file: Path, content: bytes | str, *, keep: Path | None = None) -> None:
    """Write a file; one that is cut off leaves the old one whole, and two processes do not mix.

    Args:
        file: is replaced if it is there.
        content: text is written in UTF-8.
        keep: where the old file goes once the new one is whole.

    Raises:
        OSError: naming the file; the old one is still there, in its place or as `keep`.
    """
    beside = file.with_name(f".{file.name}.{uuid.uuid4().hex[:12]}{HALF}")
    try:
        with beside.open("xb") as out:  # a new file: a link that lies there is not followed
            out.write(content.encode() if isinstance(content, str) else content)
            out.flush()
            os.fsync(out.fileno())
        if keep is not None and file.is_file():
            os.replace(file, keep)
        os.replace(beside, file)
        _sync(file.parent)
    except OSError as error:  # that of a write does not say of which file
        raise OSError(error.errno, error.strerror, str(file)) from None
    finally:
        with contextlib.suppress(OSError):
            beside.unlink()


def _sync(folder: Path) -> None:
    """Bring the names in a folder to the disk, where the system has that."""
    if os.name == "posix":
        place = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(place)
        finally:
            os.close(place)
