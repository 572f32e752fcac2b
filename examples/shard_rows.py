"""Half of every layer's rows on one rank, half on another: the same network as with two tiles on one."""

import subprocess
import sys
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, distributed, nn

import ohmgrad as og

DEVICE = og.Device(og.SoftBounds.symmetric(0.6), noise=og.Noise(0.3))


class Rows(nn.Module):  # all ranks have inputs and outputs
    def __init__(self, whole: nn.Module, array: int) -> None:
        super().__init__()
        part, self.rank = nn.Linear(8, 4), distributed.get_rank()
        part.load_state_dict({name: p.chunk(2)[self.rank] for name, p in whole.state_dict().items()})
        settings = {"device": DEVICE, "array": array + 256 * self.rank}
        self.layer = og.crossbar.keep_own(og.AnalogLinear.from_digital(part, None, settings))

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:  # the gradient of x is the sum of what all rows give
            x.register_hook(lambda g: distributed.all_reduce(total := g.clone()) or total)
        y = self.layer(x)
        distributed.all_gather(parts := [torch.empty_like(y), torch.empty_like(y)], y.detach())
        return torch.cat([y if rank == self.rank else part for rank, part in enumerate(parts)], 1)


def train(on_ranks: bool) -> Tensor:
    torch.manual_seed(0)
    x, net = torch.randn(32, 8), nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    y = torch.tanh(x @ torch.randn(8, 8) * 0.3)
    if on_ranks:
        net = nn.Sequential(Rows(net[0], 0), nn.Tanh(), Rows(net[2], 512))
    else:
        net = og.convert(net, DEVICE, max_tile=(4, 8))
    optimizer = og.TikiTaka(net.parameters(), lr=0.5, fast_lr=0.2, columns=4)
    for _ in range(200):
        optimizer.zero_grad()
        (net(x) - y).square().mean().backward()
        optimizer.step()
    return torch.stack([(net(x) - y).square().mean(), net(x).sum()]).detach()


def main() -> float:
    with TemporaryDirectory() as folder:
        run = [subprocess.Popen([sys.executable, __file__, folder, str(rank)]) for rank in range(2)]
        assert [process.wait() for process in run] == [0, 0]
        found = [train(False), *(torch.load(f"{folder}/{rank}.pt") for rank in range(2))]
    print("mean square error and sum of the outputs on one rank, and on both:", *found)
    return float(torch.stack(found).std(0).max() + found[0][0])


if __name__ == "__main__" and len(sys.argv) > 1:
    folder, rank = sys.argv[1], int(sys.argv[2])
    distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    torch.save(train(True), f"{folder}/{rank}.pt")
elif __name__ == "__main__":
    main()
