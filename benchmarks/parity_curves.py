"""Part B of the parity report: the same small training with each algorithm, here and in aihwkit.

scikit-learn's digits on 64-32-10 (tanh, cross-entropy, batches of 10 in the same order, the same initial
weights), perfect periphery, output scales off. Elements and pulses differ from seed to seed in both.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from scipy import stats
from torch import nn

import ohmgrad as og
from ohmgrad import data
from ohmgrad.devices.presets import preset
from parity_peer import peer_device

__all__ = ["ALGORITHMS", "Algorithm", "compare_curves", "setting"]

LR, FAST_LR = 0.05, 0.2
#: rate of the transfer in units of LR, so large that a few epochs suffice
TRANSFER = 10.0
EPOCHS, BATCH = 5, 10
DEVICES = ("paper", "ald")


@dataclass(frozen=True)
class Algorithm:
    """One algorithm: its class here, with options, and aihwkit's configuration of a device."""

    name: str
    ours: str
    options: dict[str, Any]
    theirs: Callable[[og.Device], Any]


def _single(device: og.Device) -> Any:
    from aihwkit.simulator.configs import SingleRPUConfig  # pyright: ignore[reportMissingImports]

    return SingleRPUConfig(device=peer_device(device))


def _compound(
    kind: str, per_step: Callable[[og.Device], dict[str, Any]] = lambda device: {}
) -> Callable[..., Any]:
    """Two arrays, one column a minibatch read perfectly, fast_lr as it is and transfer_lr in units of the group's lr."""

    def config(device: og.Device) -> Any:
        from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]
        from aihwkit.simulator.parameters import IOParameters  # pyright: ignore[reportMissingImports]

        compound = getattr(configs, kind)(
            unit_cell_devices=[peer_device(device), peer_device(device)],
            transfer_every=1, units_in_mbatch=True, n_reads_per_transfer=1, fast_lr=FAST_LR,
            scale_fast_lr=False, transfer_lr=TRANSFER, scale_transfer_lr=True,
            transfer_forward=IOParameters(is_perfect=True), **own(device),
        )  # fmt: skip
        return configs.UnitCellRPUConfig(device=compound)

    return config


def _mixed(device: og.Device) -> Any:
    from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]

    compound = configs.MixedPrecisionCompound(device=peer_device(device))
    return configs.DigitalRankUpdateRPUConfig(device=compound)


def _threshold(device: og.Device) -> dict[str, Any]:
    return {"buffer_granularity": device.dw_min}  # in weight units there, in dw_min here


_RATES = {"fast_lr": FAST_LR, "transfer_lr": TRANSFER * LR}

ALGORITHMS = [
    Algorithm("Analog SGD", "AnalogSGD", {}, _single),
    Algorithm("TTv1", "TikiTaka", _RATES, _compound("TransferCompound")),
    Algorithm("TTv2", "TTv2", _RATES, _compound("BufferedTransferCompound")),
    Algorithm("c-TTv2", "ChoppedTTv2", _RATES, _compound("ChoppedTransferCompound", _threshold)),
    Algorithm("AGAD", "AGAD", _RATES, _compound("DynamicTransferCompound", _threshold)),
    Algorithm("mixed precision", "MixedPrecision", {}, _mixed),
]


def setting(seeds: int) -> str:
    """What was trained, in a few sentences."""
    return (
        f"Digits, 64-32-10 with tanh, batches of {BATCH}, {EPOCHS} epochs, lr {LR}, fast_lr {FAST_LR}, "
        f"transfer_lr {TRANSFER * LR:g}, one column per minibatch, perfect periphery, no output scales, same "
        f"initial weights and batches; {seeds} seeds. Loss: training loss, mean of the last epoch; accuracy on "
        "the test images; mean ± standard deviation over seeds. z: difference of the means in its standard "
        "errors (Welch)."
    )


def _network(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(64, 32), nn.Tanh(), nn.Linear(32, 10))


def _ours(algorithm: Algorithm, device: og.Device, seed: int) -> tuple[nn.Module, Any]:
    model = og.convert(_network(seed), device, seed=seed)
    for name, p in model.named_parameters():
        p.requires_grad_(not name.endswith("out_scale"))
    trained = [p for p in model.parameters() if p.requires_grad]
    return model, getattr(og.optim, algorithm.ours)(trained, lr=LR, **algorithm.options)


def _theirs(algorithm: Algorithm, device: og.Device, seed: int) -> tuple[nn.Module, Any]:
    from aihwkit.nn.conversion import convert_to_analog  # pyright: ignore[reportMissingImports]
    from aihwkit.optim import AnalogSGD  # pyright: ignore[reportMissingImports]
    from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
        IOParameters,
        UpdateParameters,
    )

    config = algorithm.theirs(device)
    config.forward = config.backward = IOParameters(is_perfect=True)
    config.update = UpdateParameters(desired_bl=31)
    model = convert_to_analog(_network(seed), config)
    optimizer = AnalogSGD(model.parameters(), lr=LR)
    optimizer.regroup_param_groups(model)
    return model, optimizer


def _train(model: nn.Module, optimizer: Any, seed: int) -> tuple[float, float]:
    """Mean training loss of the last epoch, and test accuracy."""
    digits = data.load("digits")
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
    """One row for each algorithm and device; algorithms that this version has not are left out."""
    rows = []
    for algorithm in ALGORITHMS:
        if not hasattr(og.optim, algorithm.ours):
            continue
        for name in DEVICES:
            device = preset(name)
            here = [_train(*_ours(algorithm, device, seed), seed) for seed in range(1, seeds + 1)]
            there = [_train(*_theirs(algorithm, device, seed), seed) for seed in range(1, seeds + 1)]
            row: dict[str, Any] = {"algorithm": algorithm.name, "device": name, "seeds": seeds}
            for i, what in enumerate(("loss", "accuracy")):
                a, b = [r[i] for r in here], [r[i] for r in there]
                error = math.hypot(statistics.stdev(a), statistics.stdev(b)) / math.sqrt(seeds)
                row |= {
                    f"{what}_ohmgrad": statistics.fmean(a), f"{what}_sd_ohmgrad": statistics.stdev(a),
                    f"{what}_aihwkit": statistics.fmean(b), f"{what}_sd_aihwkit": statistics.stdev(b),
                    f"z_{what}": (statistics.fmean(a) - statistics.fmean(b)) / error if error else 0.0,
                    f"p_{what}": float(stats.ttest_ind(a, b, equal_var=False).pvalue),  # pyright: ignore
                }  # fmt: skip
            print(f"  {algorithm.name}, {name}: loss {row['loss_ohmgrad']:.4f}, "
                  f"{row['loss_aihwkit']:.4f}, accuracy {row['accuracy_ohmgrad']:.3f} and {row['accuracy_aihwkit']:.3f}, "
                  f"p {row['p_loss']:.3f}, {row['p_accuracy']:.3f}", flush=True)  # fmt: skip
            rows.append(row)
    return rows
