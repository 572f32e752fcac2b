"""Devices of the theory and of the simulation studies: assumed figures, not measured ones."""

from __future__ import annotations

from ..device import Device
from ..families import ConstantStep, SoftBounds
from ..variability import Noise, Spread
from .preset import Preset

__all__ = ["THEORY"]

_WU = "Wu et al., NeurIPS 2024, arXiv 2406.12774"
_VLASOV = "Gokmen & Vlasov, Front. Neurosci. 10:333, 2016, doi 10.3389/fnins.2016.00333"

THEORY: dict[str, Preset] = {
    "ald": Preset(
        Device(SoftBounds.symmetric(0.6), dw_min=0.001),
        "the asymmetric linear device of the theory: all elements alike, no noise",
        _WU,
        figures="range of the paper's MNIST experiments, 1200 states",
    ),
    "paper": Preset(
        Device(
            SoftBounds.symmetric(0.6),
            dw_min=0.001,
            spread=Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
            noise=Noise(0.3, "additive"),
        ),
        "the device of the paper's MNIST experiments, with its spread and noise",
        _WU,
        figures="range and dw_min from the paper; spread and noise are aihwkit's defaults, which it used",
        aihwkit="SoftBoundsDevice",
    ),
    "ideal": Preset(
        Device(ConstantStep(-1.0, 1.0), dw_min=0.001),
        "every step alike in both directions, no noise",
        f"{_VLASOV}, without its variability",
        figures="2000 states on [-1, 1], a choice",
    ),
    "gokmen-vlasov": Preset(
        Device(
            ConstantStep(-0.6, 0.6),
            dw_min=0.001,
            spread=Spread(dw_min=0.3, up_down=0.01, w_max=0.3, w_min=0.3),
            noise=Noise(0.3, "additive"),
        ),
        "the baseline of the resistive processing unit: 1200 constant steps, 30 % variability",
        _VLASOV,
        figures="all from the paper's baseline model; a spread of 0.01 of the balance is 2 % of up/down",
        aihwkit="GokmenVlasovPresetDevice, there scaled to [-1, 1] with 1250 states",
    ),
    "idealised": Preset(
        Device(
            ConstantStep(-1.0, 1.0),
            dw_min=0.0002,
            spread=Spread(dw_min=0.3, w_max=0.3, w_min=0.3),
            noise=Noise(0.3, "additive"),
        ),
        "constant steps without asymmetry, 10,000 states: what a device should be",
        "Rasch, Gokmen & Haensch, IEEE Design & Test 37:19, 2020, arXiv 1906.02698",
        figures="as documented in aihwkit",
        aihwkit="IdealizedPresetDevice",
    ),
}
