"""TensorBoard, where asked: the numbers of a run as scalars against the number of updates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import InputError

__all__ = ["log_epoch", "tensorboard_writer"]

#: tags of the columns of metrics.csv
_TAGS = {
    "running_loss": "loss/running",
    "train_loss": "loss/training",
    "test_accuracy": "accuracy/test",
    "pulses_up": "pulses/up",
    "pulses_down": "pulses/down",
}


def tensorboard_writer(folder: Path | None, updates: int = 0) -> Any:
    """A torch.utils.tensorboard.SummaryWriter.

    Args:
        folder: where the event files go; None only checks that TensorBoard is installed.
        updates: number of updates that are done: what an earlier, cut-off run logged beyond is dropped.

    Raises:
        InputError: when TensorBoard is not installed.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise InputError(
            "TensorBoard is not installed: pip install 'ohmgrad[tensorboard]', or leave --tensorboard out"
        ) from None
    return None if folder is None else SummaryWriter(folder, purge_step=updates + 1 if updates else None)


def log_epoch(writer: Any, row: dict[str, Any], updates: int) -> None:
    """A row of metrics.csv, after so many updates."""
    for column, tag in _TAGS.items():
        writer.add_scalar(tag, row[column], updates)
    writer.flush()
