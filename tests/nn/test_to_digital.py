"""to_digital(): the plain torch model that computes the same, for every layer and its options."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import NOISY_PERIPHERY, AnalogLinear, InputError, convert, to_digital
from ohmgrad.nn import AnalogLayer, analog_layers
from ohmgrad.nn.pretrained import digital_state
from tests.nn.test_layers import IDEAL, REAL, close


def conv1d_of_transformers() -> nn.Module:
    return pytest.importorskip("transformers.pytorch_utils").Conv1D(7, 5)


#: layer and shapes of its inputs
LAYERS: dict[str, tuple[Callable[[], Any], list[tuple[int, ...]]]] = {
    "linear": (lambda: nn.Linear(5, 7), [(2, 3, 5)]),
    "linear-no-bias": (lambda: nn.Linear(5, 7, bias=False), [(3, 5)]),
    "conv1d-of-transformers": (conv1d_of_transformers, [(2, 3, 5)]),
    "conv1d": (lambda: nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False), [(2, 4, 9)]),
    "conv1d-same": (lambda: nn.Conv1d(4, 6, 4, padding="same", dilation=2), [(2, 4, 9)]),
    "conv2d": (lambda: nn.Conv2d(3, 6, (2, 3), stride=(1, 2), padding=(0, 1)), [(2, 3, 6, 7)]),
    "conv2d-groups": (lambda: nn.Conv2d(4, 8, 3, groups=2, dilation=2, padding="valid"), [(2, 4, 6, 7)]),
    "conv2d-depthwise": (lambda: nn.Conv2d(4, 4, 2, groups=4, padding="same"), [(2, 4, 5, 5)]),
    **{
        f"conv2d-{mode}": (lambda mode=mode: nn.Conv2d(2, 5, 3, padding=2, padding_mode=mode), [(2, 2, 5, 5)])
        for mode in ("reflect", "replicate", "circular")
    },
    "conv3d": (lambda: nn.Conv3d(2, 5, 2, padding=(1, 0, 1), stride=2), [(2, 2, 3, 4, 3)]),
    "rnn": (lambda: nn.RNN(3, 5), [(4, 2, 3)]),
    "rnn-relu": (lambda: nn.RNN(3, 5, 2, "relu", bias=False, batch_first=True), [(4, 2, 3)]),
    "lstm": (lambda: nn.LSTM(3, 5, 2, bidirectional=True, batch_first=True, dropout=0.3), [(4, 2, 3)]),
    "lstm-no-bias": (lambda: nn.LSTM(3, 5, bias=False), [(4, 2, 3)]),
    "gru": (lambda: nn.GRU(3, 5, 3, bidirectional=True), [(4, 2, 3)]),
    "attention": (lambda: nn.MultiheadAttention(8, 2, dropout=0.1), [(4, 2, 8)] * 3),
    "attention-no-bias": (
        lambda: nn.MultiheadAttention(8, 4, bias=False, batch_first=True),
        [(4, 2, 8), (4, 3, 8), (4, 3, 8)],
    ),
    "attention-sizes": (
        lambda: nn.MultiheadAttention(8, 2, kdim=6, vdim=7),
        [(4, 2, 8), (3, 2, 6), (3, 2, 7)],
    ),
    "attention-sizes-no-bias": (
        lambda: nn.MultiheadAttention(8, 2, kdim=6, bias=False, batch_first=True),
        [(4, 2, 8), (4, 3, 6), (4, 3, 8)],
    ),
}  # fmt: skip


def made(name: str) -> tuple[Any, list[Tensor]]:
    """The layer, its weights out of the device's range so that scales are not 1, and inputs."""
    torch.manual_seed(1)
    make, shapes = LAYERS[name]
    layer = make()
    with torch.no_grad():
        for p in layer.parameters():
            p.mul_(8).add_(0.1 * torch.randn_like(p))
    return layer, [torch.randn(shape) for shape in shapes]


def outputs(result: Any) -> list[Tensor]:
    return [result] if isinstance(result, Tensor) else [t for part in result for t in outputs(part)]


def settings_of(layer: nn.Module) -> dict[str, Any]:
    """What torch's layer was made with, as it keeps it; and which parameters are trained."""
    own = {k: v for k, v in vars(layer).items() if k == "_reversed_padding_repeated_twice" or k[0] != "_"}
    names = {n: (p.requires_grad, p.dtype, p.shape) for n, p in layer.named_parameters()}
    return {
        "type": type(layer),
        "own": own,
        "parameters": names,
        "modules": [type(m) for m in layer.modules()],
    }


def check_same_layer(name: str, **settings: Any) -> None:
    layer, x = made(name)
    for training in (True, False):
        layer.train(training)
        again = to_digital(convert(layer, IDEAL, **settings))
        assert settings_of(again) == settings_of(layer)
        for key, value in again.state_dict().items():
            torch.testing.assert_close(value, layer.state_dict()[key], atol=1e-6, rtol=1e-6)
    for a, b in zip(outputs(again(*x)), outputs(layer(*x)), strict=True):
        close(a, b)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("settings", [{}, {"max_tile": (6, 3)}, {"omega": 0.3}], ids=str)
@pytest.mark.parametrize("name", LAYERS)
def test_the_layer_comes_back(name: str, settings: Any) -> None:
    check_same_layer(name, **settings)


def test_forgotten_scales_are_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AnalogLayer, "digital_weight", lambda self: self.weight.detach().clone())
    with pytest.raises(AssertionError):
        check_same_layer("linear")


@pytest.mark.parametrize("max_tile", [None, (6, 3)], ids=["whole", "split"])
@pytest.mark.parametrize("name", LAYERS)
def test_it_computes_what_the_layer_does_now(name: str, max_tile: Any) -> None:
    """After weights, scales, biases and arrays that products see with them have moved; in any periphery."""
    layer, x = made(name)
    twin: Any = convert(layer.eval(), REAL, max_tile=max_tile)
    noisy: Any = convert(layer.eval(), REAL, max_tile=max_tile, periphery=NOISY_PERIPHERY)
    with torch.no_grad():
        for model in (twin, noisy):
            for i, (_, part) in enumerate(analog_layers(model)):
                part.weight.mul_(0.5)
                part.out_scale.mul_(torch.linspace(0.5, 2, part.out_scale.numel()).view_as(part.out_scale))
                if part.bias is not None:
                    part.bias.add_(i + 1)
                for tile in part.tiles:
                    other = tile.sibling(1)
                    other.weight.fill_(0.05)
                    tile.companions.append((0.5, other))
    plain = to_digital(twin)
    moved = 0.0
    for a, b, before in zip(*(outputs(m(*x)) for m in (plain, twin, layer)), strict=True):
        close(a, b)
        moved = max(moved, float((a - before).detach().abs().max()))
    assert moved > 0.01
    # the same weights in noisy circuits are the same plain layer
    for key, value in to_digital(noisy).state_dict().items():
        assert torch.equal(value, plain.state_dict()[key])
    assert digital_state(twin).keys() == plain.state_dict().keys()
    for key, value in digital_state(twin).items():
        assert torch.equal(value, plain.state_dict()[key])


@pytest.mark.parametrize("name", ["linear", "conv1d-of-transformers", "conv2d", "lstm", "attention-sizes"])
def test_frozen_parameters_stay_frozen(name: str) -> None:
    layer, _ = made(name)
    parameters = list(layer.parameters())
    for i in range(len(parameters)):
        layer.requires_grad_(True)
        parameters[i].requires_grad_(False)
        assert settings_of(to_digital(convert(layer, IDEAL))) == settings_of(layer)


def test_packed_attention_is_frozen_if_all_three_projections_are() -> None:
    layer, _ = made("attention")
    twin: Any = convert(layer, IDEAL)
    for i, part in enumerate((twin.q_proj, twin.k_proj, twin.v_proj)):
        part.weight.requires_grad_(False)
        assert to_digital(twin).in_proj_weight.requires_grad == (i < 2)  # pyright: ignore


class Model(nn.Module):
    """A layer under several names and in a list, a layer that stays digital, and a tensor of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 4), nn.LayerNorm(4)
        self.again = nn.Sequential(self.first, nn.Tanh())
        self.plain = nn.Linear(4, 4)
        self.kept = [self.first]
        self.register_buffer("shift", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.plain(self.norm(self.again(self.first(x)))) + self.kept[0](x) + self.shift


def test_a_model_is_copied_with_its_shared_layers() -> None:
    torch.manual_seed(0)
    model = Model()
    model.first.eval()
    twin: Any = convert(model, IDEAL, exclude=["plain"], omega=0.5)
    twin.kept = [twin.first]
    before = copy.deepcopy(twin.state_dict())
    state = torch.get_rng_state()
    plain: Any = to_digital(twin)
    assert torch.equal(torch.get_rng_state(), state)
    assert type(plain) is Model
    assert type(plain.first) is nn.Linear
    assert plain.first is plain.again[0] is plain.kept[0]
    assert [m.training for m in plain.modules()] == [m.training for m in model.modules()]
    assert plain.state_dict().keys() == model.state_dict().keys() == digital_state(twin).keys()
    x = torch.randn(3, 4)
    close(plain(x), twin(x))
    with torch.no_grad():
        for p in (*plain.parameters(), *plain.buffers()):
            p.add_(1)
    for key, value in twin.state_dict().items():
        assert key.endswith(".analog.events") or torch.equal(value, before[key])
    assert type(twin.first) is AnalogLinear


def test_a_plain_model_is_copied_and_what_is_no_module_is_refused() -> None:
    model = nn.Sequential(nn.Linear(3, 2))
    again: Any = to_digital(model)
    assert again is not model
    assert torch.equal(again[0].weight, model[0].weight)
    wrong: Any = model.state_dict()
    with pytest.raises(InputError, match=r"model is a .*Dict, but must be a torch.nn.Module"):
        to_digital(wrong)


def test_an_analog_layer_of_an_unknown_type_is_refused() -> None:
    class Doubled(AnalogLinear):
        def forward(self, x: Tensor) -> Tensor:
            return 2 * super().forward(x)

    model = nn.Sequential(nn.Sequential(Doubled(3, 2, IDEAL)))
    for call in (to_digital, digital_state):
        with pytest.raises(InputError, match=r"layer '0.0' is a Doubled, whose plain layer is not known"):
            call(model)


def test_convert_takes_it_again() -> None:
    torch.manual_seed(0)
    model = convert(Model(), IDEAL, omega=0.5)
    again = convert(to_digital(model), IDEAL, omega=0.5)
    assert [n for n, _ in analog_layers(again)] == [n for n, _ in analog_layers(model)]
    for (_, a), (_, b) in zip(analog_layers(again), analog_layers(model), strict=True):
        close(a.weight, b.weight)
        close(a.out_scale, b.out_scale)


def test_transformers_have_their_fast_path_again() -> None:
    """What convert() did to torch's encoders is undone; hooks of others stay."""
    torch.manual_seed(2)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
    models = {
        nested: nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested).eval()
        for nested in (True, False)
    }
    x = torch.randn(2, 5, 8)
    for nested, model in models.items():
        seen: list[Any] = []
        model.layers[0].register_forward_pre_hook(lambda m, args, seen=seen: seen.append(m))
        twin = convert(convert(model, IDEAL, exclude=["*.linear1"]), IDEAL, omega=0.5)  # in two steps
        assert [len(m._forward_pre_hooks) for m in twin.layers] == [2, 1]  # pyright: ignore
        plain: Any = to_digital(twin)
        assert [len(m._forward_pre_hooks) for m in plain.layers] == [1, 0]
        assert plain.use_nested_tensor == model.use_nested_tensor == nested
        assert vars(plain).keys() == vars(model).keys()
        assert not any(
            vars(m).keys() - vars(n).keys() for m, n in zip(plain.modules(), model.modules(), strict=True)
        )
        with torch.no_grad():
            close(plain(x), twin(x))
            close(plain(x), model(x))
        assert [type(m) for m in seen] == [nn.TransformerEncoderLayer] * 4
