"""The gradient of an analog weight: an ordinary `weight.grad` that keeps its factors.

The gradient of a product x W^T is d^T x. Pulses are made from x and d, sample by sample, and the matrix
itself is needed only by whoever asks for it. `FactoredGradient` therefore holds the factors, as torch's
sparse gradients hold theirs. What keeps a gradient a sum of products is done on the factors: adding two
gradients, scaling by a number, emptying, norms, the check for infinities. Every other operation gets the
dense matrix.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from .gradient_matrix import MatrixOnDemand
from .gradient_parts import Part, Pass, Store, version_of, whole

__all__ = ["MANY_PASSES", "FactoredGradient"]

#: backward passes without a step after which it is worth a warning
MANY_PASSES = 64

aten: Any = torch.ops.aten
_DETACH = aten.detach.default


class FactoredGradient(MatrixOnDemand):
    """d^T x of an analog weight, as its factors x and d.

    A layer makes it in its backward pass. `weight.grad` behaves as a dense gradient does, and
    an analog optimizer takes the factors: `factors()`. `to_dense()` gives the matrix by name.

    Args:
        weight: whose gradient it is.
        x: of all samples, as the source takes it; d: gradient with respect to the outputs of the products.
        parts: how tiles see x and d.
    """

    _store: Store

    @staticmethod
    def __new__(
        cls, weight: Tensor, x: Tensor, d: Tensor, parts: Callable[[Tensor, Tensor], list[Part]] = whole
    ) -> FactoredGradient:
        # without their graph; others may write to x, which a detach() shows and .data does not
        x, d = x.detach() if x.requires_grad else x, d.data if d.requires_grad else d
        return _wrap(weight, Store([Pass(x, d, parts, version_of(x))]))

    __torch_function__ = torch._C._disabled_torch_function_impl  # pyright: ignore[reportAssignmentType]

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is _DETACH:  # what torch's accumulation does first, in every backward pass
            return _wrap(args[0], args[0]._store)
        kwargs = kwargs or {}
        result = NotImplemented  # what a handler gives back when factors do not serve: the matrix does
        if (handler := _HANDLERS.get(func)) is not None:
            result = handler(*args, **kwargs)
        elif func._schema.name.startswith("aten::_foreach_"):
            result = _for_each(func, args, kwargs)
        return _densely(func, args, kwargs) if result is NotImplemented else result

    # --- what optimizers take ----------------------------------------------------------------------

    @property
    def is_factored(self) -> bool:
        """Whether the factors still give the gradient: nobody has changed the matrix itself."""
        return self._store.factored

    def factors(self) -> list[tuple[Tensor, Tensor]]:
        """x (samples, cols) and d (samples, rows) of every tile, in the order of the backward passes.

        Raises:
            InputError: when the matrix itself was changed, so that it has no factors any more, or when an
                input was written to.
        """
        if not self._store.factored:
            raise InputError(f"the gradient {tuple(self.shape)} was changed as a matrix and has no factors")
        passes = [p.of_tiles() for p in self._store.passes]
        if len(passes) == 1:
            return [(part.x, part.d) for part in passes[0]]
        return [
            (torch.cat([p.x for p in of_tile]), torch.cat([p.d for p in of_tile]))
            for of_tile in zip(*passes, strict=True)
        ]

    @property
    def of_all_ranks(self) -> bool:
        """Whether every rank of a process group has the same factors, see `ranks`."""
        return bool(self._store.passes) and not self.not_exchanged()

    def not_exchanged(self) -> list[Pass]:
        """The passes that other ranks do not have."""
        return [one for one in self._store.passes if not one.of_all_ranks]

    def put_exchanged(self, passes: list[Pass]) -> None:
        """Have these passes, of all ranks, instead of those of this one."""
        store = self._store
        store.passes = [one for one in store.passes if one.of_all_ranks] + passes
        store.dense = store.untouched = None

    def check_inputs(self) -> None:
        """Raise InputError when an input that the factors hold was written to after its backward pass."""
        for one in self._store.passes:
            one.check()

    def to_dense(self, dtype: torch.dtype | None = None, *, masked_grad: bool | None = None) -> Tensor:
        """The gradient as an ordinary tensor of the weight's shape, d^T x."""
        dense = self._store.dense
        made = _matrix(self) if dense is None else dense.clone()
        return made if dtype is None else made.to(dtype)

    def kept_matrix(self) -> Tensor:
        """The dense matrix, kept from now on: it may be written to, at once or through a view."""
        store = self._store
        if store.dense is None:
            store.dense = _matrix(self)
            store.untouched = store.dense.clone()
        return store.dense

    def become(self, other: Tensor) -> None:
        """Take over another gradient, with its memory, as `p.grad.data = other` does."""
        if other.shape != self.shape or other.dtype != self.dtype:
            raise InputError(
                f"data is {tuple(other.shape)} of {other.dtype}, but must be {tuple(self.shape)} of "
                f"{self.dtype}: set p.grad itself"
            )
        if isinstance(other, FactoredGradient):
            self._store = other._store
            return
        self._store = Store([])
        self._store.dense = other.detach()

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        state = f"{len(self._store.passes)} products" if self._store.factored else "changed as a matrix"
        return f"FactoredGradient({' x '.join(map(str, self.shape))}, {state})"


def _wrap(like: Tensor, store: Store) -> FactoredGradient:
    made: Any = Tensor._make_wrapper_subclass(  # pyright: ignore[reportAttributeAccessIssue]
        FactoredGradient, like.shape, dtype=like.dtype, device=like.device
    )
    made._store = store
    return made


def _matrix(gradient: FactoredGradient) -> Tensor:
    """The sum of d^T x over all passes, in the weight's shape; zeros where there is none."""
    shape = gradient.shape
    total: Tensor | None = None
    for one in gradient._store.passes:
        for part in one.of_tiles():
            # with out=, as torch.autocast would give bfloat16
            product = torch.mm(part.d.t(), part.x, out=part.d.new_empty(part.d.shape[1], part.x.shape[1]))
            if part.block is None:
                total = product if total is None else total.add_(product)
                continue
            if total is None:
                total = torch.zeros(shape[0], math.prod(shape[1:]), dtype=one.d.dtype, device=one.d.device)
            total[part.block] += product
    if total is None:
        return torch.zeros(shape, dtype=gradient.dtype, device=gradient.device)
    return total.view(shape)


# --- operations on factors -----------------------------------------------------------------------


def _alias(g: FactoredGradient, *_: Any, **__: Any) -> FactoredGradient:
    return _wrap(g, g._store)


def _view(g: FactoredGradient, size: Sequence[int]) -> Any:
    return _alias(g) if tuple(size) == tuple(g.shape) else NotImplemented


def _clone(g: FactoredGradient, **_: Any) -> Any:
    store = g._store
    return _wrap(g, Store(list(store.passes))) if store.factored else NotImplemented


def _empty(g: FactoredGradient, size: Sequence[int], stride: Sequence[int], **_: Any) -> Any:
    return _wrap(g, Store([])) if tuple(size) == tuple(g.shape) else NotImplemented


def _copy_(g: Any, other: Any, non_blocking: bool = False) -> Any:
    """With `_empty`, how torch copies a gradient that has a graph of its own."""
    if not _both_factored(g, other, 1) or g._store.dense is not None:
        return NotImplemented
    g._store.passes = list(other._store.passes)
    return g


def _both_factored(a: Any, b: Any, alpha: Any) -> bool:
    both = isinstance(a, FactoredGradient) and isinstance(b, FactoredGradient)
    return both and alpha == 1 and a._store.factored and b._store.factored and a.shape == b.shape


def _add(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    if not _both_factored(a, b, alpha):
        return NotImplemented
    return _wrap(a, Store([*a._store.passes, *b._store.passes]))


def _add_(a: Any, b: Any, *, alpha: Any = 1) -> Any:
    if not _both_factored(a, b, alpha):
        return NotImplemented
    store = a._store
    if store.dense is not None:  # somebody has looked at it
        store.dense.add_(_matrix(b))
        store.untouched = store.dense.clone()
    store.passes.extend(b._store.passes)
    store.added += 1
    if store.added == MANY_PASSES - 1:
        warnings.warn(
            f"gradients of {MANY_PASSES} backward passes wait for a step: call step() and zero_grad(), or "
            "give the analog weights to an analog optimizer",
            stacklevel=2,
        )
    return a


def _is_number(value: Any) -> bool:
    plain = isinstance(value, Tensor) and type(value) is not FactoredGradient
    return isinstance(value, (int, float)) or (plain and value.dim() < 2 and value.numel() == 1)


def _scaling(scale: Callable[[Tensor, Any], Tensor], in_place: bool = False) -> Callable[[Any, Any], Any]:
    """Times a number, or divided by one."""

    def handler(g: Any, number: Any) -> Any:
        if scale is torch.mul and not in_place and not isinstance(g, FactoredGradient):
            g, number = number, g
        if not isinstance(g, FactoredGradient) or not _is_number(number) or not g._store.factored:
            return NotImplemented
        store = g._store
        passes = [p._replace(d=scale(p.d, number)) for p in store.passes]  # a copy: others may hold d
        if not in_place:
            return _wrap(g, Store(passes))
        store.passes = passes
        if store.dense is not None:
            store.dense.copy_(scale(store.dense, number))
            store.untouched = store.dense.clone()
        return g

    return handler


def _zero_(g: FactoredGradient) -> FactoredGradient:
    store = g._store
    store.passes, store.added = [], 0
    if store.dense is not None:
        store.dense.zero_()
        store.untouched = store.dense.clone()
    return g


def _norm(g: Any, order: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None) -> Any:
    """||d^T x|| from the Gram matrices: its square is sum_ab (x_a x_b)(d_a d_b), over samples a and b.

    Where there are more samples than that is worth, from the matrix. In float64, as the terms cancel.
    """
    plain = order == 2 and not dim and not keepdim and dtype is None
    if not plain or not g._store.factored:
        return NotImplemented
    square: Any = 0.0
    for x, d in g.factors() if g._store.passes else []:
        samples, size = len(x), x.shape[1] * d.shape[1]
        if samples * (x.shape[1] + d.shape[1]) <= size:
            x, d = x.double(), d.double()
            square = square + ((x @ x.t()) * (d @ d.t())).sum()
        else:
            square = square + (d.t() @ x).double().square().sum()
    return torch.as_tensor(square, dtype=torch.float64, device=g.device).clamp(min=0).sqrt().to(g.dtype)


def _mark_infinite(g: FactoredGradient, found_inf: Tensor) -> None:
    """Set `found_inf` (1,) to 1 if an entry is no number, from the factors: a bound, so that a product beyond
    float32 counts. The host asks for no value."""
    for p in g._store.passes:
        if p.d.numel():
            finite = torch.isfinite(p.x.abs().amax() * p.d.abs().amax())
            found_inf.masked_fill_(~finite, 1.0)


def _unscale_(grads: list[Tensor], found_inf: Tensor, inverse: Tensor) -> Any:
    """What torch.amp.GradScaler does to all gradients before a step."""
    plain = []
    for g in grads:
        if not isinstance(g, FactoredGradient):
            plain.append(g)
        elif not g._store.factored:
            plain.append(g.kept_matrix())
        else:
            _mark_infinite(g, found_inf)
            _mul_(g, inverse)
    if plain:
        aten._amp_foreach_non_finite_check_and_unscale_.default(plain, found_inf, inverse)


_mul, _mul_ = _scaling(torch.mul), _scaling(torch.mul, in_place=True)
_div, _div_ = _scaling(torch.div), _scaling(torch.div, in_place=True)

_HANDLERS: dict[Any, Callable[..., Any]] = {
    aten.alias.default: _alias,
    aten.view.default: _view,
    aten.detach_.default: lambda g: g,
    aten.clone.default: _clone,
    aten.new_empty_strided.default: _empty,
    aten.copy_.default: _copy_,
    aten.add.Tensor: _add,
    aten.add_.Tensor: _add_,
    aten.mul.Tensor: _mul,
    aten.mul.Scalar: _mul,
    aten.mul_.Tensor: _mul_,
    aten.mul_.Scalar: _mul_,
    aten.div.Tensor: _div,
    aten.div.Scalar: _div,
    aten.div_.Tensor: _div_,
    aten.div_.Scalar: _div_,
    aten.neg.default: lambda g: _mul(g, -1.0),
    aten.zero_.default: _zero_,
    aten.linalg_vector_norm.default: _norm,
    aten._amp_foreach_non_finite_check_and_unscale_.default: _unscale_,
}

_ON_FACTORS = {func._schema.name.removeprefix("aten::") for func in _HANDLERS}


def _for_each(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """An operator on lists of tensors, `_foreach_mul_` for instance, on each tensor alone."""
    name: str = func._schema.name.removeprefix("aten::_foreach_")
    name = "linalg_vector_norm" if name == "norm" else name
    if name not in _ON_FACTORS:
        return NotImplemented
    single = getattr(aten, name)
    found = [
        single(t, *(a[i] if isinstance(a, (list, tuple)) else a for a in args[1:]), **kwargs)
        for i, t in enumerate(args[0])
    ]
    return None if name.endswith("_") else found


# --- every other operation -----------------------------------------------------------------------


def _densely(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run an operator on dense matrices; where it writes to one or gives a view of it, the matrix is kept."""
    schema = func._schema
    # operators from elsewhere may write without saying so, as torch.distributed's do
    keeps = not schema.name.startswith("aten::") or any(
        a.alias_info is not None for a in (*schema.arguments, *schema.returns)
    )
    matrices: dict[int, FactoredGradient] = {}

    def dense(value: Any) -> Any:
        if isinstance(value, FactoredGradient):
            if not keeps:
                return value._store.dense if value._store.dense is not None else _matrix(value)
            matrix = value.kept_matrix()
            matrices[id(matrix)] = value
            return matrix
        return [dense(v) for v in value] if isinstance(value, (list, tuple)) else value

    result = func(*map(dense, args), **{name: dense(value) for name, value in kwargs.items()})
    return matrices.get(id(result), result)
