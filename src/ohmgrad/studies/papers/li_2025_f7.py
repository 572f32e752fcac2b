"""MT-F7 (Li et al. 2025, arXiv 2510.02516, Fig. 7, right): one weight, and more arrays.

f = (w - b)^2 with b one of 2^16 numbers in [-1, 1]; elements with soft bounds [-1, 1] and dw_min 0.5, four
states. Multi-tile learning as in the authors' program, with the warm start of its Algorithm 1: fast lr 0.01
and transfer lr 0.01, transfers out of array n, the finest first, every 2 2^n updates, each array weighs 0.1
of the one before; at most 31 pulses without update or bit-length management, one sample in an update, start
0. Spread and noise of the elements are those of the authors' simulator, which the paper does not change. It
does not say how many updates an epoch has, by whose losses the warm start goes on: here 100, and 100 epochs.
The figure says, without numbers: the loss falls with every array.

Every seed has a b and elements of its own. Losses of seeds differ by orders of magnitude, so that their
logarithms are averaged.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...devices import Device, Noise, SoftBounds, Spread
from ...errors import InputError
from ...kernels import Pulsing
from ...nn import AnalogLinear
from ...optim import MultiTile
from ..engine import Columns, Part
from ..settings import at_least_two
from ..study import Claim, Study, claim, interval, where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

DEVICE = Device(
    SoftBounds.symmetric(1.0),
    0.5,
    Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
    Noise(0.3, "multiplicative"),
)
PULSING = Pulsing(max_bl=31, update_management=False, bl_management=False)
OPTIONS: dict[str, Any] = {
    "alpha": 0.01,
    "beta": 0.01,
    "gamma": 0.1,
    "transfer_every": 2,
    "inner": 2,
    "warm_start": "plateau",
}
#: share of the epochs that the loss is averaged over
TAIL = 0.25
#: a loss is at least so large: single precision knows no smaller error of a weight near 1
LEAST = 1e-14


def check(settings: dict[str, Any]) -> None:
    at_least_two(settings, "tiles")
    if min(settings["tiles"]) < 2:
        raise InputError(f"tiles is {list(settings['tiles'])}, but must be 2 or more each")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(f"tiles-{n}", partial(_run, settings, n)) for n in settings["tiles"]]


def _run(settings: dict[str, Any], tiles: int, progress: Any) -> Columns:
    torch.set_num_threads(1)  # the arrays are small: threads would only wait for each other
    rows = []
    for seed in range(1, settings["seeds"] + 1):
        progress(seed - 1, settings["seeds"], f"{tiles} arrays, seed {seed}")
        losses = train(tiles, seed, settings["epochs"], settings["updates"])
        rows += [{"tiles": tiles, "seed": seed, "epoch": e, "loss": v} for e, v in enumerate(losses, 1)]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def train(tiles: int, seed: int, epochs: int, updates: int) -> list[float]:
    """Mean loss of every epoch of one training."""
    draw = torch.Generator().manual_seed(seed)
    target = -1 + float(torch.randint(0, 2**16, (1,), generator=draw)) * 2 / (2**16 - 1)
    layer = AnalogLinear(1, 1, DEVICE, bias=False, pulsing=PULSING, seed=seed, array=0)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    layer.tiles[0].reset()
    optimizer = MultiTile(layer.parameters(), lr=OPTIONS["alpha"], tiles=tiles, columns=None, **OPTIONS)
    x, found = torch.ones(1, 1), []
    for _ in range(epochs):
        total = 0.0
        for _ in range(updates):
            loss = (layer(x) - target).square().sum()
            loss.backward()
            optimizer.step()
            total += float(loss.detach())
        optimizer.end_epoch(total / updates)
        found.append(total / updates)
    return found


def _logs(columns: Columns, tiles: int) -> np.ndarray:
    """log10 of the mean loss over the last quarter of the epochs, by seed."""
    mine = where(columns, tiles=tiles)
    late = mine["epoch"] > (1 - TAIL) * mine["epoch"].max()
    means = [mine["loss"][late & (mine["seed"] == s)].mean() for s in np.unique(mine["seed"])]
    return np.log10(np.maximum(means, LEAST))


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for tiles in settings["tiles"]:
        mean, low, high = interval(_logs(columns, tiles))
        rows.append({"tiles": tiles, "loss": 10**mean, "loss_low": 10**low, "loss_high": 10**high})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    tiles = sorted(settings["tiles"])
    return [
        claim(
            f"{more} arrays leave a smaller loss than {fewer}",
            f"log10 of the loss, {more} - {fewer} arrays",
            interval(_logs(columns, more) - _logs(columns, fewer)),
            "below",
            0.0,
            full=True,
        )
        for fewer, more in pairwise(tiles)
    ]


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axis = figure.subplots()
    for i, tiles in enumerate(settings["tiles"]):
        mine = where(columns, tiles=tiles)
        epochs = np.unique(mine["epoch"])
        logs = [np.log10(np.maximum(mine["loss"][mine["epoch"] == e], LEAST)).mean() for e in epochs]
        axis.plot(
            epochs,
            10 ** np.array(logs),
            color=str(0.75 - 0.75 * i / len(settings["tiles"])),
            label=f"{tiles} arrays",
        )
    axis.set(xlabel="epoch", ylabel="loss, geometric mean", yscale="log")
    axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="MT-F7",
    title="one weight on four states: the loss falls with every array",
    source="Li et al. 2025, arXiv 2510.02516, Fig. 7, right",
    settings={"tiles": (2, 3, 4, 6, 8), "epochs": 100, "updates": 100, "seeds": 20},
    quick={"tiles": (2, 6), "epochs": 40, "seeds": 6},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(4.4, 2.9),
    check=check,
)
