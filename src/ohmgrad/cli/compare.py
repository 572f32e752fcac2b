"""`ohmgrad compare`: which algorithm trains best on a device."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from .arguments import named_values, names_of
from .console import AGAIN, PAGE, AsJson, console, drawing, write_page
from .progress import study_progress

__all__ = ["compare"]


def compare(
    devices: Annotated[
        list[str] | None,
        typer.Argument(
            help="Presets, YAML files as `ohmgrad fit` writes, or FILE.py:NAME; default: a "
            "selection of presets."
        ),
    ] = None,
    algorithms: Annotated[
        str | None,
        typer.Option(
            help="Names with commas, as in sgd,ttv2; FILE.py:CLASS for one of your own; default all. digital "
            "SGD is always there."
        ),
    ] = None,
    seeds: Annotated[int | None, typer.Option(help="Trainings of each pair that count (at least 2).")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the training images.")] = None,
    budget: Annotated[
        int | None,
        typer.Option(
            help="Short trainings of each pair that choose its options; default one for each learning rate. "
            "More try further options, too."
        ),
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
            help="Test accuracy in % up to which trainings cost; default the highest that the means of all "
            "algorithms on a device reach."
        ),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Short trainings and few learning rates.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Trainings at a time, a core each; default all cores.")
    ] = None,
    on: Annotated[
        str | None,
        typer.Option(help="Where it runs: ray, or ray://HOST:PORT, is a Ray cluster (extra ray)."),
    ] = None,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="Another setting as name=value in YAML, as in --set 'rates=[0.1, 0.5]'."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/compare or ...-quick.")] = None,
    as_json: AsJson = False,
) -> None:
    """Train a small network with every algorithm on every device, and say which is best and how sure that is.

    Accuracies, gaps to digital SGD with the same seeds, and pulses, with 95 % intervals. Each pair has its
    own learning rate, chosen by short trainings with another seed, as many for each. All trainings are kept:
    the same command goes on where it was stopped, and more seeds, devices or algorithms in the same folder
    repeat none. A training that fails leaves a gap, with its reason.
    """
    from ..report import compare_lines, compare_page, compare_table, study_figure
    from ..studies.compare import COMPARE, all_algorithms
    from ..studies.study import run_study
    from ..studies.workers import cores

    changes: dict[str, Any] = named_values("--set", change or [])
    if algorithms is not None:
        changes["algorithms"] = all_algorithms() if algorithms == "all" else names_of(algorithms)
    if devices:
        changes["devices"] = devices
    given = {"seeds": seeds, "epochs": epochs, "budget": budget, "hardware": hardware,
             "accuracy": accuracy}  # fmt: skip
    changes |= {name: value for name, value in given.items() if value is not None}
    folder = out or Path("runs") / ("compare-quick" if quick else "compare")
    places = {"jobs": jobs or (1 if on else cores()), "on": on}
    with study_progress("compare") as progress:
        outcome = run_study(COMPARE, folder, quick=quick, changes=changes, progress=progress, **places)
    console.print(compare_table(outcome))
    for line in compare_lines(outcome):
        console.print(line, highlight=False, markup=False, soft_wrap=True)
    with drawing("the comparison", AGAIN):
        figures = study_figure(outcome)
        console.print(
            f"figure: {figures[0]} (also .pdf, .png); numbers: {folder}/table.csv, results.parquet",
            soft_wrap=True,
        )
        write_page(compare_page(outcome), folder / PAGE)
