"""The gradient of an analog weight: each operation gives what the matrix gives, and most keep the factors."""

from __future__ import annotations

import copy
import gc
import pickle
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import AnalogLinear, ConstantStep, Device, InputError, SoftBounds, convert
from ohmgrad.crossbar.gradient import MANY_PASSES, FactoredGradient
from ohmgrad.nn import analog_layers

ALIKE = Device(SoftBounds.symmetric(0.6))
X = torch.linspace(-1, 1, 4 * 2 * 25).view(4, 2, 5, 5).sin()

#: layers whose gradients come from one tile, from blocks, from groups of patches, and an input of each
LAYERS: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, Any]]] = {
    "linear": (lambda: nn.Linear(6, 4), X.view(-1, 50)[:, :6], {}),
    "long": (lambda: nn.Linear(3, 2), X.reshape(-1, 2)[:, :1].expand(-1, 3) + torch.arange(3), {}),
    "split": (lambda: nn.Linear(6, 5), X.view(-1, 50)[:, :6], {"max_tile": (2, 4)}),
    "conv": (lambda: nn.Conv2d(2, 4, 3, groups=2, padding=1), X, {}),
    "split conv": (lambda: nn.Conv2d(2, 4, 3), X, {"max_tile": (3, 7)}),
}


def gradient_of(name: str, passes: int = 1) -> tuple[FactoredGradient, Tensor]:
    """The gradient of a layer's analog weight after so many backward passes, and autograd's matrix."""
    make, x, settings = LAYERS[name]
    torch.manual_seed(5)
    digital = make()
    layer: Any = convert(digital, Device(ConstantStep(-5, 5)), **settings)
    for i in range(passes):
        for m in (digital, layer):
            y = m(x + i)
            (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum().backward()
    wanted: Any = digital.weight.grad
    assert isinstance(layer.weight.grad, FactoredGradient)
    return layer.weight.grad, wanted


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


#: what is done to a gradient of matrix g, and whether the result has factors
OPERATIONS: dict[str, tuple[Callable[[Tensor], Tensor], bool]] = {
    "itself": (lambda g: g, True),
    "g + g": (lambda g: g + g, True),
    "add itself in place": (lambda g: g.add_(g.clone()), True),
    "2 g": (lambda g: 2 * g, True),
    "g times a 0-d tensor": (lambda g: g * torch.tensor(0.3), True),
    "g times a tensor of one number": (lambda g: g * torch.tensor([0.3]), True),
    "div_ by a tensor of one number": (lambda g: g.div_(torch.tensor([3.0])), True),
    "g / 3": (lambda g: g / 3, True),
    "-g": (lambda g: -g, True),
    "mul_": (lambda g: g.mul_(0.5), True),
    "div_": (lambda g: g.div_(torch.tensor(3.0)), True),
    "zero_": (lambda g: g.zero_(), True),
    "detach": (lambda g: g.detach(), True),
    "clone": (lambda g: g.clone(), True),
    "deepcopy": (copy.deepcopy, True),
    "data": (lambda g: g.data, True),
    "view of the same shape": (lambda g: g.view_as(g), True),
    "looked at, then added to": (lambda g: (g.view(-1), g.add_(g.clone()))[1], True),
    "shared memory": (lambda g: g.share_memory_(), True),
    "g + matrix": (lambda g: g + torch.ones(g.shape), False),
    "g - g/2": (lambda g: g - g / 2, False),
    "g + 2 g by alpha": (lambda g: torch.add(g, g.clone(), alpha=2), False),
    "g * mask": (lambda g: g * (torch.arange(g.numel()).view(g.shape) % 2), False),
    "g / matrix": (lambda g: g / (1 + torch.ones(g.shape)), False),
    "abs": (lambda g: g.abs(), False),
    "sign": (lambda g: torch.sign(g), False),
    "row": (lambda g: g[1], False),
    "flat": (lambda g: g.flatten(), False),
    "transposed": (lambda g: g.transpose(0, 1), False),
    "sum": (lambda g: g.sum(), False),
    "max": (lambda g: g.abs().max(), False),
    "norm": (lambda g: g.norm(), False),
    "vector norm": (lambda g: torch.linalg.vector_norm(g), False),
    "1-norm": (lambda g: g.norm(1), False),
    "infinity norm": (lambda g: torch.linalg.vector_norm(g, float("inf")), False),
    "norm of rows": (lambda g: g.flatten(1).norm(dim=1), False),
    "product": (lambda g: g.flatten(1).t() @ g.flatten(1), False),
    "isfinite": (lambda g: torch.isfinite(g).all(), False),
    "where": (lambda g: torch.where(g > 0, g, 0.0), False),
    "stack": (lambda g: torch.stack([g, g]), False),
    "zeros_like": (lambda g: torch.zeros_like(g), False),
    "double": (lambda g: g.double().float(), False),
    "numpy": (lambda g: torch.from_numpy(g.numpy()), False),
    "list": (lambda g: torch.tensor(g.tolist()), False),
    "pickle": (lambda g: pickle.loads(pickle.dumps(g)), False),
    "to_dense": (lambda g: g.to_dense(), False),
    "dlpack": (lambda g: torch.from_dlpack(g), False),
    "storage": (lambda g: torch.empty(0).set_(g.untyped_storage()).view(g.shape), False),
    "deepcopy of a changed one": (lambda g: copy.deepcopy(g.clamp_(-0.2, 0.1)), False),
    "foreach mul_": (lambda g: (torch._foreach_mul_([g, torch.ones(2)], 0.5), g)[1], True),
    "foreach addcmul_": (lambda g: (torch._foreach_addcmul_([g], [g], [g], 0.5), g)[1], False),
    "foreach pow": (lambda g: torch._foreach_pow([g], 2.0)[0], False),
    "data set to itself times a number": (lambda g: (setattr(g, "data", g.data * 0.5), g)[1], True),
    "data set to a matrix": (lambda g: (setattr(g, "data", torch.ones(g.shape)), g)[1], False),
    "foreach norm": (lambda g: torch._foreach_norm([g, torch.ones(2)])[0], False),
    "clamp_": (lambda g: g.clamp_(-0.2, 0.1), False),
    "index written": (lambda g: g.index_fill_(0, torch.tensor([1]), 7.0), False),
    "matrix copied in": (lambda g: g.copy_(torch.ones(g.shape)), False),
    "matrix added in place": (lambda g: g.add_(torch.ones(g.shape)), False),
    "masked_fill_": (lambda g: g.masked_fill_(g > 0, 0.0), False),
}


@pytest.mark.parametrize("passes", [1, 3])
@pytest.mark.parametrize("name", LAYERS)
def test_every_operation_gives_what_the_matrix_gives(name: str, passes: int) -> None:
    for what, (work, keeps) in OPERATIONS.items():
        gradient, wanted = gradient_of(name, passes)
        got = work(gradient)
        close(got.to_dense(), work(wanted))
        assert (isinstance(got, FactoredGradient) and got.is_factored) is keeps, what


@pytest.mark.parametrize("name", LAYERS)
def test_autocast_leaves_the_matrix_as_it_is(name: str) -> None:
    for use in (
        lambda g: g.to_dense(),
        lambda g: torch.from_dlpack(g),
        lambda g: g * 1.0,
        lambda g: g.norm(),
    ):
        wanted, gradient = use(gradient_of(name)[0]), gradient_of(name)[0]
        with torch.autocast("cpu"):
            assert torch.equal(use(gradient), wanted)


@pytest.mark.parametrize("name", LAYERS)
def test_factors_are_those_of_all_passes_in_order(name: str) -> None:
    one, _ = gradient_of(name)
    gradient, wanted = gradient_of(name, passes=2)
    total = torch.zeros_like(wanted).flatten(1)
    parts = gradient._store.passes[0].parts(gradient._store.passes[0].x, gradient._store.passes[0].d)
    for part, (x, d), (first_x, first_d) in zip(parts, gradient.factors(), one.factors(), strict=True):
        assert torch.equal(x[: len(first_x)], first_x)
        assert torch.equal(d[: len(first_d)], first_d)
        total[part.block or slice(None)] += d.t() @ x
    close(total.view_as(wanted), wanted)


def test_the_norm_is_right_where_terms_cancel() -> None:
    """Pairs of samples that all but cancel: the Gram matrices are summed in float64."""
    g = torch.Generator().manual_seed(0)
    x, d = torch.randn(4, 300, generator=g), torch.randn(4, 200, generator=g)
    x, d = torch.cat([x, x * (1 + 1e-4)]), torch.cat([d, -d])
    gradient = FactoredGradient(torch.zeros(200, 300), x, d)
    exact = (d.double().t() @ x.double()).norm()
    assert abs(float(gradient.norm()) / float(exact) - 1) < 1e-5


# --- writes and aliases --------------------------------------------------------------------------


def test_data_that_is_set_is_shared_and_of_another_shape_refused() -> None:
    gradient, _ = gradient_of("linear")
    matrix = torch.ones(gradient.shape)
    gradient.data = matrix
    matrix.mul_(3)
    close(gradient.to_dense(), matrix)
    for other in (torch.ones(2), matrix.double()):
        with pytest.raises(InputError, match=r"set p\.grad itself"):
            gradient.data = other


@pytest.mark.parametrize("factor", [torch.tensor(0.5), torch.tensor([0.5])])
def test_a_scaler_unscales_by_one_number_of_either_shape(factor: Tensor) -> None:
    gradient, wanted = gradient_of("linear")
    torch._amp_foreach_non_finite_check_and_unscale_([gradient], torch.zeros(1), factor)
    close(gradient.to_dense(), wanted / 2)


#: a layer, its input, settings, and whether its gradient holds that input and no copy
INPUTS: dict[str, tuple[Callable[[], nn.Module], Tensor, dict[str, Any], bool]] = {
    "linear": (*LAYERS["linear"], True),
    "three dimensions": (lambda: nn.Linear(5, 4), X[0], {}, True),
    "split": (*LAYERS["split"], True),
    "conv": (lambda: nn.Conv2d(2, 4, 3), X, {}, True),
    "conv, no batch": (lambda: nn.Conv2d(2, 4, 3), X[0], {}, True),
    "padded conv": (*LAYERS["conv"], False),
    "split conv": (*LAYERS["split conv"], False),
}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", INPUTS)
def test_an_input_written_to_before_its_gradient_is_used_is_refused(name: str, learned: bool) -> None:
    """Factors hold the caller's own tensor, which a matrix would not need any more."""
    make, x, settings, held = INPUTS[name]
    layer: Any = convert(make(), Device(ConstantStep(-5, 5)), **settings)
    x = x.clone().requires_grad_(learned)
    layer(x).sum().backward()
    gradient = layer.weight.grad * 0.5
    wanted = gradient.to_dense()
    with torch.no_grad():
        x[0] = 0.0
    for use in (gradient.check_inputs, gradient.factors, gradient.to_dense, gradient.norm):
        if held:
            with pytest.raises(InputError, match=r"was written to between backward\(\) and step\(\)"):
                use()
        else:
            use()
            close(gradient.to_dense(), wanted)


def test_scaling_copies_d_and_aliases_share_what_is_done_in_place() -> None:
    x, d = torch.ones(2, 3), torch.ones(2, 4)
    gradient = FactoredGradient(torch.zeros(4, 3), x, d)
    alias, copied = gradient.detach(), gradient.clone()
    gradient.mul_(0.5)
    assert torch.equal(d, torch.ones(2, 4))
    close(alias.to_dense(), torch.ones(4, 3))
    close(copied.to_dense(), torch.full((4, 3), 2.0))
    alias.data.zero_()
    assert gradient.to_dense().abs().max() == 0


@pytest.mark.parametrize("name", LAYERS)
def test_a_view_that_is_only_read_leaves_the_factors_and_a_write_through_it_does_not(name: str) -> None:
    gradient, wanted = gradient_of(name)
    flat = gradient.view(-1)
    close(flat, wanted.flatten())
    gradient.mul_(2.0)  # the view follows
    close(flat, 2 * wanted.flatten())
    assert gradient.is_factored
    flat[3] += 1.0
    assert not gradient.is_factored
    with pytest.raises(InputError, match="was changed as a matrix"):
        gradient.factors()
    changed = 2 * wanted.flatten()
    changed[3] += 1.0
    close(gradient.to_dense().flatten(), changed)
    close((gradient + gradient.detach()).flatten(), 2 * changed)
    gradient.zero_()
    assert gradient.is_factored
    assert gradient.factors() == []


def test_a_clip_by_value_that_clips_nothing_leaves_the_factors() -> None:
    gradient, wanted = gradient_of("linear")
    gradient.clamp_(-1e4, 1e4)
    assert gradient.is_factored
    gradient.clamp_(-1e-3, 1e-3)
    assert not gradient.is_factored
    close(gradient.to_dense(), wanted.clamp(-1e-3, 1e-3))


# --- autograd ------------------------------------------------------------------------------------


def network(**settings: Any) -> Any:
    torch.manual_seed(3)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(36, 5), nn.Tanh(), nn.Linear(5, 3)
    )
    return convert(model, ALIKE, **settings)


def loss_of(model: nn.Module, x: Tensor = X) -> Tensor:
    return (model(x) - 0.3).square().mean()


def test_only_a_wanted_gradient_is_there() -> None:
    model = network()
    x = X.clone().requires_grad_()
    torch.autograd.grad(loss_of(model, x), x)
    torch.autograd.grad(loss_of(model, x), [model[5].bias, model[0].bias])
    assert [layer.weight.grad for _, layer in analog_layers(model)] == [None] * 3
    loss_of(model, x).backward(inputs=[x, model[3].weight])
    assert [layer.weight.grad is not None for _, layer in analog_layers(model)] == [False, True, False]
    loss_of(model).backward()
    beside = torch.autograd.grad(loss_of(model), [layer.weight for _, layer in analog_layers(model)])
    close(beside[0].to_dense(), model[0].weight.grad.to_dense())  # the one that was asked for once


def test_second_derivatives_are_refused() -> None:
    model = network()
    penalised = [model, nn.Sequential(nn.Linear(2, 2), nn.Tanh(), AnalogLinear(2, 1, ALIKE))]
    for m, x in zip(penalised, (X, X[0, 0, :, :2]), strict=True):
        x = x.clone().requires_grad_()
        gradient = torch.autograd.grad(m(x).sum(), x, create_graph=True)[0]
        plain = torch.autograd.grad(m(x).sum(), x)[0]
        torch.testing.assert_close(gradient.detach(), plain)
        penalty = gradient.square().sum() + m(x).sum()
        last = m[-1].weight
        for ask in (
            lambda p=penalty: p.backward(retain_graph=True),
            lambda p=penalty, w=last: torch.autograd.grad(p, w, retain_graph=True, allow_unused=True),
            lambda p=penalty, x=x: torch.autograd.grad(p, x, allow_unused=True),
        ):
            with pytest.raises(InputError, match="analog layers have no second derivatives"):
                ask()


@pytest.mark.filterwarnings("ignore:Using backward.. with create_graph=True")
def test_factors_carry_no_graph_and_the_model_can_be_copied_while_they_wait() -> None:
    model = network()
    for graph in (False, True):
        loss_of(model, X.clone().requires_grad_()).backward(create_graph=graph)
        for _, layer in analog_layers(model):
            assert isinstance(layer.weight.grad, FactoredGradient)
            for x, d in layer.weight.grad.factors():
                assert not x.requires_grad
                assert not d.requires_grad
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert all(p.grad is None for p in other.parameters())
        model.zero_grad()


def test_gradients_that_pile_up_warn_once_however_often_a_pass_uses_a_layer() -> None:
    layer = AnalogLinear(3, 3, ALIKE)

    def passes(number: int, uses: int = 1) -> list[str]:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for _ in range(number):
                x = torch.ones(1, 3)
                for _ in range(uses):
                    x = layer(x)
                x.sum().backward()
        return [str(w.message) for w in caught]

    assert passes(2, uses=MANY_PASSES) == []
    layer.zero_grad()
    assert passes(MANY_PASSES - 1) == []
    (told,) = passes(2 * MANY_PASSES)
    assert told.startswith(f"gradients of {MANY_PASSES} backward passes wait for a step: call step()")


def test_a_cleared_gradient_lets_go_of_what_it_kept() -> None:
    layer = AnalogLinear(3, 3, ALIKE)
    for clear in (lambda: layer.zero_grad(), lambda: layer.zero_grad(set_to_none=False)):
        layer(torch.ones(2, 3)).sum().backward()
        assert isinstance(layer.weight.grad, FactoredGradient)
        kept = weakref.ref(layer.weight.grad._store.passes[0].d)
        clear()
        gc.collect()
        assert kept() is None
