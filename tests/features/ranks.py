"""What two ranks of a process group do, each a process of its own; started once."""

from __future__ import annotations

import functools
import importlib.util
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard

from ohmgrad import AnalogSGD, InputError, exchange_gradients

from . import X, Y, digital_weights, ideal, loss_of, mlp, step, trained

__all__ = ["raise_from_ranks", "ranks", "shard_rows"]

CODE = "import sys; from tests.features.ranks import work; work(int(sys.argv[1]), sys.argv[2])"


@functools.cache
def ranks() -> dict[str, Any]:
    """Results of `work`, the same on both ranks."""
    here = str(Path(__file__).parents[2])
    with tempfile.TemporaryDirectory() as folder:
        started = [
            subprocess.Popen([sys.executable, "-W", "ignore", "-c", CODE, str(rank), folder], cwd=here)
            for rank in range(2)
        ]
        assert [process.wait(timeout=600) for process in started] == [0, 0]
        found = [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(2)]
    for name, value in found[0].items():
        if not isinstance(value, str):
            torch.testing.assert_close(found[1][name], value)
        else:
            assert found[1][name] == value
    return found[0]


def raise_from_ranks(what: str) -> None:
    """Raise what a rank raised."""
    raise InputError(ranks()[what])


def shard_rows() -> Any:
    """The example of a layer on two ranks."""
    path = Path(__file__).parents[2] / "examples" / "shard_rows.py"
    spec: Any = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def work(rank: int, folder: str) -> None:
    """All that the rows need, one after the other."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for name, wrap in (("ddp", nn.parallel.DistributedDataParallel), ("fsdp", fully_shard)):
        model = ideal(mlp())
        wrapped = wrap(model)
        try:
            step(wrapped, AnalogSGD(wrapped.parameters(), lr=0.5))
        except InputError as error:
            found[name] = str(error)

    x, y = X[rank::2], Y[rank::2]
    for name in ("exchanged", "sgd", "reduced", "alone"):
        model = ideal(mlp())
        if name == "exchanged":
            exchange_gradients(model)
        wrapped = nn.parallel.DistributedDataParallel(model) if name in ("exchanged", "sgd") else model
        make = AnalogSGD if name == "exchanged" else torch.optim.SGD
        optimizer = make(trained(model), 0.5)
        for _ in range(3):
            optimizer.zero_grad()
            loss_of(wrapped, *(X, Y) if name == "alone" else (x, y)).backward()
            for p in trained(model) if name == "reduced" else []:
                distributed.all_reduce(p.grad)
                p.grad /= 2  # pyright: ignore
            optimizer.step()
        found[name] = digital_weights(model)
    found["rows"] = shard_rows().train(True)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()
