"""torch.export and ONNX take what to_digital() gives, with every layer type in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ohmgrad import convert, to_digital
from tests.nn.test_layers import IDEAL, close
from tests.nn.test_to_digital import LAYERS, made, outputs

FLAT = "ignore:The tensor attributes:UserWarning"  # torch's own recurrent layers


@pytest.mark.filterwarnings(FLAT, "ignore:Using padding='same'")
@pytest.mark.parametrize("name", LAYERS)
def test_torch_export_takes_every_layer(name: str) -> None:
    layer, x = made(name)
    twin = convert(layer.eval(), IDEAL, omega=0.5)
    program = torch.export.export(to_digital(twin), tuple(x))
    for a, b in zip(outputs(program.module()(*x)), outputs(twin(*x)), strict=True):
        close(a, b)


class Everything(nn.Module):
    """One layer of every type, each with inputs of its own."""

    def __init__(self) -> None:
        super().__init__()
        names = ("linear", "conv1d-same", "conv2d-groups", "conv3d", "rnn", "lstm", "gru", "attention")
        pairs = [made(name) for name in names]
        self.layers = nn.ModuleList([layer for layer, _ in pairs])
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.inputs = [x for _, several in pairs for x in several[:1]] + [torch.randn(2, 3, 8)]

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        found = []
        for layer, x in zip([*self.layers, self.encoder], inputs, strict=True):
            found += outputs(layer(x, x, x) if isinstance(layer, nn.MultiheadAttention) else layer(x))
        return tuple(found)


@pytest.mark.filterwarnings(FLAT, "ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_takes_every_layer() -> None:
    pytest.importorskip("onnxscript")
    reference = pytest.importorskip("onnx.reference")
    torch.manual_seed(0)
    model = Everything().eval()
    twin: Any = convert(model, IDEAL, omega=0.5)
    program: Any = torch.onnx.export(to_digital(twin), tuple(model.inputs), dynamo=True, verbose=False)
    graph = program.model_proto
    given = {i.name: x.numpy() for i, x in zip(graph.graph.input, model.inputs, strict=True)}
    found = reference.ReferenceEvaluator(graph).run(None, given)
    with torch.no_grad():
        wanted = [outputs(part) for part in _alone(twin, model.inputs)]
    for a, b in zip(found, [t for part in wanted for t in part], strict=True):
        close(torch.as_tensor(a), b)


def _alone(twin: Any, inputs: list[Tensor]) -> Any:
    for layer, x in zip([*twin.layers, twin.encoder], inputs, strict=True):
        yield layer(x, x, x) if hasattr(layer, "num_heads") else layer(x)
