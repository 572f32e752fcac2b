"""The entry point: all commands, with the examples in their help."""

from __future__ import annotations

import io
import re
import sys
from typing import Annotated, Any

import typer
import typer.core

from ..errors import InputError
from .algorithms import algorithms
from .arguments import examples, paragraphs
from .check import check_app
from .cite import cite
from .compare import compare
from .console import cannot_write, console, stopped, stops
from .cost import cost
from .demo import demo
from .deploy import deploy
from .devices import devices_app
from .export import export, read_back
from .fit import fit
from .info import info
from .map import map_
from .plot import plot
from .report import report
from .reproduce import reproduce
from .tiles import tiles
from .train import train

__all__ = ["app", "main"]


class _Commands(typer.core.TyperGroup):
    """The commands. One that is stopped by Ctrl-C says so, where typer would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        console.kept = None
        try:
            done = super().invoke(ctx)
        except KeyboardInterrupt as why:
            kept = ctx.invoked_subcommand in ("compare", "map", "reproduce")
            goes_on = "finished parts are saved, and the same command goes on"
            stopped(goes_on if kept else "the same command starts again", why)
        except typer.Exit:  # with a code of its own, after all was printed
            console.end()
            raise
        console.end()
        return done


app = typer.Typer(
    cls=_Commands,
    help="Train neural networks on simulated analog in-memory hardware.",
    epilog="Start with [bold]ohmgrad demo[/bold]; [bold]ohmgrad COMMAND --help[/bold] has examples.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def main(argv: list[str] | None = None) -> None:
    """Entry point: wrong input is one line on stderr and exit code 2, a disk that is full likewise and 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # signs that the terminal does not have become ?
            stream.reconfigure(errors="replace")
    given = sys.argv[1:] if argv is None else argv
    try:
        if any(not word or re.fullmatch(r"--[\w-]+=", word) for word in given):
            raise InputError("an argument is empty: leave the option out, or give it a value")
        with stops():
            app(args=argv, standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        print(f"error: {cannot_write(error)}", file=sys.stderr)
        sys.exit(1)
    except MemoryError:
        print("error: there is not enough memory: use fewer images, smaller layers or jobs", file=sys.stderr)
        sys.exit(1)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from ..version import __version__

        print(f"ohmgrad {__version__}")
        raise typer.Exit


app.command(epilog=examples("ohmgrad demo --out runs/first"))(demo)
app.command(
    epilog=examples(
        "ohmgrad train --data mnist --model fcn --tau 0.6 --epochs 2",
        "ohmgrad train --algorithms ttv2,agad --option columns=8 --epochs 9",
        "ohmgrad train --config runs/a/spec.yaml --epochs 9 --out runs/b",
        "ohmgrad train --data cifar10 --model torchvision:resnet18 --include fc",
        "ohmgrad train --device paper --algorithms tiki-taka --live",
        "ohmgrad train --resume --out runs/a",
    )
)(train)
app.command(
    epilog=examples(
        "ohmgrad fit pulses.csv",
        "ohmgrad fit set.txt reset.txt --out my.yaml",
        "ohmgrad fit keithley.xlsx --sheet Data --column up=2 --column down=3",
        "ohmgrad fit currents.csv --unit uA --read-voltage 0.1",
        "ohmgrad fit cycles.csv --pulses 50,50 --family soft_bounds,exp_step",
    )
)(fit)
app.command(epilog=examples("ohmgrad plot runs/demo"))(plot)
app.command(
    epilog=examples("ohmgrad report runs/demo", "ohmgrad report runs/a runs/b runs/compare --out three.html")
)(report)
app.command(
    epilog=examples(
        "ohmgrad reproduce list",
        "ohmgrad reproduce S1 --quick",
        "ohmgrad reproduce S4 --jobs 2",
        "ohmgrad reproduce scoreboard",
    )
)(reproduce)
app.command(
    epilog=examples(
        "ohmgrad compare my.yaml",
        "ohmgrad compare my.yaml paper --algorithms sgd,mine.py:MyOptimizer",
        "ohmgrad compare reram-es --budget 12 --out runs/tuned",
        "ohmgrad compare my.yaml --on ray://cluster:10001",
    )
)(compare)
app.command(
    epilog=examples(
        "ohmgrad cost runs/a --accuracy 90",
        "ohmgrad cost runs/a --hardware my.yaml",
        "ohmgrad cost --show rasch-li > my.yaml",
        "ohmgrad cost --list",
        "ohmgrad cost --check",
    )
)(cost)
app.command(
    epilog=examples(
        "ohmgrad deploy runs/a",
        "ohmgrad deploy runs/a --technology reram --times 1s,1h,1d",
        "ohmgrad deploy runs/plain runs/aware --programmings 25 --out both",
    )
)(deploy)
app.command(
    epilog=examples("ohmgrad tiles fcn --array 256x256", "ohmgrad tiles torchvision:resnet18 --data cifar10")
)(tiles)
app.command(
    epilog=examples(
        "ohmgrad export runs/a --g-min 1e-6 --g-max 2e-5",
        "ohmgrad export runs/a --algorithm ttv2 --g-min 1e-6 --g-max 2e-5 --pairs",
        "ohmgrad export runs/a --g-min 1e-6 --g-max 2e-5 --pulses",
    )
)(export)
app.command(
    "read-back",
    epilog=examples("ohmgrad read-back runs/a to-board", "ohmgrad read-back runs/a to-board --clip"),
)(read_back)
app.command(
    "map",
    epilog=examples(
        "ohmgrad map my.yaml --jobs 2",
        "ohmgrad map reram-es --algorithm ttv2 --target 95",
        "ohmgrad map ecram --axes states,asymmetry --axes sp-spread,noise",
    ),
)(map_)
app.command(epilog=examples("ohmgrad algorithms"))(algorithms)
app.command(epilog=examples("ohmgrad cite runs/demo > refs.bib", "ohmgrad cite agad reram-es S4 rasch-li"))(
    cite
)
app.command(epilog=examples("ohmgrad info", "ohmgrad info --json"))(info)
app.add_typer(
    devices_app, name="devices", epilog=examples("ohmgrad devices list", "ohmgrad devices show ecram")
)
app.add_typer(
    check_app,
    name="check",
    epilog=examples(
        "ohmgrad check device my.yaml",
        "ohmgrad check algorithm my_optimizer.py:MyOptimizer",
        "ohmgrad check board my_board.py:boards --device my.yaml",
    ),
)

for each in (*app.registered_commands, *devices_app.registered_commands, *check_app.registered_commands):
    each.help = paragraphs(each.callback.__doc__ or "")
