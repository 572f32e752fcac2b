"""Products through the periphery: the backends agree; converters, noise and management obey laws."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ohmgrad import (
    NOISY_PERIPHERY,
    Device,
    Periphery,
    SoftBounds,
    Tile,
)
from ohmgrad.kernels.periphery import MAX_DOUBLINGS
from ohmgrad.rng import Purpose, gaussians
from tests.kernels.test_backends import BACKENDS, KEY
from tests.stats import assert_mean, assert_variance
from tests.updates import product

PERIPHERIES = {
    "perfect": Periphery(),
    "bounds": Periphery(in_bound=1.0, out_bound=2.0),
    "steps": Periphery(in_bound=1.0, in_steps=126, out_bound=12.0, out_steps=510),
    "in_noise": Periphery(in_noise=0.1),
    "out_noise": Periphery(out_noise=0.06),
    "weight_noise": Periphery(weight_noise=0.02, out_noise=0.01),
    "abs_max": Periphery(out_noise=0.06, in_noise=0.01, noise_management="abs_max"),
    "iterative": Periphery(out_bound=0.5, out_noise=0.01, bound_management="iterative"),
    "everything": NOISY_PERIPHERY,
}


def read(periphery: Periphery, x: Tensor, matrix: Tensor, backend: str, first: int = 0) -> Tensor:
    return product(x, matrix, periphery, Purpose.READ_FORWARD, KEY, first, backend)[0]


def vectors(samples: int, n: int, m: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    g = torch.Generator().manual_seed(5)
    return scale * torch.randn(samples, n, generator=g), torch.randn(n, m, generator=g) / n**0.5


@pytest.mark.parametrize("shape", [(1, 1, 1), (10, 37, 53), (900, 63, 65)])
@pytest.mark.parametrize("name", PERIPHERIES)
def test_products_are_the_reference(name: str, shape: tuple[int, int, int]) -> None:
    """To rounding, but that a value on the edge between two steps may fall to either side."""
    p, (x, matrix) = PERIPHERIES[name], vectors(*shape)
    expected, got = (read(p, x.clone(), matrix, backend) for backend in BACKENDS)
    off = (got - expected).abs() > 1e-5 * (1 + expected.abs())
    assert float(off.double().mean()) < 2e-3
    step = (p.out_step + p.in_step) * x.abs().amax().item() * 2**3 + 1e-5
    assert float((got - expected).abs().max()) <= step


@pytest.mark.parametrize("name", PERIPHERIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_split_of_a_batch_changes_no_noise(backend: str, name: str) -> None:
    x, matrix = vectors(9, 37, 53)
    p = PERIPHERIES[name]
    whole = read(p, x, matrix, backend, first=100)
    split = torch.cat([read(p, x[:4], matrix, backend, 100), read(p, x[4:], matrix, backend, 104)])
    torch.testing.assert_close(whole, split, atol=1e-5, rtol=1e-5)
    device = Device(SoftBounds(-9, 9), 0.1)
    tile = Tile((53, 37), device, periphery=p, seed=KEY.seed, array=KEY.array, backend=backend)
    tile.weight.copy_(matrix.t())
    both = torch.cat([tile.forward(x[:4]), tile.forward(x[4:])])
    torch.testing.assert_close(both, read(p, x, matrix, backend, 0), atol=1e-5, rtol=1e-5)
    assert tile.count("forward_vectors") == 9
    driven = 9 + tile.count("driven_again")
    assert (driven > 9) == (name == "iterative")
    assert tile.count("dac") == driven * 37
    assert tile.count("adc") == driven * 53


@pytest.mark.parametrize("backend", BACKENDS)
def test_converters_have_their_levels(backend: str) -> None:
    x = torch.linspace(-1.5, 1.5, 3001).view(-1, 1)
    one = torch.ones(1, 1)
    for p, step, bound in (
        (Periphery(in_bound=1.0, in_steps=8), 0.25, 1.0),
        (Periphery(out_bound=0.75, out_steps=6), 0.25, 0.75),
        (Periphery(in_bound=1.0), 0.0, 1.0),
    ):
        y = read(p, x, one, backend)
        assert float(y.abs().max()) == bound
        inside = x.abs() <= bound
        assert float((y - x)[inside].abs().max()) <= step / 2 + 1e-6
        levels = y.unique()
        if step:
            assert torch.equal(levels, torch.arange(-bound, bound + step / 2, step))


@pytest.mark.parametrize("backend", BACKENDS)
def test_read_noise_has_its_standard_deviation(backend: str) -> None:
    """in_noise acts on every input, weight_noise as weight_noise ||x~||, out_noise on every output."""
    x = torch.tensor([[0.5, -2.0, 0.0]]).expand(20_000, 3).contiguous()
    matrix = torch.tensor([[0.3, 1.0], [0.2, 0.0], [-0.4, 0.5]])
    exact, norm = (x[:1] @ matrix).double(), x[0].norm() ** 2
    for p, scale, variance in (
        (Periphery(out_noise=0.06), 1.0, torch.full((2,), 0.06**2)),
        (Periphery(weight_noise=0.02, out_noise=0.01), 1.0, 0.01**2 + 0.02**2 * norm.expand(2)),
        (Periphery(in_noise=0.1), 1.0, 0.01 * (matrix**2).sum(0)),
        (Periphery(out_noise=0.06, noise_management="abs_max"), 2.0, torch.full((2,), 0.06**2)),
    ):
        y = read(p, x, matrix, backend).double()
        for j in range(2):
            assert_mean(y[:, j], float(exact[0, j]), slack=1e-6)
            assert_variance(y[:, j], float(scale**2 * variance[j]))
        again = read(p, x, matrix, backend).double()
        assert torch.equal(y, again)
        other = read(p, x, matrix, backend, first=20_000).double()
        assert_mean((y - exact) * (other - exact), 0.0)


@pytest.mark.parametrize("backend", BACKENDS)
def test_abs_max_management_scales_each_vector(backend: str) -> None:
    """Inputs are divided by max|x|, so that results scale with x exactly; a zero vector stays zero."""
    p = Periphery(in_bound=1.0, in_steps=126, out_noise=0.06, noise_management="abs_max")
    x, matrix = vectors(6, 37, 53)
    x[3] = 0.0
    y = read(p, x, matrix, backend)
    torch.testing.assert_close(read(p, 1024 * x, matrix, backend)[[0, 1, 2, 4, 5]], 1024 * y[[0, 1, 2, 4, 5]])
    silent = read(Periphery(in_bound=1.0, in_steps=126, noise_management="abs_max"), x, matrix, backend)
    assert bool((silent[3] == 0).all())


@pytest.mark.parametrize("backend", BACKENDS)
def test_iterative_management_halves_until_nothing_hits_the_bound(backend: str) -> None:
    x, matrix = vectors(20, 37, 53, scale=3.0)
    clipped = read(Periphery(out_bound=1.0), x, matrix, backend)
    assert float(clipped.abs().max()) == 1.0
    p = Periphery(out_bound=1.0, bound_management="iterative")
    torch.testing.assert_close(read(p, x, matrix, backend), x @ matrix, atol=1e-5, rtol=1e-5)
    # noise grows with the factor of its own vector, and with no other's
    noisy = Periphery(out_bound=1.0, out_noise=0.01, bound_management="iterative")
    gap = (read(noisy, x, matrix, backend) - x @ matrix).abs().amax(1)
    factor = 2.0 ** (x @ matrix).abs().amax(1).log2().ceil().clamp(min=0)
    assert bool((gap < 6 * 0.01 * 2 * factor).all())
    huge = read(p, x * 1e9, matrix, backend)  # gives up after so many doublings
    assert float(huge.abs().max()) == 2.0**MAX_DOUBLINGS


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("doublings", [0, 1, 3, MAX_DOUBLINGS])
def test_every_drive_of_a_vector_has_noise_of_its_own(doublings: int, backend: str) -> None:
    """y = f (W (x/f + s z') + spread z), with z' and z of vector, direction and doubling: the address law.

    Outputs are 0.75 at the factor f and 1.5 before it, so that the number of doublings is known.
    """
    n, m, first, purpose = 6, 5, 40, Purpose.READ_BACKWARD
    factor = 2.0**doublings
    x = torch.full((3, n), 0.75 * factor / n)
    matrix = torch.full((n, m), 1.0) + torch.linspace(0, 0.01, n * m).view(n, m)
    for p in (Periphery(in_noise=0.01), Periphery(out_noise=0.01), Periphery(weight_noise=0.01)):
        p = replace(p, out_bound=1.0, bound_management="iterative")
        number = first + torch.arange(3)
        z_in, z_out = (
            gaussians(lines, number, 2 * doublings + late, purpose, KEY).float()
            for lines, late in ((n, 1), (m, 0))
        )
        sent = x / factor + p.in_noise * z_in
        spread = (p.out_noise**2 + (p.weight_noise * sent.norm(dim=1, keepdim=True)) ** 2).sqrt()
        expected = factor * (sent @ matrix + spread * z_out)
        got, again = product(x, matrix, p, purpose, KEY, first, backend)
        assert again == 3 * doublings
        torch.testing.assert_close(got, expected, atol=2e-5 * factor, rtol=0)
