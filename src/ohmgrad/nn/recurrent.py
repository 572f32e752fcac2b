"""AnalogRNN, AnalogLSTM, AnalogGRU: recurrent layers whose input and hidden weights lie on crossbars."""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

from ..checked import checked
from ..devices import Device
from ..errors import InputError
from .parts import linears, part_names, torch_layer

__all__ = ["AbstractRecurrent", "AnalogGRU", "AnalogLSTM", "AnalogRNN"]

#: options of torch's recurrent layers; all others of a constructor are the tile's
_OPTIONS = ("num_layers", "bias", "batch_first", "dropout", "bidirectional", "nonlinearity", "proj_size")


class AbstractRecurrent(nn.Module, abc.ABC):
    """What the recurrent layers share: two crossbars for each layer and direction, time step by time step.

    With k gates, `input` holds the products of a whole sequence with W_ih (k H x inputs), `hidden` those of
    the state with W_hh (k H x H), one product a time step; both are `AnalogLinear` with digital biases and
    output scales. Keys are torch's suffixes: `l0`, `l0_reverse`, `l1`, ... Gates are digital. Factors of
    all time steps add up, as gradients do.

    Args:
        input_size, hidden_size: sizes.
        device: specification of the elements.
        omega: mapping of the initial weights into the device's range, see `convert`.
        settings: `num_layers`, `bias`, `batch_first`, `dropout`, `bidirectional` (and `nonlinearity` of
            an RNN) with torch's meaning; `pulsing`, `periphery`, `seed`, `array`, `backend` as for
            `AnalogLinear`; `digital`, names of parts that stay `nn.Linear`: "input.l0", "hidden.l0", ...

    Shape:
        (T, N, input_size), (N, T, input_size) with `batch_first`, or (T, input_size) without a batch ->
        (T, N, D hidden_size) likewise, with D = 2 if bidirectional; states (D num_layers, N, hidden_size).
        A PackedSequence gives a PackedSequence; only its own time steps are products and samples.

    Raises:
        InputError: for sizes or options that torch refuses, a projection of the state (`proj_size`), and
            inputs or states of a wrong shape.
    """

    #: torch's layer; names of its states
    digital: ClassVar[type[nn.RNNBase]]
    states: ClassVar[tuple[str, ...]] = ("h",)

    @checked
    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        device: Device,
        *,
        omega: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        layer = torch_layer(self.digital, (input_size, hidden_size), settings, _OPTIONS)
        self._fill(layer, omega, {"device": device, **settings})

    @classmethod
    def from_digital(cls, layer: nn.RNNBase, omega: float | None, settings: dict[str, Any]) -> Self:
        """The analog twin of a digital layer: the same function, up to what the device can hold."""
        twin = cls.__new__(cls)
        nn.Module.__init__(twin)
        twin._fill(layer, omega, settings)
        return twin

    def _fill(self, layer: nn.RNNBase, omega: float | None, settings: dict[str, Any]) -> None:
        if layer.proj_size:
            raise InputError(
                f"proj_size is {layer.proj_size}, but must be 0: put a Linear behind the layer, or exclude it"
            )
        self.input_size, self.hidden_size = layer.input_size, layer.hidden_size
        self.num_layers, self.bias = layer.num_layers, layer.bias
        self.batch_first, self.dropout = layer.batch_first, float(layer.dropout)
        self.bidirectional = layer.bidirectional
        self.nonlinearity: str = getattr(layer, "nonlinearity", "tanh")
        names = part_names(layer)
        self._keys = [name.removeprefix("input.") for name in names[::2]]
        ends = [f"{kind}_{key}" for key in self._keys for kind in ("ih", "hh")]
        weights = [
            (name, getattr(layer, f"weight_{end}"), getattr(layer, f"bias_{end}", None))
            for name, end in zip(names, ends, strict=True)
        ]
        made = linears(weights, omega, settings)
        self.input = nn.ModuleDict(dict(zip(self._keys, made[::2], strict=True)))
        self.hidden = nn.ModuleDict(dict(zip(self._keys, made[1::2], strict=True)))

    @abc.abstractmethod
    def cell(self, x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The state after one time step.

        Args:
            x: product of the input, (N, k H); h: product of the hidden state, (N, k H), both with bias.
            state: tensors (N, H), the hidden state first.
        """

    def flatten_parameters(self) -> None:
        """Nothing: torch's layers have it, and models call it."""

    def forward(self, x: Any, hx: Any = None) -> tuple[Any, Any]:
        packed = x if isinstance(x, PackedSequence) else None
        seq, sizes, batched = self._sequence(x)
        start = self._start(hx, seq, sizes[0], batched)
        if packed is not None:
            start = _ordered(start, packed.sorted_indices)
        ends: list[tuple[Tensor, ...]] = []
        width = len(self._keys) // self.num_layers  # directions
        for i in range(0, len(self._keys), width):
            if i and self.dropout:
                seq = F.dropout(seq, self.dropout, self.training)
            outputs = []
            for j in range(i, i + width):
                output, end = self._run(self._keys[j], seq, sizes, tuple(s[j] for s in start), back=j > i)
                outputs.append(output)
                ends.append(end)
            seq = outputs[0] if width == 1 else torch.cat(outputs, -1)
        last = tuple(torch.stack(parts) for parts in zip(*ends, strict=True))
        if packed is not None:
            seq, last = packed._replace(data=seq), _ordered(last, packed.unsorted_indices)
        else:
            seq = seq.unflatten(0, (len(sizes), sizes[0]))
            if not batched:
                seq, last = seq.squeeze(1), tuple(s.squeeze(1) for s in last)
            elif self.batch_first:
                seq = seq.transpose(0, 1)
        return seq, last[0] if len(last) == 1 else last

    def _run(
        self, key: str, seq: Tensor, sizes: list[int], start: tuple[Tensor, ...], back: bool
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """One layer in one direction: outputs (vectors, H) and the last states (N, H).

        Args:
            seq: vectors of all time steps, (sum of `sizes`, inputs).
            sizes: sequences at each time step; the longer ones come first in the batch.
        """
        products = self.input[key](seq).split(sizes)
        hidden = self.hidden[key]
        outputs: list[Tensor] = []
        ended: list[tuple[Tensor, ...]] = []
        now = tuple(s[: sizes[-1 if back else 0]] for s in start)
        for x in reversed(products) if back else products:
            n, before = len(x), len(now[0])
            if n > before:  # backwards, the shorter sequences begin later
                now = tuple(torch.cat([s, first[before:n]]) for s, first in zip(now, start, strict=True))
            elif n < before:
                ended.append(tuple(s[n:] for s in now))
                now = tuple(s[:n] for s in now)
            now = self.cell(x, hidden(now[0]), now)
            outputs.append(now[0])
        if ended:
            now = tuple(torch.cat(parts[::-1]) for parts in zip(*ended, now, strict=True))
        return torch.cat(outputs[::-1] if back else outputs), now

    def _sequence(self, x: Any) -> tuple[Tensor, list[int], bool]:
        """The vectors of all time steps, how many there are at each, and whether there is a batch."""
        size = self.input_size
        if isinstance(x, PackedSequence):
            if x.data.dim() != 2 or x.data.shape[1] != size:
                got = tuple(x.data.shape)
                raise InputError(f"data of the PackedSequence is {got}, but this layer needs (..., {size})")
            return x.data, x.batch_sizes.tolist(), True
        if x.dim() not in (2, 3) or x.shape[-1] != size:
            order = f"(N, T, {size})" if self.batch_first else f"(T, N, {size})"
            raise InputError(f"input is {tuple(x.shape)}, but this layer needs {order} or (T, {size})")
        batched = x.dim() == 3
        seq = x.unsqueeze(1) if not batched else x.transpose(0, 1) if self.batch_first else x
        if not len(seq):
            raise InputError(f"input is {tuple(x.shape)}, but a sequence needs at least one time step")
        return seq.flatten(0, 1), [seq.shape[1]] * len(seq), batched

    def _start(self, hx: Any, seq: Tensor, count: int, batched: bool) -> tuple[Tensor, ...]:
        """First states of `count` sequences, each (layers and directions, count, H); zeros by default."""
        shape = (len(self._keys), count, self.hidden_size)
        if hx is None:
            return (seq.new_zeros(shape),) * len(self.states)
        given = hx if isinstance(hx, tuple | list) else (hx,)
        wanted = shape if batched else (shape[0], shape[2])
        if len(given) != len(self.states) or any(tuple(s.shape) != wanted for s in given):
            names = ", ".join(f"{name}_0" for name in self.states)
            got = ", ".join(str(tuple(s.shape)) for s in given)
            raise InputError(f"initial states are {got}, but this layer needs {names}, each of {wanted}")
        return tuple(s if batched else s.unsqueeze(1) for s in given)

    def extra_repr(self) -> str:
        words = [f"{self.input_size}, {self.hidden_size}", f"num_layers={self.num_layers}"]
        words += [name for name in ("batch_first", "bidirectional") if getattr(self, name)]
        return ", ".join(words + ([f"dropout={self.dropout:g}"] if self.dropout else []))


class AnalogRNN(AbstractRecurrent):
    """h' = s(W_ih x + b_ih + W_hh h + b_hh) with s = tanh, or relu, as torch.nn.RNN; see `AbstractRecurrent`.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> layer = AnalogRNN(4, 8, Device(SoftBounds.symmetric(0.6)), bidirectional=True)
        >>> [tuple(t.shape) for t in layer(torch.ones(5, 3, 4))]
        [(5, 3, 16), (2, 3, 8)]
    """

    digital = nn.RNN

    def cell(self, x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (torch.tanh(x + h) if self.nonlinearity == "tanh" else torch.relu(x + h),)


class AnalogLSTM(AbstractRecurrent):
    """Long short-term memory as torch.nn.LSTM, see `AbstractRecurrent`; states (h, c).

        (i, f, g, o) = W_ih x + b_ih + W_hh h + b_hh
        c' = sigmoid(f) c + sigmoid(i) tanh(g),  h' = sigmoid(o) tanh(c')

    Hochreiter & Schmidhuber 1997 (10.1162/neco.1997.9.8.1735).
    """

    digital = nn.LSTM
    states = ("h", "c")

    def cell(self, x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        i, f, g, o = (x + h).chunk(4, -1)
        c = torch.sigmoid(f) * state[1] + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class AnalogGRU(AbstractRecurrent):
    """Gated recurrent unit as torch.nn.GRU, see `AbstractRecurrent`.

        (r, z, n) from W_ih x + b_ih and W_hh h + b_hh
        h' = n + z (h - n),  n = tanh(n_x + r n_h),  r and z sigmoids of their sums

    Cho et al. 2014 (10.3115/v1/D14-1179), with the reset gate behind the product as in torch.
    """

    digital = nn.GRU

    def cell(self, x: Tensor, h: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        (x_r, x_z, x_n), (h_r, h_z, h_n) = x.chunk(3, -1), h.chunk(3, -1)
        n = torch.tanh(x_n + torch.sigmoid(x_r + h_r) * h_n)
        return (n + torch.sigmoid(x_z + h_z) * (state[0] - n),)


def _ordered(states: tuple[Tensor, ...], order: Tensor | None) -> tuple[Tensor, ...]:
    """States (layers and directions, N, H) with the sequences in another order."""
    return states if order is None else tuple(s.index_select(1, order) for s in states)
