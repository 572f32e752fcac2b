"""An algorithm of your own, from a tile's primitives: accumulate digitally, write whole pulses.
Mixed precision (Nandakumar et al. 2020, 10.3389/fnins.2020.00406): H -= lr d^T x; then
n = trunc(H / dw_min) pulses go to the element, and H keeps the rest."""

import torch

import ohmgrad as og


class MixedPrecision(og.AnalogOptimizer):
    def __init__(self, params, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    def analog_step(self, tile, x, d, group, state) -> None:
        h = state.setdefault("h", torch.zeros(tile.shape))
        h.addmm_(d.t(), x, alpha=-group["lr"])
        n = torch.trunc(h / tile.device.dw_min).long()
        h -= n * tile.device.dw_min
        tile.pulse_counts(n)


def main() -> float:
    torch.manual_seed(0)
    device = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.005, noise=og.Noise(0.3))
    model = og.convert(torch.nn.Linear(8, 3), device)
    optimizer = MixedPrecision(model.parameters(), lr=0.05)
    truth = torch.rand(3, 8) * 0.6 - 0.3
    loss = torch.tensor(0.0)
    for _ in range(200):
        x = torch.randn(10, 8)
        loss = (model(x) - x @ truth.t()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    print(f"loss {loss.item():.4f}, {optimizer.events()['pulses_up']} pulses up")
    return loss.item()


if __name__ == "__main__":
    main()
