"""What a named device consists of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...checked import checked
from ..device import Device

__all__ = ["Preset"]


@checked
@dataclass(frozen=True)
class Preset:
    """A device, what it stands for, and its source.

    Args:
        made: the specification, or a function that makes it from files.
        note: what it stands for, in a line.
        source: publication, with its DOI or arXiv number.
        figures: where the numbers of `device` come from.
        left_out: what the source has and `device` has not.
        aihwkit: name of the preset with these numbers in aihwkit 1.2.0; empty for none.
    """

    made: Device | Callable[[], Device]
    note: str
    source: str
    figures: str = ""
    left_out: str = ""
    aihwkit: str = ""

    @property
    def device(self) -> Device:
        """The specification.

        Raises:
            InputError: when it is made from files that are not there.
        """
        return self.made if isinstance(self.made, Device) else self.made()
