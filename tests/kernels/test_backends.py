"""The Numba backend is the reference: the same trains and counts, the same weights to rounding."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import (
    NOISY_PERIPHERY,
    AnalogLinear,
    AnalogSGD,
    Custom,
    Device,
    InputError,
    Noise,
    Pulsing,
    SoftBounds,
    Spread,
    Tile,
)
from ohmgrad.devices import draw
from ohmgrad.kernels import FIDELITIES
from ohmgrad.kernels.cpu.affine_rows import is_sparse, samples_of_row
from ohmgrad.kernels.cpu.packing import Address, How
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.kernels.reference.trains import coincidences, update_trains
from ohmgrad.rng import Key
from tests.cases import (
    CALLABLE_DEVICES,
    RESPONSES,
    SETTINGS,
    SPREADS,
    BackendCase,
    Setting,
    backend_cases,
    factors,
)
from tests.cases import start as start_weights
from tests.kernels.inner import drawn_trains
from tests.updates import apply_counts_, draw_trains, pulsed_update_

KEY = Key(3, 4)
STEP = 7
BACKENDS = ("reference", "numba")
DEVICE = Device(RESPONSES["soft_skewed"], 0.002, SPREADS["spread"], Noise(0.3))


@pytest.mark.parametrize("case", backend_cases(), ids=lambda c: c.name)
def test_an_update_is_the_reference(case: BackendCase) -> None:
    """Trains and events exactly; weights to one rounding of float32 per pulse.

    The settings reach both paths of Numba's rows: "dense" has every line on and 12 samples, where
    streaming whole rows is sensible; "sparse" has 3 % of the lines on; the others lie between.
    """
    s, dw_min = case.setting, case.device.dw_min
    elements = draw(case.device, case.shape, KEY)
    w = elements.clip(start_weights(case.shape)).contiguous()
    x, d = factors(case.shape, s)
    lr = -s.pulses * dw_min
    xs, ds, bl = update_trains(x, d, lr, dw_min, s.pulsing, KEY, STEP)
    fast_xs, fast_ds = draw_trains(x, d, lr, dw_min, s.pulsing, KEY, STEP)
    driven = (ds != 0).any(2).any(0)  # without a firing d-line the x-lines are not driven
    assert torch.equal(fast_ds, ds)
    assert torch.equal(fast_xs[:, driven], xs[:, driven])
    expected, events = reference.pulsed_update(w, elements, x, d, lr, s.pulsing, KEY, STEP)
    got = w.clone()
    assert pulsed_update_(got, elements, x, d, lr, s.pulsing, KEY, STEP, "numba") == events
    counts = coincidences(xs, ds)
    most = int(counts.abs().sum(0).max())
    assert float((got - expected).abs().max()) <= (4 + most) * 2.0**-24
    untouched = (counts == 0).all(0)
    assert torch.equal(got[untouched], w[untouched])
    # the events, counted again from the trains themselves
    fires = [((t >> slot) & 1).sum() for t in (xs[:, driven], ds) for slot in range(31)]
    up, down = int(counts[counts > 0].sum()), -int(counts[counts < 0].sum())
    assert events == [up, down, int(torch.stack(fires).sum()), int(bl.sum())]


def paths(setting: Setting, shape: tuple[int, int]) -> set[bool]:
    """Whether the rows of an update take the sparse path."""
    x, d = (t.numpy() for t in factors(shape, setting))
    p, (samples, cols) = setting.pulsing, x.shape
    how = How(setting.pulses * 0.001, 0.001, p.max_bl, p.update_management, p.bl_management, False, False, 1)
    trains = drawn_trains(p.words, x, d, how, Address(*map(np.uint32, (STEP, *KEY))))
    listed = np.empty(samples, np.int64)
    rows = [samples_of_row(r, trains, listed) for r in range(shape[0])]
    return {is_sparse(cols, n, *found) for n, *found in rows if n > 0}


def test_the_settings_reach_both_paths() -> None:
    found = {s.name: paths(s, (63, 65)) for s in SETTINGS if s.name in ("sparse", "dense")}
    assert found == {"sparse": {True}, "dense": {False}}


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse"])
@pytest.mark.parametrize("noise", [Noise(), Noise(0.3), Noise(3.0), Noise(0.5, "multiplicative")])
@pytest.mark.parametrize("name", RESPONSES)
def test_counts_are_applied_as_by_the_reference(name: str, noise: Noise, fidelity: str) -> None:
    shape = (37, 53)
    elements = draw(Device(RESPONSES[name], 0.01, SPREADS["spread"], noise), shape, KEY)
    w = elements.clip(start_weights(shape)).contiguous()
    n = torch.randint(-20, 21, shape, generator=torch.Generator().manual_seed(2))
    got, expected = w.clone(), w.clone()
    apply_counts_(got, elements, n, fidelity, KEY, STEP, "numba")
    apply_counts_(expected, elements, n, fidelity, KEY, STEP, "reference")
    assert float((got - expected).abs().max()) <= 24 * 2.0**-24


@pytest.mark.parametrize("name", RESPONSES)
def test_mean_is_the_reference(name: str) -> None:
    elements = draw(Device(RESPONSES[name], 0.001, SPREADS["spread"]), (63, 65), KEY)
    w = elements.clip(start_weights((63, 65))).contiguous()
    x, d = factors((63, 65), SETTINGS[1])
    got, expected = w.clone(), w.clone()
    for out, backend in ((got, "numba"), (expected, "reference")):
        pulsed_update_(out, elements, x, d, -0.05, Pulsing("mean"), KEY, STEP, backend)
    torch.testing.assert_close(got, expected, atol=1e-6, rtol=0)


# --- what a result must not depend on ------------------------------------------------------------


def _updated(w: Tensor, shape: tuple[int, int], setting: int, fidelity: Any) -> Tensor:
    s, out = SETTINGS[setting], w.clone()
    x, d = factors(shape, s)
    pulsing = Pulsing(fidelity, s.pulsing.max_bl)
    pulsed_update_(out, draw(DEVICE, shape, KEY), x, d, -s.pulses * 0.002, pulsing, KEY, STEP)
    return out


@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one core")  # pyright: ignore
@pytest.mark.usefixtures("threads")
@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize("setting", [1, 7, 8], ids=lambda i: SETTINGS[i].name)
def test_threads_change_no_bit(setting: int, fidelity: str) -> None:
    shape = (157, 131)  # with 10 samples and more, above the size that threads share
    w = start_weights(shape)
    torch.set_num_threads(1)
    one = _updated(w, shape, setting, fidelity)
    assert torch.get_num_threads() == 1  # a kernel on OpenMP threads would have raised it
    torch.set_num_threads(2)
    two = _updated(w, shape, setting, fidelity)
    assert torch.equal(one, two)
    assert not torch.equal(one, w)


def test_two_backward_passes_are_one_batch() -> None:
    """Factors add up in order: the split of a batch changes no bit."""
    ends = []
    for parts in ((10,), (4, 6), (1, 9)):
        torch.manual_seed(0)
        layer = AnalogLinear(53, 37, DEVICE, seed=2, array=0)
        optimizer = AnalogSGD(layer.parameters(), lr=0.05)
        x, target = torch.randn(10, 53), torch.randn(10, 37)
        for a, b in zip(x.split(parts), target.split(parts), strict=True):
            ((layer(a) - b) ** 2).sum().backward()
        optimizer.step()
        ends.append(layer.weight.detach())
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_strided_and_double_inputs(fidelity: Any, backend: str) -> None:
    shape = (13, 18)
    elements = draw(DEVICE, shape, KEY)
    x, d = factors(shape, SETTINGS[1])
    w = elements.clip(start_weights(shape)).contiguous()
    ends = []
    for a, b in (
        (x, d), (x.t().contiguous().t(), d.t().contiguous().t()), (x.double(), d.double()),
        (torch.cat([x, x], 1)[:, :18], d.repeat_interleave(2, 0)[::2]),
        (x.clone().requires_grad_(), d),
    ):  # fmt: skip
        out = w.clone()
        pulsed_update_(out, elements, a, b, -0.01, Pulsing(fidelity), KEY, STEP, backend)
        ends.append(out)
    assert all(torch.equal(end, ends[0]) for end in ends)


_POISONED = """
import hashlib, sys
import numpy as np, torch
sys.path.insert(0, {home!r})
from tests.kernels.test_backends import digest
if {poison}:
    empty = np.empty
    def full_of_ones(*args, **kwargs):
        out = empty(*args, **kwargs)
        out.view(np.uint8)[...] = 255  # NaN as floats, every line firing as trains
        return out
    np.empty = full_of_ones
    torch.use_deterministic_algorithms(True)  # torch.empty is filled with NaN
print(digest())
"""


def digest() -> str:
    """Hash of updates on all paths, of products, and of a training step."""
    found = hashlib.sha256()
    for setting in range(len(SETTINGS)):
        for shape in ((37, 53), (157, 131)):
            w = _updated(start_weights(shape), shape, setting, SETTINGS[setting].pulsing.fidelity)
            found.update(w.numpy().tobytes())
    torch.manual_seed(0)
    layer = AnalogLinear(53, 37, DEVICE, periphery=NOISY_PERIPHERY)
    optimizer = AnalogSGD(layer.parameters(), lr=0.05)
    layer(torch.randn(5, 53)).square().sum().backward()
    optimizer.step()
    found.update(layer.weight.detach().numpy().tobytes())
    return found.hexdigest()


def test_fresh_memory_is_never_read() -> None:
    """NumPy's and torch's empty arrays full of NaN, and malloc's too (glibc): the same result."""
    results = []
    for poison in (False, True):
        script = _POISONED.format(home=str(Path(__file__).parents[2]), poison=poison)
        environment = {**os.environ, **({"MALLOC_PERTURB_": "128"} if poison else {})}
        done = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        results.append(done.stdout)
    assert results[0] == results[1]


# --- wrong input ---------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["x", "d"])
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_values_that_are_not_finite_change_nothing(
    fidelity: Any, backend: str, where: str, value: float
) -> None:
    shapes = {"reference": [(5, 7)], "numba": [(5, 7), (157, 131)]}[backend]
    for shape in shapes:
        tile = Tile(shape, DEVICE, pulsing=Pulsing(fidelity), backend=backend)
        tile.weight.copy_(tile.elements.clip(start_weights(shape)))
        before, events = tile.weight.clone(), tile.events.tolist()
        x, d = torch.ones(6, shape[1]), torch.ones(6, shape[0])
        {"x": x, "d": d}[where][4, 2] = value
        with pytest.raises(InputError, match=f"^{where} has the value .* at sample 4, line 2"):
            tile.pulse(x, d, 0.1)
        assert torch.equal(tile.weight, before)
        assert tile.events.tolist() == events


@pytest.mark.parametrize("backend", BACKENDS)
def test_shapes_and_types_are_checked(backend: str) -> None:
    tile = Tile((3, 4), DEVICE, backend=backend)
    for x, d in (((2, 3), (2, 3)), ((2, 4), (2, 4)), ((2, 4), (3, 3)), ((4,), (3,)), ((1, 2, 4), (2, 3))):
        with pytest.raises(InputError, match="an array of 3 x 4 needs x of"):
            tile.pulse(torch.ones(x), torch.ones(d), 0.1)
    for lr in (float("nan"), float("inf")):
        with pytest.raises(InputError, match="must be a finite number"):
            tile.pulse(torch.ones(1, 4), torch.ones(1, 3), lr)
    for n in (torch.ones(4, 3, dtype=torch.int64), torch.ones(3, 4), torch.ones(3, 4, dtype=torch.int32)):
        with pytest.raises(InputError, match="this array needs"):
            tile.pulse_counts(n)
    tile.pulse(torch.ones(0, 4), torch.ones(0, 3), 0.1)
    tile.pulse(torch.ones(2, 4), torch.ones(2, 3), 0.0)
    assert not tile.weight.any()
    assert tile.count("pulses_up") == 0


def test_counts_tell_how_the_lines_carried_them() -> None:
    """Line by line: the selected one fires in every slot, the crossing ones once per pulse."""
    n = torch.tensor([[2, -1, 0, 0], [0, 3, 0, 0], [0, 1, 0, 0]])
    for counts, slots in ((n, 5), (n.t().contiguous(), 5), (n * 0, 0)):  # columns: 2 + 3; rows: 2 + 3 + 1
        tile = Tile((len(counts), counts.shape[1]), DEVICE)
        tile.pulse_counts(counts)
        assert tile.count("slots") == slots
        assert tile.count("line_toggles") == slots + int(counts.abs().sum())
        assert tile.count("pulses_up") + tile.count("pulses_down") == int(counts.abs().sum())
    tile = Tile((3, 4), DEVICE)
    tile.zero_shift(5)  # 10 pulses of the whole array
    counted = {name: tile.count(name) for name in ("slots", "line_toggles", "pulses_up", "pulses_down")}
    assert counted == {"slots": 10, "line_toggles": 70, "pulses_up": 60, "pulses_down": 60}


def test_primitives_refuse_wrong_numbers_and_shapes() -> None:
    tile, wrong = Tile((3, 4), DEVICE), torch.ones
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: tile.zero_shift(-3), "n is -3, but must be an integer of at least 0"),
        (lambda: tile.zero_shift(1.5), "n is 1.5, but must be an integer"),  # pyright: ignore[reportArgumentType]
        (lambda: tile.read([0], repeats=0), "repeats is 0, but must be an integer of at least 1"),
        (lambda: tile.read([0], repeats=2.0), "repeats is 2.0"),  # pyright: ignore[reportArgumentType]
        (lambda: tile.forward(wrong(2, 3)), r"x is \(2, 3\), but a tile of 3 x 4 needs x of \(samples, 4\)"),
        (lambda: tile.forward(wrong(4)), r"x is \(4,\), but a tile of 3 x 4"),
        (lambda: tile.backward(wrong(2, 4)), r"d is \(2, 4\), but a tile of 3 x 4 needs d of \(samples, 3\)"),
    ]
    for make, message in cases:
        with pytest.raises(InputError, match=message):
            make()
    assert not tile.events.any()
    tile.zero_shift(0)
    assert not tile.events.any()


def test_what_no_backend_serves_is_refused() -> None:
    wrong: list[tuple[Any, dict[str, Any], str]] = [
        (torch.zeros(3, 4, dtype=torch.float64), {}, "torch.float64, contiguous"),
        (torch.zeros(4, 3).t(), {}, "torch.float32, strided"),
        (torch.zeros(3, 4, device="meta"), {}, "weights are on meta"),
        ((3, 4), {"backend": "cuda"}, "unknown backend 'cuda'"),
        ((3, 4), {"seed": -1}, "seed is -1"),
        ((3, 4), {"array": 2**32}, "array is 4294967296"),
        (torch.full((3, 4), 5.0), {}, "weight 5 is outside the device's range"),
        (torch.full((3, 4), float("nan")), {}, "must be a tensor of finite numbers"),
    ]
    for weight, settings, message in wrong:
        with pytest.raises(InputError, match=message):
            Tile(weight, DEVICE, **settings)
    for case in CALLABLE_DEVICES:
        assert Tile((2, 3), case.device).cells.backend == "numba"
    steep = Device(Custom(lambda w: (1 - w) ** 0.25, lambda w: (1 + w) ** 0.25))
    assert Tile((2, 3), steep).cells.backend == "reference"
    with pytest.raises(
        InputError, match=r"cannot run this Custom: .* of 8192 intervals its steps are off by"
    ):
        Tile((2, 3), steep, backend="numba")
    assert Tile((2, 3), DEVICE).cells.backend == "numba"
    with pytest.raises(InputError, match="bit length max_bl is 0"):
        Pulsing(max_bl=0)
    with pytest.raises(InputError, match="unknown fidelity 'pulse': did you mean 'pulsed'"):
        Pulsing("pulse")  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("case", CALLABLE_DEVICES, ids=lambda c: c.name)
@pytest.mark.parametrize("fidelity", FIDELITIES)
def test_callables_take_every_fidelity(case: Any, fidelity: Any) -> None:
    tile = Tile((6, 5), case.device, pulsing=Pulsing(fidelity))
    x, d = factors((6, 5), SETTINGS[1])
    tile.pulse(x, d, 0.02)
    assert bool(torch.isfinite(tile.weight).all())
    assert tile.weight.abs().sum() > 0
    assert torch.equal(tile.weight, tile.elements.clip(tile.weight))


@pytest.mark.parametrize(("up", "down"), [(1.0, 1.0), (1.5, 0.5)])
@pytest.mark.parametrize("noise", [Noise(0.3), Noise(0.3, "multiplicative")])
def test_a_callable_soft_bound_is_the_affine_one(noise: Noise, up: float, down: float) -> None:
    """The same device by its formula and by two lambdas, pulse by pulse at one address.

    With steps other than 1 at w = 0, additive noise too must grow with them.
    """
    spread = Spread(dw_min=0.2)
    soft = Device(SoftBounds(-0.6, 0.6, up, down), 0.02, spread, noise)
    custom = Custom(lambda w: up * (1 - w / 0.6), lambda w: down * (1 + w / 0.6), -0.6, 0.6)
    own = Device(custom, 0.02, spread, noise)
    ends, by_pulse = [], "pulse-by-pulse"
    cases: list[tuple[Device, Any]] = [(soft, by_pulse), (own, by_pulse)]
    for device, fidelity in cases:
        tile = Tile((9, 8), device, pulsing=Pulsing(fidelity), backend="reference", seed=1)
        tile.pulse(*factors((9, 8), SETTINGS[1]), 0.1)
        ends.append(tile.weight)
    torch.testing.assert_close(ends[1], ends[0], atol=1e-6, rtol=0)
