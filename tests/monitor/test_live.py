"""Live pictures: what they collect, how it is drawn, and that the training is the same."""

from __future__ import annotations

import io
import math
from typing import Any

import pytest
import torch
from rich.console import Console

import ohmgrad as og
from ohmgrad.devices import OneSided
from ohmgrad.devices.presets import preset
from ohmgrad.monitor import displays
from ohmgrad.monitor.displays import Painter
from ohmgrad.monitor.history import History, Series
from ohmgrad.monitor.in_notebook import notebook_picture
from ohmgrad.monitor.in_words import blocks, line, terminal_picture

pytestmark = pytest.mark.usefixtures("one_thread")


def training(device: og.Device | None = None) -> tuple[torch.nn.Module, og.AnalogOptimizer]:
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.Tanh(), torch.nn.Linear(6, 2))
    model = og.convert(net, device or preset("paper"))
    return model, og.AnalogSGD(model.parameters(), lr=0.1)


def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> torch.Tensor:
    loss = model(torch.ones(3, 4)).square().mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss


class Clock:
    """Seconds that go on by two with every question."""

    now = 0.0

    def __call__(self) -> float:
        self.now += 2
        return self.now


def test_series_keep_means() -> None:
    """Of 1000 values, in groups of as many as a power of two, at most 8 means; x as y."""
    series = Series(8)
    for x in range(1000):
        series.add(x, 3.0 * x)
        assert len(series.x) < 8
    assert series.y == pytest.approx([3 * x for x in series.x])
    each = int(series.x[1] - series.x[0])
    assert each == 128
    assert series.x == [sum(range(i, i + each)) / each for i in range(0, 1000 - each + 1, each)]
    assert math.isnan(Series().last)


def test_history_has_losses_pulses_and_rows() -> None:
    model, optimizer = training()
    monitor = og.Monitor(model, optimizer, every=1, memory=20)
    history, losses = History(model, optimizer, monitor, Clock()), []
    before = 0
    for update in range(1, 9):
        losses.append(step(model, optimizer))
        history.add(update, losses[-1])
        if update == 1:
            before = sum(optimizer.events()[f"pulses_{way}"] for way in ("up", "down"))
    history.look()
    assert history.loss.y == pytest.approx([loss.item() for loss in losses])
    pulses = sum(optimizer.events()[f"pulses_{way}"] for way in ("up", "down")) - before
    assert pulses > 0
    assert history.pulses.y == [pulses / 2]  # the clock was asked at the first update and at the look
    assert history.per_update == pulses / 7
    assert history.gradient.x == [2, 4, 6, 8]
    rows = [row for row in monitor.rows if row["step"] == 8]
    assert history.floor.last == pytest.approx(sum(row["floor"] for row in rows))
    assert [each.name for each in history.layers] == ["0", "2"]


def drawn(history: History, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, force_terminal=False)
    console.print(terminal_picture(history, width))
    return console.file.getvalue()  # pyright: ignore


def trained() -> History:
    model, optimizer = training()
    history = History(model, optimizer, og.Monitor(model, optimizer, every=1, memory=20), Clock())
    for update in range(1, 5):
        history.add(update, step(model, optimizer))
        history.look()
    return history


def test_pictures_show_what_is_asked_for() -> None:
    history = trained()
    text, html = drawn(history, 80), notebook_picture(history)
    assert max(map(len, text.splitlines())) <= 80
    for words in ("loss", "squared gradient", "predicted floor", "pulses a second", "symmetric point"):
        assert words in text
        assert words in html
    assert "weights, 0" in text
    assert "▲" in text
    assert html.count("<svg") == 5  # loss, gradient, pulses, two layers
    for words in ("update 4", f"loss {history.loss.last:.4g}", "floor", "pulses a second"):
        assert words in line(history)


def test_a_picture_of_a_loss_that_is_not_finite() -> None:
    digital = torch.nn.Linear(4, 2)
    history = History(digital, torch.optim.SGD(digital.parameters(), 0.1), None)
    for update, loss in enumerate((2.0, 1.0, math.nan)):
        history.add(update, loss)
    history.look()
    assert "nan" in drawn(history, 80)
    assert ">nan<" in notebook_picture(history)


def test_blocks_are_as_high_as_values() -> None:
    assert blocks([0.0, 0.5, 1.0, math.nan], 1) == " ▄█ "
    assert blocks([0.25, 0.75, 1.0], 2) == " ▄█\n▄██"
    assert blocks([0.001], 1) == "▁"  # little is not nothing


def test_the_training_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = training()
    for _ in range(5):
        step(model, optimizer)
    other, second = training()
    with og.Live(other, second) as live:
        for _ in range(5):
            live.update(step(other, second))
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert capsys.readouterr().out.startswith("update 5 after")
    assert not second._update_hooks  # its monitor looks no more


def test_what_has_no_floor_is_drawn_without() -> None:
    model, optimizer = training(og.Device(og.SoftBounds.symmetric(0.6), pair=OneSided()))
    assert og.Live(model, optimizer).monitor is None
    digital = torch.nn.Linear(4, 2)
    sgd = torch.optim.SGD(digital.parameters(), 0.1)
    live = og.Live(digital, sgd)
    live.update(step(digital, sgd))
    live.history.look()
    assert live.monitor is None
    assert "pulses" not in drawn(live.history, 80)
    live.close()


def test_wrong_input_is_refused() -> None:
    model, optimizer = training()
    with pytest.raises(og.InputError, match=r"optimizer is 'sgd', but must be an optimizer of torch"):
        og.Live(model, "sgd")  # pyright: ignore
    with pytest.raises(og.InputError, match=r"loss is a tensor \(3,\).* must be one number: give its mean"):
        og.Live(model, optimizer).update(torch.ones(3))


def test_drawing_takes_a_tenth_of_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture of 3 s: the next one 27 s after its end."""
    now = [0.0]
    monkeypatch.setattr(displays.time, "perf_counter", lambda: now[0])
    shown: list[float] = []

    class Slow:
        every = 0.5

        def show(self, _: Any) -> None:
            shown.append(now[0])
            now[0] += 3

        def end(self) -> None: ...

    painter = Painter(trained(), Slow())
    while now[0] < 100:
        painter.draw_if_due()
        now[0] += 0.25
    assert shown == [0.5, 30.5, 60.5, 90.5]


def test_an_error_in_the_loop_comes_through_and_nothing_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    model, optimizer = training()

    def train() -> None:
        with og.Live(model, optimizer) as live:
            live.update(step(model, optimizer))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert capsys.readouterr().out == ""
    assert not optimizer._update_hooks
