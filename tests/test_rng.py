"""Philox4x32-10 against its published vectors, and the laws of what is made from its words."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from ohmgrad.kernels.cpu import math as cpu_math
from ohmgrad.rng import Key, Purpose, gaussians, philox, words
from tests.stats import Z, assert_mean, assert_normal, assert_share, assert_variance

#: counter, key, words: Salmon et al., SC 2011, Random123's kat_vectors
KNOWN = {
    "zeros": ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    "ones": (
        (0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD),
    ),
    "pi": (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
}  # fmt: skip
KEY = Key(11, 12)


@pytest.mark.parametrize("name", KNOWN)
def test_philox_known_answers(name: str) -> None:
    counter, key, expected = KNOWN[name]
    c0, c1, c2, c3 = counter
    assert tuple(int(w) for w in philox(c0, c1, c2, c3, Key(*key))) == expected
    numba = cpu_math.philox(*(np.uint32(v) for v in (*counter, *key)))
    assert tuple(int(w) for w in numba) == expected


def test_numba_philox_equals_torch() -> None:
    g = np.random.default_rng(0)
    inputs = g.integers(0, 2**32, (2000, 6), dtype=np.uint64).astype(np.uint32)
    for row in inputs[:200]:
        c0, c1, c2, c3, seed, array = (int(v) for v in row)
        torch_words = philox(c0, c1, c2, c3, Key(seed, array))
        numba_words = cpu_math.philox(*row)
        assert [int(w) for w in torch_words] == [int(w) for w in numba_words]


def test_words_are_addressed_lane_by_lane() -> None:
    """Item j of n is word j // G of the block with index j % G, G = ceil(n/4)."""
    n, row, step, purpose, block = 10, 3, 5, Purpose.X_TRAIN, 2
    got = words(n, torch.tensor([row]), step, purpose, KEY, block)
    assert got.shape == (1, n)
    for j in range(n):
        expected = philox(j % 3, row, step, purpose | block << 8, KEY)[j // 3]
        assert int(got[0, j]) == int(expected)


def test_words_of_a_row_do_not_depend_on_the_other_rows() -> None:
    many = words(7, torch.arange(5), 1, 2, KEY)
    one = words(7, 4, 1, 2, KEY)
    assert torch.equal(many[4], one)


@pytest.mark.parametrize("change", ["seed", "array", "row", "step", "purpose", "block"])
def test_every_part_of_the_address_matters(change: str) -> None:
    base = {"seed": 1, "array": 1, "row": 1, "step": 1, "purpose": 1, "block": 1}

    def draw(seed: int, array: int, row: int, step: int, purpose: int, block: int) -> torch.Tensor:
        return words(4000, row, step, purpose, Key(seed, array), block)

    a, b = draw(**base), draw(**{**base, change: 2})
    assert int((a == b).sum()) <= 1  # expected: 4000 / 2^32
    u, v = (t.double() / 2**32 - 0.5 for t in (a, b))
    correlation = float((u * v).mean() * 12)
    assert abs(correlation) < Z / math.sqrt(4000)


def test_words_are_uniform_in_every_bit() -> None:
    w = words(100_000, 0, 0, 1, KEY)
    for bit in range(32):
        assert_share(int(((w >> bit) & 1).sum()), w.numel(), 0.5)
    assert_mean(w.double() / 2**32, 0.5)
    assert_variance(w.double() / 2**32, 1 / 12)


def test_gaussians_are_standard_normal() -> None:
    z = gaussians(1000, torch.arange(200), 3, Purpose.UPDATE_NOISE, KEY)
    assert z.shape == (200, 1000)
    assert z.dtype == torch.float64
    assert_normal(z)
    assert_mean(z, 0.0)
    assert_variance(z, 1.0)
    assert_mean(z**3, 0.0)
    assert_mean(z**4, 3.0)
    assert bool(torch.isfinite(z).all())


def test_gaussians_are_independent_of_their_neighbours() -> None:
    """Lanes of one block (items G apart), neighbouring items, and neighbouring rows."""
    z = gaussians(1000, torch.arange(200), 3, Purpose.UPDATE_NOISE, KEY)
    assert_mean(z[:, :250] * z[:, 250:500], 0.0)  # cosine and sine of one pair
    assert_mean(z[:, :250] * z[:, 500:750], 0.0)
    assert_mean(z[:, 1:] * z[:, :-1], 0.0)
    assert_mean(z[1:] * z[:-1], 0.0)


def test_numba_gaussians_equal_the_reference() -> None:
    g = np.random.default_rng(1)
    pairs = g.integers(0, 2**32, (2000, 2), dtype=np.uint64).astype(np.uint32)
    edges = np.array([0, 1, 2**29, 2**30, 2**31, 2**32 - 1], dtype=np.uint32)
    pairs = np.concatenate([pairs, np.stack(np.meshgrid(edges, edges), -1).reshape(-1, 2)])
    numba = np.array([cpu_math.gauss2(a, b) for a, b in pairs], dtype=np.float64)
    radius = np.sqrt(-2 * np.log((pairs[:, 0] + 0.5) * 2.0**-32))
    angle = pairs[:, 1] * (2 * np.pi * 2.0**-32)
    expected = np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)
    # float32: 2^-24 relative per operation, some ten of them, on numbers up to 6.7; and the uniform
    # number itself is rounded, which moves log u by 2^-24 and a small radius by up to sqrt(2 2^-24)
    rounding = 2.0**-24
    allowed = 10 * 6.7 * rounding + np.minimum(rounding / radius, math.sqrt(2 * rounding))
    assert (np.abs(numba - expected) < allowed[:, None]).all()
