"""Ranks of a process group train analog weights as one process does with the samples of all."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from ohmgrad import (
    AnalogSGD,
    Device,
    InputError,
    Noise,
    Periphery,
    SoftBounds,
    Spread,
    TikiTaka,
    TTv2,
    convert,
    exchange_gradients,
)

HERE = str(Path(__file__).parents[2])
CODE = "import sys; from tests.crossbar.test_ranks import work; work(int(sys.argv[1]), sys.argv[2])"
DEVICE = Device(SoftBounds.symmetric(0.6), 0.002, Spread(dw_min=0.3, w_max=0.3, w_min=0.3), Noise(0.3))
SIZES = {2: (4, 4), 3: (4, 3, 1)}  # samples of every rank
STEPS = 4


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 8), nn.Tanh(), nn.Linear(8, 3))


def cnn() -> nn.Module:
    return nn.Sequential(nn.Unflatten(1, (1, 3, 4)), nn.Conv2d(1, 4, 3, padding=1), nn.Tanh(), nn.Flatten(),
                         nn.Linear(48, 3))  # fmt: skip


CASES: dict[str, tuple[Callable[[], nn.Module], Callable[[Any], Any], dict[str, Any]]] = {
    "sgd": (mlp, functools.partial(AnalogSGD, lr=0.2), {}),
    "tiki-taka": (mlp, functools.partial(TikiTaka, lr=0.2, fast_lr=0.2, gamma=0.3), {}),
    "digital-buffers": (mlp, functools.partial(TTv2, lr=0.2, fast_lr=2.0, columns=4, momentum=0.5), {}),
    "split-convolution": (cnn, functools.partial(AnalogSGD, lr=0.2), {"max_tile": (8, 20)}),
}
X = torch.randn(STEPS, 2, 8, 12, generator=torch.Generator().manual_seed(0))
Y = torch.randint(0, 3, (STEPS, 2, 8), generator=torch.Generator().manual_seed(1))


def train(name: str, start: int, wrap: Callable[[Any], Any], rows: slice, ranks: int) -> dict[str, Any]:
    """Steps of two accumulated passes on some samples of every minibatch; the loss is the mean over all."""
    make, algorithm, settings = CASES[name]
    torch.manual_seed(start)
    model = exchange_gradients(convert(make(), DEVICE, seed=[*CASES].index(name), **settings))
    run = wrap(model)
    if run is None:
        return {}
    optimizer, norms = algorithm(model.parameters()), []
    for xs, ys in zip(X, Y, strict=True):
        optimizer.zero_grad()
        for i, (x, y) in enumerate(zip(xs[:, rows], ys[:, rows], strict=True)):
            alone = run.no_sync() if i == 0 and isinstance(run, DistributedDataParallel) else nullcontext()
            with alone:
                loss = nn.functional.cross_entropy(run(x), y, reduction="sum") * ranks / 8
                loss.backward()
        norms.append(nn.utils.clip_grad_norm_(model.parameters(), 1.5))
        optimizer.step()
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    return {"weights": weights, "norms": torch.stack(norms), "updates": optimizer.events()["pulses_up"]}


def message(call: Callable[[], Any]) -> str:
    with pytest.raises(InputError) as caught:
        call()
    return str(caught.value)


def refused(rank: int) -> dict[str, str]:
    """What is refused, on every rank."""
    found = {}
    model = convert(mlp(), DEVICE, seed=40)
    found["no set-up"] = message(lambda: AnalogSGD(model.parameters(), lr=0.1))
    found["wrapped"] = message(lambda: exchange_gradients(DistributedDataParallel(model)))
    found["plain"] = message(lambda: exchange_gradients(mlp()))
    found["others"] = message(lambda: exchange_gradients(convert(mlp(), DEVICE, seed=50 + rank)))
    exchange_gradients(model)
    run = DistributedDataParallel(model, find_unused_parameters=True)
    optimizer = AnalogSGD(model.parameters(), lr=0.1)
    model(X[0, 0]).sum().backward()
    found["not wrapped"] = message(optimizer.step)
    optimizer.zero_grad()
    with run.no_sync():
        run(X[0, 0]).sum().backward()
    found["no_sync"] = message(optimizer.step)
    optimizer.zero_grad()

    class Halves(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Linear(12, 3), nn.Linear(12, 3)

        def forward(self, x: Tensor, both: bool) -> Tensor:
            return self.first(x) + self.second(x) if both else self.first(x)

    halves: Any = exchange_gradients(convert(Halves(), DEVICE, seed=41))
    run = DistributedDataParallel(halves, find_unused_parameters=True)
    found["unused"] = message(lambda: run(X[0, 0], rank == 0).sum().backward())
    around = DistributedDataParallel(nn.Sequential(exchange_gradients(convert(mlp(), DEVICE, seed=42))))
    found["inside"] = message(lambda: around(X[0, 0]).sum().backward())
    halves.zero_grad()
    halves.first.weight.register_hook(lambda g: g.abs() if rank == 1 else g)
    run = DistributedDataParallel(halves)
    found["matrix"] = message(lambda: run(X[0, 0], True).sum().backward())
    return found


def work(rank: int, folder: str) -> None:
    """What each of three ranks does; the first two train as two, too."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/group", rank=rank, world_size=3)
    found: dict[str, Any] = {}
    for ranks, sizes in SIZES.items():
        group = distributed.new_group([*range(ranks)])

        def wrap(model: Any, ranks: int = ranks, group: Any = group) -> Any:
            return DistributedDataParallel(model, process_group=group) if rank < ranks else None

        first = sum(sizes[:rank])
        for name in CASES:
            rows = slice(first, first + sizes[rank]) if rank < ranks else slice(0)
            found[f"{name} {ranks}"] = train(name, rank, wrap, rows, ranks)
    noisy: Any = exchange_gradients(convert(mlp(), DEVICE, seed=30, periphery=Periphery(out_noise=0.1)))
    found["noisy"] = {"y": noisy(X[0, 0]).detach()}
    found["refused"] = refused(rank)
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks() -> list[dict[str, Any]]:
    """What each rank found."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", "-c", CODE]
        started = [subprocess.Popen([*command, str(rank), folder], cwd=HERE) for rank in range(3)]
        assert [process.wait(timeout=100) for process in started] == [0, 0, 0]
        return [torch.load(f"{folder}/{rank}.pt", weights_only=True) for rank in range(3)]


@pytest.mark.parametrize("number", SIZES)
@pytest.mark.parametrize("name", CASES)
def test_ranks_train_as_one_process_does(name: str, number: int, ranks: Any) -> None:
    found = [of_rank[f"{name} {number}"] for of_rank in ranks[:number]]
    alone = train(name, 0, lambda model: model, slice(8), 1)
    assert alone["updates"] > 100
    for other in found:
        torch.testing.assert_close(other["norms"], alone["norms"], rtol=1e-5, atol=0)
        assert other["updates"] == alone["updates"]
        for key, w in alone["weights"].items():
            assert torch.equal(other["weights"][key], found[0]["weights"][key]), key  # replicas, to the bit
            # pulses are the same, and so are weights; scales and biases add up in another order
            if key.endswith("weight"):
                assert torch.equal(other["weights"][key], w), key
            torch.testing.assert_close(other["weights"][key], w, rtol=1e-5, atol=1e-6)


def test_ranks_read_with_noise_of_their_own(ranks: Any) -> None:
    a, b, c = (of_rank["noisy"]["y"] for of_rank in ranks)
    for one, other in ((a, b), (b, c), (a, c)):
        assert float((one - other).abs().min()) > 0
        assert float((one - other).std()) < 1


@pytest.mark.parametrize(
    ("case", "sentence"),
    {
        "no set-up": "call ohmgrad.exchange_gradients(model) before DistributedDataParallel(model)",
        "wrapped": "call exchange_gradients before DistributedDataParallel",
        "plain": "convert the model first",
        "others": "rank 1: the state of the layer is of other elements (seed 50, here 51)",
        "not wrapped": "(8, 12) was not exchanged between the ranks: call the model by its Distributed",
        "no_sync": "(8, 12) was not exchanged between the ranks",
        "unused": "rank 1 has no gradient of the analog weight 'second.weight', which others have",
        "inside": "has got a module around the one that exchange_gradients got: give both the same",
        "matrix": "rank 1: the gradient of the analog weight 'first.weight' was changed as a matrix",
    }.items(),
)
def test_what_would_drift_apart_is_refused_on_all_ranks(case: str, sentence: str, ranks: Any) -> None:
    for of_rank in ranks:
        assert sentence in of_rank["refused"][case]
