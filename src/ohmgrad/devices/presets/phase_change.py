"""Phase-change memory: pairs of elements that pulses drive one way only."""

from __future__ import annotations

from ..device import Device
from ..families import ExpStep
from ..pairs import OneSided
from ..variability import Noise, Spread
from .preset import Preset

__all__ = ["PHASE_CHANGE"]

# Of one element the source has q+ = 1 + 27.235 exp(-2.5 g) on [0, 2]; q-, which a pair does not use, is its
# mirror image here. The noise there is 0.6 (step + 0.042 + 0.108 g): its root mean square over [0, 2] is
# 0.1301, that is 0.461 of the step at g = 0.
PHASE_CHANGE: dict[str, Preset] = {
    "pcm": Preset(
        Device(
            ExpStep(-2.0, 2.0, A_up=-27.235, A_down=-27.235, gamma_up=2.5, gamma_down=2.5, a=-2.0, b=0.0),
            dw_min=0.01,
            spread=Spread(dw_min=0.2, up_down=0.05, w_max=0.1),
            noise=Noise(0.461, "additive"),
            pair=OneSided(refresh_every=1, refresh_at=0.75),
        ),
        "Ge2Sb2Te5 phase-change memory: the first pulse is a seventh of the range, the last a 170th",
        "Nandakumar et al., Front. Neurosci. 14:406, 2020, doi 10.3389/fnins.2020.00406",
        figures="fit to the measurements, as documented in aihwkit; its noise, which depends on the "
        "conductance, by its mean square over the range",
        left_out="error of a reset (0.01); the least conductance of a refresh (a quarter of the range)",
        aihwkit="PCMPresetDevice in a PCMPresetUnitCell",
    ),
}
