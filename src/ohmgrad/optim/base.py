"""What analog optimizers share: which parameters are analog, one step of all, and the state."""

from __future__ import annotations

import abc
import copy
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim.sgd import sgd
from torch.utils.hooks import RemovableHandle

from ..checked import checked
from ..crossbar import EVENTS, Tile, tiles_of
from ..crossbar.gradient import FactoredGradient
from ..crossbar.gradient_parts import as_factors
from ..eager import uncompiled
from ..errors import InputError
from .auxiliary import AuxiliaryArrays
from .options import check_digital, listed
from .states import AsItIs, by_tile, check_kept
from .surroundings import check_ranks, refuse_capture, watch_other_optimizers
from .work import Work

__all__ = ["AnalogOptimizer", "TransferModel"]


class TransferModel(NamedTuple):
    """How the gradient reaches the weights W of a tile, by pulses: what predictions ask, steps do not."""

    #: the array that the gradient is written to: the tile itself, or an auxiliary array P
    array: Tile
    #: learning rate of that write
    rate: float
    #: where that array is P: W moves by `transfer` times P per update, on the average over elements
    transfer: float = 0.0
    #: standard deviation of one value of P as the transfer reads it, in weight units
    read_noise: float = 0.0


class AnalogOptimizer(torch.optim.Optimizer, abc.ABC):
    """A torch optimizer whose analog parameters change by pulses only.

    A subclass is an algorithm: it overrides `analog_step`, with a tile's primitives. Digital parameters
    (biases, output scales, norms) in the same groups get torch's SGD with the group's `lr`, `momentum`,
    `dampening`, `nesterov` and `weight_decay`; these have no meaning for analog parameters, which have
    no digital copy to decay or to remember.

    The gradient of an analog weight is a `FactoredGradient`: it adds up over backward passes, is scaled,
    clipped by norm and cleared as any gradient, and keeps the factors (x, d) that pulses are made from, in
    the order of the backward passes. `step` uses it up and leaves `weight.grad` None. A gradient that was
    changed as a matrix, by a mask in a hook for instance, has no factors: algorithms that pulse from factors
    refuse it, and those with `takes_matrix` take it.

    A process group of several ranks is refused, as the ranks' weights would drift apart, unless
    `exchange_gradients` has the ranks share their gradients.

    Auxiliary arrays are in the optimizer's state. Where the network sees them (gamma > 0), the model's state
    has what they add to the weights, so that it alone is the same function; to go on training, save and
    restore both. The network sees the arrays of one optimizer, the latest that was made, restored or stepped
    for its weights; they stay in sight when that one is gone. A gamma that is changed in `param_groups` is
    seen from the next step, or restored state, on.

    Args:
        params: parameters or groups, as for any torch optimizer.
        defaults: the algorithm's own options, of which `lr` is one.
        momentum, dampening, weight_decay, nesterov: for the digital parameters.

    Raises:
        InputError: when an option is out of range, or no parameter is analog.
    """

    #: whether the algorithm works from d^T x, so that any dense gradient will do
    takes_matrix: ClassVar[bool] = False
    #: what it does beside pulses, products and reads, for `ohmgrad.cost`; None where that is not known
    work: ClassVar[Work | None] = None
    #: whether all steps are alike to the host, so that a CUDA graph of one can be replayed
    capturable: ClassVar[bool] = False

    def __init__(
        self,
        params: Iterable[Any],
        defaults: dict[str, Any],
        *,
        momentum: float = 0.0,
        dampening: float = 0.0,
        weight_decay: float = 0.0,
        nesterov: bool = False,
    ) -> None:
        digital = {
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
        }
        self._arrays = AuxiliaryArrays()
        self._looked_up: dict[int, list[tuple[Tensor, list[Tile]]]] = {}
        self._update_hooks: OrderedDict[int, Callable[..., None]] = OrderedDict()
        self._made = False
        super().__init__(listed(params), {**defaults, **digital})
        given = [p for g in self.param_groups for p in g["params"]]
        check_ranks(given, step=False)
        if not any(map(tiles_of, given)):
            raise InputError(
                "no parameter is analog: convert the model first, model = ohmgrad.convert(model, "
                "device), and give the optimizer the converted model's parameters"
            )
        self._made = True
        for group in self.param_groups:  # now that no group is refused: an earlier optimizer stays whole
            self._take_on(group)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group; analog layers in it get their auxiliary arrays."""
        super().add_param_group(param_group)
        group = self.param_groups[-1]
        try:
            check_digital(group)
            self.check(group)
        except InputError:
            self.param_groups.pop()
            raise
        if group["weight_decay"] and all(tiles_of(p) for p in group["params"]):
            warnings.warn(
                "weight_decay decays digital parameters only, and this group has none: leave it out "
                "(elements decay with Device(retention=Retention(lifetime=...)))",
                stacklevel=5,
            )
        if self._made:
            self._take_on(group)

    def _take_on(self, group: dict[str, Any]) -> None:
        """Have the products of a group's tiles see their auxiliary arrays."""
        for tile, state in self.tiles_in(group):
            tile.companions = []  # an earlier optimizer's
            self.auxiliary(tile, group, state)

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles are made from: torch's, and the tiles, which a copy of the model shares."""
        self._put_back_memories()
        tiles = [tile for group in self.param_groups for tile, _ in self.tiles_in(group)]
        return {**super().__getstate__(), "tiles": tiles}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over a state, as `load_state_dict` and copies do; auxiliary arrays are made from it."""
        # tiles of a copy hold its weights already, also where the model is copied after its optimizer
        super().__setstate__({name: value for name, value in state.items() if name != "tiles"})
        for p, kept in list(self.state.items()):
            if isinstance(kept, AsItIs):
                self.state[p] = kept.value
        self._arrays, self._looked_up, self._made = AuxiliaryArrays(), {}, True
        if not hasattr(self, "_update_hooks"):  # a copy has none
            self._update_hooks = OrderedDict()
        for group in self.param_groups:
            self._take_on(group)  # the next product sees the restored arrays

    def state_dict(self) -> dict[str, Any]:
        """As torch's; what is tensors in it are the optimizer's own, and go on with it."""
        self._put_back_memories()
        return super().state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a copy of what `state_dict` gave, of the same algorithm on layers of the same elements.

        Raises:
            InputError: when a group lacks an option, or an auxiliary array has another shape than its tile,
                or is of other elements; nothing is changed then.
        """
        options = {*self.defaults} - {"differentiable"}  # which torch adds to a restored one's
        for group in state_dict["param_groups"]:
            if missing := sorted(options - {*group}):
                raise InputError(
                    f"the state has no option {missing[0]!r}, which {type(self).__name__} has: load it into "
                    "the algorithm that saved it"
                )
        # torch's own would share the tensors, so that both optimizers train one array, and would turn whole
        # numbers into the type of the weights
        state = copy.deepcopy(state_dict["state"])
        names = [name for group in state_dict["param_groups"] for name in group["params"]]
        params = [p for group in self.param_groups for p in group["params"]]
        for name, p in zip(names, params, strict=False):  # torch refuses other numbers
            if name in state and (tiles := tiles_of(p)):
                for tile, kept in by_tile(tiles, state[name]):
                    check_kept(tile, kept)
                state[name] = AsItIs(state[name])
        super().load_state_dict({**state_dict, "state": state})

    @abc.abstractmethod
    def analog_step(
        self, tile: Tile, x: Tensor, d: Tensor, group: dict[str, Any], state: dict[str, Any]
    ) -> None:
        """One update of one tile.

        Args:
            tile: the array that the network sees.
            x: (samples, cols) inputs, d: (samples, rows) output gradients; the gradient is d^T x.
            group: the parameter group with the algorithm's options.
            state: this tile's part of `optimizer.state`: numbers, tensors and arrays from `array`.
        """

    def auxiliary(self, tile: Tile, group: dict[str, Any], state: dict[str, Any]) -> Any:
        """The auxiliary arrays of a tile, from `array`; `tile.companions` gets those that products see.

        Called when a group is added or a state restored, so that arrays are there to calibrate and the next
        product sees them; and by `analog_step`, which uses them. An algorithm on W alone has none.
        """

    def check(self, group: dict[str, Any]) -> None:
        """Raise InputError when an option of a parameter group is out of range."""

    def transfer_model(
        self, tile: Tile, group: dict[str, Any], state: dict[str, Any]
    ) -> TransferModel | None:
        """How the gradient of a tile reaches its weights, for predictions; None if otherwise."""
        return None

    @checked
    def register_update_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Call `hook(tile, x, d, group, state)` before every `analog_step`, with the same arguments.

        A hook must not change its arguments; `remove()` of what is returned ends it. Copies of the
        optimizer and its `state_dict` have no hooks.
        """
        handle = RemovableHandle(self._update_hooks)
        self._update_hooks[handle.id] = hook
        return handle

    @uncompiled
    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One update of all parameters: `analog_step` of every tile, and torch's SGD of the digital ones.

        A closure is evaluated first, as in torch.

        Returns:
            What the closure returned, or None.

        Raises:
            InputError: when a parameter was not analog when it came here, and is now.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        if not self.capturable:
            refuse_capture(type(self).__name__, self.param_groups[0]["params"][0])
        groups = [(group, self.tiles_by_parameter(group)) for group in self.param_groups]
        check_ranks((p for _, parameters in groups for p, _ in parameters), step=True)
        for _, parameters in groups:  # before anything is changed
            for p, tiles in parameters:
                self._check_gradient(p, tiles)
        for group, parameters in groups:
            for p, tiles in parameters:
                if tiles:
                    self._step_tiles(p, tiles, group)
        for group, parameters in groups:  # now that no analog step raised, and inputs may be among them
            self._step_digital([p for p, tiles in parameters if not tiles and p.grad is not None], group)
        for array in self.arrays():
            array.wait()
        return loss

    def _check_gradient(self, p: Tensor, tiles: list[Tile]) -> None:
        """Raise InputError unless `step` can use the gradient of a parameter, as it is now."""
        if not tiles:
            if tiles_of(p):
                raise InputError(
                    "an analog layer got a new weight and was not called before this optimizer was made, "
                    "which takes it for digital: call the model once and make the optimizer anew"
                )
            return
        if tiles[0].owner is not p:
            raise InputError(
                "an analog layer got a new weight after this optimizer was made, which trains the old one: "
                "make the optimizer anew"
            )
        gradient = p.grad
        if isinstance(gradient, FactoredGradient) and gradient.is_factored:
            gradient.check_inputs()
        elif gradient is not None and not self.takes_matrix:
            raise InputError(
                f"the gradient of an analog weight, {tuple(p.shape)}, was changed as a matrix, and "
                f"{type(self).__name__} pulses from its factors: scale it by numbers only, hold weights "
                "with ohmgrad.hold(layer, mask), or train with MixedPrecision, GradientCounts or "
                "AnalogMomentum, which take a matrix"
            )

    def _step_tiles(self, p: Tensor, tiles: list[Tile], group: dict[str, Any]) -> None:
        """The `analog_step` of every tile of a weight, which uses its gradient up."""
        factors, states = _factors_of(p, tiles), self.state[p]
        for i, tile in enumerate(tiles):
            state = states.setdefault(i, {})
            if factors:
                for hook in self._update_hooks.values():
                    hook(tile, *factors[i], group, state)
                self.analog_step(tile, *factors[i], group, state)
            tile.wait()
        p.grad = None  # what it keeps is as large as the activations

    def _step_digital(self, params: list[Tensor], group: dict[str, Any]) -> None:
        """One step of torch's SGD."""
        if not params:
            return
        grads: list[Any] = [p.grad for p in params]
        lr, plain = group["lr"], not (group["momentum"] or group["weight_decay"])
        if plain and type(lr) is float and not any(g.is_sparse for g in grads):  # sgd, without its checks
            torch._foreach_add_(params, grads, alpha=-lr)  # pyright: ignore[reportPrivateImportUsage]
            return
        buffers = [self.state[p].get("momentum_buffer") for p in params]
        sgd(
            params, grads, buffers,
            foreach=True,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=lr,
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=False,
        )  # fmt: skip
        if group["momentum"]:
            for p, buffer in zip(params, buffers, strict=True):
                self.state[p]["momentum_buffer"] = buffer

    def tiles_in(self, group: dict[str, Any]) -> list[tuple[Tile, dict[str, Any]]]:
        """The tiles of a parameter group, each with its part of `optimizer.state`."""
        return [
            (tile, self.state[p].setdefault(i, {}))
            for p, tiles in self.tiles_by_parameter(group)
            for i, tile in enumerate(tiles)
        ]

    def tiles_by_parameter(self, group: dict[str, Any]) -> list[tuple[Tensor, list[Tile]]]:
        """Parameters of a group with their tiles (none for digital ones), looked up once."""
        params = group["params"]
        known = self._looked_up.get(id(params))
        if known is None or len(known) != len(params):
            known = [(p, tiles_of(p)) for p in params]
            if any(tiles for _, tiles in known):  # a copy may be here before the copy of its model is
                self._looked_up[id(params)] = known
        return known

    def array(self, tile: Tile, state: dict[str, Any], name: str, role: int) -> Tile:
        """The auxiliary array `name` of a tile: made of zeros when first asked for, kept in `state`.

        Args:
            role: 1 to 255, one for each array of an algorithm; addresses its elements.

        Raises:
            InputError: when the one in `state` has another shape than the tile.
        """
        return self._arrays.get(tile, state, name, role)

    def arrays(self) -> list[Tile]:
        """The auxiliary arrays that `array` has made so far."""
        return self._arrays.all()

    @checked
    def arrays_of(self, tile: Tile) -> dict[str, Tile]:
        """The auxiliary arrays of a tile so far, by name."""
        return self._arrays.of(tile)

    def events(self) -> dict[str, int]:
        """Events of all arrays, those of the weights and auxiliary ones, added up.

        Those of a state that was loaded are among them, also where the algorithm makes its arrays in a step.
        """
        found = [pair for group in self.param_groups for pair in self.tiles_in(group)]
        for tile in (*(tile for tile, _ in found), *self.arrays()):
            tile.check_status()
        counts = [tile.events for tile, _ in found]
        kept = (value for _, state in found for value in state.values() if isinstance(value, dict))
        counts += [value["events"].to(counts[0].device) for value in kept if "events" in value]
        return dict(zip(EVENTS, torch.stack(counts).sum(0).tolist(), strict=True))

    def _put_back_memories(self) -> None:
        """Have the state hold what auxiliary arrays hold, before it is copied."""
        for group in self.param_groups:
            for tile, state in self.tiles_in(group):
                self._arrays.put_back_memories(tile, state)


def _factors_of(p: Tensor, tiles: list[Tile]) -> list[tuple[Tensor, Tensor]]:
    """x (samples, cols) and d (samples, rows) for every tile of a weight; empty without a gradient."""
    gradient = p.grad
    if gradient is None:
        return []
    if isinstance(gradient, FactoredGradient):
        if gradient.is_factored:
            return gradient.factors()
        gradient = gradient.to_dense()
    return [as_factors(tile.part_of(gradient.contiguous())) for tile in tiles]


watch_other_optimizers(AnalogOptimizer)
