"""The networks of the experiments, as plain torch modules."""

from .registry import MODELS, build, check_model, last_layer

__all__ = ["MODELS", "build", "check_model", "last_layer"]
