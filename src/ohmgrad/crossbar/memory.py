"""What the elements of a tile hold beside the weights that are seen, and how both stay together.

A tile's weights are what products and reads see. Where a device asks for it, its elements hold something
else, which pulses and time act on, in planes of `Tile.memory`, each (rows, cols):

    persistent         weights of the elements; plus, minus: of the two of a one-sided pair
    noise              write noise, weight = persistent + noise
    reference          weight = persistent - reference
    age, age_minus     steps of time since an element was last pulsed, int32
    fixed              where a weight is held, its value; NaN elsewhere (`Tile.hold`, of any device)
    clock              times that `wait` drew numbers; refreshes likewise: int64 tensors of one number, which
                       are counted in place, so that a state that was put into other containers goes on

After each primitive the weights are made anew from these. Weights that a user writes are taken over before
the next one: the elements then hold them as they are given, without write noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..devices import Device, Reference
from ..errors import InputError
from ..kernels import Cells, Pulsing, ops
from ..kernels.checks import check_counts, raise_too_many
from ..kernels.counts import Pulses, listed
from ..rng import Purpose, gaussians
from .sides import Side, draw_side, drive, minus_side, pass_time, refresh_key

if TYPE_CHECKING:
    from .tile import Tile

__all__ = ["Hidden"]

#: standard deviations that no number of Box-Muller on 32-bit words exceeds: sqrt(-2 log 2^-33) = 6.76
TOP_NORMAL = 6.8
#: what is one number for the whole array
NUMBERS = ("clock", "refreshes")
AGES = {"persistent": "age", "plus": "age", "minus": "age_minus"}


class Hidden:
    """What lies around the responses of a tile's elements: stuck, noisy, forgetful, or two for a weight.

    Knows no state: that is `Tile.memory`. The tile comes as an argument, so that copies need no care.
    """

    def __init__(self, device: Device, cells: Cells) -> None:
        self.device = device
        self.pair = device.pair is not None
        self.sides = [draw_side(device, "plus" if self.pair else "persistent", cells)]
        if self.pair:
            self.sides.append(minus_side(device, cells))
        self.noise = device.write_noise * device.dw_min
        #: whether it matters which elements an update pulses
        self.minds_pulses = bool(self.noise) or self.sides[0].nu is not None

    # --- planes ------------------------------------------------------------------------------------

    def begin(self, tile: Tile) -> None:
        """Make the planes that the device asks for; the weights of the tile are those wanted."""
        names = [side.name for side in self.sides] if self.pair else []
        if self.noise:
            names += ["persistent", "noise"]
        if self.device.reference is not None:
            names += ["persistent"]
            tile.memory["reference"] = drawn_reference(self.device.reference, self.sides[0])
        elif tile.block is not None and not self.pair:
            names += ["persistent"]  # a block of a wider matrix is strided; planes are whole
        if self.sides[0].nu is not None:
            names += [AGES[side.name] for side in self.sides]
        for name in names:
            tile.memory[name] = torch.zeros(
                tile.shape, dtype=torch.int32 if name.startswith("age") else torch.float32
            )
        if self.device.retention is not None:
            tile.memory["clock"] = torch.zeros((), dtype=torch.int64)
        if self.pair:
            tile.memory["refreshes"] = torch.zeros((), dtype=torch.int64)

    def plane(self, tile: Tile, side: Side) -> Tensor:
        """Weights of the elements of a side, (rows, cols): a plane of their own, or the tile's weights."""
        return tile.memory.get(side.name, tile.weight)

    def held(self, tile: Tile) -> Tensor:
        """What the elements hold, (rows, cols)."""
        if self.pair:
            return tile.memory["plus"] - tile.memory["minus"]
        return self.plane(tile, self.sides[0])

    def reach(self, tile: Tile, w: Tensor, calibrated: bool = True) -> Tensor:
        """`w` (rows, cols) kept inside what the weights can be, write noise aside; as if it were not
        calibrated, on request."""
        if self.pair:
            plus, minus = (side.elements.upper for side in self.sides)
            return torch.minimum(torch.maximum(w, -minus), plus)
        reference = tile.memory.get("reference")
        if reference is not None and (calibrated or self.device.reference is not None):
            return self.sides[0].clip(w + reference) - reference
        return self.sides[0].clip(w)

    def fits(self, tile: Tile, w: Tensor, calibrated: bool = True) -> Tensor:
        """Whether each of `w` (rows, cols) can be a weight, write noise and rounding included; `calibrated`
        as in `reach`."""
        slack = TOP_NORMAL * self.noise + 1e-6 * (self.device.response.w_max - self.device.response.w_min)
        return (w - self.reach(tile, w, calibrated)).abs() <= slack  # false for NaN

    def settle(self, tile: Tile) -> None:
        """Have the elements hold the tile's weights, as near as they can; ages and noise start anew."""
        w, memory = tile.weight, tile.memory
        if self.pair:
            for sign, side in zip((1, -1), self.sides, strict=True):
                memory[side.name].copy_(side.clip(sign * w))
        elif "reference" in memory:
            memory["persistent"].copy_(self.sides[0].clip(w + memory["reference"]))
        else:
            self.plane(tile, self.sides[0]).copy_(self.sides[0].clip(w))
        for name in ("noise", *AGES.values()):
            if name in memory:
                memory[name].zero_()
        self._fix_as_written(tile)
        self.show(tile)

    def seen(self, memory: Mapping[str, Any]) -> Tensor | None:
        """The weights that go with `memory`; None where it has no plane of them."""
        if self.pair:
            w = memory["plus"] - memory["minus"]
        elif "reference" in memory:
            w = memory["persistent"] - memory["reference"]
        else:
            w = memory.get("persistent")
        if w is None:
            return None
        if "noise" in memory:
            w = w + memory["noise"]
        return torch.where(memory["fixed"].isnan(), w, memory["fixed"]) if "fixed" in memory else w

    def show(self, tile: Tile, touched: Tensor | None = None, refresh: bool = False) -> None:
        """Make the weights from what the elements hold; `touched`, bool (rows, cols): those just pulsed."""
        memory = tile.memory
        for side in self.sides:
            side.pin(self.plane(tile, side))
        if touched is not None and "noise" in memory:
            step, cells = tile.updates, tile.cells
            if refresh:
                step, cells = (
                    memory["refreshes"],
                    Cells.of(tile.elements, refresh_key(tile.key), cells.backend),
                )
            ops.normals_(memory["noise"], cells, step, Purpose.WRITE_NOISE, self.noise, touched)
        if "fixed" in memory:
            self._put_back(tile)
        if self.pair:
            torch.sub(memory["plus"], memory["minus"], out=tile.weight)
        elif "reference" in memory:
            torch.sub(memory["persistent"], memory["reference"], out=tile.weight)
        elif "persistent" in memory:
            tile.weight.copy_(memory["persistent"])  # and there is noise
        if "noise" in memory:
            tile.weight.add_(memory["noise"])
        if "fixed" in memory:  # to the last bit, which a difference of planes is not
            tile.weight.copy_(torch.where(memory["fixed"].isnan(), tile.weight, memory["fixed"]))
        tile.wrote()

    # --- weights that are held ---------------------------------------------------------------------

    def hold(self, tile: Tile, mask: Tensor | None) -> None:
        """Hold the weights where `mask`, bool (rows, cols), is true; None lets all go."""
        tile.memory.pop("fixed", None)
        if mask is not None and bool(mask.any()):
            tile.memory["fixed"] = tile.weight.clone().masked_fill_(~mask, torch.nan)
        self.show(tile)

    def _fix_as_written(self, tile: Tile) -> None:
        """Hold the same weights at the values that were written, but stuck ones where they stand."""
        if (fixed := tile.memory.pop("fixed", None)) is None:
            return
        # a held weight may lie beyond its bound by write noise, and stays there unless another is written
        w = torch.where(tile.weight == fixed, fixed, self.reach(tile, tile.weight)).contiguous()
        for side in self.sides:
            side.pin(self.plane(tile, side))
        seen = self.seen(tile.memory)
        for side in self.sides:
            if len(side.stuck):
                stands = (tile.weight if seen is None else seen).flatten()[side.stuck]
                w.view(-1)[side.stuck] = stands
        tile.memory["fixed"] = torch.where(fixed.isnan(), fixed, w)

    def _put_back(self, tile: Tile) -> None:
        """Have the elements of held weights hold these again."""
        fixed, memory = tile.memory["fixed"], tile.memory
        for sign, side in zip((1, -1), self.sides, strict=False):
            plane, at = self.plane(tile, side), sign * fixed
            if "reference" in memory:
                at = at + memory["reference"]
            plane.copy_(torch.where(fixed.isnan(), plane, side.clip(at)))
        if "noise" in memory:
            memory["noise"].masked_fill_(~fixed.isnan(), 0.0)

    def check(self, tile: Tile, planes: Mapping[str, Any]) -> None:
        """Raise InputError unless the memory of a checkpoint is of this kind of device and of this shape."""
        known = {*tile.memory, "fixed", *(() if self.pair else ("persistent", "reference"))}
        for name, value in planes.items():
            shape = tuple(value.shape) if isinstance(value, Tensor) else ()
            if name not in known or shape != (() if name in NUMBERS else tile.shape):
                raise InputError(
                    f"memory {name!r} {shape} does not fit a tile of {tile.shape} that remembers "
                    f"{', '.join(tile.memory) or 'nothing'}: load it into a model of the same device"
                )
        needed = {*tile.memory} - self._added(tile) - {"fixed"} | (
            {"persistent"} if "reference" in planes else set()
        )
        if missing := sorted(needed - {*planes}):
            raise InputError(
                f"memory has no {missing[0]!r}, which elements of this device hold beside the weights: "
                "load it into a model of the same device"
            )

    def restore(self, tile: Tile, planes: Mapping[str, Any]) -> None:
        """Take over the memory of a checkpoint; a calibration that it does not have is dropped.

        Raises:
            InputError: when it is of another kind of device, or of another shape, or lacks a plane.
        """
        self.check(tile, planes)
        self.drop_calibration(tile)
        fixed = tile.memory.pop("fixed", None)
        for name, value in planes.items():
            whole = torch.int64 if name in NUMBERS else torch.int32 if name.startswith("age") else None
            kept = torch.as_tensor(value, dtype=whole or torch.float32).detach()
            tile.memory[name] = kept.clone(memory_format=torch.contiguous_format)
        if not self.pair:  # the weights are the plane where there is no other, and may have been written
            held = self.plane(tile, self.sides[0])
            held.copy_(self.sides[0].clip(held))
        self.show(tile)
        if fixed is not None and "fixed" not in planes:  # a state from before: held at its values
            self.hold(tile, ~fixed.isnan())

    def _added(self, tile: Tile) -> set[str]:
        """Planes that a calibration may have added to those of `begin`."""
        if self.device.reference is not None:
            return set()
        whole = tile.block is None or self.device.memoryless
        return {"reference", "persistent"} if whole and not self.noise else {"reference"}

    def drop_calibration(self, tile: Tile) -> None:
        """Forget the reference of `Tile.calibrate`; the weights are to be made anew."""
        for name in self._added(tile):
            tile.memory.pop(name, None)

    # --- what primitives do ------------------------------------------------------------------------

    def pulse(self, tile: Tile, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> None:
        """As `ops.pulsed_update_`."""
        step, cells = tile.updates, self.sides[0].cells
        if self.pair:
            counts = ops.count_pulses(cells, x, d, lr, pulsing, step, tile.pulses)
            if pulsing.fidelity == "mean":
                self._change(tile, x.double(), d.double(), lr)
            else:
                self._drive(tile, counts.up, counts.down, step, pulsing.fidelity)
            self._pulsed(tile, counts.up, counts.down)
            return
        held = self.plane(tile, self.sides[0])
        touched = torch.zeros(tile.shape, dtype=torch.bool) if self.minds_pulses else None
        ops.pulsed_update_(held, cells, x, d, lr, pulsing, step, tile.pulses, touched)
        if touched is not None:
            self._renew_ages(tile, touched)
        self.show(tile, touched)

    def apply_counts(self, tile: Tile, n: Tensor) -> None:
        """As `ops.apply_counts_`; in a pair pulses down go up on the second element."""
        step, fidelity = tile.updates, tile.pulsing.fidelity
        if self.pair:
            check_counts(self.sides[0].cells, n)
            low, high = n.aminmax()
            if max(-int(low), int(high)) > tile.most_pulses:
                raise_too_many(int(low), int(high), tile.most_pulses)
            up, down = listed(n), listed(-n)
            self._drive(tile, up, down, step, fidelity)
            self._pulsed(tile, up, down)
            tile.count_events(pulses_up=up.n.sum(), pulses_down=down.n.sum())
        else:
            held, side = self.plane(tile, self.sides[0]), self.sides[0]
            ops.apply_counts_(held, side.cells, n, fidelity, step, tile.pulses, tile.most_pulses)
            touched = n != 0
            self._renew_ages(tile, touched)
            self.show(tile, touched)

    def steps(self, tile: Tile, left: Tensor) -> Tensor:
        """Size of the step of a pulse towards `left` (rows, cols), in units of dw_min; not of pairs."""
        elements, held = self.sides[0].elements, self.plane(tile, self.sides[0])
        return torch.where(left >= 0, elements.q_plus(held), elements.q_minus(held))

    def wait(self, tile: Tile, steps: int) -> None:
        """Let time pass."""
        retention = self.device.retention
        assert retention is not None
        mixed = retention.drift and (retention.lifetime is not None or retention.diffusion)
        at_once = 1 if mixed else steps
        for _ in range(steps // at_once):
            for side in self.sides:
                age = tile.memory.get(AGES[side.name])
                w, clock = self.plane(tile, side), tile.memory["clock"]
                pass_time(side, w, age, at_once, clock, self.device)
            tile.memory["clock"] += 1
        self.show(tile)

    def subtract(self, tile: Tile, read: Tensor) -> None:
        """Add what was read, (rows, cols), to the reference, so that the weights there become 0.

        The reference of held weights stays, as they do.
        """
        if "fixed" in tile.memory:
            read = torch.where(tile.memory["fixed"].isnan(), read, 0.0)
        if "persistent" not in tile.memory:
            tile.memory["persistent"] = tile.weight.clone()
        tile.memory["reference"] = tile.memory.get("reference", torch.zeros(tile.shape)) + read
        self.show(tile)

    # --- one-sided pairs ---------------------------------------------------------------------------

    def _drive(self, tile: Tile, up: Pulses, down: Pulses, step: Tensor, fidelity: str) -> None:
        for side, pulses in zip(self.sides, (up, down), strict=True):
            drive(side, tile.memory[side.name], pulses, fidelity, step)

    def _change(self, tile: Tile, x: Tensor, d: Tensor, lr: float) -> None:
        """The discrete-time dynamics: g' = g + |dw| q+(g), of G+ where dw > 0 and of G- where dw < 0."""
        for sign, side in zip((1, -1), self.sides, strict=True):
            g = tile.memory[side.name].double()
            for xb, db in zip(x, d, strict=True):
                g = side.clip(g + (sign * lr * torch.outer(db, xb)).clamp(min=0) * side.elements.q_plus(g))
            tile.memory[side.name].copy_(g)

    def _pulsed(self, tile: Tile, up: Pulses, down: Pulses) -> None:
        """After pulses on the two elements of pairs: their ages, their write noise, the weights."""
        touched = None
        if self.minds_pulses:
            ups, downs = up.touched(tile.shape), down.touched(tile.shape)
            self._renew_ages(tile, ups, downs)
            touched = ups | downs
        self.show(tile, touched)

    def _renew_ages(self, tile: Tile, *touched: Tensor) -> None:
        for side, some in zip(self.sides, touched, strict=True):
            if AGES[side.name] in tile.memory:
                tile.memory[AGES[side.name]].masked_fill_(some, 0)

    def full(self, tile: Tile) -> Tensor:
        """Flat indices of the pairs that a refresh resets, see `OneSided`."""
        assert self.device.pair is not None
        plus, minus = tile.memory["plus"], tile.memory["minus"]
        top = self.device.pair.refresh_at
        beyond = (plus > top * self.sides[0].elements.upper) | (minus > top * self.sides[1].elements.upper)
        return (beyond & (torch.minimum(plus, minus) > self.device.dw_min)).flatten().nonzero().flatten()

    def rewritten(self, tile: Tile, touched: Tensor) -> None:
        """After a refresh or a programming of the pairs `touched`, bool (rows, cols)."""
        self._renew_ages(tile, touched, touched)
        self.show(tile, touched, refresh=True)


def drawn_reference(reference: Reference, side: Side) -> Tensor:
    """Reference of every element, float32 (rows, cols); law: see `Reference`."""
    rows, cols = side.elements.shape
    at = side.elements.symmetric_point() if isinstance(reference.at, str) else torch.tensor(reference.at)
    z = gaussians(cols, torch.arange(rows), 0, Purpose.REFERENCE, side.key)
    return side.clip((at + reference.std * z).float().expand(rows, cols)).contiguous()
