"""The law of the collapse: its mean and variance are those of pulse-by-pulse simulation.

40,000 chains each: the cells of a uniform array that all start from one weight and get the same pulses.
The two fidelities draw at different addresses, so that they are independent samples. Every comparison
is held to 4 standard errors: seeds are fixed, and of the 5,000 comparisons of the grid chance lets a
few exceed 4; `assert_all_within` allows as many as the binomial law does and none beyond Bonferroni's
bound, with a false alarm rate of 10^-3 for the whole grid.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from ohmgrad import Device, LinearStep, Noise, Pulsing, SoftBounds
from ohmgrad.devices import Elements, draw
from ohmgrad.kernels.reference import affine
from ohmgrad.kernels.reference import pulses as reference
from ohmgrad.rng import Key
from tests.cases import LAWS
from tests.stats import assert_all_within, z_mean, z_mean_pair, z_variance, z_variance_pair
from tests.updates import apply_counts_, pulsed_update_

CHAINS = (40, 1000)
N = CHAINS[0] * CHAINS[1]
KEY = Key(2024, 7)
ALARM = 1e-3 / len(LAWS)
#: starting weights, as parts of the range: at the bounds, 3 % from one, and inside; with the counts
STARTS = [
    (place, sign * n)
    for n, places in {
        1: (0.0, 0.03, 0.45, 0.8, 1.0),
        5: (0.0, 0.03, 0.45, 0.8, 1.0),
        40: (0.0, 0.03, 0.45, 0.8, 1.0),
        160: (0.0, 0.45, 0.8),
    }.items()
    for place in places
    for sign in (1, -1)
]
COUNTS = np.array([n for _, n in STARTS])
#: arrays, and how many of their columns get pulses: all, and few
PATHS = {"dense": ((400, 100), 100), "sparse": ((1600, 500), 25)}
#: by name of the device
LAW = {case.name: case.device for case in LAWS}


def starts(device: Device) -> np.ndarray:
    low, high = device.response.w_min, device.response.w_max
    return np.array([low + place * (high - low) for place, _ in STARTS])


def exact(elements: Elements, start: Any, counts: Sequence[Any]) -> tuple[Any, Any, Any]:
    """Mean and variance pulse by pulse without clipping, and the least distance to a bound in std.

    From w' = w + step(w) + noise, step(w) = +-dw - e w, e = slope dw/|bound|:
    E w' = E w + step(E w), and Var w' = (1 - e)^2 Var w + E noise^2.
    """
    up, down, lower, upper = (float(getattr(elements, p)) for p in ("up", "down", "lower", "upper"))
    m = np.array(start, dtype=np.float64)
    v, room = np.zeros_like(m), np.full_like(m, np.inf)
    s = elements.noise_std
    for n in counts:
        n = np.broadcast_to(n, m.shape)
        dw, bound = np.where(n > 0, up, -down), np.where(n > 0, upper, lower)
        e = np.where(n > 0, elements.slope_up, elements.slope_down) * dw / bound
        for i in range(int(np.abs(n).max())):
            step = dw - e * m
            square = dw**2 if elements.noise == "additive" else step**2 + e**2 * v
            busy = i < np.abs(n)
            m = np.where(busy, m + step, m)
            v = np.where(busy, (1 - e) ** 2 * v + s**2 * square, v)
            with np.errstate(divide="ignore", invalid="ignore"):
                room = np.fmin(room, np.minimum(upper - m, m - lower) / np.sqrt(v))
    return m, v, room


def comparisons(
    device: Device, collapsed: Any, by_pulse: Any, start: Any, counts: Sequence[Any]
) -> np.ndarray:
    """z of mean and variance (cases, 40,000): the fidelities against each other, and, where no chain
    comes near a bound, both against the exact moments."""
    elements = draw(device, (1, 1), KEY)
    mean, variance, room = exact(elements, start, counts)
    free = room > 6
    # float32 weights below 1: a rounding of 2^-24 per pulse, at random
    pulses = sum(np.abs(np.broadcast_to(n, np.shape(start))) for n in counts)
    floor = 2.0**-24 * np.sqrt(1 + pulses)
    z = [
        z_mean_pair(collapsed, by_pulse, floor),
        z_variance_pair(collapsed, by_pulse, floor**2),
    ]
    for sample in (collapsed[free], by_pulse[free]):
        z.append(z_mean(sample, mean[free], floor[free]))
        z.append(z_variance(sample, variance[free], floor[free] ** 2))
    return np.concatenate(z)


def both(run: Callable[[str, int], np.ndarray], step: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """The two fidelities at two addresses, side by side: kernels hold no lock."""
    with ThreadPoolExecutor(2) as pool:
        collapsed = pool.submit(run, "pulsed", 2 * step)
        by_pulse = pool.submit(run, "pulse-by-pulse", 2 * step + 1)
        return collapsed.result(), by_pulse.result()


def run_counts(device: Device) -> Callable[[str, int], np.ndarray]:
    """All starts with their counts in one array, 40 rows each: weights (cases, 40,000)."""

    def run(fidelity: str, step: int) -> np.ndarray:
        shape = (len(STARTS) * CHAINS[0], CHAINS[1])
        w, n = (
            torch.from_numpy(t).repeat_interleave(CHAINS[0]).unsqueeze(1).expand(shape).contiguous()
            for t in (starts(device).astype(np.float32), COUNTS)
        )
        apply_counts_(w, draw(device, shape, KEY), n, fidelity, KEY, step)
        return w.view(len(STARTS), N).numpy()

    return run


@pytest.mark.parametrize("number", range(len(LAWS)), ids=lambda i: LAWS[i].name)
def test_counts_in_one_direction(number: int) -> None:
    device = LAWS[number].device
    collapsed, by_pulse = both(run_counts(device), 1 + number)
    assert_all_within(comparisons(device, collapsed, by_pulse, starts(device), [COUNTS]), ALARM)


@pytest.mark.parametrize("name", ["soft_skewed-15-additive-0.3", "linear_rising-100-multiplicative-1.0"])
def test_a_variance_5_percent_off_is_caught(name: str) -> None:
    device = LAW[name]
    collapsed, by_pulse = both(run_counts(device))
    mean = collapsed.mean(-1, keepdims=True)
    for scale in (0.95, 1.05):
        wrong = mean + (collapsed - mean) * scale**0.5
        z = comparisons(device, wrong, by_pulse, starts(device), [COUNTS])
        with pytest.raises(AssertionError):
            assert_all_within(z, ALARM)


# --- mixed directions ----------------------------------------------------------------------------

#: samples of a minibatch, in order, with the part of the range where they start
MIXED = {
    "there-and-back": (0.3, [20, -20, 5, -1]),
    "short": (0.5, [1, -2, 3, 1, -1, 2]),
    "to-the-bound-and-back": (0.9, [12, -30, 6]),
    "from-the-bound": (1.0, [-3, 9, -40]),
}


def run_reference(device: Device, start: float, counts: Sequence[int]) -> Callable[..., np.ndarray]:
    elements = draw(device, CHAINS, KEY)
    n = torch.tensor(counts).view(-1, 1, 1).expand(-1, *CHAINS)

    def run(fidelity: str, step: int) -> np.ndarray:
        w = torch.full(CHAINS, start, dtype=torch.float64)
        return reference.apply_counts(w, elements, n, fidelity, KEY, step).view(1, N).numpy()

    return run


def place(device: Device, part: float) -> float:
    return device.response.w_min + part * (device.response.w_max - device.response.w_min)


@pytest.mark.parametrize("mix", MIXED)
@pytest.mark.parametrize(
    "name",
    [
        "soft_skewed-15-additive-1.0", "soft_skewed-100-multiplicative-3.0",
        "linear_rising-15-multiplicative-0.3", "linear_rising-100-additive-0.3",
    ],
)  # fmt: skip
def test_mixed_directions_by_the_reference(name: str, mix: str) -> None:
    part, counts = MIXED[mix]
    start = place(LAW[name], part)
    collapsed, by_pulse = both(run_reference(LAW[name], start, counts))
    z = comparisons(LAW[name], collapsed, by_pulse, [start], counts)
    assert_all_within(z, 1e-3 / 16)


def run_trains(
    device: Device, shape: tuple[int, int], on: int, start: float, signs: Sequence[int], bl: int
) -> Callable[..., np.ndarray]:
    """Samples of +-bl pulses each through the whole update: trains that fire in every slot.

    With lr = 4 BL dw_min and both managements off, A = B = 2, so that lines at 1 always fire. The
    first `on` x-lines do: with few of them the sparse path is the sensible one, with all the dense.
    """
    elements = draw(device, shape, KEY)
    x, d = torch.zeros(len(signs), shape[1]), torch.ones(len(signs), shape[0])
    x[:, :on] = 1
    d *= torch.tensor(signs, dtype=torch.float32).unsqueeze(1)

    def run(fidelity: Any, step: int) -> np.ndarray:
        w = torch.full(shape, start)
        pulsing = Pulsing(fidelity, bl, update_management=False, bl_management=False)
        lr = 4 * bl * device.dw_min
        up, down, *_ = pulsed_update_(w, elements, x, d, lr, pulsing, KEY, step)
        assert up + down == bl * len(signs) * shape[0] * on
        assert up - down == bl * sum(signs) * shape[0] * on
        assert bool((w[:, on:] == start).all())
        return w[:, :on].reshape(1, N).numpy()

    return run


@pytest.mark.parametrize(("shape", "on"), PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(
    "name",
    [
        "soft_skewed-15-additive-1.0", "soft_skewed-100-multiplicative-3.0",
        "soft_skewed-100-additive-0.3", "linear_rising-15-multiplicative-0.3",
        "linear_rising-100-additive-3.0", "constant-100-additive-1.0",
    ],
)  # fmt: skip
def test_mixed_directions_by_numba(name: str, shape: tuple[int, int], on: int) -> None:
    start = place(LAW[name], 0.4)
    z = []
    for signs, bl in (([1, 1, -1, 1, -1, -1, 1, 1], 1), ([1, -1, 1, 1, -1, 1], 20), ([1, -1, 1], 7)):
        collapsed, by_pulse = both(run_trains(LAW[name], shape, on, start, signs, bl))
        z.append(comparisons(LAW[name], collapsed, by_pulse, [start], [bl * s for s in signs]))
    assert_all_within(np.concatenate(z), 1e-3 / 12)


def test_a_bug_in_the_variance_of_the_reference_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: 5 % more variance in the collapse itself."""
    true = affine.collapse

    def wrong(*args: Any) -> tuple[Any, ...]:
        mean, var, *rest = true(*args)
        return mean, 1.05 * var, *rest

    monkeypatch.setattr(affine, "collapse", wrong)
    device, (part, counts) = LAW["linear_rising-100-additive-0.3"], MIXED["there-and-back"]
    start = place(device, part)
    collapsed, by_pulse = both(run_reference(device, start, counts))
    with pytest.raises(AssertionError):
        assert_all_within(comparisons(device, collapsed, by_pulse, [start], counts))


# --- bounds --------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("noise", [Noise(0.3), Noise(1.0, "multiplicative")])
def test_elements_near_a_bound_are_computed_pulse_by_pulse(backend: str, noise: Noise) -> None:
    """At one address they are what fidelity "pulse-by-pulse" gives, bit for bit; others are not."""
    device = Device(LinearStep(-0.6, 0.6, 0.5, 0.5), 0.01, noise=noise)
    elements = draw(device, (1, 5), KEY)
    for n in (1, 4, 30, -1, -4, -30):
        near = 0.6 if n > 0 else -0.6
        start = torch.tensor([[near, near - n * 0.002, near - n * 0.011, 0.0, -near]])
        w, v = start.clone(), start.clone()
        apply_counts_(w, elements, torch.full((1, 5), n), "pulsed", KEY, 3, backend)
        apply_counts_(v, elements, torch.full((1, 5), n), "pulse-by-pulse", KEY, 3, backend)
        same = (w == v)[0].tolist()
        assert same[0], "starts at the bound ahead"
        assert same[1], "ends beyond the bound ahead"
        assert not same[3], "stays far from both bounds"
        assert same[4], "starts at the bound behind, where the noise of a pulse is clipped"


def test_without_pulse_by_pulse_the_law_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the collapse is used at a bound too."""
    monkeypatch.setattr(affine, "SAFETY", -1e6)
    device = Device(SoftBounds.symmetric(0.6), 0.01, noise=Noise(1.0))
    collapsed, by_pulse = both(run_reference(device, 0.59, [12, -3]))
    with pytest.raises(AssertionError):
        assert_all_within(comparisons(device, collapsed, by_pulse, [0.59], [12, -3]))


#: up, then down: near the far upper bound noise is wide, and the near lower bound contracts it again
UNEQUAL = {
    f"{-low:g}-{noise.kind}": Device(SoftBounds(low, 2.0, up=1.0, down=0.3), 0.02, noise=noise)
    for low in (-0.1, -0.2, -0.4)
    for noise in (Noise(1.0), Noise(3.0, "multiplicative"))
}


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", UNEQUAL)
def test_clipping_in_the_middle_of_a_minibatch_by_numba(name: str, path: str) -> None:
    """[40, -40], [160, -40] and [40, -80], with starts at which the final variance alone looks safe."""
    z = []
    for signs in ([1, -1], [1, 1, 1, 1, -1], [1, -1, -1]):
        for start in (1.46, 1.7, 1.83):
            collapsed, by_pulse = both(run_trains(UNEQUAL[name], *PATHS[path], start, signs, 40))
            z.append(comparisons(UNEQUAL[name], collapsed, by_pulse, [start], [40 * s for s in signs]))
    assert_all_within(np.concatenate(z), 1e-3 / 12)


def test_clipping_in_the_middle_of_a_minibatch_by_the_reference() -> None:
    device, start, counts = UNEQUAL["0.1-additive"], 1.83, [40, -40]
    collapsed, by_pulse = both(run_reference(device, start, counts))
    assert_all_within(comparisons(device, collapsed, by_pulse, [start], counts))


@pytest.mark.parametrize("name", ["soft_skewed-15", "linear_rising-100", "constant-1000"])
def test_without_noise_the_collapse_is_exact(name: str) -> None:
    """Noise 0: both fidelities are one deterministic map, clipped at the bounds."""
    noisy = LAW[f"{name}-additive-0.3"]
    device = Device(noisy.response, noisy.dw_min)
    elements = draw(device, (1, len(STARTS)), KEY)
    mean, _, _ = exact(elements, starts(device), [COUNTS])
    expected = np.clip(mean, device.response.w_min, device.response.w_max)
    for fidelity in ("pulsed", "pulse-by-pulse"):
        for backend in ("reference", "numba"):
            w = torch.from_numpy(starts(device).astype(np.float32)).view(1, -1)
            n = torch.from_numpy(COUNTS).view(1, -1)
            apply_counts_(w, elements, n, fidelity, KEY, 1, backend)
            assert np.abs(w.numpy() - expected).max() < 165 * 2.0**-24  # a rounding per pulse
