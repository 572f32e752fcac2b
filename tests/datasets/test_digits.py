"""The digits of scikit-learn, whose split is pinned."""

from __future__ import annotations

import torch

from ohmgrad import datasets


def test_digits() -> None:
    digits, again = datasets.load("digits"), datasets.load("digits")
    assert (digits.shape, digits.classes) == ((1, 8, 8), 10)
    assert (len(digits.train_x), len(digits.train_y)) == (1438, 1438)
    assert (len(digits.test_x), len(digits.test_y)) == (359, 359)
    assert digits.train_x.dtype == torch.float32
    assert digits.train_y.dtype == torch.int64
    assert (float(digits.train_x.min()), float(digits.train_x.max())) == (0.0, 1.0)
    assert torch.equal(digits.train_x, again.train_x)
    assert torch.equal(digits.test_y, again.test_y)
    # every image is in one part, with its own label
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    whole = sorted([*p, label] for p, label in zip(pixels.tolist(), labels.tolist(), strict=True))
    x, y = torch.cat([digits.train_x, digits.test_x]), torch.cat([digits.train_y, digits.test_y])
    assert sorted([*p, n] for p, n in zip((x.flatten(1) * 16).tolist(), y.tolist(), strict=True)) == whole
    # about as many of each digit as a random fifth has: 36 +- 4 standard deviations of 5.1
    assert int(digits.test_y.bincount().min()) >= 16
    assert int(digits.test_y.bincount().max()) <= 56


def test_digits_split_is_pinned() -> None:
    """Results on the digits can be compared only while the split stays what it is."""
    digits = datasets.load("digits")
    assert digits.test_y.bincount().tolist() == [38, 36, 37, 34, 38, 33, 45, 29, 35, 34]
    assert digits.test_y[:12].tolist() == [6, 2, 4, 5, 0, 2, 3, 5, 3, 2, 3, 5]
