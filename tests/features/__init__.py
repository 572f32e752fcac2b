"""What a PyTorch script uses: each row shows what it says. `tests/torch_features.py` writes the page."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogSGD,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Pulsing,
    SoftBounds,
    Spread,
    convert,
    to_digital,
)

__all__ = [
    "IDEAL", "MEAN", "REAL", "REFUSED", "Feature", "Group", "X", "Y", "beside_torch", "digital_weights",
    "ideal", "loss_of", "mlp", "parameters", "real", "same", "step", "trained",
]  # fmt: skip

#: at fidelity "mean" an analog step on it is a step of torch's SGD
IDEAL, MEAN = Device(ConstantStep(-5.0, 5.0), 1e-4), Pulsing(fidelity="mean")
REAL = Device(SoftBounds.symmetric(0.6), 0.001, Spread(dw_min=0.3, w_max=0.3, w_min=0.3), Noise(0.3))
X = torch.linspace(-3, 3, 8 * 6).view(8, 6).sin()
Y = torch.arange(8) % 3

WORKS, NOTED, REFUSED = "works", "works, with a note", "refused"


@dataclass(frozen=True)
class Feature:
    """One row of the page."""

    group: str
    name: str
    verdict: str
    #: the note, or the sentence of the refusal
    words: str
    shows: Callable[[], None]
    #: who refuses
    error: type[Exception] = InputError

    def check(self) -> None:
        """Run it: it shows what it says, or it is refused with this sentence; "..." stands for the rest."""
        if self.verdict != REFUSED:
            with warnings.catch_warnings(record=True) as told:
                warnings.simplefilter("always")
                self.shows()
            assert self.verdict == NOTED or not [w for w in told if "analog" in str(w.message)]
            return
        with pytest.raises(self.error) as caught:
            self.shows()
        said, wanted = str(caught.value), self.words.removesuffix("...")
        assert said == wanted or (wanted != self.words and said.startswith(wanted)), said


@dataclass(frozen=True)
class Group:
    """Rows under one heading."""

    title: str
    rows: list[Feature] = field(default_factory=list)

    def _add(self, *given: Any, **rest: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        def add(shows: Callable[[], None]) -> Callable[[], None]:
            self.rows.append(Feature(self.title, *given, shows, **rest))
            return shows

        return add

    def works(self, name: str, note: str = "") -> Any:
        return self._add(name, NOTED if note else WORKS, note)

    def refused(self, name: str, sentence: str, error: type[Exception] = InputError) -> Any:
        return self._add(name, REFUSED, sentence, error=error)


# --- what the rows share -------------------------------------------------------------------------


def mlp() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3))


def ideal(model: nn.Module, **settings: Any) -> Any:
    """The twin of a model that computes and learns as it does: its scales are not trained."""
    twin = convert(model, IDEAL, pulsing=MEAN, **settings)
    for name, p in twin.named_parameters():
        if name.endswith("out_scale"):
            p.requires_grad_(False)
    return twin


def real(**settings: Any) -> Any:
    """A network of pulsed elements with spread and noise."""
    return convert(mlp(), REAL, seed=3, **settings)


def trained(model: nn.Module) -> list[nn.Parameter]:
    return [p for p in model.parameters() if p.requires_grad]


def loss_of(model: nn.Module, x: Tensor = X, y: Tensor = Y) -> Tensor:
    return nn.functional.cross_entropy(model(x), y)


def step(model: nn.Module, optimizer: Any) -> float:
    """One step of training; the loss before it."""
    optimizer.zero_grad()
    loss = loss_of(model)
    loss.backward()
    optimizer.step()
    return loss.item()


def digital_weights(model: nn.Module) -> dict[str, Tensor]:
    """Those of the plain model, copied."""
    return {name: v.detach().clone() for name, v in to_digital(model).state_dict().items()}


def parameters(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def same(a: Any, b: Any, atol: float = 2e-6) -> None:
    torch.testing.assert_close(a, b, rtol=1e-5, atol=atol)


def beside_torch(
    train: Callable[[Any, Callable[..., Any]], Any],
    make: Callable[[], Any] = mlp,
    optimizer: Any = AnalogSGD,
    atol: float = 2e-6,
) -> None:
    """A digital model with torch's SGD and its twin with an analog optimizer learn alike, and something.

    Args:
        train: gets a model and what makes its optimizer, from parameters, `lr` and options; what it
            returns must agree.
        atol: of weights; whole pulses of 1e-4 need more.
    """
    found = []
    for kind in (torch.optim.SGD, optimizer):
        model = make() if kind is torch.optim.SGD else ideal(make())
        before = copy.deepcopy(digital_weights(model))

        def made(params: Any, lr: float = 0.5, kind: Any = kind, **options: Any) -> Any:
            return kind(params, lr=lr, **options)

        returned = train(model, made)
        after = digital_weights(model)
        assert max(float((after[name] - before[name]).abs().max()) for name in after) > 1e-3
        found.append((after, returned))
    same(found[1][0], found[0][0], atol)
    same(found[1][1], found[0][1], atol)
