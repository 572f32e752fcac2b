"""Run a batch: one gradient and one step for all runs at a time."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..devices import Device
from ..errors import InputError, check_integer, is_integer, shown
from ..kernels import Pulsing
from ..theory.arguments import check_objective, check_samples
from ..theory.problem import GradientNoise, Objective, WeightNoise
from .gradients import Gradients
from .measures import Meter, Result, merge, recorded_steps
from .runs import Algorithm, Runs

__all__ = ["check_seeds", "simulate"]

#: share of a run's updates with clipped lines from which on it is warned of
CLIPPED = 0.05

#: samples of all runs for which another thread is worth its while, and runs of a block that fits a cache
SMALL, LARGE = 16, 1000

#: noise of the runs: one kind, one for all or one for each
Noises = GradientNoise | WeightNoise | Sequence[GradientNoise] | Sequence[WeightNoise]


def simulate(
    objective: Objective,
    algorithm: Algorithm,
    *,
    seeds: Sequence[int],
    steps: int,
    device: Device | Sequence[Device] | None = None,
    noise: Noises | None = None,
    batch: int | None = None,
    start: float | Tensor = 0.0,
    pulsing: Pulsing | None = None,
    record: int | Sequence[int] | None = None,
    tail: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Result:
    """T runs of one algorithm on one objective, each with its own seed, device, noise, rates and start.

    A run is, at fidelity "pulsed" and "pulse-by-pulse", what a tile of shape (1, n) with that seed does
    (see `Arrays`); at "mean" it is the discrete-time dynamics in float64. Noise and minibatches are
    addressed by (seed, step), so that they are the same for all algorithms, devices and fidelities. This is
    the fast engine; `ohmgrad.theory.simulate` is the plain specification, for any step function.

    An objective with samples (`Objective.lines`) is pulsed sample by sample, with the errors at the weights
    before the step: a run then does what its tile does when it is pulsed with that batch.

    A batch is computed in blocks, on `torch.get_num_threads()` threads. A run depends on its own arguments
    only: on no other run in the batch and on no number of threads, to the bit for a `Quadratic`, else to
    the rounding of torch's products.

    Args:
        objective: f, with n weights.
        algorithm: `Digital`, `AnalogSGD`, `TikiTaka`, `ResidualLearning`, or an `Algorithm` of your own.
            Its rates are numbers, or tensors (T,).
        seeds: T integers in [0, 2^32).
        steps: K (>= 1).
        device: one for all runs or one for each; may be left out for digital runs.
        noise: one or T; None for none. `GradientNoise` is added to the gradient; with S samples in a step to
            each of their terms, sigma/sqrt(S) an entry, so that every term has a direction of its own.
            `WeightNoise` needs samples, and leaves each on its lines.
        batch: samples B of a step, drawn anew from the m of the objective without replacement, in their
            order; each stands for m/B. None for all m.
        start: W_0: a number, (n,) or (T, n), inside the device's range.
        pulsing: fidelity, bit length and management; "pulsed" with BL <= 31 by default. Updates that need
            more pulses fall short; a warning tells when a run has more than 5 % of them (`Result.clipped`).
        record: an interval of steps, or the steps, at which loss and gradient are kept; 0 and K always
            are. By default about 100 steps.
        tail: iterates at the end over which averages are taken, 1 to K; a fifth of K by default.
        progress: called about 100 times with the steps done and their number, over all blocks of
            runs that are computed side by side; from any of their threads.

    Raises:
        InputError: when an argument is out of range, shapes do not match, or a run diverges.

    Example:
        >>> from ohmgrad.devices import SoftBounds
        >>> from ohmgrad.ensemble import AnalogSGD
        >>> from ohmgrad.theory.problem import Quadratic
        >>> f = Quadratic(torch.eye(1), torch.tensor([0.5]))
        >>> device = Device(SoftBounds.symmetric(1.0), dw_min=0.01)
        >>> found = simulate(f, AnalogSGD(0.03), seeds=range(200), steps=1000, device=device,
        ...                  noise=GradientNoise(1.0, "two-point"), pulsing=Pulsing("mean"), tail=500)
        >>> abs(float(found.tail_weight.mean()) - 0.25) < 0.01  # w*/(1 + sigma/tau)
        True
    """
    if isinstance(algorithm, type) or not all(hasattr(algorithm, m) for m in ("init", "weight", "step")):
        raise InputError(
            f"algorithm is {shown(algorithm)}, but must be an instance with its rates, such as AnalogSGD(0.1)"
        )
    if pulsing is not None and not isinstance(pulsing, Pulsing):
        raise InputError(f"pulsing is {shown(pulsing)}, but must be a Pulsing, such as Pulsing('mean')")
    if progress is not None and not callable(progress):
        raise InputError(f"progress is {shown(progress)}, but must be a function of two numbers")
    runs = _check(objective, seeds, device, noise, batch, start, pulsing or Pulsing())
    steps = check_integer("steps", steps, 1)
    tail = check_integer("tail", max(1, steps // 5) if tail is None else tail, 1, steps)
    recorded = recorded_steps(record, steps)
    samples = len(runs) * (batch or objective.samples)
    threads = min(torch.get_num_threads(), len(runs), -(-samples // SMALL))
    count = threads * -(-len(runs) // (LARGE * threads))
    clock = _Clock(steps, count, progress)

    def run(block: Runs) -> Result:
        state = algorithm.init(block)
        meter = Meter(len(block), block.n, steps, tail, recorded, state)
        gradients = Gradients(objective, block, batch)
        for k in range(steps + 1):
            w = algorithm.weight(state)
            loss, gradient = gradients.mean(w, meter.wants_loss(k))
            meter.add(k, w, loss, gradient)
            if k < steps:
                algorithm.step(state, gradients.stochastic(w, gradient, k))
                clock.tick()
        return meter.result(algorithm.weight(state))

    blocks = [runs.block(first, count) for first in range(count)]
    result = merge(_on_threads(run, blocks, threads, clock))
    if not bool(torch.isfinite(result.weight).all() & torch.isfinite(result.mean_squared_gradient).all()):
        raise InputError("a run has diverged: its weights are not finite (lower the learning rate)")
    _warn_of_clipping(result)
    return result


def _warn_of_clipping(result: Result) -> None:
    if not result.clipped:
        return
    name, share = max(result.clipped.items(), key=lambda item: float(item[1].max()))
    most = float(share.max())
    if most > CLIPPED:
        warnings.warn(
            f"{most:.0%} of the updates of {name} in run {int(share.argmax())} need more pulses than max_bl "
            "and fall short: allow more with Pulsing(max_bl=...), or lower the learning rate",
            stacklevel=3,
        )


def check_seeds(seeds: Sequence[int]) -> tuple[int, ...]:
    """The seeds as Python integers.

    Raises:
        InputError: when they are no list, there is none, or one is not an integer in [0, 2^32).
    """
    if not isinstance(seeds, Iterable) or isinstance(seeds, (str, bytes)):
        raise InputError(f"seeds is {shown(seeds)}, but must be one integer for each run, such as range(100)")
    kept = tuple(np.ravel(seeds).tolist() if isinstance(seeds, (Tensor, np.ndarray)) else seeds)
    if not kept:
        raise InputError("seeds are empty: give one seed for each run, such as range(100)")
    wrong = [s for s in kept if not is_integer(s) or not 0 <= s < 2**32]
    if wrong:
        raise InputError(f"seed is {shown(wrong[0])}, but must be an integer in [0, 2^32)")
    return tuple(int(s) for s in kept)


def _on_threads(
    run: Callable[[Runs], Result], blocks: list[Runs], threads: int, clock: _Clock
) -> list[Result]:
    """The results of all blocks; a block has a thread to itself, torch's products included."""
    if threads == 1:
        return [run(block) for block in blocks]
    torch.set_num_threads(1)
    try:
        with ThreadPoolExecutor(threads) as pool:
            try:
                return list(pool.map(run, blocks))
            except BaseException:
                clock.stopped = True  # an error in one block, or an interrupt, ends the others
                raise
    finally:
        torch.set_num_threads(threads)


class _Clock:
    """Counts the steps of all blocks, reports them, and stops blocks when one has failed."""

    def __init__(self, steps: int, blocks: int, progress: Callable[[int, int], None] | None) -> None:
        self.total, self.done, self.stopped = steps * blocks, 0, False
        self._often, self._progress, self._lock = max(1, self.total // 100), progress, Lock()

    def tick(self) -> None:
        if self.stopped:
            raise CancelledError
        with self._lock:
            self.done += 1
            if self._progress is not None and (self.done % self._often == 0 or self.done == self.total):
                self._progress(self.done, self.total)


def _check(
    objective: Objective,
    seeds: Sequence[int],
    device: Device | Sequence[Device] | None,
    noise: Noises | None,
    batch: int | None,
    start: float | Tensor,
    pulsing: Pulsing,
) -> Runs:
    check_objective(objective)
    kept = check_seeds(seeds)
    size, n = len(kept), objective.n
    devices = () if device is None else _each("device", device, Device, size, "a Device")
    noises = tuple(_noises(GradientNoise(0.0) if noise is None else noise, size))
    check_samples(objective, noises[0], batch)
    try:
        w = torch.as_tensor(start, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"start is {shown(start)}, but must be a number, ({n},) or ({size}, {n})") from None
    if w.shape not in ((), (1,), (n,), (size, n)):
        raise InputError(f"start is {tuple(w.shape)}, but must be a number, ({n},) or ({size}, {n})")
    if not bool(torch.isfinite(w).all()):
        raise InputError("start has a value that is not finite")
    w = w.expand(size, n)
    return Runs(n, kept, w, tuple(devices), noises, pulsing, size)


def _noises(noise: Noises, size: int) -> list[Any]:
    kinds = (GradientNoise, WeightNoise)
    each = _each("noise", noise, kinds, size, "a GradientNoise or a WeightNoise")
    if len({type(one) for one in each}) > 1:
        raise InputError("noise is GradientNoise in some runs and WeightNoise in others: give one kind")
    return each


def _each(name: str, value: Any, kind: type | tuple[type, ...], size: int, wanted: str) -> list[Any]:
    each = [value] * size if isinstance(value, kind) else list(value) if _listed(value) else [value]
    wrong = [v for v in each if not isinstance(v, kind)]
    if wrong:
        raise InputError(f"{name} is {shown(wrong[0])}, but must be {wanted}, or one for each run")
    if len(each) != size:
        raise InputError(f"{len(each)} values of {name} for {size} seeds: give one, or one for each run")
    return each


def _listed(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
