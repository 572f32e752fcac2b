"""Data loaders and other processes that get a model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, multiprocessing
from torch.utils.data import DataLoader, Dataset

from ohmgrad import AnalogSGD

from . import Group, X, Y, ideal, loss_of, mlp, real, same, step

group = Group("Workers")


class Prepared(Dataset[Tensor]):
    """Samples that an analog model has prepared, in the worker."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> Tensor:
        torch.set_num_threads(1)
        with torch.no_grad():
            return self.model(X[i : i + 1])[0]


@group.works("`DataLoader` with workers, by fork or spawn, also with an analog model in the workers")
def loader() -> None:
    model = real()
    with torch.no_grad():
        wanted = model(X)
    for how in ("fork", "spawn"):
        loaded = DataLoader(Prepared(model), 4, num_workers=1, multiprocessing_context=how)
        same(torch.cat(list(loaded)), wanted)


def train_in(model: Any, queue: Any) -> None:
    torch.set_num_threads(1)
    optimizer = AnalogSGD(model.parameters(), lr=0.5)
    for _ in range(3):
        step(model, optimizer)
    queue.put((model[0].weight.detach().sum().item(), optimizer.events()["updates"]))


@group.works(
    "a model that another process trains, with `share_memory()` or without",
    "weights are shared, counts of events are not: several processes that train one model draw the same "
    "random numbers",
)
def other_process() -> None:
    digital = mlp()
    sgd = torch.optim.SGD(digital.parameters(), lr=0.5)
    for _ in range(3):
        step(digital, sgd)
    context = multiprocessing.get_context("fork")
    for shared in (False, True):
        model: Any = ideal(mlp())
        loss_of(model, X, Y).backward()
        if shared:
            model.share_memory()
        queue = context.SimpleQueue()
        process: Any = context.Process(target=train_in, args=(model, queue))
        process.start()
        total, updates = queue.get()
        process.join()
        assert updates == 6
        same(total, digital[0].weight.sum().item(), atol=1e-5)
        same(model[0].weight.detach(), (digital if shared else mlp())[0].weight.detach())
        assert model[0].tiles[0].count("updates") == 0
