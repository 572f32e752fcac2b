"""A converted model in a notebook and in a terminal."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

import ohmgrad as og

DEVICE = og.Device(og.SoftBounds.symmetric(0.6))


def model() -> nn.Module:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3), nn.Flatten(), nn.LayerNorm(288), nn.Linear(288, 64), nn.Linear(64, 10)
    )
    return og.convert(net, DEVICE, exclude=["4"], max_tile=(64, 100))


def test_rows_are_the_layers() -> None:
    found = og.show(model())
    assert [row[:5] for row in found.analog] == [
        ("0", "AnalogConv2d", "8 x 1 x 3 x 3", "1 of 8 x 9", "72"),
        ("3", "AnalogLinear", "64 x 288", "3 of 64 x 96", "18,432"),
    ]
    assert found.digital == [
        ("2", "LayerNorm", "576", "no matrix product"),
        ("4", "Linear", "650", "left out by name or type"),
    ]
    # scales and biases of the convolution, 8 + 8; of the linear layer 3 x 64 + 64; and the two layers
    assert found.title == "Sequential: 18,504 cells in 4 arrays, 1,498 digital parameters"


def test_text_and_html_say_the_same() -> None:
    found = og.show(model())
    for row in (*found.analog, *found.digital):
        for cell in row:
            assert cell in repr(found)
            assert cell in found._repr_html_()


def test_layers_inside_layers_are_named_once() -> None:
    net = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Embedding(5, 8))
    shared = og.convert(net, DEVICE, exclude=["*.self_attn*"])
    found = og.show(shared)
    assert [row[0] for row in found.analog] == ["0.linear1", "0.linear2"]
    digital = {row[0]: row[2:] for row in found.digital}
    count = sum(p.numel() for p in net[0].self_attn.parameters())  # pyright: ignore
    assert digital["0.self_attn"] == (f"{count:,}", "left out by name or type")
    assert digital["1"] == ("40", "a look-up and no matrix product")
    assert {*digital} == {"0.self_attn", "0.norm1", "0.norm2", "1"}


@pytest.mark.parametrize("wrong", [nn.Linear(3, 2), nn.Sequential(), "model"])
def test_a_model_without_analog_layers_is_refused(wrong: object) -> None:
    with pytest.raises(og.InputError, match=r"no analog layer: give the model that ohmgrad\.convert"):
        og.show(wrong)  # pyright: ignore


def test_a_layer_draws_its_weights_and_changes_nothing() -> None:
    seen = model()
    other = copy.deepcopy(seen)
    html = seen[3]._repr_html_()  # pyright: ignore
    assert "3 of 64 x 96" in html
    assert "192 output scales, 64 biases" in html
    assert html.count("<svg") == 1
    x = torch.ones(2, 1, 8, 8)
    assert torch.equal(seen(x), other(x))


def test_on_meta_there_are_no_weights_to_draw() -> None:
    layer = og.AnalogLinear(4, 2, DEVICE).to("meta")
    assert "<svg" not in layer._repr_html_()


def test_the_plain_repr_of_models_stays() -> None:
    assert "AnalogLinear(3 x (64 x 96), 18,432 cells" in repr(model())
