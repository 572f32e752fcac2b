"""The crossbar: one array of elements with the primitives that hardware has, and the gradient it takes."""

from .board import Board, Place
from .events import EVENTS
from .ranks import exchange_gradients, keep_own
from .simulated_board import SimulatedBoard
from .tile import Tile, tiles_of

__all__ = [
    "EVENTS",
    "Board",
    "Place",
    "SimulatedBoard",
    "Tile",
    "exchange_gradients",
    "keep_own",
    "tiles_of",
]
