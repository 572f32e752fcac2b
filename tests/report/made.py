"""Folders and pages that are made without a training."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ohmgrad.studies.folders import make_folder
from ohmgrad.studies.rows import COLUMNS, write_rows
from ohmgrad.studies.spec import RunSpec
from ohmgrad.studies.versions import note_versions

__all__ = ["Parsed", "run_folder"]

#: test accuracies of the last epoch by algorithm and seed
ENDS = {"digital": (0.97, 0.98, 0.96), "tiki-taka": (0.95, 0.97, 0.94), "sgd": (0.60, 0.72, 0.65)}


def run_folder(folder: Path, epochs: int = 3, done: int | None = None, **settings: Any) -> Path:
    """A run folder as `train` leaves it: the accuracies of `ENDS` after the last epoch, less before.

    Args:
        folder: made.
        epochs: wanted; done: of the last training, if it was cut off.
        settings: of the specification.
    """
    given: dict[str, Any] = {"seeds": (0, 1, 2), "algorithms": tuple(ENDS), **settings}
    spec = RunSpec(epochs=epochs, **given)
    make_folder(folder, spec)
    note_versions(folder)
    trainings = [(a, seed) for seed in spec.seeds for a in spec.algorithms]
    rows = []
    for algorithm, seed in trainings:
        last = epochs if done is None or (algorithm, seed) != trainings[-1] else done
        for epoch in range(1, last + 1):
            accuracy = ENDS[algorithm][seed] - 0.1 * (epochs - epoch)
            values = (algorithm, seed, epoch, 1.0, 2.0 / epoch, accuracy, 5, 6, 1.0)
            rows.append(dict(zip(COLUMNS, values, strict=True)))
    write_rows(folder / "metrics.csv", rows, COLUMNS)
    return folder


class Parsed(HTMLParser):
    """A page as its parser sees it: elements with what they have, and the text of each kind of element."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == [], f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len({*names}) == len(names), f"{tag} has {names}"
        self.elements.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in ("meta", "img", "br"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in {*self._open}:
            self.texts[tag] = self.texts.get(tag, "") + data
