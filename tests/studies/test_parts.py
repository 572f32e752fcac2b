"""Files of parts: one that is damaged, swapped, or of other settings is computed again, to the bit."""

from __future__ import annotations

import contextlib
import errno
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad.errors import InputError
from ohmgrad.studies import files
from ohmgrad.studies.engine import Part, compute, failures, is_there, read_part
from ohmgrad.studies.finished import read_outcome
from ohmgrad.studies.study import load_columns, run_study
from ohmgrad.studies.tables import read_table, write_table
from tests.studies.toy import TOY

CHANGES = {"parts": 2, "time": 1e-6}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two parts."""
    folder = tmp_path_factory.mktemp("study") / "whole"
    run_study(TOY, folder, changes=CHANGES)
    return folder


def goes_on(folder: Path, whole: Path, name: str) -> None:
    """Run again: only this part is computed, with a warning, and all numbers are those of the whole study."""
    with pytest.warns(
        UserWarning, match=rf"{name}\.parquet is (damaged|of another).*: it is computed again$"
    ):
        assert run_study(TOY, folder, changes=CHANGES).computed == [name]
    kept, right = load_columns(folder), load_columns(whole)
    assert all(np.array_equal(kept[column], right[column]) for column in right)


def test_bytes_that_are_altered_and_files_that_are_cut_off(whole: Path, tmp_path: Path) -> None:
    """Every altered file gives either the numbers as they were, or none."""
    right = (whole / "raw" / "p1.parquet").read_bytes()
    numbers, told = read_table(whole / "raw" / "p1.parquet")
    draw, accepted = random.Random(0), 0
    for attack in range(150):
        content = bytearray(right)
        if attack % 5:
            content[draw.randrange(len(right))] ^= 1 << draw.randrange(8)
        else:
            del content[draw.randrange(len(right)) :]
        (tmp_path / "p1.parquet").write_bytes(content)
        with contextlib.suppress(InputError):
            columns, about = read_table(tmp_path / "p1.parquet", part="p1")
            accepted += 1  # a byte without a meaning
            assert about == told
            assert all(np.array_equal(columns[name], numbers[name]) for name in numbers)
    assert accepted < 90  # Parquet has schema and statistics twice, and reads one of them
    (tmp_path / "p1.parquet").write_bytes(right[:100])
    with pytest.raises(InputError, match=r"p1\.parquet is damaged \(\w+\): delete it, and"):
        read_table(tmp_path / "p1.parquet", part="p1")


def attack_swapped(raw: Path) -> None:
    shutil.copy(raw / "p0.parquet", raw / "p1.parquet")


def attack_other_settings(raw: Path) -> None:
    run_study(TOY, raw.parent.parent / "other", changes={**CHANGES, "time": 1e-9})
    shutil.copy(raw.parent.parent / "other" / "raw" / "p1.parquet", raw / "p1.parquet")


def attack_number(raw: Path) -> None:
    """Another number under the old checksum."""
    from pyarrow import parquet, table

    old = parquet.read_table(raw / "p1.parquet")
    columns = {name: old[name].to_numpy() for name in old.column_names}
    columns["value"] = columns["value"] + 1e-16 * (np.arange(4) == 2)
    columns["value"][0] = np.nextafter(columns["value"][0], 1)
    parquet.write_table(table(columns).replace_schema_metadata(old.schema.metadata), raw / "p1.parquet")


def attack_columns(raw: Path) -> None:
    from pyarrow import parquet

    old = parquet.read_table(raw / "p1.parquet")
    names = ["value", "number"]
    parquet.write_table(old.select(names[::-1]).rename_columns(names), raw / "p1.parquet")


def attack_no_checksum(raw: Path) -> None:
    from pyarrow import parquet

    old = parquet.read_table(raw / "p1.parquet")
    parquet.write_table(old.replace_schema_metadata(None), raw / "p1.parquet")


def attack_empty(raw: Path) -> None:
    (raw / "p1.parquet").write_bytes(b"")


def attack_ends_only(raw: Path) -> None:
    (raw / "p1.parquet").write_bytes(b"PAR1" + bytes(40) + b"PAR1")


@pytest.mark.parametrize(
    "attack",
    [attack_swapped, attack_other_settings, attack_number, attack_columns, attack_no_checksum, attack_empty,
     attack_ends_only],
)  # fmt: skip
def test_another_file_in_its_place(attack: Callable[[Path], None], whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    attack(folder / "raw")
    with pytest.raises(InputError, match=r"p1\.parquet is (damaged|of another)"):
        read_outcome(TOY, folder, {**TOY.settings, **CHANGES})
    goes_on(folder, whole, "p1")


def test_results_follow_from_the_parts(whole: Path, tmp_path: Path) -> None:
    folder = tmp_path / "study"
    shutil.copytree(whole, folder)
    (folder / "results.parquet").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"results\.parquet is damaged"):
        load_columns(folder)
    assert run_study(TOY, folder, changes=CHANGES).computed == []
    assert load_columns(folder)["value"].tolist() == load_columns(whole)["value"].tolist()


def test_text_truth_and_nan_keep_their_kinds(tmp_path: Path) -> None:
    columns = {
        "text": np.array(["a", "", "ü\n"]),
        "truth": np.array([True, False, True]),
        "number": np.array([np.nan, -0.0, 5e-324]),
        "whole": np.arange(3),
        "none": np.array([1, 2, 3], np.float32),
    }
    write_table(tmp_path / "t", columns, {"part": "ü"})
    found, about = read_table(tmp_path / "t", part="ü")
    assert about["part"] == "ü"
    for name, column in columns.items():
        assert found[name].dtype == column.dtype
        assert found[name].tobytes() == column.tobytes()


def test_a_folder_of_a_study_that_was_killed_before_it_began(tmp_path: Path) -> None:
    (tmp_path / "study" / "raw").mkdir(parents=True)
    (tmp_path / "study" / ".spec.yaml.0123456789ab.half").write_text("study: to")
    assert len(run_study(TOY, tmp_path / "study", changes=CHANGES).computed) == 2


def test_what_was_cut_off_is_cleared_away(tmp_path: Path) -> None:
    (tmp_path / ".one.parquet.0123456789ab.half").write_bytes(b"PAR1")
    compute([Part("one", lambda progress: {"x": np.ones(1)})], tmp_path)
    assert [p.name for p in tmp_path.iterdir() if p.name.endswith(".half")] == []
    assert is_there(tmp_path, "one")
    assert read_part(tmp_path, "one")[0]["x"].tolist() == [1.0]


def no_memory(how: str) -> Callable[[Any], Any]:
    def run(progress: Any) -> Any:
        if how == "numpy":
            return {"x": np.ones(2**50)}
        import torch

        return {"x": torch.ones(2**50)}

    return run


@pytest.mark.parametrize("how", ["numpy", "torch"])
def test_a_part_that_does_not_fit_in_memory_has_failed(how: str, tmp_path: Path) -> None:
    parts = [Part("large", no_memory(how)), Part("small", lambda progress: {"x": np.ones(1)})]
    computed, failed = compute(parts, tmp_path)
    assert computed == ["small"]
    assert failed[0].error == "there was not enough memory: fewer jobs at a time, images or seeds need less"


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [Part(name, lambda progress: {"x": np.ones(1)}) for name in ("one", "two")]
    synced = os.fsync

    def full(place: int) -> None:
        if "two" in os.readlink(f"/proc/self/fd/{place}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        synced(place)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "fsync", full)
        with pytest.raises(
            InputError, match=r"cannot write to .* \(No space left on device\): what is finished"
        ):
            compute(parts, tmp_path)
    assert compute(parts, tmp_path)[0] == ["two"]
    assert failures(parts, tmp_path) == []
