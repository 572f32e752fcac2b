"""Experiments: a specification in, numbers and figures out."""

from .spec import ALGORITHMS, RunSpec
from .train import Progress, read_metrics, train

__all__ = ["ALGORITHMS", "Progress", "RunSpec", "read_metrics", "train"]
