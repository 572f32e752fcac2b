"""Several processes."""

from __future__ import annotations

import tempfile
from typing import Any

from torch import distributed, nn

from . import Group, beside_torch, same, step
from .ranks import raise_from_ranks, ranks, shard_rows

group = Group("Several processes")


@group.works("`nn.DataParallel` on the CPU")
def data_parallel() -> None:
    def train(model: Any, sgd: Any) -> list[float]:
        optimizer = sgd(model.parameters())
        return [step(nn.DataParallel(model), optimizer) for _ in range(3)]

    beside_torch(train)


@group.works("`DistributedDataParallel` in a process group of one rank")
def one_rank() -> None:
    with tempfile.TemporaryDirectory() as folder:
        distributed.init_process_group("gloo", init_method=f"file://{folder}/one", rank=0, world_size=1)
        try:

            def train(model: Any, sgd: Any) -> list[float]:
                wrapped = nn.parallel.DistributedDataParallel(model)
                optimizer = sgd(wrapped.parameters())
                return [step(wrapped, optimizer) for _ in range(3)]

            beside_torch(train)
        finally:
            distributed.destroy_process_group()


@group.works(
    "`DistributedDataParallel` over several ranks, after `ohmgrad.exchange_gradients(model)`",
    "ranks send each other the factors of their samples, and each sends the pulses of all: replicas are the "
    "same to the bit, as one process on the joint batch is but for the rounding of gradients. A layer gives "
    "4 (inputs + outputs) bytes a sample, where a matrix would have 4 inputs x outputs",
)
def exchanged() -> None:
    found = ranks()
    same(found["exchanged"], found["alone"])


RANKS = (
    "a process group of 2 ranks is there, where analog weights would drift apart: call "
    "ohmgrad.exchange_gradients(model) before DistributedDataParallel(model)"
)


@group.refused("`DistributedDataParallel` over several ranks, without it", RANKS)
def several_ranks() -> None:
    raise_from_ranks("ddp")


@group.refused(
    "`fully_shard` (FSDP) over several ranks",
    "fully_shard has cut the weights into shards, of which elements know nothing: train with "
    "DistributedDataParallel(ohmgrad.exchange_gradients(model))",
)
def sharded() -> None:
    raise_from_ranks("fsdp")


@group.works(
    "the rows of a layer on several ranks, each with a crossbar and an optimizer's arrays for its own",
    "`ohmgrad.crossbar.keep_own(layer)` says that no other rank has them; products are gathered as in "
    "[examples/shard_rows.py](../examples/shard_rows.py)",
)
def rows() -> None:
    same(ranks()["rows"], shard_rows().train(False))


@group.works(
    "torch's optimizers over several ranks, by DDP or `all_reduce(p.grad)`",
    "they train analog weights digitally, without a pulse, with the warning",
)
def digital_ranks() -> None:
    found = ranks()
    same(found["sgd"], found["alone"])
    same(found["reduced"], found["alone"])
