"""Attention on crossbars is torch's: outputs, weights, masks, gradients, factors, Transformer layers."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import (
    AnalogMultiheadAttention,
    AnalogSGD,
    ConstantStep,
    Device,
    InputError,
    Noise,
    Periphery,
    SoftBounds,
    convert,
)
from ohmgrad.nn import analog_layers
from tests.cases import SPREADS

IDEAL = Device(ConstantStep(-2, 2), dw_min=1e-3)
REAL = Device(SoftBounds.symmetric(0.6), 0.001, SPREADS["spread"], Noise(0.3))
PERIPHERIES = {"perfect": Periphery(), "by-vector": Periphery(out_bound=1e9)}
E, HEADS, N, L, S = 8, 2, 3, 4, 5
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no-bias": {"bias": False},
    "batch-first": {"batch_first": True},
    "other-sizes": {"kdim": 6, "vdim": 7},
    "other-sizes-no-bias": {"kdim": 6, "bias": False, "batch_first": True},
}
CAUSAL = nn.Transformer.generate_square_subsequent_mask(L)
PADDING = torch.tensor([[False] * S, [False] * 3 + [True] * 2, [False, True, False, False, True]])
MASKS: dict[str, dict[str, Any]] = {
    "none": {},
    "hidden": {"attn_mask": torch.ones(L, S).triu(2).bool()},
    "added": {"attn_mask": torch.linspace(-1, 1, L * S).view(L, S)},
    "of-each-head": {"attn_mask": torch.linspace(-1, 1, N * HEADS * L * S).view(N * HEADS, L, S)},
    "padded": {"key_padding_mask": PADDING},
    "padded-and-hidden": {"key_padding_mask": PADDING, "attn_mask": torch.ones(L, S).triu(2).bool()},
    "padded-by-numbers": {
        "key_padding_mask": torch.zeros(N, S).masked_fill(PADDING, -math.inf),
        "attn_mask": torch.linspace(-1, 1, L * S).view(L, S),
    },
}


def digital(**options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(3)
    layer = nn.MultiheadAttention(E, HEADS, **options)
    with torch.no_grad():
        for p in layer.parameters():  # torch's biases start at 0
            p.add_(0.1 * torch.randn_like(p))
    return layer


def inputs(layer: Any, batched: bool = True, same: bool = False) -> list[Tensor]:
    """Query, key and value as leaves; one tensor three times for self-attention."""
    g = torch.Generator().manual_seed(1)
    lengths = (L,) if same else (L, S, S)
    sizes = (layer.embed_dim, layer.kdim, layer.vdim)
    made = [torch.randn(N, n, e, generator=g) for n, e in zip(lengths, sizes, strict=False)]
    if not batched:
        made = [t[0] for t in made]
    elif not layer.batch_first:
        made = [t.transpose(0, 1) for t in made]
    return [t.detach().clone().requires_grad_() for t in made] * (3 if same else 1)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, atol=1e-5 * max(1.0, float(b.detach().abs().max())), rtol=1e-5)


def run(layer: Any, qkv: list[Tensor], options: dict[str, Any]) -> tuple[list[Tensor], list[Tensor]]:
    for t in qkv:
        t.grad = None
    y, weights = layer(*qkv, **options)
    loss = (y * torch.linspace(-1, 2, y.numel()).view_as(y)).sum()
    if weights is not None:
        loss = loss + (weights * torch.linspace(-2, 1, weights.numel()).view_as(weights)).sum()
    loss.backward()
    outputs = [y.detach()] if weights is None else [y.detach(), weights.detach()]
    return outputs, [t.grad.clone() for t in qkv if t.grad is not None]


def check_twin(
    layer: Any, qkv: list[Tensor], omega: float | None, periphery: Periphery, **options: Any
) -> None:
    twin: Any = convert(layer, IDEAL, omega=omega, periphery=periphery)
    layer.zero_grad()
    parts = [twin.q_proj, twin.k_proj, twin.v_proj, twin.out_proj]
    for mine, torchs in zip(run(twin, qkv, options), run(layer, qkv, options), strict=True):
        assert len(mine) == len(torchs)
        for a, b in zip(mine, torchs, strict=True):
            close(a, b)
    packed = layer.in_proj_weight is not None
    own = [getattr(layer, f"{n}_proj_weight") for n in "qkv"]
    grads = layer.in_proj_weight.grad.chunk(3) if packed else [w.grad for w in own]
    for part, gradient in zip(parts, [*grads, layer.out_proj.weight.grad], strict=True):
        ((x, d),) = part.weight.grad.factors()
        close(d.t() @ x, gradient * part.out_scale.detach().unsqueeze(1))
    if layer.in_proj_bias is not None:
        close(torch.cat([part.bias.grad for part in parts[:3]]), layer.in_proj_bias.grad)
        close(twin.out_proj.bias.grad, layer.out_proj.bias.grad)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", OPTIONS)
def test_attention_is_torchs(name: str, mask: str, need_weights: bool) -> None:
    layer = digital(**OPTIONS[name])
    check_twin(layer, inputs(layer), None, Periphery(), need_weights=need_weights, **MASKS[mask])


@pytest.mark.parametrize("periphery", PERIPHERIES)
@pytest.mark.parametrize("options", [{}, {"average_attn_weights": False}, {"need_weights": False}], ids=str)
@pytest.mark.parametrize("batched", [True, False])
def test_mapped_weights_by_vectors_and_without_a_batch(batched: bool, options: Any, periphery: str) -> None:
    layer = digital()
    check_twin(layer, inputs(layer, batched), 0.5, PERIPHERIES[periphery], **options)
    padding = {"key_padding_mask": PADDING if batched else PADDING[1]}
    check_twin(layer, inputs(layer, batched), 0.5, PERIPHERIES[periphery], **options, **padding)


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_self_attention_and_the_causal_hint(training: bool, need_weights: bool) -> None:
    layer = digital(batch_first=True).train(training)
    options: dict[str, Any] = {"attn_mask": CAUSAL, "need_weights": need_weights}
    for hint in (True, False):
        check_twin(layer, inputs(layer, same=True), None, Periphery(), is_causal=hint, **options)
    twin: Any = convert(layer, IDEAL)
    x = inputs(layer, same=True)[0]
    with torch.no_grad():  # torch would take its fast path here
        for a, b in zip(twin(x, x, x), layer(x, x, x), strict=True):
            close(a, b)


def test_wrong_heads_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug: features go round the heads."""
    monkeypatch.setattr(
        AnalogMultiheadAttention, "_heads", lambda self, x: x.unflatten(-1, (-1, HEADS)).permute(0, 3, 1, 2)
    )
    layer = digital()
    with pytest.raises(AssertionError):
        check_twin(layer, inputs(layer), None, Periphery())


def test_dropout_of_weights_in_training_only() -> None:
    layer = digital(dropout=0.5, batch_first=True)
    twin: Any = convert(layer, IDEAL)
    x = torch.randn(200, 10, E, generator=torch.Generator().manual_seed(4))
    dropped = twin(x, x, x, average_attn_weights=False)[1]
    twin.eval()
    whole = twin(x, x, x, average_attn_weights=False)[1]
    close(whole, layer.eval()(x, x, x, average_attn_weights=False)[1])
    kept = dropped != 0
    close(dropped[kept], 2 * whole[kept])
    # binomial, n = 200 * 2 * 10 * 10 weights, p = 1/2
    assert abs(float(kept.float().mean()) - 0.5) < 4.5 * 0.5 / math.sqrt(dropped.numel())


def test_made_directly_with_its_own_elements() -> None:
    layer = AnalogMultiheadAttention(E, HEADS, REAL, kdim=6, dropout=0.1, batch_first=True, seed=4, array=512)
    keys = [part.tiles[0].key for _, part in analog_layers(layer)]
    assert [(k.seed, k.array) for k in keys] == [(4, 512 + 256 * i) for i in range(4)]
    assert (layer.dropout, layer.batch_first, layer.kdim, layer.vdim) == (0.1, True, 6, E)
    assert [part.tiles[0].shape for _, part in analog_layers(layer)] == [(8, 8), (8, 6), (8, 8), (8, 8)]


def test_frozen_parameters_stay_frozen() -> None:
    layer = digital()
    assert layer.in_proj_bias is not None
    layer.in_proj_weight.requires_grad_(False)
    with torch.no_grad():
        twin = convert(layer, IDEAL)
    frozen = {n for n, p in twin.named_parameters() if not p.requires_grad}
    assert frozen == {f"{n}_proj.{what}" for n in "qkv" for what in ("weight", "out_scale")}


# --- inside torch's Transformers -----------------------------------------------------------------


def transformer(kind: str, **options: Any) -> Any:
    torch.manual_seed(4)
    layer: Any = getattr(nn, f"Transformer{kind}Layer")(E, HEADS, 16, dropout=0.0, **options)
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(2)  # beyond the range: scales are not 1
    return layer


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("norm_first", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_encoder_and_decoder_layers(training: bool, norm_first: bool, batch_first: bool) -> None:
    options = {"batch_first": batch_first, "norm_first": norm_first}
    g = torch.Generator().manual_seed(6)
    x, memory = torch.randn(N, L, E, generator=g), torch.randn(N, S, E, generator=g)
    if not batch_first:
        x, memory = x.transpose(0, 1), memory.transpose(0, 1)
    encoder, decoder = (transformer(k, **options).train(training) for k in ("Encoder", "Decoder"))
    twins: list[Any] = [convert(m, Device(SoftBounds.symmetric(0.6))) for m in (encoder, decoder)]
    assert [len(analog_layers(t)) for t in twins] == [6, 10]
    assert all(m.training == training for t in twins for m in t.modules())
    masks = {"tgt_mask": CAUSAL, "tgt_is_causal": True, "memory_key_padding_mask": PADDING}
    for graph in (True, False):
        with torch.set_grad_enabled(graph):
            close(twins[0](x, src_mask=CAUSAL, is_causal=True), encoder(x, src_mask=CAUSAL, is_causal=True))
            close(twins[0](x), encoder(x))
            close(twins[1](x, memory, **masks), decoder(x, memory, **masks))
    assert twins[0].self_attn.q_proj.tiles[0].count("forward_vectors") == 4 * N * L


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
def test_an_encoder_made_of_converted_layers() -> None:
    """torch copies the layer and looks at its attention's attributes."""
    layer = transformer("Encoder", batch_first=True)
    twin: Any = convert(layer, Device(SoftBounds.symmetric(0.6)))
    x = torch.randn(N, L, E, generator=torch.Generator().manual_seed(6))
    padding = torch.zeros(N, L, dtype=torch.bool)
    padding[1, 2:] = True
    for training in (True, False):
        pair = [nn.TransformerEncoder(m, 2).train(training) for m in (twin, layer)]
        with torch.set_grad_enabled(training):
            a, b = (m(x, src_key_padding_mask=padding) for m in pair)
        close(a[~padding], b[~padding])


def train(model: Any, steps: int) -> list[float]:
    g = torch.Generator().manual_seed(5)
    x = torch.randn(16, L, E, generator=g)
    y = x.flip(1) * 0.5  # what stands at the mirrored place
    optimizer, losses = AnalogSGD(model.parameters(), lr=0.2), list[float]()
    place = torch.eye(L, E) * 2
    for _ in range(steps):
        loss = (model(x + place, x + place, x + place)[0] - y).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def test_pulses_train_it_and_checkpoints_go_on_exactly() -> None:
    model, again = (convert(digital(batch_first=True), REAL) for _ in range(2))
    losses = train(model, 100)
    assert losses[-1] < 0.8 * losses[0]
    again.load_state_dict(copy.deepcopy(model.state_dict()))
    assert train(again, 3) == train(model, 3)


def test_what_is_refused() -> None:
    layer = AnalogMultiheadAttention(E, HEADS, IDEAL, batch_first=True)
    x, y = torch.zeros(N, L, E), torch.zeros(N, S, E)
    for call, message in (
        (lambda: layer(x, y, y[:, 1:]), r"query, key, value are \(3, 4, 8\), \(3, 5, 8\), \(3, 4, 8\) as"),
        (lambda: layer(x, y[1:], y[1:]), "query, key, value are"),
        (lambda: layer(x, y[..., 1:], y), r"but this layer needs \(N, L, 8\), \(N, S, 8\), \(N, S, 8\)"),
        (lambda: layer(x, y, y, is_causal=True), "is_causal is a hint about attn_mask: pass the mask"),
        (lambda: layer(x, y, y, attn_mask=CAUSAL), r"attn_mask is \(4, 4\), .* \(L, S\) = \(4, 5\) or"),
        (lambda: layer(x, y, y, key_padding_mask=PADDING[1:]), r"key_padding_mask is \(2, 5\), but"),
        (lambda: AnalogMultiheadAttention(8, 3, IDEAL), r"torch does not make MultiheadAttention\(8, 3\): "),
        (lambda: convert(digital(add_bias_kv=True), IDEAL), "add_bias_kv is True, but must be False"),
        (lambda: convert(digital(add_zero_attn=True), IDEAL), "add_zero_attn is True, but must be False"),
    ):
        with pytest.raises(InputError, match=message):
            call()


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_computed_weight_is_refused() -> None:
    for name, part in (("in_proj_weight", ""), ("weight", "out_proj")):
        layer = digital()
        nn.utils.weight_norm(layer.get_submodule(part), name)
        with pytest.raises(InputError, match="a weight of layer '0' is not a parameter but computed"):
            convert(nn.Sequential(layer), IDEAL)
