"""What convert() says of layers that it cannot take."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from ohmgrad import InputError, LeftDigitalWarning, convert
from ohmgrad.nn import analog_layers, left_digital
from tests.nn.test_layers import IDEAL


class Own(nn.Linear):
    pass


class OwnAttention(nn.MultiheadAttention):
    pass


class Matrix(nn.Module):
    """A layer of one's own that multiplies by its weight."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.eye(3))


#: layers with matrices that stay digital, and what is said of them
LEFT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    **{
        kind.__name__: (lambda kind=kind: kind(3, 4), "no analog layer of this type")
        for kind in (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
    },
    **{
        f"ConvTranspose{n}d": (
            lambda n=n: getattr(nn, f"ConvTranspose{n}d")(3, 4, 2),
            "no analog layer of this type",
        )
        for n in (1, 2, 3)
    },
    "Bilinear": (lambda: nn.Bilinear(3, 4, 5), "no analog layer of this type"),
    "ParametrizedLinear": (
        lambda: parametrizations.spectral_norm(nn.Linear(3, 4)),
        "parametrized, see torch.nn.utils.parametrize.remove_parametrizations",
    ),
    "ParametrizedConv1d": (lambda: parametrizations.weight_norm(nn.Conv1d(3, 4, 2)), "parametrized"),
    "ParametrizedGRU": (lambda: parametrizations.orthogonal(nn.GRU(3, 4), "weight_hh_l0"), "parametrized"),
    "Own": (lambda: Own(3, 4), "a subclass of Linear, which may compute something else"),
    "OwnAttention": (lambda: OwnAttention(4, 2), "a subclass of MultiheadAttention, which may"),
    "Matrix": (Matrix, "not a layer type that convert knows"),
}

#: modules with parameters that are no weight matrices
SILENT: dict[str, Callable[[], nn.Module]] = {
    "Embedding": lambda: nn.Embedding(5, 4),
    "EmbeddingBag": lambda: nn.EmbeddingBag(5, 4),
    "LayerNorm": lambda: nn.LayerNorm((3, 4)),
    "BatchNorm2d": lambda: nn.BatchNorm2d(4),
    "GroupNorm": lambda: nn.GroupNorm(2, 4),
    "RMSNorm": lambda: nn.RMSNorm(4),
    "PReLU": lambda: nn.PReLU(4),
    "ParameterList": lambda: nn.ParameterList([torch.zeros(1, 16, 4)]),
}


@pytest.mark.parametrize("name", LEFT)
def test_a_layer_that_stays_digital_is_named_with_the_reason(name: str) -> None:
    make, reason = LEFT[name]
    for model, place in ((make(), "the model"), (nn.Sequential(nn.Tanh(), make()), "1")):
        with pytest.raises(InputError) as caught:
            convert(model, IDEAL)
        message = str(caught.value)
        assert message.startswith(f"no layer can be converted: {name} ('{place}'): {reason}")
        assert "; convertible are Linear, Conv2d, Conv1d, Conv3d, RNN, LSTM, GRU, MultiheadAtt" in message
    model = nn.Sequential(nn.Linear(3, 3), make(), nn.Sequential(make()), nn.Linear(3, 3))
    with pytest.warns(LeftDigitalWarning) as seen:
        twin = convert(model, IDEAL)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    text = str(seen[0].message)
    assert text.startswith(f"layers with weight matrices stay digital: {name} ('1', '2.0'): {reason}")
    assert text.endswith(". Exclude them by name if this is meant")
    assert [n for n, _ in analog_layers(twin)] == ["0", "3"]
    assert {n: r[: len(reason)] for n, r in left_digital(twin).items()} == {"1": reason, "2.0": reason}
    silent(model, exclude=["1", "2.*"])  # it is meant
    silent(model, include=["0"])  # not asked for
    with pytest.raises(InputError, match=r"pattern '1' matches no layer that can be converted: "):
        convert(model, IDEAL, include=["0", "1"])
    with pytest.raises(InputError, match=rf"no layer is left to convert \({name} \('1', '2.0'\): .*\): give"):
        convert(model, IDEAL, exclude=["0", "3"])


def silent(model: nn.Module, **settings: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("error", LeftDigitalWarning)
        return convert(model, IDEAL, **settings)


@pytest.mark.parametrize("name", SILENT)
def test_what_has_no_matrix_is_left_without_a_word_unless_it_is_all(name: str) -> None:
    model = nn.Sequential(nn.Linear(4, 4), SILENT[name]())
    assert left_digital(silent(model)) == {}
    with pytest.raises(InputError, match=rf"no layer can be converted: {name} \('0'\): "):
        convert(nn.Sequential(SILENT[name]()), IDEAL)


@pytest.mark.filterwarnings("ignore:Lazy modules")
@pytest.mark.parametrize("name", ["LazyLinear", "LazyConv2d", "LazyConvTranspose1d", "LazyBatchNorm2d"])
def test_lazy_layers_are_to_be_called_first(name: str) -> None:
    """torch copies no such layer, though it be excluded."""
    kind = getattr(nn, name)
    make = (lambda: kind(4)) if name == "LazyLinear" else kind if "Norm" in name else (lambda: kind(4, 2))
    reason = (
        rf"the model has {name} \('1'\): no weights before its first call: call the model once, then convert"
    )
    model = nn.Sequential(nn.Conv2d(3, 4, 2), make(), nn.Conv2d(4, 3, 1))
    for settings in ({}, {"exclude": ["1"]}, {"include": ["0"]}):
        with pytest.raises(InputError, match=reason):
            convert(model, IDEAL, **settings)
    if name in ("LazyLinear", "LazyConv2d"):
        model[1](torch.zeros(1, 4, 6, 6))
        assert [n for n, _ in analog_layers(convert(model, IDEAL))] == ["0", "1", "2"]


def test_parameters_of_the_model_itself_are_no_layer() -> None:
    """A learned position is as often a matrix as not."""

    class Patches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.position, self.head = nn.Parameter(torch.zeros(7, 4)), nn.Linear(4, 2)

    assert left_digital(silent(Patches())) == {}


def test_other_types_than_those_asked_for() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Conv1d(3, 3, 1), nn.LSTMCell(3, 3), Own(3, 3))
    twin = silent(nn.Sequential(*model), types=[nn.Conv1d])
    assert left_digital(twin) == {
        "0": "left out by name or type",
        "2": "no analog layer of this type",
        "3": "a subclass of Linear, which may compute something else",
    }
    with pytest.warns(LeftDigitalWarning, match=r"digital: Own \('3'\): a subclass of Linear.* Exclude"):
        convert(model, IDEAL, types=[nn.Linear])
    with pytest.raises(
        InputError, match=r"converted: Conv1d \('0'\): not among the types asked for; .* Linear$"
    ):
        convert(nn.Sequential(nn.Conv1d(3, 3, 1)), IDEAL, types=[nn.Linear])


def test_what_is_left_after_a_first_conversion() -> None:
    with pytest.warns(LeftDigitalWarning):
        once = convert(nn.Sequential(nn.Linear(3, 3), nn.Bilinear(3, 3, 3)), IDEAL)
    with pytest.raises(
        InputError, match=r"convert; analog already: '0'; digital: Bilinear \('1'\): no analog"
    ):
        convert(once, IDEAL)


def test_many_layers_make_a_short_message() -> None:
    model = nn.Sequential(*(nn.LSTMCell(2, 2) for _ in range(500)))
    with pytest.raises(InputError) as caught:
        convert(model, IDEAL)
    assert "LSTMCell ('0', '1', '2', and 497 more): no analog" in str(caught.value)
    model = nn.Sequential(*(nn.Linear(2, 2) for _ in range(500)))
    with pytest.raises(InputError) as caught:
        convert(model, IDEAL, include=["head"])
    assert "the candidates are '0', '1', " in str(caught.value)
    assert len(str(caught.value)) < 200
