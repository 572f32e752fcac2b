"""Packed sequences in recurrent layers are torch's: outputs, states, gradients, and no padded samples."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from ohmgrad import AnalogLSTM, AnalogSGD, InputError, Periphery, Pulsing, convert
from ohmgrad.nn import analog_layers
from tests.nn.test_recurrent import IDEAL, IN, PERIPHERIES, REAL, SHAPES, TWINS, H, close, digital, flat

#: sorted, all alike, unsorted with two alike, and one sequence alone
LENGTHS = {"sorted": [5, 3, 1], "alike": [4, 4], "unsorted": [2, 5, 1, 5], "one": [3]}


def packed(lengths: list[int], batch_first: bool, leaf: Tensor) -> PackedSequence:
    """The sequences, (N, T, IN), packed; those that are not sorted need `enforce_sorted` False."""
    x = leaf if batch_first else leaf.transpose(0, 1)
    in_order = lengths == sorted(lengths, reverse=True)
    return pack_padded_sequence(x, torch.tensor(lengths), batch_first, enforce_sorted=in_order)


def run(
    layer: Any, lengths: list[int], with_states: bool
) -> tuple[PackedSequence, list[Tensor], list[Tensor]]:
    """Packed outputs; all outputs; gradients of inputs, first states and parameters of a mixed loss."""
    g = torch.Generator().manual_seed(1)
    x = torch.randn(len(lengths), max(lengths), IN, generator=g).requires_grad_()
    n = layer.num_layers * (1 + layer.bidirectional)
    lstm = isinstance(layer, nn.LSTM | AnalogLSTM)
    hx = [torch.randn(n, len(lengths), H, generator=g).requires_grad_() for _ in range(1 + lstm)]
    given = (tuple(hx) if lstm else hx[0]) if with_states else None
    y, last = layer(packed(lengths, layer.batch_first, x), given)
    assert isinstance(y, PackedSequence)
    found = [y.data, *flat(last)]
    sum((t * torch.linspace(-1, 2, t.numel()).view_as(t)).sum() for t in found).backward()  # pyright: ignore
    leaves = [x, *hx] if with_states else [x]
    return y, [t.detach() for t in found], [t.grad for t in leaves if t.grad is not None]


def check(kind: str, shape: str, lengths: list[int], states: bool, omega: Any, periphery: Periphery) -> None:
    layer = digital(kind, **SHAPES[shape])
    twin: Any = convert(layer, IDEAL, omega=omega, periphery=periphery)
    mine, torchs = run(twin, lengths, states), run(layer, lengths, states)
    for name in ("batch_sizes", "sorted_indices", "unsorted_indices"):
        a, b = getattr(mine[0], name), getattr(torchs[0], name)
        assert (a is None and b is None) or torch.equal(a, b)
    for some, others in zip(mine[1:], torchs[1:], strict=True):
        for a, b in zip(some, others, strict=True):
            close(a, b)
    for key in twin.input:
        for which, part in (("ih", twin.input[key]), ("hh", twin.hidden[key])):
            scale = part.out_scale.detach().unsqueeze(1)
            close(part.weight.grad, getattr(layer, f"weight_{which}_{key}").grad * scale)
            if layer.bias:
                close(part.bias.grad, getattr(layer, f"bias_{which}_{key}").grad)
    for a, b in zip(*(pad_packed_sequence(y[0], layer.batch_first) for y in (mine, torchs)), strict=True):
        close(a, b)


@pytest.mark.parametrize("lengths", LENGTHS)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("kind", TWINS)
def test_packed_is_torchs(kind: str, shape: str, lengths: str) -> None:
    for states in (False, True):
        check(kind, shape, LENGTHS[lengths], states, None, Periphery())


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("kind", TWINS)
def test_mapped_weights_and_by_vectors(kind: str, periphery: str) -> None:
    check(kind, "both-ways", LENGTHS["unsorted"], True, 0.5, PERIPHERIES[periphery])


def test_a_wrong_end_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: the backward direction of all sequences begins at the longest one's end."""
    right = AnalogLSTM._run

    def wrong(self: Any, key: str, seq: Tensor, sizes: list[int], start: Any, back: bool) -> Any:
        y, end = right(self, key, seq, sizes, start, back)
        return (y.flip(0), end) if back else (y, end)

    monkeypatch.setattr(AnalogLSTM, "_run", wrong)
    with pytest.raises(AssertionError):
        check("lstm", "both-ways", [5, 3], False, None, Periphery())


@pytest.mark.parametrize("shape", ["plain", "both-ways"])
@pytest.mark.parametrize("kind", TWINS)
def test_only_true_time_steps_are_products_and_samples(kind: str, shape: str) -> None:
    """Every crossbar sees one vector a true time step in each pass, and the optimizer as many samples."""
    lengths = LENGTHS["unsorted"]
    twin: Any = convert(digital(kind, **SHAPES[shape]), IDEAL, pulsing=Pulsing(fidelity="mean"))
    optimizer = AnalogSGD(twin.parameters(), lr=1e-3)  # few pulses a sample, so that none is cut off
    before = [part.weight.detach().clone() for _, part in analog_layers(twin)]
    plain = digital(kind, **SHAPES[shape])
    for layer in (twin, plain):
        run(layer, lengths, False)
    optimizer.step()
    steps = sum(lengths)
    # nobody asks for the gradient of the states that a direction begins with: 4 sequences, or 2 at the end
    asked = {"input": (steps, steps), "hidden": (steps - 4, steps - 2)}
    for (name, part), old in zip(analog_layers(twin), before, strict=True):
        assert part.tiles[0].count("forward_vectors") == steps, name
        which, key = name.split(".")
        assert part.tiles[0].count("backward_vectors") == asked[which][key.endswith("_reverse")], name
        gradient = getattr(plain, f"weight_{'ih' if which == 'input' else 'hh'}_{key}").grad
        # a sample makes some tenths of the gradient; weights are rounded by 1e-7
        torch.testing.assert_close((old - part.weight.detach()) / 1e-3, gradient, atol=1e-3, rtol=1e-3)


def test_packed_as_padded_with_lengths_alike_to_the_bit() -> None:
    """The same pulses, too."""
    g = torch.Generator().manual_seed(3)
    x = torch.randn(4, 3, IN, generator=g)
    ends = []
    for pack in (False, True):
        twin: Any = convert(digital("lstm", num_layers=2, bidirectional=True), REAL)
        optimizer = AnalogSGD(twin.parameters(), lr=0.1)
        for _ in range(2):
            y, _ = twin(pack_padded_sequence(x, torch.tensor([4, 4, 4])) if pack else x)
            y = y.data if pack else y.flatten(0, 1)
            optimizer.zero_grad()
            y.square().sum().backward()
            optimizer.step()
        ends.append([p.detach() for p in twin.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_wrong_states_are_refused() -> None:
    twin: Any = convert(digital("gru"), IDEAL)
    x = packed([4, 2], False, torch.zeros(2, 4, IN))
    with pytest.raises(InputError, match=r"initial states are \(1, 3, 5\), but .* h_0, each of \(1, 2, 5\)"):
        twin(x, torch.zeros(1, 3, H))
