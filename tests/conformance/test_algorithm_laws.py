"""The laws of algorithms hold for what is here, and each of them fails for a planted bug."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from ohmgrad import AnalogOptimizer, AnalogSGD, TikiTaka
from ohmgrad.conformance import ALGORITHM_LAWS, check_algorithm
from ohmgrad.crossbar.gradient import FactoredGradient
from ohmgrad.optim.registry import ALGORITHMS as REGISTRY
from tests.cases import ALGORITHMS, PROMISES, SKIPPED_LAWS

pytestmark = pytest.mark.usefixtures("one_thread", "threads")


@pytest.mark.parametrize("name", ALGORITHMS)
def test_algorithms_obey_the_laws(name: str) -> None:
    skipped = SKIPPED_LAWS.get(name, set())
    report = check_algorithm(ALGORITHMS[name], needs_asymmetry="quadratic" in skipped).raise_if_failed()
    assert {f.law for f in report.skipped} <= {"exact", "exact shifted", "threads"} | skipped


@pytest.mark.parametrize("name", [name for name, (_, laws) in PROMISES.items() if laws])
def test_what_theory_promises_is_kept(name: str) -> None:
    """All rates follow lr; what is not promised is not asked."""
    rates, laws = PROMISES[name]

    def make(params: Any, lr: float) -> AnalogOptimizer:
        return REGISTRY[name](params, lr=lr, **rates(lr))

    report = check_algorithm(make, laws, exact=True, exact_shifted=True).raise_if_failed()
    assert [f.status for f in report.findings] == ["ok"] * len(laws)


def test_the_promises_are_of_the_whole_registry() -> None:
    assert PROMISES.keys() == REGISTRY.keys()


def test_tiki_taka_is_exact_and_analog_sgd_is_not() -> None:
    def make(params: Any, lr: float) -> TikiTaka:
        return TikiTaka(params, lr=lr / 4, fast_lr=lr)

    assert check_algorithm(make, "exact", exact=True).ok
    assert not check_algorithm(make, "exact shifted", exact_shifted=True).ok  # its own paper's limit
    assert not check_algorithm(AnalogSGD, "exact", exact=True).ok


# --- planted bugs: algorithms --------------------------------------------------------------------


class Wrong(AnalogSGD):
    """Analog SGD with a bug, which a subclass adds."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, lr)


class RemembersFactors(Wrong):
    """The step without gradient repeats the last one."""

    last: Any = None

    def step(self, closure: Any = None) -> Any:
        with torch.no_grad():
            if self.last:
                self.last[0].pulse(*self.last[1:])
        return super().step(closure)

    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        self.last = (tile, x, d, -group["lr"])
        super().analog_step(tile, x, d, group, state)


class ForgetsNothing(Wrong):
    def zero_grad(self, set_to_none: bool = True) -> None:
        pass


class FirstGroupOnly(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        if group is self.param_groups[0]:
            super().analog_step(tile, x, d, group, state)


class FixedRate(Wrong):
    """Digital parameters do not hear the scheduler."""

    def _step_digital(self, params: list[Tensor], group: Any) -> None:
        now, group["lr"] = group["lr"], 0.05
        super()._step_digital(params, group)
        group["lr"] = now


class HiddenCount(Wrong):
    """Its step size depends on a counter that is not in the state."""

    updates = 0

    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        self.updates += 1
        tile.pulse(x, d, -group["lr"] / self.updates**0.5)


class SharedMemory(Wrong):
    """Keeps its momentum in the class, which all copies share."""

    memory: dict[tuple[int, int], Tensor] = {}  # noqa: RUF012 - the bug

    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        mean = self.memory.setdefault(tile.shape, torch.zeros(tile.shape))
        mean.mul_(0.9).addmm_(d.t(), x)
        tile.pulse(torch.eye(tile.shape[1]), mean.t(), -group["lr"])


class LastPassOnly(Wrong):
    """Earlier backward passes are lost."""

    def step(self, closure: Any = None) -> Any:
        for group in self.param_groups:
            for p in group["params"]:
                if isinstance(p.grad, FactoredGradient):
                    p.grad._store.passes = p.grad._store.passes[-1:]
        return super().step(closure)


class DrawsNumbers(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        tile.pulse(x, d, -group["lr"] * (0.5 + float(torch.rand(()))))


class AsksThreads(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        tile.pulse(x, d, -group["lr"] / torch.get_num_threads())


class WritesDigitally(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        tile.weight.copy_(tile.elements.clip(tile.weight - group["lr"] * d.t() @ x))


class WritesBeside(Wrong):
    """An array beside the tile leaves its bounds, where no layer looks."""

    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        self.array(tile, state, "fast", role=1).weight.addmm_(d.t(), x, alpha=-group["lr"])
        super().analog_step(tile, x, d, group, state)


class Biased(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        tile.pulse(x, d + 0.02, -group["lr"])


class Idle(Wrong):
    def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
        pass


BAD_ALGORITHMS: dict[str, list[Any]] = {
    "gradients": [RemembersFactors, ForgetsNothing],
    "groups": [FirstGroupOnly],
    "schedule": [FixedRate],
    "resume": [HiddenCount],
    "copies": [SharedMemory],
    "accumulation": [LastPassOnly, Idle],
    "addressed": [DrawsNumbers, Idle],
    "threads": [AsksThreads],
    "pulses only": [WritesDigitally, WritesBeside, Idle],
    "bounds": [WritesBeside, Idle],
    "quadratic": [Biased, Idle],
    "exact": [Wrong],
    "exact shifted": [Wrong],
}


@pytest.mark.parametrize(("law", "make"), [(law, m) for law, all_ in BAD_ALGORITHMS.items() for m in all_])
def test_a_wrong_algorithm_breaks_the_law(law: str, make: Any) -> None:
    (finding,) = check_algorithm(make, law, exact=True, exact_shifted=True).findings
    assert finding.status == "failed" or (law == "threads" and finding.status == "skipped")
    assert "raised" not in finding.measured


def test_every_algorithm_law_has_a_planted_bug() -> None:
    assert BAD_ALGORITHMS.keys() == ALGORITHM_LAWS.keys()


def test_a_law_in_which_something_raises_has_failed() -> None:
    class Raises(Wrong):
        def analog_step(self, tile: Any, x: Tensor, d: Tensor, group: Any, state: Any) -> None:
            raise RuntimeError("no such thing")

    (finding,) = check_algorithm(Raises, "groups").findings
    assert (finding.status, finding.measured) == ("failed", "raised RuntimeError: no such thing")
    (finding,) = check_algorithm(torch.optim.SGD, "groups").findings
    assert "make(params, lr) returned SGD, but must return an ohmgrad.AnalogOptimizer" in finding.measured


def test_what_is_not_promised_is_skipped() -> None:
    report = check_algorithm(AnalogSGD, ("exact", "exact shifted", "quadratic"), needs_asymmetry=True)
    assert [f.status for f in report.findings] == ["skipped"] * 3
    assert "need asymmetry" in report.findings[2].note
    assert "exact_shifted=True" in report.findings[1].note
