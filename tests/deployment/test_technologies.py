"""Programming noise, drift and read noise of elements follow the published laws."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from ohmgrad.deployment.pairs import Pairs, programmed
from ohmgrad.deployment.technologies import DAY, PCM, TECHNOLOGIES, YEAR, ReRAM, Technology, technology_of
from ohmgrad.errors import InputError
from ohmgrad.rng import Key
from tests.stats import assert_mean, assert_normal, assert_share, assert_variance

N = 20_000
#: no noise but the one that is tested
QUIET = {"programming": (0.0,), "exponent": (0.0, 0.0, 0.0, 0.0), "exponent_spread": (0.0, 0.0, 0.0, 0.0),
         "read": (0.0, 0.0, 0.0)}  # fmt: skip


def only(**own: object) -> PCM:
    return PCM(**{**QUIET, **own})  # pyright: ignore[reportArgumentType]


def pairs(technology: Technology, g: float, *, seed: int = 3, programming: int = 0) -> Pairs:
    """N elements of G+ with target g G_max, and as many of G- with target 0."""
    weight = torch.full((N,), g, dtype=torch.float64)
    weight[0] = 1.0  # so that G_max stands for 1
    return programmed(weight, technology, Key(seed, 7), programming, None)


def plus(technology: Technology, g: float, seconds: float, **how: int) -> Tensor:
    return pairs(technology, g, **how).conductances(seconds)[0][1:]


@pytest.mark.parametrize("g", [0.3, 0.5, 1.0])
def test_programming_noise(g: float) -> None:
    """Far from 0, where nothing is clipped, G_p is Gaussian with the published standard deviation."""
    pcm = only(programming=PCM().programming)
    sigma = -1.1731 * g**2 + 1.9650 * g + 0.26348
    assert_normal((plus(pcm, g, 20.0) - 25 * g) / sigma)


def test_elements_programmed_to_0_are_half_a_gaussian() -> None:
    found = pairs(only(programming=PCM().programming), 0.5).conductances(20.0)[1]
    assert_share(int((found > 0).sum()), N, 0.5)
    assert_mean(found, 0.26348 / math.sqrt(2 * math.pi))


@pytest.mark.parametrize(
    ("g", "mean", "spread"),
    [(1.0, 0.049, 0.008), (1e-3, 0.1, 0.045),
     (0.1, -0.0155 * math.log(0.1) + 0.0244, -0.0125 * math.log(0.1) - 0.0059)],
)  # fmt: skip
def test_drift(g: float, mean: float, spread: float) -> None:
    """Exponents of single elements, from two reads without noise, are Gaussian; one for all times."""
    pcm = only(exponent=PCM().exponent, exponent_spread=PCM().exponent_spread)
    early, day, year = (plus(pcm, g, t) for t in (20.0, DAY, YEAR))
    exponents = -(day / early).log() / math.log(DAY / 20)
    torch.testing.assert_close(early, torch.full_like(early, 25 * g), rtol=1e-12, atol=0)
    torch.testing.assert_close(year, early * (YEAR / 20) ** -exponents, rtol=1e-9, atol=0)
    assert_normal((exponents - mean) / spread)


@pytest.mark.parametrize("seconds", [20.0, DAY])
@pytest.mark.parametrize(("g", "q"), [(1.0, 0.0088), (0.2, 0.0088 / 0.2**0.65)])
def test_read_noise(g: float, q: float, seconds: float) -> None:
    sigma = q * math.sqrt(math.log((seconds + 250e-9) / 500e-9))
    assert_normal((plus(only(read=PCM().read), g, seconds) / (25 * g) - 1) / sigma)


def test_reads_at_two_times_are_independent_and_the_same_time_gives_the_same() -> None:
    array = pairs(only(read=PCM().read), 0.5)
    a, b, again = (array.conductances(t)[0][1:] for t in (3600.0, 3601.0, 3600.0))
    torch.testing.assert_close(a, again, rtol=0, atol=0)
    product = (a - a.mean()) * (b - b.mean()) / (a.std() * b.std())
    assert_mean(product, 0.0)


def test_the_read_noise_of_an_element_programmed_to_0_is_bounded() -> None:
    pcm = PCM()
    growth = math.sqrt(math.log((20 + 250e-9) / 500e-9))
    torch.testing.assert_close(pcm.read_noise(torch.zeros(1), 20.0), torch.tensor([0.2 * growth]))


@pytest.mark.parametrize(("seconds", "sigma"), [(1.0, 2.023), (DAY, 3.909), (2 * DAY, 3.929)])
def test_deviations_of_reram(seconds: float, sigma: float) -> None:
    """At half of G_max, by the published coefficients, added up by hand to 0.001 uS."""
    found = plus(ReRAM(), 0.5, seconds) - 20
    assert_mean(found, 0.0)
    assert_variance(found, sigma**2, slack=2 * sigma * 6e-4)


def test_deviations_of_reram_between_times() -> None:
    """Half way in the logarithm of time, sigma is the mean of both."""
    reram, g = ReRAM(), torch.tensor([0.0, 0.3, 1.0], dtype=torch.float64)
    middle = reram.sigma(g, math.sqrt(DAY))
    torch.testing.assert_close(middle, (reram.sigma(g, 1.0) + reram.sigma(g, DAY)) / 2)


def test_numbers_are_those_of_seed_matrix_and_programming() -> None:
    first = plus(PCM(), 0.5, DAY)
    assert torch.equal(first, plus(PCM(), 0.5, DAY))
    for other in (plus(PCM(), 0.5, DAY, seed=4), plus(PCM(), 0.5, DAY, programming=1)):
        assert_mean((first - first.mean()) * (other - other.mean()) / (first.std() * other.std()), 0.0)
    both = pairs(PCM(), 0.0).conductances(DAY)
    assert not torch.equal(both[0][1:], both[1][1:])  # G+ and G- have their own


def test_conductances_are_never_negative() -> None:
    for technology in TECHNOLOGIES.values():
        for seconds in technology.times:
            assert all(bool((side >= 0).all()) for side in pairs(technology, 0.02).conductances(seconds))


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: PCM(g_max=0), "g_max is 0, but must be a number in"),
        (lambda: PCM(programming=()), "programming is .*at least one number"),
        (lambda: PCM(exponent=(1.0, 2.0)), "exponent is .*must be 4 numbers"),  # pyright: ignore
        (lambda: PCM(exponent_spread=(0.0, 0.0, -0.1, 0.1)), "exponent_spread is clipped to"),
        (lambda: PCM(read=(0.1, 0.5, math.nan)), "a number of read is nan"),
        (lambda: ReRAM(published=((2.0, (1.0,)), (1.0, (1.0,)))), r"published has times \[2.0, 1.0\]"),
        (lambda: PCM().check_time(19.0), "published from 20 s on"),
        (lambda: PCM().check_time(True), "seconds since programming is True"),
        (lambda: ReRAM().check_time(3 * DAY), "published from 1 s to 172800 s"),
        (lambda: technology_of("pmc"), "unknown technology 'pmc': did you mean 'pcm'"),
        (lambda: technology_of(3), "unknown technology 3"),  # pyright: ignore[reportArgumentType]
    ],
)  # fmt: skip
def test_wrong_figures_are_refused(make: object, says: str) -> None:
    with pytest.raises(InputError, match=says):
        make()  # pyright: ignore[reportCallIssue]
