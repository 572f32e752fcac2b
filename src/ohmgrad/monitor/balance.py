"""Where pulses and asymmetry balance: the drift of the weights, and the gradient at which they rest.

With g = sum_b d_b x_b^T the gradient of a minibatch and Sigma = sum_b |d_b| |x_b|^T what its samples write
regardless of sign, both as the update sums them, the mean change of one update is to first order

    W' - W = - rate E[g] F(W) - rate E[Sigma] G(W)                               (Analog SGD)

(Wu et al. 2024, arXiv 2406.12774, eq. 3, sample by sample and for any response). The second term is the
drift towards the symmetric point. Both cancel where E[g] = - E[Sigma G(W)]/F(W), so that the squared
gradient cannot come to rest below

    floor = sum_i (E[Sigma_i G(W_i)]/F(W_i))^2

with the averages of the gradient's own window, since W fluctuates from update to update: the square of
E[G(W)] is meant, not that of G at one moment. The floor is also the squared slope of the implicit penalty
sum_i Sigma_i int G/F dw (arXiv 2502.06309).

Where the gradient is written to a fast array P that W follows (Tiki-Taka, Residual Learning),

    P' - P = - rate E[g] F(P) - rate E[Sigma] G(P)
    W' - W =   transfer E[v] F(W) - transfer E|v| G(W),    v = P as it is read,

W rests where E[P] = P* = E[|v| G(W)]/F(W), and P stays there, G and F being linear in P for affine
responses, when E[g] = - E[Sigma] G(P*)/F(P*): the floor is that of Analog SGD with P* for W. On an
asymmetric linear device it is sum_i (Sigma_i E|v_i| W_i / tau^2)^2, and goes with E|P|^2 ~ rate to 0.

Validity: steps small against the range; minibatches independent given the weights; pulse probabilities
not clipped at 1; elements not held at a hard bound; and a floor is what the present weights, noise and |P|
would allow: it is met near stationarity, and before that says where the training is heading.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from ..crossbar import Tile
from ..devices import Elements
from ..optim.base import TransferModel
from .averages import Averages

__all__ = ["Balance", "asymmetry", "balance", "planes", "ratio"]


class Balance(NamedTuple):
    """The two parts of the mean change per update of a tile's weights, and the floor."""

    #: norm of the part that the asymmetry causes, in weight units per update
    drift: float
    #: norm of the part that the gradient causes, in weight units per update
    signal: float
    #: squared gradient norm below which the weights do not come to rest
    floor: float


def asymmetry(elements: Elements, w: Tensor) -> tuple[Tensor, Tensor]:
    """G and F of every element at weights `w` (rows, cols), in units of the nominal dw_min; same shape."""
    plus, minus = elements.q_plus(w), elements.q_minus(w)
    return (minus - plus) / 2, (minus + plus) / 2


def _asymmetric_part(elements: Elements, w: Tensor, out: Tensor) -> Tensor:
    """G of `asymmetry`, written to `out`; from two planes that are kept where it is linear in w."""
    if elements.form != "affine":
        return out.copy_(asymmetry(elements, w)[0])
    if "monitor" not in elements.packed:
        zero = w.new_zeros(1, 1)
        start = asymmetry(elements, zero)[0]
        elements.packed["monitor"] = (start, asymmetry(elements, zero + 1)[0] - start)
    start, slope = elements.packed["monitor"]
    return torch.mul(w, slope, out=out).add_(start)


def ratio(top: Tensor, f: Tensor) -> Tensor:
    """top/F, and 0 for an element that does not move either way, F = 0."""
    return torch.where(f > 0, top / f, torch.zeros_like(f))


def planes(
    tile: Tile, model: TransferModel | None, x: Tensor, d: Tensor, scratch: dict[str, Tensor]
) -> dict[str, Tensor]:
    """What one update adds to the averages, each (rows, cols), before it is made.

    Args:
        tile: the array of the weights.
        model: how the gradient reaches it, or None.
        x: (samples, cols), d: (samples, rows): the factors.
        scratch: memory to use again, filled at the first call: fresh memory costs more than the products.

    Returns:
        `mean` (g), `absolute` (Sigma); with a model `pull`, Sigma G(W) or |v| G(W); and `fast` (P).
    """

    def room(name: str) -> Tensor:
        if name not in scratch:
            scratch[name] = torch.empty(tile.shape, device=x.device)
        return scratch[name]

    absolute = torch.mm(d.abs().t(), x.abs(), out=room("absolute"))
    out = {"mean": torch.mm(d.t(), x, out=room("mean")), "absolute": absolute}
    if model is not None:
        if model.array is not tile:
            out["fast"] = p = model.array.weight
            absolute = mean_absolute(p, model.read_noise)
        out["pull"] = _asymmetric_part(tile.elements, tile.held, room("pull")).mul_(absolute)
    return out


def mean_absolute(p: Tensor, noise: float) -> Tensor:
    """E|p + noise z| for standard normal z, the mean of the folded normal law; the shape of `p`.

    sqrt(2/pi) noise exp(-p^2/(2 noise^2)) + p erf(p/(noise sqrt 2))
    """
    if not noise:
        return p.abs()
    t = p / (noise * math.sqrt(2))
    return noise * math.sqrt(2 / math.pi) * torch.exp(-t.square()) + p * torch.erf(t)


def balance(tile: Tile, model: TransferModel, averages: Averages, f: Tensor) -> Balance:
    """Drift, signal and floor; see the module for the equations.

    Args:
        tile: the array of the weights.
        model: how the gradient reaches it.
        averages: of what `planes` gives.
        f: F at the present weights, (rows, cols).

    The signal of Analog SGD is freed from the noise of the average; that of a fast array is not, since
    successive P are not independent, and is too large by that noise.
    """
    pull = averages.planes["pull"]
    rest = ratio(pull, f)
    if model.array is tile:
        signal = math.sqrt(max(averages.squared_mean(f), 0.0))
        return Balance(model.rate * _norm(pull), model.rate * signal, _norm(rest) ** 2)
    fast = model.array.elements
    point = fast.clip(rest + model.array.memory.get("reference", 0.0))  # as the elements hold it
    held = averages.planes["absolute"] * ratio(*asymmetry(fast, point))
    signal = _norm(averages.planes["fast"] * f)
    return Balance(model.transfer * _norm(pull), model.transfer * signal, _norm(held) ** 2)


def _norm(t: Tensor) -> float:
    return float(torch.linalg.vector_norm(t))
