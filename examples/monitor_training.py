"""The predicted floor beside a training of your own: one line attaches a monitor to a plain torch loop.

Labels are noisy, so Analog SGD comes to rest where drift and gradient balance, and not at zero gradient."""

# %%
import torch

import ohmgrad as og


# %%
def main() -> float:
    torch.manual_seed(0)
    device = og.Device(og.SoftBounds.symmetric(0.6), dw_min=0.001, noise=og.Noise(0.3))
    model = og.convert(torch.nn.Linear(8, 3), device)
    optimizer = og.AnalogSGD(model.parameters(), lr=0.02)
    monitor = og.Monitor(model, optimizer, every=2, memory=200)
    truth = torch.randn(3, 8) * 0.3
    x = torch.randn(1000, 8)
    with og.Live(model, optimizer, monitor=monitor) as live:
        for _ in range(1000):
            x = torch.randn(10, 8)
            y = x @ truth.t() + 0.2 * torch.randn(10, 3)
            loss = (model(x) - y).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            live.update(loss)
    for row in monitor.rows[4::5]:
        print(
            f"update {row['step']:4}  squared gradient {row['gradient_sq']:.5f}, floor {row['floor']:.5f}  "
            f"drift {row['drift']:.5f} of {row['signal']:.5f} per update"
        )
    return (model(x) - x @ truth.t()).square().mean().item()


# %%
if __name__ == "__main__":
    main()
