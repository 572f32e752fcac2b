"""Runs on a Ray cluster: each is a task on one core, and what it gives comes back to the driver."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

from ..errors import InputError, said, shown
from .workers import Failed, Progress, Run, Tasks, attempt

__all__ = ["check_place", "on_ray"]


def check_place(on: str | None) -> None:
    """Check where a study runs, before anything is done.

    Raises:
        InputError: when it is neither None nor a Ray cluster, or Ray is not installed.
    """
    if on is None:
        return
    if not isinstance(on, str) or (on != "ray" and not on.startswith("ray://")):
        raise InputError(
            f"--on is {shown(on)}, but must be ray (the cluster of this machine) or ray://HOST:PORT; without "
            "it, parts run on this machine's cores"
        )
    _ray()


def _ray() -> Any:
    try:
        import ray  # pyright: ignore[reportMissingImports]
    except ImportError:
        raise InputError("--on ray needs Ray: pip install 'ohmgrad[ray]'") from None
    return ray


def on_ray(
    tasks: Tasks, on: str, jobs: int, progress: Callable[[int], Progress], *, tries: int
) -> Iterator[tuple[int, Any]]:
    """(number, result) of every run, as they end; of one that fails, `Failed` is the result.

    Args:
        tasks: runs, which can be pickled; nodes have this version of ohmgrad, and the files that runs read.
        on: "ray": the cluster that this machine belongs to, or a new one on its cores; or ray://HOST:PORT.
        jobs: runs at a time; 1 for as many as the cluster has cores.
        progress: of a run by its number; it is told that the run was given away.
        tries: how often a run is begun whose worker dies; then it has failed.

    Raises:
        InputError: when there is no such cluster, it is lost on the way, or there is no Ray.
    """
    ray = _ray()
    mine = not ray.is_initialized()
    if mine:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        address = None if on == "ray" else on
        try:
            ray.init(address, logging_level="error", log_to_driver=False)
        except Exception as error:  # of several kinds, by what is missing at the other end
            raise InputError(
                f"there is no Ray cluster at {on} ({type(error).__name__}: {said(error)}): correct --on, or "
                "start one with ray start --head"
            ) from error
    remote = ray.remote(num_cpus=1, max_retries=tries - 1)(_alone)
    running: dict[Any, int] = {}
    try:
        while True:
            # twice the cores, so that none waits for the driver, and a cluster that can grow does
            most = jobs if jobs > 1 else 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))
            while len(running) < most and (task := next(tasks, None)) is not None:
                i, run = task
                running[remote.remote(run)] = i
                progress(i)(0, 1, "given to the cluster")
            if not running:
                return
            done, _ = ray.wait(list(running))
            for reference in done:
                try:
                    result = ray.get(reference)
                except ray.exceptions.RayError as error:
                    result = Failed(f"it was begun {tries} times on the cluster, last: {said(error)}")
                yield running.pop(reference), result
    except ConnectionError as error:
        raise InputError(
            f"the Ray cluster at {on} was lost ({said(error)}): what is finished is kept, and the same "
            "command goes on"
        ) from error
    finally:
        with contextlib.suppress(Exception):  # of a cluster that is gone
            for reference in running:
                ray.cancel(reference, force=True)
        if mine:
            ray.shutdown()


def _alone(run: Run) -> Any:
    """A run on one thread, as its task has one core."""
    import numba
    import torch

    torch.set_num_threads(1)
    numba.set_num_threads(1)
    return attempt(run, lambda *_: None)
