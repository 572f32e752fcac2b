"""Whether a rebuild kept every bit: weights, arrays and events of every device x algorithm x fidelity.

    python benchmarks/golden.py write before.json      # on the old version
    python benchmarks/golden.py check before.json      # on the new one, on the same machine
    python benchmarks/golden.py check before.json ensemble     # the cases alone whose names hold a word

A case trains a small network for 50 steps, or a small ensemble, or draws the trains of one update. Measured
devices need their data (OHMGRAD_DATA). Bits depend on the processor and on torch's build, so the file is made
anew on each machine and is not kept.
"""

from __future__ import annotations

import hashlib
import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

import ohmgrad as og
from ohmgrad import ensemble
from ohmgrad.devices import Device, Noise, PowStep, SoftBounds, Spread, draw
from ohmgrad.devices.presets import PRESETS
from ohmgrad.kernels import Cells, ops
from ohmgrad.optim.registry import ALGORITHMS
from ohmgrad.rng import Key
from ohmgrad.theory import least_squares
from ohmgrad.theory.problem import GradientNoise, WeightNoise

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


#: devices of ensembles: elements that are alike, that differ, that run from a table; and all in one
SPREAD = Spread(dw_min=0.3, w_max=0.2)
SOFT = Device(SoftBounds.symmetric(0.8), 0.008)
SKEWED = Device(SoftBounds(-0.5, 0.8, up=1.2, down=0.9), 0.004, SPREAD, Noise(0.3))
TABLE = Device(PowStep(-0.6, 0.6, 1.5, 1.5), 0.01, SPREAD, Noise(0.2))
TRAJECTORIES = 5
MEMBERS: dict[str, list[Device]] = {
    "soft": [SOFT] * TRAJECTORIES,
    "spread": [SKEWED] * TRAJECTORIES,
    "table": [TABLE] * TRAJECTORIES,
    "mixed": [SOFT, SKEWED, TABLE, SKEWED, SOFT],
}
RULES: dict[str, Callable[..., Any]] = {
    "sgd": lambda lr: ensemble.AnalogSGD(lr),
    "tiki-taka": lambda lr: ensemble.TikiTaka(lr, lr / 4),
    "residual": lambda lr: ensemble.ResidualLearning(lr, lr / 4, 0.3),
}


def digest(tensors: Iterable[torch.Tensor]) -> str:
    """Hash of the bits of tensors, one after the other."""
    found = hashlib.sha256()
    for tensor in tensors:
        found.update(tensor.detach().contiguous().numpy().tobytes())
    return found.hexdigest()


def cases() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Names, and what gives hashes and events."""
    for device in PRESETS:
        for algorithm in ALGORITHMS:
            for fidelity in FIDELITIES:
                settings = {"fidelity": fidelity}
                yield f"{device} {algorithm} {fidelity}", partial(train, _flat, device, algorithm, settings)
    for algorithm in SOME:
        for device in ("paper", "reram-array-om"):
            noisy = {"periphery": og.NOISY_PERIPHERY}
            made: dict[str, tuple[Callable[[], nn.Module], dict[str, Any]]] = {
                "noisy": (_flat, noisy),
                "tiles": (_flat, {"max_tile": (5, 4)}),
                "reference": (_flat, {"backend": "reference"}),
            }
            for name, make in LAYERS.items():
                made |= {name: (make, {}), f"{name} noisy": (make, noisy)}
            for name, (make, settings) in made.items():
                yield f"{device} {algorithm} {name}", partial(train, make, device, algorithm, settings)
    yield from ensembles()
    for max_bl in (7, 31, 100):
        for managed in (True, False):
            yield f"trains BL {max_bl} {'managed' if managed else 'fixed'}", partial(trains, max_bl, managed)


def ensembles() -> Iterator[tuple[str, Callable[[], dict[str, Any]]]]:
    """Cases of the ensemble engine."""
    for data in ("sum", "samples", "batch"):
        yield f"ensemble digital {data}", partial(simulate, ensemble.Digital(0.1), None, "mean", data)
        for members in MEMBERS:
            for fidelity in FIDELITIES:
                for name, rule in RULES.items():
                    lr = torch.linspace(0.02, 0.2, TRAJECTORIES)
                    case = partial(simulate, rule(lr), members, fidelity, data)
                    yield f"ensemble {name} {members} {fidelity} {data}", case
    for members in MEMBERS:
        for fidelity in FIDELITIES:
            yield f"ensemble zero-shift {members} {fidelity}", partial(zero_shift, members, fidelity)


def train(
    make: Callable[[], nn.Module], device: str, algorithm: str, settings: dict[str, Any]
) -> dict[str, Any]:
    """Hash of all weights, and the events, after the training."""
    torch.manual_seed(0)
    settings = dict(settings)
    how = og.Pulsing(fidelity=settings.pop("fidelity", "pulsed"))
    model = og.convert(make(), PRESETS[device].device, pulsing=how, seed=3, **settings)
    try:
        optimizer = ALGORITHMS[algorithm](model.parameters(), lr=0.05)
    except og.InputError as error:  # a device that the algorithm refuses
        return {"refused": str(error).split(":")[0]}
    data = torch.Generator().manual_seed(1)
    for _ in range(STEPS):
        x = torch.randn(5, 3, 4, generator=data)
        y = torch.randint(0, 4, (5,), generator=data)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    held = [*model.parameters(), *(tile.weight for tile in optimizer.arrays())]
    return {"weights": digest(held), "events": optimizer.events()}


def simulate(algorithm: Any, members: str | None, fidelity: Any, data: str) -> dict[str, Any]:
    """Hash of all that an ensemble measures, and its events."""
    g = torch.Generator().manual_seed(0)
    f = least_squares(torch.randn(24, 13, generator=g), 0.2 * torch.randn(13, generator=g))
    found = ensemble.simulate(
        f.summed() if data == "sum" else f,
        algorithm,
        seeds=range(3, 3 + TRAJECTORIES),
        steps=20,
        device=None if members is None else MEMBERS[members],
        noise=GradientNoise(0.2, "two-point") if data != "samples" else WeightNoise(0.1),
        batch=4 if data == "batch" else None,
        start=0.1,
        pulsing=og.Pulsing(fidelity, max_bl=100 if data == "samples" else 31),
        record=5,
    )
    values = [v for v in vars(found).values() if isinstance(v, torch.Tensor)]
    values += [t for v in vars(found).values() if isinstance(v, dict) for _, t in sorted(v.items())]
    return {"result": digest(values), "events": {k: e.tolist() for k, e in found.events.items()}}


def zero_shift(members: str, fidelity: Any) -> dict[str, Any]:
    """Hash of an ensemble's weights, bounds and symmetric points after alternating pulses, and events."""
    start, pulsing = torch.full((TRAJECTORIES, 9), 0.2), og.Pulsing(fidelity)
    arrays = ensemble.Arrays(MEMBERS[members], 9, range(TRAJECTORIES), pulsing=pulsing, start=start)
    arrays.zero_shift(4)
    arrays.pulse(torch.full((TRAJECTORIES, 9), 0.7), -0.05)
    held = [arrays.weight, *arrays.bounds, arrays.symmetric_point()]
    return {"weights": digest(held), "events": {"all": arrays.events.tolist()}}


def trains(max_bl: int, managed: bool) -> dict[str, Any]:
    """Hash of the trains of an update."""
    g = torch.Generator().manual_seed(2)
    cells = Cells.of(draw(SOFT, (11, 70), Key(5, 9)), Key(5, 9))
    x, d = torch.randn(6, 70, generator=g), torch.randn(6, 11, generator=g)
    pulsing = og.Pulsing(max_bl=max_bl, update_management=managed, bl_management=managed)
    return {"trains": digest(ops.draw_trains(x, d, 0.05, cells, pulsing, torch.tensor(17)))}


def main() -> None:
    what, file, word = sys.argv[1], Path(sys.argv[2]), "".join(sys.argv[3:4])
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    found: dict[str, Any] = {}
    for name, case in cases():
        if word in name:
            found[name] = case()
    if what == "write":
        file.write_text(json.dumps(found, indent=1))
        print(f"{len(found)} cases written")
        return
    kept = {name: old for name, old in json.loads(file.read_text()).items() if word in name}
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
