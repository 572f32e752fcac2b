"""`ohmgrad deploy`: the trained networks of runs on a chip, against time since programming."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, shown
from .console import AsJson, console
from .progress import study_progress

__all__ = ["deploy"]

#: seconds of the units of times
UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0, "y": 365 * 86400.0}


def deploy(
    runs: Annotated[list[Path], typer.Argument(help="Folders that `ohmgrad train` wrote; one or several.")],
    technology: Annotated[str, typer.Option(help="Either pcm or reram.")] = "pcm",
    times: Annotated[
        str | None,
        typer.Option(help="Times since programming, with commas: 20s,1h,1d,1w,1y; default up to a year."),
    ] = None,
    programmings: Annotated[int, typer.Option(help="Chips that each network is programmed on.")] = 10,
    compensation: Annotated[
        bool, typer.Option("--compensation/--no-compensation", help="Global drift compensation.")
    ] = True,
    clip: Annotated[
        float | None, typer.Option(help="Clip weights at so many standard deviations; default none.")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Files without their endings; default deployment in RUN, or here for several."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Program trained networks on PCM or ReRAM, and say how accurate they are from seconds to a year on.

    Networks of several runs are drawn into one figure. A hardware-aware network is trained with
    `ohmgrad train --algorithm digital --option weight_noise=0.038`.
    """
    from ..report.deployments import deployment_figure, deployment_table
    from ..report.figures import save
    from ..studies.deployments import deploy_runs, write_deployments

    wanted = None if times is None else [_seconds(text.strip()) for text in times.split(",")]
    place = out or (runs[0] / "deployment" if len(runs) == 1 else Path("deployment"))
    if not place.parent.is_dir():
        raise InputError(f"there is no folder {place.parent}: correct the run's, or choose another --out")
    with study_progress("deploy") as progress:
        found = deploy_runs(
            runs, technology, times=wanted, programmings=programmings, compensation=compensation, clip=clip,
            progress=progress, note=console.print,
        )  # fmt: skip
    how = f"{technology}, {'with' if compensation else 'without'} drift compensation"
    console.print(deployment_table(found, how))
    numbers = place.with_name(f"{place.name}.csv")
    write_deployments(found, technology, compensation, numbers)
    paths = save(deployment_figure(found, how), place)
    console.print(f"figure: {paths[0]} (also .pdf, .png)\nnumbers: {numbers}", soft_wrap=True)


def _seconds(text: str) -> float:
    """A time such as 1h in seconds."""
    number = text.rstrip("abcdefghijklmnopqrstuvwxyz")
    unit = text[len(number) :].strip() or "s"
    try:
        return float(number) * UNITS[unit]
    except (ValueError, KeyError):
        raise InputError(
            f"a time is {shown(text)}, but must be a number with one of {', '.join(UNITS)}, as in 1h"
        ) from None
