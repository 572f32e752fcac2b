"""Parts of attention and recurrent layers chosen by name: digital ones within analog layers."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ohmgrad import (
    AnalogLinear,
    AnalogLSTM,
    AnalogMultiheadAttention,
    AnalogRNN,
    AnalogSGD,
    InputError,
    Pulsing,
    convert,
    to_digital,
)
from ohmgrad.nn import analog_layers, left_digital
from tests.nn.test_layers import IDEAL, REAL, close
from tests.nn.test_to_digital import made, outputs, settings_of


class Model(nn.Module):
    """Attention, recurrent layers and a linear one; attention has a second name."""

    def __init__(self) -> None:
        super().__init__()
        self.attn, self.rnn, self.head = made("attention")[0], made("gru")[0], made("linear")[0]
        self.again = nn.Sequential(self.attn)


ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]
RNN = [f"{kind}.l{i}{end}" for i in range(3) for end in ("", "_reverse") for kind in ("input", "hidden")]
EVERY = {f"attn.{n}" for n in ATTENTION} | {f"rnn.{n}" for n in RNN} | {"head"}
#: patterns, and what they leave out
PATTERNS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "nothing": ({}, set()),
    "one": ({"exclude": ["attn.out_proj"]}, {"attn.out_proj"}),
    "by-ending": ({"exclude": ["*.q_proj", "*.k_proj"]}, {"attn.q_proj", "attn.k_proj"}),
    "by-second-name": ({"exclude": ["again.0.v_proj"]}, {"attn.v_proj"}),
    "all-parts": ({"exclude": ["*_proj"]}, {f"attn.{n}" for n in ATTENTION}),
    "the-layer": ({"exclude": ["attn"]}, {f"attn.{n}" for n in ATTENTION}),
    "only-one": ({"include": ["again.*.out_proj"]}, EVERY - {"attn.out_proj"}),
    "layer-but-a-part": (
        {"include": ["attn"], "exclude": ["*.v_proj"]},
        (EVERY - {f"attn.{n}" for n in ATTENTION}) | {"attn.v_proj"},
    ),
    "recurrent": ({"exclude": ["*.hidden.*"]}, {n for n in EVERY if "hidden" in n}),
    "a-direction": ({"exclude": ["rnn.*_reverse"]}, {n for n in EVERY if "reverse" in n}),
    "first": ({"include": ["*.input.l0"], "exclude": []}, EVERY - {"rnn.input.l0"}),
    "two-kinds": (
        {"exclude": ["head", "attn.*", "*.l2"]},
        {"head", "rnn.input.l2", "rnn.hidden.l2", *(f"attn.{n}" for n in ATTENTION)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PATTERNS)
def test_patterns_choose_parts(name: str) -> None:
    patterns, without = PATTERNS[name]
    model = Model()
    twin: Any = convert(model, IDEAL, omega=0.5, **patterns)
    assert {n for n, _ in analog_layers(twin)} == EVERY - without
    for part in without & {n for n, _ in twin.named_modules()}:  # a layer without analog parts is as it was
        assert isinstance(twin.get_submodule(part), nn.Linear)
    assert twin.again[0] is twin.attn
    arrays = [tile.key.array for _, part in analog_layers(twin) for tile in part.tiles]
    assert sorted(arrays) == [256 * i for i in range(len(arrays))]
    assert not left_digital(twin).keys() & {n for n, _ in analog_layers(twin)}
    for layer, twins, x in (
        (model.attn, twin.attn, made("attention")[1]),
        (model.rnn, twin.rnn, made("gru")[1]),
    ):
        plain = to_digital(twins)
        assert {**settings_of(plain)["own"], "dropout": 0} == {**settings_of(layer)["own"], "dropout": 0}
        for a, b, c in zip(*(outputs(m.eval()(*x)) for m in (layer, twins, plain)), strict=True):
            close(b, a)
            close(c, a)
    again = Model()
    again.load_state_dict(to_digital(twin).state_dict())
    for key, value in again.state_dict().items():
        torch.testing.assert_close(value, model.state_dict()[key], atol=1e-6, rtol=1e-6)


CASES = {
    "attention": ("attention", ["out_proj", "v_proj"]),
    "attention-no-bias": ("attention-no-bias", ["q_proj"]),
    "attention-sizes": ("attention-sizes", ["v_proj"]),
    "lstm": ("lstm", ["input.l0", "hidden.l1_reverse"]),
    "rnn-relu": ("rnn-relu", ["hidden.l0"]),
}


@pytest.mark.parametrize("name", CASES)
def test_digital_parts_are_trained_by_sgd_and_survive_a_checkpoint(name: str) -> None:
    kind, digital = CASES[name]
    layer, x = made(kind)
    layer.eval()
    twin: Any = convert(layer, IDEAL, exclude=digital, pulsing=Pulsing(fidelity="mean"))
    first = copy.deepcopy(twin)
    lr, optimizer = 1e-4, AnalogSGD(twin.parameters(), lr=1e-4)
    for model in (layer, twin):
        sum(y.square().sum() for y in outputs(model(*x))).backward()  # pyright: ignore
    optimizer.step()
    for part in digital:
        old, new = first.get_submodule(part), twin.get_submodule(part)
        for parameter in ("weight", "bias")[: 1 + (new.bias is not None)]:
            wanted = gradient(layer, part, parameter)
            assert float(wanted.abs().max()) > 0.1
            moved = (getattr(old, parameter) - getattr(new, parameter)).detach() / lr
            # a weight of 8 is rounded by 5e-7, over lr
            torch.testing.assert_close(moved, wanted, atol=0.01, rtol=1e-3)
    assert all(part.tiles[0].count("updates") for _, part in analog_layers(twin))
    first.load_state_dict(copy.deepcopy(twin.state_dict()))
    for a, b in zip(outputs(first(*x)), outputs(twin(*x)), strict=True):
        assert torch.equal(a, b)


def gradient(layer: Any, part: str, parameter: str) -> torch.Tensor:
    """Of a part's parameter, from the plain layer."""
    if isinstance(layer, nn.RNNBase):
        which, key = part.split(".")
        return getattr(layer, f"{parameter}_{'ih' if which == 'input' else 'hh'}_{key}").grad
    if part == "out_proj":
        return getattr(layer.out_proj, parameter).grad
    whole = getattr(layer, f"in_proj_{parameter}")
    if whole is None:
        return getattr(layer, f"{part}_{parameter}").grad
    return whole.grad.chunk(3)["qkv".index(part[0])]


def test_made_by_hand_with_digital_parts() -> None:
    attention = AnalogMultiheadAttention(8, 2, REAL, digital=["out_proj"])
    assert [n for n, _ in analog_layers(attention)] == ["q_proj", "k_proj", "v_proj"]
    lstm = AnalogLSTM(3, 5, REAL, num_layers=2, digital=["input.l0", "input.l1"])
    assert [n for n, _ in analog_layers(lstm)] == ["hidden.l0", "hidden.l1"]
    for wrong in ("out_proj", ["o_proj"], ["q_proj", "k_proj", "v_proj", "out_proj"]):
        with pytest.raises(InputError, match="must be a list of some of q_proj, k_proj, v_proj, out_proj"):
            AnalogMultiheadAttention(8, 2, REAL, digital=wrong)
    with pytest.raises(InputError, match=r"must be a list of some of input.l0, hidden.l0"):
        AnalogRNN(3, 5, REAL, digital=["l0"])


def test_a_second_conversion_takes_the_digital_parts() -> None:
    layer, x = made("attention")
    once = convert(nn.Sequential(layer), REAL, exclude=["*.q_proj"])
    assert left_digital(once) == {"0.q_proj": "left out by name or type"}
    twice: Any = convert(once, REAL)
    assert {n for n, _ in analog_layers(twice)} == {f"0.{n}" for n in ATTENTION}
    assert type(twice[0].q_proj) is AnalogLinear
    assert twice[0].q_proj.tiles[0].key.array == 3 * 256
    assert outputs(twice[0](*x))[0].shape == x[0].shape


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True", "ignore:The PyTorch API of nested")
def test_inside_torchs_encoders_in_every_mode() -> None:
    torch.manual_seed(0)
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), 2)
    twin = convert(model, IDEAL, omega=0.5, exclude=["*.self_attn.out_proj", "*.linear2"])
    assert len(analog_layers(twin)) == 2 * 4
    x, padding = torch.randn(2, 5, 8), torch.zeros(2, 5, dtype=torch.bool)
    padding[1, 3:] = True
    for training in (True, False):
        for graph in (True, False):
            with torch.set_grad_enabled(graph):
                a, b = (m.train(training)(x, src_key_padding_mask=padding) for m in (model, twin))
            close(b[~padding], a[~padding])


def test_patterns_that_match_no_part_are_refused() -> None:
    for pattern in ("*.o_proj", "attn.out_proj.weight"):
        with pytest.raises(InputError, match=r"no layer: the candidates are 'attn', 'again.0', 'rnn', "):
            convert(Model(), IDEAL, exclude=[pattern])
    with pytest.raises(InputError, match=r"'attn.q_proj' matches no layer: the candidates are 'head'"):
        convert(Model(), IDEAL, types=[nn.Linear], exclude=["attn.q_proj"])
