"""Minibatches depend on seed and epoch only."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ohmgrad import InputError, datasets


def order(seed: int, epoch: int, n: int = 23, size: int = 5, **options: Any) -> list[int]:
    x, y = torch.arange(float(n)), torch.arange(n)
    got = list(datasets.batches(x, y, size, seed=seed, epoch=epoch, **options))
    assert all(torch.equal(a.long(), b) for a, b in got)
    assert [len(b) for b, _ in got[:-1]] == [size] * (len(got) - 1)
    return torch.cat([b for _, b in got]).tolist()


def test_batches_depend_on_seed_and_epoch_only() -> None:
    assert order(1, 2) == order(1, 2)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    assert order(1, 2) == order(1, 2)
    assert torch.equal(before, torch.get_rng_state())
    assert sorted(order(1, 2)) == list(range(23))
    # torch's generator has 32-bit seeds: seeds that differ in higher bits only must not fall together
    seeds = (0, 1, 2, 4095, 4096, 4097, 8192, 2**31, 2**32 - 1)
    assert len({tuple(order(s, e)) for s in seeds for e in (0, 1, 2, 4096)}) == 36


def test_batches_last_one() -> None:
    assert len(order(0, 0)) == 23
    assert order(0, 0, drop_last=True) == order(0, 0)[:20]
    assert order(0, 0, n=20, drop_last=True) == order(0, 0, n=20)
    assert len(order(0, 0, size=100)) == 23


@pytest.mark.parametrize(
    ("wrong", "wanted"),
    [
        ({"batch_size": 0}, r"batch_size is 0, but must be an integer in \[1, 2\^32\)"),
        ({"batch_size": 2.5}, "batch_size is 2.5"),
        ({"seed": -1}, r"seed is -1, but must be an integer in \[0, 2\^32\)"),
        ({"seed": 2**32}, "seed is 4294967296"),
        ({"epoch": -1}, "epoch is -1"),
        ({"y": torch.zeros(3)}, "x has 4 rows and y has 3"),
    ],
)
def test_batches_check_at_once(wrong: dict[str, Any], wanted: str) -> None:
    right = {"x": torch.zeros(4), "y": torch.zeros(4), "batch_size": 2, "seed": 0, "epoch": 0}
    with pytest.raises(InputError, match=wanted):
        datasets.batches(**{**right, **wrong})
