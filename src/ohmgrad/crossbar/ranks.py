"""Ranks that train one model: each gets the factors of all, so that every rank sends the same pulses.

torch's DistributedDataParallel adds up gradients as matrices, from which no pulse can be made. What crosses
the process group for an analog weight are the factors of its samples instead: (inputs + outputs) numbers of
4 bytes for each sample, of a convolution its input and the gradient of its output. Counts of pulses would be
less where a convolution has many places, but they lose the order of the samples, which elements follow.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.weak import WeakIdKeyDictionary

from ..checked import checked
from ..errors import InputError
from .gradient import FactoredGradient
from .gradient_parts import Pass, version_of
from .tile import tiles_of

__all__ = ["exchange_gradients", "is_exchanged", "keep_own", "several_ranks"]

#: analog weights that ranks may train: True where their gradients are exchanged, False where each has its own
_TRAINED = WeakIdKeyDictionary()


def several_ranks() -> int:
    """Number of ranks of the process group; 0 where there is none, or a single one."""
    if not distributed.is_available() or not distributed.is_initialized():
        return 0
    ranks = distributed.get_world_size()
    return ranks if ranks > 1 else 0


def is_exchanged(weight: Tensor) -> bool | None:
    """Whether the gradient of an analog weight is exchanged between ranks; None where nobody has said so."""
    return _TRAINED.get(weight)


@checked
def keep_own(module: nn.Module) -> nn.Module:
    """Say that the analog weights of a module are this rank's own: a part that no other rank has.

    Nothing is exchanged then, and an analog optimizer trains them. `examples/shard_rows.py` has the rows of a
    layer on two ranks.

    Returns:
        The module.

    Raises:
        InputError: when no parameter is analog.
    """
    for p in _analog(module).values():
        _TRAINED[p] = False
    return module


def _analog(module: nn.Module) -> dict[str, nn.Parameter]:
    weights = {name: p for name, p in module.named_parameters() if tiles_of(p)}
    if not weights:
        raise InputError("no parameter is analog: convert the model first, ohmgrad.convert(model, device)")
    return weights


@checked
def exchange_gradients(model: nn.Module) -> nn.Module:
    """Have DistributedDataParallel train the analog weights of a model, with pulses that all ranks share.

    Once the process group is there and before the model is wrapped, on every rank:

        model = ohmgrad.exchange_gradients(ohmgrad.convert(model, device))
        model = torch.nn.parallel.DistributedDataParallel(model)
        optimizer = ohmgrad.AnalogSGD(model.parameters(), lr=0.1)

    Analog layers take over the state that they have on rank 0, but for those of `keep_own`. At the end of a
    backward pass that DistributedDataParallel averages gradients in, every rank gets the factors (x, d) of
    all: of its first product those of rank 0, 1, ..., then those of the second. d is divided by the number of
    ranks, as DistributedDataParallel divides. Each rank applies them all, so that replicas are the same to
    the bit; and so is one process that sees the samples in this order, but for the rounding of d.

    Digital parameters are averaged as ever. Each rank's products have read noise of its own, and each counts
    its own products; updates and pulses are those of all. The host waits for the sizes of the other ranks.

    Args:
        model: that DistributedDataParallel will get, with analog layers.

    Returns:
        The model. Without several ranks nothing is done to it.

    Raises:
        InputError: on all ranks, where the model is wrapped already, has no analog layer, or has others on
            rank 0; in a backward pass, where a rank has no gradient of an analog weight that others have, or
            one that was changed as a matrix.
    """
    ranks = several_ranks()
    if not ranks:
        return model
    if isinstance(model, DistributedDataParallel):
        raise InputError("the model is wrapped: call exchange_gradients before DistributedDataParallel")
    analog = _analog(model)
    weights = {name: p for name, p in analog.items() if is_exchanged(p) is not False}
    if weights and all(is_exchanged(p) for p in weights.values()):
        return model
    _take_over(model, weights)
    own = distributed.get_rank() * (2**32 // ranks)
    for p in weights.values():
        for tile in tiles_of(p):
            tile.counters.first_vector = own
        _TRAINED[p] = True
    ignored = [*getattr(model, "_ddp_params_and_buffers_to_ignore", ()), *analog]
    ignored += [f".{name}" for name in analog if "." not in name]  # as it names those of the model itself
    DistributedDataParallel._set_params_and_buffers_to_ignore_for_model(model, ignored)
    exchange = _Exchange(weights)
    model.register_forward_pre_hook(exchange.before)
    for p in filter(lambda p: p.requires_grad, model.parameters()):
        p.register_post_accumulate_grad_hook(exchange.during)
    return model


def _take_over(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Have the layers with these weights the state on every rank that they have on rank 0."""
    wanted = {id(p) for p in weights.values()}
    layers = {
        name: module
        for name, module in model.named_modules()
        if any(id(p) in wanted for p in module.parameters(recurse=False))
    }
    given: list[Any] = [{name: layer.state_dict() for name, layer in layers.items()}]
    distributed.broadcast_object_list(given)
    problem = None
    try:
        if {*given[0]} != {*layers}:
            raise InputError(f"the analog layers are {[*layers]}, but on rank 0 {[*given[0]]}")
        for name, layer in layers.items():
            layer.load_state_dict(given[0][name])
    except (InputError, RuntimeError) as error:  # as of a layer with other parameters
        problem = str(error)
    _raise_together(problem, None)


def _raise_together(problem: str | None, own: Any, group: Any = None) -> list[Any]:
    """What every rank says, as `own`; raise InputError on all where one has a problem."""
    said: list[Any] = [None] * distributed.get_world_size(group)
    distributed.all_gather_object(said, (problem, own), group)
    for rank, (found, _) in enumerate(said):
        if found is not None:
            raise InputError(f"rank {rank}: {found}")
    return [own for _, own in said]


class _Exchange:
    """The exchange of one model's gradients."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        self.weights = weights
        #: refers to what averages gradients in the pass that goes on; None where they stay on this rank
        self.ddp: Any = None
        self.waits = False

    def __getstate__(self) -> dict[str, Any]:  # of a copy
        return {**vars(self), "ddp": None, "waits": False}

    def before(self, module: nn.Module, args: Any) -> None:
        """Before a forward pass: DistributedDataParallel may be what calls the model, outside `no_sync`."""
        ddp = DistributedDataParallel._get_active_ddp_module()
        if torch.is_grad_enabled():
            averages = ddp is not None and ddp.require_backward_grad_sync
            # held weakly: hooks of its parameters lead here, and gc cannot see through them
            self.ddp, self.waits = weakref.ref(ddp) if averages else None, False

    def during(self, p: Tensor) -> None:
        """At each gradient of a backward pass: exchange them at its end."""
        if self.ddp is not None and not self.waits:
            self.waits = True
            torch.autograd.Variable._execution_engine.queue_callback(self.run)  # pyright: ignore (no stub)

    @torch.no_grad()
    def run(self) -> None:
        """Give all ranks the factors of all, of the passes that are not exchanged yet."""
        self.waits, ddp = False, self.ddp()
        if ddp is None:  # gone since the forward pass
            return
        group, averaged = ddp.process_group, {id(p) for p in ddp._module_parameters}
        del ddp  # an error below keeps this frame, and its hooks would hear the passes of the next one
        ranks = distributed.get_world_size(group)
        own: list[list[Pass]] = []
        problem = None
        try:
            if any(id(p) in averaged for p in self.weights.values()):
                raise InputError(
                    "DistributedDataParallel has got a module around the one that exchange_gradients got: "
                    "give both the same"
                )
            own = [_to_exchange(name, p.grad) for name, p in self.weights.items()]
        except InputError as error:
            problem = str(error)
        sizes = _raise_together(problem, [[(one.x.shape, one.d.shape) for one in w] for w in own], group)
        for i, name in enumerate(self.weights):
            if len({bool(of_rank[i]) for of_rank in sizes}) > 1:
                without = next(rank for rank, of_rank in enumerate(sizes) if not of_rank[i])
                raise InputError(
                    f"rank {without} has no gradient of the analog weight {name!r}, which others have: call "
                    "every analog layer on every rank"
                )
        if not any(any(of_rank) for of_rank in sizes):  # frozen
            return
        gathered = [iter(tensors) for tensors in _gather(own, sizes, ranks, group)]
        found: list[dict[tuple[int, int], Pass]] = [{} for _ in own]
        for rank, of_rank in enumerate(sizes):
            for i, of_weight in enumerate(of_rank):
                for n in range(len(of_weight)):
                    x, d = next(gathered[rank]), next(gathered[rank])
                    found[i][n, rank] = Pass(x, d, own[i][0].parts, version_of(x), of_all_ranks=True)
        for p, passes in zip(self.weights.values(), found, strict=True):
            if passes:
                assert isinstance(p.grad, FactoredGradient)
                p.grad.put_exchanged([passes[place] for place in sorted(passes)])


def _to_exchange(name: str, gradient: Tensor | None) -> list[Pass]:
    """The passes of a gradient that other ranks do not have yet."""
    if gradient is None:
        return []
    if not isinstance(gradient, FactoredGradient) or not gradient.is_factored:
        raise InputError(
            f"the gradient of the analog weight {name!r} was changed as a matrix, but its factors go to the "
            "other ranks: change it after the backward pass"
        )
    gradient.check_inputs()
    return gradient.not_exchanged()


def _gather(own: list[list[Pass]], sizes: list[Any], ranks: int, group: Any) -> list[list[Tensor]]:
    """The factors of every rank, x and d in turn, in the shapes `sizes`; d divided by the number of ranks."""
    shapes = [[shape for w in of_rank for one in w for shape in one] for of_rank in sizes]
    lengths = [[shape.numel() for shape in of_rank] for of_rank in shapes]
    longest = max(map(sum, lengths))
    flat = [part.flatten() for w in own for one in w for part in (one.x, one.d * (1 / ranks))]
    like = flat[0] if flat else torch.empty(0)
    rest = longest - sum(map(len, flat))  # ranks have other numbers of samples, and messages one length
    message = torch.cat([*flat, like.new_zeros(rest)])
    messages = [torch.empty_like(message) for _ in range(ranks)]
    distributed.all_gather(messages, message, group)
    return [
        [part.view(shape) for part, shape in zip(each.split([*n, longest - sum(n)]), s, strict=False)]
        for each, n, s in zip(messages, lengths, shapes, strict=True)
    ]
