"""`ohmgrad tiles`: the arrays that a network takes, before any training."""

from __future__ import annotations

import warnings
from typing import Annotated

import typer

from .arguments import names_of, rows_by_columns
from .console import AsJson, console

__all__ = ["tiles"]

#: (channels, height, width) of an image, and classes
SHAPES = {
    "digits": ((1, 8, 8), 10),
    "mnist": ((1, 28, 28), 10),
    "fashion-mnist": ((1, 28, 28), 10),
    "cifar10": ((3, 32, 32), 10),
    "cifar100": ((3, 32, 32), 100),
}


def tiles(
    model: Annotated[str, typer.Argument(help="A network, as `ohmgrad train --model` takes it.")],
    array: Annotated[str, typer.Option(help="Rows and columns of a physical array.")] = "512x512",
    data: Annotated[
        str, typer.Option(help="Data set whose images and classes the network is for, or a .npz file.")
    ] = "mnist",
    include: Annotated[str | None, typer.Option(help="Patterns of analog layers; default *.")] = None,
    exclude: Annotated[str | None, typer.Option(help="Patterns of layers that stay digital.")] = None,
    as_json: AsJson = False,
) -> None:
    """Arrays, cells and utilisation of a network's layers; nothing is trained."""
    from ..cost.tiles import tile_use
    from ..datasets import check_data, load
    from ..models import build
    from ..report.costs import tiles_table

    rows, cols = rows_by_columns("array", array)
    shape, classes = SHAPES.get(check_data(data), (None, 0))
    if shape is None:
        loaded = load(data)
        shape, classes = loaded.shape, loaded.classes
    network = build(model, shape, classes, seed=0)
    patterns = {"include": names_of(include) or ["*"], "exclude": names_of(exclude) or []}
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = tile_use(network, (rows, cols), **patterns)
    for warning in said:
        console.print(str(warning.message), soft_wrap=True, highlight=False)
    console.print(tiles_table(found, (rows, cols), f"{model}, {data}"))
