"""Each feature of a PyTorch script works, or is refused with its sentence, as the page says."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from ohmgrad import InputError
from tests.features import Feature, Group
from tests.torch_features import MODULES, page

HERE = Path(__file__).parent
FEATURES = [
    pytest.param(row, id=f"{module.__name__.split('.')[-1]}-{row.shows.__name__}")
    for module in MODULES
    for row in module.group.rows
]


@pytest.mark.filterwarnings("ignore")  # of torch and the libraries; rows look for ours
@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_does_what_the_page_says(feature: Feature) -> None:
    feature.check()


def test_the_page_is_what_the_rows_give() -> None:
    path = HERE.parent / "docs/pytorch.md"
    assert path.read_text() == page(), "write it anew: python -m tests.torch_features > docs/pytorch.md"


def test_every_file_of_rows_is_on_the_page() -> None:
    with_rows = {p.stem for p in HERE.glob("features/*.py") if "\ngroup = Group(" in p.read_text()}
    assert {module.__name__.split(".")[-1] for module in MODULES} == with_rows


def refuses() -> None:
    raise InputError("weight 7 is too large")


def warns() -> None:
    warnings.warn("an analog weight is not trained", stacklevel=1)


def does_nothing() -> None:
    pass


def fails() -> None:
    raise AssertionError


def of(verdict: str, words: str, shows: Callable[[], None]) -> Feature:
    group = Group("group")
    (group.refused if verdict == "refused" else group.works)("feature", words)(shows)
    return group.rows[0]


def test_a_row_that_says_something_else_is_found() -> None:
    """The planted bugs."""
    for wrong in (
        of("works", "", fails), of("works", "", warns), of("works", "note", fails),
        of("refused", "weight 8 is too large", refuses), of("refused", "weight 8...", refuses),
        of("refused", "weight 7", refuses),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            wrong.check()
    with pytest.raises(pytest.fail.Exception):
        of("refused", "weight 7 is too large", does_nothing).check()
    for right in (
        of("works", "", does_nothing), of("works", "note", warns),
        of("refused", "weight 7 is too large", refuses), of("refused", "weight 7...", refuses),
    ):  # fmt: skip
        right.check()
