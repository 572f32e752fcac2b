"""The three fidelities agree where theory says so, and the closed forms of Wu et al. 2024 hold.

Chains are the rows of a tile with one column: each row is one d-line with its own train. The x-line
is always on (see `send`), so that the chains share no randomness.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad import Device, LinearStep, Noise, Pulsing, SoftBounds, Tile
from ohmgrad.kernels import FIDELITIES
from ohmgrad.kernels.reference.trains import coincidences, line_settings
from ohmgrad.rng import Key
from tests.cases import RESPONSES
from tests.stats import Z, assert_all_within, assert_mean, order, z_mean, z_share, z_variance
from tests.updates import draw_trains

KEY = Key(5, 6)
NOISE = Noise(0.3)


def chains(n: int, device: Device, fidelity: Any, start: float, bl: int, array: int = 0) -> Tile:
    pulsing = Pulsing(fidelity, bl, update_management=False, bl_management=False)
    tile = Tile((n, 1), device, pulsing=pulsing, seed=9, array=array)
    tile.reset(start)
    return tile


def send(tile: Tile, dw: Tensor) -> None:
    """Ask every chain for its change dw: with lr = BL dw_min and x = 1 the x-line fires in every
    slot, and d = dw / lr is the probability that the chain's d-line does."""
    lr = tile.pulsing.max_bl * tile.device.dw_min
    assert float(dw.abs().max()) <= lr, "the bit length is too short"
    tile.pulse(torch.ones(1, 1), (dw / lr).view(1, -1), lr)


# --- the number of coincidences ------------------------------------------------------------------

X, D = torch.tensor([0.9, -0.3, 0.05]), torch.tensor([0.8, -0.1])
SAMPLES = 40_000


@pytest.mark.parametrize(
    ("lr", "pulsing"),
    [
        (0.003, Pulsing(max_bl=31)),
        (-0.02, Pulsing(max_bl=31)),
        (0.0004, Pulsing(max_bl=31)),
        (0.05, Pulsing(max_bl=33)),
        (0.02, Pulsing("pulsed", 100, update_management=False)),
        (0.004, Pulsing("pulsed", 32, bl_management=False)),
        (0.1, Pulsing("pulsed", 31, False, False)),  # some lines ask for more than 1: clipped
    ],
)
def test_coincidences_are_binomial_with_mean_lr_x_d(lr: float, pulsing: Pulsing) -> None:
    """E n = lr x d / dw_min, unless a line saturates; n ~ Binomial(BL, min(A|x|, 1) min(B|d|, 1))."""
    dw_min = 0.001
    x, d = X.expand(SAMPLES, -1).contiguous(), D.expand(SAMPLES, -1).contiguous()
    xs, ds = draw_trains(x, d, lr, dw_min, pulsing, KEY, 3)
    n = coincidences(xs, ds).permute(1, 2, 0).double()  # (rows, cols, samples)
    bl, a, b = (float(t[0]) for t in line_settings(x, d, lr, dw_min, pulsing))
    px, pd = (a * X.abs()).double(), (b * D.abs()).double()
    p = torch.outer(pd.clamp(max=1), px.clamp(max=1)).numpy()
    sign = torch.outer(D, X).sign().double() * math.copysign(1, lr)
    wanted = lr * torch.outer(D, X).double() / dw_min
    assert bool(((n == 0) | (n.sign() == sign.unsqueeze(-1))).all())
    unclipped = torch.outer(pd <= 1, px <= 1)
    torch.testing.assert_close(
        (sign * bl * torch.from_numpy(p))[unclipped], wanted[unclipped], rtol=1e-6, atol=0
    )
    k = n.abs().numpy()
    z = [z_mean(k, bl * p, 1e-9), z_variance(k, bl * p * (1 - p), 1e-9)]
    z.append(z_share((k == 0).sum(-1), SAMPLES, (1 - p) ** bl))
    assert_all_within(np.concatenate([t.ravel() for t in z]), 1e-3 / 7)


def test_cells_on_one_line_share_its_train() -> None:
    """Cov(n_ij, n_ik) = BL p_i q_j q_k (1 - p_i): the price of the parallel update, as in hardware."""
    pulsing, lr, dw_min = Pulsing("pulsed", 31, bl_management=False), 0.004, 0.001
    x, d = X.abs().expand(SAMPLES, -1).contiguous(), D.abs().expand(SAMPLES, -1).contiguous()
    n = coincidences(*draw_trains(x, d, lr, dw_min, pulsing, KEY, 4)).double()
    bl, a, b = (float(t[0]) for t in line_settings(x, d, lr, dw_min, pulsing))
    q, p = a * X.abs().double(), float(b * D[0])
    product = (n[:, 0, 0] - n[:, 0, 0].mean()) * (n[:, 0, 1] - n[:, 0, 1].mean())
    assert_mean(product, float(bl * p * q[0] * q[1] * (1 - p)))


def test_management_chooses_bl_and_balances_the_lines() -> None:
    """BL = ceil(lr max|x| max|d| / dw_min) at most max_bl, and equal largest probabilities."""
    x, d = torch.tensor([[0.9, -0.3], [0.009, 0.0]]), torch.tensor([[0.1, -0.8], [0.1, 0.2]])
    bl, a, b = line_settings(x, d, 0.01, 0.001, Pulsing(max_bl=31))
    assert bl.tolist() == [8, 1]  # ceil(7.2), ceil(0.018)
    torch.testing.assert_close(a * x.abs().amax(1), b * d.abs().amax(1))
    assert line_settings(x, d, 0.01, 0.001, Pulsing(max_bl=5))[0].tolist() == [5, 1]
    unmanaged = Pulsing("pulsed", 31, update_management=False, bl_management=False)
    bl, a, b = line_settings(x, d, 0.01, 0.001, unmanaged)
    assert bl.tolist() == [31, 31]
    assert torch.equal(a, b)


# --- from one fidelity to the next ---------------------------------------------------------------


@pytest.mark.parametrize("backend", ["reference", "numba"])
@pytest.mark.parametrize("name", RESPONSES)
def test_mean_is_the_discrete_time_dynamics(name: str, backend: str) -> None:
    """w' = w + dw F(w) - |dw| G(w), sample by sample, clipped; eq. 3 for any response."""
    response = RESPONSES[name]
    tile = Tile((5, 7), Device(response, 0.001), pulsing=Pulsing("mean"), backend=backend)
    g = torch.Generator().manual_seed(0)
    x, d = torch.randn(6, 7, generator=g), torch.randn(6, 5, generator=g)
    w = torch.rand(5, 7, generator=g) * 0.8 - 0.4
    tile.weight.copy_(w)
    tile.pulse(x, d, -0.05)
    w = w.double()
    for b in range(6):
        dw = -0.05 * torch.outer(d[b], x[b]).double()
        w = (w + dw * response.F(w) - dw.abs() * response.G(w)).clamp(response.w_min, response.w_max)
    torch.testing.assert_close(tile.weight.double(), w, atol=1e-6, rtol=0)


GRANULARITIES = (0.1, 0.05, 0.025, 0.0125)
BL, P = 8, 0.75


@pytest.mark.parametrize("fidelity", ["pulsed", "pulse-by-pulse"])
@pytest.mark.parametrize(
    ("response", "sign"),
    [(SoftBounds(-1, 1), 1), (SoftBounds(-1, 2), -1), (LinearStep(-1, 1, 0.5, 0.8), 1)],
)
def test_pulses_follow_the_mean_to_first_order(fidelity: Any, response: Any, sign: int) -> None:
    """The remainder of an update of c = BL p pulses has order 2 in the granularity.

    One pulse maps w to f + (w - f)(1 - e), so that E w' = f + (w - f)(1 - p e)^BL. The mean dynamics
    keep 1 - c e; the rest, r = (1 - pe)^BL - 1 + BL p e, obeys by its alternating series
    R (1 - (BL - 2) p e/3) <= r <= R with R = BL (BL - 1) p^2 e^2 / 2.
    """
    n, w, remainders, errors, bounds = 200_000, 0.2, [], [], []
    for dw_min in GRANULARITIES:
        dw = torch.full((n,), sign * BL * P * dw_min)
        end = {}
        for level in ("mean", fidelity):
            device = Device(response, dw_min, noise=NOISE)
            tile = chains(n if level != "mean" else 1, device, level, w, BL)
            send(tile, dw[: tile.shape[0]])
            end[level] = tile.weight.double()
        slope, bound = (
            (response.slopes[0], response.w_max) if sign > 0 else (response.slopes[1], response.w_min)
        )
        e, gap = slope * dw_min / abs(bound), bound / slope - w
        remainders.append(float((end["mean"] - end[fidelity].mean()) / gap))
        errors.append(float(end[fidelity].std()) / math.sqrt(n) / abs(gap))
        bounds.append((BL * (BL - 1) * (P * e) ** 2 / 2, (BL - 2) * P * e / 3))
    for r, error, (top, down) in zip(remainders, errors, bounds, strict=True):
        assert top * (1 - down) - Z * error <= r <= top + Z * error
        assert top > 20 * error, "too few chains to see the remainder"
    fitted, first = order(GRANULARITIES, remainders), bounds[0][1]
    # r/R falls from 1 to 1 - first at the coarsest; the rest is the error of a fit to four points
    spread = math.log(GRANULARITIES[0] / GRANULARITIES[-1])
    noise = Z * sum(e / abs(r) for e, r in zip(errors, remainders, strict=True)) / spread
    assert 2 + math.log(1 - first) / spread - noise < fitted < 2 + noise


def test_a_remainder_of_first_order_is_caught() -> None:
    """The planted bug: steps 3 % too small give a remainder of order 1."""
    e = np.array(GRANULARITIES)
    right = (1 - P * e) ** BL - 1 + BL * P * e
    assert order(e, right) == pytest.approx(2, abs=0.1)
    assert order(e, right + 0.03 * BL * P * e) < 1.8


# --- closed forms, f = (w - target)^2 / 2 on the asymmetric linear device ------------------------

#: sigma, tau, target, alpha
SCALAR = [(0.3, 1.0, 0.5, 0.02), (1.0, 1.0, 0.5, 0.02), (0.5, 0.6, -0.3, 0.02)]


class Average:
    """Mean over time of a quantity of every chain."""

    def __init__(self) -> None:
        self.total, self.number = torch.zeros(1, dtype=torch.float64), 0

    def add(self, value: Tensor) -> None:
        self.total, self.number = self.total + value.double(), self.number + 1

    @property
    def value(self) -> Tensor:
        return self.total / self.number


def gradient(w: Tensor, target: float, sigma: float, random: torch.Generator) -> Tensor:
    """w - target + sigma times a random sign."""
    sign = 2 * torch.randint(0, 2, w.shape, generator=random) - 1
    return w - target + sigma * sign


def analog_sgd(
    fidelity: str, sigma: float, tau: float, target: float, alpha: float, n: int
) -> tuple[Tensor, Tensor]:
    """Averages over time of w and of (w - target)^2, for n chains."""
    device = Device(SoftBounds.symmetric(tau), alpha * sigma / 20, noise=NOISE)
    tile = chains(n, device, fidelity, target, bl=40)
    random, w, square = torch.Generator().manual_seed(1), Average(), Average()
    settle = int(8 / (alpha * (1 + sigma / tau)))
    for step in range(3 * settle):
        now = tile.weight[:, 0].clone()
        if step >= settle:
            w.add(now)
            square.add((now - target) ** 2)
        send(tile, -alpha * gradient(now, target, sigma, random))
    return w.value, square.value


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize(("sigma", "tau", "target", "alpha"), SCALAR)
def test_analog_sgd_stalls_at_its_fixed_point(
    fidelity: str, sigma: float, tau: float, target: float, alpha: float
) -> None:
    """E w = target / (1 + sigma/tau), and E grad^2 = (target sigma/(tau + sigma))^2 + O(alpha).

    For |w - target| < sigma, |g| = sigma +- (w - target), so that the mean dynamics are linear and
    their fixed point is exact. With pulses the pull towards the bounds has (1 - a/BL)^BL in the place
    of 1 - a, a = alpha |g|/tau <= 2 e with e = alpha sigma/tau: the ratio sigma/tau of the two pulls
    is changed by a factor within [1 - e, 1/(1 - e)].

    The variance of w is alpha (sigma + b m/tau)^2 / (2 (1 + sigma/tau)) to first order, b the bias, m
    the fixed point; pulses add dw_min |g| (1 - p + 0.3^2) alpha to alpha^2 g^2 per step.
    """
    w, square = analog_sgd(fidelity, sigma, tau, target, alpha, 2000)
    ratio, e = sigma / tau, alpha * sigma / tau
    point = target / (1 + ratio)
    bias, pulsed = point - target, fidelity != "mean"
    shift = max(abs(target / (1 + ratio / (1 - e)) - point), abs(target / (1 + ratio * (1 - e)) - point))
    assert_mean(w, point, slack=shift if pulsed else 1e-5)
    assert abs(float(w.mean()) - target) > 10 * shift  # and not where digital SGD ends
    kick = alpha * (sigma + bias * point / tau) ** 2
    kick += alpha * sigma * (1 - 0.5 + 0.09) / 20 * sigma if pulsed else 0.0
    variance = kick / (2 * (1 + ratio))
    first_order = variance * (2 * alpha * (1 + ratio) + abs(variance / (sigma * tau)))
    slack = first_order + (2 * abs(bias) * shift + 2 * e * variance if pulsed else 0.0)
    assert_mean(square, bias**2 + variance, slack=slack)


def folded(mean: float, std: float) -> float:
    """E|N(mean, std^2)|."""
    first = std * math.sqrt(2 / math.pi) * math.exp(-((mean / std) ** 2) / 2)
    return first + mean * math.erf(mean / (std * math.sqrt(2)))


def tiki_taka_bias(sigma: float, tau: float, target: float, alpha: float, extra: float) -> float:
    """E w - target of Tiki-Taka with a slow transfer, to first order in alpha.

    P is AR(1) about mu = -tau m/sigma, m the bias, with variance s^2 = alpha sigma tau/2 (1 + extra);
    W rests where E P = E|P| W/tau with E|P| = folded(mu, s). For target << tau, mu << s and this is
    the paper's -(sigma target/tau^2) sqrt(2/pi) s.
    """
    s = math.sqrt(alpha * sigma * tau / (2 - alpha * sigma / tau) * (1 + extra))
    mu = 0.0
    for _ in range(100):
        mu = (target - sigma * mu / tau) * folded(abs(mu), s) / tau
    return -sigma * mu / tau


def test_the_papers_bias_is_the_limit_of_a_near_target() -> None:
    """Its relative error is (target/tau)^2/pi - (sigma/tau^2) E|P| at leading order."""
    for target in (0.1, 0.2):
        paper = -target * math.sqrt(2 / math.pi) * math.sqrt(1e-6 / 2)
        assert tiki_taka_bias(1, 1, target, 1e-6, 0) / paper - 1 == pytest.approx(
            target**2 / math.pi - math.sqrt(1e-6 / math.pi), rel=0.1, abs=1e-4
        )


@pytest.mark.parametrize("fidelity", FIDELITIES)
@pytest.mark.parametrize(("sigma", "tau", "target"), [(1.0, 1.0, 0.5), (0.6, 0.7, -0.3)])
def test_tiki_taka_has_the_papers_bias(fidelity: str, sigma: float, tau: float, target: float) -> None:
    """Two arrays: P collects the gradient at W, W follows P slowly (beta = alpha/10).

    Left out: the correlation of |P| and W, (1 - 2/pi)/sqrt(2/pi) beta s/(alpha sigma) relative to the
    bias, and with pulses e = alpha sigma/tau as for Analog SGD.
    """
    alpha = 0.04 * tau / sigma
    beta, n, pulsed = alpha / 10, 2000, fidelity != "mean"
    dw_fast = alpha * sigma / 40
    fast = chains(n, Device(SoftBounds.symmetric(tau), dw_fast, noise=NOISE), fidelity, 0.0, 60, 1)
    s = math.sqrt(alpha * sigma * tau / 2)
    device = Device(SoftBounds.symmetric(tau), 3 * beta * s / 2, noise=NOISE)
    slow = chains(n, device, fidelity, target, 4, 2)
    random, w = torch.Generator().manual_seed(2), Average()
    settle = int(5 * sigma / (beta * tau))
    for step in range(2 * settle):
        send(fast, -alpha * gradient(slow.weight[:, 0], target, sigma, random))
        send(slow, beta * fast.read([0])[:, 0])
        if step >= settle:
            w.add(slow.weight[:, 0])
    extra = (1 - 40 / 60 + NOISE.std**2) * dw_fast / (alpha * sigma) if pulsed else 0.0
    bias = tiki_taka_bias(sigma, tau, target, alpha, extra)
    left_out = (1 - 2 / math.pi) / math.sqrt(2 / math.pi) * beta * s / (alpha * sigma)
    left_out += alpha * sigma / tau if pulsed else 0.0
    left_out += math.exp(-5)  # of the start at the target
    assert_mean(w.value - target, bias, slack=left_out * abs(bias))
    stalled = target / (1 + sigma / tau) - target
    assert abs(float((w.value - target).mean())) < 0.5 * abs(stalled)  # and far from Analog SGD's


def test_a_missing_asymmetry_is_caught() -> None:
    """The planted bug: constant steps have no bias, and the check of Analog SGD sees it."""
    tile = chains(500, Device(LinearStep(-1, 1, 0.0, 0.0), 0.001), "pulsed", 0.5, 40)
    random, w = torch.Generator().manual_seed(3), Average()
    for step in range(600):
        send(tile, -0.02 * gradient(tile.weight[:, 0], 0.5, 1.0, random))
        if step > 200:
            w.add(tile.weight[:, 0])
    assert_mean(w.value, 0.5)
    with pytest.raises(AssertionError):
        assert_mean(w.value, 0.25, slack=0.01)
