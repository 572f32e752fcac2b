"""Part B of the parity report: the same small training with each algorithm, here and in aihwkit.

scikit-learn's digits on 64-32-10 (tanh, cross-entropy, batches of 10 in the same order, the same initial
weights), perfect periphery, output scales off. Elements and pulses differ from seed to seed in both.
"""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats
from torch import nn

import ohmgrad as og
from ohmgrad import datasets
from ohmgrad.devices.presets import preset
from parity_peer import peer_device

__all__ = ["ALGORITHMS", "Algorithm", "compare_curves", "setting"]

LR, FAST_LR = 0.05, 0.2
EPOCHS, BATCH = 6, 5
#: buffered algorithms move a weight by one pulse per read of its column, so that a few epochs need large ones
COARSE = dataclasses.replace(preset("paper"), dw_min=0.02)


@dataclass(frozen=True)
class Algorithm:
    """One algorithm on one device: its class and options here, aihwkit's configuration, and its update.

    Args:
        max_bl: bit length of all updates in both.
        known: why both differ; empty where they must agree.
    """

    name: str
    device: og.Device
    ours: str
    options: dict[str, Any]
    theirs: Callable[[og.Device], Any]
    max_bl: int = 31
    known: str = ""


def _single(device: og.Device) -> Any:
    from aihwkit.simulator.configs import SingleRPUConfig  # pyright: ignore[reportMissingImports]

    return SingleRPUConfig(device=peer_device(device))


def _mixed(device: og.Device) -> Any:
    from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]

    compound = configs.MixedPrecisionCompound(device=peer_device(device))
    return configs.DigitalRankUpdateRPUConfig(device=compound)


def _compound(kind: str, transfer_lr: float, max_bl: int = 0, **own: Any) -> Callable[[og.Device], Any]:
    """Two arrays, one column a minibatch read perfectly; the transfer's rate is in units of lr there."""

    def config(device: og.Device) -> Any:
        from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]
        from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
            IOParameters,
            UpdateParameters,
        )

        if max_bl:  # buffered compounds keep their default, single certain pulses
            own["transfer_update"] = UpdateParameters(desired_bl=max_bl)
        compound = getattr(configs, kind)(
            unit_cell_devices=[peer_device(device), peer_device(device)],
            transfer_every=1, units_in_mbatch=True, n_reads_per_transfer=1, fast_lr=FAST_LR,
            scale_fast_lr=False, transfer_lr=transfer_lr / LR, scale_transfer_lr=True,
            transfer_forward=IOParameters(is_perfect=True), **own,
        )  # fmt: skip
        return configs.UnitCellRPUConfig(device=compound)

    return config


def _tt(name: str, transfer_lr: float, max_bl: int = 31, known: str = "") -> Algorithm:
    theirs = _compound("TransferCompound", transfer_lr, max_bl)
    options = {"fast_lr": FAST_LR, "transfer_lr": transfer_lr}
    return Algorithm(name, preset("paper"), "TikiTaka", options, theirs, max_bl, known)


def _buffered(name: str, ours: str, kind: str, options: dict[str, Any], **own: Any) -> Algorithm:
    options = {"fast_lr": FAST_LR, "transfer_lr": 0.5, **options}
    return Algorithm(name, COARSE, ours, options, _compound(kind, 0.5, **own))


_CHOPPERS = {"in_chop_prob": 0.25}

ALGORITHMS = [
    Algorithm("Analog SGD", preset("paper"), "AnalogSGD", {}, _single),
    _tt("TTv1, transfer_lr 0.05", 0.05),
    _tt("TTv1, transfer_lr 0.5", 0.5, known="transfers with more pulses than slots, see 9"),
    _tt("TTv1, transfer_lr 0.5, BL up to 400", 0.5, 400),
    _buffered("TTv2", "TTv2", "BufferedTransferCompound", {}),
    _buffered("c-TTv2", "ChoppedTTv2", "ChoppedTransferCompound", {"chop_prob": 0.25}, **_CHOPPERS),
    _buffered("AGAD", "AGAD", "DynamicTransferCompound", {"chop_prob": 0.25}, **_CHOPPERS),
    Algorithm("mixed precision", preset("paper"), "MixedPrecision", {}, _mixed),
]


def setting(seeds: int) -> str:
    """What was trained, in a few sentences."""
    return (
        f"Digits, 64-32-10 with tanh, batches of {BATCH}, {EPOCHS} epochs, lr {LR}, fast_lr {FAST_LR}. For "
        "the buffered algorithms transfer_lr 0.5, choppers of period 4, the paper's device with 60 states; "
        "for the others its 1200 states. One column per minibatch, perfect periphery, no output scales, "
        f"same initial weights and batches; {seeds} seeds. Loss: training loss, mean of the last epoch; "
        "accuracy on the test images; mean ± standard deviation over seeds."
    )


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def _ours(algorithm: Algorithm, seed: int) -> tuple[nn.Module, Any]:
    pulsing = og.Pulsing(max_bl=algorithm.max_bl)
    model = og.convert(_network(seed), algorithm.device, pulsing=pulsing, seed=seed)
    for name, p in model.named_parameters():
        p.requires_grad_(not name.endswith("out_scale"))
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, getattr(og.optim, algorithm.ours)(trained, lr=LR, **algorithm.options)


def _theirs(algorithm: Algorithm, seed: int) -> tuple[nn.Module, Any]:
    from aihwkit.nn.conversion import convert_to_analog  # pyright: ignore[reportMissingImports]
    from aihwkit.optim import AnalogSGD  # pyright: ignore[reportMissingImports]
    from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
        IOParameters,
        UpdateParameters,
    )

    config = algorithm.theirs(algorithm.device)
    config.forward = config.backward = IOParameters(is_perfect=True)
    config.update = UpdateParameters(desired_bl=algorithm.max_bl)
    model = convert_to_analog(_network(seed), config)
    optimizer = AnalogSGD(model.parameters(), lr=LR)
    optimizer.regroup_param_groups(model)
    return model, optimizer


def _train(model: nn.Module, optimizer: Any, seed: int) -> tuple[float, float]:
    """Mean training loss of the last epoch, and test accuracy."""
    digits = datasets.load("digits")
    x, y = digits.train_x.flatten(1), digits.train_y
    generator = torch.Generator().manual_seed(seed)
    losses: list[float] = []
    for _ in range(EPOCHS):
        losses = []
        for batch in torch.randperm(len(x), generator=generator).split(BATCH):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    with torch.no_grad():
        hits = model(digits.test_x.flatten(1)).argmax(1) == digits.test_y
    return statistics.fmean(losses), hits.double().mean().item()


def compare_curves(seeds: int) -> list[dict[str, Any]]:
    """One row an algorithm; those that this version has not are left out."""
    rows = []
    for algorithm in ALGORITHMS:
        if not hasattr(og.optim, algorithm.ours):
            continue
        here = [_train(*_ours(algorithm, seed), seed) for seed in range(1, seeds + 1)]
        there = [_train(*_theirs(algorithm, seed), seed) for seed in range(1, seeds + 1)]
        row: dict[str, Any] = {"algorithm": algorithm.name, "seeds": seeds}
        for i, what in enumerate(("loss", "accuracy")):
            a, b = [r[i] for r in here], [r[i] for r in there]
            error = math.hypot(statistics.stdev(a), statistics.stdev(b)) / math.sqrt(seeds)
            row |= {
                f"{what}_ohmgrad": statistics.fmean(a), f"{what}_sd_ohmgrad": statistics.stdev(a),
                f"{what}_aihwkit": statistics.fmean(b), f"{what}_sd_aihwkit": statistics.stdev(b),
                f"z_{what}": (statistics.fmean(a) - statistics.fmean(b)) / error if error else 0.0,
                f"p_{what}": float(stats.ttest_ind(a, b, equal_var=False).pvalue),  # pyright: ignore
            }  # fmt: skip
        row["meant"] = algorithm.known
        rows.append(row)
        print(f"  {algorithm.name}: loss {row['loss_ohmgrad']:.4f}, {row['loss_aihwkit']:.4f}, accuracy "
              f"{row['accuracy_ohmgrad']:.3f}, {row['accuracy_aihwkit']:.3f}, p {row['p_loss']:.3f}, "
              f"{row['p_accuracy']:.3f}", flush=True)  # fmt: skip
    return rows
