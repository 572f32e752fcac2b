"""What every step of a batch of runs needs, in Numba: gradients, their noise, and what is measured.

Runs are computed one by one in a fixed order of operations, so that no run depends on which others are
in the batch. They hold no lock, so that batches can go to threads.

Arrays are pulsed by `ohmgrad.kernels.ops`. This file alone of the package imports from a back end, and only
what its own kernels are compiled with, `kernels.cpu.compiling` and `kernels.cpu.math`.
"""

# pyright: reportCallIssue=false, reportArgumentType=false, reportIndexIssue=false
# pyright: reportGeneralTypeIssues=false
# (inside kernels the types are Numba's)

from __future__ import annotations

import numpy as np

from ..kernels.cpu.compiling import CONTRACT, kernel
from ..kernels.cpu.math import gauss2, philox
from ..kernels.pulsing import WHOLE
from ..rng import Purpose

__all__ = [
    "GAUSSIAN",
    "TWO_POINT",
    "add_noise",
    "clipped",
    "draw_batch",
    "draw_noise",
    "errors",
    "measure",
    "quadratic",
    "squares",
    "sum_samples",
]

u32, f32 = np.uint32, np.float32

GAUSSIAN, TWO_POINT = 0, 1
GRADIENT_NOISE, MINIBATCH = Purpose.GRADIENT_NOISE, Purpose.MINIBATCH

FAST = {"contract", "reassoc", "nnan", "nsz"}


@kernel(fastmath=CONTRACT)
def _noise_row(z, law, row, step, k0, k1):
    """Noise of one seed and sample; z is padded to a multiple of four."""
    group = z.shape[0] // 4
    za, zb, zc, zd = z[:group], z[group : 2 * group], z[2 * group : 3 * group], z[3 * group :]
    one = f32(1)
    if law == GAUSSIAN:
        for g in range(group):
            a, b, c, d = philox(u32(g), row, step, u32(GRADIENT_NOISE), k0, k1)
            za[g], zb[g] = gauss2(a, b)
            zc[g], zd[g] = gauss2(c, d)
    else:
        for g in range(group):
            a, b, c, d = philox(u32(g), row, step, u32(GRADIENT_NOISE), k0, k1)
            za[g], zb[g] = one - f32(2) * f32(a >> u32(31)), one - f32(2) * f32(b >> u32(31))
            zc[g], zd[g] = one - f32(2) * f32(c >> u32(31)), one - f32(2) * f32(d >> u32(31))


@kernel()
def _noise(z, law, seed, number, step):
    for s in range(z.shape[0]):
        for b in range(z.shape[1]):
            _noise_row(z[s, b], law[s], u32(number[s, b]), step, seed[s], u32(0))


@kernel()
def _batch(number, m, seed, step):
    """Sample i is drawn with probability (wanted still) / (left still), which gives any B of m alike."""
    group = (m + 3) // 4
    words = np.empty(4 * group, np.uint32)
    for s in range(number.shape[0]):
        for g in range(group):
            a, b, c, d = philox(u32(g), u32(0), step, u32(MINIBATCH), seed[s], u32(0))
            words[g], words[g + group], words[g + 2 * group], words[g + 3 * group] = a, b, c, d
        size, found = number.shape[1], 0
        for i in range(m):
            if found < size and np.float64(words[i]) * (m - i) < (size - found) * 4294967296.0:
                number[s, found] = i
                found += 1


@kernel(fastmath=FAST)
def _errors(w, solution, lines, out):
    n = w.shape[1]
    gap = np.empty(n, np.float64)
    for t in range(w.shape[0]):
        for j in range(n):
            gap[j] = w[t, j] - solution[j]
        for s in range(lines.shape[0]):
            total = 0.0
            for j in range(n):
                total += gap[j] * lines[s, j]
            out[t, s] = total


@kernel(fastmath=CONTRACT)
def _sum_samples(lines, errors, out):
    for t in range(out.shape[0]):
        x = lines[t if lines.shape[0] > 1 else 0]
        for j in range(out.shape[1]):
            out[t, j] = 0.0
        for s in range(errors.shape[1]):
            d = errors[t, s]
            for j in range(out.shape[1]):
                out[t, j] += d * x[s, j]


@kernel(fastmath=CONTRACT)
def _quadratic(w, hessian, solution, g, loss):
    n = w.shape[1]
    gap = np.empty(n + 3, np.float64)
    for t in range(w.shape[0]):
        out = g[t]
        for j in range(n):
            gap[j] = w[t, j] - solution[j]
            out[j] = 0.0
        for i in range(0, n - n % 4, 4):
            p, q, r, s = gap[i], gap[i + 1], gap[i + 2], gap[i + 3]
            a, b, c, d = hessian[i], hessian[i + 1], hessian[i + 2], hessian[i + 3]
            for j in range(n):
                out[j] += (p * a[j] + q * b[j]) + (r * c[j] + s * d[j])
        for i in range(n - n % 4, n):
            for j in range(n):
                out[j] += gap[i] * hessian[i, j]
        total = 0.0
        for j in range(n):
            total += gap[j] * out[j]
        loss[t] = total / 2.0


@kernel(fastmath=FAST)
def _squares(g, out):
    for t in range(g.shape[0]):
        total = 0.0
        for j in range(g.shape[1]):
            total += g[t, j] * g[t, j]
        out[t] = total


@kernel(fastmath=CONTRACT)
def _add_noise(g, z, row, sigma):
    for t in range(g.shape[0]):
        zt, s = z[row[t]], sigma[t]
        for j in range(g.shape[1]):
            g[t, j] += s * zt[j]


@kernel(fastmath=FAST)
def _measure(w, below, above, total, peak):
    for t in range(w.shape[0]):
        r = 0.0
        for j in range(w.shape[1]):
            r = max(r, max(w[t, j] * above[t, j], w[t, j] * below[t, j]))
        peak[t] = max(peak[t], r)
        total[t] += r * r / (1.0 - r * r) if r < 1.0 else np.inf


@kernel(fastmath=FAST)
def _clipped(x, d, need, max_bl, count):
    tops = np.zeros(x.shape[:2], np.float32)
    for i in range(x.shape[0]):
        for s in range(x.shape[1]):
            top = f32(0)
            for j in range(x.shape[2]):
                top = max(top, abs(x[i, s, j]))
            tops[i, s] = top
    for t in range(d.shape[0]):
        top = tops[t if x.shape[0] > 1 else 0]
        for s in range(d.shape[1]):
            most = need[t] * np.float64(top[s]) * np.float64(abs(d[t, s]))
            count[t] += most * (1.0 - WHOLE) > max_bl


def draw_noise(z: np.ndarray, law: np.ndarray, seed: np.ndarray, number: np.ndarray, step: int) -> None:
    """Noise of unit standard deviation, addressed by (seed, step), into z.

    With key (seed, 0), the sample as row and purpose GRADIENT_NOISE: the numbers of `rng.gaussians`, or +1
    where the word of `rng.words` is below 2^31 and -1 where it is not.

    Args:
        z: float32 (R, S, 4 ceil(n/4)); of each row the first n are the noise of n entries.
        law: int64 (R,), GAUSSIAN or TWO_POINT; seed: uint32 (R,).
        number: of the samples, int64 (R, S); 0 for one gradient in a step.
    """
    _noise(z, law, seed, number, u32(step & 0xFFFFFFFF))


def draw_batch(number: np.ndarray, m: int, seed: np.ndarray, step: int) -> None:
    """B of m samples without replacement, in order, addressed by (seed, step), into number, int64 (R, B).

    With key (seed, 0), row 0 and purpose MINIBATCH. seed: uint32 (R,).
    """
    _batch(number, m, seed, u32(step & 0xFFFFFFFF))


def errors(w: np.ndarray, solution: np.ndarray, lines: np.ndarray, out: np.ndarray) -> None:
    """x_s (w - w*) of samples x_s, (m, n), into out (T, m); all float64."""
    _errors(w, solution, lines, out)


def sum_samples(lines: np.ndarray, errors: np.ndarray, out: np.ndarray) -> None:
    """sum_s d_s x_s into out (T, n); lines (1 or T, S, n), errors (T, S); all float64."""
    _sum_samples(lines, errors, out)


def quadratic(
    w: np.ndarray, hessian: np.ndarray, solution: np.ndarray, g: np.ndarray, loss: np.ndarray
) -> None:
    """Gradient and loss of f = (w - w*)^T H (w - w*) / 2 into g (T, n) and loss (T,); all float64."""
    _quadratic(w, hessian, solution, g, loss)


def squares(g: np.ndarray, out: np.ndarray) -> None:
    """Squared norm of every row of g (T, n) into out (T,)."""
    _squares(g, out)


def add_noise(g: np.ndarray, z: np.ndarray, row: np.ndarray, sigma: np.ndarray) -> None:
    """g[t] += sigma[t] z[row[t]], in place; g float64 (T, n)."""
    _add_noise(g, z, row, sigma)


def clipped(x: np.ndarray, d: np.ndarray, need: np.ndarray, max_bl: int, count: np.ndarray) -> None:
    """Adds to count, int64 (T,), the samples with K = need max_i |x_i| |d| > max_bl: probabilities of lines
    exceed 1. Not where it does so by the rounding of float32 alone.

    Args:
        x: float32 (1 or T, S, n); d: float32 (T, S); need: |lr|/dw_min, float64 (T,).
    """
    _clipped(x, d, need, float(max_bl), count)


def measure(w: np.ndarray, below: np.ndarray, above: np.ndarray, total: np.ndarray, peak: np.ndarray) -> None:
    """Saturation r = max_i |w_i| / |bound ahead|: adds r^2/(1 - r^2) to total (T,), and keeps the largest r.

    Args:
        w: (T, n); below, above: 1/bound of every element, (T, n), below < 0 < above.
    """
    _measure(w, below, above, total, peak)
