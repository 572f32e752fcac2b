"""Arrays of an ensemble: each is a tile of one row."""

from __future__ import annotations

import ast
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import InputError, Pulsing, Tile, ensemble
from ohmgrad.devices import Device, PowStep, SoftBounds, Spread
from ohmgrad.ensemble import AnalogSGD, Arrays, Samples, simulate
from tests.cases import CALLABLE_DEVICES, DEVICES
from tests.problems import MEAN, SKEWED, SOFT, quadratic

ALL = [case.device for case in DEVICES]
NAN = float("nan")


def lines_and_errors(kind: str, arrays: int, n: int, g: torch.Generator) -> tuple[Any, Tensor, Tensor]:
    """What arrays are pulsed with, and as lines (1 or T, samples, n) and errors (T, samples): silent lines,
    errors of zero."""
    samples = 1 if kind == "rows" else 7
    lines = torch.randn(arrays if kind in ("rows", "own") else 1, samples, n, generator=g)
    lines *= torch.rand(lines.shape, generator=g) < 0.7
    if kind == "one-hot":
        lines = torch.eye(n)[torch.randperm(n, generator=g)[:samples]].unsqueeze(0)
    if kind == "rows":
        return lines[:, 0], lines, torch.ones(arrays, 1)
    errors = torch.randn(arrays, samples, generator=g) * (torch.rand(arrays, samples, generator=g) < 0.8)
    return Samples(lines if kind == "own" else lines[0], errors), lines, errors


@pytest.mark.parametrize(
    ("n", "kind"),
    [(1, "rows"), (13, "rows"), (65, "rows"), (1, "own"), (13, "shared"), (65, "one-hot"), (65, "shared")],
)
@pytest.mark.parametrize(
    "pulsing",
    [Pulsing(), Pulsing(max_bl=5000), Pulsing("pulsed", 33, False, False), Pulsing("pulse-by-pulse", 100)],
    ids=["BL31", "BL5000", "unmanaged", "by-pulse"],
)
def test_an_array_is_a_tile(n: int, kind: str, pulsing: Pulsing) -> None:
    """To the bit, with every family, spread, noise and granularity in one stack; wanted changes from 0 to 60
    pulses."""
    g, size = torch.Generator().manual_seed(n), len(ALL)
    seeds = [7 * t % 50 for t in range(size)]
    start = 0.8 * torch.rand(size, n, generator=g) - 0.4
    arrays = Arrays(ALL, n, seeds, array=3, pulsing=pulsing, start=start)
    tiles = [
        Tile(start[t : t + 1].clone(), device, pulsing=pulsing, seed=seeds[t], array=3, backend="numba")
        for t, device in enumerate(ALL)
    ]
    for _ in range(3):
        x, lines, errors = lines_and_errors(kind, size, n, g)
        lr = torch.tensor([d.dw_min for d in ALL]) * torch.randn(size, generator=g)
        lr = (lr * 10 ** (2 * torch.rand(size, generator=g) - 1)).double()
        arrays.pulse(x, lr)
        for t, tile in enumerate(tiles):
            tile.pulse(lines[t if len(lines) > 1 else 0], errors[t].unsqueeze(1), float(lr[t]))
    assert int((arrays.events[:, :2].sum(1) > 0).sum()) > size / 2
    assert int(arrays.events[:, :2].sum(1).max()) > 10
    arrays.zero_shift(1)
    for tile in tiles:
        tile.zero_shift(1)
    assert torch.equal(arrays.w, torch.cat([tile.weight for tile in tiles]))
    assert arrays.events.tolist() == [tile.events[1:5].tolist() for tile in tiles]
    assert arrays.updates == tiles[0].count("updates")
    for bound, name in zip(arrays.bounds, ("lower", "upper"), strict=True):
        for t, tile in enumerate(tiles):
            assert torch.equal(bound[t], getattr(tile.elements, name).expand(1, n)[0])


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse"])
def test_callables_are_tiles_too(fidelity: Any) -> None:
    powers = Device(PowStep(-0.6, 0.6, 1.5, 1.5), 0.01)
    devices = [*(case.device for case in CALLABLE_DEVICES), powers, SKEWED]
    size, g = len(devices), torch.Generator().manual_seed(0)
    arrays = Arrays(devices, 6, range(size), pulsing=Pulsing(fidelity), start=torch.zeros(size, 6))
    tiles = [Tile((1, 6), d, pulsing=Pulsing(fidelity), seed=s) for s, d in enumerate(devices)]
    for kind in ("rows", "own", "shared"):
        x, lines, errors = lines_and_errors(kind, size, 6, g)
        arrays.pulse(x, 0.05)
        for t, tile in enumerate(tiles):
            tile.pulse(lines[t if len(lines) > 1 else 0], errors[t].unsqueeze(1), 0.05)
    arrays.zero_shift(2)
    for tile in tiles:
        tile.zero_shift(2)
    assert torch.equal(arrays.w, torch.cat([tile.weight for tile in tiles]))
    assert arrays.events.tolist() == [tile.events[1:5].tolist() for tile in tiles]


@pytest.mark.parametrize("kind", ["rows", "own", "shared"])
def test_mean_fidelity_is_the_tile_with_spread(kind: str) -> None:
    devices = [SKEWED, Device(SoftBounds.symmetric(0.6), 0.01, Spread(dw_min=0.3, w_max=0.3))]
    start, lr = torch.full((2, 11), 0.2), (0.1, -0.2)
    arrays = Arrays(devices, 11, [5, 6], pulsing=MEAN, start=start)
    x, lines, errors = lines_and_errors(kind, 2, 11, torch.Generator().manual_seed(3))
    arrays.pulse(x, torch.tensor(lr))
    arrays.zero_shift(3)
    for t, device in enumerate(devices):
        tile = Tile(start[t : t + 1].clone(), device, pulsing=MEAN, seed=5 + t, backend="reference")
        tile.pulse(lines[t if len(lines) > 1 else 0], errors[t].unsqueeze(1), lr[t])
        tile.zero_shift(3)
        torch.testing.assert_close(arrays.w[t].float(), tile.weight[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            arrays.symmetric_point()[t].float(), tile.elements.symmetric_point()[0], atol=1e-6, rtol=0
        )
        assert arrays.events[t].tolist() == tile.events[1:5].tolist()


@pytest.mark.parametrize("pulsing", [MEAN, Pulsing()], ids=["mean", "pulsed"])
def test_what_does_not_fit_is_refused_and_changes_nothing(pulsing: Pulsing) -> None:
    arrays = Arrays([SOFT, SKEWED], 3, [0, 1], pulsing=pulsing, start=torch.zeros(2, 3))
    before, x = arrays.w.clone(), torch.ones(2, 3)
    x[1, 2] = NAN
    good, bad = torch.ones(4, 3), torch.ones(4, 3)
    bad[2, 1] = NAN
    late = torch.tensor([[1.0] * 4, [1, 1, 1, -torch.inf]])
    wrong: list[tuple[Any, float, str]] = [
        (torch.ones(3, 2), 0.1, r"x is \(3, 2\), but these arrays need \(2, 3\)"),
        (x, 0.1, "x has the value nan in array 1"),
        (torch.ones(2, 3), math.inf, "lr has the value inf in array 0"),
        (Samples(good[:, :2], torch.ones(2, 4)), 0.1, r"errors \(2, 4\), but these arrays need"),
        (Samples(good, torch.ones(1, 4)), 0.1, r"lines are \(4, 3\) and errors \(1, 4\)"),
        (Samples(good, torch.ones(2, 5)), 0.1, r"lines are \(4, 3\) and errors \(2, 5\)"),
        (Samples(torch.ones(3, 4, 3), torch.ones(2, 4)), 0.1, r"lines are \(3, 4, 3\)"),
        (Samples(bad, torch.ones(2, 4)), 0.1, "x has the value nan in the lines of all arrays"),
        (Samples(torch.stack([good, bad]), torch.ones(2, 4)), 0.1, "x has the value nan in array 1"),
        (Samples(good, late), 0.1, "d has the value -inf in array 1"),
    ]
    for lines, lr, message in wrong:
        with pytest.raises(InputError, match=message):
            arrays.pulse(lines, lr)
    assert torch.equal(arrays.w, before)
    assert (arrays.updates, arrays.parallel) == (0, 0)
    assert not arrays.events.any()
    assert not arrays.clipped.any()
    for n in (-1, 1.5):
        with pytest.raises(InputError, match=f"number of pulse pairs is {n}"):
            arrays.zero_shift(n)  # pyright: ignore[reportArgumentType]


class _WrongRole(AnalogSGD):
    def __init__(self) -> None:
        super().__init__(0.1)

    def init(self, runs: Any) -> dict[str, Any]:
        return {"W": runs.array(300)}


def test_a_role_has_eight_bits() -> None:
    with pytest.raises(InputError, match="role is 300"):
        simulate(quadratic(3), _WrongRole(), seeds=[0], steps=1, device=SOFT)


def test_one_file_imports_from_a_back_end_and_only_what_it_compiles_with() -> None:
    found = {}
    for path in sorted(Path(ensemble.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and ".cpu" in f".{node.module}":
                found.setdefault(path.name, set()).add(node.module)
    assert found == {"compiled.py": {"kernels.cpu.compiling", "kernels.cpu.math"}}
