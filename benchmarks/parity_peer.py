"""The same device, update and drawn array in aihwkit 1.2.0 and here; used by the parity report.

aihwkit draws its update noise from a list of 32,768 Gaussian numbers per tile, so a sample of cells is
taken from many small tiles, each with a list of its own. Only its construction can be seeded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import ohmgrad as og
from ohmgrad.devices import Elements, draw
from ohmgrad.rng import Key

__all__ = [
    "PLANES",
    "Update",
    "certain",
    "our_planes",
    "ours",
    "peer_device",
    "their_planes",
    "theirs",
    "trains",
]

#: what is compared of drawn elements: aihwkit's name and ours
PLANES: dict[str, Callable[[Any], Any]] = {
    "max_bound": lambda e: e.upper,
    "min_bound": lambda e: e.lower,
    "dwmin_up": lambda e: e.up,
    "dwmin_down": lambda e: e.down,
}

SIDE = 128  # lines of a tile in an update by trains; only the cells on its diagonal are independent
TILE = (16, 32)  # cells of a tile in an update by certain pulses


@dataclass(frozen=True)
class Update:
    """One update of cells that all get the same factors x and d, sample by sample.

    Args:
        name: for the table.
        x, d: factors of the cell, one of each per sample.
        pulses: lr / dw_min.
        pulsing: how changes become pulses.
        loud: largest |x| and |d| on another line, which sets the management; 0 for no other line.
    """

    name: str
    x: tuple[float, ...]
    d: tuple[float, ...]
    pulses: float
    pulsing: og.Pulsing
    loud: tuple[float, float] = (0.0, 0.0)


def certain(*counts: int) -> Update:
    """Exactly so many pulses, sample by sample, negative ones down: every line fires in every slot."""
    n = max(abs(c) for c in counts)
    assert all(abs(c) == n for c in counts), "one bit length for all samples"
    # a thousandth more than needed, or a rounding of the probability 1 would lose a pulse
    signs = tuple(-1.0 if c > 0 else 1.0 for c in counts)
    words = ", ".join(f"{c:+d}" for c in counts)
    return Update(
        f"pulses {words}", signs, (1.0,) * len(counts), 1.001 * n, og.Pulsing(max_bl=n, bl_management=False)
    )


def trains(name: str, x: tuple[float, ...], d: tuple[float, ...], pulses: float, *,
           loud: tuple[float, float] = (1.0, 1.0), **pulsing: Any) -> Update:  # fmt: skip
    """An update by stochastic trains; `loud` is what the largest lines carry."""
    return Update(name, x, d, pulses, og.Pulsing(**pulsing), loud)


def _factors(update: Update, tile: tuple[int, int]) -> tuple[Tensor, Tensor, bool]:
    """x, d of a tile, and whether the cells of interest are those on its diagonal."""
    diagonal = any(update.loud)
    rows, cols = (SIDE, SIDE) if diagonal else tile
    x = torch.tensor(update.x).unsqueeze(1).expand(-1, cols)
    d = torch.tensor(update.d).unsqueeze(1).expand(-1, rows)
    if diagonal:
        loud_x, loud_d = (torch.full((len(update.x), 1), v) for v in update.loud)
        x, d = torch.cat([x, loud_x], 1), torch.cat([d, loud_d], 1)
    return x.contiguous(), d.contiguous(), diagonal


def _sample(
    update: Update, cells: int, one: Callable[[int, Tensor, Tensor], Tensor], shape: tuple[int, int]
) -> np.ndarray:
    """Weights of `cells` independent cells after the update, from as many tiles as that takes."""
    x, d, diagonal = _factors(update, shape)
    per = SIDE if diagonal else shape[0] * shape[1]
    found = []
    for number in range(-(-cells // per)):
        w = one(number, x, d)
        found.append(w.diagonal()[:SIDE].clone() if diagonal else w.reshape(-1).clone())
    return torch.cat(found)[:cells].double().numpy()


def ours(device: og.Device, start: float, update: Update, cells: int, fidelity: str | None = None,
         tile: tuple[int, int] = TILE) -> np.ndarray:  # fmt: skip
    """Changes of `cells` cells in units of dw_min."""
    pulsing = update.pulsing if fidelity is None else og.Pulsing(
        fidelity, update.pulsing.max_bl, update.pulsing.update_management, update.pulsing.bl_management  # pyright: ignore
    )  # fmt: skip

    def one(number: int, x: Tensor, d: Tensor) -> Tensor:
        array = og.Tile(torch.full((d.shape[1], x.shape[1]), start), device, pulsing=pulsing, seed=1 + number)
        array.pulse(x, d, -update.pulses * device.dw_min)
        return array.effective_weight() - start

    return _sample(update, cells, one, tile) / device.dw_min


def theirs(config: Any, dw_min: float, start: float, update: Update, cells: int,
           tile: tuple[int, int] = TILE) -> np.ndarray:  # fmt: skip
    """The same with aihwkit's device; `dw_min` is ours, the unit of the result."""
    from aihwkit.simulator.configs import SingleRPUConfig  # pyright: ignore[reportMissingImports]
    from aihwkit.simulator.parameters import (  # pyright: ignore[reportMissingImports]
        IOParameters,
        UpdateParameters,
    )
    from aihwkit.simulator.tiles.analog import AnalogTile  # pyright: ignore[reportMissingImports]

    p = update.pulsing
    how = UpdateParameters(
        desired_bl=p.max_bl, update_management=p.update_management, update_bl_management=p.bl_management
    )
    perfect = IOParameters(is_perfect=True)

    def one(number: int, x: Tensor, d: Tensor) -> Tensor:
        config.construction_seed = 1 + number
        whole = SingleRPUConfig(device=config, forward=perfect, backward=perfect, update=how)
        array = AnalogTile(d.shape[1], x.shape[1], whole)
        # a pair of devices has no step of its own
        array.set_learning_rate(update.pulses * getattr(config, "dw_min", dw_min))
        array.set_weights(torch.full((d.shape[1], x.shape[1]), start))
        array.update(x, d)
        return array.get_weights()[0] - start

    return _sample(update, cells, one, tile) / dw_min


def our_planes(device: og.Device, shape: tuple[int, int]) -> Elements:
    """Drawn elements here."""
    return draw(device, shape, Key(1, 0))


def their_planes(config: Any, shape: tuple[int, int]) -> dict[str, Tensor]:
    """Drawn elements there, as its hidden parameters."""
    from aihwkit.simulator.configs import SingleRPUConfig  # pyright: ignore[reportMissingImports]
    from aihwkit.simulator.tiles.analog import AnalogTile  # pyright: ignore[reportMissingImports]

    config.construction_seed = 7
    return AnalogTile(*shape, SingleRPUConfig(device=config)).get_hidden_parameters()


def peer_device(device: og.Device, **changes: Any) -> Any:
    """aihwkit's device with the parameters of ours; `changes` are fields set to something else.

    Slopes refer to each element's own bounds as ours do, and have no spread.

    Raises:
        InputError: for a response with both steps at w = 0 different from dw_min, or a placed symmetric
            point, which aihwkit has not.
    """
    from aihwkit.simulator import configs  # pyright: ignore[reportMissingImports]

    response, spread, noise = device.response, device.spread, device.noise
    assert isinstance(response, og.devices.AffineResponse)
    if max(response.up, response.down) != 1 or spread.symmetric_point is not None or spread.up_down_mean:
        raise og.InputError("aihwkit has no device with these steps up and down: give its device in the case")
    shared = {
        "dw_min": device.dw_min,
        "w_max": response.w_max,
        "w_min": response.w_min,
        "up_down": response.up - response.down,  # only the smaller step changes
        "dw_min_dtod": spread.dw_min,
        "dw_min_dtod_log_normal": spread.law == "lognormal",
        "up_down_dtod": spread.up_down,
        "w_max_dtod": spread.w_max,
        "w_min_dtod": spread.w_min,
        "dw_min_std": noise.std,
    }
    multiplicative = {"mult_noise": noise.kind == "multiplicative"}
    slopes = dict(zip(("gamma_up", "gamma_down"), response.slopes, strict=True))
    if response.family == "constant_step":
        return configs.ConstantStepDevice(**{**shared, **changes})
    if response.family == "soft_bounds":
        return configs.SoftBoundsDevice(**{**shared, **multiplicative, **changes})
    own = {
        "gamma_up_dtod": 0.0,
        "gamma_down_dtod": 0.0,
        "mean_bound_reference": False,
        "allow_increasing": True,
    }
    return configs.LinearStepDevice(**{**shared, **multiplicative, **slopes, **own, **changes})
