"""`ohmgrad demo`: a first training, in about a minute."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .console import AsJson, console
from .training import free_folder, run_and_report

__all__ = ["demo"]


def demo(
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/demo, or a free name.")] = None,
    as_json: AsJson = False,
) -> None:
    """In about a minute: Analog SGD stalls where Tiki-Taka goes on, on real images, pulse by pulse."""
    import torch

    from ..studies.demo import DEMO

    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    console.print(
        "A 64-32-10 network learns scikit-learn's digits: digital, and on the resistive device of Wu et "
        "al. (NeurIPS 2024) with 1200 states, spread and noise, where weights change by pulses only."
    )
    folder = out or free_folder(Path("runs/demo"))
    run_and_report(DEMO, folder, resume=False, title="digits, 64-32-10 network, the paper's device")
    console.print(
        "Analog SGD is pulled to the symmetric point by the noise of its gradients (Theorems 2 and 3 of "
        "arXiv v1 of 2406.12774); Tiki-Taka is not (Theorem 4).\nNext: [bold]ohmgrad train --help[/bold], "
        "[bold]ohmgrad devices show paper[/bold]",
        markup=True,
    )
