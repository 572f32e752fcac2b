"""Zero-shifting before training: the symmetric points of an optimizer's arrays become their zero."""

from __future__ import annotations

from ..checked import checked
from ..errors import InputError
from .base import AnalogOptimizer

__all__ = ["calibrate_symmetric_points"]


@checked
def calibrate_symmetric_points(
    optimizer: AnalogOptimizer, pairs: int, *, reads: int = 1, weights: bool = False
) -> None:
    """Calibrate every auxiliary array of an optimizer, such as Tiki-Taka's P.

    Each is zero-shifted and gets what is then read as its reference (`Tile.calibrate`; Kim et al. 2019,
    arXiv 1907.10228), so that it starts at 0, which is its symmetric point but for an error that shrinks
    with `pairs`: on soft bounds an element's distance from its symmetric point falls as (1 - e)^pairs, with
    e = up/upper + down/|lower| the sum of its steps over its bounds, which is 4 / states on a symmetric
    range [-tau, tau]. What stays is at most a step, and with noise s of the step a standard deviation of
    s sqrt(dw_min tau/2). Tiki-Taka needs this where symmetric points are not 0. Call it after the optimizer
    was made and before the first step. The pulses are counted in `optimizer.events()`.

    Args:
        optimizer: of any algorithm.
        pairs: pairs of one pulse up and one down for every element, e.g. twice the number of states.
        reads: reads of every column, through the periphery, that are averaged (>= 1).
        weights: whether the arrays of the weights are calibrated too; their weights are programmed again
            afterwards.

    Raises:
        InputError: when an argument is wrong, a device is one-sided, or there is no array to calibrate.

    Example:
        >>> import torch, ohmgrad
        >>> from ohmgrad.devices import Device, SoftBounds, Spread
        >>> device = Device(SoftBounds.symmetric(0.6), 0.01, Spread(up_down=0.2))
        >>> model = ohmgrad.convert(torch.nn.Linear(3, 2), device)
        >>> optimizer = ohmgrad.TikiTaka(model.parameters(), lr=0.1)
        >>> calibrate_symmetric_points(optimizer, pairs=300)
        >>> optimizer.events()["pulses_up"]
        1800
    """
    auxiliary = optimizer.arrays()
    tiles = [tile for group in optimizer.param_groups for tile, _ in optimizer.tiles_in(group)]
    if not auxiliary and not weights:
        raise InputError(
            f"{type(optimizer).__name__} has no auxiliary array: there is nothing to calibrate but the "
            "arrays of the weights, with weights=True"
        )
    for array in auxiliary:
        array.calibrate(pairs, reads=reads)
    for tile in tiles if weights else ():
        response = tile.device.response
        # stuck elements, and old references, may have weights that lie beyond it
        wanted = tile.weight.clamp(response.w_min, response.w_max)
        tile.calibrate(pairs, reads=reads)
        tile.program(wanted)
