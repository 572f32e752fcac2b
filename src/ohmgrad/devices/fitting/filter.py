"""The likelihood of ramps: an extended Kalman filter over the state and slow read noise, pulse by pulse.

    w[n+1] = w[n] + s q(w[n]) + c(w[n]) xi        s = 1 up, -1 down; kept in [lower, upper]
    r[n+1] = phi r[n] + sqrt(1 - phi^2) a z        slow read noise, which comes back
    y[n]   = w[n] + r[n] + fast eta                with probability eps anything in `width` instead

What scatters the state stays in it; what scatters the reading does not: that tells cycle-to-cycle noise
from read noise.
"""

from __future__ import annotations

import math

from numba import njit

from ...kernel_cache import keep

__all__ = ["loglik"]


@njit(nogil=True, error_model="numpy")
def _clip(mean, var, cross, bound, side):
    """Moments of a Gaussian kept on one side of a bound: `side` 1 below it, -1 above it."""
    sd = math.sqrt(max(var, 1e-300))
    m = side * (mean - bound)
    z = -m / sd
    if z > 6.0:
        return mean, var, cross
    part = 0.5 * math.erfc(-z / math.sqrt(2.0))
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    first = m * part - sd * density
    second = (m * m + var) * part - m * sd * density
    return bound + side * first, max(second - first * first, 1e-12 * var), cross * part


@njit(nogil=True, error_model="numpy")
def loglik(
    y,
    offsets,
    up,
    follows,
    starts,
    q,
    slope,
    c,
    low,
    per,
    lower,
    upper,
    fast,
    slow,
    phi,
    eps,
    width,
    out,
    state,
    var,
):
    """Log density of all readings, given those before.

    Args:
        y: (n,) readings of all ramps in a row, NaN for none; offsets: (ramps + 1,) where each begins.
        up: (ramps,) int64; follows: (ramps,) int64, whether the state goes on from the ramp before;
        starts: (ramps, 2) mean and variance of the state before the first reading.
        q, slope, c: (2, nodes) step, its derivative and its standard deviation on an even grid from `low`,
            `per` intervals a unit; row 0 up, 1 down.
        lower, upper: hard bounds.
        fast, slow, phi: standard deviations of read noise, and correlation of the slow part.
        eps, width: of outliers.
        out: (n,) log densities, written; state, var: (n,) of the state after each reading, written.

    Returns:
        Their sum.
    """
    total, w, p00, p01, p11, r = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    nodes = q.shape[1]
    log2pi = math.log(2.0 * math.pi)
    for k in range(len(up)):
        row = 0 if up[k] else 1
        sign = 1.0 if up[k] else -1.0
        if not follows[k]:
            w, p00, p01, p11, r = starts[k, 0], starts[k, 1], 0.0, slow * slow, 0.0
        for n in range(offsets[k], offsets[k + 1]):
            if n > offsets[k] or follows[k]:
                x = (w - low) * per
                i = int(min(max(x, 0.0), nodes - 1.001))
                t = min(max(x - i, 0.0), 1.0)
                step = q[row, i] + t * (q[row, i + 1] - q[row, i])
                f = 1.0 + sign * (slope[row, i] + t * (slope[row, i + 1] - slope[row, i]))
                noise = c[row, i] + t * (c[row, i + 1] - c[row, i])
                w += sign * step
                r *= phi
                p00 = f * f * p00 + noise * noise
                p01 = f * phi * p01
                p11 = phi * phi * p11 + (1.0 - phi * phi) * slow * slow
                w, p00, p01 = _clip(w, p00, p01, upper, 1.0)
                w, p00, p01 = _clip(w, p00, p01, lower, -1.0)
            value = y[n]
            out[n] = 0.0
            if not math.isnan(value):
                total_var = p00 + 2.0 * p01 + p11 + fast * fast
                e = value - w - r
                inside = math.log(1.0 - eps) - 0.5 * (log2pi + math.log(total_var) + e * e / total_var)
                outside = math.log(eps / width)
                top = max(inside, outside)
                density = top + math.log(math.exp(inside - top) + math.exp(outside - top))
                p = math.exp(inside - density)
                k0, k1 = (p00 + p01) / total_var, (p01 + p11) / total_var
                w += p * k0 * e
                r += p * k1 * e
                # moments of a mixture of "taken" and "not taken"
                shrink = p * total_var - p * (1.0 - p) * e * e
                p00 = max(p00 - k0 * k0 * shrink, 1e-300)
                p01 -= k0 * k1 * shrink
                p11 = max(p11 - k1 * k1 * shrink, 0.0)
                out[n] = density
                total += density
            state[n] = w
            var[n] = p00
    return total if math.isfinite(total) else -1e12


keep(_clip)
keep(loglik)
