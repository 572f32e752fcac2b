"""Torch's own optimizers beside analog ones, and on analog weights."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import AnalogSGD, InputError, TikiTaka
from ohmgrad.crossbar.gradient import FactoredGradient
from ohmgrad.nn import analog_layers
from ohmgrad.optim import surroundings
from tests.crossbar.test_gradient_training import IDEAL, close, loss_of, network, plain, warnings_in, weights

OPTIMIZERS: dict[str, Any] = {
    "sgd": lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, weight_decay=0.01, nesterov=True),
    "adam": lambda p: torch.optim.Adam(p, 0.01),
    "adamw, foreach": lambda p: torch.optim.AdamW(p, 0.01, foreach=True),
    "rmsprop": lambda p: torch.optim.RMSprop(p, 0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, 0.01),
    "lbfgs": lambda p: torch.optim.LBFGS(p, 0.1, max_iter=3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_torch_optimizer_trains_as_it_does_digital_weights_and_warns_once(name: str) -> None:
    digital, analog = plain(), network(IDEAL)
    told = []
    for model in (digital, analog):
        optimizer = OPTIMIZERS[name]([p for p in model.parameters() if p.requires_grad])

        def closure(model: nn.Module = model, optimizer: Any = optimizer) -> Tensor:
            optimizer.zero_grad()
            loss = loss_of(model)
            loss.backward()
            return loss

        def train(closure: Any = closure, optimizer: Any = optimizer) -> None:
            for _ in range(4):
                closure()
                optimizer.step(closure if name == "lbfgs" else None)
                assert not any(
                    isinstance(v, FactoredGradient) for s in optimizer.state.values() for v in s.values()
                )

        told.append([m for m in warnings_in(train) if "analog" in m])
    close(weights(digital), weights(analog))
    assert told[0] == []
    (message,) = told[1]
    assert "trains analog weights digitally, without pulses" in message
    assert "ohmgrad.AnalogSGD" in message


def test_a_torch_optimizer_beside_an_analog_one_is_not_warned_about() -> None:
    model = network()
    analog = AnalogSGD([layer.weight for _, layer in analog_layers(model)], lr=0.1)
    rest = torch.optim.AdamW([p for n, p in model.named_parameters() if "bias" in n], 1e-3)

    def train() -> None:
        for _ in range(3):
            model.zero_grad()
            loss_of(model).backward()
            analog.step()
            rest.step()

    assert warnings_in(train) == []
    assert analog.events()["pulses_up"] > 0


def test_two_optimizers_of_one_weight_do_not_train_it_twice_in_silence() -> None:
    model = network()
    analog, digital = AnalogSGD(model.parameters(), lr=0.1), torch.optim.Adam(model.parameters(), 1e-3)
    loss_of(model).backward()
    assert any("trains analog weights digitally" in m for m in warnings_in(digital.step))
    with pytest.raises(InputError, match="was changed as a matrix"):
        analog.step()


def test_an_optimizer_that_holds_an_analog_one_leaves_it_the_factors() -> None:
    """By whatever name: accelerate's is `optimizer`, that of a sharpness-aware one `base_optimizer`."""

    class Holding(torch.optim.Optimizer):
        def __init__(self, held: torch.optim.Optimizer) -> None:
            super().__init__(held.param_groups, {})
            self.base_optimizer = held

        def step(self, closure: Any = None) -> Any:
            return self.base_optimizer.step(closure)

    model = network()
    optimizer = Holding(AnalogSGD(model.parameters(), lr=0.1))
    before = weights(model)
    loss_of(model).backward()
    assert not warnings_in(optimizer.step)
    assert not all(map(torch.equal, before, weights(model)))


def test_a_graph_does_not_capture_what_the_host_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a graph is captured, as this pretends, algorithms that take columns in turn refuse a step."""
    monkeypatch.setattr(surroundings, "capturing", lambda p: True)
    for make, message in (
        (lambda p: AnalogSGD(p, lr=0.1), None),
        (lambda p: TikiTaka(p, lr=0.1, fast_lr=0.1), "TikiTaka counts its steps on the host"),
    ):
        model = network()
        optimizer = make(model.parameters())
        loss_of(model).backward()
        before = weights(model)
        with nullcontext() if message is None else pytest.raises(InputError, match=message):
            optimizer.step()
        assert all(torch.equal(a, b) for a, b in zip(weights(model), before, strict=True)) == bool(message)
