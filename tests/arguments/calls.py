"""Calls with nonsense in one position: what came of each."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import math
import signal
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import torch

from ohmgrad.errors import InputError

from .kinds import MAY_DIVERGE, NONSENSE, VALUE_BY_VALUE, legitimate, variants
from .surface import Target, targets
from .valid_calls import Call, NoExampleError, call_of

__all__ = ["LIMIT", "Finding", "attempt", "sweep"]

#: seconds that a call may take, on a machine with other work
LIMIT = 20.0


@dataclass(frozen=True)
class Finding:
    """What came of a call: its outcome is "refused", "legitimate", or what is wrong."""

    where: str
    value: str
    outcome: str
    said: str = ""

    @property
    def fine(self) -> bool:
        return self.outcome in ("refused", "legitimate")


class _TooLongError(BaseException):
    pass


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Raise `_TooLongError` in what takes longer."""

    def stop(*_: Any) -> None:
        raise _TooLongError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(
    where: str, value: str, makes_sense: bool, call: Callable[[], Any], limit: float = LIMIT
) -> Finding:
    """Call, and say what came of it."""
    start = time.perf_counter()
    try:
        with limited(limit), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            result = call()
    except InputError as error:
        return Finding(where, value, "refused", str(error))
    except _TooLongError:
        return Finding(where, value, "hang", f"no end within {limit:g} s")
    except Exception as error:  # whatever a call raises is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{last.filename.rpartition('ohmgrad/')[2]}:{last.lineno}"
        return Finding(where, value, "exception", f"{type(error).__name__}: {error} ({place})")
    seconds = time.perf_counter() - start
    if not makes_sense:
        return Finding(where, value, "accepted", type(result).__name__)
    name, _, position = where.rstrip(")").partition("(")
    passed_on = name.rpartition(".")[2] in VALUE_BY_VALUE or position in MAY_DIVERGE
    if not passed_on and not _sound(result):
        return Finding(where, value, "result", f"{result!r}"[:200])
    return Finding(where, value, "legitimate", f"{seconds:.2f} s")


def _sound(result: Any, depth: int = 0) -> bool:
    """Whether there is no NaN in what came back."""
    if depth > 4:
        return True
    if isinstance(result, float):
        return not math.isnan(result)
    if isinstance(result, torch.Tensor):
        return not result.is_floating_point() or not bool(result.isnan().any())
    if isinstance(result, Mapping):
        return all(_sound(v, depth + 1) for v in result.values())
    if isinstance(result, (list, tuple)):
        return all(_sound(v, depth + 1) for v in result)
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        return all(_sound(getattr(result, f.name), depth + 1) for f in dataclasses.fields(result))
    return True


def sweep(names: list[str] | None = None) -> Iterator[Finding]:
    """Every public name with valid values, then with nonsense in each position in turn."""
    for name, target in targets().items():
        if names is None or name in names:
            yield from of_target(name, target)


def of_target(name: str, target: Target, every: int = 1, first: int = 0) -> Iterator[Finding]:
    """A name with valid values, then with every so many of what is wrong in its positions."""
    try:
        call = call_of(target)
    except NoExampleError as error:
        yield Finding(name, "valid", "example", str(error))
        return
    if call.runs and every == 1:
        found = attempt(name, "valid", True, call.run, 60)  # it may compile
        if found.outcome != "legitimate":
            yield dataclasses.replace(found, outcome="example")
            return
        yield found
    for position, label, value, sense in islice(wrong_values(name, call), first, None, every):
        if call.runs or not sense:
            yield attempt(f"{name}({position})", label, sense, lambda v=value, p=position: call.run(**{p: v}))


def wrong_values(name: str, call: Call) -> Iterator[tuple[str, str, Any, bool]]:
    """Position, name of the nonsense, the nonsense, and whether it makes sense there after all."""
    arguments = call.make()[1]
    for position, hint in call.positions.items():
        for label, value in (NONSENSE | variants(arguments.get(position))).items():
            sense = label != "complex tensor" and legitimate(value, hint, name, position)
            yield position, label, value, sense
