"""A whole training step on the paper's networks against the same step with torch's own layers and SGD.

Forward, loss, backward and update, in turn on the same minibatches; perfect and noisy periphery. The
ratio is what analog simulation costs. aihwkit, if it can be imported, trains the FCN beside.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import nn

import ohmgrad as og
from common import PAPER, batches, interleaved, machine
from ohmgrad.models import build

STEPS = 40

#: every algorithm: from the parameters to its optimizer, and the largest ratio on the FCN (perfect periphery)
ALGORITHMS: dict[str, tuple[Callable[..., og.AnalogOptimizer], float]] = {
    "sgd": (partial(og.AnalogSGD, lr=0.05), 2.0),
    "tiki-taka": (partial(og.TikiTaka, lr=0.05, fast_lr=0.01), 2.5),
    "ttv2": (partial(og.TTv2, lr=0.05, fast_lr=0.01), 3.0),
    "c-ttv2": (partial(og.ChoppedTTv2, lr=0.05, fast_lr=0.01), 3.0),
    "agad": (partial(og.AGAD, lr=0.05, fast_lr=0.01), 3.0),
}
#: those whose step is also measured with noisy periphery and on the CNN, and the largest ratio there
ELSEWHERE = ("sgd", "tiki-taka")
TARGETS = {"cnn": 2.5, "noisy": 3.0}


def training(model: nn.Module, optimizer: Any, data: list) -> Callable[[], None]:
    """A function that trains for STEPS minibatches, going on where it stopped."""
    loss_of = nn.CrossEntropyLoss()
    state = {"at": 0, "first": 0.0, "last": 0.0}

    def work() -> None:
        for _ in range(STEPS):
            x, y = data[state["at"] % len(data)]
            state["at"] += 1
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)

    return work


def peer(net: str, data: list) -> Callable[[], None] | None:
    """The same training with aihwkit's soft bounds and Analog SGD, or None where it is not installed."""
    try:
        from aihwkit.nn.conversion import (  # pyright: ignore[reportMissingImports]
            convert_to_analog,
        )
        from aihwkit.optim import AnalogSGD  # pyright: ignore[reportMissingImports]
        from aihwkit.simulator.configs import (  # pyright: ignore[reportMissingImports]
            SingleRPUConfig,
            SoftBoundsDevice,
        )
        from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
            IOParameters,
        )
    except ImportError:
        return None
    device = SoftBoundsDevice(w_min=-0.6, w_max=0.6, dw_min=0.001)
    perfect = {"forward": IOParameters(is_perfect=True), "backward": IOParameters(is_perfect=True)}
    model = convert_to_analog(build(net, (1, 28, 28), 10, 0), SingleRPUConfig(device=device, **perfect))
    optimizer = AnalogSGD(model.parameters(), lr=0.05)
    optimizer.regroup_param_groups(model)
    return training(model, optimizer, data)


def main() -> None:
    print(f"training steps against torch\n{machine()}\n")
    print(f"{'network':8} {'algorithm':16} {'periphery':9} {'ms/step':>8} {'ratio':>6} {'target':>7}")
    for net, size in (("fcn", 10), ("cnn", 8)):
        data = batches(size, 500)
        works: dict[str, Callable[[], None]] = {}
        digital = build(net, (1, 28, 28), 10, 0)
        works["digital"] = training(digital, torch.optim.SGD(digital.parameters(), lr=0.05), data)
        for name, periphery in (("perfect", og.Periphery()), ("noisy", og.NOISY_PERIPHERY)):
            for algorithm, (make, _) in ALGORITHMS.items():
                if algorithm in ELSEWHERE or (net, name) == ("fcn", "perfect"):
                    model = og.convert(build(net, (1, 28, 28), 10, 0), PAPER, periphery=periphery)
                    works[f"{algorithm} {name}"] = training(model, make(model.parameters()), data)
        other = peer(net, data)
        if other is not None:
            works["aihwkit-sgd perfect"] = other
        for work in works.values():
            work()  # past the first steps, in which the untrained network pulses most
        took = {name: t / STEPS for name, t in interleaved(works, rounds=9).items()}
        base = took.pop("digital")
        print(f"{net:8} {'digital (torch)':16} {'-':9} {base * 1e3:8.3f} {1:6.2f} {'-':>7}")
        for label, t in took.items():
            algorithm, name = label.split(" ")
            where = "noisy" if name == "noisy" else net
            target = TARGETS.get(where, ALGORITHMS[algorithm][1]) if algorithm in ALGORITHMS else None
            wanted = "-" if target is None else f"<= {target:g}"
            print(f"{net:8} {algorithm:16} {name:9} {t * 1e3:8.3f} {t / base:6.2f} {wanted:>7}")


if __name__ == "__main__":
    main()
