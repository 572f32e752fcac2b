"""Ten thousand steps of training, with every algorithm in turn, leave the memory where it was.

    python benchmarks/leak.py [STEPS]    (of all algorithms together; default 10,000; Linux)

A network of an analog convolution and two analog layers is made, trained for some steps, saved and loaded
again, and dropped, with each algorithm on two kinds of devices, again and again. The first two rounds load
kernels and fill caches. From then on the resident memory, looked at after each round, may grow by at most
`MOST`: 10,000 steps that each left one array of the network behind would take eleven times that.
"""

from __future__ import annotations

import ctypes
import gc
import sys
import time
from pathlib import Path

import torch
from torch import nn

import ohmgrad as og
from common import PAPER, machine
from ohmgrad.devices.presets import preset
from ohmgrad.optim.registry import ALGORITHMS, algorithm_of

#: steps of one network; how far the memory may grow (MiB)
EACH, MOST = 10, 16.0
DEVICES = (PAPER, preset("reram-es"))


def memory() -> float:
    """Resident memory (MiB), once what is free was given back to the system."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def train(name: str, device: og.Device, seed: int) -> None:
    """A network that is made, trained, saved and loaded again, and dropped."""
    torch.manual_seed(seed)
    plain = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Tanh(), nn.Flatten(), nn.Linear(144, 32), nn.Tanh(), nn.Linear(32, 5)
    )
    model = og.convert(plain, device, seed=seed)
    optimizer = algorithm_of(name, "digital")(model.parameters(), lr=0.05)
    x, y = torch.randn(8, 1, 8, 8), torch.randint(0, 5, (8,))
    for step in range(EACH):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        if step == EACH // 2:
            model.load_state_dict(model.state_dict())
            optimizer.load_state_dict(optimizer.state_dict())


def main() -> None:
    steps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    torch.set_num_threads(1)
    print(f"leak check\n{machine()}\n")
    one = EACH * len(ALGORITHMS) * len(DEVICES)
    rounds, seen, start = -(-steps // one), [], time.perf_counter()
    for number in range(2 + rounds):
        for name in ALGORITHMS:
            for device in DEVICES:
                train(name, device, number)
        seen.append(memory())
        print(f"{max(0, number - 1) * one:6} steps: {seen[-1]:7.1f} MiB", flush=True)
    left = seen[1:]
    grown = max(left) - left[0]
    took = f"{rounds * one} steps of {len(ALGORITHMS)} algorithms in {time.perf_counter() - start:.0f} s"
    print(f"\n{took}: resident memory between {min(left):.1f} and {max(left):.1f} MiB")
    print(f"at most {grown:+.1f} MiB from the first (target: at most +{MOST:g})")
    sys.exit(grown > MOST)


if __name__ == "__main__":
    main()
