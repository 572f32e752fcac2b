"""Pictures of tiles: weights in bins, symmetric points, counts; and that looking changes nothing."""

from __future__ import annotations

import pytest
import torch

import ohmgrad as og
from ohmgrad.crossbar.picture import spots_of, weights_of
from ohmgrad.devices import OneSided, Reference
from ohmgrad.devices.presets import preset

SOFT = og.SoftBounds.symmetric(0.6)


def pulsed(device: og.Device, shape: tuple[int, int] = (20, 30)) -> og.Tile:
    tile = og.Tile(shape, device, seed=3)
    x = torch.randn(8, shape[1], generator=torch.Generator().manual_seed(0))
    tile.pulse(x, torch.ones(8, shape[0]), 0.01)
    return tile


def test_weights_are_counted_in_bins() -> None:
    """Against NumPy-free counting by hand; weights beyond the range make the bins wider, NaN is in none."""
    w = torch.tensor([[-0.6, -0.59, 0.0], [0.6, 0.9, float("nan")]])
    found = weights_of(w, spots_of([og.Tile((2, 3), og.Device(SOFT))]))
    assert (found.edges[0], found.edges[-1]) == pytest.approx((-0.6, 0.9))
    pairs = [*zip(found.edges, found.edges[1:], found.shares, strict=False)]
    for value, count in ((-0.595, 2), (0.0, 1), (0.6, 1), (0.899, 1)):
        assert sum(s for a, b, s in pairs if a - 1e-6 <= value < b + 1e-6) == pytest.approx(count / 5)
    assert sum(found.shares) == pytest.approx(1)


def test_symmetric_points_are_those_of_the_elements() -> None:
    tile = og.Tile((30, 40), preset("paper"), seed=3)
    points = tile.elements.symmetric_point().flatten().quantile(torch.tensor([0.05, 0.5, 0.95])).tolist()
    assert spots_of([tile]).points == pytest.approx(points)
    alike = og.Tile((2, 2), og.Device(og.SoftBounds.symmetric(0.5), spread=og.Spread(up_down_mean=0.2)))
    assert spots_of([alike]).points == pytest.approx((0.1, 0.1, 0.1))


def test_of_many_elements_some_are_looked_at() -> None:
    """4 standard errors of a median of 20,000: 1.2533 sigma/sqrt(n); of the tails 2.11 sigma/sqrt(n)."""
    tile = og.Tile((300, 400), og.Device(SOFT, spread=og.Spread(symmetric_point=0.02)), seed=1)
    low, middle, high = spots_of([tile]).points or (0.0, 0.0, 0.0)
    error = 4 * 0.02 / 20_000**0.5
    assert abs(middle) < 1.2533 * error * 1.2
    assert abs(high - 1.645 * 0.02) < 2.11 * error * 1.2
    assert abs(low + 1.645 * 0.02) < 2.11 * error * 1.2


def test_points_are_less_the_reference() -> None:
    device = og.Device(SOFT, spread=og.Spread(symmetric_point=0.0, symmetric_point_mean=0.2))
    device = og.Device(SOFT, spread=device.spread, reference=Reference(at=0.05))
    assert spots_of([og.Tile((4, 5), device)]).points == pytest.approx((0.15, 0.15, 0.15), abs=1e-6)
    pair = og.Device(SOFT, pair=OneSided())
    assert spots_of([og.Tile((4, 5), pair)]).points is None


def test_a_tile_says_what_it_counted() -> None:
    tile = pulsed(preset("paper"))
    html = tile._repr_html_()
    assert f">{tile.count('pulses_up'):,}<" in html
    assert "20 x 30, 600 elements" in html
    assert "read columns" not in html  # nothing was read
    assert repr(tile) == f"Tile(20 x 30, {og.devices.describe(tile.device)}, pulsed)"


def test_looking_changes_nothing() -> None:
    seen, other = pulsed(preset("paper")), pulsed(preset("paper"))
    seen._repr_html_()
    for tile in (seen, other):
        tile.pulse(torch.ones(2, 30), torch.ones(2, 20), -0.01)
    assert torch.equal(seen.weight, other.weight)
    assert torch.equal(seen.events, other.events)
