"""torch.compile breaks its graph at analog layers and steps, which do what they do without it, to the bit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import NOISY_PERIPHERY, Device, InputError, Noise, SoftBounds, Spread, TikiTaka, convert

DEVICE = Device(SoftBounds.symmetric(0.6), 0.001, Spread(dw_min=0.3), Noise(0.3))
X = torch.linspace(-1, 1, 4 * 36).sin()


class First(nn.Module):
    """The output sequence of a layer that gives more."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, *inputs: Tensor) -> Tensor:
        return self.layer(*inputs)[0]


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[Tensor, ...]]] = {
    "linear": (lambda: nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3)), (X.view(-1, 6),)),
    "conv": (lambda: nn.Sequential(nn.Conv2d(1, 2, 3, groups=1), nn.ReLU()), (X.view(4, 1, 6, 6),)),
    "lstm": (lambda: First(nn.LSTM(6, 3, batch_first=True)), (X.view(4, 6, 6),)),
    "attention": (lambda: First(nn.MultiheadAttention(6, 2)), (X.view(4, 6, 6),) * 3),
}
SETTINGS: dict[str, dict[str, Any]] = {
    "perfect": {},
    "noisy, split": {"periphery": NOISY_PERIPHERY, "max_tile": (4, 4)},
}


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def made(name: str, how: str) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = convert(MODELS[name][0](), DEVICE, **SETTINGS[how])
    return model, TikiTaka(model.parameters(), lr=0.2, fast_lr=0.1, gamma=0.5)


@pytest.mark.parametrize("how", SETTINGS)
@pytest.mark.parametrize("name", MODELS)
def test_a_compiled_model_and_step_train_as_they_do_uncompiled(name: str, how: str) -> None:
    found = []
    for compiled in (False, True):
        model, optimizer = made(name, how)
        run, step = model, optimizer.step
        if compiled:
            run, step = (torch.compile(part, backend="aot_eager") for part in (model, optimizer.step))
        for _ in range(3):
            optimizer.zero_grad()
            run(*MODELS[name][1]).square().mean().backward()
            step()
        found.append(([p.detach() for p in model.parameters()], optimizer.events()))
    assert found[0][1] == found[1][1]
    assert found[0][1]["pulses_up"] > 0
    for a, b in zip(found[0][0], found[1][0], strict=True):
        torch.testing.assert_close(b, a, rtol=1e-5, atol=1e-6)  # digital parts may sum in another order


@pytest.mark.parametrize("name", MODELS)
def test_no_graph_has_a_product_of_an_analog_layer(name: str) -> None:
    """Where torch traces them, its default backend fails as counts of events change."""
    model, _ = made(name, "noisy, split")
    graphs: list[str] = []

    def backend(traced: Any, inputs: Any) -> Any:
        graphs.append(str(traced.graph))
        return traced.forward

    inputs = tuple(x.clone().requires_grad_() for x in MODELS[name][1])
    torch.compile(nn.Sequential(model, nn.Tanh()) if len(inputs) == 1 else model, backend=backend)(*inputs)
    assert not [g for g in graphs if "autograd_function_apply" in g]


@pytest.mark.parametrize("name", MODELS)
def test_an_export_is_refused_before_anything_is_counted(name: str) -> None:
    model, optimizer = made(name, "perfect")
    with pytest.raises(InputError, match=r"export ohmgrad\.to_digital\(model\)"):
        torch.export.export(model, MODELS[name][1])
    assert set(optimizer.events().values()) == {0}
