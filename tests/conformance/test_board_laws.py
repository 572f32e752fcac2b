"""The laws of boards hold for simulated ones, noisy ones too, and each fails for a planted bug."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from ohmgrad import (
    NOISY_PERIPHERY,
    Device,
    InputError,
    Noise,
    Place,
    Pulsing,
    SimulatedBoard,
    SoftBounds,
    Spread,
    Tile,
)
from ohmgrad.cli import main
from ohmgrad.conformance import BOARD_LAWS, check_board
from ohmgrad.devices import Stuck
from ohmgrad.kernels import Periphery

pytestmark = pytest.mark.usefixtures("one_thread")

DEVICE = Device(SoftBounds.symmetric(0.6), 0.005, Spread(dw_min=0.2, up_down=0.1), Noise(0.3))
COARSE = Device(SoftBounds.symmetric(0.6), 0.04, Spread(dw_min=0.2), Noise(0.3), stuck=Stuck(0.02))


def simulated(
    device: Device = DEVICE, circuits: Periphery | None = None
) -> Callable[[Place], SimulatedBoard]:
    return lambda place: SimulatedBoard(Tile(place.shape, device, periphery=circuits, array=place.array))


NOISY = Periphery(out_noise=0.02, in_bound=1.0, in_steps=126, noise_management="abs_max")


@pytest.mark.parametrize(("device", "circuits"), [(DEVICE, None), (COARSE, NOISY), (DEVICE, NOISY_PERIPHERY)])
def test_simulated_boards_obey_the_laws(device: Device, circuits: Periphery | None) -> None:
    report = check_board(simulated(device, circuits), device).raise_if_failed()
    assert [f.law for f in report.findings] == list(BOARD_LAWS)
    assert not report.skipped


# --- planted bugs ----------------------------------------------------------------------------------


class Base(SimulatedBoard):
    """A board of elements that all bugs have."""

    def __init__(self, place: Place) -> None:
        super().__init__(Tile(place.shape, DEVICE, array=place.array))


class InDouble(Base):
    def read(self, columns: Sequence[int], repeats: int) -> Tensor:
        return super().read(columns, repeats).double()


class Short(Base):
    def program(self, target: Tensor, rounds: int) -> Tensor:
        return super().program(target, 1)


class Sorted(Base):
    def read(self, columns: Sequence[int], repeats: int) -> Tensor:
        return super().read(sorted(columns), repeats)


class HalfScale(Base):
    def backward(self, d: Tensor) -> Tensor:
        return super().backward(d) / 2


class Flipped(Base):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flip(1))


class Disturbing(Base):
    def forward(self, x: Tensor) -> Tensor:
        self.tile.pulse_counts(torch.ones(self.tile.shape, dtype=torch.int64))
        return super().forward(x)


class OneSided(Base):
    def pulse_counts(self, n: Tensor) -> None:
        super().pulse_counts(n.abs())


class Upwards(Base):
    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> Sequence[int]:
        return super().pulse(x, d, abs(lr), pulsing)


class Uphill(Base):
    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> Sequence[int]:
        return super().pulse(x, d, -lr, pulsing)


class Transposed(Base):
    def pulse(self, x: Tensor, d: Tensor, lr: float, pulsing: Pulsing) -> Sequence[int]:
        rows, cols = self.tile.shape
        return super().pulse(d.repeat(1, cols)[:, :cols], x.repeat(1, rows)[:, :rows], lr, pulsing)


class Shared(Base):
    """All boards are one array."""

    one: Tile | None = None

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        Shared.one = self.tile = self.one or self.tile


class NoPrimitive(Base):
    forward: Any = None


#: board -> laws that it breaks
BUGS: dict[type, set[str]] = {
    InDouble: {"answers"},
    Short: {"programs"},
    Sorted: {"columns"},
    HalfScale: {"products"},
    Flipped: {"products", "trains"},
    Disturbing: {"untouched"},
    OneSided: {"pulse counts"},
    Upwards: {"pulses", "trains"},
    Uphill: {"pulses", "trains"},
    Transposed: {"pulses", "trains"},
    Shared: {"independent"},
    NoPrimitive: {"answers", "products", "untouched", "trains"},
}


@pytest.mark.parametrize("board", BUGS, ids=lambda b: b.__name__)
def test_each_law_fails_for_its_bug(board: Any) -> None:
    assert {f.law for f in check_board(board, DEVICE, BUGS[board]).failed} == BUGS[board]


def test_every_law_has_a_bug() -> None:
    assert set().union(*BUGS.values()) == set(BOARD_LAWS)


def test_wrong_arguments_are_told() -> None:
    with pytest.raises(InputError, match="but must be callable"):
        check_board(cast(Any, 3), DEVICE)
    with pytest.raises(InputError, match=r"must be an ohmgrad\.Device"):
        check_board(simulated(), cast(Any, "paper"))
    with pytest.raises(InputError, match="of at least 3"):
        check_board(simulated(), DEVICE, shape=(2, 5))


FILE = """
import ohmgrad as og

def boards(place):
    return og.SimulatedBoard(og.Tile(place.shape, og.Device(og.SoftBounds.symmetric(0.6), 0.005)))
"""


def test_the_command_checks_boards_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.py").write_text(FILE)
    mine, rest = f"{tmp_path}/mine.py:boards", ["--device", "paper", "--shape", "4x5", "--law", "answers"]
    for argv, code, said in (
        ([mine, *rest], 0, "1 of 1 laws hold"),
        (["mine", *rest], 2, "mine is no board"),
    ):
        with pytest.raises(SystemExit) as stop:
            main(["check", "board", *argv])
        assert stop.value.code == code
        printed = capsys.readouterr()
        assert said in printed.out + printed.err
