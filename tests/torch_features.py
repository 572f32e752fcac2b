"""Writes the page about scripts in PyTorch: `python -m tests.torch_features > docs/pytorch.md`."""

from __future__ import annotations

from ohmgrad import InputError
from tests.features import (
    REFUSED,
    averages,
    checkpoints,
    gradients,
    layers,
    libraries,
    loop,
    precision,
    processes,
    schedules,
    tensors,
    weights,
    workers,
    wrappers,
)  # fmt: skip

MODULES = (
    loop, gradients, tensors, weights, schedules, precision, averages, checkpoints, layers, wrappers,
    processes, workers, libraries,
)  # fmt: skip
GROUPS = [module.group for module in MODULES]

HEAD = """# What your PyTorch script uses

A converted model trains in your own loop. This page says what happens to what such a loop may use: it
**works**, it **works, with a note**, or it is **refused** with the sentence given. Every row is a test
(`tests/features/`): a small network and its analog twin, on a device where an analog step is a step of
torch's SGD, give the same numbers, or the sentence is the one that is raised.
"""


def page() -> str:
    """The page in Markdown."""
    parts = [HEAD]
    for group in GROUPS:
        parts.append(f"\n## {group.title}\n\n| | | note, or the sentence |\n|---|---|---|\n")
        for row in group.rows:
            words = f'"{row.words}"' if row.verdict == REFUSED else row.words
            by = " by torch" if row.error is not InputError else ""
            parts.append(f"| {row.name} | {row.verdict}{by} | {words} |\n".replace("|  |", "| |"))
    return "".join(parts)


if __name__ == "__main__":
    print(page(), end="")
