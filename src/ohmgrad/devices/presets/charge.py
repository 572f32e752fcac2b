"""Elements that hold a charge or ions: trench capacitor, lithium and metal-oxide ECRAM."""

from __future__ import annotations

from ..device import Device
from ..families import LinearStep
from ..memory import Retention
from ..variability import Noise, Spread
from .preset import Preset

__all__ = ["CHARGE"]

_FIT = "fit to the measurements, as documented in aihwkit"
_SLOPES = "spread of the slopes ({spread}); slopes refer to each element's own bound, there to the mean bound"

CHARGE: dict[str, Preset] = {
    "capacitor": Preset(
        Device(
            LinearStep(-1.0, 1.0, slope_up=0.05, slope_down=0.05),
            dw_min=0.005,
            spread=Spread(dw_min=0.1, up_down=0.06, w_max=0.07, w_min=0.07),
            noise=Noise(0.3, "additive"),
            retention=Retention(lifetime=1e6, lifetime_spread=0.3),
        ),
        "trench capacitor in 14 nm technology: nearly linear and symmetric, 400 states, leaking",
        "Li et al., VLSI Technology 2018, doi 10.1109/VLSIT.2018.8510648",
        figures=_FIT,
        left_out=_SLOPES.format(spread=0.01),
        aihwkit="CapacitorPresetDevice",
    ),
    "ecram": Preset(
        Device(
            LinearStep(-0.8276, 1.1724, slope_up=0.1153, slope_down=0.5085),
            dw_min=0.002,
            spread=Spread(dw_min=0.1, up_down=0.01, w_max=0.05, w_min=0.05),
            noise=Noise(0.3, "multiplicative"),
        ),
        "lithium ions in tungsten oxide: 1000 states, range shifted to a symmetric point at 0",
        "Tang et al., IEDM 2018, doi 10.1109/IEDM.2018.8614551",
        figures=_FIT + "; the paper states up to 1000 states",
        left_out=_SLOPES.format(spread=0.05),
        aihwkit="EcRamPresetDevice",
    ),
    "ecram-mo": Preset(
        Device(
            LinearStep(-0.8286, 1.1714, slope_up=0.4152, slope_down=0.7342),
            dw_min=2.8214e-4,
            spread=Spread(dw_min=0.1, up_down=0.01, w_max=0.05, w_min=0.05),
            noise=Noise(2.0, "multiplicative"),
        ),
        "metal-oxide ECRAM: 7100 states, noise of two steps a pulse",
        "Kim et al., IEDM 2019, doi 10.1109/IEDM19573.2019.8993463",
        figures=_FIT,
        left_out=_SLOPES.format(spread=0.05),
        aihwkit="EcRamMOPresetDevice",
    ),
}
