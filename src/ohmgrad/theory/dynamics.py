"""The discrete-time dynamics of one training step, batched: what the theory is about.

Sources: Wu et al., NeurIPS 2024 (arXiv 2406.12774), eq. 3 and section 4; Wu et al., NeurIPS 2025
(arXiv 2502.06309) for general responses and Residual Learning. P carries the sign of the hardware: it
descends, and W adds it. Weights are (..., n), float64; every leading index is a run of its own.

These are the equations of fidelity `mean`: no granularity, no pulse noise, and no clipping at the bounds,
so they hold while a step is small against the range.

A minibatch moves an array sample by sample, as hardware and `ohmgrad.Tile` do: all errors are taken at the
weights before the step, and the weights move from one sample's pulses to the next's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ..checked import checked
from ..devices import AbstractResponse
from ..errors import InputError, check_integer, shown
from ..ranges import FROM_ZERO
from .arguments import check_samples
from .problem import GradientNoise, Objective, WeightNoise

__all__ = ["Averages", "Step", "analog_step", "digital_step", "residual_step", "simulate"]

#: (W, P, terms) -> (W', P'), terms (..., S, n) of the S samples, or a gradient (..., n), which is one term;
#: an algorithm with one array returns P as it came
Step = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


@checked(lr=FROM_ZERO)
def digital_step(lr: float) -> Step:
    """Digital SGD: W' = W - lr g."""
    return lambda w, p, g: (w - lr * (g if g.dim() <= w.dim() else g.sum(-2)), p)


@checked(lr=FROM_ZERO)
def analog_step(response: AbstractResponse, lr: float) -> Step:
    """Analog SGD: W' = W - lr g F(W) - |lr g| G(W)  (arXiv 2406.12774, eq. 3 and section 2).

    Args:
        response: of the elements of W; lr: learning rate.

    Raises:
        InputError: when response is none.
    """
    return lambda w, p, g: (_moves(w, -lr * g, response), p)


@checked(fast_lr=FROM_ZERO, transfer_lr=FROM_ZERO)
def residual_step(
    response: AbstractResponse,
    fast_lr: float,
    transfer_lr: float,
    fast_response: AbstractResponse | None = None,
) -> Step:
    """Tiki-Taka and Residual Learning (arXiv 2406.12774, section 4; arXiv 2502.06309).

        P' = P - fast_lr g F(P) - |fast_lr g| G(P)          g at W + gamma P, gamma = 0 for Tiki-Taka
        W' = W + transfer_lr P' F(W) - |transfer_lr P'| G(W)

    Args:
        response: of the elements of W; fast_response: of those of P, by default the same.
        fast_lr, transfer_lr: learning rates of P and of W.

    Raises:
        InputError: when a response is none.
    """
    fast = fast_response or response

    def step(w: Tensor, p: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        p = _moves(p, -fast_lr * g, fast)
        return _move(w, transfer_lr * p, response), p

    return step


def _moves(w: Tensor, changes: Tensor, response: AbstractResponse) -> Tensor:
    """`_move` by one change (..., n), or by those of the samples (..., S, n), one after the other."""
    if changes.dim() <= w.dim():
        return _move(w, changes, response)
    for change in changes.unbind(-2):
        w = _move(w, change, response)
    return w


def _move(w: Tensor, change: Tensor, response: AbstractResponse) -> Tensor:
    """w + change F(w) - |change| G(w), in its form w + change q+(w) or w + change q-(w)."""
    return w + change * torch.where(change >= 0, response.q_plus(w), response.q_minus(w))


@dataclass(frozen=True)
class Averages:
    """Averages over time of R runs, each of them after its burn-in.

    Attributes:
        weight: of W + gamma P, (R, n); fast: of P, (R, n).
        error: of ||grad f||^2, (R,); loss: of f, (R,).
        peak, fast_peak: largest |W| and |P| over the elements, each step and run, (steps, R); burn-in too.
        gradients: smallest and largest |entry of grad f| over all steps and runs; burn-in too.
    """

    weight: Tensor
    fast: Tensor
    error: Tensor
    loss: Tensor
    peak: Tensor
    fast_peak: Tensor
    gradients: tuple[float, float]


@checked(gamma=FROM_ZERO)
def simulate(
    objective: Objective,
    noise: GradientNoise | WeightNoise,
    step: Step,
    start: Tensor,
    steps: int,
    batch: int | None = None,
    *,
    burn_in: int = 0,
    gamma: float = 0.0,
    seed: int = 0,
) -> Averages:
    """Iterate a step over a batch of runs, P from 0, with gradients at W + gamma P plus noise.

    The plain specification, for any step function. To run studies use `ohmgrad.ensemble.simulate`, the fast
    engine: pulses, clipping, and devices and rates that differ between runs.

    Args:
        step: of this module, or one of your own; of an objective with samples it gets the terms (R, S, n).
        start: W_0, (R, n); steps: number of steps, burn_in of which are left out of the averages.
        batch: samples B of a step, drawn anew each time from the m of the objective; None for all.
        gamma: as in Residual Learning; seed: of a torch generator on the CPU.

    Raises:
        InputError: when the shapes or the number of steps do not match, or an argument is of another kind.
    """
    batch = check_samples(objective, noise, batch)
    if start.dim() != 2 or start.shape[1] != objective.n:
        raise InputError(f"start is {tuple(start.shape)}, but must be (runs, {objective.n})")
    steps = check_integer("steps", steps, 1)
    burn_in, seed = check_integer("burn_in", burn_in, 0, steps - 1), check_integer("seed", seed, 0)
    w, p = start.double().clone(), torch.zeros_like(start, dtype=torch.float64)
    weight, fast, runs = torch.zeros_like(w), torch.zeros_like(w), len(w)
    error, loss = torch.zeros(runs, dtype=w.dtype), torch.zeros(runs, dtype=w.dtype)
    peak, fast_peak = torch.zeros(steps, runs, dtype=w.dtype), torch.zeros(steps, runs, dtype=w.dtype)
    low, high = torch.tensor(float("inf"), dtype=w.dtype), torch.zeros((), dtype=w.dtype)
    source, block = torch.Generator().manual_seed(seed), 256
    draws, sampled = w, objective.lines is not None
    for k in range(steps):
        if not sampled and k % block == 0:  # drawn in blocks: one call for many steps
            draws = _draw(noise, (block, *w.shape), source)
        seen = w + gamma * p if gamma else w
        gradient = objective.gradient(seen)
        peak[k], fast_peak[k] = w.abs().amax(-1), p.abs().amax(-1)
        size = gradient.abs()
        low, high = torch.minimum(low, size.min()), torch.maximum(high, size.max())
        if k >= burn_in:
            weight += seen
            fast += p
            error += gradient.square().sum(-1)
            loss += objective.loss(seen)
        terms = _terms(objective, noise, seen, batch, source) if sampled else gradient + draws[k % block]
        after = step(w, p, terms)
        if not isinstance(after, tuple) or len(after) != 2:
            raise InputError(f"step gives {shown(after)}, but must give two tensors, the next W and P")
        w, p = after
    kept = steps - burn_in
    return Averages(
        weight / kept, fast / kept, error / kept, loss / kept, peak, fast_peak, (float(low), float(high))
    )


def _terms(
    objective: Objective,
    noise: GradientNoise | WeightNoise,
    w: Tensor,
    batch: int | None,
    source: torch.Generator,
) -> Tensor:
    """Gradients of the samples of one step at w, with their noise: (R, n) -> (R, B, n)."""
    assert objective.lines is not None
    errors, lines = objective.errors(w), objective.lines.expand(len(w), -1, -1)
    if isinstance(noise, WeightNoise):
        errors = errors + noise.sigma * lines.norm(dim=-1) * torch.randn(
            errors.shape, generator=source, dtype=torch.float64
        )
    terms = errors[..., None] * lines
    if batch is not None:
        drawn = torch.rand(errors.shape, generator=source).argsort(-1)[:, :batch].sort(-1).values
        terms = objective.samples / batch * terms.gather(1, drawn[..., None].expand(-1, -1, objective.n))
    if isinstance(noise, GradientNoise) and noise.sigma:
        terms = terms + _draw(noise, terms.shape, source) / math.sqrt(terms.shape[1])
    return terms


def _draw(noise: GradientNoise | WeightNoise, shape: tuple[int, ...], source: torch.Generator) -> Tensor:
    assert isinstance(noise, GradientNoise)  # weight noise needs samples
    if noise.law == "gaussian":
        return noise.sigma * torch.randn(shape, generator=source, dtype=torch.float64)
    signs = torch.randint(0, 2, shape, generator=source, dtype=torch.int8)
    return noise.sigma * (2.0 * signs.double() - 1.0)
