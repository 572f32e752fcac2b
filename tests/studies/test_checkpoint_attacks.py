"""Checkpoints that are altered in hundreds of ways: refused in a sentence, or what the training left."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import InputError
from ohmgrad.datasets import load
from ohmgrad.studies import RunSpec, checkpoint, train
from ohmgrad.studies.checkpoint import read_checkpoint, write_checkpoint
from ohmgrad.studies.folders import checkpoint_file
from ohmgrad.studies.training import Kept, Training
from ohmgrad.studies.training_state import identity

pytestmark = pytest.mark.usefixtures("one_thread")

SEED = 3
#: elements that are all alike are quickly made
PLAIN = {"response": {"family": "linear_step", "slope_up": 0.2, "slope_down": -0.2}, "dw_min": 0.002}
#: attacks a test makes at least; of those in bits, and in values
FLIPS, EDITS = 490, 130
Attack = Callable[[Path], Any]


def spec(algorithm: str = "ttv2", **changes: Any) -> RunSpec:
    options = {"fast_lr": 0.1, "columns": 16} if algorithm == "ttv2" else {}
    plain = {"model": "linear", "images": 20, "algorithms": [algorithm], "options": options, "seeds": [SEED]}
    more = {"epochs": 2, "batch_size": 10, "monitor": algorithm != "digital", "device": PLAIN}
    return RunSpec.from_dict({**plain, **more, **changes})


class Attacked:
    """A training of two epochs with its file, which is attacked, and loaded again."""

    def __init__(self, folder: Path, algorithm: str = "ttv2", **changes: Any) -> None:
        self.spec, self.algorithm = spec(algorithm, **changes), algorithm
        train(self.spec, folder)
        self.file = checkpoint_file(folder, algorithm, SEED)
        checkpoint.previous(self.file).unlink()
        self.data = load("digits").first(20)
        self.good, self.left = self.file.read_bytes(), read_checkpoint(self.file)
        self.found = self.state()
        self.made = 0

    def state(self) -> tuple[Any, ...]:
        """Of the training that goes on from the file: all that it would save."""
        kept = Kept(self.file, identity(self.spec, self.data), lambda line: pytest.fail(line))
        job, tensors = Training(self.spec, self.data, self.algorithm, SEED, kept), {}
        monitor = None if job.monitor is None else job.monitor.state_dict()
        packed = checkpoint._packed(
            [job.model.state_dict(), job.optimizer.state_dict(), monitor], "", tensors
        )
        values = {name: (t.shape, checkpoint._digest(t)) for name, t in tensors.items()}
        return job.epoch, repr(job.rows), repr(packed), values, repr(job.scheduler.state_dict())

    def withstands(self, attack: Attack, what: Any) -> None:
        """The attacked file is refused in a sentence that names it, or gives what the good one did."""
        attack(self.file)
        self.made += 1
        try:
            found = self.state()
        except InputError as error:
            text = str(error)
            assert text.startswith(str(self.file)[:60]), (what, text)
            assert "\n" not in text, what
            assert len(text) <= 400, what
        else:
            assert found == self.found, what
        self.file.write_bytes(self.good)

    def refuses(self, attack: Attack, message: str, by: Callable[[], Any] | None = None) -> None:
        attack(self.file)
        self.made += 1
        with pytest.raises(InputError, match=message):
            (by or self.state)()
        self.file.write_bytes(self.good)

    def rewritten(self, change: Callable[[dict[str, Any], dict[str, Any]], Any]) -> Attack:
        """An attack that edits content and identity, and has the checksums right."""

        def attack(file: Path) -> None:
            content, about = copy.deepcopy(self.left.content), copy.deepcopy(self.left.about)
            change(content, about)
            write_checkpoint(file, about, content, keep=False)

        return attack


def test_bits_that_flip_and_files_that_are_cut_off(attacked: Attacked) -> None:
    draw, before, good = random.Random(0), attacked.made, attacked.good
    header = 8 + int.from_bytes(good[:8], "little")
    places = [*range(64), *(draw.randrange(64, 8 * header) for _ in range(200))]
    places += [draw.randrange(8 * header, 8 * len(good)) for _ in range(200)]
    sizes = [
        0,
        1,
        7,
        8,
        9,
        header - 1,
        header,
        len(good) - 1,
        *(draw.randrange(len(good)) for _ in range(20)),
    ]
    wrong = [good[:size] for size in sizes] + [good + more for more in (b"\0", b"more", good)]
    for at in places:
        flipped = bytearray(good)
        flipped[at // 8] ^= 1 << at % 8
        wrong.append(bytes(flipped))
    for bad in wrong:
        attacked.refuses(
            lambda file, bad=bad: file.write_bytes(bad),
            rf"^{attacked.file} (is damaged|is no checkpoint|has the format)",
            by=lambda: read_checkpoint(attacked.file),
        )
    attacked.refuses(lambda file: file.write_bytes(wrong[-1]), "is damaged.*put back the right file")
    assert attacked.made - before >= FLIPS


def test_files_of_other_kinds(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    attacked = Attacked(tmp_path)
    deep = "[" * 100_000
    body = json.dumps({"__metadata__": {"ohmgrad": f"{hashlib.sha256(deep.encode()).hexdigest()} {deep}"}})
    for content in (b"text\n", b"PK\3\4" * 100, b"\xff" * 100, (2**40).to_bytes(8, "little") * 2,
                    len(body).to_bytes(8, "little") + body.encode()):  # fmt: skip
        attacked.refuses(lambda file, content=content: file.write_bytes(content), "is damaged|no checkpoint")
    attacked.refuses(lambda file: save_file({"a": torch.ones(2)}, file), "no checkpoint")
    attacked.refuses(lambda file: torch.save({"model": 3}, file), "no checkpoint")
    for number, message in ((2, "has the format 2 of ohmgrad"), ("x", "its format is 'x'"), (True, "True")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(checkpoint, "FORMAT", number)
            write_checkpoint(attacked.file, attacked.left.about, attacked.left.content, keep=False)
        attacked.refuses(lambda file: None, message)
    attacked.file.unlink()
    attacked.file.mkdir()
    with pytest.raises(InputError, match="is not a file"):
        attacked.state()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seeds": [4]}, "seed = 4, not 3"),
        ({"lr": 0.1}, r"lr = 0\.1, not 0\.05"),
        ({"lrs": {"ttv2": 0.2}}, "lrs"),
        ({"device": "paper"}, "device = 'paper', not {'response'"),
        ({"tau": 0.4}, r"tau = 0\.4"),
        ({"dw_min": 0.01}, r"dw_min = 0\.01"),
        ({"omega": 0.5}, "omega"),
        ({"options": {"fast_lr": 0.2, "columns": 16}}, "options"),
        ({"algorithms": ["sgd"], "options": {}}, "algorithm = 'sgd'"),
        ({"images": 30}, "images = 30"),
        ({"batch_size": 5}, "batch_size = 5"),
        ({"fidelity": "mean"}, "fidelity = 'mean'"),
        ({"periphery": "noisy"}, "periphery = 'noisy'"),
        ({"lr_step": 1}, "lr_step = 1"),
        ({"model": "mlp"}, "model = 'mlp'"),
        ({"monitor": False}, "monitor = False"),
        ({"epochs": 3}, r"epoch is 3, but must be an integer in \[1, 2\]"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_file_of_another_training(
    change: dict[str, Any], message: str, tmp_path: Path, attacked: Attacked
) -> None:
    other = spec(**change)
    train(other, tmp_path)
    (algorithm,), (seed,) = other.algorithms, other.seeds
    theirs = checkpoint_file(tmp_path, algorithm, seed).read_bytes()
    attacked.refuses(lambda file: file.write_bytes(theirs), message)


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Attacked:
    return Attacked(tmp_path_factory.mktemp("run"))


def ways(value: Any, way: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """All values in a tree, with the way to them."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in pairs:
        yield (*way, key), inner
        yield from ways(inner, (*way, key))


def put(tree: Any, way: tuple[Any, ...], value: Any) -> None:
    for key in way[:-1]:
        tree = tree[key]
    tree[way[-1]] = value


def nonsense(value: Any) -> list[Any]:
    """What no training leaves in the place of a value."""
    if isinstance(value, Tensor):
        wrong = [None, torch.zeros(3, 1, 2), value.to(torch.complex64), value[:0] if value.dim() else None]
        if value.dtype.is_floating_point:
            return [*wrong, torch.full_like(value, torch.nan), torch.full_like(value, torch.inf)]
        return [*wrong, value.double(), torch.full_like(value, -1), value - 2**60]
    return [None, "x", -1, 10**9, True, [], {}, {"a": 1}, float("nan"), [value], 2**70]


#: values that nothing follows from but themselves: any number of their type could be right
FREE = ("train_loss", "running_loss", "seconds", "test_accuracy", "power", "rho", "gradient_sq", "floor",
        "drift", "signal", "noise", "saturation_max", "saturation_rms", "asymmetry")  # fmt: skip


def test_nonsense_in_every_place_with_right_checksums(attacked: Attacked) -> None:
    before, draw = attacked.made, random.Random(1)
    for way, value in ways(attacked.left.content):
        for bad in draw.sample(nonsense(value), 2):
            if way[-1] in FREE and type(bad) is float:
                continue

            def change(content: dict[str, Any], _: Any, way: Any = way, bad: Any = bad) -> None:
                put(content, way, bad)

            attacked.withstands(attacked.rewritten(change), (way, bad))
    assert attacked.made - before >= EDITS


def test_missing_and_added_values_with_right_checksums(attacked: Attacked) -> None:
    for way, value in ways(attacked.left.content):

        def drop(content: Any, _: Any, way: Any = way) -> None:
            for key in way[:-1]:
                content = content[key]
            del content[way[-1]]

        attacked.withstands(attacked.rewritten(drop), way)
        if isinstance(value, dict) and way != ("state", 0, 0):  # of a tile's state nobody reads more
            added = attacked.rewritten(lambda content, _, way=way: put(content, (*way, "more"), 1))
            attacked.withstands(added, way)
    for name in attacked.left.about:
        attacked.refuses(
            attacked.rewritten(lambda _, about, name=name: about.pop(name)), f"with {name} = nothing"
        )


NAMED: list[tuple[str, Callable[[Any], Any], str]] = [
    ("epoch", lambda c: c.update(epoch=10**9), r"epoch is 1000000000, but must be an integer in \[1, 2\]"),
    ("rows", lambda c: c["rows"].pop(), "it has 1 rows and 2 events after epoch 2"),
    ("events", lambda c: c["model"]["1.analog.events"].neg_(), "counts nothing below 0"),
    ("pulses", lambda c: c["rows"][1].update(pulses_up=10**9), "have counted .* its rows 1000000000"),
    ("state", lambda c: c.update(state={}), "not of its 1 tiles"),
    ("tile", lambda c: c["state"][0].update({0: {}}), "has not all of"),
    ("lr", lambda c: c["groups"][0].update(lr=5.0), r"lr of its groups is 5\.0, not 0\.05"),
    ("updates", lambda c: c["state"][0][0].update(updates=5), "updates of tile 0 of parameter 0 is 5, not 4"),
    ("weight", lambda c: c["model"]["1.weight"].fill_(9.0), "outside the device's range"),
    ("monitor", lambda c: c["monitor"].update(step=10**9), "its monitor has done 1000000000 updates, not 4"),
    ("code", lambda c: c["rows"][0].update(algorithm="__import__('os')"), "row 1 is of"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "message"), NAMED, ids=[name for name, *_ in NAMED])
def test_values_that_no_training_gives(
    name: str, change: Callable[[Any], Any], message: str, attacked: Attacked
) -> None:
    attacked.refuses(attacked.rewritten(lambda content, _: change(content)), message)


def test_a_digital_training_and_elements_that_hold_more(tmp_path: Path) -> None:
    """Their states have other parts: a smaller sweep of each."""
    more = {"device": "pcm", "monitor": False}
    for algorithm, changes in (("digital", {}), ("sgd", more), ("multi-tile", {})):
        one = Attacked(tmp_path / algorithm, algorithm, **changes)
        for way, value in ways(one.left.content):
            if way[0] in ("rows", "monitor"):
                continue
            for bad in nonsense(value)[:1]:
                change: Any = lambda content, _, way=way, bad=bad: put(content, way, bad)  # noqa: E731
                one.withstands(one.rewritten(change), (algorithm, way, bad))
