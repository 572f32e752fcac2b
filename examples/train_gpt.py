"""A small GPT on tiny Shakespeare: attention projections and MLPs on crossbars, or digital to compare.

The weights of the blocks are trained by `--algorithm`; everything else (embeddings, norms, head, biases,
output scales) is digital and trained by Adam. `adam` is all digital, all Adam.

Measured after 1000 steps, one seed, validation bits per character: adam 2.82, digital 2.92, tiki-taka 3.15,
sgd 3.51; with blocks that nobody trains (`--algorithm digital --lr 0`) 3.49. Rates were tried out briefly
(two or three values of `digital` and `sgd` at 200 to 400 steps, none of tiki-taka's options tuned)."""

import argparse
from typing import Any

import torch
from rich.progress import track

import ohmgrad as og
from ohmgrad.datasets import text
from ohmgrad.devices.presets import preset
from ohmgrad.models import gpt

ALGORITHMS = {
    "adam": (None, 3e-3),
    "digital": (torch.optim.SGD, 1.0),
    "sgd": (og.AnalogSGD, 0.1),
    "tiki-taka": (lambda p, lr: og.TikiTaka(p, lr, fast_lr=lr, transfer_lr=1.0, columns=4), 0.5),
}


def main(arguments: list[str] | None = None) -> float:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--algorithm", choices=ALGORITHMS, default="tiki-taka")
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--lr", type=float, help="of the blocks' weights")
    parser.add_argument("--report", type=int, default=200, help="steps between validations")
    args = parser.parse_args(arguments)
    shakespeare = text.load("shakespeare")
    make, lr = ALGORITHMS[args.algorithm]
    lr = lr if args.lr is None else args.lr
    model: Any = gpt.GPT(len(shakespeare.vocabulary))
    if args.algorithm in ("sgd", "tiki-taka"):
        model = og.convert(model, preset("paper"), include=["blocks.*"])
    blocks = [p for n, p in model.named_parameters() if make and n.startswith("blocks") and p.dim() == 2]
    others = [p for p in model.parameters() if not any(p is b for b in blocks)]
    optimizers = [torch.optim.Adam(others, 3e-3 if blocks else lr)]
    optimizers += [make(blocks, lr)] if make else []
    held_out, loss = text.windows(shakespeare.test, 64, 128, seed=1, step=0), float("nan")
    for step in track(range(args.steps + 1), args.algorithm):
        if step % args.report == 0 or step == args.steps:
            with torch.no_grad():
                loss = gpt.bits(model, *held_out).item()
            print(f"step {step:5}  validation {loss:.3f} bits per character")
        for optimizer in optimizers:
            optimizer.zero_grad()
        gpt.bits(model, *text.windows(shakespeare.train, 64, 16, seed=0, step=step)).backward()
        for optimizer in optimizers:
            optimizer.step()
    print(shakespeare.decode(gpt.sample(model, shakespeare.encode("\n"), 300)))
    return loss


if __name__ == "__main__":
    main()
