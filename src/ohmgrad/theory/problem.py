"""The problem that an algorithm solves: an objective, its samples, and the noise of its stochastic gradient.

All functions are batched: weights are (..., n), float64, and every leading index is a run of its own.

An objective of m samples is a mean (or sum) of one term for each. A crossbar is pulsed sample by sample, so
that the drift towards the symmetric point is that of sum_s |g_s|, not of |sum_s g_s|; g_s is the gradient of
the term of sample s, and on the lines of an array it is an outer product, an error times the sample's inputs.
An objective without samples is pulsed with one gradient in a step: the case of one sample.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from ..checked import checked
from ..errors import InputError, check_choice, check_number, python_numbers
from ..ranges import COUNT, NUMBER, OWN
from ..tensor_methods import of_tensors
from ..type_words import kind_of

__all__ = ["GradientNoise", "Logistic", "Objective", "Quadratic", "UserObjective", "WeightNoise",
           "least_squares"]  # fmt: skip


class Objective(abc.ABC):
    """A function f of n weights with its gradient; f is L-smooth and bounded below."""

    #: number of weights
    n: int
    #: inputs x_s of the samples, (m, n); None for one gradient in a step
    lines: Tensor | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        of_tensors(cls, "errors", "loss", "gradient")

    @property
    def samples(self) -> int:
        """Number of samples m; 1 where a step has one gradient."""
        return 1 if self.lines is None else len(self.lines)

    def errors(self, w: Tensor) -> Tensor:
        """Errors d_s of the samples at w, (..., n) -> (..., m): g_s = d_s x_s, and grad f = sum_s g_s.

        Raises:
            InputError: when the objective has no samples.
        """
        raise InputError("this objective has no samples, but one gradient in a step")

    @abc.abstractmethod
    def loss(self, w: Tensor) -> Tensor:
        """f(w): (..., n) -> (...)."""

    @abc.abstractmethod
    def gradient(self, w: Tensor) -> Tensor:
        """grad f(w): (..., n) -> (..., n)."""


@checked(hessian=OWN, solution=OWN, lines=OWN)
@dataclass(frozen=True, eq=False)
class Quadratic(Objective):
    """f(w) = (w - w*)^T H (w - w*) / 2, with gradient H (w - w*).

    Args:
        hessian: H, (n, n), symmetric positive definite; a tensor, array or list.
        solution: w*, (n,); likewise.
        lines: X, (m, n), of samples with H = X^T X, so that f = ||X (w - w*)||^2 / 2 and sample s has the
            error x_s (w - w*); None for one gradient in a step. `least_squares` makes them.

    Raises:
        InputError: when the shapes do not match, H is not symmetric positive definite or not X^T X.

    Example:
        >>> f = Quadratic(torch.eye(2), torch.tensor([0.5, 0.0]))
        >>> f.gradient(torch.zeros(3, 2)).shape, f.smoothness
        (torch.Size([3, 2]), 1.0)
    """

    hessian: Tensor
    solution: Tensor
    lines: Tensor | None = None

    def __post_init__(self) -> None:
        h, w = _tensor("hessian", self.hessian), _tensor("solution", self.solution)
        if w.dim() != 1 or tuple(h.shape) != (len(w), len(w)):
            raise InputError(
                f"hessian is {tuple(h.shape)} and solution {tuple(w.shape)}, but must be (n, n) and (n,)"
            )
        if not torch.allclose(h, h.t()) or float(torch.linalg.eigvalsh(h)[0]) <= 0:
            raise InputError("hessian must be symmetric and positive definite, with one minimum")
        if self.lines is not None:
            x = _tensor("lines", self.lines)
            if x.dim() != 2 or x.shape[1] != len(w) or not torch.allclose(x.t() @ x, h):
                raise InputError(
                    f"lines are {tuple(x.shape)}, but must be (samples, {len(w)}) with X^T X = H"
                )
            object.__setattr__(self, "lines", x)
        object.__setattr__(self, "hessian", h)
        object.__setattr__(self, "solution", w)

    def summed(self) -> Quadratic:
        """The same objective with one gradient in a step, the sum over its samples."""
        return Quadratic(self.hessian, self.solution)

    def errors(self, w: Tensor) -> Tensor:
        if self.lines is None:
            return super().errors(w)
        return (w - self.solution) @ self.lines.t()

    @property
    def n(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of weights."""
        return len(self.solution)

    @property
    def smoothness(self) -> float:
        """L, the largest eigenvalue of H."""
        return float(torch.linalg.eigvalsh(self.hessian)[-1])

    def loss(self, w: Tensor) -> Tensor:
        gap = w - self.solution
        return ((gap @ self.hessian) * gap).sum(-1) / 2

    def gradient(self, w: Tensor) -> Tensor:
        return (w - self.solution) @ self.hessian


@checked(matrix=OWN, solution=OWN)
def least_squares(matrix: Tensor, solution: Tensor) -> Quadratic:
    """The mean squared residual f(w) = ||A w - A w*||^2 / m of m equations: H = 2 A^T A / m.

    Every equation is a sample, with lines sqrt(2/m) a_s; `.summed()` is the same with one gradient in a step.

    Args:
        matrix: A, (m, n) of full column rank; solution: w*, (n,).
    """
    a = _tensor("matrix", matrix)
    if a.dim() != 2:
        raise InputError(f"matrix is {tuple(a.shape)}, but must be (equations, unknowns)")
    lines = math.sqrt(2 / len(a)) * a
    return Quadratic(lines.t() @ lines, solution, lines)


@checked(inputs=OWN, labels=OWN)
@dataclass(frozen=True, eq=False)
class Logistic(Objective):
    """Mean logistic loss f(w) = mean_i log(1 + exp(-y_i x_i w)) + ridge ||w||^2 / 2.

    Without ridge every input is a sample, with error -y_i/(m (1 + exp(y_i x_i w))). A ridge belongs to no
    sample's line, so that a step then has one gradient.

    Args:
        inputs: (m, n); labels: (m,), each -1 or 1; ridge: >= 0.

    Raises:
        InputError: when shapes or labels are wrong.
    """

    inputs: Tensor
    labels: Tensor
    ridge: float = 0.0

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("ridge", self.ridge, low=0)
        x, y = _tensor("inputs", self.inputs), _tensor("labels", self.labels)
        if x.dim() != 2 or y.shape != x.shape[:1] or not bool((y.abs() == 1).all()):
            raise InputError("inputs must be (m, n), and labels (m,) with values -1 and 1")
        object.__setattr__(self, "inputs", x)
        object.__setattr__(self, "labels", y)
        if self.ridge == 0:
            object.__setattr__(self, "lines", x)

    def errors(self, w: Tensor) -> Tensor:
        if self.lines is None:
            return super().errors(w)
        margin = self.labels * (w.to(self.inputs) @ self.inputs.t())
        return -torch.sigmoid(-margin) * self.labels / len(self.inputs)

    @property
    def n(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Number of weights."""
        return self.inputs.shape[1]

    def loss(self, w: Tensor) -> Tensor:
        margin = self.labels * (w.to(self.inputs) @ self.inputs.t())
        return -logsigmoid(margin).mean(-1) + self.ridge / 2 * w.square().sum(-1)

    def gradient(self, w: Tensor) -> Tensor:
        margin = self.labels * (w.to(self.inputs) @ self.inputs.t())
        pull = torch.sigmoid(-margin) * self.labels
        return self.ridge * w - pull @ self.inputs / len(self.inputs)


@checked(n=COUNT)
@dataclass(frozen=True, eq=False)
class UserObjective(Objective):
    """An objective of the user's own: a function of one weight vector; the gradient is torch's.

    Args:
        function: (n,) -> scalar tensor, differentiable, and fit for `torch.func.vmap`.
        n: number of weights.

    Raises:
        InputError: by `loss` and `gradient`, when the function gives anything but a scalar tensor.

    Example:
        >>> f = UserObjective(lambda w: (w**4).sum() / 4, 1)
        >>> f.gradient(torch.tensor([[2.0]]))
        tensor([[8.]])
    """

    function: Callable[[Tensor], Tensor]
    n: int

    def _scalar(self, w: Tensor) -> Tensor:
        value = self.function(w)
        if not isinstance(value, Tensor) or value.dim() != 0:
            got = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise InputError(
                f"the objective's function gave {got} for weights of ({self.n},), but must give a scalar "
                "tensor: sum or average it"
            )
        return value

    def loss(self, w: Tensor) -> Tensor:
        flat = torch.func.vmap(self._scalar)(w.reshape(-1, self.n))
        return flat.reshape(w.shape[:-1])

    def gradient(self, w: Tensor) -> Tensor:
        flat = torch.func.vmap(torch.func.grad(self._scalar))(w.reshape(-1, self.n))
        return flat.reshape(w.shape)


@checked
@dataclass(frozen=True)
class GradientNoise:
    """Noise added to every entry of the gradient, independent, of mean 0 and standard deviation sigma.

    Args:
        sigma: per entry (>= 0). The sigma of the theorems, over the whole gradient, is sqrt(n) times it.
        law: "gaussian", or "two-point" (+sigma or -sigma with equal probability).

    Raises:
        InputError: when a value is out of range.
    """

    sigma: float
    law: Literal["gaussian", "two-point"] = "gaussian"

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("sigma", self.sigma, low=0)
        check_choice("law of the gradient noise", self.law, ("gaussian", "two-point"))

    def mean_abs(self, mean: Tensor) -> Tensor:
        """E|m + noise| for a mean gradient m (any shape).

        gaussian    sigma sqrt(2/pi) exp(-m^2/(2 sigma^2)) + m erf(m/(sigma sqrt 2))
        two-point   max(|m|, sigma)
        """
        if self.law == "two-point":
            return mean.abs().clamp(min=self.sigma)
        return folded_mean(mean, torch.full_like(mean, self.sigma))


of_tensors(GradientNoise, "mean_abs")


@checked
@dataclass(frozen=True)
class WeightNoise:
    """Noise of the weights as they are read: sample s sees W + sigma z with fresh z, so that its error, and
    with it all entries of its gradient, have a noise of standard deviation sigma ||x_s||:

        g_s = (d_s + sigma ||x_s|| z_s) x_s,        z_s standard normal, independent.

    The weight noise of arXiv 2406.12774's simulations.

    Args:
        sigma: in weight units (>= 0).

    Raises:
        InputError: when it is out of range.
    """

    sigma: float

    def __post_init__(self) -> None:
        python_numbers(self)
        check_number("sigma", self.sigma, low=0)


def _tensor(name: str, value: Any) -> Tensor:
    try:
        found = torch.as_tensor(value, dtype=None if torch.is_tensor(value) else torch.float64)
        if not NUMBER.has_all(found):
            raise ValueError
        return found.double()
    except (TypeError, ValueError, RuntimeError):
        raise InputError(
            f"{name} is {kind_of(value)}, but must be a tensor, array or list of finite numbers"
        ) from None


def folded_mean(mean: Tensor, std: Tensor) -> Tensor:
    """E|X| of Gaussian X with this mean and standard deviation (any shape); |mean| where std is 0."""
    safe = torch.where(std > 0, std, torch.ones_like(std))
    z = mean / safe
    value = safe * math.sqrt(2 / math.pi) * torch.exp(-z.square() / 2) + mean * torch.erf(z / math.sqrt(2))
    return torch.where(std > 0, value, mean.abs())
