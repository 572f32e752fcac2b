"""pipeline: asynchronous pipeline training with stale weights (Wu et al. 2024/26, arXiv 2410.15155).

A model is cut into M stages, each on crossbars of its own, whose weights nobody can copy. In a clock cycle a
stage takes one micro-batch forward and one back, and pulses its update. N micro-batches take so many cycles:

    one at a time        N M                  a stage works in 1 / M of the cycles
    synchronous          N (M + B - 1) / B    B micro-batches go through, then comes one update with their sum
    asynchronous         N + 2 (M - 1)        every stage works in every cycle

In the asynchronous pipeline stage m goes forward with W_{k - 2 (M - m)} and back with W_k, k its number of
updates, as those of 2 (M - m) earlier micro-batches are still on their way: the update is no gradient of
anything. The paper proves that Analog SGD then needs O(e^-2 + e^-1) updates for an error e, and O(e^-2) with
the synchronous pipeline: what staleness adds vanishes faster, and the asynchronous pipe is faster almost for
free. All three schedules run here, with pulses and digitally.

Read of the paper: its abstracts (versions 1 to 3), not its text, figures and settings. The cycles follow from
what a stage does in one; the network, the device and the step sizes are ours. Gradients of the micro-batches
of a synchronous update add up, so that all schedules go as far with a micro-batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ...datasets import DATASETS, Dataset, batches, load
from ...devices import ConstantStep, Device, Noise, SoftBounds, Spread
from ...errors import InputError, check_choice
from ...kernels import Pulsing
from ...nn import analog_layers, convert
from ...optim import AnalogSGD
from ...style import BLACK, BLUE, RED, style_of
from ..engine import Columns, Part
from ..settings import at_least_two
from ..study import Claim, Study, claim, interval, where
from ..train import evaluate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["STUDY", "cycles", "micro_steps", "stages_of"]

#: linear layers of the network, and so the most stages
LAYERS = 4
#: soft bounds, 2000 states, the spread and noise of the paper's toolkit but for bounds that differ by 5 %
DEVICE = Device(
    SoftBounds.symmetric(1.0), 0.001, Spread(dw_min=0.3, up_down=0.01, w_max=0.05, w_min=0.05), Noise(0.3)
)
#: on which a pulsed update is, at fidelity "mean", a step of torch's SGD
LINEAR = Device(ConstantStep(-50.0, 50.0), 1e-4)

#: label, colour
SCHEDULES = {
    "one": ("one at a time", BLACK),
    "synchronous": ("synchronous", BLUE),
    "asynchronous": ("asynchronous", RED),
}
KINDS = ("sgd", "digital")


def cycles(schedule: str, stages: int, micro: int) -> float:
    """Clock cycles of a micro-batch in a pipe that is full, `micro` of them in a synchronous update."""
    each = {"one": stages, "synchronous": (stages + micro - 1) / micro, "asynchronous": 1}
    return float(each[schedule])


def stages_of(model: nn.Sequential, stages: int) -> list[nn.Sequential]:
    """The model cut into stages of as many linear layers; activations go with the layer before."""
    layers, starts = list(model), [i for i, layer in enumerate(model) if not isinstance(layer, nn.Tanh)]
    cuts = [*starts[:: len(starts) // stages], len(layers)]
    return [nn.Sequential(*layers[a:b]) for a, b in pairwise(cuts)]


def micro_steps(
    stages: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    stream: Sequence[tuple[Tensor, Tensor]],
    schedule: str,
    micro: int,
) -> None:
    """Train the stages on micro-batches, as a schedule has it; the pipe is empty before and after.

    Args:
        stages: in order; optimizers: one for each.
        stream: micro-batches of inputs and classes.
        schedule: a name in `SCHEDULES`.
        micro: micro-batches of an update where it is synchronous.
    """
    if schedule == "asynchronous":
        _asynchronous(stages, optimizers, stream)
        return
    size = micro if schedule == "synchronous" else 1
    for start in range(0, len(stream), size):
        for x, y in stream[start : start + size]:
            for stage in stages:
                x = stage(x)
            nn.functional.cross_entropy(x, y).backward()  # gradients of micro-batches add up
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


def _asynchronous(
    stages: Sequence[nn.Module],
    optimizers: Sequence[torch.optim.Optimizer],
    stream: Sequence[tuple[Tensor, Tensor]],
) -> None:
    """In cycle t stage m (from 0) takes micro-batch t - m forward and t - 2 (M - 1) + m back.

    An analog layer keeps the input of its forward pass; its backward product sees the weights as they are
    when it runs. So the graph of a stage, kept until the error comes back, does what hardware does.
    """
    last, number = len(stages) - 1, len(stream)
    waiting: list[dict[int, tuple[Tensor, Tensor]]] = [{} for _ in stages]
    errors: list[dict[int, Tensor]] = [{} for _ in stages]
    arriving: list[dict[int, Tensor]] = [{} for _ in stages]
    for cycle in range(number + 2 * last):
        sent: list[tuple[int, int, Tensor]] = []
        for m, stage in enumerate(stages):
            if 0 <= (k := cycle - m) < number:
                x = stream[k][0] if m == 0 else arriving[m].pop(k).detach().requires_grad_()
                out = stage(x)
                waiting[m][k] = x, out
                if m < last:
                    arriving[m + 1][k] = out
        for m, optimizer in enumerate(optimizers):
            if 0 <= (k := cycle - 2 * last + m) < number:
                x, out = waiting[m].pop(k)
                if m == last:
                    nn.functional.cross_entropy(out, stream[k][1]).backward()
                else:
                    out.backward(errors[m].pop(k))
                if m:
                    assert x.grad is not None
                    sent.append((m - 1, k, x.grad))
                optimizer.step()
                optimizer.zero_grad()
        for m, k, error in sent:  # which the stage before has in the next cycle
            errors[m][k] = error


def network(data: Dataset, width: int, kind: str, seed: int) -> nn.Sequential:
    """inputs-width-width-width-classes with tanh, Xavier's weights, on crossbars whose scales stay."""
    sizes = [data.train_x[0].numel(), *[width] * (LAYERS - 1), data.classes]
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for a, b in pairwise(sizes):
            linear = nn.Linear(a, b)
            nn.init.zeros_(linear.bias)
            nn.init.xavier_uniform_(linear.weight)
            layers += [linear, nn.Tanh()]
    plain = nn.Sequential(*layers[:-1])
    if kind == "digital":
        model = convert(plain, LINEAR, pulsing=Pulsing(fidelity="mean"), seed=seed)
    else:
        model = convert(plain, DEVICE, seed=seed)
    for _, layer in analog_layers(model):
        layer.out_scale.requires_grad_(False)
    assert isinstance(model, nn.Sequential)
    return model


def check(settings: dict[str, Any]) -> None:
    check_choice("data set", settings["data"], DATASETS)
    at_least_two(settings, "rates", "stages")
    if any(m < 2 or LAYERS % m for m in settings["stages"]):
        given = list(settings["stages"])
        raise InputError(f"stages is {given}, but must be 2 and 4: there are {LAYERS} layers")


def parts(settings: dict[str, Any], folder: Path) -> list[Part]:
    return [
        Part(f"{kind}-lr{lr:g}-{schedule}-{stages}", partial(_run, settings, kind, lr, schedule, stages))
        for kind in KINDS
        for lr in settings["rates"]
        for schedule, stages in _trainings(settings)
    ]


def _trainings(settings: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Schedules and stages that differ in their weights: only delays depend on where the cuts are."""
    yield "one", 1
    yield "synchronous", 1
    for stages in settings["stages"]:
        yield "asynchronous", stages


def _run(
    settings: dict[str, Any], kind: str, lr: float, schedule: str, stages: int, progress: Any
) -> Columns:
    torch.set_num_threads(1)  # the network is small: threads would only wait for each other
    data = load(settings["data"]).first(settings["images"])
    total = settings["seeds"] * settings["epochs"]
    rows: list[dict[str, Any]] = []
    for seed in range(settings["seeds"]):
        model = network(data, settings["width"], kind, seed)
        parts = stages_of(model, stages)
        optimizers = [AnalogSGD(part.parameters(), lr=lr) for part in parts]
        for epoch in range(settings["epochs"]):
            order = batches(data.train_x, data.train_y, settings["micro_batch"], seed=seed, epoch=epoch)
            stream = [(x.flatten(1), y) for x, y in order]
            micro_steps(parts, optimizers, stream, schedule, settings["micro"])
            flat = data.train_x.flatten(1), data.test_x.flatten(1)
            rows.append(
                {
                    "kind": kind, "lr": lr, "schedule": schedule, "stages": stages, "seed": seed,
                    "epoch": epoch + 1,
                    "steps": (epoch + 1) * len(stream),
                    "train_loss": evaluate(model, flat[0], data.train_y)[0],
                    "test_accuracy": evaluate(model, flat[1], data.test_y)[1],
                }
            )  # fmt: skip
            model.train()
            progress(len(rows), total, f"{style_of(kind).label}, lr {lr:g}, {schedule}, {stages} stages")
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _losses(settings: dict[str, Any], columns: Columns, **which: Any) -> np.ndarray:
    """Training loss, (seeds, epochs)."""
    return where(columns, **which)["train_loss"].reshape(settings["seeds"], settings["epochs"])


def _accuracies(settings: dict[str, Any], columns: Columns, **which: Any) -> np.ndarray:
    """Test accuracy after the last epoch in %, (seeds,)."""
    return 100 * where(columns, **which, epoch=settings["epochs"])["test_accuracy"]


def excess(settings: dict[str, Any], columns: Columns, kind: str, lr: float, stages: int) -> np.ndarray:
    """What staleness adds to the training loss, relative to the loss without, (seeds,); means over epochs."""
    fresh = _losses(settings, columns, kind=kind, lr=lr, schedule="one").mean(1)
    stale = _losses(settings, columns, kind=kind, lr=lr, schedule="asynchronous", stages=stages).mean(1)
    return stale / fresh - 1


def first_below(losses: np.ndarray, target: float) -> float:
    """Epochs until a loss, linear between those that were recorded, is below a target; infinite if never."""
    below = np.flatnonzero(losses <= target)
    if not len(below):
        return np.inf
    i = int(below[0])
    return 1.0 if i == 0 else i + float((losses[i - 1] - target) / (losses[i - 1] - losses[i]))


def speed_up(settings: dict[str, Any], columns: Columns, kind: str, lr: float, over: str) -> np.ndarray:
    """Cycles of a schedule over those of the longest asynchronous pipe, both with as many stages, (seeds,).

    They count until the training loss is what one at a time has after half of its epochs.
    """
    stages, half = max(settings["stages"]), settings["epochs"] // 2
    runs = [
        _losses(settings, columns, kind=kind, lr=lr, schedule=over),
        _losses(settings, columns, kind=kind, lr=lr, schedule="asynchronous", stages=stages),
    ]
    targets = _losses(settings, columns, kind=kind, lr=lr, schedule="one")[:, half - 1]
    epochs = np.array([[first_below(each, t) for each, t in zip(run, targets, strict=True)] for run in runs])
    each = [cycles(name, stages, settings["micro"]) for name in (over, "asynchronous")]
    return epochs[0] * each[0] / (epochs[1] * each[1])


def summarise(settings: dict[str, Any], columns: Columns) -> list[dict[str, Any]]:
    rows = []
    for kind in KINDS:
        for lr in settings["rates"]:
            for schedule, stages in _trainings(settings):
                which = {"kind": kind, "lr": lr, "schedule": schedule, "stages": stages}
                row: dict[str, Any] = {
                    "algorithm": style_of(kind).label, "lr": lr, "schedule": SCHEDULES[schedule][0],
                    "stages": stages if schedule == "asynchronous" else "any",
                }  # fmt: skip
                losses = _losses(settings, columns, **which)[:, -1]
                for name, values in (
                    ("test accuracy (%)", _accuracies(settings, columns, **which)),
                    ("train loss", losses),
                ):
                    row[name], row[f"{name}_low"], row[f"{name}_high"] = interval(values)
                rows.append(row)
    return rows


def claims(settings: dict[str, Any], columns: Columns) -> list[Claim]:
    return [each for kind in KINDS for each in _claims(settings, columns, kind)]


def _claims(settings: dict[str, Any], columns: Columns, kind: str) -> Iterator[Claim]:
    name, few, many = style_of(kind).label, min(settings["stages"]), max(settings["stages"])
    low, high = min(settings["rates"]), max(settings["rates"])
    at_low = {"kind": kind, "lr": low}
    stale = _accuracies(settings, columns, **at_low, schedule="asynchronous", stages=many)
    yield claim(
        f"{name}: at a small step size stale weights cost less than two points",
        f"test accuracy, asynchronous, {many} stages - one at a time, lr {low:g} (points)",
        interval(stale - _accuracies(settings, columns, **at_low, schedule="one")),
        "above",
        -2.0,
        full=True,
    )
    for over in ("one", "synchronous"):
        ideal = cycles(over, many, settings["micro"])
        yield claim(
            f"{name}: the asynchronous pipe is faster, by 0.8 or more of the {ideal:.3g} that cycles allow",
            f"cycles to the same loss, {SCHEDULES[over][0]} / asynchronous, {many} stages, lr {low:g}",
            interval(speed_up(settings, columns, kind, low, over)),
            "above",
            0.8 * ideal,
        )
    at = {(lr, m): excess(settings, columns, kind, lr, m) for lr in (low, high) for m in (few, many)}
    yield claim(
        f"{name}: the error grows with staleness",
        f"excess loss, {many} stages - {few} stages, lr {high:g}",
        interval(at[high, many] - at[high, few]),
        "above",
        0.0,
    )
    yield claim(
        f"{name}: what staleness adds falls faster than the step size",
        f"excess loss, lr {high:g} - {high / low:g} x lr {low:g}, {many} stages",
        interval(at[high, many] - high / low * at[low, many]),
        "above",
        0.0,
    )


def draw(figure: Figure, settings: dict[str, Any], columns: Columns) -> None:
    left, right = figure.subplots(1, 2)
    stages, lr = max(settings["stages"]), min(settings["rates"])
    steps = where(columns, kind="sgd", lr=lr, schedule="one", seed=0)["steps"]
    for schedule, (label, colour) in SCHEDULES.items():
        cut = stages if schedule == "asynchronous" else 1
        losses = _losses(settings, columns, kind="sgd", lr=lr, schedule=schedule, stages=cut)
        left.plot(
            steps * cycles(schedule, stages, settings["micro"]), losses.mean(0), color=colour, label=label
        )
    left.set(xlabel="clock cycles", ylabel="training loss (nats)", xscale="log", yscale="log")
    left.set_title(f"Analog SGD, {stages} stages, lr {lr:g}", fontsize=8)
    for kind in KINDS:
        label, colour, dash, marker = style_of(kind)
        for count, fill in zip(settings["stages"], ("none", "full"), strict=False):
            found = [interval(100 * excess(settings, columns, kind, lr, count)) for lr in settings["rates"]]
            right.errorbar(
                settings["rates"], [m for m, *_ in found], yerr=[m - low for m, low, _ in found],
                fmt=f"{marker}{dash}", color=colour, fillstyle=fill, ms=4, lw=1, capsize=2,
                label=f"{label}, {count} stages",
            )  # fmt: skip
    right.set(xlabel="step size", ylabel="excess loss (%)", xscale="log")
    right.set_yscale("symlog", linthresh=1.0)
    for axis in (left, right):
        axis.legend(frameon=False, fontsize=7)


STUDY = Study(
    name="pipeline",
    title="pipelines with stale weights",
    source="Wu et al. 2024/26, arXiv 2410.15155",
    settings={
        "data": "digits",
        "images": None,
        "width": 32,
        "stages": (2, 4),
        "micro": 4,
        "micro_batch": 16,
        "rates": (0.01, 0.03, 0.1),
        "epochs": 20,
        "seeds": 5,
    },
    quick={"images": 400, "rates": (0.01, 0.1), "epochs": 4, "seeds": 3},
    parts=parts,
    summarise=summarise,
    claims=claims,
    draw=draw,
    check=check,
)
