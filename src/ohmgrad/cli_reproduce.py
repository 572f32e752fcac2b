"""`ohmgrad reproduce`: the papers' studies, each with its claims table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from .errors import InputError, check_choice
from .yaml_text import parse_yaml

__all__ = ["named_values", "reproduce"]

console = Console()


def reproduce(
    study: Annotated[str, typer.Argument(help="A study such as S1, or all, or list.")],
    quick: Annotated[bool, typer.Option("--quick", help="Small settings: minutes for all.")] = False,
    change: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as name=value in YAML, for a single study; may be repeated."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder; default runs/reproduce or ...-quick.")] = None,
) -> None:
    """Run the papers' studies: raw numbers, a table, a figure, and which claims hold.

    A study that was cut off goes on where it stopped; one that is finished is drawn again from its numbers.
    """
    from .report import claims_table, study_figure, study_table
    from .studies.papers import STUDIES
    from .studies.study import Claim, run_study

    if study == "list":
        console.print(_list())
        return
    names = list(STUDIES) if study == "all" else [check_choice("study", study, (*STUDIES, "all", "list"))]
    if change and study == "all":
        raise InputError("--set is for a single study: name it instead of all")
    changes = named_values("--set", change or [])
    home = out or Path("runs") / ("reproduce-quick" if quick else "reproduce")
    found: list[tuple[str, Claim]] = []
    for name in names:
        layout = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
        with Progress(*layout, console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(name, total=None)

            def tell(done: int, total: int, what: str, bars: Progress = bars, task: object = task) -> None:
                bars.update(task, completed=done, total=total, description=what)  # pyright: ignore

            outcome = run_study(STUDIES[name], home / name, quick=quick, changes=changes, tell=tell)
        figures = study_figure(outcome)
        console.print(study_table(outcome))
        console.print(f"figure: {figures[0]} (also .pdf, .png); numbers: {home / name}/raw", soft_wrap=True)
        found += [(name, c) for c in outcome.claims]
    console.print(claims_table(found))
    held = sum(c.passes for _, c in found)
    console.print(f"{held} of {len(found)} claims hold here; docs/reproduction.md discusses the others")


def named_values(option: str, pairs: list[str]) -> dict[str, Any]:
    """Pairs such as `lr=0.1` as names and values; values are YAML.

    Raises:
        InputError: when a pair has no equals sign, or a value is not YAML.
    """
    values = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InputError(f"{option} {pair!r} must be name=value, as in lr=0.1")
        values[name.strip()] = parse_yaml(value, f"{option} {pair!r}")
    return values


def _list() -> Table:
    from .studies.papers import STUDIES

    table = Table(title="studies", title_justify="left")
    for column in ("name", "what it shows", "source"):
        table.add_column(column, overflow="fold")
    for study in STUDIES.values():
        table.add_row(study.name, study.title, study.source)
    return table
