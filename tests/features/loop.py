"""The training loop."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ohmgrad import AnalogSGD

from . import Group, X, Y, beside_torch, loss_of, mlp, parameters, real, step, trained

group = Group("The loop")


@group.works("`zero_grad()` of the optimizer or the model, with `set_to_none` either way")
def zero_grad() -> None:
    for of_model in (False, True):
        for to_none in (False, True):

            def train(model: Any, sgd: Any, of_model: bool = of_model, to_none: bool = to_none) -> None:
                optimizer = sgd(model.parameters())
                for _ in range(3):
                    loss_of(model, X + 1).backward()  # forgotten
                    (model if of_model else optimizer).zero_grad(set_to_none=to_none)
                    loss_of(model).backward()
                    optimizer.step()

            beside_torch(train)


@group.works(
    "a step without `zero_grad()` before the next",
    "a step uses the gradients of analog weights up and leaves None, so that no gradient acts twice; those "
    "of digital parameters add up, as in torch",
)
def never_zeroed() -> None:
    model = real()
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    loss_of(model).backward()
    optimizer.step()
    before = [p.detach().clone() for p in trained(model) if p.grad is None]
    digital = [p for p in model.parameters() if p.grad is not None]
    kept = [p.detach().clone() for p in digital]
    optimizer.step()
    assert before
    assert all(map(torch.equal, before, [p for p in trained(model) if p.grad is None]))
    assert digital
    assert not any(map(torch.equal, kept, digital))


@group.works("gradient accumulation over several backward passes")
def accumulation() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer = sgd(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            for x, y in zip(X.chunk(4), Y.chunk(4), strict=True):
                (loss_of(model, x, y) / 4).backward()
            optimizer.step()

    beside_torch(train)


@group.works("`step(closure)`")
def closure() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters())

        def loss() -> Any:
            optimizer.zero_grad()
            value = loss_of(model)
            value.backward()
            return value

        return [optimizer.step(loss).item() for _ in range(3)]

    beside_torch(train)


@group.works("parameter groups with rates of their own, `add_param_group`")
def groups() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd([{"params": trained(model[0]), "lr": 0.1}])
        losses = [step(model, optimizer)]
        optimizer.add_param_group({"params": trained(model[2])})
        return losses + [step(model, optimizer) for _ in range(2)]

    beside_torch(train)


@group.works("several optimizers, analog and torch's, each for parameters of its own")
def optimizers() -> None:
    def train(model: Any, sgd: Any) -> None:
        every = [sgd([model[0].weight]), sgd([model[2].weight])]
        every.append(torch.optim.SGD([model[0].bias, model[2].bias], 0.1, momentum=0.9))
        for _ in range(3):
            model.zero_grad()
            loss_of(model).backward()
            for optimizer in every:
                optimizer.step()

    beside_torch(train)


@group.works("several losses on one graph, `retain_graph=True`")
def retain_graph() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer = sgd(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            y = model(X)
            nn.functional.cross_entropy(y, Y).backward(retain_graph=True)
            y.square().mean().backward()
            optimizer.step()

    beside_torch(train)


@group.works("`torch.autograd.grad`, its result put into `.grad`")
def autograd_grad() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer, params = sgd(model.parameters()), trained(model)
        for _ in range(3):
            for p, g in zip(params, torch.autograd.grad(loss_of(model), params), strict=True):
                p.grad = g
            optimizer.step()

    beside_torch(train)


@group.works("`torch.no_grad`, `torch.inference_mode`: passes and steps inside")
def inference() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer, seen = sgd(model.parameters()), []
        for _ in range(3):
            with torch.no_grad():
                seen.append(loss_of(model).item())
            with torch.inference_mode():
                seen.append(loss_of(model).item())
            loss_of(model).backward()
            with torch.inference_mode():
                optimizer.step()
                optimizer.zero_grad()
        return seen

    beside_torch(train)


@group.works("`train()` and `eval()`, with dropout and batch norm between analog layers")
def modes() -> None:
    def make() -> Any:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 5), nn.BatchNorm1d(5), nn.Dropout(0.3), nn.Linear(5, 3))

    def train(model: Any, sgd: Any) -> Any:
        optimizer = sgd(model.parameters())
        torch.manual_seed(1)
        losses = [step(model, optimizer) for _ in range(3)]
        return torch.tensor(losses), model.eval()(X).detach()

    beside_torch(train, make)


@group.works("a layer called several times in a pass")
def twice() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer = sgd(model.parameters())
        for _ in range(3):
            optimizer.zero_grad()
            (loss_of(model) + loss_of(model, -X)).backward()
            optimizer.step()

    beside_torch(train)


@group.works("`register_step_pre_hook`, `register_step_post_hook` of an optimizer")
def step_hooks() -> None:
    model, called = real(), []
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(lambda *_: called.append("before"))
    optimizer.register_step_post_hook(lambda *_: called.append("after"))
    step(model, optimizer)
    assert called == ["before", "after"]


@group.refused(
    "NaN or infinities without a `GradScaler`: the layer that meets them is not pulsed",
    "x has the value nan at sample 0, line 0, but must be finite: the training has diverged (lower the "
    "learning rate) or the data has gaps",
)
def not_finite() -> None:
    model, x = real(), X.clone()
    x[0, 0] = float("nan")
    optimizer, before = AnalogSGD(model.parameters(), lr=0.1), parameters(model)
    loss_of(model, x).backward()
    try:
        optimizer.step()
    finally:
        assert all(map(torch.equal, before, parameters(model)))


@group.works("a step inside the backward pass, by `register_post_accumulate_grad_hook`")
def in_backward() -> None:
    def train(model: Any, sgd: Any) -> None:
        def stepping(optimizer: Any) -> Any:
            def hook(_: Any) -> None:
                optimizer.step()
                optimizer.zero_grad()

            return hook

        for layer in (model[0], model[2]):
            layer.weight.register_post_accumulate_grad_hook(stepping(sgd([layer.weight])))
        for _ in range(3):
            loss_of(model).backward()

    beside_torch(train)


@group.works("gradients that several backward passes leave behind without a step", "a warning after 64")
def piling_up() -> None:
    model = real()
    for _ in range(63):
        loss_of(model).backward()
    with pytest.warns(UserWarning, match="gradients of 64 backward passes wait for a step"):
        loss_of(model).backward()


@group.refused(
    "an optimizer for a digital model",
    "no parameter is analog: convert the model first, model = ohmgrad.convert(model, device), and give the "
    "optimizer the converted model's parameters",
)
def digital() -> None:
    AnalogSGD(mlp().parameters(), lr=0.1)
