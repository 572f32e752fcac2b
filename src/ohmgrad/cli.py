"""The command line: demo, train, plot, devices; reproduce and check are in files of their own."""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
import typer.core
from rich.console import Console

from .cli_check import check_app
from .cli_compare import compare
from .cli_reproduce import named_values, reproduce
from .errors import InputError, check_choice, naming, shown
from .style import look

if TYPE_CHECKING:
    from .studies import RunSpec

__all__ = ["app", "main"]


class _Commands(typer.core.TyperGroup):
    """The commands; one that is stopped by Ctrl-C says so, where typer would say nothing."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            kept = ctx.invoked_subcommand == "reproduce"
            goes_on = "finished parts are saved, and the same command goes on"
            _stopped(goes_on if kept else "the same command starts again")


app = typer.Typer(
    cls=_Commands,
    help="Train neural networks on simulated analog in-memory hardware.",
    epilog="Start with [bold]ohmgrad demo[/bold]; [bold]ohmgrad COMMAND --help[/bold] has examples.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)
devices_app = typer.Typer(help="Look at devices.", no_args_is_help=True)
console = Console()


def _examples(*lines: str) -> str:
    """An epilog with one example a line."""
    return "\n\n".join(("Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)))


def main(argv: list[str] | None = None) -> None:
    """Entry point: wrong input is one line on stderr and exit code 2."""
    try:
        app(args=argv, standalone_mode=True)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def _stopped(what: str) -> NoReturn:
    """Say in one line what is left of a command that was stopped; exit code 130, as shells have it."""
    print(f"stopped: {what}", file=sys.stderr)
    raise typer.Exit(130)


@app.callback(invoke_without_command=True)
def _top(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    if version:
        from . import __version__

        print(f"ohmgrad {__version__}")
        raise typer.Exit


@app.command(epilog=_examples("ohmgrad demo --out runs/first"))
def demo(
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/demo, or a free name.")] = None,
) -> None:
    """In about a minute: Analog SGD stalls where Tiki-Taka goes on, on real images, pulse by pulse."""
    import torch

    from .studies.demo import DEMO

    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    console.print(
        "A 64-32-10 network learns scikit-learn's digits: digital, and on the resistive device of Wu et "
        "al. (NeurIPS 2024) with 1200 states, spread and noise, where weights change by pulses only."
    )
    folder = out or _free(Path("runs/demo"))
    _run(DEMO, folder, resume=False, title="digits, 64-32-10 network, the paper's device")
    console.print(
        "Analog SGD is pulled to the symmetric point by the noise of its gradients (Theorems 2 and 3 of "
        "arXiv v1 of 2406.12774); Tiki-Taka is not (Theorem 4).\nNext: [bold]ohmgrad train --help[/bold], "
        "[bold]ohmgrad devices show paper[/bold]"
    )


@app.command(
    epilog=_examples(
        "ohmgrad train --data mnist --model fcn --tau 0.6 --epochs 2",
        "ohmgrad train --algorithms ttv2,agad --option fast_lr=0.5 --option columns=8 --epochs 9",
        "ohmgrad train --config runs/a/spec.yaml --epochs 9 --out runs/b",
        "ohmgrad train --data cifar10 --model efficientnet-lite0 --pretrained imagenet --include _fc",
        "ohmgrad train --resume --out runs/a",
    )
)
def train(
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these settings.")] = None,
    data: Annotated[
        str | None,
        typer.Option(help="digits (the default), mnist, fashion-mnist, cifar10, cifar100, or a .npz file."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="mlp (default), linear, fcn, cnn, resnet8, efficientnet-lite0, torchvision:NAME."),
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Weights to start from: imagenet, or a .pt, .pth, .safetensors file.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="Of training images: flip, vertical-flip, crop; with commas.")
    ] = None,
    resize: Annotated[int | None, typer.Option(help="Height and width that images are brought to.")] = None,
    images: Annotated[int | None, typer.Option(help="Only the first so many images; default all.")] = None,
    device: Annotated[str | None, typer.Option(help="A preset, or a YAML file; default paper.")] = None,
    tau: Annotated[float | None, typer.Option(help="Range [-tau, tau] of the device.")] = None,
    dw_min: Annotated[float | None, typer.Option(help="Granularity of the device.")] = None,
    include: Annotated[
        str | None, typer.Option(help="Patterns of the layers that become analog, with commas; default *.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(help="Patterns of layers that stay digital, with commas.")
    ] = None,
    algorithm: Annotated[
        list[str] | None,
        typer.Option(
            "--algorithm",
            "--algorithms",
            help="Names as `ohmgrad algorithms` has them, with commas; default digital,sgd,tiki-taka.",
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option as name=value, for the algorithms that have it (one must); may be repeated."
        ),
    ] = None,
    fidelity: Annotated[str | None, typer.Option(help="mean, pulsed (default) or pulse-by-pulse.")] = None,
    periphery: Annotated[str | None, typer.Option(help="perfect (default) or noisy.")] = None,
    lr: Annotated[float | None, typer.Option(help="Learning rate; default 0.05.")] = None,
    digital_lr: Annotated[
        float | None, typer.Option(help="Learning rate of what stays digital; default that of all.")
    ] = None,
    batch_size: Annotated[int | None, typer.Option(help="Images in a minibatch; default 10.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Passes over the images; default 1.")] = None,
    seeds: Annotated[str | None, typer.Option(help="Seeds, as in 0,1,2; default 0.")] = None,
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/DATA-MODEL.")] = None,
    monitor: Annotated[
        bool | None,
        typer.Option("--monitor/--no-monitor", help="Record gradient norm, predicted floor and drift."),
    ] = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Log to tensorboard/ in the run folder, too.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on in --out with its settings; --epochs may be raised.")
    ] = False,
) -> None:
    """Train a network with one or more algorithms and seeds; all numbers go into a run folder."""
    from .studies import RunSpec, read_spec

    if resume and out is None:
        raise InputError("--resume needs --out: say which run folder to go on with")
    given = read_spec(out).to_dict() if resume and out else {}
    given.update(RunSpec.read(config) if config else {})
    flags = {
        "data": data,
        "model": model,
        "pretrained": pretrained,
        "augment": _names(augment),
        "resize": resize,
        "images": images,
        "device": _device(device),
        "tau": tau,
        "dw_min": dw_min,
        "include": _names(include),
        "exclude": _names(exclude),
        "algorithms": _names(",".join(algorithm)) if algorithm else None,
        "fidelity": fidelity,
        "periphery": periphery,
        "lr": lr,
        "digital_lr": digital_lr,
        "batch_size": batch_size,
        "epochs": epochs,
        "seeds": _seeds(seeds),
        "monitor": monitor,
    }
    given.update({name: value for name, value in flags.items() if value is not None})
    with naming(f"with {config}") if config else contextlib.nullcontext():
        if option:
            given["options"] = {**RunSpec.from_dict(given).options, **named_values("--option", option)}
        spec = RunSpec.from_dict(given)
    data_name, model_name = Path(spec.data).stem, spec.model.rpartition(":")[2]
    folder = out or _free(Path("runs") / f"{data_name}-{model_name}")
    _run(spec, folder, resume, f"{data_name}, {model_name}", tensorboard)


@app.command(epilog=_examples("ohmgrad plot runs/demo"))
def plot(run: Annotated[Path, typer.Argument(help="A run folder.")]) -> None:
    """Draw the figure and the table of a run again, from its saved numbers."""
    from .studies import read_metrics

    _report(read_metrics(run), run, title=str(run))


app.command(
    epilog=_examples(
        "ohmgrad reproduce list",
        "ohmgrad reproduce S1 --quick",
        "ohmgrad reproduce S4 --jobs 2",
        "ohmgrad reproduce scoreboard",
    )
)(reproduce)
app.command(
    epilog=_examples(
        "ohmgrad compare --quick",
        "ohmgrad compare --algorithms digital,sgd,ttv2 --devices paper,my.yaml --seeds 5",
    )
)(compare)


@app.command(epilog=_examples("ohmgrad algorithms"))
def algorithms() -> None:
    """All algorithms, with their papers and the lines of code that each takes."""
    from .report import algorithm_table

    console.print(algorithm_table())


app.add_typer(
    devices_app, name="devices", epilog=_examples("ohmgrad devices list", "ohmgrad devices show ecram")
)
app.add_typer(
    check_app,
    name="check",
    epilog=_examples("ohmgrad check device my.yaml", "ohmgrad check algorithm my_optimizer.py:MyOptimizer"),
)


@devices_app.command("list", epilog=_examples("ohmgrad devices list"))
def devices_list() -> None:
    """All named devices."""
    from .report import device_table

    console.print(device_table())


@devices_app.command(
    "show", epilog=_examples("ohmgrad devices show paper --out paper.pdf", "ohmgrad devices show my.yaml")
)
def devices_show(
    name: Annotated[str, typer.Argument(help="A preset, or a YAML file of a device.")],
    out: Annotated[Path | None, typer.Option(help="File; .svg, .pdf or .png. Default: NAME.svg.")] = None,
) -> None:
    """Print a device as YAML, and draw its response and the pulse trains of a few elements."""
    from .crossbar import describe
    from .devices import Device, Measured
    from .devices.presets import PRESETS, preset
    from .report import device_figure, save

    given = _device(name)
    device = Device.from_dict(given) if isinstance(given, dict) else preset(name)
    if isinstance(given, str):
        entry = PRESETS[given]
        words = {"note": entry.note, "source": entry.source, "figures": entry.figures}
        for what, text in {**words, "left out": entry.left_out, "aihwkit": entry.aihwkit}.items():
            if text:  # as comments, so that all that is printed is YAML
                console.print(f"# {what}: {text}", highlight=False, soft_wrap=True)
    if isinstance(device.response, Measured):
        console.print(f"# {describe(device)}; measured tables have no form in YAML", highlight=False)
    else:
        console.print(device.to_yaml(), highlight=False)
    label = Path(name).stem
    paths = save(device_figure(device, label), out or Path(f"{label}.svg"))
    console.print("figure: " + ", ".join(map(str, paths)))


def _run(spec: RunSpec, folder: Path, resume: bool, title: str, tensorboard: bool = False) -> None:
    """Train and report; a run that is stopped says how it goes on."""
    try:
        _report(_train(spec, folder, resume, tensorboard), folder, title)
    except KeyboardInterrupt:
        if not (folder / "spec.yaml").is_file():
            raise
        board = ["--tensorboard"] if tensorboard else []
        again = shlex.join(["ohmgrad", "train", "--resume", *board, "--out", str(folder)])
        _stopped(f"finished epochs are saved; go on with {again}")


def _train(spec: RunSpec, folder: Path, resume: bool, tensorboard: bool) -> list[dict[str, Any]]:
    """Train, with a bar for each training."""
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from .studies import Progress, train

    layout = ("{task.description}", BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[now]}"))
    columns = [c if not isinstance(c, str) else TextColumn(c) for c in layout]
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        tasks: dict[tuple[str, int], Any] = {}

        def step(algorithm: str, seed: int, done: int, total: int, loss: float) -> None:
            key = (algorithm, seed)
            if key not in tasks:
                label = f"{look(algorithm).label}, seed {seed}"
                tasks[key] = bars.add_task(label, total=total, now="")
            bars.update(tasks[key], completed=done, now=f"loss {loss:.4f}")

        def epoch(row: dict[str, Any]) -> None:
            key = (row["algorithm"], row["seed"])
            # where there are no bars, about five lines a training show that it goes on
            every = -(-spec.epochs // 5)
            if row["epoch"] == spec.epochs or not (console.is_terminal or row["epoch"] % every):
                console.print(
                    f"{look(row['algorithm']).label:12} seed {row['seed']}  "
                    f"epoch {row['epoch']}/{spec.epochs}  training loss {row['train_loss']:.4f}  "
                    f"test accuracy {100 * row['test_accuracy']:.1f} %  "
                    f"{row['seconds']:.1f} s",
                    highlight=False,
                    soft_wrap=True,
                )
            if row["epoch"] == spec.epochs and key in tasks:
                bars.remove_task(tasks.pop(key))

        tell = Progress(step, epoch, console.print)
        return train(spec, folder, resume=resume, progress=tell, tensorboard=tensorboard)


def _report(rows: list[dict[str, Any]], folder: Path, title: str) -> None:
    from .report import monitor_figure, run_figure, run_table, save, summarise, write_summary
    from .studies import read_monitor

    if not rows:
        raise InputError(f"{folder} has no finished epoch yet: train it, or pass --resume")
    summary = summarise(rows)
    write_summary(summary, folder / "summary.csv")
    paths = save(run_figure(rows, title), folder / "figure")
    console.print(run_table(summary, title))
    numbers = f"{folder}/metrics.csv, summary.csv"
    console.print(f"figure: {paths[0]} (also .pdf, .png)\nnumbers: {numbers}", soft_wrap=True)
    watched = read_monitor(folder)
    if watched:
        paths = save(monitor_figure(watched, title), folder / "monitor")
        console.print(f"predicted floor: {paths[0]} (also .pdf, .png), {folder}/monitor.csv", soft_wrap=True)


def _free(folder: Path) -> Path:
    """`folder`, or the first of folder-2, folder-3, ... that does not exist."""
    found, number = folder, 1
    while found.exists():
        number += 1
        found = folder.with_name(f"{folder.name}-{number}")
    return found


def _device(name: str | None) -> str | dict[str, Any] | None:
    """A preset's name, or the content of a device's YAML file."""
    if name is None or not name.endswith((".yaml", ".yml")):
        if name is not None:
            from .devices.presets import PRESETS

            if Path(name).suffix:
                raise InputError(f"{name} is no device: give a preset, or a YAML file (.yaml, .yml)")

            check_choice("device", name, PRESETS)
        return name
    from .devices import Device

    return Device.from_yaml(Path(name)).to_dict()


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _seeds(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"seeds is {shown(text)}, but must be integers with commas, as in 0,1,2") from None
