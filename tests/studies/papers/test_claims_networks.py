"""Claims of the studies that train with all algorithms: numbers for which each passes, and others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ohmgrad.studies.papers import few_states, shifted_point
from ohmgrad.studies.papers.wu_2025_mnist import Case
from tests.studies.papers.test_claims import Rows, axes, ends, results, same


def test_shift_stalls() -> None:
    runs = axes(algorithm=shifted_point.OPTIONS, sigma=(0.0, 0.3), shift=(0.0, 0.3))

    def laws(stalled: float, others: float) -> dict[str, bool]:
        def error(algorithm: str, shift: float, **_: float) -> float:
            return (0.1 if shift == 0 else stalled) if algorithm == "tiki-taka" else others

        rows = [{**row, "step": 1} for row in ends("error", runs, error)]
        return results("shift", rows, shifts=(0.0, 0.3))

    same(laws(1.0, 0.4), True, 14)
    same(laws(0.15, 0.1), False, 14)


def test_states_order() -> None:
    runs = axes(algorithm=few_states.OPTIONS, states=(8.0, 16.0), tuning=(False,))

    def laws(multi: float, others: float) -> dict[str, bool]:
        def accuracy(algorithm: str, **_: float) -> float:
            return multi if algorithm == "multi-tile" else others

        return results("states", ends("test_accuracy", runs, accuracy), states=(8.0, 16.0))

    same(laws(0.95, 0.9), True, 4)
    same(laws(0.9, 0.9), False, 4)


def _trained(cases: Rows, accuracy: Callable[..., float]) -> Rows:
    """Test accuracies after the second and last epoch; after the first they are a tenth."""
    rows = ends("test_accuracy", [{**case, "epoch": 2} for case in cases], accuracy)
    return rows + [{**row, "epoch": 1, "test_accuracy": row["test_accuracy"] / 10} for row in rows]


def _cases(response: str, **values: Iterable[Any]) -> Rows:
    """Digital training, and the others on every device."""
    same_names = {"net": ("fcn",), "gamma_res": (0.5,), "tau": (0.6,), "sigma_c": (0.3,), **values}
    devices = axes(response=(response,), **same_names, algorithm=("sgd", "tiki-taka"))
    nets = axes(net=same_names["net"])
    return [Case(net["net"], "", 0.0, 0.0, 0.0, "digital")._asdict() for net in nets] + devices


def test_rl_f4_order() -> None:
    cases = _cases("power", net=("fcn", "cnn"))
    taus = {"fcn": (0.6,), "cnn": (0.6,)}

    def laws(**accuracies: float) -> dict[str, bool]:
        rows = _trained(cases, lambda algorithm, **_: accuracies[algorithm.replace("-", "_")])
        return results("RL-F4", rows, taus=taus)

    same(laws(digital=0.98, sgd=0.8, tiki_taka=0.98), True, 4)
    same(laws(digital=0.98, sgd=0.95, tiki_taka=0.94), False, 4)


def test_rl_t5_noise() -> None:
    cases = _cases("soft bounds", gamma_res=(1.0,), tau=(0.8,), sigma_c=(0.1, 1.2))

    def laws(noisy: float) -> dict[str, bool]:
        rows = _trained(cases, lambda sigma_c, **_: noisy if sigma_c == 1.2 else 0.98)
        return results("RL-T5", rows, sigmas=(0.1, 1.2))

    same(laws(0.975), True, 3)
    same(laws(0.95), False, 3)


def test_rl_t6_fails_and_works() -> None:
    devices = {"power": (0.5, 1.0), "exponential": (0.5, 1.0)}
    cases = [c for r, gammas in devices.items() for c in _cases(r, gamma_res=gammas, tau=(0.7, 0.8))]
    cases = [c for i, c in enumerate(cases) if c["algorithm"] != "digital" or i == 0]
    works = [("power", 0.5, 0.7), ("power", 0.5, 0.8), ("exponential", 0.5, 0.8)]

    def laws(tiki_taka: float, low: float, high: float) -> dict[str, bool]:
        def accuracy(algorithm: str, response: str, gamma_res: float, tau: float, **_: Any) -> float:
            if algorithm == "sgd":
                return high if (response, gamma_res, tau) in works else low
            return 0.98 if algorithm == "digital" else tiki_taka

        return results("RL-T6", _trained(cases, accuracy), taus=(0.7, 0.8), gammas=devices)

    same(laws(0.97, 0.11, 0.97), True, 16)
    same(laws(0.95, 0.97, 0.11), False, 16)


def test_mt_t1_order() -> None:
    columns = ("ttv1", "ttv2", "mixed-precision", "3 tiles", "6 tiles")
    cases = axes(data=("mnist",), algorithm=columns)

    def laws(*accuracies: float) -> dict[str, bool]:
        found = dict(zip(columns, accuracies, strict=True))
        rows = _trained(cases, lambda algorithm, **_: found[algorithm])
        return results("MT-T1", rows, tiles=(3, 6))

    same(laws(0.8, 0.95, 0.99, 0.95, 0.98), True, 4)
    same(laws(0.8, 0.8, 0.99, 0.8, 0.7), False, 4)


def test_mt_f7_falls() -> None:
    runs = axes(tiles=(2, 4, 8))
    for loss, passes in ((lambda tiles: 0.1**tiles, True), (lambda tiles: 0.1 * tiles, False)):
        rows = [{**row, "epoch": 1} for row in ends("loss", runs, loss)]
        same(results("MT-F7", rows, tiles=(2, 4, 8)), passes, 2)
