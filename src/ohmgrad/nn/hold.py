"""hold(): single weights of an analog layer that no update moves."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ..checked import checked
from ..crossbar import tiles_of
from ..errors import InputError, shown
from ..ranges import OWN
from .functional import AnalogLayer

__all__ = ["hold"]


@checked(layer=OWN)
def hold(layer: AnalogLayer | Tensor, mask: Any) -> None:
    """Hold single weights of an analog layer where they are, as in pruning and in sparse training.

    Pulses on them are sent and counted, as the lines carry them for whole rows and columns, and do not move
    them, whatever the device, the algorithm, the fidelity and the backend; nor does time. Weights that are
    written or loaded are held at their new values. The mask is in the layer's `state_dict`, and in copies.
    Arrays beside the weights that products see are held too, whether they are made before or after.

    Output scales, one digital number per output, are parameters of their own and may still change what a
    held weight stands for: freeze `layer.out_scale` where it must not.

    Args:
        layer: an analog layer, or its `weight`. Of an LSTM or an attention, one of its analog layers.
        mask: bool, of the shape of `layer.weight`, true for the weights to hold; None lets all go.

    Raises:
        InputError: when it is no analog layer, or the mask does not fit its weight.

    Example:
        >>> import torch, ohmgrad
        >>> layer = ohmgrad.AnalogLinear(4, 2, ohmgrad.Device(ohmgrad.SoftBounds.symmetric(0.6)))
        >>> with torch.no_grad():
        ...     _ = layer.weight[:, 0].zero_()
        >>> hold(layer, layer.weight == 0)
        >>> optimizer = ohmgrad.AnalogSGD(layer.parameters(), lr=0.1)
        >>> layer(torch.ones(3, 4)).sum().backward()
        >>> optimizer.step()
        >>> layer.weight[:, 0].tolist()
        [0.0, 0.0]
    """
    if isinstance(layer, AnalogLayer):
        tiles, weight = layer._bound_tiles(), layer.weight
    else:
        tiles = tiles_of(layer) if isinstance(layer, Tensor) else []
        if not tiles:
            raise InputError(
                f"{shown(layer)} is no analog layer and no weight of one: convert the model first, and give "
                "one of its analog layers"
            )
        weight = layer
    if mask is not None:
        given = isinstance(mask, Tensor) and mask.dtype == torch.bool
        if not given or mask.shape != weight.shape:
            got = f"{tuple(mask.shape)} of {mask.dtype}" if isinstance(mask, Tensor) else shown(mask)
            raise InputError(f"mask is {got}, but must be a tensor of bool of {tuple(weight.shape)}")
    for tile in tiles:
        tile.hold(None if mask is None else tile.part_of(mask.to(tile.owner.device).contiguous()))
