"""The files that trainings go on from: tensors as safetensors, all else as JSON in their header.

    header of safetensors   names, types, shapes and places of the tensors, and one entry of metadata,
                            `ohmgrad`: the SHA-256 of the JSON text, a space, and the text
    JSON text               format      of this layout, an integer
                            ohmgrad     version that wrote it
                            about       what the file is of, to be compared with what is wanted
                            tensors     type, shape and SHA-256 of each tensor
                            content     lists, dictionaries, numbers and text; tensors by name
    data                    the tensors

So every byte that has a meaning is under a checksum, and nothing in the file is ever run. A checksum tells
damage and mistakes, not forgery: values are checked besides, see `training_state`.
"""

from __future__ import annotations

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, is_integer, shown
from ..version import __version__
from .files import write_whole

__all__ = ["FORMAT", "SUFFIX", "Checkpoint", "events_of", "previous", "read_checkpoint", "read_plain",
           "write_checkpoint"]  # fmt: skip

#: of the layout; raised when what is written changes its meaning
FORMAT = 1
SUFFIX = ".safetensors"
#: the longest header that safetensors takes, in bytes
_LONGEST = 100_000_000
_ENTRY = "ohmgrad"


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
        version: of ohmgrad that wrote it.
        about: what it is of.
        content: lists, dictionaries, numbers, text, None and tensors.
        tensors: all of the content, by the way to them, as in optimizer/state/0/0/fast/events.
    """

    version: str
    about: dict[str, Any]
    content: Any
    tensors: dict[str, Tensor]


def previous(file: Path) -> Path:
    """Where the checkpoint before the one in `file` is kept."""
    return file.with_suffix(f".prev{SUFFIX}")


def write_checkpoint(file: Path, about: Mapping[str, Any], content: Any, *, keep: bool = True) -> None:
    """Write a checkpoint as a whole, see `files.write_whole`.

    Args:
        file: its name ends in `SUFFIX`.
        about: JSON's types.
        content: dictionaries with text or whole numbers as keys, lists, JSON's types and tensors.
        keep: whether the file that is there becomes the one before.

    Raises:
        OSError: when it cannot be written.
    """
    from safetensors.torch import save

    tensors: dict[str, Tensor] = {}
    packed = _packed(content, "", tensors)
    table = {name: [str(t.dtype), list(t.shape), _digest(t)] for name, t in tensors.items()}
    text = json.dumps(
        {"format": FORMAT, "ohmgrad": __version__, "about": about, "tensors": table, "content": packed}
    )
    data = save(tensors, {_ENTRY: f"{hashlib.sha256(text.encode()).hexdigest()} {text}"})
    write_whole(file, data, keep=previous(file) if keep else None)


def _header(file: Path) -> dict[str, Any]:
    """The JSON of a checkpoint, under its checksum."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise InputError(f"{file} is not a file")
        with file.open("rb") as source:
            head = source.read(8)
            length = int.from_bytes(head, "little")
            if len(head) < 8 or length > min(_LONGEST, file.stat().st_size - 8):
                raise InputError(f"{file} is no checkpoint, or is cut off")
            header = source.read(length)
    except OSError as error:
        raise InputError(f"{file} cannot be read ({error.strerror})") from None
    try:
        digest, _, text = json.loads(header)["__metadata__"][_ENTRY].partition(" ")
        if hashlib.sha256(text.encode()).hexdigest() != digest:
            raise InputError(f"{file} is damaged: its checksum is not that of its header")
        said = json.loads(text)
        written = said["format"]
        if not is_integer(written) or not isinstance(said["ohmgrad"], str):
            raise InputError(f"{file} is damaged: its format is {shown(written)}")
    except InputError:
        raise
    except Exception as error:  # the text of a stranger may raise anything
        raise InputError(f"{file} is damaged, or no checkpoint ({type(error).__name__})") from None
    if written != FORMAT:
        raise InputError(
            f"{file} has the format {written} of ohmgrad {said['ohmgrad'][:20]}, but ohmgrad {__version__} "
            f"reads {FORMAT}"
        )
    return said


def read_plain(file: Path) -> dict[Any, Any]:
    """The content of a checkpoint, under its checksum, with None for the tensors, which are not looked at.

    Raises:
        InputError: as `read_checkpoint`.
    """
    said = _header(file)
    try:
        content = _unpacked(said["content"], dict.fromkeys(said["tensors"]))
    except Exception as error:  # nonsense under a right checksum may raise anything
        raise InputError(f"{file} is damaged ({type(error).__name__})") from None
    if not isinstance(content, dict):
        raise InputError(f"{file} is damaged: its content is {shown(content)}")
    return content


def read_checkpoint(file: Path) -> Checkpoint:
    """The content of a checkpoint, under its checksums.

    Raises:
        InputError: when the file is none of this format, or is damaged, beginning with its name; what to do
            is for others to say.
    """
    from safetensors.torch import load

    said = _header(file)
    try:
        tensors, table = load(file.read_bytes()), said["tensors"]
        if tensors.keys() != table.keys():
            raise InputError(f"{file} is damaged: it has other tensors than its header says")
        for name, (kind, shape, digest) in table.items():
            t = tensors[name]
            if [str(t.dtype), list(t.shape), _digest(t)] != [kind, shape, digest]:
                raise InputError(
                    f"{file} is damaged: the checksum of {shown(name)} is not that of its values"
                )
        left = dict(tensors)
        content = _unpacked(said["content"], left)
        if left or not isinstance(said["about"], dict):
            raise InputError(f"{file} is damaged: its tensors are not those of its content")
    except InputError:
        raise
    except Exception as error:  # likewise
        raise InputError(f"{file} is damaged ({type(error).__name__})") from None
    return Checkpoint(said["ohmgrad"], said["about"], content, tensors)


def events_of(file: Path) -> dict[str, Tensor]:
    """What the arrays of a training had counted when a checkpoint was written.

    Returns:
        int64 (arrays, len(EVENTS)) by name, of each layer's tiles and of each auxiliary array.

    Raises:
        InputError: as `read_checkpoint`.
    """
    found = read_checkpoint(file).tensors
    return {n: t.reshape(-1, t.shape[-1]) for n, t in found.items() if n.endswith(("/events", ".events"))}


def _packed(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """A value as JSON has it; tensors are put into `tensors`, by the way to them."""
    if isinstance(value, Tensor):
        # a copy: safetensors refuses tensors that share memory
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, Mapping):
        inner = f"{name}/" if name else ""
        return {"dict": [[key, _packed(kept, f"{inner}{key}", tensors)] for key, kept in value.items()]}
    if isinstance(value, (list, tuple)):
        return [_packed(kept, f"{name}/{i}", tensors) for i, kept in enumerate(value)]
    return value


def _unpacked(value: Any, tensors: dict[str, Any]) -> Any:
    """Inverse of `_packed`; each tensor is taken out of `tensors`."""
    if isinstance(value, list):
        return [_unpacked(kept, tensors) for kept in value]
    if isinstance(value, dict):
        ((kind, kept),) = value.items()
        return tensors.pop(kept) if kind == "tensor" else {k: _unpacked(v, tensors) for k, v in kept}
    return value


def _digest(t: Tensor) -> str:
    """SHA-256 of a tensor's bytes."""
    return hashlib.sha256(t.reshape(-1).view(torch.uint8).numpy().data).hexdigest()
