"""Mixed precision."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ohmgrad import TikiTaka

from . import Group, X, beside_torch, ideal, loss_of, mlp, parameters, real, same, trained

group = Group("Mixed precision")


@group.works("`GradScaler`, with `unscale_` and clipping")
def scaler() -> None:
    def train(model: Any, sgd: Any) -> None:
        optimizer, scaler = sgd(model.parameters()), torch.amp.GradScaler("cpu", init_scale=1024.0)
        for _ in range(3):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(trained(model), 0.05)
            scaler.step(optimizer)
            scaler.update()

    beside_torch(train)


@group.works("`GradScaler` skips a step with infinities or NaN; no pulse is sent")
def skipped() -> None:
    model = real()
    optimizer, scaler = (
        TikiTaka(model.parameters(), 0.2, fast_lr=0.1),
        torch.amp.GradScaler("cpu", init_scale=8.0),
    )
    before = parameters(model)
    scaler.scale(loss_of(model) * float("inf")).backward()
    scaler.step(optimizer)
    scaler.update()
    assert all(map(torch.equal, before, parameters(model)))
    assert optimizer.events()["pulses_up"] == optimizer.events()["pulses_down"] == 0
    assert scaler.get_scale() == 4.0


@group.works("`torch.autocast` with bfloat16 or float16", "analog layers compute in float32, as elements do")
def autocast() -> None:
    for dtype in (torch.bfloat16, torch.float16):
        model = real(exclude=["0"])
        optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
        with torch.autocast("cpu", dtype=dtype):
            hidden = model[:2](X)
            y = model[2](hidden)
        assert (hidden.dtype, y.dtype) == (dtype, torch.float32)
        assert torch.equal(y, model[2](hidden.float()))
        y.sum().backward()
        same(model[2].weight.grad.to_dense(), hidden.float().sum(0).expand(3, 5))
        optimizer.step()
        assert optimizer.events()["pulses_up"] > 0


def cast(to: Any, x: Any = X) -> None:
    to(ideal(mlp()))(x)


REFUSAL = (
    "input is {}, but crossbars compute in torch.float32: keep model and input in float32, and use "
    "torch.autocast for mixed precision"
)


@group.refused(
    "`convert` of a model of float16, bfloat16 or float64, or under `torch.set_default_dtype`",
    "weights are torch.float64, contiguous, but analog weights are contiguous float32: call model.float() "
    "before converting",
)
def converted_double() -> None:
    ideal(mlp().double())


@group.refused("`model.half()`, with inputs of float16", REFUSAL.format("torch.float16"))
def half() -> None:
    cast(lambda model: model.half(), X.half())


@group.refused("`model.to(torch.bfloat16)`", REFUSAL.format("torch.bfloat16"))
def bfloat16() -> None:
    cast(lambda model: model.to(torch.bfloat16), X.bfloat16())


@group.refused("`model.double()`, inputs of float64", REFUSAL.format("torch.float64"))
def double() -> None:
    cast(lambda model: model.double(), X.double())
