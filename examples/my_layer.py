"""A layer of your own: a gated unit, sigmoid(A x) * (B x), whose packed weight goes onto two crossbars."""

import torch
from torch import Tensor, nn

import ohmgrad as og
from ohmgrad.nn.convert import CONVERTERS


class Gated(nn.Module):  # digital, with one packed weight, as libraries have it
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(2 * outputs, inputs) * 0.3)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = (x @ self.weight.t()).chunk(2, -1)
        return gate.sigmoid() * value


class AnalogGated(nn.Module):
    def __init__(self, layer: Gated, omega: float | None, settings: dict) -> None:
        super().__init__()
        parts = layer.weight.chunk(2)
        self.gate, self.value = (og.AnalogLinear.from_weights(w, None, omega, settings) for w in parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.gate(x).sigmoid() * self.value(x)


def main() -> float:
    CONVERTERS[Gated] = AnalogGated  # from now on `convert` finds the layer in any model
    digital, x = nn.Sequential(Gated(8, 6), nn.Linear(6, 3)), torch.randn(5, 8)
    model = og.convert(digital, og.Device(og.SoftBounds.symmetric(0.6)))
    gap = (model(x) - digital(x)).abs().max().item()
    print(model, f"differs from the digital one by {gap:.1g}")
    return gap


if __name__ == "__main__":
    main()
