"""torch.compile of analog layers: one graph, the numbers of the uncompiled model, nothing compiled twice."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from ohmgrad import NOISY_PERIPHERY, Device, InputError, Noise, SoftBounds, Spread, TikiTaka, convert
from ohmgrad.crossbar.gradient import FactoredGradient

DEVICE = Device(SoftBounds.symmetric(0.6), 0.001, Spread(dw_min=0.3), Noise(0.3))
X = torch.linspace(-1, 1, 4 * 36).sin()


class First(nn.Module):
    """The output sequence of a layer that gives more."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(*inputs)[0]


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (X.view(-1, 6),)),
    "conv": (
        lambda: nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Tanh(), nn.Conv2d(2, 4, 3, groups=2)),
        (X.view(4, 1, 6, 6),),
    ),
    "lstm": (lambda: First(nn.LSTM(6, 3, batch_first=True)), (X.view(4, 6, 6),)),
    "attention": (lambda: First(nn.MultiheadAttention(6, 2)), (X.view(4, 6, 6),) * 3),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "perfect": {},
    "noisy, split": {"periphery": NOISY_PERIPHERY, "max_tile": (4, 4)},
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def compiled(part: Any, **settings: Any) -> Any:
    return torch.compile(part, backend="aot_eager", **settings)


def made(name: str, how: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = convert(MODELS[name][0](), DEVICE, **SETTINGS[how])
    return model, TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1, gamma=0.5)


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("name", MODELS)
@torch._dynamo.config.patch(error_on_recompile=True)
def test_a_compiled_model_is_one_graph_and_trains_as_it_does_uncompiled(name: str, how: str) -> None:
    found = []
    for by_torch in (False, True):
        model, optimizer = made(name, how)
        run, step = model, optimizer.step
        if by_torch:
            run, step = compiled(model, fullgraph=True), compiled(optimizer.step)
        losses = []
        for _ in range(3):
            optimizer.zero_grad()
            loss = run(*MODELS[name][1]).square().mean()
            loss.backward()
            losses.append(loss.detach())
            step()
        found.append((losses, [p.detach() for p in model.parameters()], optimizer.events()))
    assert found[0][2] == found[1][2]
    assert found[0][2]["pulses_up"] > 0
    for a, b in zip([*found[0][0], *found[0][1]], [*found[1][0], *found[1][1]], strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)  # digital parts may sum in another order


def mlp() -> Any:
    torch.manual_seed(0)
    return convert(MODELS["linear"][0](), DEVICE)


def gradients(model: Any) -> list[Any]:
    return [None if p.grad is None else p.grad.to_dense() for p in model.parameters()]


def same(found: list[list[Any]]) -> None:
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-6)


def test_hooks_see_the_gradient_in_its_factors() -> None:
    """Those registered before and after the first compiled backward pass, and those after accumulation."""
    found, seen = [], []
    for by_torch in (False, True):
        model = mlp()
        run = compiled(model) if by_torch else model
        first, last = model[0].weight, model[2].weight
        first.register_hook(lambda g: g * 2)
        last.register_post_accumulate_grad_hook(lambda p: seen.append(p.grad.is_factored))
        for _ in range(2):
            run(X.view(-1, 6)).square().mean().backward()
            first.register_hook(lambda g: g * 3)
        assert first.grad.is_factored
        found.append(gradients(model))
    same(found)
    assert seen == [True] * 4


def test_gradients_that_no_weight_took_are_not_counted_later() -> None:
    model, x = mlp(), X.view(-1, 6).clone().requires_grad_()
    run, weights = compiled(model), [model[0].weight, model[2].weight]
    torch.autograd.grad(run(x).square().mean(), x)
    found = [torch.autograd.grad(f(x).square().mean(), weights) for f in (model, run)]
    assert all(isinstance(g, FactoredGradient) for g in found[1])
    same([[g.to_dense() for g in gs] for gs in found])


class Twice(nn.Module):
    """A layer that is called two times, the second time uncompiled if asked to."""

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)
        self.apart = apart

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.layer(x))
        if self.apart:
            torch._dynamo.graph_break()
        return torch.compiler.disable(self.layer)(x) if self.apart else self.layer(x)


def test_a_layer_that_is_called_twice_has_the_factors_of_both() -> None:
    found = []
    for by_torch in (False, True):
        torch.manual_seed(0)
        model: Any = convert(Twice(False), DEVICE)
        (compiled(model) if by_torch else model)(X.view(-1, 6)).square().mean().backward()
        assert len(model.layer.weight.grad.factors()[0][0]) == 2 * 24
        found.append(gradients(model))
    same(found)


def test_two_calls_with_one_input_are_two_readings() -> None:
    """torch takes equal calls for one, unless told otherwise."""
    layer = convert(nn.Linear(6, 6), DEVICE, periphery=NOISY_PERIPHERY)
    x = X.view(-1, 6)
    apart = compiled(lambda x: layer(x) - layer(x), fullgraph=True)(x)
    assert int((apart != 0).sum()) > 100  # of 144; the converter rounds some to the same
    assert layer.tiles[0].count("forward_vectors") == 2 * 24  # pyright: ignore


def test_a_layer_that_is_called_in_compiled_code_and_outside_in_one_pass_is_refused() -> None:
    model: Any = convert(Twice(True), DEVICE)
    with pytest.raises(InputError, match="compile all of the model, or none of it"):
        compiled(model)(X.view(-1, 6)).square().mean().backward()


def test_frozen_weights_get_no_gradient_and_cost_no_recompilation_of_others() -> None:
    model = mlp()
    model[0].weight.requires_grad_(False)
    model[2].out_scale.requires_grad_(False)
    found = []
    for run in (model, compiled(model)):
        model.zero_grad()
        run(X.view(-1, 6)).square().mean().backward()
        found.append(gradients(model))
    same(found)
    assert found[1][0] is None


def test_copies_find_their_own_weights() -> None:
    model = mlp()
    run = compiled(model)
    run(X.view(-1, 6)).sum().backward()
    twin = copy.deepcopy(model)
    with torch.no_grad():
        twin[0].weight.mul_(0.5)
    torch.testing.assert_close(compiled(twin)(X.view(-1, 6)), twin(X.view(-1, 6)))
    torch.testing.assert_close(run(X.view(-1, 6)), model(X.view(-1, 6)))
    assert not torch.allclose(twin(X.view(-1, 6)), model(X.view(-1, 6)))


def test_writes_are_seen_and_bounded() -> None:
    model = mlp()
    run = compiled(model)
    run(X.view(-1, 6))
    with torch.no_grad():
        model[0].weight.mul_(0.5)
    torch.testing.assert_close(run(X.view(-1, 6)), model(X.view(-1, 6)))
    model[2].weight.data.fill_(0.9)
    with pytest.raises(InputError, match=r"weight 0.9 is outside the device's range"):
        run(X.view(-1, 6))


def test_weights_of_a_functional_call_are_refused() -> None:
    model = mlp()
    given = {name: p.detach() * 0.5 for name, p in model.named_parameters()}
    run = compiled(lambda x: torch.func.functional_call(model, given, (x,)))
    with pytest.raises(InputError, match="with other weights than the analog layer's own"):
        run(X.view(-1, 6))


def test_autocast_and_activation_checkpoints_compile() -> None:
    class Checkpointed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return checkpoint(self.model, x, use_reentrant=False)  # pyright: ignore[reportReturnType]

    found = []
    for by_torch in (False, True):
        model, x = Checkpointed(), X.view(-1, 6).clone().requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = (compiled(model, fullgraph=True) if by_torch else model)(x).square().mean()
        loss.backward()
        found.append([*gradients(model), x.grad])
        assert model.model[0].tiles[0].count("forward_vectors") == 2 * 24
    same(found)


def test_twelve_blocks_compiled_one_by_one_are_compiled_twice() -> None:
    """Once for the first, whose input needs no gradient."""
    blocks: Any = convert(nn.Sequential(*(nn.Linear(6, 6) for _ in range(12))), DEVICE)
    torch._dynamo.utils.counters.clear()
    for block in blocks:
        block.compile(backend="aot_eager")
    blocks(X.view(-1, 6)).square().mean().backward()
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 2


@pytest.mark.parametrize("name", MODELS)
def test_an_export_is_refused_before_anything_is_counted(name: str) -> None:
    model, optimizer = made(name, "perfect")
    with pytest.raises(InputError, match=r"export ohmgrad\.to_digital\(model\)"):
        torch.export.export(model, MODELS[name][1])
    assert set(optimizer.events().values()) == {0}


def test_passes_of_several_threads_have_gradients_of_their_own() -> None:
    model, _ = made("linear", "perfect")
    call, (x,) = compiled(model), MODELS["linear"][1]
    weights = [model[0].weight, model[2].weight]
    once = torch.autograd.grad(call(x).sum(), weights)
    found: list[bool] = []

    def work() -> None:
        for _ in range(30):
            again = torch.autograd.grad(call(x).sum(), weights)
            found.append(
                all(torch.equal(a.to_dense(), b.to_dense()) for a, b in zip(once, again, strict=True))
            )

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    assert len(found) == 120
    assert all(found)


def test_a_periphery_set_after_compilation_is_not_passed_over() -> None:
    model, _ = made("conv", "perfect")
    call, (x,) = compiled(model), MODELS["conv"][1]
    assert torch.equal(call(x), call(x))
    for layer in (model[0], model[2]):
        for tile in layer.tiles:
            tile.periphery = NOISY_PERIPHERY
    with pytest.raises(InputError, match="call the layer once"):
        call(x)
    model(x)
    assert not torch.equal(call(x), call(x))
