"""MT-F7 (Li et al. 2025, arXiv 2510.02516, Fig. 7, right): one weight, and more arrays.

f = (w - b)^2 with b one of 2^16 numbers in [-1, 1]; elements with soft bounds [-1, 1] and dw_min 0.5, four
states. Multi-tile learning without warm start: fast lr 0.01 and transfer lr 0.01, transfers out of array n,
the finest first, every 2 2^n updates, each array weighs 0.1 of the one before; at most 31 pulses without
update or bit-length management, one sample in an update, start 0. Spread and noise of the elements are those
of the authors' simulator, which the paper does not change. The figure says, without numbers: the loss falls
with every array.

Here one layer has 100 such weights, each with a b of its own: they share the trains of the input only.
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
from ...nn import AnalogLinear
from ...optim import MultiTile
from ...pulses import Pulsing
from ..settings import at_least_two
from ..study import Claim, Columns, Part, Study, claim, interval, where

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY"]

WEIGHTS = 100
DEVICE = Device(
    SoftBounds.symmetric(1.0),
    0.5,
    Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
    Noise(0.3, "multiplicative"),
)
PULSING = Pulsing(max_bl=31, update_management=False, bl_management=False)
OPTIONS: dict[str, Any] = {"alpha": 0.01, "beta": 0.01, "gamma": 0.1, "transfer_every": 2, "inner": 2}
#: share of the updates that the loss is averaged over
TAIL = 0.25
#: averages of the loss on the way
POINTS = 40


def check(settings: dict[str, Any]) -> None:
    at_least_two(settings, "tiles")
    if min(settings["tiles"]) < 2:
        raise InputError(f"tiles is {list(settings['tiles'])}, but must be 2 or more each")
    if settings["steps"] < POINTS:
        raise InputError(f"steps is {settings['steps']}, but must be at least {POINTS}")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [Part(f"tiles-{n}", partial(_run, settings, n)) for n in settings["tiles"]]


def _run(settings: dict[str, Any], tiles: int, tell: Any) -> Columns:
    torch.set_num_threads(1)  # the arrays are small: threads would only wait for each other
    rows = []
    for seed in range(1, settings["seeds"] + 1):
        tell(seed - 1, settings["seeds"], f"{tiles} arrays, seed {seed}")
        rows += [{"tiles": tiles, "seed": seed, **row} for row in train(tiles, seed, settings["steps"])]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def train(tiles: int, seed: int, steps: int) -> list[dict[str, float]]:
    """Mean loss of the weights over each of `POINTS` stretches of one training."""
    draw = torch.Generator().manual_seed(seed)
    targets = -1 + torch.randint(0, 2**16, (1, WEIGHTS), generator=draw) * (2 / (2**16 - 1))
    layer = AnalogLinear(1, WEIGHTS, DEVICE, bias=False, pulsing=PULSING, seed=seed, array=0)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    layer.tiles[0].reset()
    optimizer = MultiTile(layer.parameters(), lr=OPTIONS["alpha"], tiles=tiles, columns=None, **OPTIONS)
    x, found, total, every = torch.ones(1, 1), [], 0.0, steps // POINTS
    for step in range(1, steps + 1):
        loss = (layer(x) - targets).square()
        loss.sum().backward()
        optimizer.step()
        total += float(loss.detach().mean())
        if step % every == 0:
            found.append({"step": step, "loss": total / every})
            total = 0.0
    return found


def _late(columns: Columns, tiles: int) -> np.ndarray:
    """Mean loss over the last quarter of the updates, by seed."""
    mine = where(columns, tiles=tiles)
    late = mine["step"] > (1 - TAIL) * mine["step"].max()
    return np.array([mine["loss"][late & (mine["seed"] == s)].mean() for s in np.unique(mine["seed"])])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for tiles in settings["tiles"]:
        mean, low, high = interval(_late(columns, tiles))
        rows.append({"tiles": tiles, "loss": mean, "loss_low": low, "loss_high": high})
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    tiles = sorted(settings["tiles"])
    return [
        claim(
            f"{more} arrays leave a smaller loss than {fewer}",
            f"ratio of the losses, {more} / {fewer} arrays",
            interval(_late(columns, more) / _late(columns, fewer)),
            "below",
            1.0,
            full=True,
        )
        for fewer, more in pairwise(tiles)
    ]


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    axis = figure.subplots()
    for i, tiles in enumerate(settings["tiles"]):
        mine = where(columns, tiles=tiles)
        steps = np.unique(mine["step"])
        means = [mine["loss"][mine["step"] == step].mean() for step in steps]
        axis.plot(steps, means, color=str(0.75 - 0.75 * i / len(settings["tiles"])), label=f"{tiles} arrays")
    axis.set(xlabel="updates", ylabel="loss", yscale="log")
    axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="MT-F7",
    title="one weight on four states: the loss falls with every array",
    source="Li et al. 2025, arXiv 2510.02516, Fig. 7, right",
    settings={"tiles": (2, 3, 4, 6, 8), "steps": 20000, "seeds": 5},
    quick={"tiles": (2, 4), "steps": 4000, "seeds": 3},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    size=(4.4, 2.9),
    check=check,
)
