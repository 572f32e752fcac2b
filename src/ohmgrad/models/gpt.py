"""A small GPT in plain torch (Radford et al. 2019, "Language models are unsupervised multitask learners")."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..errors import InputError, check_integer
from ..rng import Key, Purpose, words

__all__ = ["GPT", "bits", "sample"]


class Block(nn.Module):
    """x -> x + attention(norm(x)), then x -> x + mlp(norm(x)); attention looks back only."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).flatten(2))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    """Decoder-only Transformer with learned positions, norms before the layers, and an untied head.

    `convert(model, device, include=["blocks.*"])` puts all attention projections and MLPs onto crossbars,
    and leaves embeddings, norms and the head digital.

    Args:
        vocabulary: characters; context: longest sequence.
        width, layers, heads: sizes; width is a multiple of heads.
        seed: of the initial weights; the global generator is left as it was.

    Shape:
        int64 (N, T <= context) -> logits (N, T, vocabulary)

    Raises:
        InputError: when width is no multiple of heads, or a sequence is longer than the context.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int = 64,
        width: int = 64,
        layers: int = 2,
        heads: int = 4,
        *,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value in (
            ("vocabulary", vocabulary),
            ("context", context),
            ("width", width),
            ("heads", heads),
        ):
            check_integer(name, value, 1)
        check_integer("layers", layers, 0)
        if width % heads:
            raise InputError(f"width is {width}, but must be a multiple of heads, {heads}")
        self.context = context
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(check_integer("seed", seed))
            self.characters, self.places = nn.Embedding(vocabulary, width), nn.Embedding(context, width)
            self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
            self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary)
            for embedding in (self.characters, self.places):
                nn.init.normal_(embedding.weight, std=0.1)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() != 2 or not 1 <= x.shape[1] <= self.context:
            raise InputError(f"input is {tuple(x.shape)}, but this model needs (N, 1 to {self.context})")
        h = self.characters(x) + self.places.weight[: x.shape[1]]
        return self.head(self.norm(self.blocks(h)))


def bits(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Mean cross-entropy in bits per character of inputs and targets, int64 (N, T) each; differentiable."""
    return F.cross_entropy(model(x).flatten(0, 1), y.flatten()) / math.log(2)


@torch.no_grad()
def sample(model: GPT, start: Tensor, count: int, *, seed: int = 0) -> Tensor:
    """Continue a text, each character drawn with the model's probability.

    Args:
        model: a GPT; start: int64 (T,), at least one character; count: characters to add.
        seed: of the draws.

    Returns:
        int64 (T + count,).
    """
    count, seed = check_integer("count", count, 0), check_integer("seed", seed, 0, 2**32 - 1)
    # an address each, so that a longer text goes on after a shorter one
    text, draws = start, words(1, torch.arange(count), 0, Purpose.SAMPLE, Key(seed, 0))[:, 0]
    for i in range(count):
        chances = model(text[-model.context :].unsqueeze(0))[0, -1].double().softmax(0).cumsum(0)
        drawn = torch.searchsorted(chances, (draws[i] + 0.5) * 2.0**-32, right=True)
        text = torch.cat([text, drawn.clamp(max=len(chances) - 1).view(1)])
    return text
