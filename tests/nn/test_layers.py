"""Layers on crossbars are torch's layers: forward, gradients, factors, counts."""

from __future__ import annotations

import gc
import pickle
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogSGD,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Periphery,
    SoftBounds,
    convert,
)
from ohmgrad.nn import analog_layers
from ohmgrad.nn.patches import Patching
from tests.cases import SPREADS

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
    factors = twin.weight.grad.factors()
    assert len(factors) == len(twin.tiles)
    gradient = torch.cat([d.t() @ v for v, d in factors])
    close(gradient.view_as(twin.weight), twin_grads["weight"])


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
    right = Patching.parts
    monkeypatch.setattr(Patching, "parts", lambda self, x, d: right(self, x.roll(2, dims=1), d))
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


def split_linear() -> nn.Module:
    return convert(nn.Linear(6, 5), REAL, max_tile=(3, 4))


def grouped_convolution() -> nn.Module:
    return convert(nn.Conv2d(4, 4, 3, groups=2), REAL)


@pytest.mark.parametrize(("make", "shape"), [(split_linear, (2, 6)), (grouped_convolution, (2, 4, 5, 5))])
def test_a_layer_is_freed_while_its_gradient_is_set(make: Callable[[], nn.Module], shape: Any) -> None:
    """What a gradient keeps are numbers: torch's own reference from weight to gradient is no circle."""
    layer = make()
    layer(torch.randn(shape)).square().sum().backward()
    there = weakref.ref(layer)
    del layer
    gc.collect()
    assert there() is None
