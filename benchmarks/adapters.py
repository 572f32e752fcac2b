"""Digital low-rank adapters recover a network whose analog weights were written badly and have drifted.

    python benchmarks/adapters.py [seeds]

After Li et al. 2024/26 (arXiv 2411.17367), with peft, which it needs (pip install peft), and MNIST. A
784-256-128-10 network learns 10,000 images digitally. It goes onto arrays of 100 states with 30 % spread, by
one round of write-verify, and waits 1e8 steps, in which a weight drifts to (1e8)^-0.05 = 0.4 of it, the
exponent with a spread of 50 %. Then adapters of rank 1, 2 and 4 beside its three layers learn the same
images, through the noisy periphery and without a pulse, which is checked. Test accuracies in %, mean and
95 % interval (Student's t), and each seed's.
"""

from __future__ import annotations

import copy
import sys

import numpy as np
import torch
from peft import LoraConfig, get_peft_model  # pyright: ignore[reportMissingImports]
from torch import nn

import ohmgrad as og
from ohmgrad.devices import Retention
from ohmgrad.models import build
from ohmgrad.nn import analog_layers
from ohmgrad.studies.study import interval
from ohmgrad.studies.train import evaluate

DEVICE = og.Device(
    og.SoftBounds.symmetric(1.0),
    dw_min=0.02,
    spread=og.Spread(dw_min=0.3, w_max=0.3, w_min=0.3),
    noise=og.Noise(0.3),
    retention=Retention(drift=0.05, drift_spread=0.5),
)
RANKS = (1, 2, 4)


def fit(model: nn.Module, data: og.datasets.Dataset, lr: float, epochs: int, seed: int) -> None:
    """Adam on what is not frozen."""
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=lr)
    for epoch in range(epochs):
        model.train()
        for x, y in og.datasets.batches(data.train_x, data.train_y, 64, seed=seed, epoch=epoch):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()


def run(data: og.datasets.Dataset, seed: int) -> dict[str, float]:
    """Test accuracies in %."""

    def accuracy(model: nn.Module) -> float:
        return 100 * evaluate(model, data.test_x, data.test_y)[1]

    net = build("fcn", data.shape, data.classes, seed)
    fit(net, data, lr=0.002, epochs=10, seed=seed)
    found = {"digital": accuracy(net)}
    layers = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    for rank in RANKS:
        torch.manual_seed(seed)
        config = LoraConfig(r=rank, lora_alpha=rank, target_modules=layers)
        model = og.convert(
            get_peft_model(copy.deepcopy(net), config), DEVICE, exclude=["*lora_*"],
            periphery=og.NOISY_PERIPHERY, omega=0.6, seed=seed,
        )  # fmt: skip
        tiles = [tile for _, layer in analog_layers(model) for tile in layer.tiles]
        for tile in tiles:
            wanted = tile.weight.clone()
            tile.reset()
            tile.program(wanted, rounds=1)
        found["written"] = accuracy(model)
        for tile in tiles:
            tile.wait(10**8)
        found["drifted"] = accuracy(model)
        before = [(tile.weight.clone(), tile.count("pulses_up"), tile.count("pulses_down")) for tile in tiles]
        fit(model, data, lr=0.003, epochs=5, seed=seed)
        for tile, (weight, up, down) in zip(tiles, before, strict=True):
            assert (tile.weight == weight).all()
            assert (up, down) == (tile.count("pulses_up"), tile.count("pulses_down"))
        found[f"rank {rank}"] = accuracy(model)
    return found


def main() -> None:
    torch.set_num_threads(1)
    data = og.datasets.load("mnist").first(10_000)
    rows = [run(data, seed) for seed in range(int(sys.argv[1]) if len(sys.argv) > 1 else 3)]
    for name in rows[0]:
        mean, low, _ = interval(np.array([row[name] for row in rows]))
        print(f"{name:10s} {mean:6.2f} ± {mean - low:.2f}   {[round(row[name], 2) for row in rows]}")


if __name__ == "__main__":
    main()
