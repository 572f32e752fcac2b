"""`ohmgrad map`: what must improve on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import InputError, shown
from .arguments import named_values
from .console import AGAIN, PAGE, AsJson, console, drawing, write_page
from .progress import study_progress

__all__ = ["map_"]


def map_(
    device: Annotated[
        str, typer.Argument(help="A preset, a device's YAML file, as of `ohmgrad fit`, or FILE.py:NAME.")
    ],
    trainings: Annotated[int, typer.Option(help="Trainings on devices, in all.")] = 40,
    axes: Annotated[
        list[str] | None,
        typer.Option(
            help="Two properties of a map, as in states,asymmetry or sp-spread,noise; may be repeated. "
            "Default: the two that cost most."
        ),
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Wanted test accuracy (%); default one point less than digital SGD.")
    ] = None,
    algorithm: Annotated[
        str | None,
        typer.Option(help="An algorithm; default residual-v2. `compare` says which is best."),
    ] = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Option of the algorithm, as in fast_lr=0.1; may be repeated.")
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Data set, .npz file or FILE.py:NAME; default digits.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Network, or FILE.py:NAME; default mlp.")] = None,
    images: Annotated[int | None, typer.Option(help="Only the first so many images; default all.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images; default 20.")] = None,
    rates: Annotated[
        str | None, typer.Option(help="Learning rates to choose from, with commas; default 0.03,0.1,0.3,1.")
    ] = None,
    hardware: Annotated[
        str | None,
        typer.Option(
            help="What energies and times are of: a description (ohmgrad cost --list), or a YAML file; "
            "default rasch-li."
        ),
    ] = None,
    accuracy: Annotated[
        float | None,
        typer.Option(
            help="Test accuracy in % up to which trainings cost; default the target, or the highest that the "
            "device reaches."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at a time; one a core.")] = 1,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/map-DEVICE.")] = None,
    as_json: AsJson = False,
) -> None:
    """What must improve on a device: what each property costs, maps of two of them, the cheapest improvement.

    Each property is made ideal with and without the others, in a stated number of trainings of a small
    network. The learning rate is chosen once, by short trainings on the device and on the ideal one. A map
    that was cut off goes on where it stopped; another target or other axes add to what is there.
    """
    from ..devices.named import device_named
    from ..report import (
        improvement_table,
        map_costs_table,
        map_figure,
        map_page,
        map_words,
        save,
        share_table,
    )  # fmt: skip
    from ..studies.map import MapSettings, map_device

    changes: dict[str, Any] = {
        "algorithm": algorithm, "options": named_values("--option", option) if option else None,
        "target": target, "data": data, "model": model, "images": images, "epochs": epochs,
        "rates": _numbers("--rates", rates), "trainings": trainings,
        "axes": tuple(_axes(text) for text in axes) if axes else None, "hardware": hardware,
        "accuracy": accuracy,
    }  # fmt: skip
    settings = MapSettings(**{name: value for name, value in changes.items() if value is not None})
    name = Path(device).stem
    folder = out or Path("runs") / f"map-{name}"
    with study_progress("map") as progress:
        result = map_device(device_named(device), folder, settings, name=name, jobs=jobs, progress=progress)
    console.print(share_table(result))
    console.print(improvement_table(result))
    if result.costs.curves:
        console.print(map_costs_table(result))
    if result.measured:
        console.print(
            "the measured tables stand for their mean steps, Gaussian noise, and a spread between devices",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
    for failure in result.failed:
        console.print(
            f"failed: {failure.name} ({failure.error})", soft_wrap=True, highlight=False, markup=False
        )
    console.print(map_words(result), soft_wrap=True, highlight=False)
    with drawing("the map", AGAIN):
        figures = save(map_figure(result), folder / "figure")
        console.print(
            f"{result.trainings} trainings; figure: {figures[0]} (also .pdf, .png); numbers: {folder}/"
            "shares.csv, improvements.csv, costs.csv, map-*.csv, trainings.parquet",
            soft_wrap=True, highlight=False,
        )  # fmt: skip
        write_page(map_page(result, device), folder / PAGE)


def _axes(text: str) -> tuple[str, str]:
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2:
        raise InputError(f"--axes is {shown(text)}, but must be two properties, as in states,asymmetry")
    return names


def _numbers(option: str, text: str | None) -> tuple[float, ...] | None:
    if text is None:
        return None
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"{option} is {shown(text)}, but must be numbers with commas, as in 0.1,0.3"
        ) from None
