"""The command `ohmgrad`, outside of the package, whose import takes seconds: Ctrl-C meanwhile is one line."""

import os
import signal
from typing import Any

__all__ = ["main"]


def _stop(number: int, _: Any) -> None:
    os.write(2, b"stopped: nothing was begun\n")
    os._exit(128 + number)  # at once: what is half imported may take an exception for its own


def main() -> None:
    """Import the commands and run one."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # and not where Ctrl-C is ignored
        signal.signal(signal.SIGINT, _stop)
    from ohmgrad.cli import main as run

    signal.signal(signal.SIGINT, before)
    run()
