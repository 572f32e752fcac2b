"""The same network on PCM over a year, in aihwkit and here: test accuracies of eight programmings each.

Needs aihwkit, of which the tiles in PyTorch are used (`TorchInferenceRPUConfig`), and MNIST:

    OHMGRAD_DATA=... python benchmarks/deployment_peer.py
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import torch
from aihwkit.inference import (  # pyright: ignore[reportMissingImports]
    GlobalDriftCompensation,
    PCMLikeNoiseModel,
)
from aihwkit.nn.conversion import convert_to_analog  # pyright: ignore[reportMissingImports]
from aihwkit.simulator.configs import TorchInferenceRPUConfig  # pyright: ignore[reportMissingImports]
from torch import nn

from ohmgrad.datasets import load
from ohmgrad.deployment import DAY, YEAR, accuracy_over_time
from ohmgrad.ensemble.grid import interval

TIMES = (20.0, 3600.0, DAY, YEAR)
PROGRAMMINGS = 8


def trained() -> tuple[nn.Module, Callable[[nn.Module], float]]:
    """The network of Wu et al. 2024 after 6 digital epochs, and its test accuracy (%)."""
    data = load("mnist")
    x, y = data.train_x[:10_000].flatten(1).float(), data.train_y[:10_000]
    torch.manual_seed(0)
    sizes = (784, 256, 128, 10)
    layers = [nn.Linear(a, b) for a, b in itertools.pairwise(sizes)]
    model = nn.Sequential(layers[0], nn.Sigmoid(), layers[1], nn.Sigmoid(), layers[2])
    optimizer = torch.optim.SGD(model.parameters(), lr=0.3)
    for _ in range(6):
        for batch in torch.randperm(len(x)).split(10):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
    test_x, test_y = data.test_x.flatten(1).float(), data.test_y

    @torch.no_grad()
    def accuracy(model: nn.Module) -> float:
        return 100 * float((model(test_x).argmax(1) == test_y).float().mean())

    return model, accuracy


def theirs(
    model: nn.Module, accuracy: Callable[[nn.Module], float], *, compensation: bool
) -> Iterator[list[float]]:
    """Accuracies at all times, programming by programming: PCM alone, products are perfect."""
    for n in range(PROGRAMMINGS):
        config = TorchInferenceRPUConfig()
        config.forward.is_perfect = True
        config.mapping.weight_scaling_omega = 1.0  # the largest weight of a matrix is G_max
        config.mapping.max_input_size = config.mapping.max_output_size = 0
        config.noise_model = PCMLikeNoiseModel(g_max=25.0)
        config.drift_compensation = GlobalDriftCompensation() if compensation else None
        torch.manual_seed(100 + n)
        analog = convert_to_analog(model, config).eval()
        analog.program_analog_weights()
        found = []
        for t in TIMES:
            analog.drift_analog_weights(t - TIMES[0])  # counted from the first read
            found.append(accuracy(analog))
        yield found


if __name__ == "__main__":
    torch.set_num_threads(1)
    model, accuracy = trained()
    print(f"digital {accuracy(model):.2f} %; ±: 95 % intervals over {PROGRAMMINGS} programmings")
    for compensation in (True, False):
        how = {"times": TIMES, "programmings": PROGRAMMINGS, "compensation": compensation, "seed": 1}
        ours = accuracy_over_time(model, accuracy, "pcm", **how).accuracies
        peer = torch.tensor(list(theirs(model, accuracy, compensation=compensation)), dtype=torch.float64)
        print(f"{'with' if compensation else 'without'} drift compensation")
        for name, found in (("aihwkit", peer), ("ours", ours)):
            mean, low, _ = interval(found.T)
            rows = zip(TIMES, mean.tolist(), (mean - low).tolist(), strict=True)
            print(f"  {name}: " + "; ".join(f"{t:g} s {m:.2f} ± {half:.2f} %" for t, m, half in rows))
