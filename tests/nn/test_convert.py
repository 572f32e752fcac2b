"""convert(): which layers go onto crossbars, what it refuses, and what it keeps."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogLinear,
    AnalogSGD,
    Device,
    InputError,
    LeftDigitalWarning,
    SoftBounds,
    convert,
)
from ohmgrad.nn import analog_layers
from tests.nn.test_layers import (
    IDEAL,
    REAL,
    close,
    digital,
    through_pickle,
)


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in analog_layers(model)]


def test_convert_chooses_by_type_and_name() -> None:
    model = digital()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    types = [type(m) for m in model.modules()]
    assert names(convert(model, IDEAL)) == ["0", "4.0", "4.2"]
    assert names(convert(model, IDEAL, types=[nn.Linear])) == ["4.0", "4.2"]
    assert names(convert(model, IDEAL, types=[nn.Conv2d])) == ["0"]
    assert names(convert(model, IDEAL, include=["4.*"])) == ["4.0", "4.2"]
    assert names(convert(model, IDEAL, exclude=["4.?"])) == ["0"]
    assert names(convert(model, IDEAL, include=["0", "4.2"], exclude=["0"])) == ["4.2"]
    # the model itself is as before, and shares no memory with its copy
    assert [type(m) for m in model.modules()] == types
    twin = convert(model, IDEAL)
    for p in twin.parameters():
        p.data.add_(1)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"include": ["5.*"]}, r"pattern '5.\*' matches no layer: the candidates are '0', '4.0', '4.2'"),
        ({"exclude": ["conv"]}, "pattern 'conv' matches no layer"),
        ({"exclude": ["*"]}, "no layer is left to convert"),
        ({"include": "4.*"}, r"include is '4.\*', but must be a list of patterns: \['4.\*'\]"),
        ({"types": [nn.Tanh]}, "Tanh'> cannot be converted: the types that can are Linear, Conv"),
        ({"types": nn.Linear}, r"types is Linear, but must be a list of types: \[Linear\]"),
        ({"pulsing": "mean"}, "pulsing is 'mean', but must be a Pulsing or None"),
        ({"periphery": "noisy"}, "periphery is 'noisy', but must be a Periphery or None"),
        ({"omega": 0.0}, r"omega is 0.0, but must be a number in \(0, 1\]"),
        ({"omega": 1.5}, "omega is 1.5"),
        ({"backend": "gpu"}, "unknown backend 'gpu'"),
        ({"seed": -3}, "seed is -3"),
    ],
)
def test_convert_refuses(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(digital(), IDEAL, **settings)


def test_a_model_without_layers_and_a_double_model_are_refused() -> None:
    with pytest.raises(InputError, match="no layer can be converted: no layer has parameters; convertible"):
        convert(nn.Sequential(nn.Tanh()), IDEAL)
    with pytest.raises(InputError, match=r"call model.float\(\) before converting"):
        convert(digital().double(), IDEAL)


def test_a_device_by_name_and_a_layer_without_weights_are_refused() -> None:
    device: Any = "paper"
    with pytest.raises(
        InputError, match=r"device is 'paper', but .* ohmgrad.devices.presets.preset\('paper'\)"
    ):
        convert(digital(), device)
    with pytest.raises(InputError, match="device is 'paper'"):
        AnalogLinear(3, 2, device)
    with pytest.warns(UserWarning, match="zero-element"):
        empty = nn.Linear(0, 3)
    with pytest.raises(InputError, match=r"weight is \(3, 0\), but an array needs at least one row"):
        convert(empty, IDEAL)
    for sizes, message in (((0, 3), "in_features is 0"), ((3, 1.5), "out_features is 1.5")):
        with pytest.raises(InputError, match=message):
            AnalogLinear(*sizes, IDEAL)  # pyright: ignore[reportArgumentType]


def test_a_second_conversion_takes_what_is_left_and_has_its_own_elements() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    once = convert(model, REAL, include=["0"])
    with pytest.raises(InputError, match=r"pattern '0' matches no layer: .* '1'; analog already: '0'"):
        convert(once, IDEAL, include=["0"])
    twice: Any = convert(once, REAL, include=["1"])
    assert names(twice) == ["0", "1"]
    assert not torch.equal(twice[0].tiles[0].elements.up, twice[1].tiles[0].elements.up)
    with pytest.raises(InputError, match="no layer is left to convert; analog already: '0', '1'"):
        convert(twice, REAL)


class Tied(nn.Module):
    """An embedding and a head with one parameter, and a layer between."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix, self.head = nn.Embedding(7, 4), nn.Linear(4, 4), nn.Linear(4, 7)
        self.head.weight = self.embed.weight


def test_tied_weights_are_refused_and_stay_tied_when_excluded() -> None:
    with pytest.raises(InputError, match=r"layers 'embed', 'head' share one .* exclude=\['head'\]"):
        convert(Tied(), IDEAL)
    twin: Any = convert(Tied(), IDEAL, exclude=["head"])
    assert names(twin) == ["mix"]
    assert twin.head.weight is twin.embed.weight
    pair = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    pair[1].bias = pair[0].bias
    with pytest.raises(InputError, match=r"layers '0', '1' share one .* exclude=\['0', '1'\]"):
        convert(pair, IDEAL)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_computed_weight_is_refused() -> None:
    layer = nn.utils.weight_norm(nn.Linear(3, 2))
    with pytest.raises(InputError, match="weight of layer '0' is not a parameter but computed"):
        convert(nn.Sequential(layer), IDEAL)


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_transformers_call_their_analog_layers(stacked: bool, padded: bool) -> None:
    """In evaluation torch's fast path would take the weights without their output scales."""
    torch.manual_seed(4)
    model: Any = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    if stacked:
        model = nn.TransformerEncoder(model, 2)
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)  # out of the range: scales are not 1
    twin = convert(model, Device(SoftBounds.symmetric(0.6)))
    layers = [layer for _, layer in analog_layers(twin)]
    assert len(layers) == (12 if stacked else 6)  # four projections, two linear layers
    assert all(bool((layer.out_scale != 1).any()) for layer in layers)
    x = torch.randn(2, 5, 8)
    keep = torch.ones(2, 5, dtype=torch.bool)
    keep[1, 3:] = False
    mask = {"src_key_padding_mask": ~keep} if padded else {}
    for copied in (twin, through_pickle(twin)):
        for training in (True, False):
            for graph in (True, False):
                model.train(training)
                copied.train(training)
                with torch.set_grad_enabled(graph):
                    close(copied(x, **mask)[keep], model(x, **mask)[keep])
    assert [layer.tiles[0].count("forward_vectors") for layer in layers] == [4 * 10] * len(layers)


def test_subclasses_stay_digital_and_a_layer_alone_is_converted() -> None:
    class Own(nn.Linear):
        pass

    model = nn.Sequential(nn.Linear(3, 3), Own(3, 3))
    with pytest.warns(LeftDigitalWarning, match=r"Own \('1'\): a subclass of Linear"):
        assert names(convert(model, IDEAL)) == ["0"]
    assert isinstance(convert(nn.Linear(3, 2), IDEAL), AnalogLinear)


def test_shared_layers_stay_shared() -> None:
    layer = nn.Linear(3, 3)
    model = nn.Sequential(layer, nn.ReLU(), layer, nn.Sequential(layer))
    twin: Any = convert(model, IDEAL)
    assert isinstance(twin[0], AnalogLinear)
    assert twin[2] is twin[0]
    assert twin[3][0] is twin[0]
    close(twin(torch.ones(2, 3)).detach(), model(torch.ones(2, 3)).detach())
    # patterns know all its names
    for name in ("0", "2", "3.0"):
        twin = convert(model, IDEAL, include=[name])
        assert isinstance(twin[0], AnalogLinear)
        assert twin[0] is twin[2] is twin[3][0]
    with pytest.raises(InputError, match="no layer is left to convert"):
        convert(model, IDEAL, exclude=["2"])


def test_frozen_layers_stay_frozen_and_modes_are_kept() -> None:
    model = digital().eval()
    model[0].requires_grad_(False)
    twin: Any = convert(model, IDEAL)
    assert [p.requires_grad for p in twin[0].parameters()] == [False] * 3
    assert all(p.requires_grad for p in twin[4].parameters())
    assert not any(m.training for m in twin.modules())


@pytest.mark.parametrize("omega", [None, 0.4, 1.0])
def test_output_scales_map_the_weights(omega: float | None) -> None:
    """W = out_scale * W_analog; largest |W_analog| of a row: omega half the range, or 0.9 if needed."""
    layer = nn.Linear(6, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.rand(3, 6) * 0.2 - 0.1)
        layer.weight[0, 0], layer.weight[1, 2], layer.weight[2] = 3.0, -0.5, 0.0
    twin: Any = convert(layer, REAL, omega=omega)  # half the range is 0.6
    alike: Any = convert(layer, Device(REAL.response, 0.001), omega=omega)
    scale, analog = alike.out_scale.detach(), alike.weight.detach()
    close(scale.unsqueeze(1) * analog, layer.weight.detach())
    top = analog.abs().amax(1)
    expected = [0.54, 0.5, 0.0] if omega is None else [omega * 0.6, omega * 0.6, 0.0]
    close(top, torch.tensor(expected))
    assert scale[2] == 1
    assert omega is not None or scale[1] == 1
    # elements that cannot hold their weight start at their bound
    elements = twin.tiles[0].elements
    assert torch.equal(twin.weight.detach(), elements.clip(analog))


def test_layers_have_their_own_elements_and_the_seed_chooses_them() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Conv2d(2, 4, 2, groups=2), nn.Linear(4, 4))
    one, two, other = (convert(model, REAL, seed=s) for s in (1, 1, 2))

    def ups(model: nn.Module) -> list[Tensor]:
        return [tile.elements.up for _, layer in analog_layers(model) for tile in layer.tiles]

    assert all(torch.equal(a, b) for a, b in zip(ups(one), ups(two), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(ups(one), ups(other), strict=True))
    assert not torch.equal(ups(one)[0], ups(one)[3])
    assert not torch.equal(ups(one)[1], ups(one)[2])


def test_print_shows_the_device() -> None:
    text = repr(convert(digital(), REAL, exclude=["4.2"]))
    assert "AnalogConv2d(2 x (2 x 9), 36 cells, soft_bounds [-0.6, 0.6], 1200 states, d2d spread" in text
    assert "AnalogLinear(6 x 64, " in text
    assert "c2c 30 % additive, perfect periphery, pulsed)" in text
    assert "(2): Linear(in_features=6" in text


def test_a_layer_that_is_also_held_in_plain_containers_is_converted_there_too() -> None:
    class Listed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(4, 4)
            self.calls = [self.one, {"again": self.one}]

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.calls[0](x) + self.calls[1]["again"](x)  # pyright: ignore

    digital = Listed()
    before = digital.one.weight.detach().clone()
    model: Any = convert(digital, Device(SoftBounds.symmetric(0.6)))
    assert model.calls[0] is model.one is model.calls[1]["again"]
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert optimizer.events()["pulses_down"] > 0
    assert digital.calls[0] is digital.one
    assert torch.equal(digital.one.weight, before)
