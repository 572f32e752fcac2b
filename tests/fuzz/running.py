"""What is fuzzed, how often, and within which time and memory."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis.strategies import SearchStrategy

from ohmgrad import InputError

try:
    import resource
except ImportError:  # not on Windows
    resource = None

__all__ = ["Fuzzed", "refused_in_a_sentence", "within_limits"]

#: a case may take so long (seconds; on a busy machine), and so much memory more than there is in use (bytes)
SECONDS, BYTES = 30, 2 << 30
#: the longest sentence
LONGEST = 410


@dataclass(frozen=True)
class Fuzzed:
    """A property, or a parser.

    Args:
        name: for people.
        cases: what is drawn.
        check: raises where the property does not hold.
        few: cases in the suite.
    """

    name: str
    cases: SearchStrategy[Any]
    check: Callable[[Any], Any]
    few: int

    def run(self, most: int, *, derandomize: bool, counted: Callable[[], Any] = lambda: None) -> None:
        """Try so many cases; `counted` is called before each."""

        @settings(
            max_examples=most,
            derandomize=derandomize,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=False,
        )
        @given(self.cases)
        def test(case: Any) -> None:
            counted()
            self.check(case)

        test()


class TooLongError(BaseException):
    """Not an exception that a parser may take for its own."""


@contextlib.contextmanager
def within_limits() -> Iterator[None]:
    """What is inside raises where it takes too long or too much memory."""
    if resource is None or not Path("/proc/self/statm").is_file():
        yield
        return

    def late(*_: Any) -> None:
        raise TooLongError(f"more than {SECONDS} s")

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused_in_a_sentence(what: Callable[[], Any]) -> Any:
    """What it gives, or None where it is refused: with an InputError of one line, within the limits."""
    try:
        with within_limits():
            return what()
    except InputError as error:
        text = str(error)
        if not text or "\n" in text or len(text) > LONGEST:
            raise AssertionError(f"no sentence: {text!r}") from error
        return None
    except TooLongError as error:
        raise AssertionError(str(error)) from None
    except MemoryError as error:
        print("too much memory", file=sys.stderr)
        raise AssertionError(f"more than {BYTES >> 20} MiB") from error
