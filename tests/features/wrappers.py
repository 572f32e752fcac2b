"""Wrappers, compilers, exporters."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.utils.checkpoint import checkpoint

from ohmgrad import NOISY_PERIPHERY, AnalogSGD, TikiTaka, to_digital

from . import Group, X, beside_torch, ideal, loss_of, mlp, real, same, step

group = Group("Compilers, exporters, transforms")


@group.works(
    "`torch.compile` of a model, with `fullgraph=True`",
    "one graph for all layers and any periphery, forward and backward, compiled once; products are operators "
    "in it, which run as uncompiled ones do. An input of a layer is copied once for its gradient. What it "
    "brings is in [compile.md](compile.md)",
)
def compiled_whole() -> None:
    found = []
    for by_torch in (False, True):
        torch._dynamo.reset()
        model = real()
        run = torch.compile(model, backend="aot_eager", fullgraph=True) if by_torch else model
        optimizer = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
        with torch._dynamo.config.patch(error_on_recompile=True):
            found.append(([step(run, optimizer) for _ in range(4)], optimizer.events()))
    same(found[1][0], found[0][0])
    assert found[1][1] == found[0][1]
    torch._dynamo.reset()


@group.works(
    "`torch.compile` of an optimizer's step, or of the whole loop",
    "steps of analog optimizers run as they are, between the compiled parts; torch refuses `fullgraph=True`",
)
def compiled() -> None:
    plain = real()
    optimizer = TikiTaka(plain.parameters(), lr=0.2, fast_lr=0.1)
    losses = [step(plain, optimizer) for _ in range(4)]
    for of_step in (False, True):
        torch._dynamo.reset()
        model = real()
        twin = TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1)
        if of_step:
            twin.step = torch.compile(twin.step, backend="aot_eager")
        else:
            model.compile(backend="aot_eager")
        assert [step(model, twin) for _ in range(4)] == losses
        assert twin.events() == optimizer.events()
    with pytest.raises(Exception, match="disable"):
        torch.compile(twin.step, backend="eager", fullgraph=True)()
    torch._dynamo.reset()


@group.refused(
    "an analog layer called in compiled code and outside of it, in one pass",
    "an analog layer was called in compiled code and outside of it in one pass, or its weight is in the loss "
    "by itself, as in a penalty: compile all of the model, or none of it",
)
def partly_compiled() -> None:
    model = ideal(nn.Linear(6, 6))
    torch.compile(model, backend="aot_eager")(model(X)).square().mean().backward()


@group.refused(
    "`torch.export`, ONNX of an analog model",
    "torch.export takes no analog layers: export ohmgrad.to_digital(model), the plain model that computes "
    "the same",
)
def export() -> None:
    torch.export.export(ideal(mlp()), (X,))


@group.works("`torch.export`, ONNX, TorchScript, `torch.fx`, quantization of `to_digital(model)`")
def exported() -> None:
    model = real()
    step(model, TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1))
    plain, wanted = to_digital(model).eval(), model(X).detach()
    for made in (
        torch.export.export(plain, (X,)).module(),
        torch.jit.trace(plain, X),
        torch.jit.script(plain),
        torch.fx.symbolic_trace(plain),
    ):
        same(made(X).detach(), wanted)
    quantized = torch.ao.quantization.quantize_dynamic(plain, {nn.Linear})
    same(quantized(X).detach(), wanted, atol=0.02)
    pytest.importorskip("onnxscript")  # which not everyone has
    file = io.BytesIO()
    torch.onnx.export(plain, (X,), file, dynamo=True, verbose=False)
    assert len(file.getvalue()) > 100


@group.works(
    "`torch.ao.quantization` of an analog model",
    "analog layers are left as they are; quantize `to_digital(model)`",
)
def quantized() -> None:
    model = ideal(mlp())
    twin = torch.ao.quantization.quantize_dynamic(model, {nn.Linear})
    assert repr(twin) == repr(model)
    same(twin(X).detach(), model(X).detach())


@group.works(
    "`torch.jit.trace`, TensorBoard's `add_graph`",
    "the trace calls the analog layers, also as they learn; it cannot be saved: trace `to_digital(model)`",
)
def traced() -> None:
    model = real(periphery=NOISY_PERIPHERY)
    trace = torch.jit.trace(model, X, check_trace=False)
    mean = torch.stack([trace(X[:3]).detach() - model(X[:3]).detach() for _ in range(400)])
    error = mean.std(0) / 20
    assert float(mean.std()) > 1e-3  # noise of its own in every call
    assert bool((mean.mean(0).abs() < 5 * error).all())  # 9 means of 400
    step(model, TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1))
    plain = ideal(mlp())
    trace = torch.jit.trace(plain, X)
    step(plain, AnalogSGD(plain.parameters(), lr=0.5))
    same(trace(X).detach(), plain(X).detach())
    with pytest.raises(RuntimeError, match="Could not export Python function call"):
        torch.jit.save(trace, io.BytesIO())


@group.refused("`torch.jit.script`", "Unknown type annotation: 'nn.Parameter'...", error=ValueError)
def scripted() -> None:
    torch.jit.script(ideal(mlp()))


@group.refused(
    "`torch.fx.symbolic_trace`",
    "symbolically traced variables cannot be used as inputs to control flow",
    error=torch.fx.proxy.TraceError,
)
def fx() -> None:
    torch.fx.symbolic_trace(ideal(mlp()))


@group.works(
    "`torch.func.functional_call` with the model's own or other weights",
    "other weights are written to the elements, and the own ones back: with write noise, two noisy writes",
)
def functional() -> None:
    analog, digital = ideal(mlp()), mlp()
    found = []
    for model in (digital, analog):
        params: dict[str, Any] = {
            n: p.detach() * 0.5 for n, p in model.named_parameters() if "out_scale" not in n
        }
        for p in params.values():
            p.requires_grad_()
        y = functional_call(model, params, (X,))
        y.square().mean().backward()
        found.append((y.detach(), [p.grad.to_dense() for p in params.values()]))
    same(found[1], found[0])
    same(analog(X), digital(X))  # its own weights are there again
    a = step(analog, AnalogSGD(analog.parameters(), lr=0.5))
    same(a, step(digital, torch.optim.SGD(digital.parameters(), lr=0.5)))
    same(analog(X), digital(X))


@group.refused(
    "`torch.func.grad`, `vmap`, `jacrev`, per-sample gradients",
    "In order to use an autograd.Function with functorch transforms (vmap, grad, jvp, jacrev, ...), it must "
    "override the setup_context staticmethod...",
    error=RuntimeError,
)
def functorch() -> None:
    torch.func.jacrev(ideal(mlp()))(X[0])


@group.works("`torch.autograd.functional.jacobian` and `vjp`")
def jacobian() -> None:
    found = []
    for model in (mlp(), ideal(mlp())):
        jacobian: Any = torch.autograd.functional.jacobian(model, X[0])
        found.append((jacobian, torch.autograd.functional.vjp(model, X[0], torch.ones(3))[1]))
    same(found[1], found[0])


@group.works(
    "`torch.utils.checkpoint`, reentrant or not",
    "products are done a second time in the backward pass; through a noisy periphery with a second reading's "
    "noise, and they are counted twice",
)
def checkpointing() -> None:
    for reentrant in (False, True):

        def train(model: Any, sgd: Any, reentrant: bool = reentrant) -> None:
            optimizer, x = sgd(model.parameters()), X.clone().requires_grad_()
            for _ in range(3):
                optimizer.zero_grad()
                loss_of(lambda x: checkpoint(model, x, use_reentrant=reentrant), x).backward()  # pyright: ignore
                optimizer.step()

        beside_torch(train)
        model = real(periphery=NOISY_PERIPHERY)
        y: Any = checkpoint(model, X.clone().requires_grad_(), use_reentrant=reentrant)
        y.sum().backward()
        assert model[0].tiles[0].count("forward_vectors") == 2 * len(X)


@group.works("`torch.autograd.graph.save_on_cpu`, `detect_anomaly`, `torch.profiler`")
def watched() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer, losses = sgd(model.parameters()), []
        for context in (
            torch.autograd.graph.save_on_cpu(),
            torch.autograd.detect_anomaly(check_nan=True),
            torch.profiler.profile(),
        ):
            with context:
                losses.append(step(model, optimizer))
        return losses

    beside_torch(train)
