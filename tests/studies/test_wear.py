"""Wear element by element: what is counted, against the events of the arrays; kept in the run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ohmgrad.cost.counts import added
from ohmgrad.cost.wear import Histogram, pooled
from ohmgrad.errors import InputError
from ohmgrad.report.wear import wear_figure, wear_table
from ohmgrad.studies import RunSpec, train, wear
from ohmgrad.studies.events import events_file, read_events
from ohmgrad.studies.wear import read_wear, wear_of_run

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

SPEC = RunSpec(images=30, batch_size=10, epochs=2, algorithms=("digital", "sgd", "ttv2"), lr=0.3,
               options={"columns": 16})  # fmt: skip


def test_quantiles_are_those_of_the_sorted_elements() -> None:
    pulses = torch.randint(0, 30, (1000,), generator=torch.Generator().manual_seed(0))
    found = {int(n): int((pulses == n).sum()) for n in pulses.unique()}
    each = Histogram("1", 0, "weights", found)
    assert (each.mean, each.largest) == (pytest.approx(float(pulses.double().mean())), int(pulses.max()))
    for share in (0.001, 0.5, 0.99, 1.0):
        assert each.quantile(share) == int(pulses.sort().values[round(share * 1000) - 1])
    both = pooled([each, replace(each, elements={0: 1000})], "1", "weights")
    assert both.quantile(0.5) == 0
    assert both.pulses == each.pulses


def test_elements_have_the_pulses_that_their_arrays_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "a"
    train(SPEC, run)
    found = wear_of_run(run)
    assert [*found] == [("sgd", 0), ("ttv2", 0)]
    for (algorithm, seed), several in found.items():
        arrays = added(a for each in read_events(events_file(run, algorithm, seed)) for a in each.arrays)
        assert [(h.layer, h.tile, h.array) for h in several] == [a.key for a in arrays]
        for each, array in zip(several, arrays, strict=True):
            assert sum(each.elements.values()) == array.cells
            assert each.pulses == array.count("pulses_up") + array.count("pulses_down") > 0
            assert each.largest > each.mean > 0  # images have dark rims: elements differ
    assert wear_table(found).row_count == 6
    assert len(wear_figure(found).axes) == 2
    monkeypatch.setattr(wear, "training_of", None)  # no training again
    assert read_wear(run) == wear_of_run(run) == found


def test_a_run_that_went_on_is_counted_anew(tmp_path: Path) -> None:
    run, short = tmp_path / "a", replace(SPEC, algorithms=("ttv2",), epochs=1)
    train(short, run)
    first = wear_of_run(run)
    train(replace(short, epochs=2), run, resume=True)
    assert read_wear(run) == {}
    more = wear_of_run(run)
    assert all(b.pulses > a.pulses for a, b in zip(first["ttv2", 0], more["ttv2", 0], strict=True))


def test_what_cannot_be_counted_is_refused(tmp_path: Path) -> None:
    train(replace(SPEC, algorithms=("digital",), options={}, epochs=1), tmp_path / "a")
    with pytest.raises(InputError, match="has no analog training"):
        wear_of_run(tmp_path / "a")
    train(replace(SPEC, algorithms=("sgd",), options={}, epochs=1, fidelity="mean"), tmp_path / "b")
    with pytest.raises(InputError, match="pulsed at fidelity 'mean', so that its pulses are not known"):
        wear_of_run(tmp_path / "b")
    train(replace(SPEC, algorithms=("sgd",), options={}, epochs=1), tmp_path / "c")
    file = events_file(tmp_path / "c", "sgd", 0)
    lines = file.read_text().splitlines()
    names, values = lines[0].split(","), lines[1].split(",")
    values[names.index("pulses_up")] = "7"
    file.write_text("\n".join([lines[0], ",".join(values), *lines[2:]]))
    with pytest.raises(InputError, match="counted other events than"):
        wear_of_run(tmp_path / "c")
    assert read_wear(tmp_path / "c") == {}
