"""`ohmgrad devices`: the named devices, and one of them drawn."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .arguments import examples
from .console import AsJson, console

__all__ = ["devices_app"]

devices_app = typer.Typer(help="List the presets, or print and draw a device.", no_args_is_help=True)


@devices_app.command("list", epilog=examples("ohmgrad devices list"))
def devices_list(as_json: AsJson = False) -> None:
    """All named devices."""
    from ..report import device_table

    console.print(device_table())


@devices_app.command(
    "show", epilog=examples("ohmgrad devices show paper --out paper.pdf", "ohmgrad devices show my.yaml")
)
def devices_show(
    name: Annotated[str, typer.Argument(help="A preset, a YAML file, or FILE.py:NAME.")],
    out: Annotated[
        Path | None, typer.Option(help="File; .svg, .pdf or .png. Default: NAME-device.svg.")
    ] = None,
) -> None:
    """Print a device as YAML, and draw its response and the pulse trains of a few elements."""
    from ..devices import Custom, Measured, describe
    from ..devices.named import device_named
    from ..devices.presets import PRESETS
    from ..report import device_figure, save

    device = device_named(name)
    if name in PRESETS:
        entry = PRESETS[name]
        words = {"note": entry.note, "source": entry.source, "figures": entry.figures}
        for what, text in {**words, "left out": entry.left_out, "aihwkit": entry.aihwkit}.items():
            if text:  # as comments, so that all that is printed is YAML
                console.print(f"# {what}: {text}", highlight=False, soft_wrap=True)
    if isinstance(device.response, Measured) and device.response.file is None:
        console.print(f"# {describe(device)}; measured tables without a file of their own", highlight=False)
    elif isinstance(device.response, Custom):
        console.print(f"# {describe(device)}; its steps are functions", highlight=False)
    else:
        console.print(device.to_yaml(), highlight=False)
    label = Path(name).stem
    # NAME.svg is the figure of a fit
    paths = save(device_figure(device, label), out or Path(f"{label}-device.svg"))
    console.print("figure: " + ", ".join(map(str, paths)))
