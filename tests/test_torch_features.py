"""Each feature of a PyTorch script works, or is refused with its sentence, as the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from features import Feature
from torch_features import GROUPS, page

FEATURES = [
    pytest.param(row, id=f"{group.title}-{row.shows.__name__}") for group in GROUPS for row in group.rows
]


@pytest.mark.parametrize("feature", FEATURES)
def test_a_feature_does_what_the_page_says(feature: Feature) -> None:
    feature.check()


def test_the_page_is_what_the_rows_give() -> None:
    path = Path(__file__).parent.parent / "docs/pytorch.md"
    assert path.read_text() == page(), "write it anew: python tests/torch_features.py > docs/pytorch.md"
