"""A device of your own: two callables for the step of a pulse up and a pulse down.

Here the step falls exponentially towards the bound. Analog SGD trains a small regression on it.
"""

# %%
import torch

import ohmgrad as og

device = og.Device(
    og.Custom(up=lambda w: torch.exp(-1.5 * (w - 0.2)), down=lambda w: torch.exp(1.5 * (w - 0.2))),
    dw_min=0.005,
    spread=og.Spread(dw_min=0.2),
    noise=og.Noise(0.3),
)

# %% tags=["active-ipynb"]
# device


# %%
def main() -> float:
    torch.manual_seed(0)
    print(f"symmetric point {device.nominal.response.symmetric_point():+.3f}, {device.states:.0f} states")
    model = og.convert(torch.nn.Linear(8, 3), device)
    optimizer = og.AnalogSGD(model.parameters(), lr=0.05)
    truth = torch.randn(3, 8) * 0.3
    loss = torch.tensor(0.0)
    with og.Live(model, optimizer) as live:
        for _ in range(200):
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
