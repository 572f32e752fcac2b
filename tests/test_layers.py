"""Layers on crossbars are torch's layers: forward, gradients, factors, conversion, copies, checkpoints."""

from __future__ import annotations

import copy
import io
import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cases import SPREADS
from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogConv2d,
    AnalogLinear,
    AnalogSGD,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Periphery,
    Pulsing,
    SoftBounds,
    convert,
)
from ohmgrad.crossbar import tiles_of
from ohmgrad.nn import AnalogLayer, analog_layers

IDEAL = Device(ConstantStep(-2, 2), dw_min=1e-3)
REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
#: not perfect, so that every vector goes through the converters, but with nothing to convert
EXACT = Periphery(out_bound=1e9)
PERIPHERIES = {"perfect": Periphery(), "by-vector": EXACT}


def digital(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, stride=2, padding=1, groups=2),
        nn.BatchNorm2d(4),
        nn.Tanh(),
        nn.Flatten(),
        nn.Sequential(nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 5, bias=False)),
    )


def gradients(layer: nn.Module, x: Tensor) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Output, gradient of the input, and gradients of the parameters, of a loss with all signs."""
    x = x.clone().requires_grad_()
    layer.zero_grad()
    y = layer(x)
    (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad, {n: p.grad for n, p in layer.named_parameters() if p.grad is not None}


def close(a: Tensor, b: Tensor) -> None:
    top = float(b.detach().abs().max()) if b.numel() else 0.0
    torch.testing.assert_close(a, b, atol=1e-5 * max(1.0, top), rtol=1e-5)


def check_twin(layer: nn.Module, x: Tensor, omega: float | None, periphery: Periphery) -> None:
    """The analog twin gives torch's numbers, and its factors give autograd's weight gradient."""
    twin: Any = convert(layer, IDEAL, omega=omega, periphery=periphery)
    y, grad_x, grads = gradients(layer, x)
    twin_y, twin_grad_x, twin_grads = gradients(twin, x)
    close(twin_y, y)
    close(twin_grad_x, grad_x)
    scale = twin.out_scale.detach().view(-1, *[1] * (grads["weight"].dim() - 1))
    close(twin_grads["weight"], grads["weight"] * scale)  # W = scale * W_analog
    if "bias" in grads:
        close(twin_grads["bias"], grads["bias"])
    # dL/dscale = sum of dL/dy times the unscaled product = sum over inputs of dL/dW * W_analog
    close(twin_grads["out_scale"], (grads["weight"] * twin.weight.detach()).flatten(1).sum(1))
    for tile in tiles_of(twin.weight):
        tile.give_factors_to(twin)
    _, again_x, without = gradients(twin, x)
    close(again_x, grad_x)
    assert "weight" not in without
    factors = [tile.take_factors() for tile in tiles_of(twin.weight)]
    gradient = torch.cat([d.t() @ v for v, d in factors if v is not None])  # pyright: ignore
    close(gradient.view_as(twin.weight), twin_grads["weight"])
    assert all(tile.take_factors() is None for tile in tiles_of(twin.weight))


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("omega", [None, 0.5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("lead", [(5,), (), (2, 3), (2, 1, 3)])
def test_linear_is_torchs(lead: tuple[int, ...], bias: bool, omega: Any, periphery: str) -> None:
    torch.manual_seed(1)
    layer = nn.Linear(7, 4, bias=bias)
    check_twin(layer, torch.randn(*lead, 7), omega, PERIPHERIES[periphery])


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-bias": {"bias": False},
    "one-by-one": {"kernel_size": 1},
    "oblong": {"kernel_size": (3, 2), "stride": (2, 1), "padding": (0, 1)},
    "strided": {"stride": 2, "padding": 1},
    "strided-with-a-rest": {"stride": 3},
    "dilated": {"dilation": 2, "padding": 2},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "stride": 2, "dilation": (1, 2), "padding": (1, 2)},
    "same": {"padding": "same", "kernel_size": (4, 3)},
    "valid": {"padding": "valid"},
    "reflect": {"padding": (1, 2), "padding_mode": "reflect"},
    "replicate": {"padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular": {"padding": 1, "padding_mode": "circular", "groups": 2},
    "same-reflect": {"padding": "same", "padding_mode": "reflect", "kernel_size": 4},
}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("omega", [None, 0.5])
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolution_is_torchs(name: str, omega: Any, periphery: str) -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(4, 8, **{"kernel_size": 3, **CONVOLUTIONS[name]})
    check_twin(layer, torch.randn(3, 4, 9, 8), omega, PERIPHERIES[periphery])


def test_a_wrong_factor_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: patches of the next group."""
    right = AnalogConv2d.vectors
    monkeypatch.setattr(AnalogConv2d, "vectors", lambda self, x, group: right(self, x, 1 - group))
    torch.manual_seed(2)
    with pytest.raises(AssertionError):
        check_twin(nn.Conv2d(4, 8, 3, groups=2), torch.randn(3, 4, 9, 8), None, Periphery())


def test_inputs_of_the_wrong_shape_are_refused() -> None:
    linear, conv = AnalogLinear(4, 2, IDEAL), convert(nn.Conv2d(2, 4, 3), IDEAL)
    for layer, shape, message in (
        (linear, (3, 5), r"input is \(3, 5\), but this layer needs \(..., 4\)"),
        (conv, (1, 3, 8, 8), r"this layer needs \(N, 2, H, W\)"), (conv, (3, 8, 8), r"or \(2, H, W\)"),
        (conv, (8, 8), "this layer needs"), (linear, (), r"input is \(\), but this layer needs"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            layer(torch.zeros(shape))


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("name", ["plain", "grouped", "reflect"])
def test_one_image_without_a_batch_and_a_batch_without_images(name: str, periphery: str) -> None:
    torch.manual_seed(2)
    layer = nn.Conv2d(4, 8, **{"kernel_size": 3, **CONVOLUTIONS[name]})
    check_twin(layer, torch.randn(4, 9, 8), None, PERIPHERIES[periphery])
    empty = torch.zeros(0, 4, 9, 8)
    check_twin(layer, empty, None, PERIPHERIES[periphery])
    assert convert(layer, IDEAL, periphery=NOISY_PERIPHERY)(empty).shape == layer(empty).shape


@pytest.mark.parametrize("periphery", PERIPHERIES)
def test_channels_last_changes_nothing(periphery: str) -> None:
    def steps(after: bool) -> Tensor:
        torch.manual_seed(5)
        wide = nn.Conv2d(4, 4, 3)  # the layout of one input channel would not change
        model = convert(nn.Sequential(nn.Conv2d(2, 4, 1), wide), REAL, periphery=PERIPHERIES[periphery])
        if after:
            model = model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        return train(model, 2)

    torch.testing.assert_close(steps(True), steps(False))


def test_products_are_counted_in_vectors() -> None:
    model = convert(digital(), REAL)
    model(torch.randn(3, 2, 8, 8, requires_grad=True)).sum().backward()
    conv, first, last = (layer for _, layer in analog_layers(model))
    for layer, vectors in ((conv, 3 * 16), (first, 3), (last, 3)):
        assert [t.count("forward_vectors") for t in layer.tiles] == [vectors] * len(layer.tiles)
        assert [t.count("backward_vectors") for t in layer.tiles] == [vectors] * len(layer.tiles)
        rows, cols = layer.tiles[0].shape
        assert layer.tiles[0].count("dac") == layer.tiles[0].count("adc") == vectors * (rows + cols)


# --- conversion ----------------------------------------------------------------------------------


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
    with pytest.raises(InputError, match="pattern '\\*' matches no layer: the candidates are none"):
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
    assert "AnalogConv2d(2 x (2 x 9), soft_bounds [-0.6, 0.6], 1200 states, d2d spread" in text
    assert "AnalogLinear(6 x 64, " in text
    assert "c2c 30 % additive, perfect periphery, pulsed)" in text
    assert "(2): Linear(in_features=6" in text


# --- copies and checkpoints ----------------------------------------------------------------------


def train(model: nn.Module, steps: int, lr: float = 0.05) -> Tensor:
    optimizer = AnalogSGD(model.parameters(), lr=lr)
    x = torch.linspace(-1, 1, 3 * 2 * 64).view(3, 2, 8, 8)
    for _ in range(steps):
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def through_pickle(model: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(model))


def through_torch_save(model: nn.Module) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model, buffer)
    buffer.seek(0)
    return torch.load(buffer, weights_only=False)


def through_state(model: nn.Module, assign: bool = False) -> nn.Module:
    buffer = io.BytesIO()
    torch.save(model.state_dict(), buffer)
    buffer.seek(0)
    other = convert(digital(9), REAL, pulsing=Pulsing(max_bl=20))
    other.load_state_dict(torch.load(buffer, weights_only=True), assign=assign)
    return other


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, through_pickle, through_torch_save, through_state,
     lambda m: through_state(m, assign=True)],
    ids=["deepcopy", "pickle", "torch.save", "state_dict", "assign"],
)  # fmt: skip
def test_a_copy_goes_on_exactly_and_alone(copied: Any) -> None:
    model = convert(digital(), REAL, pulsing=Pulsing(max_bl=20))
    train(model, 3)
    other = copied(model)
    at_copy = torch.cat([p.detach().flatten() for p in other.parameters()])
    for (_, a), (_, b) in zip(analog_layers(model), analog_layers(other), strict=True):
        assert [id(t) for t in tiles_of(b.weight)] == [id(t) for t in b.tiles]
        assert not {id(t) for t in a.tiles} & {id(t) for t in b.tiles}
        assert all(t.weight.untyped_storage().data_ptr() == b.weight.untyped_storage().data_ptr()
                   for t in b.tiles)  # fmt: skip
    end = train(model, 3)
    assert torch.equal(torch.cat([p.detach().flatten() for p in other.parameters()]), at_copy)
    assert torch.equal(train(other, 3), end)


def test_state_has_the_events_and_the_keys_of_the_digital_model() -> None:
    model = convert(digital(), REAL)
    train(model, 2)
    keys = {k for k in model.state_dict() if not k.endswith(("_extra_state", "out_scale"))}
    assert keys == set(digital().state_dict())
    assert model.state_dict()["4.0._extra_state"]["events"][0][0] == 2


def test_a_replaced_weight_is_bound_again_and_its_old_tensor_is_forgotten() -> None:
    layer = AnalogLinear(3, 2, IDEAL)
    old, (tile,) = layer.weight, layer.tiles
    layer.weight = nn.Parameter(torch.full((2, 3), 0.5))
    y = layer(torch.ones(1, 3))
    close(y, F.linear(torch.ones(1, 3), layer.weight, layer.bias))
    assert tiles_of(layer.weight) == [tile]
    assert tiles_of(old) == []
    assert tiles_of(torch.zeros(2, 3)) == []


def test_an_analog_layer_can_be_made_directly() -> None:
    layer = AnalogLinear(4, 2, REAL, bias=False, seed=3)
    assert isinstance(layer, AnalogLayer)
    assert layer.bias is None
    assert float(layer.weight.detach().abs().max()) <= 0.5  # 1/sqrt(4), as torch.nn.Linear
    assert layer(torch.ones(3, 4)).shape == (3, 2)
