"""`ohmgrad reproduce`: the papers' studies, each with its claims table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..errors import InputError, check_choice
from .arguments import named_values
from .console import AGAIN, PAGE, AsJson, console, drawing, write_page
from .progress import study_progress

if TYPE_CHECKING:
    from ..studies.study import Claim, Outcome, Result

__all__ = ["reproduce"]


def reproduce(
    study: Annotated[
        str, typer.Argument(help="A study's name, as `list` has it; or all, list or scoreboard.")
    ],
    quick: Annotated[bool, typer.Option("--quick", help="Small settings: minutes for all.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="A setting of a single study, as name=value in YAML, such as --set seeds=20 or "
            "--set 'taus=[1, 2]'; may be repeated. All settings are in the spec.yaml of the study's folder.",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            min=1, help="Parts of a study at a time, in processes of their own: for the networks, one a core."
        ),
    ] = 1,
    on: Annotated[
        str | None,
        typer.Option(help="Where it runs: ray, or ray://HOST:PORT, is a Ray cluster (extra ray)."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/reproduce or ...-quick.")] = None,
    as_json: AsJson = False,
) -> None:
    """Run the papers' studies: raw numbers, a table, a figure, and which claims hold.

    `ohmgrad reproduce S1` runs one, `all` runs all. `scoreboard` runs nothing: it sets every published value
    beside what the studies in the folder have left, and writes it as scoreboard.md.

    A study that was cut off goes on where it stopped; one that is finished is drawn again from its numbers.
    With all, a study that cannot run, as when its data are missing, is left out, and the exit code is 1.
    """
    from ..report import claims_table
    from ..studies.papers import STUDIES

    words = (*STUDIES, "all", "list", "scoreboard")
    names = list(STUDIES) if study == "all" else [check_choice("study", study, words)]
    if change and study not in STUDIES:
        raise InputError(f"--set is for a single study: name it instead of {study}")
    if study == "list":
        console.print(_list())
        return
    changes = named_values("--set", change or [])
    home = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    if study == "scoreboard":
        _scoreboard(home)
        return
    found: list[tuple[str, Claim, Result]] = []
    skipped: dict[str, InputError] = {}
    for name in names:
        try:
            outcome = _run(name, home / name, quick, changes, {"jobs": jobs, "on": on})
            found += [(name, *claim) for claim in outcome.results]
        except InputError as error:
            if study != "all":
                raise
            skipped[name] = error
    if found:
        console.print(claims_table(found))
        results = [result for _, _, result in found]
        decided = len(results) - results.count("not shown here")
        small = f", {len(results) - decided} need the study's own settings" if decided < len(results) else ""
        held = f"{results.count('PASS')} of {decided} claims hold here{small}"
        console.print(f"{held}; docs/reproduction.md discusses them")
    for name, error in skipped.items():
        print(f"skipped {name}: {error}", file=sys.stderr)
    if skipped:
        raise typer.Exit(1)


def _scoreboard(home: Path) -> None:
    """Print the scoreboard of the studies in a folder, and write it there."""
    from ..report import cells_table, counts_table, scoreboard_page
    from ..studies.papers import STUDIES
    from ..studies.scoreboard import scoreboard, study_claims

    cells = scoreboard(home, STUDIES)
    if any(cell.ours is not None for cell in cells):
        console.print(cells_table(cells))
    console.print(counts_table(cells))
    page = home / "scoreboard.md"
    try:
        home.mkdir(parents=True, exist_ok=True)
        page.write_text(scoreboard_page(cells, study_claims(home, STUDIES)), encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {page} ({error.strerror}): choose another --out") from None
    console.print(f"page: {page}", soft_wrap=True)


def _run(name: str, folder: Path, quick: bool, changes: dict[str, Any], places: dict[str, Any]) -> Outcome:
    """Run a study, draw it and print its table."""
    from ..report import study_figure, study_page, study_table
    from ..studies.papers import STUDIES
    from ..studies.study import run_study

    with study_progress(name) as progress:
        outcome = run_study(STUDIES[name], folder, quick=quick, changes=changes, progress=progress, **places)
    console.print(study_table(outcome))
    with drawing("the study", AGAIN):
        figures = study_figure(outcome)
        console.print(f"figure: {figures[0]} (also .pdf, .png); numbers: {folder}/raw", soft_wrap=True)
        write_page(study_page(outcome), folder / PAGE)
    return outcome


def _list() -> Table:
    from ..studies.papers import STUDIES

    table = Table(title="studies", title_justify="left")
    for column in ("name", "what it shows", "source"):
        table.add_column(column, overflow="fold")
    for study in STUDIES.values():
        table.add_row(study.name, study.title, study.source)
    table.caption = (
        "ohmgrad reproduce NAME --quick runs one on a small scale; ohmgrad reproduce scoreboard says what "
        "published tables need at full scale"
    )
    table.caption_justify = "left"
    return table
