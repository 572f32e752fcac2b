"""Tile use: as many arrays as conversion makes, before any training."""

from __future__ import annotations

import pytest
from torch import nn

import ohmgrad as og
from ohmgrad.cost.tiles import tile_use
from ohmgrad.devices import SoftBounds
from ohmgrad.errors import InputError
from ohmgrad.nn.convert import analog_layers

DEVICE = og.Device(SoftBounds.symmetric(0.6))


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten(), nn.Linear(24, 7), nn.LSTM(7, 3))


@pytest.mark.parametrize("size", [(5, 8), (512, 512), (1, 1)])
def test_conversion_makes_as_many_tiles(size: tuple[int, int]) -> None:
    used = tile_use(network(), size)
    made = analog_layers(og.convert(network(), DEVICE, max_tile=size))
    assert [each.layer for each in used] == [name for name, _ in made]
    assert [each.arrays for each in used] == [len(layer.tiles) for _, layer in made]
    assert [each.cells for each in used] == [layer.weight.numel() for _, layer in made]
    for each in used:
        assert each.utilisation == each.cells / (each.arrays * size[0] * size[1])


def test_a_converted_model_is_taken_as_it_is() -> None:
    assert tile_use(og.convert(network(), DEVICE), (5, 8)) == tile_use(network(), (5, 8))


@pytest.mark.parametrize("array", [3, (0, 4), (2.5, 4), (4,)])
def test_a_wrong_array_is_named(array: object) -> None:
    with pytest.raises(InputError, match="array is"):
        tile_use(network(), array)  # pyright: ignore[reportArgumentType]


def test_print_shows_the_use() -> None:
    layer = og.convert(nn.Linear(24, 7), DEVICE, max_tile=(5, 8))
    assert "6 x (up to 4 x 8), 168 cells, 70% of 5 x 8 used, " in repr(layer)
    assert "used" not in repr(og.convert(nn.Linear(24, 7), DEVICE))
