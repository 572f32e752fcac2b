"""What a pretrained network makes of every image, computed once: the inputs of its last layer.

Where only the last layer is trained, all others give the same numbers in every epoch. They are computed in
chunks, so that a computation that was cut off goes on, and then lie in one .npz file, which is a data set.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..datasets import load
from ..datasets.arrays import NAMES
from ..errors import InputError, shown
from ..models import build
from ..models.vision import head, is_vision, standard
from .images import Images

__all__ = ["CHUNK", "features"]

#: images of a chunk
CHUNK = 500
Progress = Callable[[int, int, str], None]


def features(
    file: Path,
    data: str,
    model: str,
    *,
    pretrained: str,
    images: int | None = None,
    resize: int | None = None,
    progress: Progress = lambda *_: None,
) -> Path:
    """Write the inputs of a network's last layer for all images of a data set, unless they are there.

    Several processes may do this at the same time: each begins with other chunks.

    Args:
        file: the .npz file, with arrays train_x (n, inputs), train_y, test_x and test_y; while it is being
            computed, a folder of its name with chunks lies beside it.
        data, model, pretrained, images, resize: as in a `RunSpec`. Where data or pretrained are files, the
            features are of these files as they were last written.
        progress: called with (images done, images in all, what) after each chunk.

    Returns:
        The file.

    Raises:
        InputError: when data, network or weights are not to be had, or the file or the folder is of other
            images or of another network.
    """
    about = {"data": data, "images": images, "model": model, "pretrained": pretrained, "resize": resize}
    about["files written at"] = _written(data, pretrained)
    chunks = file.with_suffix(".chunks")
    if file.is_file():
        with np.load(file) as found:
            _check_same(file, json.loads(str(found["about"])) if "about" in found.files else {}, about)
        return file
    if (chunks / "about.json").is_file():
        _check_same(chunks, json.loads((chunks / "about.json").read_text()), about)
    loaded = load(data).first(images)
    wanted = Images(loaded, resize=resize, standard=standard(model) if is_vision(model) else None)
    shape = loaded.shape if resize is None else (loaded.shape[0], resize, resize)
    network = _body(build(model, shape, loaded.classes, 0, pretrained=pretrained))
    chunks.mkdir(parents=True, exist_ok=True)
    _write(chunks / "about.json", lambda part: part.write_text(json.dumps(about)))
    pieces = {
        chunks / f"{name}-{i:05}.npy": x
        for name, whole in (("train", loaded.train_x), ("test", loaded.test_x))
        for i, x in enumerate(whole.split(CHUNK))
    }
    first = os.getpid() % len(pieces)
    done, order = 0, list(pieces.items())
    with contextlib.suppress(FileNotFoundError):  # where another process has finished, and took the chunks
        for chunk, x in order[first:] + order[:first]:
            if not (chunk.is_file() or file.is_file()):
                rows = _outputs(network, wanted, x)
                _write(chunk, lambda part, rows=rows: np.save(part, rows))
            done += len(x)
            progress(done, len(loaded.train_x) + len(loaded.test_x), f"{model}: features of {loaded.name}")
        train_x, test_x = (
            np.concatenate([np.load(chunk) for chunk in pieces if chunk.name.startswith(name)])
            for name in ("train", "test")
        )
        train_y, test_y, text = loaded.train_y.numpy(), loaded.test_y.numpy(), np.array(json.dumps(about))
        arrays: Any = {"about": text, **dict(zip(NAMES, (train_x, train_y, test_x, test_y), strict=True))}
        _write(file, lambda part: np.savez(part, **arrays))
        shutil.rmtree(chunks, ignore_errors=True)
    return file


def _written(*names: str) -> list[int] | None:
    """When files among these were written (ns); None where none is one."""
    paths = [Path(name).expanduser() for name in names]
    return [p.stat().st_mtime_ns for p in paths if p.suffix and p.is_file()] or None


def _write(file: Path, write: Callable[[Path], Any]) -> None:
    """Write a file as a whole: one that is cut off here is written again."""
    part = file.with_name(f"{os.getpid()}-{file.name}")
    write(part)
    os.replace(part, file)


def _body(model: nn.Module) -> nn.Module:
    """The network without its last linear layer, ready to be evaluated."""
    last = head(model)
    parent, _, own = last.rpartition(".")
    setattr(model.get_submodule(parent), own, nn.Identity())
    return model.eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@torch.inference_mode()
def _outputs(network: nn.Module, wanted: Images, images: torch.Tensor) -> np.ndarray:
    # few at a time: the activations of large images leave the caches of the processor
    rows = [network(wanted.for_evaluation(x)).flatten(1) for x in images.split(20)]
    return torch.cat(rows).numpy()


def _check_same(place: Path, old: dict[str, Any], new: dict[str, Any]) -> None:
    for name, value in new.items():
        if old.get(name) != value:
            raise InputError(
                f"{place} holds features with {name} = {shown(old.get(name))}, not {shown(value)}: delete "
                "it, or choose another place"
            )
