"""`ohmgrad cost`: what a run's trainings cost on hardware; and the cross-checks of the estimates."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from .console import AsJson, console

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
    as_json: AsJson = False,
) -> None:
    """Energy, time, area, memory and wear of a run's trainings, by layer and phase, beside digital ones."""
    from ..cost.hardware import hardware as described
    from ..report.costs import checks_table, cost_tables, hardware_table

    asked = list_ or check or show is not None
    if asked == (run is not None):
        raise InputError("give a run folder, or one of --list, --show and --check")
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
    assumed = sum(source.assumed for source in hw.sources.values())
    caption = (
        f"estimates: {assumed} of {len(hw.sources)} coefficients of {hw.name} are assumptions (--show). "
        "Times: passes go from layer to layer, all else goes on in all layers at once. Digital: "
        f"{hw.sources['baseline_energy'].text}"
    )
    for table in cost_tables(found, f"{run.name} on {hw.name}, {until}", caption):
        console.print(table)
