"""Worker processes: runs side by side, of which any may be killed.

Each worker has a pipe of its own and shares nothing with the others, so that one that is killed, at whatever
moment, takes nothing with it: its run is given to a new worker. A worker whose parent has died ends at once.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from ..errors import InputError

__all__ = ["Failed", "Run", "Tasks", "attempt", "cores", "side_by_side"]

Progress = Callable[[int, int, str], None]
#: what is run; given a `Progress`
Run = Callable[[Progress], Any]
#: runs with their numbers, asked for when there is room for another one
Tasks = Iterator[tuple[int, Run]]

_CONTEXT = multiprocessing.get_context("spawn")


@dataclass(frozen=True)
class Failed:
    """What is left of a run that raised: the traceback, and the message if wrong input was the cause."""

    text: str
    wrong_input: str | None = None


def attempt(run: Run, progress: Progress) -> Any:
    """What a run gives, or `Failed`."""
    try:
        return run(progress)
    except Exception as error:  # whatever a part may raise: it is recorded, and the others go on
        text = traceback.format_exc()
        # torch has no type for it
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):
            text += "there was not enough memory: fewer jobs at a time, images or seeds need less\n"
        return Failed(text, str(error) if isinstance(error, InputError) else None)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    tasks: Tasks, jobs: int, progress: Callable[[int], Progress], *, tries: int
) -> Iterator[tuple[int, Any]]:
    """(number, result) of every run, as they end; of one that fails, `Failed` is the result.

    Args:
        tasks: runs, which can be pickled.
        jobs: processes at a time; each has its share of the threads.
        progress: of a run by its number; called here with what the run reports.
        tries: how often a run is begun whose worker dies; then it has failed.

    Raises:
        InputError: when workers do not start, as from a script whose main part they would run again.
    """
    again: deque[tuple[int, Run]] = deque()
    deaths: Counter[int] = Counter()
    workers: dict[Any, tuple[Any, tuple[int, Run]]] = {}  # by connection: the process, and its task
    started: list[Any] = []
    ready: set[Any] = set()

    def begin(process: Any, connection: Any, task: tuple[int, Run]) -> None:
        workers[connection] = process, task
        with contextlib.suppress(OSError):  # it died meanwhile, which is seen when it is waited for
            connection.send(task[1])

    def next_task() -> tuple[int, Run] | None:
        return again.popleft() if again else next(tasks, None)

    try:
        while True:
            while len(workers) < jobs and (task := next_task()) is not None:
                process, connection = _start(jobs)
                started.append(process)
                begin(process, connection, task)
            if not workers:
                return
            told: list[Any] = wait(list(workers))
            for connection in told:
                process, (i, run) = workers[connection]
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):  # the worker died
                    del workers[connection]
                    process.join()
                    if connection not in ready and (process.exitcode or 0) > 0:
                        raise InputError(
                            "a worker process could not start, as said above: in a script, what has jobs "
                            "stands under if __name__ == '__main__'"
                        ) from None
                    deaths[i] += 1
                    if deaths[i] < tries:
                        again.append((i, run))
                    else:
                        yield i, Failed(f"its worker was killed {tries} times, last by {_cause(process)}")
                    continue
                if kind == "ready":
                    ready.add(connection)
                    continue
                if kind == "progress":
                    progress(i)(*value)
                    continue
                if (task := next_task()) is not None:
                    begin(process, connection, task)
                else:
                    del workers[connection]
                    connection.close()  # it ends
                yield i, value
    finally:
        for process in started:
            process.terminate()  # those that still run; a terminated worker leaves nothing behind
        for process in started:
            process.join()


def _start(jobs: int) -> tuple[Any, Any]:
    """A new worker: its process, and our end of its pipe."""
    ours, theirs = _CONTEXT.Pipe()
    threads = str(max(1, torch.get_num_threads() // jobs))
    process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
    with _environment(OMP_NUM_THREADS=threads, NUMBA_NUM_THREADS=threads), _interrupts_blocked():
        process.start()
    theirs.close()
    return process, ours


@contextlib.contextmanager
def _environment(**values: str) -> Iterator[None]:
    """Variables that a process reads when torch and numba start, before it could set anything itself."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """A process that is begun here never hears of Ctrl-C, not even while it starts; its parent ends it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    resource_tracker.ensure_running()  # which would unblock them
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _work(connection: Connection) -> None:
    """The life of a worker: runs, one after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    with contextlib.suppress(BrokenPipeError):
        connection.send(("ready", None))
        while True:
            try:
                run = connection.recv()
            except EOFError:
                return
            except Exception:  # it cannot be made here, as when a module is missing
                result = Failed(traceback.format_exc())
            else:
                result = attempt(run, lambda *told: connection.send(("progress", told)))
            connection.send(("result", result))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)  # amid a run, which nobody waits for


def _cause(process: Any) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        memory = (
            ", as when memory runs out: fewer jobs at a time need less" if code == -signal.SIGKILL else ""
        )
        return f"signal {-code} ({signal.Signals(-code).name}){memory}"
    return f"exit code {code}"
