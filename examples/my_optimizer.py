"""An algorithm of your own, from a tile's primitives: Tiki-Taka with signs. A fast array P collects the
gradient; then one column of P is read, and W gets one pulse wherever P says clearly which way to go."""

# %%
import torch

import ohmgrad as og


# %%
class SignTransfer(og.AnalogOptimizer):
    def __init__(self, params, lr: float, threshold: float = 0.05) -> None:
        super().__init__(params, {"lr": lr, "threshold": threshold})

    def analog_step(self, tile, x, d, group, state) -> None:
        fast = self.array(tile, state, "fast", role=1)
        fast.pulse(x, d, -group["lr"])
        column = state["next"] = (state.get("next", -1) + 1) % tile.shape[1]
        read = fast.read([column])[:, 0]
        counts = torch.zeros(tile.shape, dtype=torch.int64)
        counts[:, column] = torch.sign(read).long() * (read.abs() > group["threshold"])
        tile.pulse_counts(counts)


# %%
def main() -> float:
    torch.manual_seed(0)
    device = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.005, noise=og.Noise(0.3))
    model = og.convert(torch.nn.Linear(8, 3), device)
    optimizer = SignTransfer(model.parameters(), lr=0.05)
    truth, loss = torch.rand(3, 8) * 0.6 - 0.3, torch.zeros(1)
    with og.Live(model, optimizer) as live:
        for _ in range(800):
            x = torch.randn(10, 8)
            loss = (model(x) - x @ truth.t()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            live.update(loss)
    return loss.item()


# %%
if __name__ == "__main__":
    main()
