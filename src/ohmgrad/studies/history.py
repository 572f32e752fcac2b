"""The history of a training as one text: accuracies and events, epoch by epoch; and what it cost by then."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..cost import Cost, Hardware, cost_of
from ..cost.counts import ArrayEvents, added
from ..crossbar import EVENTS
from .events import EpochEvents

__all__ = ["History", "packed_history", "unpacked_history"]


@dataclass(frozen=True)
class History:
    """A training, epoch by epoch.

    Args:
        accuracies: on the test set after every epoch, shares.
        epochs: what the arrays counted in each; no arrays for digital.
    """

    accuracies: list[float]
    epochs: list[EpochEvents]

    def costs(self, algorithm: str, hardware: Hardware) -> Iterator[Cost]:
        """The cost of the training up to the end of each epoch, of an analog algorithm."""
        arrays: list[ArrayEvents] = []
        images = steps = 0
        for each in self.epochs:
            arrays = added([*arrays, *each.arrays])
            images, steps = images + each.images, steps + each.steps
            yield cost_of(arrays, algorithm, hardware, images=images, steps=steps)

    def images(self) -> Iterator[int]:
        """Images that the training had seen by the end of each epoch."""
        seen = 0
        for each in self.epochs:
            seen += each.images
            yield seen


def packed_history(accuracies: Sequence[float], epochs: Sequence[EpochEvents]) -> str:
    """JSON: events, their names; arrays, the places of all; epochs, each a list of its accuracy, images,
    steps, and for every array the place and the counts.
    """
    places = {each.key: each for epoch in epochs for each in epoch.arrays}
    numbers = {key: i for i, key in enumerate(places)}
    listed = [
        [accuracy, epoch.images, epoch.steps,
         [[numbers[each.key], *(each.count(name) for name in EVENTS)] for each in epoch.arrays]]
        for accuracy, epoch in zip(accuracies, epochs, strict=True)
    ]  # fmt: skip
    arrays = [[*key, each.rows, each.cols, each.seen] for key, each in places.items()]
    return json.dumps({"events": EVENTS, "arrays": arrays, "epochs": listed}, separators=(",", ":"))


def unpacked_history(text: str) -> History:
    """Inverse of `packed_history`."""
    kept = json.loads(text)
    accuracies, epochs = [], []
    for number, (accuracy, images, steps, counts) in enumerate(kept["epochs"], 1):
        arrays = [
            _array(kept["arrays"][place], dict(zip(kept["events"], counted, strict=True)))
            for place, *counted in counts
        ]
        accuracies.append(accuracy)
        epochs.append(EpochEvents(number, images, steps, arrays))
    return History(accuracies, epochs)


def _array(place: Sequence[Any], events: dict[str, float]) -> ArrayEvents:
    layer, tile, array, rows, cols, seen = place
    return ArrayEvents(layer, tile, array, rows, cols, seen, events)
