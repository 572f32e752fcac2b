"""The command check: run a device, an algorithm or boards, your own too, through the laws."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from ..errors import InputError, check_options
from ..user_files import is_in_file, object_in
from .arguments import named_values, rows_by_columns
from .console import AsJson, console

if TYPE_CHECKING:
    from ..conformance import Report

__all__ = ["check_app"]

check_app = typer.Typer(help="Run a device, an algorithm or boards through the laws.", no_args_is_help=True)

Laws = Annotated[
    list[str] | None, typer.Option("--law", help="Only this law; may be repeated. Default: all.")
]


@check_app.command(
    epilog="Examples:\n\n  ohmgrad check device paper\n\n  ohmgrad check device my_device.py:device"
)
def device(
    what: Annotated[str, typer.Argument(help="A preset, a YAML file, or FILE.py:NAME.")],
    law: Laws = None,
    as_json: AsJson = False,
) -> None:
    """Run a device through the laws; the exit code is 1 if one does not hold."""
    from ..conformance import check_device
    from ..devices.named import device_named

    given = device_named(what)
    with _bar() as progress:
        report = check_device(given, law, progress=progress)
    _print(report)


@check_app.command(
    epilog="Examples:\n\n  ohmgrad check algorithm agad --option fast_lr=0.5\n\n"
    "  ohmgrad check algorithm my_optimizer.py:MyOptimizer --law quadratic"
)
def algorithm(
    what: Annotated[str, typer.Argument(help="A name as in `ohmgrad algorithms`, or FILE.py:NAME.")],
    law: Laws = None,
    option: Annotated[
        list[str] | None, typer.Option(help="Option as name=value; may be repeated. Default: its own.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Its error falls to zero with lr.")] = False,
    exact_shifted: Annotated[
        bool, typer.Option("--exact-shifted", help="Also with the symmetric point elsewhere.")
    ] = False,
    needs_asymmetry: Annotated[
        bool, typer.Option("--needs-asymmetry", help="It does not learn where G = 0, as with choppers.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Run an algorithm, called as NAME(params, lr=0.05), through the laws; exit code 1 if one fails."""
    from ..conformance import check_algorithm
    from ..optim.registry import ALGORITHMS, algorithm_of

    classes = {kind.__name__: name for name, kind in ALGORITHMS.items()}
    given = algorithm_of(classes.get(what, what))
    if option:
        options = named_values("--option", option)
        _check_options(options, given, what)
        given = functools.partial(given, **options)
    promises = {"exact": exact, "exact_shifted": exact_shifted, "needs_asymmetry": needs_asymmetry}
    with _bar() as progress:
        report = check_algorithm(given, law, **promises, progress=progress)
    _print(report)


@check_app.command(
    epilog="Examples:\n\n  ohmgrad check board my_board.py:boards --device my.yaml\n\n"
    "  ohmgrad check board my_board.py:boards --device my.yaml --shape 64x32"
)
def board(
    what: Annotated[str, typer.Argument(help="FILE.py:NAME of a function: boards(place) -> board.")],
    device: Annotated[str, typer.Option(help="Of its elements: a preset, a YAML file or FILE.py:NAME.")],
    shape: Annotated[str, typer.Option(help="Rows and columns of the arrays to ask for.")] = "12x9",
    law: Laws = None,
    as_json: AsJson = False,
) -> None:
    """Run boards, which are programmed and pulsed, through the laws; exit code 1 if one does not hold."""
    from ..conformance import check_board
    from ..devices.named import device_named

    if not is_in_file(what):
        raise InputError(f"{what} is no board: give FILE.py:NAME of a function, boards(place) -> board")
    size = rows_by_columns("shape", shape)
    with _bar() as progress:
        report = check_board(object_in(what), device_named(device), law, shape=size, progress=progress)
    _print(report)


def _check_options(options: dict[str, Any], make: Any, what: str) -> None:
    """Raise InputError for an option that `make`, called as make(params, lr, ...), does not take."""
    from ..optim import AnalogOptimizer

    try:
        parameters = list(inspect.signature(make).parameters.values())
    except (TypeError, ValueError):  # no function, which the laws say, or one without a signature
        return
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        if not (isinstance(make, type) and issubclass(make, AnalogOptimizer)):
            return  # it may take any name
        parameters += inspect.signature(AnalogOptimizer).parameters.values()  # of digital parameters
    named = (p for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD))
    known = dict.fromkeys(p.name for p in named if p.name not in ("params", "defaults", "lr"))
    check_options(options, {what: known})


@contextlib.contextmanager
def _bar() -> Iterator[Callable[[int, int, str], None]]:
    """How far the laws are, as a bar that goes away; none where there is no terminal."""
    layout = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*layout, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("", total=None)

        def progress(done: int, total: int, what: str) -> None:
            bars.update(task, completed=done, total=total, description=what, refresh=True)

        yield progress


def _print(report: Report) -> None:
    console.print(report)
    run, failed = len(report.findings) - len(report.skipped), len(report.failed)
    console.print(f"{run - failed} of {run} laws hold; {len(report.skipped)} skipped")
    if failed:
        raise typer.Exit(1)
