"""Compounds of aihwkit as algorithms here: their class is the algorithm, their fields its options."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from ..devices import Device
from ..errors import InputError, shown
from ..kernels import Periphery, Pulsing
from .circuits import periphery_of, pulsing_of, without_management
from .elements import element_of
from .reading import Node

__all__ = ["Algorithm", "algorithm_of"]


@dataclass
class Algorithm:
    """An algorithm by its name, and its options.

    Args:
        name: as in `ohmgrad.optim.ALGORITHMS`.
        device: of the array of weights, and so of all.
        options: of the algorithm.
        of_lr: options that are a multiple of the learning rate, with the factor.
        per_input: the threshold of the buffer times the inputs of a layer; None where it is the same for all.
    """

    name: str
    device: Device
    options: dict[str, Any] = field(default_factory=dict)
    of_lr: dict[str, float] = field(default_factory=dict)
    per_input: float | None = None


def algorithm_of(node: Node, periphery: Periphery, pulsing: Pulsing, vectors: int | None) -> Algorithm:
    """The algorithm that a device of a configuration stands for.

    Args:
        node: element, cell or compound.
        periphery, pulsing: of the products and of the update, which transfers have here, too.
        vectors: of an update, by which counts of vectors become counts of updates; None for not known.

    Raises:
        InputError: when its elements have no counterpart.
    """
    if node.is_a("MixedPrecisionCompound"):
        return _mixed_precision(node)
    if not node.is_a("TransferCompound"):
        return Algorithm("sgd", element_of(node))
    devices = node.children("unit_cell_devices")
    if len(devices) < 2:
        raise InputError(f"{node.at('unit_cell_devices')} has {len(devices)} devices, but transfers need two")
    device = element_of(devices[1])
    with node.notes.told_once():
        fast = element_of(devices[0])
    unlike = [f.name for f in fields(Device) if getattr(device, f.name) != getattr(fast, f.name)]
    if unlike:
        node.notes.lacks(
            f"{devices[0].path}: {', '.join(unlike)} unlike the last's; all arrays are alike here"
        )
    _circuits_of_transfers(node, periphery, pulsing)
    if len(devices) > 2:
        return _multi_tile(node, device, len(devices))
    made = Algorithm("tiki-taka", device)
    _rates(node, made, vectors)
    gamma = _gamma(node)
    chopped = node.is_a("ChoppedTransferCompound")
    if node.is_a("BufferedTransferCompound") or (chopped and not node.take("no_buffer")):
        _buffer(node, made)
        if chopped and (node.values["in_chop_prob"] or node.is_a("DynamicTransferCompound")):
            _choppers(node, made)
            if gamma:
                node.notes.lacks(f"{node.at('gamma')} = {gamma:g}: products see W alone here")
            return made
        for name in ("in_chop_prob", "in_chop_random"):
            node.take(name)
        made.name = "ttv2"
    made.options["gamma"] = gamma
    return made


# --- what transfers share ---------------------------------------------------------------------------------


def _rates(node: Node, made: Algorithm, vectors: int | None) -> None:
    """Learning rates; when columns are read, and how many."""
    rate = node.take("fast_lr", "fast_lr")
    if rate <= 0:
        made.of_lr["fast_lr"] = 1.0
    elif node.take("scale_fast_lr"):
        made.of_lr["fast_lr"] = rate
    else:
        made.options["fast_lr"] = rate
        if "scale_fast_lr" not in node.given and not node.is_a("ChoppedTransferCompound"):
            node.notes.nearly("scale_fast_lr is not said: fast_lr stands alone, as up to aihwkit 1.1")
    factor = node.take("transfer_lr", "transfer_lr")
    if not node.take("scale_transfer_lr", "transfer_lr"):
        made.options["transfer_lr"] = factor
    elif factor != 1:
        made.of_lr["transfer_lr"] = factor
    every, reads = node.take("transfer_every", "transfer_every"), node.take("n_reads_per_transfer", "columns")
    if every <= 0:
        raise InputError(
            f"{node.at('transfer_every')} is {shown(every)}, but must be above 0: 0 never transfers"
        )
    per_update = 1 / every
    if not node.take("units_in_mbatch", "transfer_every"):
        if vectors is None:
            node.notes.nearly(
                "transfers are counted in vectors there: taken as one vector an update; give vectors=, the "
                "samples of an update times positions of a convolution"
            )
        per_update = (vectors or 1) / every
        if (vectors or 1) > 1:
            node.notes.nearly("transfers that fall within an update come at its end here")
    made.options["transfer_every"] = max(round(1 / per_update), 1)
    made.options["columns"] = max(round(per_update * made.options["transfer_every"]), 1) * reads
    there = made.options["columns"] / made.options["transfer_every"] / reads
    if abs(there - per_update) > 1e-6 * per_update:
        node.notes.nearly(f"{per_update:.4g} transfers an update there, {there:.4g} here")
    if not node.take("transfer_columns"):
        node.notes.lacks(f"{node.at('transfer_columns')} = False: columns are read here")
    if node.take("random_selection", "order"):
        made.options["order"] = "random"


def _gamma(node: Node) -> float:
    """The share of the fast array in what products see."""
    vector, gamma = node.take("gamma_vec"), node.take("gamma", "gamma")
    if not vector:
        return gamma
    if vector[-1] != 1:
        node.notes.lacks(f"{node.at('gamma_vec')} = {vector}: the share of W is 1 here")
    return vector[0]


def _circuits_of_transfers(node: Node, periphery: Periphery, pulsing: Pulsing) -> None:
    """Transfers are read through the circuits of the products here, and written by the pulses of updates."""
    with node.notes.told_once():
        reads = without_management(periphery_of(node.child("transfer_forward")))
    ours = without_management(periphery)
    unlike = [f.name for f in fields(Periphery) if getattr(reads, f.name) != getattr(ours, f.name)]
    if unlike:
        node.notes.lacks(f"{node.at('transfer_forward')}: {', '.join(unlike)} unlike forward; alike here")
    if node.is_a("BufferedTransferCompound") or node.is_a("ChoppedTransferCompound"):
        return
    with node.notes.told_once():
        writes = pulsing_of(node.child("transfer_update"))[0]
    if writes != pulsing:
        node.notes.lacks(f"{node.at('transfer_update')} unlike update; alike here")


def _buffer(node: Node, made: Algorithm) -> None:
    """The digital buffer H between the arrays."""
    writes = node.child("transfer_update")
    made.options["max_pulses"] = writes.take("desired_bl", "max_pulses")
    for name in ("pulse_type", "update_bl_management", "update_management", "fixed_bl"):
        writes.take(name)  # pulses are sent for certain, one slot each
    made.options["buffer_momentum"] = node.take("momentum", "buffer_momentum")
    made.options["rest"] = "forget" if node.take("forget_buffer", "rest") else "keep"
    chopped = node.is_a("ChoppedTransferCompound")
    name = "buffer_granularity" if chopped else "thres_scale"
    made.options["granularity"] = granularity = node.take(name, "granularity") or 1.0
    if chopped and (states := node.take("auto_granularity", "granularity")):
        made.per_input = granularity * states / node.values["transfer_every"]


def _choppers(node: Node, made: Algorithm) -> None:
    made.name = "agad" if node.is_a("DynamicTransferCompound") else "c-ttv2"
    made.options["chop_prob"] = node.take("in_chop_prob", "chop_prob")
    made.options["chopping"] = "random" if node.take("in_chop_random", "chopping") else "regular"
    if made.name == "agad":
        made.options["tail"] = node.take("tail_weightening", "tail")


# --- the other algorithms ---------------------------------------------------------------------------------


def _multi_tile(node: Node, device: Device, tiles: int) -> Algorithm:
    """Several arrays of falling weight: the first gets the gradient, the last is W."""
    rates, periods = node.take("transfer_lr_vec"), node.take("transfer_every_vec")
    for name, vector in (("transfer_lr", rates), ("transfer_every", periods)):
        if vector:
            node.values[name] = vector[0]
    made = Algorithm("multi-tile", device, {"tiles": tiles})
    _rates(node, made, None)
    for theirs, ours in (("fast_lr", "alpha"), ("transfer_lr", "beta")):
        for where in (made.options, made.of_lr):
            if theirs in where:
                where[ours] = where.pop(theirs)
    if made.of_lr.get("alpha") == 1.0:
        del made.of_lr["alpha"]  # it follows lr by itself
    if "beta" not in made.options:
        made.of_lr.setdefault("beta", 1.0)
    if rates:
        made.options["beta_ratio"] = rates[1] / rates[0] if tiles > 2 and rates[0] else 1.0
    if periods:
        made.options["inner"] = max(round(periods[1] / periods[0]), 1)
    else:
        node.notes.lacks(
            f"{node.at('transfer_every')} of inner arrays grows with a layer's inputs there: inner here"
        )
    gammas = node.take("gamma_vec")
    gamma = gammas[-2] if gammas else node.take("gamma", "gamma")
    node.take("gamma")
    powers = [gamma ** (tiles - 1 - i) for i in range(tiles)]
    if 0 < gamma <= 1 and all(abs(a - b) < 1e-6 for a, b in zip(gammas or powers, powers, strict=True)):
        made.options["gamma"] = gamma
    else:
        node.notes.lacks(f"{node.at('gamma_vec')} = {gammas or gamma}: powers of a gamma in (0, 1] here")
    return made


def _mixed_precision(node: Node) -> Algorithm:
    made = Algorithm("mixed-precision", element_of(node.child("device")))
    made.options["granularity"] = node.take("granularity", "granularity") or None
    made.options["transfer_every"] = node.take("transfer_every", "transfer_every")
    rows = node.take("n_rows_per_transfer", "rows")
    made.options["rows"] = None if rows <= 0 else rows
    return made
