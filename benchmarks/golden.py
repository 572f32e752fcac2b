"""Whether a rebuild kept every bit: weights, arrays and events of every device x algorithm x fidelity.

    python benchmarks/golden.py write before.json      # on the old version
    python benchmarks/golden.py check before.json      # on the new one, on the same machine

Each case trains a small network for 50 steps; measured devices need their data (OHMGRAD_DATA). Bits depend
on the processor and on torch's build, so the file is made anew on each machine and is not kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ohmgrad as og
from ohmgrad.devices.presets import PRESETS
from ohmgrad.optim.registry import ALGORITHMS

STEPS = 50
FIDELITIES = ("mean", "pulsed", "pulse-by-pulse")
#: algorithms whose other layers and peripheries are looked at
SOME = ("sgd", "tiki-taka", "agad", "mixed-precision", "residual")


class _Last(nn.Module):
    """The first of what a module returns, as (N, features)."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x)[0].flatten(1)


class _Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x, x)[0].flatten(1)


def _flat() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, 4))


def _conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.Conv2d(1, 3, 2), nn.Tanh(), nn.Flatten(), nn.Linear(18, 4)
    )


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "conv": _conv,
    "lstm": lambda: _Last(nn.LSTM(4, 3, batch_first=True)),
    "attention": _Attention,
}


def cases() -> Iterator[tuple[str, Callable[[], nn.Module], str, str, dict[str, Any]]]:
    """Name, network, device, algorithm, settings of `convert`."""
    for device in PRESETS:
        for algorithm in ALGORITHMS:
            for fidelity in FIDELITIES:
                yield f"{device} {algorithm} {fidelity}", _flat, device, algorithm, {"fidelity": fidelity}
    for algorithm in SOME:
        for device in ("paper", "reram-array-om"):
            yield f"{device} {algorithm} noisy", _flat, device, algorithm, {"periphery": og.NOISY_PERIPHERY}
            yield f"{device} {algorithm} tiles", _flat, device, algorithm, {"max_tile": (5, 4)}
            yield f"{device} {algorithm} reference", _flat, device, algorithm, {"backend": "reference"}
            for name, make in LAYERS.items():
                yield f"{device} {algorithm} {name}", make, device, algorithm, {}
                yield (
                    f"{device} {algorithm} {name} noisy",
                    make,
                    device,
                    algorithm,
                    {"periphery": og.NOISY_PERIPHERY},
                )


def run(
    make: Callable[[], nn.Module], device: str, algorithm: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Hashes of all weights, and the events, after the training."""
    torch.manual_seed(0)
    settings = dict(settings)
    how = og.Pulsing(fidelity=settings.pop("fidelity", "pulsed"))
    model = og.convert(make(), PRESETS[device].device, pulsing=how, seed=3, **settings)
    optimizer = ALGORITHMS[algorithm](model.parameters(), lr=0.05)
    data = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x = torch.randn(5, 3, 4, generator=data)
        y = torch.randint(0, 4, (5,), generator=data)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    held = [*model.parameters(), *(tile.weight for tile in optimizer.arrays())]
    digest = hashlib.sha256()
    for tensor in held:
        digest.update(tensor.detach().contiguous().numpy().tobytes())
    return {"weights": digest.hexdigest(), "events": optimizer.events()}


def main() -> None:
    what, file = sys.argv[1], Path(sys.argv[2])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for name, make, device, algorithm, settings in cases():
        try:
            found[name] = run(make, device, algorithm, settings)
        except og.InputError as error:  # a device that an algorithm refuses
            found[name] = {"refused": str(error).split(":")[0]}
    if what == "write":
        file.write_text(json.dumps(found, indent=1))
        print(f"{len(found)} cases written")
        return
    kept = json.loads(file.read_text())
    apart = 0
    for name, old in kept.items():
        new = found.get(name, {})
        odd = [k for k in {**old, **new} if k != "events" and old.get(k) != new.get(k)]
        events, others = old.get("events", {}), new.get("events", {})
        odd += [f"{k} {events.get(k)} -> {others.get(k)}" for k in events if events[k] != others.get(k)]
        if odd:
            apart += 1
            if apart > 40:
                continue
            print(f"{name}: {', '.join(odd)}")
    print(f"{len(kept) - apart} of {len(kept)} cases equal")
    sys.exit(bool(apart))


if __name__ == "__main__":
    main()
