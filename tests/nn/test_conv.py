"""Convolutions in one and three dimensions are torch's, as those in two are (`test_layers.py`)."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import NOISY_PERIPHERY, AnalogSGD, InputError, convert
from ohmgrad.nn import analog_layers
from ohmgrad.nn.patches import Patching
from tests.nn.test_layers import IDEAL, PERIPHERIES, REAL, check_twin

KINDS: dict[str, Any] = {"1d": nn.Conv1d, "3d": nn.Conv3d}
SIZES = {"1d": (11,), "3d": (6, 5, 7)}

#: options by dimensions, where they are not one number for all
CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-bias": {"bias": False},
    "one-by-one": {"kernel_size": 1},
    "strided": {"stride": 2, "padding": 1},
    "strided-with-a-rest": {"stride": 3, "kernel_size": 2},
    "dilated": {"dilation": 2, "padding": 2},
    "grouped": {"groups": 2, "padding": 1},
    "depthwise": {"groups": 4, "stride": 2, "dilation": 2, "padding": 2},
    "same": {"padding": "same", "kernel_size": 4},
    "valid": {"padding": "valid"},
    "reflect": {"padding": 2, "padding_mode": "reflect"},
    "replicate": {"padding": 2, "padding_mode": "replicate", "stride": 2},
    "circular": {"padding": 1, "padding_mode": "circular", "groups": 2},
}
OBLONG = {
    "1d": {"kernel_size": (4,), "stride": (3,), "padding": (2,), "dilation": (2,)},
    "3d": {"kernel_size": (3, 1, 2), "stride": (1, 2, 3), "padding": (0, 1, 2), "dilation": (2, 1, 3)},
}


def layer_and_input(kind: str, options: dict[str, Any]) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(2)
    return KINDS[kind](4, 8, **{"kernel_size": 3, **options}), torch.randn(3, 4, *SIZES[kind])


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel")
@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("omega", [None, 0.5])
@pytest.mark.parametrize("name", [*CASES, "oblong"])
@pytest.mark.parametrize("kind", KINDS)
def test_convolution_is_torchs(kind: str, name: str, omega: Any, periphery: str) -> None:
    options = {**CASES, "oblong": OBLONG[kind]}[name]
    check_twin(*layer_and_input(kind, options), omega, PERIPHERIES[periphery])


@pytest.mark.parametrize("kind", KINDS)
def test_a_wrong_patch_is_caught(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: kernels read backwards along the last dimension."""
    right = Patching.vectors

    def backwards(self: Patching, x: Tensor) -> Tensor:
        return right(self, x).unflatten(1, (-1, self.kernel_size[-1])).flip(-1).flatten(1)

    monkeypatch.setattr(Patching, "vectors", backwards)
    for periphery in PERIPHERIES.values():
        with pytest.raises(AssertionError):
            check_twin(*layer_and_input(kind, {}), None, periphery)


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("name", ["plain", "grouped", "reflect"])
@pytest.mark.parametrize("kind", KINDS)
def test_one_sample_without_a_batch_and_a_batch_without_samples(kind: str, name: str, periphery: str) -> None:
    layer, x = layer_and_input(kind, CASES[name])
    check_twin(layer, x[0], None, PERIPHERIES[periphery])
    check_twin(layer, x[:0], None, PERIPHERIES[periphery])
    assert convert(layer, IDEAL, periphery=NOISY_PERIPHERY)(x[:0]).shape == layer(x[:0]).shape


def test_inputs_of_the_wrong_shape_are_refused() -> None:
    for layer, shape, needs in (
        (nn.Conv1d(2, 4, 3), (1, 3, 8), r"\(N, 2, L\) or \(2, L\)"),
        (nn.Conv1d(2, 4, 3), (1, 2, 8, 8), r"\(N, 2, L\)"),
        (nn.Conv3d(2, 4, 3), (3, 8, 8, 8), r"\(N, 2, D, H, W\) or \(2, D, H, W\)"),
        (nn.Conv3d(2, 4, 3), (2, 8, 8), r"\(N, 2, D, H, W\)"),
    ):
        with pytest.raises(InputError, match=f"this layer needs {needs}"):
            convert(layer, IDEAL)(torch.zeros(shape))


def network() -> nn.Module:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, groups=2), nn.Tanh(), nn.Unflatten(2, (2, 3, 2)),
        nn.Conv3d(4, 2, 2, padding=(0, 1, 0), padding_mode="circular"), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip


@pytest.mark.parametrize("periphery", PERIPHERIES)
def test_products_are_counted_in_patches(periphery: str) -> None:
    model = convert(network(), REAL, periphery=PERIPHERIES[periphery])
    x = torch.randn(5, 2, 14, requires_grad=True)
    model(x).sum().backward()
    for (_, layer), patches in zip(analog_layers(model), (12, 4, 1), strict=True):
        for direction in ("forward_vectors", "backward_vectors"):
            assert [t.count(direction) for t in layer.tiles] == [5 * patches] * len(layer.tiles)


@pytest.mark.parametrize("periphery", PERIPHERIES)
def test_training_lowers_the_loss_and_a_copy_goes_on_exactly(periphery: str) -> None:
    model = convert(network(), REAL, periphery=PERIPHERIES[periphery])
    assert {k for k in model.state_dict() if ".analog." not in k and not k.endswith("out_scale")} == set(
        network().state_dict()
    )
    x = torch.randn(16, 2, 14, generator=torch.Generator().manual_seed(1))
    y = x.mean((1, 2), keepdim=True)[:, 0] * torch.tensor([1.0, -1.0])

    def train(model: nn.Module, steps: int) -> list[float]:
        optimizer = AnalogSGD(model.parameters(), lr=0.05)
        losses = []
        for _ in range(steps):
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        return losses

    losses = train(model, 30)
    assert losses[-1] < 0.5 * losses[0]
    other = copy.deepcopy(model)
    assert train(model, 2) == train(other, 2)
    assert all(map(torch.equal, model.parameters(), other.parameters()))


def test_a_periphery_that_is_set_later_counts() -> None:
    layer = convert(nn.Conv2d(1, 2, 3), IDEAL)
    x = torch.ones(1, 1, 4, 4)
    assert torch.equal(layer(x), layer(x))
    layer.tiles[0].periphery = NOISY_PERIPHERY
    assert not torch.equal(layer(x), layer(x))
