"""on_boards(): the arrays of a model on boards, which its user implements."""

from __future__ import annotations

from torch import nn

from ..checked import checked
from ..crossbar.board import Boards, Place, Placed
from ..errors import InputError
from ..ranges import OWN
from .convert import analog_layers

__all__ = ["on_boards"]


@checked(boards=OWN)
def on_boards(model: nn.Module, boards: Boards, *, program: bool = True) -> None:
    """Have every array of a model on a board from now on; algorithms, layers and losses stay as they are.

    Products, reads, pulses and programming go to the boards, and so do those of auxiliary arrays, for which
    optimizers ask `boards` in turn. The parameters of the model are then copies: `state_dict` of model and
    optimizer, `to_digital` and exports read the arrays anew, and weights that are loaded or written are
    programmed. A copy of the model is no longer on boards; it has what was read last.

    The device of the model describes the boards' elements to algorithms: granularity and range. Its noise,
    spread and retention are not simulated, and nor is the periphery.

    Args:
        model: converted; changed in place.
        boards: called with a `Place`; gives the `Board` of that array.
        program: write the weights of the model into the boards; false to go on from what they hold.

    Raises:
        InputError: when no layer is analog, boards cannot be called or lack a primitive, or weights are held.
    """
    layers = analog_layers(model)
    if not layers:
        raise InputError("the model has no analog layer: convert it first, ohmgrad.convert(model, device)")
    if not callable(boards):
        raise InputError(f"boards is a {type(boards).__name__}, but must be callable: boards(place) -> board")
    if held := [name for name, layer in layers for tile in layer._bound_tiles() if "fixed" in tile.memory]:
        raise InputError(
            f"layer {held[0]!r} has weights that are held, which pulses of a board would move: let them go, "
            "ohmgrad.hold(layer, None), and hold them on the board"
        )
    for name, layer in layers:
        for number, tile in enumerate(layer._bound_tiles()):
            place = Place(name, number, 0, tile.shape, tile.key.array)
            tile.contents.put_on(Placed(boards, place, program))
