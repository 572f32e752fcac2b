"""The crossbar: one array of elements with the primitives that hardware has, and the gradient it takes."""

from .events import EVENTS
from .ranks import exchange_gradients, keep_own
from .tile import Tile, tiles_of

__all__ = ["EVENTS", "Tile", "exchange_gradients", "keep_own", "tiles_of"]
