"""One training: an algorithm with a seed, epoch by epoch, kept in a checkpoint and resumed from it."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..checked import checked
from ..cost.counts import ArrayEvents, array_events, since
from ..datasets import Dataset, batches
from ..errors import InputError, check_integer, naming
from ..models import build
from ..models.vision import is_vision, standard
from ..monitor import Monitor
from ..optim import AnalogOptimizer, MultiTile
from ..version import __version__
from . import training_state as state
from .checkpoint import previous, read_checkpoint, write_checkpoint
from .events import EpochEvents, packed_events, unpacked_events
from .folders import file_name
from .images import Images
from .rows import Row, check_names, check_rows, diverged, watched_rows
from .spec import RunSpec
from .tensorboard import log_epoch, tensorboard_writer

__all__ = ["Kept", "Progress", "Training", "evaluate"]

#: at most so many images of the training set are evaluated at the end of an epoch, for train_loss
EVALUATED = 10_000


@checked
@dataclass
class Progress:
    """What a run tells while it goes on; the default says nothing."""

    step: Callable[[str, int, int, int, float], None] = lambda *_: None
    """(algorithm, seed, step, steps, running loss), several times an epoch"""
    epoch: Callable[[Row], None] = lambda *_: None
    """a finished row of metrics.csv"""
    note: Callable[[str], None] = lambda *_: None
    preparing: Callable[[bool], None] = lambda *_: None
    """True before kernels are compiled or loaded, False when they are ready"""
    begin: Callable[[Training], None] = lambda *_: None
    """a training that is about to go on"""


@dataclass
class Kept:
    """Where a training is kept.

    Args:
        file: of its last checkpoint.
        about: what determines it beside algorithm and seed.
        note: called with a line when that checkpoint cannot be used, but the one before it.
        sound: whether the checkpoint that is there can be used, and becomes the one before.
    """

    file: Path
    about: dict[str, Any]
    note: Callable[[str], None]
    sound: bool = True


class Training:
    """One algorithm with one seed, epoch by epoch."""

    def __init__(self, spec: RunSpec, data: Dataset, algorithm: str, seed: int, kept: Kept | None) -> None:
        """`kept` is None for a training that is not kept."""
        self.spec, self.data, self.algorithm, self.seed = spec, data, algorithm, seed
        self.kept = kept
        self.steps = -(-len(data.train_x) // spec.batch_size)  # updates of an epoch
        self.board: Any = None
        pretrained = is_vision(spec.model) and spec.pretrained is not None
        self.images = Images(
            data,
            augment=spec.augment,
            resize=spec.resize,
            standard=standard(spec.model) if pretrained else None,
            seed=seed,
        )
        self._begin()
        if kept is not None:
            self._resume(kept)

    def _begin(self) -> None:
        """Be before the first epoch."""
        spec, data, seed = self.spec, self.data, self.seed
        self.epoch, self.rows = 0, []
        self.events: list[EpochEvents] = []
        channels, *size = data.shape
        height, width = [spec.resize] * 2 if spec.resize else size
        model = build(spec.model, (channels, height, width), data.classes, seed, pretrained=spec.pretrained)
        self.model, self.optimizer = spec.prepare(model, self.algorithm, seed)
        self.scheduler = torch.optim.lr_scheduler.StepLR(self.optimizer, spec.lr_step, spec.lr_gamma)
        watched = spec.monitor and self.algorithm != "digital"
        self.monitor = Monitor(self.model, self.optimizer) if watched else None

    def _resume(self, kept: Kept) -> None:
        """Go on from the last checkpoint or, where that cannot be used, from the one before."""
        start = f"{self.algorithm} with seed {self.seed} starts again"
        refused, files = None, [file for file in (kept.file, previous(kept.file)) if file.exists()]
        for file in files:
            try:
                self._load(file)
            except InputError as error:
                refused = refused or error
                kept.sound = False
                self._begin()
                continue
            if file != kept.file:
                why = refused or f"there is no {kept.file}"
                kept.note(f"{why}; {self.algorithm} goes on after epoch {self.epoch}, from {file.name}")
            return
        if refused is not None:
            names = " and ".join(map(str, files))
            raise InputError(f"{refused}: put back the right file, or delete {names}, and {start}")
        if (old := kept.file.with_suffix(".pt")).exists():
            raise InputError(
                f"{old} is of ohmgrad 0.7.0 or earlier: go on with that, or delete it, and {start}"
            )

    def _load(self, file: Path) -> None:
        """Be after the last epoch of a checkpoint.

        Raises:
            InputError: when it is damaged, of another training, or none that a training can have left.
        """
        assert self.kept is not None
        found = read_checkpoint(file)
        with naming(file):
            state.check_identity(found.about, self._identity(self.kept))
            try:
                self._take(found.content)
            except InputError:
                raise
            except Exception as error:  # what was not looked at may raise anything
                raise InputError(f"it does not fit the training ({type(error).__name__})") from None
        if found.version != __version__:
            self.kept.note(f"{file.name} is of ohmgrad {found.version[:20]}: {__version__} goes on from it")

    def _take(self, kept: Any) -> None:
        names = ("epoch", "rows", "events", "model", "groups", "state", "monitor")
        check_names("it", kept, names)
        rows = check_rows(kept["rows"], self.algorithm, self.seed)
        epoch = check_integer("epoch", kept["epoch"], 1, self.spec.epochs)
        events = unpacked_events(kept["events"])
        if not len(rows) == len(events) == epoch:
            raise InputError(f"it has {len(rows)} rows and {len(events)} events after epoch {epoch}")
        updates, sound = epoch * self.steps, not diverged(rows[-1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a schedule without updates: it follows from the epochs
            for _ in range(epoch):
                self.scheduler.step()
        groups = self.optimizer.state_dict()["param_groups"]
        state.check_groups(kept["groups"], groups)
        state.check_model(kept["model"], self.model.state_dict(), sound)
        state.check_optimizer(kept["state"], self.optimizer, self.spec, self.algorithm, updates, sound)
        state.check_monitor(kept["monitor"], self.monitor, updates, sound)
        self.model.load_state_dict(kept["model"])
        self.optimizer.load_state_dict({"state": kept["state"], "param_groups": groups})
        state.check_pulses(rows[-1], self.optimizer)
        if self.monitor is not None:
            self.monitor.load_state_dict(kept["monitor"])
        self.epoch, self.rows, self.events = epoch, rows, events

    def _identity(self, kept: Kept) -> dict[str, Any]:
        return {"algorithm": self.algorithm, "seed": self.seed, **kept.about}

    def _save(self, kept: Kept) -> None:
        optimizer = self.optimizer.state_dict()
        content = {
            "epoch": self.epoch,
            "rows": self.rows,
            "events": packed_events(self.events),
            "model": self.model.state_dict(),
            "groups": optimizer["param_groups"],
            "state": optimizer["state"],
            "monitor": None if self.monitor is None else self.monitor.state_dict(),
        }
        write_checkpoint(kept.file, self._identity(kept), content, keep=kept.sound)
        kept.sound = True

    def monitor_rows(self) -> list[Row]:
        """This training's rows of monitor.csv."""
        monitor = None if self.monitor is None else {"rows": self.monitor.rows}
        return watched_rows(monitor, self.algorithm, self.seed)

    def log_to(self, folder: Path) -> None:
        """Log to TensorBoard from now on."""
        self.board = tensorboard_writer(
            folder / f"{file_name(self.algorithm)}-{self.seed}", self.epoch * self.steps
        )
        if self.monitor is not None:
            self.monitor.log_to(self.board)

    def close(self) -> None:
        if self.board is not None:
            self.board.close()

    def _arrays(self) -> list[ArrayEvents]:
        """Events so far of all arrays; none of a digital training."""
        if isinstance(self.optimizer, AnalogOptimizer):
            return array_events(self.model, self.optimizer)
        return []

    def test_accuracy(self) -> float:
        """Accuracy on the test set now."""
        return evaluate(self.model, self.data.test_x, self.data.test_y, self.images)[1]

    def run_epoch(self, progress: Progress) -> Row:
        spec, data = self.spec, self.data
        steps = self.steps
        loss_of, total, seen = nn.CrossEntropyLoss(), 0.0, 0
        before = self._arrays()
        start = time.perf_counter()
        self.model.train()
        order = batches(data.train_x, data.train_y, spec.batch_size, seed=self.seed, epoch=self.epoch)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed << 20 ^ self.epoch)  # of dropout
            for step, (x, y) in enumerate(order):
                self.optimizer.zero_grad()
                loss = loss_of(self.model(self.images.for_training(x, self.epoch, step)), y)
                loss.backward()
                self.optimizer.step()
                total, seen = total + loss.item() * len(x), seen + len(x)
                if step % 50 == 0:
                    done = self.epoch * steps + step
                    progress.step(self.algorithm, self.seed, done, spec.epochs * steps, total / seen)
        self.scheduler.step()
        if isinstance(self.optimizer, MultiTile):
            self.optimizer.end_epoch(total / seen)
        seconds = time.perf_counter() - start
        self.epoch += 1
        self.events.append(EpochEvents(self.epoch, seen, steps, since(before, self._arrays())))
        loss, _ = evaluate(self.model, data.train_x[:EVALUATED], data.train_y[:EVALUATED], self.images)
        events = self.optimizer.events() if isinstance(self.optimizer, AnalogOptimizer) else {}
        row = {
            "algorithm": self.algorithm,
            "seed": self.seed,
            "epoch": self.epoch,
            "running_loss": total / seen,
            "train_loss": loss,
            "test_accuracy": self.test_accuracy(),
            "pulses_up": events.get("pulses_up", 0),
            "pulses_down": events.get("pulses_down", 0),
            "seconds": (self.rows[-1]["seconds"] if self.rows else 0.0) + seconds,
        }
        self.rows.append(row)
        if self.kept is not None:
            self._save(self.kept)
        if self.board is not None:
            log_epoch(self.board, row, self.epoch * steps)
        return row


@torch.no_grad()
def evaluate(
    model: nn.Module, x: torch.Tensor, y: torch.Tensor, images: Images | None = None
) -> tuple[float, float]:
    """Mean cross entropy (nats) and accuracy of a model; `images` says how it takes them."""
    model.eval()
    loss, right = 0.0, 0
    size = 1000 if images is None else images.batch
    for xs, ys in zip(x.split(size), y.split(size), strict=True):
        out = model(xs if images is None else images.for_evaluation(xs))
        loss += float(nn.functional.cross_entropy(out, ys, reduction="sum"))
        right += int((out.argmax(1) == ys).sum())
    return loss / len(x), right / len(x)
