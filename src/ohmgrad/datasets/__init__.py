"""Data sets: images in their original files (images.py), arrays of one's own (arrays.py), texts (text.py)."""

from .images import DATASETS, ENVIRONMENT, Dataset, batches, check_data, load

__all__ = ["DATASETS", "ENVIRONMENT", "Dataset", "batches", "check_data", "load"]
