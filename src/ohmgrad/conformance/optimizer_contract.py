"""Laws of an algorithm as a torch optimizer: gradients, groups, schedules, checkpoints, addresses."""

from __future__ import annotations

import copy
import os
from typing import Any

import torch
from torch import Tensor

from .device_updates import on_threads, through_a_file
from .report import Finding, found, skipped
from .training import DEVICE, LR, Make, arrays, layer_of, network, optimizer_of, same, step, weights

__all__ = ["accumulation", "addressed", "copies", "gradients", "groups", "resume", "schedule", "threads"]


def gradients(make: Make) -> Finding:
    """zero_grad forgets, a step uses gradients up, and a step without gradient changes nothing.

    Compared bit for bit, fresh and after 5 steps; after a forgotten backward pass the whole state, too.
    """
    model = network()
    optimizer = optimizer_of(make, model.parameters())
    broken = []
    for after in (0, 5):
        for i in range(after):
            step(model, optimizer, i)
        optimizer.zero_grad()
        before = (weights(model), optimizer.events())
        optimizer.step()
        if not same((weights(model), optimizer.events()), before):
            broken.append(f"a step without gradient, after {after}")
        for owner, clears in (("the optimizer", optimizer), ("the model", model)):
            model(torch.ones(2, 6)).sum().backward()
            before = _state(model, optimizer)  # the products of that pass are counted
            clears.zero_grad()
            optimizer.step()
            if not same(_state(model, optimizer), before):
                broken.append(f"zero_grad of {owner} and a step, after {after}")
        model(torch.ones(2, 6)).sum().backward()
        optimizer.step()
        if any(layer.weight.grad is not None for layer in (model[0], model[2])):
            broken.append(f"a step keeps the gradient of an analog weight, after {after}")
    said = ", ".join(broken) or "nothing changes"
    return found(not broken, said, "nothing changes", "weights, arrays and counters, bit for bit")


def groups(make: Make) -> Finding:
    """Two layers in two parameter groups train as in one, and a frozen layer stays: 20 steps, bit for bit."""
    ends = []
    for split in (False, True):
        model = network()
        params = [{"params": model[0].parameters()}, {"params": model[2].parameters()}]
        optimizer = optimizer_of(make, params if split else model.parameters())
        for i in range(20):
            step(model, optimizer, i)
        ends.append(weights(model))
    model = network()
    for p in model[2].parameters():
        p.requires_grad_(False)
    before = weights(model[2])
    optimizer = optimizer_of(make, model.parameters())
    for i in range(20):
        step(model, optimizer, i)
    alike, frozen = same(*ends), same(weights(model[2]), before)
    return found(
        alike and frozen,
        f"two groups {'the same' if alike else 'differ'}, frozen layer {'stays' if frozen else 'moves'}",
        "the same; stays",
        "parameters after 20 steps in one group and in two, and with a frozen layer",
    )


def schedule(make: Make) -> Finding:
    """Digital parameters in the same groups get torch's SGD at the rate that a scheduler sets.

    10 steps with ExponentialLR(0.8); each changes the biases by -lr gradient to rounding.
    """
    model = network()
    optimizer = optimizer_of(make, model.parameters())
    if any(g.get(name) for g in optimizer.param_groups for name in ("momentum", "weight_decay")):
        return skipped("it is made with momentum or weight decay for digital parameters")
    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.8)
    worst = 0.0
    for i in range(10):
        before, lr = model[2].bias.detach().clone(), LR * 0.8**i
        step(model, optimizer, i)
        gap = model[2].bias.detach() - (before - lr * model[2].bias.grad)
        worst = max(worst, float(gap.abs().max()))
        scheduler.step()
    return found(worst <= 1e-6, f"{worst:.2g}", "1e-06 (rounding)", "biases against SGD at the scheduled lr")


def resume(make: Make) -> Finding:
    """A run restored from a file goes on bit for bit, whichever step it stopped after.

    state_dict() of model, optimizer and scheduler through torch.save and load(weights_only=True), after 7
    and after 12 steps, into new ones; 8 more steps of both.
    """
    broken = []
    for stop in (7, 12):
        run = _run(make)
        for i in range(stop):
            _go(run, i)
        fresh = _run(make)
        for part, state in zip(fresh, through_a_file([part.state_dict() for part in run]), strict=True):
            part.load_state_dict(state)
        losses = [[_go(one, stop + i) for i in range(8)] for one in (run, fresh)]
        if losses[0] != losses[1] or not same(_state(*run[:2]), _state(*fresh[:2])):
            broken.append(str(stop))
    said = f"differs when stopped after {' and '.join(broken)}" if broken else "the same"
    return found(not broken, said, "the same bits", "losses, weights, arrays and events of 8 more steps")


def copies(make: Make) -> Finding:
    """A deep copy of model and optimizer goes on as they do, and neither moves the other: 10 + 10 steps."""
    model = network()
    optimizer = optimizer_of(make, model.parameters())
    for i in range(10):
        step(model, optimizer, i)
    twin, its = copy.deepcopy((model, optimizer))
    before = _state(twin, its)
    losses = [step(model, optimizer, 10 + i) for i in range(10)]
    alone = same(_state(twin, its), before)
    alike = [step(twin, its, 10 + i) for i in range(10)] == losses
    alike &= same(_state(model, optimizer), _state(twin, its))
    return found(
        alone and alike,
        f"copy {'the same' if alike else 'differs'}, {'untouched' if alone else 'moved'} by the original",
        "the same; untouched",
        "losses, weights, arrays and events of 10 more steps",
    )


def accumulation(make: Make) -> Finding:
    """Backward passes add up in order: 10 samples in parts of 4 and 6 are 10 at once, bit for bit, 30 steps.

    The loss is linear in the outputs, so that the gradients of outputs do not depend on the split.
    """
    ends = []
    for parts in ((10,), (4, 6), (1, 9)):
        layer = layer_of(DEVICE, 5, 7)
        optimizer = optimizer_of(make, layer.parameters())
        for i in range(30):
            x, c = _linear(i, 10, 7, 5)
            optimizer.zero_grad()
            for a, b in zip(x.split(parts), c.split(parts), strict=True):
                (layer(a) * b).sum().backward()
            optimizer.step()
        ends.append([tile.weight.clone() for tile in arrays(optimizer)])
    alike = same(ends[0], ends[1]) and same(ends[0], ends[2])
    moved = bool(ends[0][0].any() or len(ends[0]) > 1)
    said = "nothing moves" if not moved else "the same" if alike else "differ"
    return found(
        alike and moved, said, "the same bits", "all arrays after 30 steps of 10, 4 + 6 and 1 + 9 samples"
    )


def addressed(make: Make) -> Finding:
    """The same seed gives the same run whatever torch's generator holds; another seed gives another run."""
    ends = []
    for generator, seed in ((1, 11), (2, 11), (1, 12)):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator)
            model = network(seed)
            optimizer = optimizer_of(make, model.parameters())
            for i in range(30):
                step(model, optimizer, i)
        ends.append([weights(model), [tile.weight.clone() for tile in arrays(optimizer)]])
    alike, other = same(ends[0], ends[1]), not same(ends[0], ends[2])
    return found(
        alike and other,
        f"same seed {'the same' if alike else 'differs'}, other seed {'differs' if other else 'the same'}",
        "the same; differs",
        "parameters and all arrays after 30 steps, with torch's generator set to other seeds",
    )


def threads(make: Make) -> Finding:
    """One thread and two give the same bits: 6 steps of 16 samples on a layer of 131 x 157."""
    if (os.cpu_count() or 1) < 2:
        return skipped("this machine has one core")

    def run() -> list[Tensor]:
        layer = layer_of(DEVICE, 131, 157)
        optimizer = optimizer_of(make, layer.parameters())
        for i in range(6):
            x, c = _linear(i, 16, 157, 131)
            optimizer.zero_grad()
            (layer(x) * c).sum().backward()
            optimizer.step()
        return [tile.weight.clone() for tile in arrays(optimizer)]

    one, two = on_threads(run)
    different = sum(int((a != b).sum()) for a, b in zip(one, two, strict=True))
    return found(different == 0, f"{different} weights differ", "none", "all arrays, on 1 thread and on 2")


def _linear(number: int, samples: int, cols: int, rows: int) -> tuple[Tensor, Tensor]:
    """Inputs (samples, cols) and gradients of outputs (samples, rows) of a step, all exact in float32."""
    g = torch.Generator().manual_seed(number)
    x = torch.randint(-8, 9, (samples, cols), generator=g) / 8
    return x, torch.randint(-8, 9, (samples, rows), generator=g) / 32


def _run(make: Make) -> tuple[Any, Any, Any]:
    model = network()
    optimizer = optimizer_of(make, model.parameters())
    return model, optimizer, torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.97)


def _go(run: tuple[Any, Any, Any], number: int) -> float:
    loss = step(run[0], run[1], number)
    run[2].step()
    return loss


def _state(model: Any, optimizer: Any) -> Any:
    """All that a run consists of, copied: parameters, event counts, the optimizer's state and options."""
    return copy.deepcopy((dict(model.state_dict()), optimizer.state_dict(), optimizer.events()))
