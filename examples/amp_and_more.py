"""What torch brings for training, all in one loop; comments say what it means for an analog weight."""

# %%
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.checkpoint import checkpoint

import ohmgrad as og


# %%
def main(steps: int = 100) -> float:
    torch.manual_seed(0)
    samples, truth, errors = torch.randn(64, 8), torch.randn(8, 2) * 0.3, []
    for dtype in (torch.bfloat16, torch.float16):
        torch.manual_seed(1)
        net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 2))
        model = og.convert(net, og.Device(og.SoftBounds.symmetric(0.6), 0.001, noise=og.Noise(0.3)))
        optimizer = og.TikiTaka(model.parameters(), lr=0.3, fast_lr=0.3, columns=2)
        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps, 0.02)  # of how far pulses go
        # scales the factors of an analog gradient; a step with infinities is left out and sends no pulse
        scaler = torch.amp.GradScaler("cpu", enabled=dtype == torch.float16)
        averaged = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.9))  # a digital copy of reads
        for _ in range(steps):
            for x in samples.split(32):  # accumulation: the step pulses sample by sample, through both
                with torch.autocast("cpu", dtype):  # analog layers stay in float32: elements know no other
                    y = checkpoint(model, x, use_reentrant=False)  # products are done and counted twice
                scaler.scale((y - torch.tanh(x @ truth)).square().mean() / 2).backward()
            scaler.unscale_(optimizer)
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)  # the norm of d^T x, from its factors
            scaler.step(optimizer)  # uses analog gradients up; zero_grad is for digital ones
            scaler.update()
            optimizer.zero_grad()
            scheduler.step()
            averaged.update_parameters(model)
        errors.append((averaged(samples) - torch.tanh(samples @ truth)).square().mean().item())
    print(f"mean square error of the averaged model: bfloat16 {errors[0]:.4f}, float16 {errors[1]:.4f}")
    return max(errors)


# %%
if __name__ == "__main__":
    main()

# %% tags=["active-ipynb"]
# og.Device(og.SoftBounds.symmetric(0.6), 0.001, noise=og.Noise(0.3))
