"""Filamentary resistive memory (ReRAM): one device of hafnium oxide, and two arrays."""

from __future__ import annotations

from ..device import Device
from ..families import ExpStep, SoftBounds
from ..memory import Stuck
from ..pairs import Reference
from ..variability import Noise, Spread
from .preset import Preset

__all__ = ["RERAM"]

_DEVICE = "Gong et al., Nat. Commun. 9:2102, 2018, doi 10.1038/s41467-018-04485-1"
_ARRAYS = "Gong, Rasch et al., IEDM 2022, doi 10.1109/IEDM45625.2022.10019569"
_FIT = "fit to the measurements, as documented in aihwkit"


def _array(
    dw_min: float,
    granularity: float,
    w_max: float,
    w_min: float,
    noise: float,
    write_noise: float,
    stuck: float,
) -> Device:
    """Soft bounds on [-1, 1] with log-normal granularity, a reference, and stuck elements."""
    return Device(
        SoftBounds(-1.0, 1.0),
        dw_min=dw_min,
        spread=Spread(dw_min=granularity, law="lognormal", up_down=0.01, w_max=w_max, w_min=w_min),
        noise=Noise(noise, "additive"),
        write_noise=write_noise,
        stuck=Stuck(stuck, at=0.0),
        reference=Reference(std=0.05),
    )


_ARRAYS_FIGURES = _FIT + (
    ", where stuck elements are an option; they are measured to stand between -0.01 and 0.01, here at 0"
)

RERAM: dict[str, Preset] = {
    "reram-sb": Preset(
        Device(
            SoftBounds(-0.75, 1.25),
            dw_min=0.002,
            spread=Spread(dw_min=0.3, up_down=0.01, w_max=0.24, w_min=0.4),
            noise=Noise(3.75, "additive"),
            write_noise=56.0,
        ),
        "hafnium-oxide ReRAM as soft bounds, symmetric point at 0",
        _DEVICE,
        figures=_FIT + "; both bounds have a spread of 0.3 in weight units",
        aihwkit="ReRamSBPresetDevice",
    ),
    "reram-es": Preset(
        Device(
            ExpStep(-1.0, 1.0, -1.18445, -0.081404, 5.0, 5.0, a=-0.5, b=-0.5, down=1 - 0.259359),
            dw_min=0.00135,
            spread=Spread(dw_min=0.2, up_down=0.05, w_max=0.3, w_min=0.3),
            noise=Noise(5.0, "multiplicative"),
            write_noise=75.0,
        ),
        "hafnium-oxide ReRAM as exponential steps: 1500 states, noise of five steps a pulse",
        _DEVICE,
        figures=_FIT,
        aihwkit="ReRamESPresetDevice",
    ),
    "reram-array-om": Preset(
        _array(0.0949, 0.7829, 0.3499, 0.5695, 0.4158, 1.4113, 0.1348),
        "array of ReRAM with optimised material, about 21 states",
        _ARRAYS,
        figures=_ARRAYS_FIGURES,
        aihwkit="ReRamArrayOMPresetDevice",
    ),
    "reram-array-hfo2": Preset(
        _array(0.4622, 0.7125, 0.4295, 0.5990, 0.2174, 0.5841, 0.0977),
        "array of baseline hafnium-oxide ReRAM, about 4 states",
        _ARRAYS,
        figures=_ARRAYS_FIGURES,
        aihwkit="ReRamArrayHfO2PresetDevice",
    ),
}
