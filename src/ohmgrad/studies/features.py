"""What a pretrained network makes of every image, computed once: the inputs of its last layer.

Where only the last layer is trained, all others give the same numbers in every epoch. They are computed in
chunks, so that a computation that was cut off goes on, and then lie in one .npz file, which is a data set.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data import Dataset
from ..data_arrays import NAMES
from ..errors import InputError, shown
from ..models import build
from ..vision import head, is_vision, standard
from .images import Images

__all__ = ["CHUNK", "features"]

#: images of a chunk
CHUNK = 500
Tell = Callable[[int, int, str], None]


def features(
    file: Path,
    data: Dataset,
    model: str,
    *,
    pretrained: str,
    resize: int | None = None,
    tell: Tell = lambda *_: None,
) -> Path:
    """Write the inputs of a network's last layer for all images of a data set, unless they are there.

    Args:
        file: the .npz file, with arrays train_x (n, inputs), train_y, test_x and test_y; while it is being
            computed, a folder of its name with chunks lies beside it.
        data: the images, all of which are taken: see `Dataset.first`.
        model, pretrained, resize: as in a `RunSpec`.
        tell: called with (images done, images in all, what) after each chunk.

    Returns:
        The file.

    Raises:
        InputError: when the network or its weights are not to be had, or the file or the folder is of
            other images or another network.
    """
    counts = {"train": len(data.train_x), "test": len(data.test_x)}
    about = {"data": data.name, **counts, "model": model, "pretrained": pretrained, "resize": resize}
    if file.is_file():
        with np.load(file) as found:
            _check_same(file, json.loads(str(found["about"])) if "about" in found.files else {}, about)
        return file
    chunks = file.with_suffix(".chunks")
    if (chunks / "about.json").is_file():
        _check_same(chunks, json.loads((chunks / "about.json").read_text()), about)
    wanted = Images(data, resize=resize, standard=standard(model) if is_vision(model) else None)
    network = _body(build(model, data.shape, data.classes, 0, pretrained=pretrained))
    chunks.mkdir(parents=True, exist_ok=True)
    (chunks / "about.json").write_text(json.dumps(about))
    arrays: dict[str, Any] = {"about": json.dumps(about)}
    done, total = 0, sum(counts.values())
    for part, x, y in (("train", data.train_x, data.train_y), ("test", data.test_x, data.test_y)):
        rows = []
        for i, images in enumerate(x.split(CHUNK)):
            chunk = chunks / f"{part}-{i:05}.npy"
            if not chunk.is_file():
                whole = chunk.with_suffix(".tmp.npy")  # a chunk that is cut off here is computed again
                np.save(whole, _outputs(network, wanted, images))
                os.replace(whole, chunk)
            rows.append(np.load(chunk))
            done += len(images)
            tell(done, total, f"{model}: features of {data.name}")
        arrays |= {f"{part}_x": np.concatenate(rows), f"{part}_y": y.numpy()}
    assert {*NAMES} < {*arrays}
    whole = file.with_suffix(".tmp.npz")
    np.savez(whole, **arrays)
    os.replace(whole, file)
    shutil.rmtree(chunks)
    return file


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
