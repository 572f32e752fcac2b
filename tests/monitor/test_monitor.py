"""The monitor: unbiased estimates, closed forms, the floor where training rests, and no trace left."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import ohmgrad as og
from ohmgrad.monitor import Averages
from ohmgrad.studies import RunSpec
from tests.cases import ALGORITHMS
from tests.stats import Z, assert_all_within, assert_mean

pytestmark = pytest.mark.usefixtures("one_thread")

TAU, TARGET = 1.0, 0.5
#: the longest window's 1/(2 memory - 1)
RHO = 1 / 799


class Chains:
    """Independent copies of f(w) = (w - TARGET)^2/2, one in each row of a tile, with gradient noise.

    Labels carry the noise, so that d = w - TARGET - sigma xi and the gradient is the mean d of a minibatch.
    """

    def __init__(self, rows: int, sigma: float, law: str, start: float, batch: int = 1) -> None:
        linear = nn.Linear(1, rows, bias=False)
        nn.init.constant_(linear.weight, start)
        device = og.Device(og.SoftBounds.symmetric(TAU), dw_min=0.001)
        self.model: Any = og.convert(linear, device, pulsing=og.Pulsing(fidelity="mean"), backend="reference")
        self.model.out_scale.requires_grad_(False)
        self.rows, self.sigma, self.law, self.batch = rows, sigma, law, batch
        self.g = torch.Generator().manual_seed(3)

    def train(self, optimizer: og.AnalogOptimizer, steps: int) -> list[Tensor]:
        """Weights (rows,) after every 20th step."""
        kept = []
        for step in range(steps):
            if self.law == "gaussian":
                xi = torch.randn(self.batch, self.rows, generator=self.g)
            else:
                xi = torch.randint(0, 2, (self.batch, self.rows), generator=self.g) * 2.0 - 1
            optimizer.zero_grad()
            error = self.model(torch.ones(self.batch, 1)) - TARGET - self.sigma * xi
            (0.5 * error.square()).sum(1).mean().backward()
            optimizer.step()
            if step % 20 == 0:
                kept.append(self.model.weight.detach().flatten().clone())
        return kept


def squared_error(rho: float, rows: int, sigma: float, m: float) -> float:
    """Standard error of the squared mean of independent rows: sqrt(rows (2 rho^2 s^4 + 4 rho m^2 s^2))."""
    return math.sqrt(rows * (2 * rho**2 * sigma**4 + 4 * rho * m**2 * sigma**2))


def test_squared_mean_and_variance_are_unbiased() -> None:
    """2,000 histories of 12 gradients with known mean, noise rising and falling; a planted bug is seen."""
    g = torch.Generator().manual_seed(1)
    mu, spread = torch.tensor([[0.3, -0.2, 0.0]]), torch.linspace(3.0, 0.5, 12)
    squares, variances, naive = [], [], []
    for k in range(2000):
        averages = Averages(memory=5)
        for s in spread if k % 2 else spread.flip(0):
            averages.add(mean=mu + s * torch.randn(1, 3, generator=g))
        squares.append(averages.squared_mean())
        naive.append(float(averages.planes["mean"].square().sum()))
        steady = Averages(memory=5)
        for _ in range(12):
            steady.add(mean=mu + 2 * torch.randn(1, 3, generator=g))
        variances.append(steady.variance())
    assert_mean(squares, float(mu.square().sum()))
    assert_mean(variances, 3 * 4.0)
    with pytest.raises(AssertionError):
        assert_mean(naive, float(mu.square().sum()))


def test_weights_of_the_window() -> None:
    averages, values, a = Averages(memory=4), torch.arange(1.0, 8.0), 3 / 4
    for v in values:
        averages.add(mean=v.view(1, 1))
    w = a ** torch.arange(6.0, -1.0, -1.0)
    w = w / w.sum()
    torch.testing.assert_close(averages.planes["mean"].item(), float((w * values).sum()))
    assert averages.rho == pytest.approx(float(w.square().sum()))
    limit = Averages(memory=400)
    for _ in range(4000):
        limit.add(mean=torch.zeros(1, 1))
    assert limit.rho == pytest.approx(RHO, rel=1e-3)


@pytest.mark.parametrize("law", ["two-point", "gaussian"])
def test_closed_forms_at_held_weights(law: str) -> None:
    """400 rows, 500 updates that are too small to move: Sigma, noise, floor and drift of the closed forms."""
    sigma, w, rows, lr = 0.4, 0.3, 400, 1e-9
    chains = Chains(rows, sigma, law, w)
    optimizer = og.AnalogSGD(chains.model.parameters(), lr=lr)
    monitor = og.Monitor(chains.model, optimizer, every=1, memory=100)
    chains.train(optimizer, 500)
    m, (row,) = w - TARGET, monitor.rows[-1:]
    if law == "gaussian":  # the folded normal law
        t = m / (sigma * math.sqrt(2))
        size = sigma * math.sqrt(2 / math.pi) * math.exp(-(t**2)) + m * math.erf(t)
    else:
        size = sigma
    spread = math.sqrt(m**2 + sigma**2 - size**2)  # of |g|
    (watched,) = monitor._watched.values()
    kept, rho = watched.averages.planes, watched.averages.rho
    assert_all_within((kept["mean"] - m) / (sigma * math.sqrt(rho)))
    assert_all_within((kept["absolute"] - size) / (spread * math.sqrt(rho)))
    assert abs(row["gradient_sq"] - rows * m**2) < Z * squared_error(rho, rows, sigma, m)
    fourth = 3 if law == "gaussian" else 1
    variance_error = math.sqrt((fourth * sigma**4 - sigma**4 + 4 * m**2 * sigma**2) * rho * rows)
    assert abs(row["noise"] - rows * sigma**2) < Z * variance_error + Z * squared_error(rho, rows, sigma, m)
    floor = rows * (size * w / TAU) ** 2  # and its own noise: Sigma^2 is spread^2 rho too large
    error = 2 * size * spread * math.sqrt(rho * rows) * (w / TAU) ** 2
    assert abs(row["floor"] / (1 + rho * (spread / size) ** 2) - floor) < Z * error
    assert row["drift"] == pytest.approx(lr * math.sqrt(row["floor"]), rel=1e-5)  # F = 1
    assert row["signal"] == pytest.approx(lr * math.sqrt(row["gradient_sq"]), rel=1e-5)
    assert row["saturation_max"] == pytest.approx(w / TAU)
    assert row["asymmetry"] == pytest.approx(w / TAU)


def test_analog_sgd_rests_at_the_floor() -> None:
    """1,000 chains with two-point noise: floor and gradient are (w* sigma/(tau + sigma))^2."""
    sigma, rows, lr, every = 0.3, 1000, 0.02, 5
    rest = TARGET / (1 + sigma / TAU)
    chains = Chains(rows, sigma, "two-point", rest)
    optimizer = og.AnalogSGD(chains.model.parameters(), lr=lr)
    monitor = og.Monitor(chains.model, optimizer, every=every, memory=400)
    chains.train(optimizer, 4000)
    row, m = monitor.rows[-1], rest - TARGET
    error, bias = squared_error(RHO, rows, sigma, m), rows * RHO * sigma**2 / every
    assert -Z * error - bias < row["gradient_sq"] - rows * m**2 < Z * error
    assert row["floor"] == pytest.approx(rows * m**2, rel=0.01)
    assert row["drift"] == pytest.approx(lr * sigma * rest / TAU * math.sqrt(rows), rel=0.01)
    assert row["signal"] == pytest.approx(row["drift"], rel=0.05)


def test_a_minibatch_has_the_floor_of_single_samples() -> None:
    """1,000 chains, minibatches of 8 with two-point noise: pulses go sample by sample, so that

    sum_s |g_s| is sigma, and the floor (w* sigma/(tau + sigma))^2, as for single samples. The noise of their
    sum has a mean size of 0.27 sigma, which would put the floor at a tenth.
    """
    sigma, rows, lr, every, batch = 0.3, 1000, 0.05, 5, 8
    rest = TARGET / (1 + sigma / TAU)
    chains = Chains(rows, sigma, "two-point", TARGET, batch)  # far from where it rests
    optimizer = og.AnalogSGD(chains.model.parameters(), lr=lr)
    chains.train(optimizer, 200)
    monitor = og.Monitor(chains.model, optimizer, every=every, memory=100)
    weights = chains.train(optimizer, 1000)[-1]
    row, m, part = monitor.rows[-1], rest - TARGET, sigma / math.sqrt(batch)
    (watched,) = monitor._watched.values()
    rho = watched.averages.rho
    error, bias = squared_error(rho, rows, part, m), rows * rho * part**2 / every
    assert -Z * error - bias < row["gradient_sq"] - rows * m**2 < Z * error
    assert row["floor"] == pytest.approx(rows * m**2, rel=0.01)
    assert_mean(weights, rest, slack=0.002 * rest)


@pytest.mark.parametrize("algorithm", ["sgd", "tiki_taka"])
def test_the_pull_of_a_minibatch_is_summed_over_its_samples(algorithm: str) -> None:
    """Against |gradient| of each sample alone, by torch, for 6 minibatches of 7 on 4 x 5 weights."""
    torch.manual_seed(1)
    plain = nn.Linear(5, 4, bias=False)
    model: Any = og.convert(plain, og.Device(og.SoftBounds.symmetric(0.9), dw_min=0.001), seed=3)
    model.out_scale.requires_grad_(False)
    parameters = model.parameters()
    optimizer = (
        og.AnalogSGD(parameters, lr=0.2)
        if algorithm == "sgd"
        else og.TikiTaka(parameters, lr=0.05, fast_lr=0.2, columns=5)
    )
    monitor = og.Monitor(model, optimizer, every=1, memory=10)
    ((tile, state),) = optimizer.tiles_in(optimizer.param_groups[0])
    sizes, pulls = [], []
    for _ in range(6):
        x, y = torch.randn(7, 5), torch.randn(7, 4)
        w = model.weight.detach().clone().requires_grad_()
        size = torch.zeros(4, 5)
        for s in range(7):  # a seventh: the loss is a mean
            loss = torch.nn.functional.cross_entropy(
                x[s : s + 1] @ w.t() * model.out_scale, y[s : s + 1].softmax(1)
            )
            size += torch.autograd.grad(loss / 7, w)[0].abs()
        transfer = optimizer.transfer_model(tile, optimizer.param_groups[0], state)
        driver = size if algorithm == "sgd" else transfer.array.weight.abs()
        sizes.append(size)
        pulls.append(driver * w.detach() / 0.9)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y.softmax(1)).backward()
        summed = model.weight.grad.to_dense().abs()
        assert float((size - summed).max()) > 0.2 * float(size.max())  # they differ
        optimizer.step()
    share = 0.9 ** torch.arange(5.0, -1.0, -1.0)
    size, pull = (torch.einsum("k,kij->ij", share / share.sum(), torch.stack(v)) for v in (sizes, pulls))
    (watched,) = monitor._watched.values()
    torch.testing.assert_close(watched.averages.planes["absolute"], size, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(watched.averages.planes["pull"], pull, rtol=1e-4, atol=1e-6)
    # W rests where grad f = - pull (F = 1), or, of Tiki-Taka, where P = pull, held against Sigma P/tau
    expected = pull if algorithm == "sgd" else size * pull / 0.9
    assert monitor.rows[-1]["floor"] == pytest.approx(float(expected.square().sum()), rel=1e-4)


def test_tiki_taka_has_a_far_lower_floor() -> None:
    """1,000 chains; floor: the squared bias (sigma w*/tau^2) sqrt(2/pi) sqrt(alpha sigma tau/2)."""
    sigma, rows, fast_lr, every = 1.0, 1000, 0.01, 10
    bias = sigma * TARGET / TAU**2 * math.sqrt(2 / math.pi) * math.sqrt(fast_lr * sigma * TAU / 2)
    chains = Chains(rows, sigma, "two-point", TARGET - bias)
    optimizer = og.TikiTaka(chains.model.parameters(), lr=fast_lr / 10, fast_lr=fast_lr)
    chains.train(optimizer, 1000)
    monitor = og.Monitor(chains.model, optimizer, every=every, memory=400)
    weights = torch.stack(chains.train(optimizer, 5000))
    row = monitor.rows[-1]
    # w is below w* by the bias, P spreads by its law to first order in alpha: 15 % in the square
    assert row["floor"] / rows == pytest.approx(bias**2, rel=0.15)
    assert row["floor"] / rows < (TARGET * sigma / (TAU + sigma)) ** 2 / 50
    error, low = squared_error(RHO, 1, sigma, 0) * math.sqrt(rows), rows * RHO * sigma**2 / every
    whole = float((weights - TARGET).square().mean())  # with what W fluctuates inside the window
    mean = float((weights - TARGET).mean()) ** 2
    assert rows * mean - low - Z * error < row["gradient_sq"] < rows * whole + Z * error
    assert row["drift"] == pytest.approx(row["signal"], rel=0.2)


def regression(optimizer_of: Any, steps: int, **device: Any) -> og.Monitor:
    """An 8 x 5 regression with noisy labels, minibatches of 4, pulses, on tau = 0.6; bias and scale held."""
    g = torch.Generator().manual_seed(5)
    truth = (torch.rand(5, 8, generator=g) - 0.5) * 0.6
    linear = nn.Linear(8, 5, bias=False)
    linear.weight.data.copy_(truth)
    spec = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.001, **device)
    model: Any = og.convert(linear, spec, seed=2)
    model.out_scale.requires_grad_(False)
    optimizer = optimizer_of(model.parameters())
    monitor = og.Monitor(model, optimizer, every=5, memory=200)
    for _ in range(steps):
        x = torch.randn(4, 8, generator=g)
        y = x @ truth.t() + 0.5 * torch.randn(4, 5, generator=g)
        optimizer.zero_grad()
        (0.5 * (model(x) - y).square().sum(1)).mean().backward()
        optimizer.step()
    return monitor


def test_a_pulsed_regression_rests_at_the_floor() -> None:
    """With spread and noise of the elements; bound: the estimate's own noise, and 5 % for finite steps."""
    real = {"spread": og.Spread(dw_min=0.3, w_max=0.3, w_min=0.3), "noise": og.Noise(0.3)}
    monitor = regression(lambda p: og.AnalogSGD(p, lr=0.02), 3000, **real)
    row, rho = monitor.rows[-1], 1 / 399
    # all 40 elements have much the same noise, and m meets at most all of one element's
    each = row["noise"] / 40
    error = math.sqrt(2 * rho**2 * 40 * each**2 + 4 * rho * row["floor"] * each)
    bias = rho * row["noise"] / 5
    gap = row["gradient_sq"] - row["floor"]
    assert -Z * error - bias - 0.05 * row["floor"] < gap < Z * error + 0.05 * row["floor"]
    assert Z * error + bias < 0.3 * row["floor"]  # the comparison is one
    taka = regression(lambda p: og.TikiTaka(p, lr=0.02, fast_lr=0.02, columns=8), 3000, **real)
    assert taka.rows[-1]["floor"] < row["floor"] / 10
    assert taka.rows[-1]["gradient_sq"] < row["gradient_sq"] / 3


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_training_is_the_same_with_and_without(algorithm: str) -> None:
    """To the bit: weights, arrays beside them, events; and copies of optimizers carry no hook."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.Tanh(), nn.Flatten(), nn.Linear(16, 3))
    x = torch.randn(6, 2, 4, 4)
    states = []
    for watched in (False, True):
        device = og.Device(og.SoftBounds.symmetric(0.6), 0.001, og.Spread(w_max=0.3), og.Noise(0.3))
        model = og.convert(net, device, seed=1, periphery=og.NOISY_PERIPHERY)
        optimizer = ALGORITHMS[algorithm](model.parameters())
        monitor = og.Monitor(model, optimizer, every=2, memory=10) if watched else None
        for k in range(8):
            optimizer.zero_grad()
            for part in x.split(3):  # factors of two backward passes add up
                model(part + k).square().mean().backward()
            optimizer.step()
        if monitor is not None:
            assert [r["layer"] for r in monitor.rows[:3]] == ["0[0]", "0[1]", "3"]
            assert [r["step"] for r in monitor.rows[::3]] == [4, 6, 8]  # one look gives no estimate
            values = torch.tensor([v for r in monitor.rows for v in r.values() if isinstance(v, float)])
            unseen = 3 * (
                type(optimizer).transfer_model is og.AnalogOptimizer.transfer_model
            )  # floor, drift and signal
            assert int((~values.isfinite()).sum()) == unseen * len(monitor.rows)
            assert not copy.deepcopy(optimizer)._update_hooks
        states.append((model.state_dict(), optimizer.state_dict()["state"], optimizer.events()))
    for a, b in zip(*(_leaves(s) for s in states), strict=True):
        assert torch.equal(a, b) if isinstance(a, Tensor) else a == b


def _leaves(tree: Any) -> list[Any]:
    if isinstance(tree, dict):
        return [leaf for key in tree for leaf in _leaves(tree[key])]
    return [leaf for v in tree for leaf in _leaves(v)] if isinstance(tree, (list, tuple)) else [tree]


class Unknown(og.AnalogOptimizer):
    def analog_step(self, tile: og.Tile, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        tile.pulse(x, d, -group["lr"])


def test_hooks_closures_and_states() -> None:
    device = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.001)
    torch.manual_seed(0)
    model = og.convert(nn.Linear(3, 2), device)
    optimizer = Unknown(model.parameters(), {"lr": 0.1})
    monitor, x = og.Monitor(model, optimizer, every=1, memory=10), torch.randn(4, 3)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = model(x).square().sum()
        loss.backward()
        return loss

    for _ in range(5):
        optimizer.step(closure)
    assert [row["step"] for row in monitor.rows] == [2, 3, 4, 5]
    assert monitor.rows[-1]["gradient_sq"] > 0
    assert all(math.isnan(monitor.rows[-1][name]) for name in ("floor", "drift", "signal"))
    kept = copy.deepcopy(monitor.state_dict())
    again = og.Monitor(model, optimizer, every=1, memory=10)
    again.load_state_dict(kept)
    for _ in range(2):
        optimizer.step(closure)
    assert repr(again.rows) == repr(monitor.rows)
    assert len(kept["rows"]) == 4  # a state is not changed by what comes later
    monitor.close()
    optimizer.step(closure)
    assert (len(monitor.rows), len(again.rows)) == (6, 7)
    other = nn.Sequential(og.convert(nn.Linear(3, 2), device))
    with pytest.raises(og.InputError, match=r"watches 0"):
        og.Monitor(other, og.AnalogSGD(other.parameters(), lr=0.1)).load_state_dict(kept)
    for wrong, message in (
        (lambda: og.Monitor(model, optimizer, every=0), "every is 0"),
        (lambda: og.Monitor(model, optimizer, memory=1), "memory is 1"),
        (lambda: og.Monitor(model, torch.optim.SGD(model.parameters(), lr=0.1)), "optimizer is SGD"),
        (lambda: og.Monitor(other, optimizer), "trains no analog layer"),
        (lambda: RunSpec(algorithms=("digital",), monitor=True), "only digital"),
        (lambda: RunSpec(monitor=1), "true or false"),  # pyright: ignore[reportArgumentType]
    ):
        with pytest.raises(og.InputError, match=message):
            wrong()


def test_a_fast_array_read_with_noise() -> None:
    """E|p + noise z| by 40,000 draws at each of five p."""
    from ohmgrad.monitor.balance import mean_absolute

    p = torch.tensor([-0.3, -0.05, 0.0, 0.02, 0.4])
    z = torch.randn(40_000, generator=torch.Generator().manual_seed(0))
    for value, expected in zip(p, mean_absolute(p, 0.1), strict=True):
        assert_mean((value + 0.1 * z).abs(), float(expected))
    assert torch.equal(mean_absolute(p, 0.0), p.abs())
    model = og.convert(nn.Linear(4, 3), og.Device(og.SoftBounds.symmetric(0.6)), periphery=og.NOISY_PERIPHERY)
    optimizer = og.TikiTaka(model.parameters(), lr=0.1, reads=4, transfer_every=2)
    (group,) = optimizer.param_groups
    ((tile, state),) = optimizer.tiles_in(group)
    transfer = optimizer.transfer_model(tile, group, state)
    step = 24 / 510
    assert transfer.read_noise == pytest.approx(math.sqrt(0.06**2 + step**2 / 12) / 2)
    assert (transfer.rate, transfer.transfer) == (0.01, pytest.approx(0.1 / 8))
    assert transfer.array is not tile


def test_a_monitor_with_other_settings_refuses_the_state() -> None:
    model = og.convert(nn.Linear(2, 2), og.Device(og.SoftBounds.symmetric(0.6)))
    optimizer = og.AnalogSGD(model.parameters(), lr=0.1)
    kept = og.Monitor(model, optimizer, every=5).state_dict()
    with pytest.raises(og.InputError, match="every = 5, not 10"):
        og.Monitor(model, optimizer).load_state_dict(kept)
