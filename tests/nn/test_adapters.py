"""Digital low-rank adapters of peft beside frozen analog weights (Li et al. 2024, arXiv 2411.17367)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import NOISY_PERIPHERY, AnalogLinear, AnalogSGD, Device, SoftBounds, convert, to_digital
from ohmgrad.devices import Retention
from ohmgrad.nn import analog_layers

DEVICE = Device(SoftBounds.symmetric(0.6), retention=Retention(drift=0.1))
X, Y = torch.randn(6, 1, 6, 6, generator=torch.Generator().manual_seed(0)), torch.arange(6) % 3
#: peft's names of a model's layers, settings of the conversion
MODELS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "mlp": (["1", "3"], {"omega": 0.5}),
    "split": (["1", "3"], {"max_tile": (4, 16)}),
    "cnn": (["0", "3"], {}),
    "noisy": (["1"], {"periphery": NOISY_PERIPHERY}),
}


def plain(name: str) -> nn.Module:
    torch.manual_seed(0)
    if name == "cnn":
        return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Flatten(), nn.Linear(32, 3))
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 8), nn.Tanh(), nn.Linear(8, 3))


def adapted(name: str, **options: Any) -> Any:
    """The model on crossbars with adapters beside, as the docs say it."""
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    layers, settings = MODELS[name]
    config = peft.LoraConfig(r=2, lora_alpha=4, target_modules=layers, **options)
    return convert(peft.get_peft_model(plain(name), config), DEVICE, exclude=["*lora_*"], **settings)


def train(model: Any, optimizer: torch.optim.Optimizer, steps: int = 5) -> list[float]:
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(X), Y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def trained_ones(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("name", MODELS)
def test_adapters_learn_and_no_pulse_is_sent(name: str) -> None:
    model = adapted(name)
    layers = analog_layers(model)
    assert len(layers) == 2
    assert {n.split(".")[-3] for n, p in model.named_parameters() if p.requires_grad} == {"lora_A", "lora_B"}
    with torch.no_grad():  # B starts at zero
        given, wanted = model(X), convert(plain(name), DEVICE, **MODELS[name][1])(X)
    torch.testing.assert_close(given, wanted)
    before, pulses = [layer.weight.clone() for _, layer in layers], counts(model)
    losses = train(model, torch.optim.Adam(trained_ones(model), 0.1), 30)
    assert losses[-1] < losses[0] - 0.2
    assert counts(model) == pulses
    for weight, (_, layer) in zip(before, layers, strict=True):
        assert (layer.weight == weight).all()
        assert layer.weight.grad is None


def counts(model: nn.Module) -> list[tuple[int, ...]]:
    tiles = [tile for _, layer in analog_layers(model) for tile in layer.tiles]
    return [tuple(t.count(e) for e in ("updates", "pulses_up", "pulses_down", "slots")) for t in tiles]


def test_time_and_read_noise_act_on_frozen_weights() -> None:
    model = adapted("noisy")
    with torch.no_grad():
        assert (model(X) != model(X)).any()
    tiles = [tile for _, layer in analog_layers(model) for tile in layer.tiles]
    before = [tile.weight.clone() for tile in tiles]
    for tile in tiles:
        tile.wait(99)
    for tile, weight in zip(tiles, before, strict=True):
        torch.testing.assert_close(tile.weight, weight * 100**-0.1)
    before, pulses = [tile.weight.clone() for tile in tiles], counts(model)
    train(model, AnalogSGD(model.parameters(), lr=0.1), 3)  # whose steps are time, too
    for tile, weight in zip(tiles, before, strict=True):
        torch.testing.assert_close(tile.weight, weight * (103 / 100) ** -0.1)
    assert counts(model) == pulses


@pytest.mark.parametrize("name", ["mlp", "split", "cnn"])
def test_states_adapter_files_and_merging(name: str, tmp_path: Path) -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    model = adapted(name, init_lora_weights=False)
    other = adapted(name, init_lora_weights=False)
    with torch.no_grad():
        for p in trained_ones(other):
            p.add_(1.0)
        assert (other(X) != model(X)).any()
        other.load_state_dict(model.state_dict())
        assert (other(X) == model(X)).all()
        model.save_pretrained(tmp_path)  # the adapters alone
        layers, settings = MODELS[name]
        loaded = peft.PeftModel.from_pretrained(plain(name), tmp_path)
        loaded = convert(loaded, DEVICE, exclude=["*lora_*"], **settings)
        torch.testing.assert_close(loaded(X), model(X))
        merged: Any = to_digital(model).merge_and_unload()  # pyright: ignore
        assert list(map(str, merged)) == list(map(str, plain(name).children()))
        torch.testing.assert_close(merged(X), model(X))
        with model.disable_adapter():
            torch.testing.assert_close(model(X), plain(name)(X))
    assert len(layers) == len([m for m in model.modules() if hasattr(m, "lora_A")])


def test_one_array_serves_several_tasks() -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    model = adapted("mlp", init_lora_weights=False)
    weights = [layer.weight for _, layer in analog_layers(model)]
    config = peft.LoraConfig(r=1, target_modules=["1", "3"], init_lora_weights=False)
    with torch.no_grad():
        first = model(X)
        model.add_adapter("second", config)
        model.set_adapter("second")
        assert (model(X) != first).any()
        model.set_adapter("default")
        assert (model(X) == first).all()
    for weight, (_, layer) in zip(weights, analog_layers(model), strict=True):
        assert layer.weight is weight


def test_adapters_join_a_model_that_is_analog_already() -> None:
    peft: Any = pytest.importorskip("peft", reason="peft is not installed")
    analog: Any = convert(plain("mlp"), DEVICE, omega=0.5)
    for _, layer in analog_layers(analog):
        layer.tiles[0].wait(9)
    config = peft.LoraConfig(r=2, target_modules=["1", "3"])
    config._register_custom_module({AnalogLinear: peft.tuners.lora.Linear})
    with torch.no_grad():
        before = analog(X)
        model = peft.get_peft_model(analog, config)
        assert (model(X) == before).all()
    pulses = counts(model)
    train(model, torch.optim.Adam(trained_ones(model), 0.01))
    assert counts(model) == pulses
    with torch.no_grad():
        torch.testing.assert_close(to_digital(model).merge_and_unload()(X), model(X))  # pyright: ignore


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_model_with_adapters_computes_and_learns_the_same() -> None:
    model = adapted("mlp", init_lora_weights=False)
    compiled: Any = torch.compile(model, backend="eager")
    torch.testing.assert_close(compiled(X), model(X))
    plainly = torch.autograd.grad(model(X).sum(), trained_ones(model))
    found = torch.autograd.grad(compiled(X).sum(), trained_ones(model))
    for a, b in zip(found, plainly, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["mlp", "split", "cnn"])
def test_a_frozen_layer_keeps_no_outputs(name: str) -> None:
    """Neither for a gradient of the weight nor for one of the output scales."""
    kept: dict[bool, int] = {}
    for frozen in (False, True):
        _, layer = analog_layers(convert(plain(name), DEVICE, **MODELS[name][1]))[0]
        layer.requires_grad_(not frozen)
        x = (X if name == "cnn" else X.flatten(1)).clone().requires_grad_()
        seen: list[Tensor] = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, seen=seen: seen.append(t) or t, lambda t: t):
            y = layer(x)
        kept[frozen] = sum(t.numel() for t in seen)
        outputs = y.numel() * layer.bands
        y.sum().backward()
        assert x.grad is not None
        assert (layer.weight.grad is None) is frozen
    assert kept[False] - kept[True] == outputs
