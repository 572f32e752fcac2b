"""Augmentation, resizing and standardisation of images: what they do, and that seeds fix them."""

from __future__ import annotations

import pytest
import torch

from ohmgrad.datasets import Dataset
from ohmgrad.models.vision import Standard
from ohmgrad.studies.images import AUGMENTATIONS, PADDING, Images

MEAN, STD = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)


def dataset(pixels: torch.Tensor) -> Dataset:
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    x, y = (pixels - mean) / std, torch.zeros(len(pixels), dtype=torch.long)
    return Dataset("made-up", x, y, x, y, 10, MEAN, STD)


@pytest.fixture
def data() -> Dataset:
    return dataset(torch.rand(64, 3, 9, 9, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seed_epoch_and_step_fix_it(name: str, data: Dataset) -> None:
    x = data.train_x
    first = Images(data, augment=[name], seed=1).for_training(x, 2, 3)
    assert torch.equal(first, Images(data, augment=[name], seed=1).for_training(x, 2, 3))
    for seed, epoch, step in ((2, 2, 3), (1, 3, 3), (1, 2, 4)):
        assert not torch.equal(first, Images(data, augment=[name], seed=seed).for_training(x, epoch, step))
    assert torch.equal(x, Images(data, augment=[name], seed=1).for_evaluation(x))


@pytest.mark.parametrize(("name", "dimension"), [("flip", 3), ("vertical-flip", 2)])
def test_half_of_the_images_are_mirrored(name: str, dimension: int, data: Dataset) -> None:
    """4096 images: a share of 1/2 within 4.5 standard deviations, 4.5 * 0.5 / 64 = 0.035."""
    x, mirrored = data.train_x, 0
    images = Images(data, augment=[name])
    for step in range(64):
        y = images.for_training(x, 0, step)
        flipped = (y == x.flip(dimension)).flatten(1).all(1)
        assert (flipped | (y == x).flatten(1).all(1)).all()
        mirrored += int(flipped.sum())
    assert abs(mirrored / 4096 - 0.5) < 0.035


def test_a_crop_is_a_window_of_the_image_with_black_around_it(data: Dataset) -> None:
    """All 81 windows come up among 4096 (one is missed with probability below 81 exp(-4096/81) = 1e-20)."""
    pixels = data.train_x * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
    padded = torch.nn.functional.pad(pixels, (PADDING,) * 4)
    images, seen = Images(data, augment=["crop"]), set()
    windows = {
        (i, j): padded[:, :, i : i + 9, j : j + 9]
        for i in range(2 * PADDING + 1)
        for j in range(2 * PADDING + 1)
    }
    for step in range(64):
        y = images.for_training(data.train_x, 0, step)
        y = y * torch.tensor(STD).view(3, 1, 1) + torch.tensor(MEAN).view(3, 1, 1)
        near = {at: (y - w).abs().flatten(1).amax(1) < 1e-5 for at, w in windows.items()}
        assert torch.stack(list(near.values())).sum(0).eq(1).all()
        seen |= {at for at, hit in near.items() if hit.any()}
    assert len(seen) == 81


def test_flips_are_drawn_apart(data: Dataset) -> None:
    """Among 64 images all four combinations come up (all but 4 * 0.75^64 = 4e-8)."""
    x = data.train_x
    y = Images(data, augment=["flip", "vertical-flip"]).for_training(x, 0, 0)
    found = {
        (a, b) for a in (0, 1) for b in (0, 1)
        for i in range(64) if torch.equal(y[i], x[i].flip([d for d, on in ((2, a), (1, b)) if on]))
    }  # fmt: skip
    assert len(found) == 4


def test_images_are_resized_and_standardised_anew(data: Dataset) -> None:
    wanted = Standard((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    y = Images(data, resize=18, standard=wanted).for_evaluation(data.test_x)
    assert y.shape == (64, 3, 18, 18)
    # bilinear and twice as large: a pixel is 9/16, 3/16, 3/16 and 1/16 of its neighbours
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (MEAN, STD))
    pixels = data.test_x * std + mean
    back = y * torch.tensor(wanted.std).view(3, 1, 1) + torch.tensor(wanted.mean).view(3, 1, 1)
    by_hand = (
        9 * pixels[:, :, 2, 2] + 3 * pixels[:, :, 3, 2] + 3 * pixels[:, :, 2, 3] + pixels[:, :, 3, 3]
    ) / 16
    assert torch.allclose(back[:, :, 5, 5], by_hand, atol=1e-5)


def test_without_settings_images_are_as_they_were(data: Dataset) -> None:
    images = Images(data)
    assert images.for_training(data.train_x, 0, 0) is data.train_x
