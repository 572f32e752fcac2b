"""AnalogMultiheadAttention: attention whose four projections lie on crossbars."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..checked import checked
from ..devices import Device
from ..errors import InputError
from .parts import linears, part_names, pieces, torch_layer

__all__ = ["AnalogMultiheadAttention"]

#: options of torch's layer; all others of the constructor are the tile's
_OPTIONS = ("dropout", "bias", "add_bias_kv", "add_zero_attn", "kdim", "vdim", "batch_first")


class AnalogMultiheadAttention(nn.Module):
    """Attention of several heads (Vaswani et al. 2017, arXiv 1706.03762), as torch.nn.MultiheadAttention.

        out = W_o concat_h( softmax(q_h k_h^T / sqrt(E/heads) + mask) v_h ) + b_o
        q = W_q query + b_q,  k = W_k key + b_k,  v = W_v value + b_v

    `q_proj`, `k_proj`, `v_proj` and `out_proj` are `AnalogLinear`; torch's packed in-projection becomes
    three crossbars. Products of queries with keys and of weights with values are digital, for they
    multiply activations and no stored weights.

    Args:
        embed_dim, num_heads: sizes; embed_dim is a multiple of num_heads.
        device: specification of the elements.
        omega: mapping of the initial weights into the device's range, see `convert`.
        settings: `dropout`, `bias`, `kdim`, `vdim`, `batch_first` with torch's meaning; `pulsing`,
            `periphery`, `seed`, `array`, `backend` as for `AnalogLinear`; `digital`, names of projections
            that stay `nn.Linear`.

    Shape:
        query (L, N, embed_dim), key (S, N, kdim), value (S, N, vdim), N first with `batch_first`, or
        without N -> (L, N, embed_dim) likewise, and the weights (N, L, S), or (N, heads, L, S) without
        `average_attn_weights`, or None without `need_weights`

    Raises:
        InputError: for sizes that torch refuses, `add_bias_kv` or `add_zero_attn`, and inputs or masks of
            a wrong shape.

    Example:
        >>> from ohmgrad.devices import Device, SoftBounds
        >>> layer = AnalogMultiheadAttention(8, 2, Device(SoftBounds.symmetric(0.6)), batch_first=True)
        >>> x = torch.ones(3, 5, 8)
        >>> [tuple(t.shape) for t in layer(x, x, x)]
        [(3, 5, 8), (3, 5, 5)]
    """

    # torch's Transformer layers look at these before they read weights in evaluation: both say no
    _qkv_same_embed_dim = False
    in_proj_bias = None

    @checked
    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        device: Device,
        *,
        omega: float | None = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        layer = torch_layer(nn.MultiheadAttention, (embed_dim, num_heads), settings, _OPTIONS)
        self._fill(layer, omega, {"device": device, **settings})

    @classmethod
    def from_digital(
        cls, layer: nn.MultiheadAttention, omega: float | None, settings: dict[str, Any]
    ) -> AnalogMultiheadAttention:
        """The analog twin of a digital layer: the same function, up to what the device can hold."""
        twin = cls.__new__(cls)
        nn.Module.__init__(twin)
        twin._fill(layer, omega, settings)
        return twin

    def _fill(self, layer: nn.MultiheadAttention, omega: float | None, settings: dict[str, Any]) -> None:
        for name, used in (("add_bias_kv", layer.bias_k is not None), ("add_zero_attn", layer.add_zero_attn)):
            if used:
                raise InputError(f"{name} is True, but must be False: exclude the layer to keep it digital")
        self.embed_dim, self.num_heads, self.dropout = layer.embed_dim, layer.num_heads, layer.dropout
        self.kdim, self.vdim, self.batch_first = layer.kdim, layer.vdim, layer.batch_first
        packed = pieces(layer.in_proj_weight, 3)
        own = (layer.q_proj_weight, layer.k_proj_weight, layer.v_proj_weight)
        weights: list[Any] = packed if layer.in_proj_weight is not None else list(own)
        biases = pieces(layer.in_proj_bias, 3)
        weights.append(layer.out_proj.weight)
        biases.append(layer.out_proj.bias)
        made = linears(zip(part_names(layer), weights, biases, strict=True), omega, settings)
        self.q_proj, self.k_proj, self.v_proj, self.out_proj = made

    def forward(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        attn_mask: Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, Tensor | None]:
        """Attention; arguments and results as torch's.

        Args:
            key_padding_mask: (N, S), True or -inf at keys to leave out.
            attn_mask: (L, S) or (N heads, L, S), True or -inf where a query must not look at a key; other
                numbers are added to the scores.
            is_causal: a hint that attn_mask is causal, which must be given all the same.
        """
        if is_causal and attn_mask is None:
            raise InputError(
                "is_causal is a hint about attn_mask: pass the mask, "
                "torch.nn.Transformer.generate_square_subsequent_mask(L)"
            )
        batched = query.dim() == 3
        if not batched:
            query, key, value = (t.unsqueeze(0) for t in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (t.transpose(0, 1) for t in (query, key, value))
        self._check(query, key, value)
        mask = self._mask(query, key, key_padding_mask, attn_mask)
        q = self._heads(self.q_proj(query))
        k, v = self._heads(self.k_proj(key)), self._heads(self.v_proj(value))
        dropout, weights = self.dropout if self.training else 0.0, None
        if need_weights:
            scores = (q / math.sqrt(q.shape[-1])) @ k.transpose(-2, -1)
            weights = F.dropout(torch.softmax(scores if mask is None else scores + mask, -1), dropout)
            y = weights @ v
        else:
            y = F.scaled_dot_product_attention(q, k, v, mask, dropout)
        y = self.out_proj(y.transpose(1, 2).flatten(2))
        if weights is not None and average_attn_weights:
            weights = weights.mean(1)
        if not batched:
            return y.squeeze(0), None if weights is None else weights.squeeze(0)
        return y if self.batch_first else y.transpose(0, 1), weights

    def _heads(self, x: Tensor) -> Tensor:
        """(N, length, embed_dim) -> (N, heads, length, embed_dim / heads)."""
        return x.unflatten(-1, (self.num_heads, -1)).transpose(1, 2)

    def _check(self, query: Tensor, key: Tensor, value: Tensor) -> None:
        """Raise InputError unless the batches, (N, length, size), fit together."""
        sizes = (self.embed_dim, self.kdim, self.vdim)
        got = [tuple(t.shape) for t in (query, key, value)]
        fits = all(t.dim() == 3 and t.shape[2] == n for t, n in zip((query, key, value), sizes, strict=True))
        if not fits or key.shape[:2] != value.shape[:2] or len(query) != len(key):
            raise InputError(
                f"query, key, value are {got[0]}, {got[1]}, {got[2]} as (N, length, size), but this layer "
                f"needs (N, L, {sizes[0]}), (N, S, {sizes[1]}), (N, S, {sizes[2]})"
            )

    def _mask(self, query: Tensor, key: Tensor, padding: Tensor | None, attn: Tensor | None) -> Tensor | None:
        """Both masks as one that is added to the scores (N, heads, L, S), broadcast; None for none."""
        n, length, size = len(query), query.shape[1], key.shape[1]
        parts: list[Tensor] = []
        if padding is not None:
            if tuple(padding.shape) != (n, size):
                got = tuple(padding.shape)
                raise InputError(f"key_padding_mask is {got}, but this layer needs (N, S) = ({n}, {size})")
            parts.append(_added(padding, query).view(n, 1, 1, size))
        if attn is not None:
            every = (n * self.num_heads, length, size)
            if tuple(attn.shape) not in ((length, size), every):
                raise InputError(
                    f"attn_mask is {tuple(attn.shape)}, but this layer needs (L, S) = ({length}, {size}) or "
                    f"(N heads, L, S) = {every}"
                )
            attn = _added(attn, query)
            parts.append(attn if attn.dim() == 2 else attn.view(n, self.num_heads, length, size))
        return sum(parts[1:], parts[0]) if parts else None


def _added(mask: Tensor, like: Tensor) -> Tensor:
    """A mask as numbers to add: -inf where a boolean one is True."""
    if mask.dtype != torch.bool:
        return mask.to(like.dtype)
    return torch.zeros(mask.shape, dtype=like.dtype, device=like.device).masked_fill_(mask, -math.inf)
