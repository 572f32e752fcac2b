"""The gradient of every run at every step: its mean, and what the algorithm gets."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from ..theory.problem import Objective, Quadratic, WeightNoise
from .runs import Runs
from .samples import Samples

__all__ = ["Gradients"]


class Gradients:
    """Loss, mean gradient and stochastic gradient of a block of R runs.

    Random numbers are those of the key (seed, 0) and the step, so that runs with one seed and one law share
    them. Noise is addressed by the sample and the entry, `WeightNoise` by the sample.

    Args:
        objective: f, with m samples or one gradient in a step; runs: the block.
        batch: samples B of a step, drawn anew; None for all m of them.
    """

    def __init__(self, objective: Objective, runs: Runs, batch: int | None) -> None:
        from . import compiled

        self._objective, self._compiled, self._runs, self._batch = objective, compiled, len(runs), batch
        self._lines = None if objective.lines is None else objective.lines.double().contiguous()
        m, n = objective.samples, objective.n
        size = m if batch is None else batch
        self._scale = m / size
        laws = {"gaussian": compiled.GAUSSIAN, "two-point": compiled.TWO_POINT}
        rows: dict[tuple[int, int], int] = {}
        pairs = [
            (seed, laws[getattr(noise, "law", "gaussian")])
            for seed, noise in zip(runs.seeds, runs.noises, strict=True)
        ]
        self._row = np.array([rows.setdefault(pair, len(rows)) for pair in pairs], np.int64)
        self._seed = np.array([seed for seed, _ in rows], np.uint32)
        self._law = np.array([law for _, law in rows], np.int64)
        self._of_weights = isinstance(runs.noises[0], WeightNoise)
        self._sigma = np.array([noise.sigma for noise in runs.noises], np.float64)
        self._noisy = bool(self._sigma.any())
        terms, entries = (1, m) if self._of_weights else (size, n)
        self._z = np.zeros((len(rows), terms, 4 * ((entries + 3) // 4)), np.float32)
        self._number = np.tile(np.arange(size), (len(rows), 1))
        self._loss = torch.empty(len(runs), dtype=torch.float64)
        self._mean = torch.empty(len(runs), n, dtype=torch.float64)
        if isinstance(objective, Quadratic):
            self._hessian = objective.hessian.contiguous().numpy()
            self._solution = objective.solution.contiguous().numpy()

    def mean(self, w: Tensor, want_loss: bool) -> tuple[Tensor | None, Tensor]:
        """Loss (R,), where wanted, and mean gradient (R, n) at weights w (R, n)."""
        f = self._objective
        if isinstance(f, Quadratic):
            gradient, loss = self._mean, self._loss
            self._compiled.quadratic(
                w.contiguous().numpy(), self._hessian, self._solution, gradient.numpy(), loss.numpy()
            )
            return loss if want_loss else None, gradient
        loss = f.loss(w).detach().double() if want_loss else None
        gradient = f.gradient(w).detach().double().contiguous()
        if gradient.shape != w.shape or (loss is not None and loss.shape != w.shape[:1]):
            got = f"{tuple(gradient.shape)} gradients" + (
                "" if loss is None else f", {tuple(loss.shape)} losses"
            )
            raise InputError(f"the objective gave {got} for weights of {tuple(w.shape)}")
        return loss, gradient

    def stochastic(self, w: Tensor, mean: Tensor, step: int) -> Tensor | Samples:
        """The gradient of this step, with its noise: a tensor (R, n), in the memory of `mean`, or samples."""
        if self._lines is None:
            if self._noisy:
                self._compiled.draw_noise(self._z, self._law, self._seed, self._number, step)
                self._compiled.add_noise(mean.numpy(), self._z[:, 0], self._row, self._sigma)
            return mean
        errors, lines = self._errors(w), self._lines
        if self._noisy and self._of_weights:
            zero = np.zeros((len(self._seed), 1), np.int64)
            self._compiled.draw_noise(self._z, self._law, self._seed, zero, step)
            z = torch.from_numpy(self._z[self._row, 0, : len(lines)]).double()
            errors += torch.from_numpy(self._sigma).unsqueeze(1) * lines.square().sum(1).sqrt() * z
        if self._batch is not None:
            self._compiled.draw_batch(self._number, len(lines), self._seed, step)
            drawn = torch.from_numpy(self._number[self._row])
            errors, lines = self._scale * errors.gather(1, drawn), lines[drawn]
        if self._noisy and not self._of_weights:
            return self._with_noise(lines, errors, step)
        return Samples(lines, errors)

    def _errors(self, w: Tensor) -> Tensor:
        f, lines = self._objective, self._lines
        assert lines is not None
        if isinstance(f, Quadratic):
            errors = torch.empty(len(w), len(lines), dtype=torch.float64)
            self._compiled.errors(w.contiguous().numpy(), self._solution, lines.numpy(), errors.numpy())
            return errors
        errors = f.errors(w).detach().double().clone()
        if errors.shape != (len(w), len(lines)):
            raise InputError(
                f"the objective gave errors of {tuple(errors.shape)} for weights of {tuple(w.shape)}, but "
                f"{len(lines)} samples need {(len(w), len(lines))}"
            )
        return errors

    def _with_noise(self, lines: Tensor, errors: Tensor, step: int) -> Samples:
        """Noise on every entry of every term makes each a vector of its own, on lines with error 1."""
        terms = errors.unsqueeze(2) * lines
        runs, size, n = terms.shape
        self._compiled.draw_noise(self._z, self._law, self._seed, self._number, step)
        row = (self._row[:, None] * size + np.arange(size)).ravel()
        sigma = np.repeat(self._sigma / math.sqrt(size), size)
        self._compiled.add_noise(
            terms.view(runs * size, n).numpy(), self._z.reshape(-1, self._z.shape[2]), row, sigma
        )
        return Samples(terms, torch.ones(runs, size, dtype=torch.float64))
