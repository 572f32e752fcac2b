"""Kinds of layers and inputs."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad.nn import left_digital

from . import Group, X, beside_torch, ideal, mlp, same

group = Group("Layers and inputs")


def learning(*inputs: Any, answer: Any = lambda y: y) -> Any:
    """A loop that makes outputs small; what the model computes in evaluation."""

    def train(model: Any, sgd: Any) -> Tensor:
        optimizer = sgd(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            answer(model(*inputs)).square().mean().backward()
            optimizer.step()
        with torch.no_grad():
            return answer(model.eval()(*inputs)).clone()

    return train


def seeded(make: Any) -> Any:
    def made() -> Any:
        torch.manual_seed(0)
        return make()

    return made


@group.works("recurrent layers with a `PackedSequence`, several layers, both directions")
def packed() -> None:
    x = torch.linspace(-2, 2, 3 * 5 * 4).view(3, 5, 4).cos()
    sequence = nn.utils.rnn.pack_padded_sequence(x, [5, 3, 2], batch_first=True)
    for kind in (nn.RNN, nn.LSTM, nn.GRU):
        beside_torch(
            learning(sequence, answer=lambda y: y[0].data),
            seeded(lambda kind=kind: kind(4, 3, 2, batch_first=True, bidirectional=True)),
        )


@group.works("`nn.TransformerEncoder` with a mask, in training and in evaluation (torch's fast path)")
def encoder() -> None:
    x, mask = X.view(4, 2, 6), nn.Transformer.generate_square_subsequent_mask(2)
    beside_torch(
        learning(x, mask),
        seeded(lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, 0.0, batch_first=True), 2)),
        atol=1e-5,
    )


@group.works("convolutions with `channels_last` memory")
def channels_last() -> None:
    x = torch.linspace(-1, 1, 2 * 3 * 36).view(2, 3, 6, 6).to(memory_format=torch.channels_last)

    def train(model: Any, sgd: Any) -> Tensor:
        return learning(x)(model.to(memory_format=torch.channels_last), sgd)

    beside_torch(train, seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))))


@group.works("batches of any size, no samples at all, samples without a batch")
def batches() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer = sgd(model.parameters())
        for x in (X, X[:0], X[:1], X[0], X.view(2, 4, 6), X[:5]):
            optimizer.zero_grad()
            (0.05 * model(x).square().sum()).backward()
            optimizer.step()

    beside_torch(train)


@group.refused(
    "lazy modules before their first call",
    "the model has LazyLinear ('0'): no weights before its first call: call the model once, then convert it",
)
def lazy() -> None:
    ideal(nn.Sequential(nn.LazyLinear(3), nn.Tanh()))


@group.works("lazy modules after their first call")
def called() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        model = nn.Sequential(nn.LazyLinear(5), nn.Tanh(), nn.LazyLinear(3))
        model(X)
        return model

    beside_torch(learning(X), make)


class Own(nn.Linear):
    """A subclass."""


@group.works(
    "subclasses of `nn.Linear` and others, `LSTMCell`, `ConvTranspose2d`, `Bilinear`",
    "they stay digital, and a warning names them; `ohmgrad.nn.left_digital(model)` lists them",
)
def left() -> None:
    model = nn.Sequential(Own(6, 5), nn.Linear(5, 3))
    with pytest.warns(UserWarning, match=r"stay digital: Own \('0'\): a subclass of Linear"):
        twin = ideal(model)
    assert type(twin[0]) is Own
    same(twin(X).detach(), model(X).detach())
    others = [nn.LSTMCell(2, 3), nn.ConvTranspose2d(2, 3, 2), nn.Bilinear(2, 3, 4)]
    with pytest.warns(UserWarning, match="stay digital"):
        assert set(left_digital(ideal(nn.Sequential(nn.Linear(2, 2), *others)))) == {"1", "2", "3"}


@group.refused("inputs of another size", "input is (8, 3), but this layer needs (..., 6)")
def size() -> None:
    ideal(mlp())(X[:, :3])
