"""Laws of a board: what algorithms rely on when they pulse, read and multiply there.

Bounds are wide, as real arrays are not exact: they tell a wrong sign, order, direction or unit from noise.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..crossbar.board import Board, Boards, Place
from ..devices import Device
from ..kernels import Pulsing
from ..nn import AnalogLinear
from ..nn.on_boards import on_boards
from ..optim import AnalogSGD
from .report import Finding, found
from .stats import bonferroni

__all__ = ["Asked", "answers", "columns", "independent", "products", "programs", "pulse_counts", "pulses",
           "trains", "untouched"]  # fmt: skip

#: reads that are averaged where noise matters, and of which it is measured
READS = 16
#: pulses that an element gets in `pulse_counts`, and share of half the range that they may take
SENT, REACH = 10, 0.3
#: share of elements that may be off, as stuck ones are
OFF = 0.05


@dataclass
class Asked:
    """What is checked: who gives boards, the device that describes them, and the shape of the arrays."""

    boards: Boards
    device: Device
    shape: tuple[int, int]
    _numbers: itertools.count[int] = field(default_factory=itertools.count)

    def board(self) -> Board:
        """The board of one more array."""
        number = next(self._numbers)
        return self.boards(Place("check", number, 0, self.shape, 256 * number))

    @property
    def half(self) -> float:
        """The shorter half of the nominal range."""
        return min(self.device.response.w_max, -self.device.response.w_min)

    def pattern(self) -> Tensor:
        """Targets within 60 % of the range, all different and without symmetry, (rows, cols)."""
        rows, cols = self.shape
        share = (torch.arange(rows * cols) * 0.6180339887) % 1
        return (1.2 * share - 0.6).view(rows, cols) * self.half

    def all(self, board: Board) -> Tensor:
        """All columns, averaged over `READS` reads, float64."""
        return board.read(range(self.shape[1]), READS).double()

    def noise(self, board: Board) -> float:
        """Standard deviation of one read of one element."""
        several = torch.stack([board.read(range(self.shape[1]), 1).double() for _ in range(READS)])
        return float(several.var(0).mean().sqrt())


def answers(asked: Asked) -> Finding:
    """Every primitive takes what the interface says and gives float32 of the shape it says, all finite."""
    board, (rows, cols) = asked.board(), asked.shape
    wanted = {
        "program": (board.program(torch.zeros(rows, cols), 5), (rows, cols)),
        "read": (board.read([cols - 1], 2), (rows, 1)),
        "forward": (board.forward(torch.ones(3, cols)), (3, rows)),
        "backward": (board.backward(torch.ones(4, rows)), (4, cols)),
    }
    counted = board.pulse(torch.ones(2, cols), torch.ones(2, rows), asked.device.dw_min, Pulsing())
    board.pulse_counts(torch.ones(rows, cols, dtype=torch.int64))
    wrong = [
        name
        for name, (value, shape) in wanted.items()
        if not isinstance(value, Tensor)
        or value.dtype != torch.float32
        or tuple(value.shape) != shape
        or not bool(torch.isfinite(value).all())
    ]
    if counted is not None and len(counted) != 4:
        wrong.append("pulse")
    said = ", ".join(wrong) or "as they should be"
    return found(not wrong, said, "float32 of the right shapes", "what primitives give")


def programs(asked: Asked) -> Finding:
    """Write-verify ends at its target, says what it left, and reads agree.

    Within two steps, and the noise of a read by Bonferroni's bound; 5 % of the elements may be off.
    """
    board, target = asked.board(), asked.pattern()
    told = board.program(target, 20).double()
    sigma = asked.noise(board)
    bound = 2 * asked.device.dw_min * max(1.0, *asked.device.nominal_steps) + sigma * bonferroni(
        target.numel()
    )
    off = max(float(((w - target).abs() > bound).double().mean()) for w in (told, asked.all(board)))
    said = f"{100 * off:.3g} % of elements are off by more than {bound:.3g}"
    return found(
        off <= OFF, said, f"{100 * OFF:.3g} %", "what was programmed, as told and as read, against the target"
    )


def columns(asked: Asked) -> Finding:
    """Columns are read in the order that is asked for, each alone or with others."""
    board, cols = asked.board(), asked.shape[1]
    board.program(asked.pattern(), 20)
    whole, order = asked.all(board), [*range(cols - 1, -1, -2), *range(0, cols - 1, 2)]
    parts = [
        board.read(order, READS).double(),
        torch.cat([board.read([c], READS).double() for c in order], 1),
    ]
    worst = min(_agreement(part, whole[:, order])[1] for part in parts)
    return found(
        worst >= 0.9, f"correlation {worst:.3g}", "0.9", "columns in another order and one by one against all"
    )


def products(asked: Asked) -> Finding:
    """forward is x W^T and backward d W of the weights as read, on random vectors in [-1, 1]."""
    board, (rows, cols) = asked.board(), asked.shape
    board.program(asked.pattern(), 20)
    w, g = asked.all(board), torch.Generator().manual_seed(0)
    x, d = (torch.rand(32, lines, generator=g) * 2 - 1 for lines in (cols, rows))
    both = [(board.forward(x), x.double() @ w.t()), (board.backward(d), d.double() @ w)]
    slopes, correlations = zip(*(_agreement(y.double(), wanted) for y, wanted in both), strict=True)
    ok = min(correlations) >= 0.9 and all(0.8 <= slope <= 1.25 for slope in slopes)
    said = "; ".join(f"{s:.3g}, {c:.3g}" for s, c in zip(slopes, correlations, strict=True))
    return found(
        ok, said, "0.8 to 1.25; 0.9", "slope and correlation of products with x W^T; d W, 32 vectors each"
    )


def untouched(asked: Asked) -> Finding:
    """Products, reads, and updates without any pulse leave the elements as they are.

    Means of 16 reads before and after differ by half a step at most, and the noise by Bonferroni's bound.
    """
    board, (rows, cols) = asked.board(), asked.shape
    board.program(asked.pattern(), 20)
    before = asked.all(board)
    for _ in range(10):
        board.forward(torch.ones(1, cols))
        board.backward(torch.ones(1, rows))
    board.pulse_counts(torch.zeros(rows, cols, dtype=torch.int64))
    board.pulse(torch.ones(2, cols), torch.zeros(2, rows), 1.0, Pulsing())
    return _same(asked, board, before, "reads before and after 20 products and two updates of nothing")


def independent(asked: Asked) -> Finding:
    """Pulses on one array leave another as it is; bound as in `untouched`."""
    first, second = asked.board(), asked.board()
    first.program(asked.pattern(), 20)
    before = asked.all(first)
    second.program(-asked.pattern(), 20)
    second.pulse_counts(torch.full(asked.shape, SENT))
    return _same(asked, first, before, "reads of an array before and after another was programmed and pulsed")


def pulse_counts(asked: Asked) -> Finding:
    """From 0, n pulses move an element by a third to three times n dw_min, up or down as their sign says.

    Means over the elements that got n, -n and 0; n = 10, or what takes 30 % of half the range.
    """
    board, dw = asked.board(), asked.device.dw_min
    board.program(torch.zeros(asked.shape), 20)
    before = asked.all(board)
    n = max(1, min(SENT, int(REACH * asked.half / dw)))
    sign = torch.arange(before.numel()).view(asked.shape) % 3 - 1
    board.pulse_counts(sign * n)
    moved = (asked.all(board) - before) / (n * dw)
    up, down, still = (float(moved[sign == s].mean()) for s in (1, -1, 0))
    ok = 1 / 3 <= up <= 3 and -3 <= down <= -1 / 3 and abs(still) <= 1 / 3
    said = f"{up:.3g}, {down:.3g}, {still:.3g}"
    return found(
        ok, said, "1/3 to 3; -3 to -1/3; 1/3", f"mean moves by {n} pulses up, down and none, over n dw_min"
    )


def pulses(asked: Asked) -> Finding:
    """From 0, parallel updates move the elements along lr d^T x, with either sign of lr.

    20 updates of 4 samples whose largest change is two steps, or what takes 30 % of half the range in all;
    the slope of the moves on the wanted ones is half to twice, as granularities differ, and the correlation
    0.5 or more, as coarse elements get few pulses.
    """
    rows, cols = asked.shape
    g = torch.Generator().manual_seed(1)
    x, d = (torch.rand(4, lines, generator=g) * 2 - 1 for lines in (cols, rows))
    wanted = d.double().t() @ x.double()
    rate = min(2 * asked.device.dw_min, REACH * asked.half / 20) / float(wanted.abs().max())
    slopes, correlations = [], []
    for lr in (rate, -rate):
        board = asked.board()
        board.program(torch.zeros(asked.shape), 20)
        before = asked.all(board)
        for _ in range(20):
            board.pulse(x, d, lr, Pulsing())
        slope, correlation = _agreement(asked.all(board) - before, 20 * lr * wanted)
        slopes.append(slope)
        correlations.append(correlation)
    ok = min(correlations) >= 0.5 and all(0.5 <= slope <= 2 for slope in slopes)
    said = "; ".join(f"{s:.3g}, {c:.3g}" for s, c in zip(slopes, correlations, strict=True))
    return found(
        ok, said, "0.5 to 2; 0.5", "slope and correlation of moves with lr d^T x, for lr > 0; lr < 0"
    )


def trains(asked: Asked) -> Finding:
    """Analog SGD learns a linear map within half the range: 200 steps take a quarter off its loss."""
    rows, cols = asked.shape
    layer = AnalogLinear(cols, rows, asked.device, bias=False, array=0)
    layer.out_scale.requires_grad_(False).fill_(1.0)
    with torch.no_grad():
        layer.weight.zero_()
    on_boards(layer, lambda _: asked.board())
    optimizer = AnalogSGD(layer.parameters(), lr=0.05)
    truth, g, losses = asked.pattern() * 0.8, torch.Generator().manual_seed(2), []
    for _ in range(200):
        x = torch.rand(4, cols, generator=g) * 2 - 1
        loss = (layer(x) - x @ truth.t()).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    first, last = sum(losses[:20]) / 20, sum(losses[-20:]) / 20
    return found(
        last <= 0.75 * first,
        f"{last / first:.3g}",
        "0.75",
        "loss of the last 20 steps of 200 over that of the first",
    )


def _same(asked: Asked, board: Board, before: Tensor, what: str) -> Finding:
    gap = float((asked.all(board) - before).abs().max())
    error = asked.noise(board) * (2 / READS) ** 0.5
    bound = asked.device.dw_min / 2 + error * bonferroni(before.numel())
    return found(gap <= bound, f"{gap:.3g}", f"{bound:.3g}", what)


def _agreement(got: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Slope of `got` on `wanted`, and their correlation, both about 0."""
    a, b = got.flatten(), wanted.flatten()
    both = float(a @ b)
    return both / float(b @ b), both / max(float(a.norm() * b.norm()), 1e-300)
