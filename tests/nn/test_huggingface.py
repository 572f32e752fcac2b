"""Models of Hugging Face's transformers, made from a configuration: converted by name patterns, trained."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from torch import Tensor, nn
from transformers.pytorch_utils import Conv1D

from ohmgrad import AnalogLinear, AnalogSGD, Device, InputError, SoftBounds, TikiTaka, convert, to_digital
from ohmgrad.nn import analog_layers
from ohmgrad.nn.pretrained import digital_state
from tests.nn.test_layers import IDEAL, close, gradients

DEVICE = Device(SoftBounds.symmetric(0.6), 0.001)
TOKENS = torch.randint(0, 50, (4, 12), generator=torch.Generator().manual_seed(0))
SIZES: dict[str, Any] = {"vocab_size": 50, "initializer_range": 0.1}


def gpt2(scale: float = 1.0) -> Any:
    torch.manual_seed(1)
    config = transformers.GPT2Config(
        n_layer=2, n_embd=16, n_head=2, n_positions=16, bos_token_id=0, eos_token_id=0, **SIZES
    )
    return scaled(transformers.GPT2LMHeadModel(config), scale)


def bert(scale: float = 1.0) -> Any:
    torch.manual_seed(1)
    config = transformers.BertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=24,
        max_position_embeddings=16, num_labels=3, **SIZES,
    )  # fmt: skip
    return scaled(transformers.BertForSequenceClassification(config), scale)


def scaled(model: Any, scale: float) -> Any:
    """With larger weights, out of the device's range where scale is large."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.mul_(scale if name.endswith("weight") and p.dim() == 2 else 1.0)
    return model.eval()


def names(model: nn.Module) -> list[str]:
    return [name for name, _ in analog_layers(model)]


@pytest.mark.parametrize("max_tile", [None, (3, 4)])
def test_conv1d_is_a_linear_layer_of_a_transposed_weight(max_tile: Any) -> None:
    torch.manual_seed(2)
    layer: Any = Conv1D(7, 5)  # outputs, inputs
    nn.init.normal_(layer.bias)
    twin: Any = convert(layer, IDEAL, max_tile=max_tile)
    assert type(twin) is AnalogLinear
    assert (twin.in_features, twin.out_features) == (5, 7)
    assert torch.equal(twin.weight.detach(), layer.weight.detach().t())
    assert twin.weight.is_contiguous()
    y, grad_x, grads = gradients(layer, x := torch.randn(2, 3, 5))
    twin_y, twin_grad_x, twin_grads = gradients(twin, x)
    close(twin_y, y)
    close(twin_grad_x, grad_x)
    close(twin_grads["weight"], grads["weight"].t())
    close(twin_grads["bias"], grads["bias"])


def test_conv1d_can_be_asked_for_by_type() -> None:
    twin = convert(gpt2(), DEVICE, types=[Conv1D])
    wanted = ("attn.c_attn", "attn.c_proj", "mlp.c_fc", "mlp.c_proj")
    assert names(twin) == [f"transformer.h.{i}.{name}" for i in (0, 1) for name in wanted]


def test_tied_embeddings_are_refused_and_stay_tied_when_excluded() -> None:
    with pytest.raises(InputError, match=r"'transformer.wte', 'lm_head' share one .* exclude=\['lm_head'\]"):
        convert(gpt2(), DEVICE)
    twin: Any = convert(gpt2(), DEVICE, exclude=["lm_head"])
    assert twin.lm_head.weight is twin.transformer.wte.weight
    assert len(names(twin)) == 8
    torch.manual_seed(1)
    masked = transformers.BertForMaskedLM(bert().config)
    with pytest.raises(InputError, match=r"share one parameter.* exclude=\['cls.predictions.decoder'\]"):
        convert(masked, DEVICE)
    assert len(names(convert(masked, DEVICE, exclude=["*decoder"]))) == 2 * 6 + 1


PATTERNS: dict[str, tuple[Any, dict[str, Any], int]] = {
    "gpt2": (gpt2, {"exclude": ["lm_head"]}, 8),
    "gpt2-attention": (gpt2, {"include": ["*.attn.*"]}, 4),
    "gpt2-mlp": (gpt2, {"include": ["transformer.h.?.mlp.*"]}, 4),
    "bert": (bert, {}, 2 * 6 + 2),
    "bert-attention": (bert, {"include": ["*.attention.self.*"]}, 6),
    "bert-without-heads": (bert, {"exclude": ["*pooler*", "classifier"]}, 12),
}


@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["fits", "mapped"])
@pytest.mark.parametrize("max_tile", [None, (16, 12)], ids=["whole", "split"])
@pytest.mark.parametrize("name", PATTERNS)
def test_a_converted_model_computes_the_same(name: str, max_tile: Any, scale: float) -> None:
    make, patterns, number = PATTERNS[name]
    model = make(scale)
    twin: Any = convert(model, DEVICE, max_tile=max_tile, **patterns)
    layers = [layer for _, layer in analog_layers(twin)]
    assert len(layers) == number
    assert any(bool((layer.out_scale != 1).any()) for layer in layers) == (scale > 1)
    with torch.no_grad():
        logits = model(TOKENS).logits
        assert float(logits.std()) > 1e-3
        torch.testing.assert_close(twin(TOKENS).logits, logits, atol=3e-5 * scale, rtol=1e-4)
    assert all(tile.count("forward_vectors") > 0 for layer in layers for tile in layer.tiles)


def losses(name: str, make_optimizer: Any, max_tile: Any) -> list[float]:
    make, patterns, _ = PATTERNS[name]
    model: Any = convert(make(), DEVICE, max_tile=max_tile, **patterns)
    labels: Tensor = TOKENS if name.startswith("gpt2") else TOKENS[:, 0] % 3
    analog = [layer for _, layer in analog_layers(model)]
    optimizer = make_optimizer([layer.weight for layer in analog])  # digital parameters do not help
    found = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = model(TOKENS, labels=labels).loss
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert all(tile.count("updates") for layer in analog for tile in layer.tiles)
    return found


@pytest.mark.parametrize("max_tile", [None, (16, 12)], ids=["whole", "split"])
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_training_lowers_the_loss(name: str, max_tile: Any) -> None:
    found = losses(name, lambda p: AnalogSGD(p, lr=0.3), max_tile)
    assert found[-1] < 0.85 * found[0]
    found = losses(name, lambda p: TikiTaka(p, lr=0.3, fast_lr=0.3), max_tile)
    assert found[-1] < 0.95 * found[0]


@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["fits", "mapped"])
@pytest.mark.parametrize("max_tile", [None, (16, 12)], ids=["whole", "split"])
@pytest.mark.parametrize("name", ["gpt2", "bert"])
def test_save_pretrained_and_convert_give_the_same_model(
    name: str, max_tile: Any, scale: float, tmp_path: Path
) -> None:
    """Also of a copy, and of one that was pickled, and of a model that is no longer as it was converted."""
    make, patterns, number = PATTERNS[name]
    digital = make(scale)
    model: Any = copy.deepcopy(convert(digital, DEVICE, max_tile=max_tile, **patterns))
    model = pickle.loads(pickle.dumps(model))
    model.save_pretrained(tmp_path / "before")
    getattr(model, model.base_model_prefix).save_pretrained(tmp_path / "inner")
    back = type(digital).from_pretrained(tmp_path / "before")
    assert type(back) is type(digital)
    wanted = digital.state_dict()
    assert back.state_dict().keys() == wanted.keys()
    for key, value in back.state_dict().items():
        torch.testing.assert_close(value, wanted[key], atol=1e-6, rtol=1e-5)
    layers = [layer for _, layer in analog_layers(model)]
    with torch.no_grad():
        for layer in layers:
            layer.weight.mul_(0.5)
            layer.out_scale.mul_(torch.linspace(0.5, 0.9, layer.out_scale.numel()).view_as(layer.out_scale))
    model.save_pretrained(tmp_path / "after")
    again: Any = convert(
        type(digital).from_pretrained(tmp_path / "after"), DEVICE, max_tile=max_tile, **patterns
    )
    assert len(analog_layers(again)) == number
    with torch.no_grad():
        logits = model(TOKENS).logits
        torch.testing.assert_close(again(TOKENS).logits, logits, atol=3e-5 * scale, rtol=1e-4)
        assert float((logits - digital(TOKENS).logits).abs().max()) > 1e-3


def test_save_pretrained_takes_a_state_as_transformers_does(tmp_path: Path) -> None:
    """By place or by name; that of the analog model is refused."""
    make, patterns, _ = PATTERNS["gpt2"]
    digital = make()
    model: Any = convert(digital, DEVICE, **patterns)
    zeros = {name: torch.zeros_like(value) for name, value in digital.state_dict().items()}
    for i, given in enumerate([(True, None), (True, dict(zeros))]):  # transformers empties it
        model.save_pretrained(tmp_path / f"{i}", *given)
        saved = type(digital).from_pretrained(tmp_path / f"{i}").state_dict()
        torch.testing.assert_close(dict(saved), [dict(digital.state_dict()), zeros][i])
    with pytest.raises(InputError, match=r"out_scale' of an analog layer, .* leave state_dict out, or"):
        model.save_pretrained(tmp_path / "analog", state_dict=model.state_dict())


def test_a_digital_state_has_what_products_see() -> None:
    model: Any = convert(nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten()), DEVICE, max_tile=(2, 5))
    conv = model[0]
    digital = nn.Sequential(nn.Conv2d(4, 6, 3, groups=2), nn.Flatten())
    digital.load_state_dict(digital_state(model))
    x = torch.randn(2, 4, 5, 5)
    close(digital(x), model(x))
    other = conv.tiles[0].sibling(1)
    other.weight.fill_(0.1)
    conv.tiles[0].companions.append((0.5, other))
    before = digital(x)
    digital.load_state_dict(digital_state(model))
    close(digital(x), model(x))
    assert not torch.equal(digital(x), before)


@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["fits", "mapped"])
@pytest.mark.parametrize("max_tile", [None, (16, 12)], ids=["whole", "split"])
@pytest.mark.parametrize("name", PATTERNS)
def test_to_digital_gives_the_model_of_transformers_back(
    name: str, max_tile: Any, scale: float, tmp_path: Path
) -> None:
    make, patterns, _ = PATTERNS[name]
    model = make(scale)
    twin: Any = convert(model, DEVICE, max_tile=max_tile, **patterns)
    plain: Any = to_digital(twin)
    assert [type(m) for m in plain.modules()] == [type(m) for m in model.modules()]
    assert plain.state_dict().keys() == model.state_dict().keys() == digital_state(twin).keys()
    for key, value in model.state_dict().items():
        assert plain.state_dict()[key].shape == digital_state(twin)[key].shape == value.shape
    with torch.no_grad():
        logits = twin(TOKENS).logits
        torch.testing.assert_close(plain(TOKENS).logits, logits, atol=3e-5 * scale, rtol=1e-4)
    if name.startswith("gpt2"):
        assert plain.lm_head.weight is plain.transformer.wte.weight
    assert "save_pretrained" in vars(twin)
    assert "save_pretrained" not in vars(plain)
    plain.save_pretrained(tmp_path)
    again = type(model).from_pretrained(tmp_path)
    assert all(torch.equal(v, plain.state_dict()[k]) for k, v in again.state_dict().items())


class Config(transformers.PretrainedConfig):
    model_type = "tagger_of_the_tests"


class Tagger(transformers.PreTrainedModel):
    """A model with layers of several crossbars each."""

    config_class = Config
    base_model_prefix = ""

    def __init__(self, config: Config) -> None:
        super().__init__(config)
        self.embed, self.rnn = nn.Embedding(50, 8), nn.LSTM(8, 4, 2, bidirectional=True, batch_first=True)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Sequential(nn.Conv1d(12, 12, 3, padding="same", groups=3), nn.Linear(8, 3))
        self.post_init()

    def _init_weights(self, module: nn.Module) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        x = self.rnn(self.embed(x))[0]
        return self.head(self.attn(x, x, x)[0])


@pytest.mark.parametrize("exclude", [[], ["*.out_proj", "rnn.input.*"]], ids=str)
def test_save_pretrained_with_layers_of_several_crossbars(exclude: list[str], tmp_path: Path) -> None:
    torch.manual_seed(3)
    model = scaled(Tagger(Config()), 4)
    twin: Any = convert(model, DEVICE, omega=0.5, max_tile=(8, 8), exclude=exclude)
    with torch.no_grad():
        for _, layer in analog_layers(twin):
            layer.weight.mul_(0.5)
    twin.save_pretrained(tmp_path)
    again: Any = Tagger.from_pretrained(tmp_path)
    assert again.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        close(again.eval()(TOKENS), twin(TOKENS))
        close(to_digital(twin)(TOKENS), twin(TOKENS))
        assert float((twin(TOKENS) - model(TOKENS)).abs().max()) > 1e-3
