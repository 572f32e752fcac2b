"""The parts of a study side by side: one process each, as many at a time as there are jobs.

Trainings do not depend on one another, so that each can have a core to itself.
"""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from queue import Empty
from typing import Any

import torch

__all__ = ["side_by_side"]

_queue: Any = None


def side_by_side(
    runs: Sequence[Callable[[Callable[[int, int, str], None]], Any]],
    jobs: int,
    progress: Callable[[int, int, str], None],
) -> Iterator[tuple[int, Any]]:
    """(number, result) of every run, as they end; an error of one ends all.

    Args:
        runs: functions of `progress`, which can be pickled: functions of modules and partials of them.
        jobs: processes at a time; each has its share of the threads.
        progress: called here with what the runs report; done and total are then those of all runs.
    """
    context = multiprocessing.get_context("spawn")
    threads = max(1, torch.get_num_threads() // jobs)
    with context.Manager() as manager:
        queue = manager.Queue()
        # the environment is read when torch and numba start, before the initializer could set anything
        before = {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")}
        os.environ.update({name: str(threads) for name in before})
        pool = ProcessPoolExecutor(jobs, context, _start, (queue,))
        try:
            waiting = {pool.submit(_run, i, run): i for i, run in enumerate(runs)}
            parts: dict[int, float] = {}
            while waiting:
                ended, _ = wait(waiting, 0.2, FIRST_COMPLETED)
                for i, done, total, what in _told(queue):
                    parts[i] = done / max(total, 1)
                    progress(round(1000 * sum(parts.values())), 1000 * len(runs), what)
                for future in ended:
                    i = waiting.pop(future)
                    parts[i] = 1.0
                    yield i, future.result()
        finally:
            for name, value in before.items():
                if value is None:
                    os.environ.pop(name, None)
                else:
                    os.environ[name] = value
            pool.shutdown(cancel_futures=True)


def _told(queue: Any) -> Iterator[tuple[int, int, int, str]]:
    while True:
        try:
            yield queue.get_nowait()
        except Empty:
            return


def _start(queue: Any) -> None:
    global _queue
    _queue = queue


def _run(i: int, run: Callable[[Callable[[int, int, str], None]], Any]) -> Any:
    return run(lambda done, total, what: _queue.put((i, done, total, what)))
