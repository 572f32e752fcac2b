"""A whole training step on the paper's networks against the same step with torch's own layers and SGD.

Forward, loss, backward and update, in turn on the same minibatches; perfect and noisy periphery, the latter
with the networks, device and circuits of study S4. The ratio is what analog simulation costs. aihwkit, if it
can be imported, trains the FCN beside.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

import ohmgrad as og
from common import PAPER, batches, machine
from ohmgrad.models import build
from ohmgrad.optim.registry import ALGORITHMS

#: steps of a round, and rounds: many short rounds, so that a busy machine disturbs few of them
STEPS, ROUNDS = 4, 60
#: steps before, in which the untrained network pulses most
WARM = 200

#: every algorithm of the registry: its options on the FCN beside lr = 0.05. Arrays that collect the gradient
#: do so at the rate of Wu et al. 2024, 0.01
OPTIONS: dict[str, dict[str, Any]] = {
    "sgd": {},
    "tiki-taka": {"fast_lr": 0.01},
    "ttv2": {"fast_lr": 0.01},
    "c-ttv2": {"fast_lr": 0.01},
    "agad": {"fast_lr": 0.01},
    "mixed-precision": {},
    "gradient-counts": {},
    "momentum": {"lr": 0.005},
    "sign-rule": {},
    "eapu": {"lr": 0.005},
    "residual": {"alpha": 0.01},
    "residual-v2": {"alpha": 0.01},
    "multi-tile": {"alpha": 0.01},
    "sp-tracking": {"alpha": 0.01},
    "sp-tracking-chopped": {"alpha": 0.01},
}
#: largest ratios on the FCN with perfect periphery; 3 for all others. The sign rule pulses every element in
#: every step, and EaPU reads back and corrects in four rounds
FCN = {"sgd": 2.5, "tiki-taka": 2.5, "sign-rule": 8.0, "eapu": 20.0}
#: those whose step is also measured with noisy periphery and on the CNN, and the largest ratio there
ELSEWHERE = ("sgd", "tiki-taka")
TARGETS = {"cnn": 2.5, "noisy": 3.0}


def training(model: nn.Module, optimizer: Any, data: list) -> Callable[..., None]:
    """A function that trains for STEPS minibatches, going on where it stopped."""
    loss_of = nn.CrossEntropyLoss()
    state = {"at": 0}

    def work(steps: int = STEPS) -> None:
        for _ in range(steps):
            x, y = data[state["at"] % len(data)]
            state["at"] += 1
            optimizer.zero_grad()
            loss = loss_of(model(x), y)
            loss.backward()
            optimizer.step()
            assert torch.isfinite(loss)

    return work


def peer(net: str, data: list) -> Callable[..., None] | None:
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


def ratios(works: dict[str, Callable[..., None]]) -> dict[str, tuple[float, float]]:
    """Seconds of a step, and the median ratio to the digital step that was timed just before it.

    Medians over `ROUNDS` rounds. With one thread it is the processor's time that counts, which other
    programs on a busy machine do not add to; with more, wall time.
    """
    now = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for work in works.values():
        work(WARM)
    for _ in range(ROUNDS):
        for name, work in works.items():
            start = now()
            works["digital"]()
            between = now()
            work()
            times[name].append((between - start, now() - between))
    return {
        name: (statistics.median(b for _, b in pairs) / STEPS, statistics.median(b / a for a, b in pairs))
        for name, pairs in times.items()
    }


def main() -> None:
    print(f"training steps against torch, {torch.get_num_threads()} threads\n{machine()}\n")
    print(f"{'network':8} {'algorithm':20} {'periphery':9} {'ms/step':>8} {'ratio':>6} {'target':>7}")
    assert OPTIONS.keys() == ALGORITHMS.keys()
    for net, size in (("fcn", 10), ("cnn", 8)):
        data = batches(size, 500)
        digital = build(net, (1, 28, 28), 10, 0)
        works = {"digital": training(digital, torch.optim.SGD(digital.parameters(), lr=0.05), data)}
        for periphery, settings in (("perfect", og.Periphery()), ("noisy", og.NOISY_PERIPHERY)):
            for name, options in OPTIONS.items():
                if name in ELSEWHERE or (net, periphery) == ("fcn", "perfect"):
                    model = og.convert(build(net, (1, 28, 28), 10, 0), PAPER, periphery=settings)
                    optimizer = ALGORITHMS[name](model.parameters(), **{"lr": 0.05, **options})
                    works[f"{name} {periphery}"] = training(model, optimizer, data)
        other = peer(net, data)
        if other is not None:
            works["aihwkit-sgd perfect"] = other
        took = ratios(works)
        print(f"{net:8} {'digital (torch)':20} {'-':9} {took.pop('digital')[0] * 1e3:8.3f} {1:6.2f} {'-':>7}")
        for label, (t, ratio) in took.items():
            name, periphery = label.split(" ")
            where = "noisy" if periphery == "noisy" else net
            target = TARGETS.get(where, FCN.get(name, 3.0)) if name in OPTIONS else None
            wanted = "-" if target is None else f"<= {target:g}"
            print(f"{net:8} {name:20} {periphery:9} {t * 1e3:8.3f} {ratio:6.2f} {wanted:>7}")


if __name__ == "__main__":
    main()
