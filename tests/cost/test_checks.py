"""Cross-checks: exact where the papers' counting is ours, explained where it is not."""

from __future__ import annotations

import pytest

from ohmgrad.cost import checks
from ohmgrad.cost.checks import LENET, RESNET, Check, cross_checks
from ohmgrad.cost.training import cost_of, work_of

CHECKS = cross_checks()


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.what)
def test_a_deviation_is_explained(check: Check) -> None:
    assert check.source
    assert abs(check.deviation) < 0.005 or check.remark


def test_square_matrices_take_the_published_time() -> None:
    exact = [check for check in CHECKS if "D = 512" in check.what]
    assert len(exact) == 5
    for check in exact:
        assert check.deviation == pytest.approx(0, abs=0.003), check.what


@pytest.mark.parametrize("model", ["LeNet-5", "ResNet-18"])
@pytest.mark.parametrize("algorithm", ["sgd", "ttv2", "multi-tile", "mixed-precision"])
def test_with_the_paper_s_counting_networks_take_the_published_time(model: str, algorithm: str) -> None:
    """x and d as long as the inputs; for mixed precision one operation a weight, as its table 7 has it."""
    shapes, batch = {"LeNet-5": (LENET, 8), "ResNet-18": (RESNET, 128)}[model]
    work = work_of(algorithm)
    if algorithm == "mixed-precision":
        work = work._replace(per_weight_sample=1)
    else:
        shapes = tuple((cols, cols) for _, cols in shapes)
    arrays = checks._sample(shapes, algorithm, batch)
    cost = cost_of(arrays, work, checks._one_array(), images=1, steps=1 / batch)
    (published,) = (c.published for c in CHECKS if c.what == f"update of a sample, {algorithm}, {model}")
    assert 1e9 * checks._update_time(cost) == pytest.approx(published, rel=0.01)


@pytest.mark.parametrize(("shapes", "published"), [(LENET, 2.13), (RESNET, 50.2)])
def test_with_the_paper_s_counting_networks_store_the_published_bytes(
    shapes: tuple[tuple[int, int], ...], published: float
) -> None:
    square = tuple((cols, cols) for _, cols in shapes)
    assert checks._cost(checks._one_array(), square, "sgd").storage / 1000 == pytest.approx(
        published, rel=0.01
    )


def test_a_deviation_is_relative() -> None:
    assert Check("a", "b", 2.0, 3.0, "J").deviation == 0.5
