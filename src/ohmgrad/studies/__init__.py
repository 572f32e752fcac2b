"""Experiments: a specification in, numbers and figures out."""

from .folders import read_metrics, read_monitor, read_spec
from .spec import ALGORITHMS, RunSpec
from .train import Progress, train

__all__ = ["ALGORITHMS", "Progress", "RunSpec", "read_metrics", "read_monitor", "read_spec", "train"]
