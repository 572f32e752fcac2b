"""The crossbar: one array of elements with the primitives that hardware has, and the gradient it takes."""

from .array import EVENTS, tiles_of
from .programming import describe
from .tile import Tile

__all__ = ["EVENTS", "Tile", "describe", "tiles_of"]
