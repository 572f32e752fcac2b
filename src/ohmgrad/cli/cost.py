"""`ohmgrad cost`: what a run's trainings cost on hardware; and the cross-checks of the estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import AsJson, console
from .progress import study_progress

__all__ = ["cost"]


def cost(
    run: Annotated[Path | None, typer.Argument(help="A run folder of `ohmgrad train`.")] = None,
    hardware: Annotated[
        str, typer.Option(help="A description (see --list), or a YAML file of one.")
    ] = "rasch-li",
    accuracy: Annotated[
        float | None,
        typer.Option(help="Test accuracy in %: count epochs up to the first that reaches it; default all."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the hardware descriptions.")] = False,
    show: Annotated[
        str | None, typer.Option(help="Print a hardware description as YAML, with units and sources.")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Print published costs beside what the equations give.")
    ] = False,
    wear: Annotated[
        bool,
        typer.Option(
            "--wear", help="Train again, bit for bit, and count the pulses of every element; kept in the run."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Energy, time, area, memory and wear of a run's trainings, by layer and phase, beside digital ones."""
    from ..cost.hardware import hardware as described
    from ..report.costs import checks_table, cost_caption, cost_tables, hardware_table

    asked = list_ or check or show is not None
    if asked == (run is not None):
        raise InputError("give a run folder, or one of --list, --show and --check")
    if wear and run is None:
        raise InputError("--wear is of a run: give its folder")
    if list_:
        console.print(hardware_table())
    if show is not None:
        print(described(show).to_yaml(), end="")  # not wrapped
    if check:
        from ..cost.checks import cross_checks

        console.print(checks_table(cross_checks()))
    if run is None:
        return
    if accuracy is not None and not 1 < accuracy <= 100:
        hint = f": did you mean {100 * accuracy:g}?" if 0 < accuracy <= 1 else ""
        raise InputError(f"accuracy is {accuracy:g} %, but must be in (1, 100] %{hint}")
    from ..studies.costs import costs_of_run

    hw = described(hardware)
    found = costs_of_run(run, hw, None if accuracy is None else accuracy / 100)
    until = "whole trainings" if accuracy is None else f"up to {accuracy:g} % test accuracy"
    for table in cost_tables(found, f"{run.name} on {hw.name}, {until}", cost_caption(hw)):
        console.print(table)
    if wear:
        _print_wear(run)


def _print_wear(run: Path) -> None:
    """Pulses of every element: the table, and a figure in the run folder."""
    from ..report.figures import save
    from ..report.wear import wear_figure, wear_table
    from ..studies.wear import wear_of_run

    with study_progress("wear") as progress:
        found = wear_of_run(run, lambda what, done, total: progress(done, total, what))
    console.print(wear_table(found))
    figures = save(wear_figure(found), run / "wear" / "wear")
    console.print(f"figure: {figures[0]} (also .pdf, .png); histograms: {run}/wear/*.csv", soft_wrap=True)
