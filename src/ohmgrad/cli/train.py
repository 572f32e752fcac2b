"""`ohmgrad train`: a network, with one or more algorithms and seeds."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError, naming
from ..user_files import anywhere
from .arguments import device_of, named_values, names_of, seeds_of
from .console import AsJson
from .training import free_folder, run_and_report

__all__ = ["train"]


def train(
    config: Annotated[Path | None, typer.Option(help="YAML file with any of these settings.")] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Data set: digits (the default), mnist, fashion-mnist, cifar10, cifar100, a .npz file, or "
            "FILE.py:NAME."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Network: mlp (the default), linear, fcn, cnn, resnet8, efficientnet-lite0, "
            "torchvision:NAME, or "
            "FILE.py:NAME."
        ),
    ] = None,
    pretrained: Annotated[
        str | None, typer.Option(help="Weights to start from: imagenet, or a .pt, .pth, .safetensors file.")
    ] = None,
    augment: Annotated[
        str | None, typer.Option(help="Changes of training images: flip, vertical-flip, crop; with commas.")
    ] = None,
    resize: Annotated[int | None, typer.Option(help="Height and width that images are brought to.")] = None,
    images: Annotated[int | None, typer.Option(help="Only the first so many images; default all.")] = None,
    device: Annotated[
        str | None, typer.Option(help="A preset, a YAML file, or FILE.py:NAME; default paper.")
    ] = None,
    tau: Annotated[float | None, typer.Option(help="Range [-tau, tau] of the device.")] = None,
    dw_min: Annotated[float | None, typer.Option(help="Granularity of the device.")] = None,
    include: Annotated[
        str | None, typer.Option(help="Patterns of the layers that become analog, with commas; default *.")
    ] = None,
    exclude: Annotated[
        str | None, typer.Option(help="Patterns of layers that stay digital, with commas.")
    ] = None,
    algorithms: Annotated[
        list[str] | None,
        typer.Option(
            help="Names as `ohmgrad algorithms` has them, or FILE.py:CLASS, with commas. Default: digital, "
            "sgd and tiki-taka."
        ),
    ] = None,
    algorithm: Annotated[list[str] | None, typer.Option(hidden=True)] = None,  # one of them
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="Option as name=value, for the algorithms that have it (one must); may be repeated."
        ),
    ] = None,
    fidelity: Annotated[
        str | None,
        typer.Option(help="How changes become pulses: mean, pulsed (the default) or pulse-by-pulse."),
    ] = None,
    periphery: Annotated[str | None, typer.Option(help="Circuits: perfect (the default) or noisy.")] = None,
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
    as_json: AsJson = False,
) -> None:
    """Train a network with one or more algorithms and seeds; all numbers go into a run folder."""
    from ..studies import RunSpec, read_spec

    if resume and out is None:
        raise InputError("--resume needs --out: say which run folder to go on with")
    given = read_spec(out).to_dict() if resume and out else {}
    given.update(RunSpec.read(config) if config else {})
    flags = {
        "data": anywhere(data) if data else None,
        "model": anywhere(model) if model else None,
        "pretrained": pretrained,
        "augment": names_of(augment),
        "resize": resize,
        "images": images,
        "device": device_of(device),
        "tau": tau,
        "dw_min": dw_min,
        "include": names_of(include),
        "exclude": names_of(exclude),
        "algorithms": names_of(",".join([*(algorithm or []), *(algorithms or [])]) or None),
        "fidelity": fidelity,
        "periphery": periphery,
        "lr": lr,
        "digital_lr": digital_lr,
        "batch_size": batch_size,
        "epochs": epochs,
        "seeds": seeds_of(seeds),
        "monitor": monitor,
    }
    given.update({name: value for name, value in flags.items() if value is not None})
    with naming(f"with {config}") if config else contextlib.nullcontext():
        if option:
            given["options"] = {**RunSpec.from_dict(given).options, **named_values("--option", option)}
        spec = RunSpec.from_dict(given)
    data_name, model_name = Path(spec.data).stem, spec.model.rpartition(":")[2]
    folder = out or free_folder(Path("runs") / f"{data_name}-{model_name}")
    run_and_report(spec, folder, resume, f"{data_name}, {model_name}", tensorboard)
