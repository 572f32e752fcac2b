"""What torch.compile sees of analog layers: one operator for their products, and one for the way back.

The operators do what the layers' autograd functions do uncompiled: they count events, look for writes of the
weights, call compiled kernels. torch compiles what lies between them.

A gradient that keeps its factors cannot leave compiled code, which gives back ordinary tensors. The operator
of the backward pass hands it to the weight's first hook instead, and gives back zeros that take no memory.
The hook puts the gradient in their place, before other hooks and torch's accumulation see them.
"""

from __future__ import annotations

import itertools
import math
import weakref
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from ..crossbar.gradient import FactoredGradient
from ..errors import InputError
from .patches import Patching

__all__ = ["number_for", "patches", "product"]


class Layer(Protocol):
    """What is needed of an analog layer, see `functional.AnalogLayer`."""

    weight: nn.Parameter
    out_scale: nn.Parameter
    bias: nn.Parameter | None
    number: Tensor

    def function_for(self, x: Tensor) -> tuple[Any, Any]: ...
    def _bound_tiles(self) -> Any: ...


class Convolution(Protocol):
    """What is needed of a convolution for its patches, see `conv._Convolving`."""

    number: Tensor

    @property
    def patching(self) -> Patching: ...


#: layers by their number
_LAYERS: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()
_NUMBERS, _CALLS = itertools.count(), itertools.count()


def number_for(layer: Layer) -> Tensor:
    """A number by which the operators find a layer: a tensor, as torch compiles code anew for each int."""
    number = next(_NUMBERS)
    _LAYERS[number] = layer
    return torch.tensor(number, device="cpu")


def product(x: Tensor, layer: Layer, shape: tuple[int, ...], raw: tuple[int, ...]) -> Tensor:
    """The product of a layer with vectors, in code that is being compiled.

    Args:
        x: as the layer's autograd function takes it.
        shape: of the outputs; raw: of the products before scale and bias, as the function saves them.

    Raises:
        InputError: in torch.export, as an exported model has no layers to count events of.
    """
    if torch.compiler.is_exporting():
        raise InputError(
            "torch.export takes no analog layers: export ohmgrad.to_digital(model), the plain model that "
            "computes the same"
        )
    args = x, layer.weight, layer.out_scale, layer.bias, layer.number, shape, raw
    return torch.ops.ohmgrad.product(*args)[0]


def patches(x: Tensor, layer: Convolution) -> Tensor:
    """The patches of a convolution's padded input as vectors, in code that is being compiled."""
    patching = layer.patching
    size = (len(x) * math.prod(patching.places(x.shape)), patching.lines)
    return torch.ops.ohmgrad.patches(x, layer.number, size)


class _Context:
    """What an autograd function has as `ctx`."""

    def __init__(self, layer: Layer, holder: Any, needs: tuple[bool, ...], saved: tuple[Any, ...]) -> None:
        self.layer = self.tile = holder
        self.weight, self.needs_input_grad, self.saved_tensors = layer.weight, needs, saved

    def save_for_backward(self, *saved: Any) -> None:
        self.saved_tensors = saved


def _numbered(*args: Any) -> Any:
    """A product with a number of its own in compiled code: torch takes calls with equal arguments for one."""
    return torch.ops.ohmgrad.numbered_product(*args, next(_CALLS))


def _layer(number: Tensor, weight: Tensor) -> Layer:
    """The layer with a number, which has this weight."""
    layer = _LAYERS[int(number)]
    if layer.weight.data_ptr() != weight.data_ptr():
        raise InputError(
            "compiled code was called with other weights than the analog layer's own: call the model "
            "uncompiled there (torch.func.functional_call)"
        )
    return layer


@torch.no_grad()
def _forward(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Any, number: Tensor, shape: Any, raw: Any, call: int
) -> tuple[Tensor, Tensor]:
    layer = _layer(number, weight)
    layer._bound_tiles()
    function, holder = layer.function_for(x)
    ctx = _Context(layer, holder, (True,) * 5, ())
    y = function.forward(ctx, x, weight, scale, bias, holder)
    return y.contiguous(), ctx.saved_tensors[1].contiguous()


def _patches(x: Tensor, number: Tensor, _: Any) -> Tensor:
    found = _LAYERS[int(number)].patching.vectors(x)
    return found.clone() if found.data_ptr() == x.data_ptr() else found  # patches of 1 x 1 are the input


def _patches_backward(g: Tensor, number: Tensor, shape: Any) -> Tensor:
    return _LAYERS[int(number)].patching.summed(g.contiguous(), shape).contiguous()


@torch.no_grad()
def _backward(
    g: Tensor, x: Tensor, y: Tensor, weight: Tensor, scale: Tensor, number: Tensor, needs: list[bool]
) -> list[Tensor]:
    layer = _layer(number, weight)
    function, holder = layer.function_for(x)
    if needs[1]:
        x = x.clone()  # compiled code writes to the memory of what it does not need any more
    ctx = _Context(layer, holder, (*needs, False), (x, y, scale))
    grad_x, gradient, *others = function.backward(ctx, g)[:4]
    if gradient is not None:
        _Arrivals.at(layer.weight).wait_for(gradient)
    none = g.new_empty(0)
    found = [none if f is None else f.contiguous() for f in (grad_x, *others)]
    return [found[0], _nothing(weight) if needs[1] else none, *found[1:]]


def _nothing(weight: Tensor) -> Tensor:
    """Zeros in the shape of a weight."""
    return weight.new_zeros(()).expand(weight.shape)


class _Arrivals:
    """The first hook of a weight, which puts the gradients that wait in the place of zeros."""

    def __init__(self) -> None:
        #: those of each backward pass, as several threads may run one
        self._waiting: dict[int, list[FactoredGradient]] = {}

    @classmethod
    def at(cls, weight: nn.Parameter) -> _Arrivals:
        """That of a weight, which gets one here."""
        hooks: Any = weight._backward_hooks
        first = next(iter(hooks.values()), None) if hooks else None
        if isinstance(first, cls):
            return first
        made = cls()
        weight.register_hook(made)
        hooks = weight._backward_hooks
        order = [*hooks.items()]
        hooks.clear()  # in place, as handles of hooks know the dictionary
        hooks.update(order[-1:] + order[:-1])
        return made

    def wait_for(self, gradient: FactoredGradient) -> None:
        """Have a gradient wait for the pass that goes on, to whose end it is kept."""
        task = torch._C._current_graph_task_id()
        if task not in self._waiting:
            self._waiting[task] = []

            def end() -> None:
                del self._waiting[task]

            torch.autograd.Variable._execution_engine.queue_callback(end)  # pyright: ignore (no stub)
        self._waiting[task].append(gradient)

    def __call__(self, zeros: Tensor) -> Tensor | None:
        task = torch._C._current_graph_task_id()
        found = self._waiting.get(task)
        if not found:
            return None
        if any(zeros.stride()) and bool(zeros.any()):  # of several products, the sum of their zeros
            raise InputError(
                "an analog layer was called in compiled code and outside of it in one pass, or its weight is "
                "in the loss by itself, as in a penalty: compile all of the model, or none of it"
            )
        total: Any = found[0]
        for other in found[1:]:
            total = total + other
        found.clear()
        return total


# --- what torch is told ---------------------------------------------------------------------------

_OPERATORS = torch.library.Library("ohmgrad", "FRAGMENT")
#: they count events, and what is not used counts too; recorded launches of kernels would not count again
_TAGS = (torch.Tag.nondeterministic_seeded, torch.Tag.cudagraph_unsafe)
_ARGUMENTS = (
    "Tensor x, Tensor weight, Tensor scale, Tensor? bias, Tensor number, SymInt[] shape, SymInt[] raw"
)
_OPERATORS.define(f"product({_ARGUMENTS}) -> (Tensor, Tensor)", tags=_TAGS)
_OPERATORS.define(f"numbered_product({_ARGUMENTS}, int call) -> (Tensor, Tensor)", tags=_TAGS)
_OPERATORS.define(
    "product_backward(Tensor g, Tensor x, Tensor y, Tensor weight, Tensor scale, Tensor number, "
    "bool[] needs) -> Tensor[]",
    tags=_TAGS,
)
_OPERATORS.impl("product", _numbered, "CompositeImplicitAutograd")
_OPERATORS.impl("numbered_product", _forward, "CompositeExplicitAutograd")
_OPERATORS.impl("product_backward", _backward, "CompositeExplicitAutograd")


@torch.library.register_fake("ohmgrad::numbered_product", lib=_OPERATORS)
def _shapes(
    x: Tensor, weight: Tensor, scale: Tensor, bias: Any, number: Tensor, shape: Any, raw: Any, call: int
) -> tuple[Tensor, Tensor]:
    return x.new_empty(shape), x.new_empty(raw)


@torch.library.register_fake("ohmgrad::product_backward", lib=_OPERATORS)
def _shapes_backward(
    g: Tensor, x: Tensor, y: Tensor, weight: Tensor, scale: Tensor, number: Tensor, needs: list[bool]
) -> list[Tensor]:
    shapes = (x.shape, weight.shape, scale.shape, weight.shape[:1])
    found = [g.new_empty(s if need else 0) for s, need in zip(shapes, needs, strict=True)]
    return [found[0], _nothing(weight) if needs[1] else found[1], *found[2:]]


def _save(ctx: Any, inputs: Any, output: Any) -> None:
    x, weight, scale, _, number, *_ = inputs
    ctx.save_for_backward(x, output[1], weight, scale, number)
    ctx.set_materialize_grads(False)


def _gradients(ctx: Any, g: Tensor | None, _: Any) -> tuple[Tensor | None, ...]:
    needs = list(ctx.needs_input_grad[:4])
    if g is None:
        return (None,) * 8
    found = torch.ops.ohmgrad.product_backward(g, *ctx.saved_tensors, needs)
    return *(f if need else None for f, need in zip(found, needs, strict=True)), None, None, None, None


_OPERATORS.define("patches(Tensor x, Tensor number, SymInt[] shape) -> Tensor")
_OPERATORS.define("patches_backward(Tensor g, Tensor number, SymInt[] shape) -> Tensor")
_OPERATORS.impl("patches", _patches, "CompositeExplicitAutograd")
_OPERATORS.impl("patches_backward", _patches_backward, "CompositeExplicitAutograd")
for _name in ("patches", "patches_backward"):
    torch.library.register_fake(f"ohmgrad::{_name}", lambda x, _, shape: x.new_empty(shape), lib=_OPERATORS)


def _save_shape(ctx: Any, inputs: Any, output: Any) -> None:
    ctx.shape = inputs[0].shape
    ctx.save_for_backward(inputs[1])


def _gradient(ctx: Any, g: Tensor) -> tuple[Tensor, None, None]:
    return torch.ops.ohmgrad.patches_backward(g, *ctx.saved_tensors, ctx.shape), None, None


torch.library.register_autograd("ohmgrad::patches", _gradient, setup_context=_save_shape, lib=_OPERATORS)
torch.library.register_autograd("ohmgrad::numbered_product", _gradients, setup_context=_save, lib=_OPERATORS)
