"""`checked`: what passes, what is refused, and what it says."""

from __future__ import annotations

import math
import pickle
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pytest
import torch
from torch import Tensor

from ohmgrad.checked import checked
from ohmgrad.errors import InputError
from ohmgrad.ranges import ABOVE_ZERO, ANYTHING, COUNT, OWN, SEED

if TYPE_CHECKING:
    from ohmgrad.devices.fitting.fit import Fit


@checked(rates=ABOVE_ZERO, seed=SEED, weights=ABOVE_ZERO, path=ANYTHING, own=OWN, sizes=COUNT)
def called(
    *files: str | Path,
    rates: Sequence[float] = (),
    sizes: tuple[int, int] = (1, 1),
    seed: int = 0,
    share: float | None = None,
    flag: bool = False,
    weights: Tensor | None = None,
    path: Tensor | None = None,
    order: Literal["strict", "bounded"] = "strict",
    named: Mapping[str, float] | None = None,
    names: Iterable[str] = (),
    hook: Callable[[int], Any] | None = None,
    kind: type[Exception] = ValueError,
    fit: Fit | None = None,
    own: int = 0,
) -> str:
    return "done"


class Fit_:  # noqa: N801
    """Stands for a class that a module imports for type checkers alone."""


Fit_.__name__ = "Fit"


@pytest.mark.parametrize(
    "given",
    [
        {"rates": [1, 2.0, np.float32(3)]}, {"rates": np.ones(3)}, {"sizes": [2, np.int64(3)]},
        {"seed": np.int32(3)}, {"share": 1}, {"flag": np.bool_(True)}, {"weights": torch.ones(2)},
        {"weights": torch.nn.Parameter(torch.ones(2))}, {"path": torch.tensor([math.nan, math.inf])},
        {"order": "bounded"}, {"named": {"a": 1}}, {"names": (name for name in "ab")},
        {"hook": lambda _: None}, {"kind": KeyError}, {"fit": Fit_()}, {"own": "its own business"},
    ],
)  # fmt: skip
def test_what_passes(given: dict[str, Any]) -> None:
    assert called("a.csv", Path("b.csv"), **given) == "done"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rates": "12"}, r"rates is '12', but must be a list, each entry a number in \(0, 1e\+30\]"),
        ({"rates": {1.0: 2.0}}, "rates is {1.0: 2.0}, but must be a list"),
        ({"sizes": (1, 2, 3)}, r"sizes is \(1, 2, 3\), but must be \(an integer in \[1, 2.1.*an integer"),
        ({"sizes": (1, 0)}, r"sizes is \(1, 0\)"),
        ({"seed": True}, r"seed is True, but must be an integer in \[0, 2\^32\)"),
        ({"seed": 1.0}, "seed is 1.0"),
        ({"seed": -1}, "seed is -1"),
        ({"share": math.nan}, r"share is nan, but must be a number in \(-inf, inf\)"),
        ({"flag": 1}, "flag is 1, but must be True or False"),
        (
            {"weights": torch.tensor([1.0, math.nan])},
            r"weights is a tensor \(2,\) of float32, but",
        ),
        ({"weights": torch.zeros(1)}, "weights is a tensor .* tensor of finite numbers in"),
        ({"weights": [1.0]}, r"weights is \[1.0\], but must be a tensor"),
        ({"path": torch.ones(1, dtype=torch.complex64)}, "path is a tensor .* of complex64"),
        ({"order": "sorted"}, "order is 'sorted', but must be one of strict, bounded"),
        ({"order": ["strict"]}, r"order is \['strict'\]"),
        (
            {"named": {"a": "b"}},
            "named is {'a': 'b'}, but must be a mapping whose values are a number",
        ),
        ({"names": "ab"}, "names is 'ab', but must be a list, each entry text"),
        ({"hook": 3}, "hook is 3, but must be a function or None"),
        ({"kind": int}, "kind is the class int, but must be a class of Exception"),
        ({"fit": torch.Generator()}, "fit is of type Generator, but must be a Fit or None"),
    ],
)
def test_what_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        called("a.csv", **given)
    with pytest.raises(InputError, match="files is 3, but must be text or"):
        called("a.csv", 3, **given)  # pyright: ignore[reportArgumentType]


def test_every_entry_of_a_list_is_looked_at() -> None:
    for k in range(200):
        rates: list[Any] = [1.0] * 200
        rates[k] = None
        with pytest.raises(InputError, match="rates is"):
            called(rates=rates)


@checked(n=COUNT)
@dataclass(frozen=True)
class Made:
    n: int
    inner: Sequence[int] = ()


@checked
@dataclass(frozen=True)
class Derived(Made):
    name: str = ""


def test_constructors_of_classes() -> None:
    assert pickle.loads(pickle.dumps(Made(3))) == Made(n=3)
    assert Derived(3, (), "a") == Derived(3, name="a")
    for make in (lambda: Made(0), lambda: Made(1, [None]), lambda: Derived(1, name=2)):  # pyright: ignore
        with pytest.raises(InputError):
            make()
