"""Worker processes: runs side by side, of which any may be killed.

Each worker has a pipe of its own and shares nothing with the others, so that one that is killed, at whatever
moment, takes no lock with it: its run is given to a new worker. A worker whose parent has died finds its pipe
closed and ends.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

__all__ = ["WorkerKilledError", "side_by_side"]

Progress = Callable[[int, int, str], None]
_CONTEXT = multiprocessing.get_context("spawn")


class WorkerKilledError(RuntimeError):
    """The workers that a run was given to all died, as from lack of memory."""


def side_by_side(
    runs: Sequence[Callable[[Progress], Any]], jobs: int, progress: Callable[[int], Progress], *, tries: int
) -> Iterator[tuple[int, Any]]:
    """(number, result) of every run, as they end; of one that raises, the exception is the result.

    Args:
        runs: functions of a `Progress`, which can be pickled.
        jobs: processes at a time; each has its share of the threads.
        progress: of a run by its number; called here with what the run reports.
        tries: how often a run is begun whose worker dies; then its result is a `WorkerKilledError`.
    """
    waiting, deaths = deque(range(len(runs))), [0] * len(runs)
    workers: dict[Any, tuple[Any, int]] = {}  # by connection: the process, and the number of its run
    try:
        for _ in range(jobs):
            _begin(_started(jobs), waiting, runs, workers)
        while workers:
            ready: list[Any] = wait(list(workers))
            for connection in ready:
                process, i = workers.pop(connection)
                try:
                    kind, value = connection.recv()
                except (EOFError, OSError):  # the worker died
                    process.join()
                    deaths[i] += 1
                    if deaths[i] < tries:
                        waiting.append(i)
                    else:
                        last = f"last by {_cause(process)}"
                        yield i, WorkerKilledError(f"its worker was killed {tries} times, {last}")
                    if waiting:
                        _begin(_started(jobs), waiting, runs, workers)
                    continue
                if kind == "progress":
                    progress(i)(*value)
                    workers[connection] = process, i
                    continue
                _begin((process, connection), waiting, runs, workers)
                yield i, value
    finally:
        for connection, (process, _) in workers.items():
            connection.close()
            process.terminate()
            process.join()


def _begin(
    worker: tuple[Any, Any], waiting: deque[int], runs: Sequence[Any], workers: dict[Any, tuple[Any, int]]
) -> None:
    """Give a worker the next run; without one it ends."""
    process, connection = worker
    if not waiting:
        connection.close()
        process.join()
        return
    i = waiting.popleft()
    workers[connection] = process, i
    with contextlib.suppress(OSError):  # it died meanwhile, which is seen when it is waited for
        connection.send(runs[i])


def _started(jobs: int) -> tuple[Any, Any]:
    """A new worker: its process, and our end of its pipe."""
    ours, theirs = _CONTEXT.Pipe()
    threads = str(max(1, torch.get_num_threads() // jobs))
    # the environment is read when torch and numba start, before the worker could set anything
    before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
    os.environ.update(dict.fromkeys(before, threads))
    try:
        process = _CONTEXT.Process(target=_work, args=(theirs,), daemon=True)
        process.start()
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
    theirs.close()
    return process, ours


def _work(connection: Connection) -> None:
    """The life of a worker: runs, one after the other, until the pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the workers
    while True:
        try:
            run = connection.recv()
        except EOFError:
            return
        try:
            result = run(lambda *told: connection.send(("progress", told)))
        except BrokenPipeError:
            return
        except Exception as error:
            result = error
        connection.send(("result", result))


def _cause(process: Any) -> str:
    code = process.exitcode
    if code is not None and code < 0:
        return f"signal {-code} ({signal.Signals(-code).name})"
    return f"exit code {code}"
