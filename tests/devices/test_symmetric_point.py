"""The symmetric point is where alternating pulses drive an element, whatever crossings its response has."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch

import ohmgrad as og
from ohmgrad import theory
from ohmgrad.conformance import check_device
from ohmgrad.devices import AbstractResponse, Elements, Reference, draw
from ohmgrad.devices.presets import PRESETS
from ohmgrad.errors import InputError
from ohmgrad.report.tables import point_in_words
from ohmgrad.rng import Key

Steps = Callable[[torch.Tensor], torch.Tensor]


def ends_of(q_plus: Steps, q_minus: Steps, low: torch.Tensor, high: torch.Tensor, step: float, pairs: int):
    """Weights (float64) after pairs of a pulse up and one down from 0, and what the last tenth moved them."""
    w = torch.zeros_like(low, dtype=torch.float64)
    before = w
    for k in range(pairs):
        if k == pairs - pairs // 10:
            before = w
        w = torch.minimum(w + step * q_plus(w), high)
        w = torch.maximum(w - step * q_minus(w), low)
    return w, (w - before).abs()


def nodes(r: random.Random, n: int) -> list[float]:
    return [r.uniform(0.2, 2.0) for _ in range(n)]


def measured(r: random.Random) -> og.Measured:
    n = r.choice((5, 8, 11))
    up, down = (np.array([nodes(r, n) for _ in range(3)]) * 0.01 for _ in range(2))
    pair = [np.stack([0.5 * a, 1.5 * a], 1) for a in (up, -down)]  # two levels: the mean is a
    return og.Measured(np.tile(np.linspace(0.0, 1.0, n), (3, 1)), [0.0, 1.0], *pair)


def waves(r: random.Random) -> og.Custom:
    a, b, k, p = r.uniform(0.1, 0.8), r.uniform(-0.3, 0.3), r.uniform(1, 9), r.uniform(0, 6)
    return og.Custom(lambda w: 1 + a * torch.sin(k * w + p) + b, lambda w: 1 + 0.1 * torch.cos(3 * w))


FAMILIES: dict[str, Callable[[random.Random], AbstractResponse]] = {
    "soft": lambda r: og.SoftBounds(-r.uniform(0.3, 1), 0.8, r.uniform(0.5, 2), r.uniform(0.5, 2)),
    "linear": lambda r: og.LinearStep(
        -1.0, r.uniform(0.5, 1), r.uniform(-1, 1), r.uniform(-1, 1), 1.0, r.choice((1.0, r.uniform(0.7, 1.4)))
    ),
    "constant": lambda r: og.ConstantStep(up=r.choice((1.0, 1.1, 0.9))),
    "exp": lambda r: og.ExpStep(
        A_up=r.uniform(-1, 0.4), A_down=r.uniform(-1, 0.4), gamma_up=r.uniform(-4, 4),
        gamma_down=r.uniform(-4, 4), a=r.uniform(-0.5, 0.5),
    ),
    "exp-bounds": lambda r: og.ExpBounds(
        -r.uniform(0.5, 1), 1.0, r.uniform(0.1, 4), r.uniform(0.1, 4), 1.0, r.uniform(0.6, 1.5)
    ),
    "power": lambda r: og.PowStep(
        -r.uniform(0.5, 1), 1.0, r.uniform(0.3, 4), r.uniform(0.3, 4), 1.0, r.uniform(0.6, 1.5)
    ),
    "piecewise": lambda r: og.PiecewiseStep(nodes_up=nodes(r, n := r.randint(2, 9)), nodes_down=nodes(r, n)),
    "custom": waves,
    "measured": measured,
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_responses_say_where_alternating_pulses_drive_from_zero(name: str) -> None:
    """24 random responses, sampled at 4001 weights and run together: within 3 steps of a 500th of the range.

    Where the mean pulses still move in the last tenth of the pairs the end is not known; few of them do.
    """
    r = random.Random(name)
    several = [FAMILIES[name](r) for _ in range(24)]
    w = [torch.linspace(s.w_min, s.w_max, 4001, dtype=torch.float64) for s in several]
    tables = [
        torch.stack([q(x) for q, x in zip(qs, w, strict=True)])
        for qs in ([s.q_plus for s in several], [s.q_minus for s in several])
    ]
    low, high = torch.stack([x[0] for x in w]), torch.stack([x[-1] for x in w])
    row = torch.arange(len(several))

    def steps(table: torch.Tensor) -> Steps:
        def at(v: torch.Tensor) -> torch.Tensor:
            p = (v - low) / (high - low) * 4000
            i = p.long().clamp(0, 3999)
            return torch.lerp(table[row, i], table[row, i + 1], p - i)

        return at

    end, moved = ends_of(*map(steps, tables), low, high, step := 0.002, 6000)
    point = torch.tensor([s.symmetric_point() for s in several], dtype=torch.float64)
    assert bool(((low <= point) & (point <= high)).all())
    known = moved < 1e-3
    size = step * torch.maximum(*[t.amax(1) for t in tables])
    assert int(known.sum()) >= 16
    assert float(((end - point).abs() / size)[known].max()) < 3
    if name in ("linear", "piecewise", "custom", "constant"):
        bound = ((point == low) | (point == high)) & known
        assert 0 < int(bound.sum()) < 24  # both kinds were seen


@pytest.mark.parametrize("name", FAMILIES)
def test_each_drawn_element_has_the_point_to_which_it_is_driven(name: str) -> None:
    """3 random responses, 40 elements each with spread of steps, balance and bounds: within 5 steps.

    Left out: elements that still move, and those that stand where the steps differ by less than 1 % a 30th
    of the range to either side. Those may stand farther off.
    """
    r, left = random.Random(f"elements {name}"), 0
    spread = og.Spread(dw_min=0.2, up_down=0.15, w_max=0.2, w_min=0.2)
    for k in range(3):
        response = FAMILIES[name](r)
        e = draw(og.Device(response, getattr(response, "dw_min", 0.004), spread), (1, 40), Key(k, 0))
        up, down = (lambda w, q=q: q(w.float()).double() for q in (e.q_plus, e.q_minus))
        low, high = e.lower.double(), e.upper.double()
        end, moved = ends_of(up, down, low, high, 0.005, 1500)
        below, above = ((end + s * 0.06).clamp(low, high) for s in (-1, 1))
        holds = ((up(below) - down(below) > 0.01) | (end <= low)) & (
            (down(above) - up(above) > 0.01) | (end + 0.02 >= high)
        )
        known = (moved < 2e-4) & holds
        point = e.symmetric_point().double()
        off = (end - point).abs() / (0.005 * torch.maximum(up(point), down(point)) + 0.003)
        assert float(off.where(known, 0.0).max()) < 5
        left += int(known.sum())
    assert left >= 40


def test_points_of_crossings_that_drive_away() -> None:
    """The right values by hand: a crossing counts where q+ - q- falls through it."""
    line, nodes_ = og.LinearStep, og.PiecewiseStep
    assert line(-1, 1, -0.5, -0.5).symmetric_point() == 1.0  # even at 0: the first pair ends above
    assert line(-1, 1, -0.168, 0.141).symmetric_point() == -1.0  # and here below
    assert line(-1, 1, -0.5, -0.5, up=0.9).symmetric_point() == -1.0
    assert line(-1, 1, 0.5, -0.5, up=1.1).symmetric_point() == 1.0  # the lines never cross
    assert line(-1, 1, 0.5, -0.5).symmetric_point() == 0.0  # and here they are one
    assert nodes_(-1, 1, (0.5, 1.1, 1.5), (1.5, 1.0, 0.5)).symmetric_point() == 1.0
    three = nodes_(-1, 1, (2.0, 0.8, 1.2, 0.5), (1.0, 1.0, 1.0, 1.0))
    assert three.symmetric_point() == pytest.approx(1 / 3 + 2 / 3 * 0.2 / 0.7)
    from_below = nodes_(-1, 1, (2.0, 0.8, 1.1, 0.5), (1.0, 1.0, 1.0, 1.0))  # q+ < q- at 0
    assert from_below.symmetric_point() == pytest.approx(-1 + 2 / 3 / 1.2)
    flat = nodes_(-1, 1, (1.5, 1.0, 1.0, 1.0, 1.5), (1.0, 1.0, 1.0, 1.0, 1.0))
    assert flat.symmetric_point() == 0.0  # nothing moves there
    dead = og.Custom(lambda w: (0.5 - w).clamp(min=0) + 0.0, lambda w: (0.2 - w).clamp(min=0) * 0.5)
    assert dead.symmetric_point() == pytest.approx(0.5)  # no pulse moves it from there on
    for name, entry in PRESETS.items():
        try:
            nominal = entry.device.nominal
        except InputError:  # a preset made from measured files, which are not here
            continue
        element = draw(nominal, (1, 1), Key(0, 0)).symmetric_point()
        assert float(element) == pytest.approx(nominal.response.symmetric_point(), abs=1e-4), name


def test_alternating_pulses_on_tiles_end_at_the_point_and_stay() -> None:
    """By pulses, for responses that had wrong points; from 0.05 to either side within the range."""
    for response in (
        og.LinearStep(-1, 1, -0.5, -0.5),
        og.LinearStep(-1, 1, -0.9, 0.7),
        og.PiecewiseStep(-1, 1, (0.5, 1.1, 1.5), (1.5, 1.0, 0.5)),
        og.PiecewiseStep(-1, 1, (2.0, 0.8, 1.2, 0.5), (1.0, 1.0, 1.0, 1.0)),
    ):
        point = response.symmetric_point()
        tile = og.Tile((1, 3), og.Device(response, dw_min=0.01))
        tile.weight.copy_(torch.tensor([[point - 0.05, point, point + 0.05]]).clamp(-1, 1))
        tile.zero_shift(1500)
        assert float((tile.weight - point).abs().max()) < 0.02
        tile.reset(point)
        tile.calibrate(100)
        assert float(tile.weight.abs().max()) < 0.02  # the reference is there, too
        at = og.Device(response, dw_min=0.01, reference=Reference())
        assert float(og.Tile((1, 1), at).memory["reference"]) == pytest.approx(point, abs=1e-6)


def test_the_law_holds_for_several_points_and_sees_one_that_drives_away(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rising = og.Device(og.LinearStep(-1, 1, -0.5, -0.5), dw_min=0.01, noise=og.Noise(0.3))
    three = og.Device(
        og.PiecewiseStep(-1, 1, (2.0, 0.6, 1.4, 0.5), (1.0, 1.0, 1.0, 1.0)),
        dw_min=0.01, spread=og.Spread(dw_min=0.1),
    )  # fmt: skip
    bound = og.Device(og.ConstantStep(up=1.2), dw_min=0.01, noise=og.Noise(0.3))
    for device in (rising, three, bound):
        (finding,) = check_device(device, "symmetric point").findings
        assert finding.status == "ok", (device, finding)
    ideal = check_device(og.Device(og.ConstantStep(), dw_min=0.01), "symmetric point").findings[0]
    assert ideal.status == "skipped"
    zero = lambda self: torch.zeros_like(self.up)  # noqa: E731 - what it said before
    monkeypatch.setattr(Elements, "symmetric_point", zero)
    for device in (rising, three, bound):
        (finding,) = check_device(device, "symmetric point").findings
        assert finding.status == "failed", (device, finding)


def test_a_spread_of_points_needs_a_response_that_drives_there() -> None:
    spread = og.Spread(symmetric_point=0.1, symmetric_point_mean=0.2)
    for response in (og.LinearStep(-1, 1, -0.5, -0.5), og.PiecewiseStep(-1, 1, (0.5, 1, 1.5), (1.5, 1, 0.5))):
        with pytest.raises(InputError, match=r"alternating pulses do not drive a .* there"):
            og.Device(response, 0.01, spread)
    for response in (og.SoftBounds(), og.PowStep(gamma_up=2.0), og.LinearStep(slope_down=-0.2)):
        e = draw(og.Device(response, 0.01, spread), (20, 30), Key(1, 0))
        point = e.symmetric_point().double()
        assert float(point.mean()) == pytest.approx(0.2, abs=4.5 * 0.1 / 600**0.5)
        assert float(point.std()) == pytest.approx(0.1, rel=4.5 / (2 * 600) ** 0.5)


def test_tables_are_centred_where_pulses_drive() -> None:
    g = np.linspace(0.0, 1.0, 9)

    def table(up: list[float], down: list[float]) -> og.Measured:
        pair = [np.stack([np.array(a) * s] * 2) * 0.01 for a, s in ((up, 1), (down, -1))]
        return og.Measured(g, [0.0, 1.0], *pair)

    falling = [2.0, 1.8, 1.6, 1.4, 1.2, 0.8, 0.6, 0.5, 0.4]
    assert table(falling, [1.0] * 9).centred().symmetric_point() == pytest.approx(0, abs=1e-9)
    for up, end in ((falling[::-1], 1), ([1.5] * 9, 1), ([0.5] * 9, -1)):
        rising = [u + 0.25 for u in up] if up == falling[::-1] else up
        with pytest.raises(InputError, match=f"device 0 cannot be centred: .* to its end {end} of"):
            table(rising, [1.0] * 9).centred()


def test_the_theory_knows_of_points_that_drive_away() -> None:
    rising, noise = og.LinearStep(-1, 1, -0.9, -0.9), theory.GradientNoise(0.5, "two-point")
    flat = theory.Quadratic(0.1 * torch.eye(1), torch.tensor([0.05]))
    steep = theory.Quadratic(torch.eye(1), torch.tensor([0.05]))
    three = og.Device(og.PiecewiseStep(-1, 1, (2.0, 0.6, 1.4, 0.5), (1.0, 1.0, 1.0, 1.0)), dw_min=0.02)
    with pytest.raises(InputError, match="not inside the range"):
        theory.zero_shift_accuracy(og.Device(rising, 0.01))
    with pytest.raises(InputError, match=r"drive elements from -1 to -0.5.*not to the symmetric point"):
        theory.zero_shift_pulses(three, 0.1)
    with pytest.raises(InputError, match="driven away from the point"):
        theory.analog_sgd(flat, rising, noise, 0.001)
    with pytest.raises(InputError, match="no minimum"):
        theory.penalised_minimum(flat, rising, noise)
    with pytest.raises(InputError, match="drive P away from 0"):
        theory.tiki_taka(steep, rising, noise, 0.001, 0.001)
    assert float(theory.penalised_minimum(steep, rising, noise)) == pytest.approx(0.05 / (1 - 0.45), rel=1e-6)
    assert float(theory.analog_sgd(steep, rising, noise, 0.001).mean) == pytest.approx(0.05 / 0.55, rel=1e-2)


def test_cards_say_that_a_point_is_a_bound() -> None:
    assert point_in_words(og.Device(og.LinearStep(-1, 0.8, -0.5, -0.5), 0.01)) == "0.8 (bound)"
    assert point_in_words(og.Device(og.SoftBounds(), 0.01)) == "0"
