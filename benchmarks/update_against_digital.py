"""The pulsed update beside the digital one, d^T x added to the weights, as a table in markdown.

Arrays and minibatches of dense layers and convolutions at 0.2 pulses a cell and sample, in groups of
samples and in their order (`Pulsing.order`), with additive and multiplicative noise. Before a time is
printed, the mean change is checked against the one that was asked for, and groups against order: equal
events, weights that differ by less than the noise. Times are medians of interleaved rounds, on torch's
threads: `update_against_digital.py [threads]`.
"""

from __future__ import annotations

import dataclasses
import datetime
import sys
from typing import Any

import torch

import ohmgrad as og
from common import PAPER, interleaved, machine
from ohmgrad.crossbar import Tile

#: (rows, cols, samples), and the largest ratio to the digital update that is aimed at
SHAPES = {
    (1024, 1024, 32): None,
    (512, 512, 128): 4.0,
    (512, 512, 1024): 4.0,
    (64, 576, 8192): 4.0,
    (256, 2304, 2048): 4.0,
    (256, 784, 10): None,
    (128, 256, 10): None,
    (10, 128, 10): None,
}
#: pulses of a cell and sample; of standard normal lines the mean |x d| is 2/pi
PULSES = 0.2
LR = PULSES * PAPER.dw_min * torch.pi / 2
DEVICES = {
    "additive": PAPER,
    "multiplicative": dataclasses.replace(PAPER, noise=og.Noise(0.3, "multiplicative")),
}


def tiles(device: og.Device, rows: int, cols: int) -> dict[str, Tile]:
    """Equal tiles that take samples in groups and in order."""
    start = torch.empty(rows, cols).uniform_(-0.1, 0.1)
    orders: tuple[Any, ...] = ("bounded", "strict")
    return {o: Tile(start.clone(), device, pulsing=og.Pulsing(order=o), seed=1) for o in orders}


def check(made: dict[str, Tile], x: torch.Tensor, d: torch.Tensor) -> None:
    """Weights move as asked, by the slope of the regression on d^T x; and the same in groups and in order."""
    before, asked = made["strict"].weight.clone(), LR * d.t() @ x
    for tile in made.values():
        tile.pulse(x, d, LR)
    got = made["bounded"].weight - before
    scale = float((asked * asked).sum())
    slope, error = float((asked * got).sum()) / scale, float((asked * got).norm()) / scale
    low = 0.7 if len(x) <= 128 else 0.1  # thousands of pulses saturate a cell
    assert low - 5 * error < slope < 1.1 + 5 * error, f"the weights moved {slope:.3f} of what was asked"
    assert made["bounded"].events.tolist() == made["strict"].events.tolist()
    noise = PAPER.dw_min * 0.3 * (PULSES * len(x)) ** 0.5
    apart = float((made["bounded"].weight - made["strict"].weight).abs().median())
    assert apart < 0.15 * noise, f"groups and order differ by {apart / noise:.3f} of the noise"


def main() -> None:
    if len(sys.argv) > 1:
        torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(0)
    print(f"{machine()}; {torch.get_num_threads()} threads; {datetime.date.today()}\n")
    print("| array | samples | noise | digital ms | groups ms | in order ms | groups/digital | aim |")
    print("|---|---|---|---|---|---|---|---|")
    for (rows, cols, samples), aim in SHAPES.items():
        x, d = torch.randn(samples, cols), torch.randn(samples, rows)
        w = torch.zeros(rows, cols)
        for noise, device in DEVICES.items():
            made = tiles(device, rows, cols)
            check(made, x, d)

            def pulse(tile: Tile, x: torch.Tensor = x, d: torch.Tensor = d) -> None:
                tile.pulse(x, d, LR)
                tile.pulse(x, d, -LR)  # and back, so that the weights stay where they are

            def digital(w: torch.Tensor = w, x: torch.Tensor = x, d: torch.Tensor = d) -> None:
                w.add_(d.t() @ x, alpha=LR)
                w.add_(d.t() @ x, alpha=-LR)

            works = {name: (lambda tile=tile: pulse(tile)) for name, tile in made.items()}
            took = interleaved({"digital": digital, **works}, rounds=7)
            ms = {name: seconds * 500 for name, seconds in took.items()}
            ratio = ms["bounded"] / ms["digital"]
            met = "" if aim is None else f"{aim:g} {'met' if ratio <= aim else 'missed'}"
            print(
                f"| {rows} x {cols} | {samples} | {noise} | {ms['digital']:.2f} | {ms['bounded']:.2f} |"
                f" {ms['strict']:.2f} | {ratio:.1f} | {met} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
