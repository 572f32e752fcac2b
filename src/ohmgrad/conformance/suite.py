"""The laws by name, and the functions that run them all."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ..checked import checked
from ..crossbar.board import Boards
from ..devices import Device, describe
from ..errors import InputError, check_integer, shown
from ..ranges import COUNT, OWN
from . import algorithm_learning as learning
from . import board_laws, optimizer_contract
from . import device_steps as steps
from . import device_updates as updates
from .report import Finding, Progress, Report, run_laws, skipped
from .training import Make

__all__ = ["ALGORITHM_LAWS", "BOARD_LAWS", "DEVICE_LAWS", "check_algorithm", "check_board", "check_device"]

#: law -> function of a Device
DEVICE_LAWS: dict[str, Callable[[Device], Finding]] = {
    "responses": steps.responses,
    "drawn": steps.drawn,
    "bounds": steps.bounds,
    "first order": steps.first_order,
    "symmetric point": steps.symmetric_point,
    "collapse": updates.collapse,
    "batches": updates.batches,
    "resume": updates.resume,
    "threads": updates.threads,
    "backends": updates.backends,
}

#: law -> function of make(params, lr=...)
ALGORITHM_LAWS: dict[str, Callable[[Make], Finding]] = {
    "gradients": optimizer_contract.gradients,
    "groups": optimizer_contract.groups,
    "schedule": optimizer_contract.schedule,
    "resume": optimizer_contract.resume,
    "copies": optimizer_contract.copies,
    "accumulation": optimizer_contract.accumulation,
    "addressed": optimizer_contract.addressed,
    "threads": optimizer_contract.threads,
    "pulses only": learning.pulses_only,
    "bounds": learning.bounds,
    "quadratic": learning.quadratic,
    "exact": learning.exact,
    "exact shifted": learning.exact_shifted,
}

#: law -> function of what is asked for
BOARD_LAWS: dict[str, Callable[[board_laws.Asked], Finding]] = {
    "answers": board_laws.answers,
    "programs": board_laws.programs,
    "columns": board_laws.columns,
    "products": board_laws.products,
    "untouched": board_laws.untouched,
    "independent": board_laws.independent,
    "pulse counts": board_laws.pulse_counts,
    "pulses": board_laws.pulses,
    "trains": board_laws.trains,
}


@checked(device=OWN)
def check_device(
    device: Device, laws: str | Iterable[str] | None = None, *, progress: Progress | None = None
) -> Report:
    """Run a device through the laws. A few seconds.

    What is not the answer to pulses (stuck elements, write noise, retention, pairs, references) is switched
    off where a law is about that answer, and the finding says so; resume and threads keep it on.

    Args:
        device: a specification, of a family or of your own callables.
        laws: a name or names of `DEVICE_LAWS`; all by default.
        progress: called on the way with (laws done, laws, the next law).

    Returns:
        A report to print; `report.ok`, `report.raise_if_failed()`.

    Raises:
        InputError: when `device` is no Device, or a law has another name.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> check_device(Device(SoftBounds.symmetric(0.6)), "responses").ok
        True
    """
    if not isinstance(device, Device):
        raise InputError(f"device is {shown(device)}, but must be an ohmgrad.Device")
    return run_laws(DEVICE_LAWS, laws, describe(device), progress, device)


@checked(make=OWN)
def check_algorithm(
    make: Make,
    laws: str | Iterable[str] | None = None,
    *,
    exact: bool = False,
    exact_shifted: bool = False,
    needs_asymmetry: bool = False,
    progress: Progress | None = None,
) -> Report:
    """Run an algorithm through the laws. About ten seconds.

    Args:
        make: `make(params, lr=0.05)` returns the optimizer: a class derived from `AnalogOptimizer`, a
            `functools.partial` of one, or a function. For the laws of exactness all rates must follow lr,
            as in `lambda params, lr: TikiTaka(params, lr=lr / 4, fast_lr=lr)`.
        laws: a name or names of `ALGORITHM_LAWS`; all by default.
        exact: theory promises that the error on a noisy quadratic falls to zero with the step size.
        exact_shifted: also where the symmetric point of every array is elsewhere.
        needs_asymmetry: it does not solve a quadratic where G = 0, as with choppers: an array beside the
            weights forgets by its asymmetry alone, and what it keeps goes to the weights with either sign.
        progress: as in `check_device`.

    Returns:
        A report to print; `report.ok`, `report.raise_if_failed()`.

    Raises:
        InputError: when `make` cannot be called, or a law has another name.
    """
    if not callable(make):
        raise InputError(f"make is {shown(make)}, but must be a class or function: make(params, lr=0.05)")
    table = dict(ALGORITHM_LAWS)
    reasons = {
        "exact": ""
        if exact
        else "it is not promised: ask with --exact (exact=True) where theory promises it",
        "exact shifted": ""
        if exact_shifted
        else "it is not promised: ask with --exact-shifted (exact_shifted=True) where it is",
        "quadratic": "it is declared to need asymmetry, and this device has none" if needs_asymmetry else "",
    }
    table.update({name: _skip(reason) for name, reason in reasons.items() if reason})
    subject = getattr(getattr(make, "func", make), "__name__", type(make).__name__)
    return run_laws(table, laws, subject, progress, make)


@checked(boards=OWN, device=OWN, shape=COUNT)
def check_board(
    boards: Boards,
    device: Device,
    laws: str | Iterable[str] | None = None,
    *,
    shape: tuple[int, int] = (12, 9),
    progress: Progress | None = None,
) -> Report:
    """Run boards through what algorithms rely on; their elements are programmed and pulsed, 3000 times each.

    Args:
        boards: `boards(place)` gives the `ohmgrad.Board` of an array, as for `ohmgrad.on_boards`; every law
            asks for one or more.
        device: that describes their elements: range and granularity.
        laws: a name or names of `BOARD_LAWS`; all by default.
        shape: (rows, cols) of the arrays that are asked for, each at least 3.
        progress: as in `check_device`.

    Returns:
        A report to print; `report.ok`, `report.raise_if_failed()`.

    Raises:
        InputError: when `boards` cannot be called, `device` is no Device, or a law has another name.
    """
    if not callable(boards):
        raise InputError(f"boards is {shown(boards)}, but must be callable: boards(place) -> board")
    if not isinstance(device, Device):
        raise InputError(f"device is {shown(device)}, but must be an ohmgrad.Device")
    rows, cols = (check_integer("side of shape", side, 3) for side in shape)
    subject = f"boards of {getattr(boards, '__name__', type(boards).__name__)}, {describe(device)}"
    asked = board_laws.Asked(boards, device, (rows, cols))
    return run_laws(BOARD_LAWS, laws, subject, progress, asked)


def _skip(reason: str) -> Callable[[Make], Finding]:
    return lambda _: skipped(reason)
