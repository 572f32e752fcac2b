"""The experiment of the fine-tuning tables: a pretrained network whose last layer alone is analog.

The papers fine-tune the whole network. Where only its last layer is trained ("layers": "last"), what the
others make of the images is computed once, without flips, and kept beside the studies in features/: the same
experiment on a CPU.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import check_choice
from ...models import last_layer
from ...models.vision import PREFIX
from ...style import style_of
from ..engine import Part
from ..spec import RunSpec
from .networks import NetworkTraining

__all__ = ["QUICK", "SETTINGS", "check", "part", "short"]

#: what `--quick` changes: the machinery, on few small images
QUICK: dict[str, Any] = {"images": 1000, "resize": 64, "epochs": 5, "seeds": (0, 1)}
#: settings that the studies share, as the papers have them but for the network and what of it is trained
SETTINGS: dict[str, Any] = {
    "models": ("efficientnet-lite0",),
    "pretrained": "imagenet",
    "layers": "last",
    "images": None,
    "resize": 224,
    "epochs": 100,
    "seeds": (0, 1, 2),
}


def check(settings: Mapping[str, Any]) -> None:
    """Check that `layers` says which layers are trained.

    Raises:
        InputError: when it is neither "last" nor "all".
    """
    check_choice("layers", settings["layers"], ("last", "all"))


def short(model: str) -> str:
    """A network's name in tables, figures and file names."""
    return model.removeprefix(PREFIX)


def part(
    settings: Mapping[str, Any], folder: Path, data: str, model: str, column: str, seed: int, **entries: Any
) -> Part:
    """The training of one cell of a table with one seed.

    Args:
        settings: of the study, with `SETTINGS`; with `others`, the learning rate of all layers but the last
            as a share of its, where all are trained.
        folder: of the study.
        data, model: of the cell.
        column: name of the algorithm in the table.
        seed: of the training.
        entries: further ones of its `RunSpec`.
    """
    name = f"{Path(data).stem}-{short(model)}-{column}-seed{seed}"
    fixed = {"data": Path(data).stem, "model": short(model), "algorithm": column, "seed": seed}
    images = {
        "images": settings["images"],
        "resize": settings["resize"],
        "pretrained": settings["pretrained"],
    }
    entries |= {"periphery": "noisy", "lr_step": 50, "batch_size": 128, "epochs": settings["epochs"]}
    if settings["layers"] == "last":
        kind = f"{short(model)}-{Path(data).stem}-{settings['resize']}-{settings['images'] or 'all'}"
        file = folder.parent / "features" / f"{kind}.npz"
        spec = RunSpec(data=str(file), model="linear", seeds=(seed,), **entries)
        once = {"file": file, "data": data, "model": model, **images}
        RunSpec(data=data, model=model, **images)  # wrong names are found before anything is computed
    else:
        last, once = last_layer(model), None
        spec = RunSpec(
            data=data,
            model=model,
            augment=("flip", "vertical-flip"),
            include=(last,),
            lr_factors={last: 1.0, "*": settings["others"]},
            seeds=(seed,),
            **images,
            **entries,
        )
    what = f"{short(model)}, {style_of(column).label}, seed {seed}"
    return NetworkTraining(name, what, spec, fixed, folder / "networks" / name, once).part()
