"""A first look: a device, a model on crossbars, a training while it goes on, and a tile after it.

In a notebook the last line of a cell draws what it names. In a terminal the training is drawn in place."""

# %% [markdown]
# A device is its response: how far a pulse moves the weight, up and down, by the weight. Where both are
# equal is the symmetric point.

# %%
import torch

import ohmgrad as og
from ohmgrad.devices.presets import preset

device = preset("paper")

# %% tags=["active-ipynb"]
# device

# %% [markdown]
# `convert` puts the layers of a model on crossbars. `show` says what is there, and what is left digital.

# %%
torch.manual_seed(0)
model = og.convert(torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.Linear(8, 3)), device)

# %% tags=["active-ipynb"]
# og.show(model)

# %% [markdown]
# One line in the loop draws the training: the loss, the squared gradient beside the floor that the theory
# predicts, pulses a second, and the weights against the symmetric points.


# %%
def main() -> float:
    optimizer = og.TikiTaka(model.parameters(), lr=0.05, fast_lr=0.05, columns=2)
    truth, loss = torch.randn(3, 8) * 0.3, torch.zeros(1)
    with og.Live(model, optimizer) as live:
        for _ in range(1000):
            x = torch.randn(10, 8)
            loss = (model(x) - x @ truth.t()).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            live.update(loss)
    return loss.item()


if __name__ == "__main__":
    main()

# %% [markdown]
# A tile is one crossbar: its weights now, and all that it counted.

# %% tags=["active-ipynb"]
# model[0].tiles[0]
