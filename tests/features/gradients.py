"""What a script does to gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import AnalogMomentum, AnalogSGD, GradientCounts

from . import Group, X, beside_torch, ideal, loss_of, mlp, parameters, same, step, trained

group = Group("The gradient")

#: of a network that an algorithm pulses from factors
MATRIX = (
    "the gradient of an analog weight, (5, 6), was changed as a matrix, and AnalogSGD pulses from its "
    "factors: scale it by numbers only, hold weights with ohmgrad.hold(layer, mask), or train with "
    "MixedPrecision, GradientCounts or AnalogMomentum, which take a matrix"
)
#: whole pulses of 1e-4: a rounding of each of three steps
PULSES = 3.1e-4


def between(work: Callable[[list[nn.Parameter]], Any]) -> Callable[[Any, Any], Any]:
    """A loop that does something between backward and step."""

    def train(model: Any, sgd: Any) -> list[Any]:
        optimizer, found = sgd(model.parameters()), []
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            found.append(work(trained(model)))
            optimizer.step()
        return found if found[0] is not None else []

    return train


def each(work: Callable[[Any], Any]) -> Callable[[list[nn.Parameter]], Any]:
    """What is done to every gradient; a result takes its place."""

    def on(params: list[nn.Parameter]) -> None:
        for p in params:
            if (made := work(p.grad)) is not None:
                p.grad = made

    return on


def times_half(g: Any) -> None:
    g *= 0.5


def over_two(g: Any) -> None:
    g /= 2


@group.works("`clip_grad_norm_`, with any norm, `get_total_norm`")
def clip_norm() -> None:
    for order in (2.0, 1.0, float("inf")):
        beside_torch(between(lambda params, order=order: nn.utils.clip_grad_norm_(params, 0.05, order)))
    beside_torch(between(lambda params: nn.utils.get_total_norm([p.grad for p in params])))  # pyright: ignore


@group.refused("`clip_grad_value_`, with an algorithm that pulses from factors", MATRIX)
def clip_value() -> None:
    between(lambda params: nn.utils.clip_grad_value_(params, 0.005))(
        model := ideal(mlp()), lambda _: AnalogSGD(model.parameters(), lr=0.5)
    )


@group.works(
    "`clip_grad_value_`, masks, noise, centring, `p.grad.add_(p, alpha=...)`, with `AnalogMomentum`, "
    "`GradientCounts` or `MixedPrecision`"
)
def matrices() -> None:
    mask = (torch.arange(6) % 2).float()
    works: list[Callable[[list[nn.Parameter]], Any]] = [
        lambda params: nn.utils.clip_grad_value_(params, 0.005),
        each(lambda g: g.mul_(mask) if g.shape == (5, 6) else None),
        each(lambda g: g.add_(torch.linspace(-1, 1, g.numel()).view(g.shape) * 0.01)),
        each(lambda g: g - g.mean()),
        lambda params: [p.grad.add_(p, alpha=0.01) for p in params if p.grad is not None] and None,
    ]
    for work in works:
        beside_torch(between(work), optimizer=GradientCounts, atol=PULSES)
        beside_torch(between(work), optimizer=lambda p, lr: AnalogMomentum(p, lr, momentum=0.0), atol=PULSES)


@group.works("hooks that scale: `register_hook`, `register_post_accumulate_grad_hook`")
def scaling_hooks() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters())
        for p in trained(model):
            p.register_hook(lambda g: g * 0.5)
            p.register_post_accumulate_grad_hook(lambda p: times_half(p.grad))
        return [step(model, optimizer) for _ in range(3)]

    beside_torch(train)


@group.refused("a mask in a hook, with an algorithm that pulses from factors", MATRIX)
def mask_hook() -> None:
    model = ideal(mlp())
    model[0].weight.register_hook(lambda g: g * (torch.arange(6) % 2))
    step(model, AnalogSGD(model.parameters(), lr=0.1))


@group.works("module hooks that change inputs, outputs and their gradients")
def module_hooks() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters())
        model[0].register_forward_pre_hook(lambda _, inputs: (inputs[0] * 0.9,))
        model[0].register_forward_hook(lambda _, inputs, y: y + 0.1)
        model[2].register_full_backward_hook(lambda _, grads, __: (grads[0] * 0.5,))
        return [step(model, optimizer) for _ in range(3)]

    beside_torch(train)


@group.works("`p.grad` times or divided by numbers, in place, through `.data`, replaced, negated")
def arithmetic() -> None:
    for work in (
        times_half,
        over_two,
        lambda g: times_half(g.data),
        lambda g: setattr(g, "data", g.data / 2),
        lambda g: g.div_(torch.tensor(3.0)),
        lambda g: -g,
        lambda g: g.detach().clone() * 2,
    ):
        beside_torch(between(each(work)))


@group.refused(
    "an input written to between backward and step, as a buffer that is filled anew",
    "an input of an analog layer, (8, 6), was written to between backward() and step(), and pulses are made "
    "from it: step first, or give the layer a clone()",
)
def input_written() -> None:
    model, buffer = ideal(mlp()), X.clone()
    optimizer, before = AnalogSGD(model.parameters(), lr=0.1), parameters(model)
    loss_of(model, buffer).backward()
    buffer.zero_()
    try:
        optimizer.step()
    finally:
        assert all(map(torch.equal, before, parameters(model)))


@group.works("`p.grad` looked at before the step: norms, means, histograms, NaN checks, `view`, `cat`")
def looked_at() -> None:
    def look(params: list[nn.Parameter]) -> Tensor:
        grads: list[Any] = [p.grad for p in params]
        flat = torch.cat([g.view(-1) for g in grads])
        norms = [g.norm() for g in grads] + [g.abs().mean() for g in grads] + [g.data.norm(1) for g in grads]
        assert not any(torch.isnan(g).any() for g in grads)
        return torch.cat([flat, torch.stack(norms), torch.histc(grads[0], 4, -1, 1)])

    beside_torch(between(look))

    def train(model: Any, sgd: Any) -> Any:
        optimizer = sgd(model.parameters())
        for _ in range(2):
            loss_of(model).backward()
            look(trained(model))
        optimizer.step()  # with both

    beside_torch(train)


@group.works("two steps of sharpness-aware minimization (SAM)")
def sam() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer, params = sgd(model.parameters()), trained(model)
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(model).backward()
            grads: list[Any] = [p.grad for p in params]
            scale = 0.05 / torch.stack([g.norm() for g in grads]).norm()
            moves = [g * scale for g in grads]
            with torch.no_grad():
                for p, e in zip(params, moves, strict=True):
                    p.add_(e)
                optimizer.zero_grad()
            loss_of(model).backward()
            with torch.no_grad():
                for p, e in zip(params, moves, strict=True):
                    p.sub_(e)
            optimizer.step()

    beside_torch(train)


@group.refused(
    "second derivatives: a gradient penalty, Hessians",
    "analog layers have no second derivatives: pass create_graph=False, or keep the layers that the gradient "
    "penalty goes through digital",
)
def penalty() -> None:
    model, x = ideal(mlp()), X.clone().requires_grad_()
    (g,) = torch.autograd.grad(model(x).square().sum(), x, create_graph=True)
    g.square().sum().backward()


@group.works(
    "`torch.optim.Adam`, `AdamW`, `LBFGS`, ... on analog weights",
    "they train the weights digitally, without a pulse, as they do a digital model; a warning says so at the "
    "first step",
)
def other_optimizers() -> None:
    made: list[Callable[[Any], Any]] = [
        lambda p: torch.optim.AdamW(p, 0.01), lambda p: torch.optim.SGD(p, 0.1, momentum=0.9, nesterov=True),
    ]  # fmt: skip
    for make in made:
        digital, analog = mlp(), ideal(mlp())
        a, b = make(digital.parameters()), make(trained(analog))
        with pytest.warns(UserWarning, match="trains analog weights digitally, without pulses"):
            step(analog, b)
        step(digital, a)
        same([step(analog, b) for _ in range(3)], [step(digital, a) for _ in range(3)])


@group.works(
    "`p -= lr * p.grad` by hand under `no_grad`, or through `.data`",
    "a digital write of the weights: it takes no pulses",
)
def by_hand() -> None:
    def train(model: Any, sgd: Any) -> None:
        for through_data in (False, True):
            for _ in range(2):
                model.zero_grad()
                loss_of(model).backward()
                with torch.no_grad():
                    for p in trained(model):
                        (p.data if through_data else p).sub_(0.5 * p.grad)  # pyright: ignore

    beside_torch(train)


@group.works(
    "`momentum`, `weight_decay`, `nesterov`, `dampening` of an analog optimizer",
    "they are for biases and other digital parameters; `AnalogMomentum` has momentum for analog weights too. "
    "`weight_decay` in a group of analog weights alone gives a warning",
)
def momentum() -> None:
    options = {"momentum": 0.9, "nesterov": True}

    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters(), lr=0.2, **options)
        return [step(model, optimizer) for _ in range(3)]

    beside_torch(train, optimizer=AnalogMomentum, atol=PULSES)
    model, digital = ideal(mlp()), mlp()
    optimizer = AnalogSGD(model.parameters(), 0.5, momentum=0.9, weight_decay=0.1)
    biases = [digital[0].bias, digital[2].bias]
    twin = torch.optim.SGD([digital[0].weight, digital[2].weight], 0.5)
    rest = torch.optim.SGD(biases, 0.5, momentum=0.9, weight_decay=0.1)
    for _ in range(3):
        step(model, optimizer)
        rest.zero_grad()
        step(digital, twin)
        rest.step()
    same([model[0].bias, model[2].bias, model[0].weight], [*biases, digital[0].weight])
    with pytest.warns(UserWarning, match="weight_decay decays digital parameters only"):
        AnalogSGD([model[0].weight], lr=0.1, weight_decay=0.1)
