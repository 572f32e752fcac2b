"""Events: what an array counts of its work, in one int64 tensor that checkpoints hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError, check_choice, shown
from ..kernels import Cells, Pulsing, ops
from ..kernels.counts import Counts, listed

__all__ = ["EVENTS", "Counters", "known_to_be_no_update"]

#: what a tile counts; every primitive adds to these. `wait` adds nothing: time passes without lines or
#: converters. Arrays that a product sees together share its lines and converters, which count once
EVENTS = (
    "updates",  # calls of pulse and pulse_counts; rounds of program, pulses of a zero-shift
    # pulses that elements got; of a pair those on G+ and on G-. A reset is one for each element, which goes
    # up from below the value and down from elsewhere; in a pair one for each of the two
    "pulses_up",
    "pulses_down",
    # pulses that lines carried, x-lines and d-lines together. In pulse the lines of the trains; in
    # pulse_counts, program, resets and refreshes the selected line fires in every slot, the crossing ones
    # once per pulse of their element; in a zero-shift all fire in each slot
    "line_toggles",
    # pulse slots, one after the other: the time that updates take. The longest train of each sample; on each
    # selected line its largest count; a slot for each column that is reset
    "slots",
    # matrix-vector products that were asked for, one direction ...
    "forward_vectors",
    "backward_vectors",  # ... and the other
    # columns that were read: by read, calibrate, write-verify
    "read_columns",
    "dac",  # conversions of one line, of all products and reads: every input ...
    "adc",  # ... and every output
    # vectors that bound management drove again, beside those asked for, as often as it did
    "driven_again",
    # of read_columns, those that write-verify read, in program and refresh: every column that holds an
    # element to be written, once a round, the last round too, which finds nothing to do. And those of both
    # arrays of pairs, before a refresh
    "verify_columns",
    # of pulses, up and down, and of slots, those of single elements, column by column: in resets, refreshes
    # and the programming of pairs
    "rewrite_pulses",
    "rewrite_slots",
)
_AT = {name: i for i, name in enumerate(EVENTS)}
#: what shares memory with the counts
VIEWS = ("updates", "pulses", "_views")


def _unit(**events: int) -> Tensor:
    """What happens once, int64 (len(EVENTS),)."""
    return torch.tensor([events.get(name, 0) for name in EVENTS])


class Counters:
    """How often each of `EVENTS` has happened on an array; adding to them asks for no value.

    Args:
        rows, cols: shape of the array.
        place: where it is.
    """

    def __init__(self, rows: int, cols: int, place: torch.device) -> None:
        self._cols = cols
        #: added to the number of a vector, where ranks have read noise of their own
        self.first_vector = 0
        #: called with the number of an update, int64 (0-d), and its pulses; None where nobody asks
        self.recorder: Callable[[Tensor, Counts], None] | None = None
        #: what one vector of a product, or one column that is read, counts
        self._units = {
            "forward": _unit(forward_vectors=1, dac=cols, adc=rows),
            "backward": _unit(backward_vectors=1, dac=rows, adc=cols),
            "forward again": _unit(driven_again=1, dac=cols, adc=rows),
            "backward again": _unit(driven_again=1, dac=rows, adc=cols),
            "read": _unit(read_columns=1, dac=cols, adc=rows),
            "verify": _unit(read_columns=1, verify_columns=1, dac=cols, adc=rows),
        }
        self._count_in(torch.zeros(len(EVENTS), dtype=torch.int64))
        self.to(place)

    def to(self, place: torch.device) -> None:
        """Count on another device from now on."""
        self._units = {name: unit.to(place) for name, unit in self._units.items()}
        self._count_in(self.events.to(place))

    def _count_in(self, events: Tensor) -> None:
        #: the counts, int64 (len(EVENTS),); they address random numbers, and checkpoints hold this tensor
        self.events = events
        self._views: dict[str, Tensor] = {}
        #: number of the next update, int64 (0-d); and pulses up and down, line toggles, slots: int64 (4,)
        self.updates, self.pulses = events[_AT["updates"]], events[1:5]

    def __getstate__(self) -> dict[str, Any]:  # copies of views would be tensors of their own
        kept = {name: value for name, value in vars(self).items() if name not in VIEWS}
        return {**kept, "recorder": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._count_in(self.events)

    def counter(self, name: str) -> Tensor:
        """The count of an event, int64 (0-d), sharing memory with `events`."""
        view = self._views.get(name)
        if view is None:
            check_choice("event", name, _AT)
            view = self._views[name] = self.events[_AT[name]]
        return view

    def add(self, **events: int | Tensor) -> None:
        """Add to the counts of events."""
        for name, number in events.items():
            self.counter(name).add_(number)

    def add_vectors(self, direction: str, number: int) -> None:
        """Count vectors of products, "forward" or "backward"."""
        self.events.add_(self._units[direction], alpha=number)

    def add_driven(self, direction: str, number: int | Tensor) -> None:
        """Count vectors that bound management drove again, "forward" or "backward"."""
        unit = self._units[f"{direction} again"]
        if isinstance(number, Tensor):
            self.events.add_(unit * number)
        elif number:
            self.events.add_(unit, alpha=number)

    def add_reads(self, columns: int | Tensor, verify: bool = False) -> None:
        """Count columns that were read, each driven by all lines; `verify`: by write-verify."""
        unit = self._units["verify" if verify else "read"]
        if isinstance(columns, Tensor):
            self.events.add_(unit * columns)
        else:
            self.events.add_(unit, alpha=columns)

    def add_lines(self, n: Tensor) -> None:
        """Count slots and toggles of pulse counts, int64 (rows, cols), that are sent line by line.

        Lines are rows, or columns where that takes fewer slots: a line takes as many as its largest count.
        """
        size = n.abs()
        slots = torch.minimum(size.amax(1).sum(), size.amax(0).sum())
        self.add(slots=slots, line_toggles=slots + size.sum())

    def record_pulses(self, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> None:
        """Tell the recorder, if there is one, the pulses of the update that is about to be counted."""
        if self.recorder is not None:
            unused = torch.zeros_like(self.pulses)
            self.recorder(self.updates, ops.count_pulses(cells, x, d, lr, pulsing, self.updates, unused))

    def record_counts(self, n: Tensor) -> None:
        """As `record_pulses`, of pulse counts, int64 (rows, cols)."""
        if self.recorder is not None:
            self.recorder(self.updates, Counts(listed(n), listed(-n)))

    def add_selected(self, columns: Tensor, up: Tensor, down: Tensor) -> None:
        """Count pulses up and down of some elements, int64 (k,), that are written column by column.

        Args:
            columns: of each of the elements, int64 (k,).
        """
        largest = torch.zeros(self._cols, dtype=torch.int64, device=columns.device)
        largest.scatter_reduce_(0, columns, torch.maximum(up, down), "amax")
        slots, ups, downs = largest.sum(), up.sum(), down.sum()
        self.add(pulses_up=ups, pulses_down=downs, slots=slots, line_toggles=slots + ups + downs)
        self.add(rewrite_pulses=ups + downs, rewrite_slots=slots)

    def load(self, events: Any) -> None:
        """Go on from `events`, integers; what an earlier version did not count starts at 0.

        Raises:
            InputError: when they are more than this version counts.
        """
        kept = torch.as_tensor(events, dtype=torch.int64, device=self.events.device)
        if len(kept) > len(EVENTS):
            raise InputError(
                f"the state counts {len(kept)} events, but this version counts {len(EVENTS)}: use the one "
                "that saved it"
            )
        self.events.zero_()
        self.events[: len(kept)] = kept


def known_to_be_no_update(is_update: Tensor | None) -> bool:
    """Whether nothing is to be done for an update with this `is_update`, see `Tile.pulse`.

    Only the host is asked: there it costs less than an update, where a device would have to be waited for.
    """
    if is_update is None:
        return False
    if not isinstance(is_update, Tensor) or is_update.dim():
        raise InputError(f"is_update is {shown(is_update)}, but must be a bool tensor (0-d), or None")
    return is_update.device.type == "cpu" and not is_update
