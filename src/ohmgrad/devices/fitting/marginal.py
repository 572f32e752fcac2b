"""Noise as it is when the steps are not known: the likelihood's maximum takes it too small.

Fitted steps follow the noise of the very ramps they are fitted to, and leave less of it. With the parameters
of the steps integrated out (Laplace's approximation, flat priors) the log likelihood of the noise is

    max over steps of log L  -  1/2 log det J,     J the information on the steps at that noise.

This is restricted maximum likelihood where the model is linear. log det J falls with the noise, so the
second term grows; its slope at the maximum is added to the log likelihood as a tilt, twice, for it depends on
where it is taken.

Noise that is itself an estimate makes intervals of steps wider, as Student's t: by Satterthwaite's degrees of
freedom, 2 V^2/var(V), of the variance V of each parameter.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from .model import Fitted, fitted

__all__ = ["corrected", "freedom"]

#: difference of logarithms of noise, over which the slope is taken
_H = 0.1
_NOISES = ("log std", "log fast", "log slow")


def corrected(fit: Fitted) -> Fitted:
    """The fit with noise that allows for fitted steps; its log likelihood has the tilt in it."""
    model = fit.model
    noises, shape = _parts(fit)
    if not noises or not shape.size:
        return fit
    best, h = fit, fit.steps(shape)
    for _ in range(2):
        tilt = np.zeros(fit.p.size)
        for i in noises:
            ends = []
            for by in (_H, -_H):
                p = best.p.copy()
                p[i] += by
                ends.append(np.log(fit.curvature(shape, p, h)[0]).sum())
            tilt[i] = -0.5 * (ends[0] - ends[1]) / (2 * _H)
        best = fitted(replace(model, tilt=tuple(tilt)), fit.data, [best.p])
    return best


def _parts(fit: Fitted) -> tuple[list[int], np.ndarray]:
    """Parameters that are noises, and those of the steps, as far as they are inside their box."""
    names = fit.model.names
    noises = [i for i, name in enumerate(names) if name in _NOISES and fit.free[i]]
    other = [i for i, name in enumerate(names) if fit.free[i] and (i < 2 * len(fit.model.law.parameters))]
    return noises, np.array(other, dtype=np.int64)


def freedom(fit: Fitted) -> np.ndarray:
    """Degrees of freedom of the variance of every parameter, (p,); infinite for those of noise."""
    noises, shape = _parts(fit)
    out = np.full(fit.p.size, np.inf)
    if not noises or not shape.size:
        return out
    h, slopes = fit.steps(shape), np.empty((len(noises), shape.size))
    for row, i in zip(slopes, noises, strict=True):
        ends = []
        for by in (_H, -_H):
            p = fit.p.copy()
            p[i] += by
            values, vectors, _ = fit.curvature(shape, p, h)
            ends.append(np.log((vectors**2 / values).sum(1)))
        row[:] = (ends[0] - ends[1]) / (2 * _H)  # of the logarithm of the variance
    var = np.einsum("ij,ik,kj->j", slopes, fit.covariance[np.ix_(noises, noises)], slopes)
    out[shape] = np.clip(2 / np.maximum(var, 1e-6), 3, np.inf)
    return out
