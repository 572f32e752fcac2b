"""Filamentary resistive memory (ReRAM): one device of hafnium oxide, and two arrays."""

from __future__ import annotations

from ..device import Device
from ..families import SoftBounds
from ..variability import Noise, Spread
from .preset import Preset

__all__ = ["RERAM"]

_DEVICE = "Gong et al., Nat. Commun. 9:2102, 2018, doi 10.1038/s41467-018-04485-1"
_ARRAYS = "Gong, Rasch et al., IEDM 2022, doi 10.1109/IEDM45625.2022.10019569"
_FIT = "fit to the measurements, as documented in aihwkit"


def _array(dw_min: float, granularity: float, w_max: float, w_min: float, noise: float) -> Device:
    """Soft bounds on [-1, 1] with log-normal granularity."""
    return Device(
        SoftBounds(-1.0, 1.0),
        dw_min=dw_min,
        spread=Spread(dw_min=granularity, law="lognormal", up_down=0.01, w_max=w_max, w_min=w_min),
        noise=Noise(noise, "additive"),
    )


_ARRAYS_LEFT_OUT = (
    "write noise ({write} dw_min), stuck elements ({stuck} %), and the reference, which puts the symmetric "
    "point at 0 up to an error of 0.05. Bounds nearer than two steps are moved there, "
    "{moved} % of the upper ones"
)

RERAM: dict[str, Preset] = {
    "reram-sb": Preset(
        Device(
            SoftBounds(-0.75, 1.25),
            dw_min=0.002,
            spread=Spread(dw_min=0.3, up_down=0.01, w_max=0.24, w_min=0.4),
            noise=Noise(3.75, "additive"),
        ),
        "hafnium-oxide ReRAM as soft bounds, symmetric point at 0",
        _DEVICE,
        figures=_FIT + "; both bounds have a spread of 0.3 in weight units",
        left_out="write noise (56 dw_min)",
        aihwkit="ReRamSBPresetDevice",
    ),
    "reram-array-om": Preset(
        _array(0.0949, 0.7829, 0.3499, 0.5695, 0.4158),
        "array of ReRAM with optimised material, about 21 states",
        _ARRAYS,
        figures=_FIT,
        left_out=_ARRAYS_LEFT_OUT.format(write=1.4113, stuck=13.48, moved=4),
        aihwkit="ReRamArrayOMPresetDevice",
    ),
    "reram-array-hfo2": Preset(
        _array(0.4622, 0.7125, 0.4295, 0.5990, 0.2174),
        "array of baseline hafnium-oxide ReRAM, about 4 states",
        _ARRAYS,
        figures=_FIT,
        left_out=_ARRAYS_LEFT_OUT.format(write=0.5841, stuck=9.77, moved=50),
        aihwkit="ReRamArrayHfO2PresetDevice",
    ),
}
