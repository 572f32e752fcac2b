"""Recurrent layers on crossbars are torch's: outputs, states, gradients, factors through time, conversion."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogGRU,
    AnalogLSTM,
    AnalogRNN,
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
from tests.cases import SPREADS

IDEAL = Device(ConstantStep(-2, 2), dw_min=1e-3)
REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
PERIPHERIES = {"perfect": Periphery(), "by-vector": Periphery(out_bound=1e9)}
TWINS: dict[str, tuple[Any, Any, dict[str, Any]]] = {
    "rnn": (nn.RNN, AnalogRNN, {}),
    "relu": (nn.RNN, AnalogRNN, {"nonlinearity": "relu"}),
    "lstm": (nn.LSTM, AnalogLSTM, {}),
    "gru": (nn.GRU, AnalogGRU, {}),
}
SHAPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-bias": {"bias": False},
    "batch-first": {"batch_first": True},
    "deep": {"num_layers": 3},
    "both-ways": {"bidirectional": True, "num_layers": 2, "batch_first": True},
}
IN, H = 3, 5


def digital(kind: str, **options: Any) -> Any:
    torch.manual_seed(3)
    layer, _, own = TWINS[kind]
    return layer(IN, H, **own, **options)


def sequence(layer: Any, batch: int | None = 2, steps: int = 4) -> Tensor:
    shape = (steps, IN) if batch is None else (batch, steps, IN) if layer.batch_first else (steps, batch, IN)
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def states(layer: Any, batch: int | None = 2) -> Any:
    n = layer.num_layers * (1 + layer.bidirectional)
    g = torch.Generator().manual_seed(2)
    made = [torch.randn((n, H) if batch is None else (n, batch, H), generator=g) for _ in range(2)]
    return tuple(made) if isinstance(layer, nn.LSTM) else made[0]


def flat(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [t for part in result for t in flat(part)]


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-5 * max(1.0, float(b.detach().abs().max())), rtol=1e-5)


def run(layer: nn.Module, x: Tensor, hx: Any) -> tuple[list[Tensor], list[Tensor]]:
    """All outputs, and gradients of the input and the first states, of a loss with all signs."""
    leaves = [t.clone().requires_grad_() for t in (x, *flat(hx))]
    given = tuple(leaves[1:]) if isinstance(hx, tuple) else leaves[1]
    outputs = flat(layer(leaves[0], given))
    sum((y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum() for y in outputs).backward()  # pyright: ignore
    return [y.detach() for y in outputs], [t.grad for t in leaves if t.grad is not None]


def check_twin(layer: Any, batch: int | None, omega: float | None, periphery: Periphery) -> None:
    twin: Any = convert(layer, IDEAL, omega=omega, periphery=periphery)
    x, hx = sequence(layer, batch), states(layer, batch)
    parts = [part for _, part in analog_layers(twin)]
    for mine, torchs in zip(run(twin, x, hx), run(layer, x, hx), strict=True):
        for a, b in zip(mine, torchs, strict=True):
            close(a, b)
    for key in twin.input:
        for kind, linear in (("ih", twin.input[key]), ("hh", twin.hidden[key])):
            gradient = getattr(layer, f"weight_{kind}_{key}").grad
            ((x_all, d_all),) = linear.weight.grad.factors()
            assert len(x_all) == 4 * (batch or 1)
            close(d_all.t() @ x_all, gradient * linear.out_scale.detach().unsqueeze(1))
            if layer.bias:
                close(linear.bias.grad, getattr(layer, f"bias_{kind}_{key}").grad)
    assert len(parts) == 2 * len(twin.input)
    for a, b in zip(flat(twin(x)), flat(layer(x)), strict=True):
        close(a, b)  # without first states


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", TWINS)
def test_recurrent_is_torchs(kind: str, shape: str) -> None:
    check_twin(digital(kind, **SHAPES[shape]), 2, None, Periphery())


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("batch", [None, 2])
@pytest.mark.parametrize("kind", TWINS)
def test_mapped_weights_by_vectors_and_without_a_batch(kind: str, batch: Any, periphery: str) -> None:
    check_twin(digital(kind, bidirectional=True), batch, 0.5, PERIPHERIES[periphery])


def test_a_wrong_cell_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the update gate the other way round."""
    right = AnalogGRU.cell
    swapped = [1, 0, 2]

    def wrong(self: AnalogGRU, x: Tensor, h: Tensor, state: Any) -> Any:
        x, h = (torch.cat([t.chunk(3, -1)[i] for i in swapped], -1) for t in (x, h))
        return right(self, x, h, state)

    monkeypatch.setattr(AnalogGRU, "cell", wrong)
    with pytest.raises(AssertionError):
        check_twin(digital("gru"), 2, None, Periphery())


@pytest.mark.parametrize("kind", TWINS)
def test_made_directly_and_its_own_elements(kind: str) -> None:
    _, analog, own = TWINS[kind]
    torch.manual_seed(3)
    layer = analog(IN, H, REAL, num_layers=2, bidirectional=True, dropout=0.5, seed=4, array=512, **own)
    arrays = [part.tiles[0].key for _, part in analog_layers(layer)]
    assert sorted(k.array for k in arrays) == [512 + 256 * i for i in range(8)]
    assert {k.seed for k in arrays} == {4}
    assert [p.device.dw_min for _, part in analog_layers(layer) for p in part.tiles] == [0.001] * 8
    twin: Any = convert(digital(kind, num_layers=2, bidirectional=True), IDEAL)
    assert (layer.num_layers, layer.bidirectional, layer.dropout) == (2, True, 0.5)
    assert layer(sequence(twin))[0].shape == twin(sequence(twin))[0].shape == (4, 2, 2 * H)
    assert "l1_reverse" in repr(layer)


def test_dropout_between_layers_in_training_only() -> None:
    """Half of the values between the layers are 0 and the others doubled; the last layer's stay."""
    layer = digital("rnn", num_layers=2, dropout=0.5)
    twin: Any = convert(layer, IDEAL)
    x = sequence(layer, batch=500)
    seen: list[Tensor] = []
    twin.input["l1"].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    y = twin(x)[0]
    twin.eval()
    close(twin(x)[0], layer.eval()(x)[0])
    dropped, whole = seen
    kept = dropped != 0
    close(dropped[kept], 2 * whole[kept])
    # binomial, n = 4 * 500 * 5 values, p = 1/2
    assert abs(float(kept.float().mean()) - 0.5) < 4.5 * 0.5 / math.sqrt(dropped.numel())
    assert bool((y != 0).all())


def test_convert_gives_arrays_keeps_frozen_and_replaces_in_models() -> None:
    class Tagger(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm, self.head = nn.LSTM(IN, H, 2), nn.Linear(H, 2)

        def forward(self, x: Tensor) -> Tensor:
            self.lstm.flatten_parameters()
            return self.head(self.lstm(x)[0])

    torch.manual_seed(0)
    model = Tagger().eval()
    model.lstm.weight_ih_l0.requires_grad_(False)
    twin: Any = convert(model, IDEAL)
    x = torch.randn(4, 2, IN)
    close(twin(x), model(x))
    layers = dict(analog_layers(twin))
    assert set(layers) == {
        "lstm.input.l0", "lstm.input.l1", "lstm.hidden.l0", "lstm.hidden.l1", "head",
    }  # fmt: skip
    assert sorted(layer.tiles[0].key.array for layer in layers.values()) == [256 * i for i in range(5)]
    frozen = {n for n, p in twin.named_parameters() if not p.requires_grad}
    assert frozen == {"lstm.input.l0.weight", "lstm.input.l0.out_scale"}
    assert not any(m.training for m in twin.modules())
    assert set(dict(analog_layers(convert(model, IDEAL, types=[nn.Linear])))) == {"head"}


def train(model: Any, steps: int, lr: float = 0.2) -> list[float]:
    """The positive part of the input before the last is to be told at the end."""
    g = torch.Generator().manual_seed(5)
    x = torch.randn(4, 32, IN, generator=g)
    y = 0.5 * x[-2, :, 0].relu()
    optimizer, losses = AnalogSGD(model.parameters(), lr=lr), list[float]()
    for _ in range(steps):
        loss = (model(x)[0][-1, :, 0] - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("kind", TWINS)
def test_pulses_train_it(kind: str) -> None:
    losses = train(convert(digital(kind), REAL), 200)
    assert losses[-1] < 0.7 * 0.0622  # the variance of the targets, the loss of the best constant


@pytest.mark.parametrize("kind", ["rnn", "lstm", "gru"])
def test_checkpoints_go_on_exactly(kind: str) -> None:
    model, again = convert(digital(kind), REAL), convert(digital(kind), REAL)
    train(model, 3)
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert train(again, 3) == train(model, 3)


def test_what_is_refused() -> None:
    layer = AnalogLSTM(IN, H, IDEAL, batch_first=True)
    rnn = AnalogRNN(IN, H, IDEAL)
    x = torch.zeros(2, 4, IN)
    packed: Any = nn.utils.rnn.pack_padded_sequence(x[..., :2], torch.tensor([4, 2]), batch_first=True)
    h = torch.zeros(1, 2, H)
    for call, message in (
        (lambda: layer(packed), r"data of the PackedSequence is \(6, 2\), but this layer needs \(..., 3\)"),
        (lambda: layer(x[..., :2]), r"input is \(2, 4, 2\), but this layer needs \(N, T, 3\) or \(T, 3\)"),
        (lambda: rnn(x[0, 0]), r"input is \(3,\), but this layer needs \(T, N, 3\)"),
        (lambda: rnn(torch.zeros(0, 2, IN)), "a sequence needs at least one time step"),
        (lambda: layer(x, h), r"initial states are \(1, 2, 5\), but .* h_0, c_0, each of \(1, 2, 5\)"),
        (lambda: rnn(x, h), r"initial states are \(1, 2, 5\), but .* h_0, each of \(1, 4, 5\)"),
        (lambda: AnalogLSTM(IN, H, IDEAL, proj_size=2), "proj_size is 2, but must be 0"),
        (lambda: AnalogGRU(IN, H, IDEAL, num_layers=0), r"torch does not make GRU\(3, 5, num_layers=0\): "),
        (lambda: AnalogRNN(IN, 1.5, IDEAL), "hidden_size is 1.5, but must be an integer"),  # pyright: ignore
        (lambda: convert(nn.LSTM(IN, H, proj_size=2), IDEAL), "proj_size is 2, but must be 0"),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_computed_and_a_shared_weight_are_refused() -> None:
    with pytest.raises(InputError, match="a weight of layer '0' is not a parameter but computed"):
        convert(nn.Sequential(nn.utils.weight_norm(nn.GRU(IN, H), "weight_hh_l0")), IDEAL)
    pair = nn.ModuleList([nn.GRU(IN, H), nn.GRU(IN, H)])
    pair[1].weight_hh_l0 = pair[0].weight_hh_l0
    with pytest.raises(InputError, match=r"layers '0', '1' share one .* exclude=\['0', '1'\]"):
        convert(pair, IDEAL)
