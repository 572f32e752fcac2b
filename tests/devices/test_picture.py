"""Pictures of devices in notebooks: what they say, and that nothing reaches the page around."""

from __future__ import annotations

import re
import xml.etree.ElementTree as Tree

import pytest
import torch

import ohmgrad as og
from ohmgrad.devices import OneSided
from ohmgrad.inline import INK, block, chart, plain_log, table
from tests.cases import RESPONSES


def svgs(html: str) -> list[str]:
    return re.findall(r"<svg.*?</svg>", html, re.S)


@pytest.mark.parametrize("name", ["soft_skewed", "linear_rising"])
def test_what_a_device_shows(name: str) -> None:
    device = og.Device(RESPONSES[name], dw_min=0.01, noise=og.Noise(0.3), spread=og.Spread(dw_min=0.2))
    html = device._repr_html_()
    for words in ("pulse up, q+", "pulse down, q-", "symmetric part, F", "asymmetry, G"):
        assert words in html
    assert f"{device.nominal.response.symmetric_point():.3g}" in html
    assert "0.3 of a step, additive" in html
    assert "dw_min = 0.2" in html
    assert len(svgs(html)) == 2


def test_means_of_the_spread_move_the_symmetric_point() -> None:
    """On soft bounds [-tau, tau] a balance of d puts it at tau d."""
    device = og.Device(og.SoftBounds.symmetric(0.5), spread=og.Spread(up_down_mean=0.2))
    assert re.search(r"symmetric point</td><td[^>]*>0\.1<", device._repr_html_())


def test_one_sided_pairs_go_up_only() -> None:
    html = og.Device(og.SoftBounds.symmetric(0.6), pair=OneSided())._repr_html_()
    assert len(svgs(html)) == 1
    assert "pulse down" not in html
    assert "symmetric point" not in html
    assert "refresh_every = 100" in html


def test_repr_is_as_before() -> None:
    assert repr(og.Device(og.SoftBounds(-1, 1))).startswith("Device(response=SoftBounds(")


def test_a_picture_is_well_formed_and_keeps_to_itself() -> None:
    first, second = (chart(lambda axes, k=k: axes.plot([0, 1], [0, k], color=INK), "<a>") for k in (1, 2))
    for svg in (first, second):
        tree = Tree.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="http://www.w3.org/1999/xlink" ', 1))
        assert tree.attrib["aria-label"] == "<a>"
        assert not re.search(r"<style|<script|<metadata|https?:", svg)
        assert INK not in svg
        assert "currentColor" in svg
        used = re.findall(r'(?:url\(#|href="#)([\w-]+)', svg)
        assert used
        assert {*used} == {*re.findall(r' id="([^"]*)"', svg)}  # all that is referred to, and no more
    names = [{*re.findall(r' id="([^"]*)"', svg)} for svg in (first, second)]
    assert not names[0] & names[1]  # the hidden picture of another cell has no part in this one


def test_numbers_on_axes_are_whole() -> None:
    """Coordinates are rounded, text is not."""

    def draw(axes) -> None:
        axes.plot([1, 2, 3], [0.001, 0.01, 0.2])
        plain_log(axes)

    assert ">0.001<" in chart(draw, "a curve")


def test_text_is_escaped() -> None:
    html = block("<b>", [], table([("<i>", "&")], ("<u>", "x")))
    assert not re.search(r"<(b|i|u)>", html)
    assert "&lt;b&gt;" in html
    assert "&amp;" in html


def test_nothing_of_torch_is_changed() -> None:
    assert not hasattr(torch.nn.Module, "_repr_html_")
