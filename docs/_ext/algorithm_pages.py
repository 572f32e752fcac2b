"""A page for every algorithm: when to use it, recursion, floor, picture, options beside aihwkit's."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import yaml
from docstring import doc_of, in_markdown, linked
from pictures import Pictures

from ohmgrad.conformance.algorithm_learning import EXACT, SHIFTED
from ohmgrad.conformance.training import layer_of
from ohmgrad.optim import ALGORITHMS
from ohmgrad.style import BLACK, style_of
from ohmgrad.theory import GradientNoise, Quadratic, analog_sgd

__all__ = ["algorithm_pages"]

HERE = Path(__file__).parent
FACTS = yaml.safe_load((HERE / "algorithms.yaml").read_text())
#: options that are rates, given in units of lr
RATES = {"fast_lr", "transfer_lr", "alpha", "beta", "eta", "chop_prob"}
LR, RUNS, UPDATES, WINDOW = 0.1, 64, 600, 20


def algorithm_pages(pictures: Pictures) -> Iterator[tuple[str, str]]:
    """Names and Markdown of the pages."""
    page = (HERE.parent / "algorithms.md").read_text()
    yield "algorithms/index", _index(page)
    for name in ALGORITHMS:
        yield f"algorithms/{name}", _page(name, page, pictures)


def _row(page: str, start: str) -> list[str]:
    """The cells of the first row of a table of docs/algorithms.md that begins so."""
    line = next((line for line in page.splitlines() if line.startswith(f"| {start}")), "")
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]


def _index(page: str) -> str:
    rows = []
    for name in ALGORITHMS:
        _, _, arrays, digital, _ = _row(page, f"`{name}` |")
        rows.append(f"| [{style_of(name).label}]({name}.md) | `{name}` | {arrays} | {digital} |")
    tree = "\n".join(ALGORITHMS)
    return (
        "# A page for each algorithm\n\nEach page has the recursion, the paper, when to use it, the "
        "error that is "
        "left, and the options beside their names in aihwkit. [One page for all](../../algorithms.md) "
        "has what "
        "they were measured to do.\n\n| algorithm | name | arrays | digital, of the size of W "
        "|\n|---|---|--:|---|\n" + "\n".join(rows) + f"\n\n```{{toctree}}\n:hidden:\n\n{tree}\n```\n"
    )


def _page(name: str, page: str, pictures: Pictures) -> str:
    kind: Any = ALGORITHMS[name]
    facts, doc, module = FACTS[name], doc_of(kind), doc_of(sys.modules[kind.__module__])
    _, _, arrays, digital, _ = _row(page, f"`{name}` |")
    label, plural = style_of(name).label, "" if arrays == "1" else "s"
    source = linked(" ".join(module.text.split("\n\n")[0].split()))
    text = [
        f"# {label}",
        f"`{name}` on the command line, {{py:class}}`ohmgrad.{kind.__name__} "
        f"<ohmgrad.optim.{kind.__name__}>` in Python.",
        in_markdown(module.summary),
        f"*Source.* {source}",
        "## When to use it",
        facts["when"],
        f"It takes {arrays} array{plural}. Digital, of the size of W: "
        f"{'nothing' if digital == '-' else digital}.",
        "## Recursion",
        in_markdown(doc.summary),
        in_markdown(doc.text),
        "F is the symmetric part of the response, G its asymmetry; [all words](../../glossary.md).",
        "## Its floor",
        facts["floor"],
        pictures.grid(
            f"algorithm-{name}", f"{label}: error of a weight", functools.partial(_figure, name), 2
        ),
        _caption(facts["options"]),
        _measured(kind, page),
        "## Options",
        _options(kind, facts, doc.arguments),
        f"In aihwkit 1.2.0: {facts['aihwkit']}.",
        "## Start",
        _start(kind, page),
    ]
    return "\n\n".join(text) + "\n"


def _options(kind: Any, facts: dict[str, Any], words: dict[str, str]) -> str:
    rows = []
    for name, parameter in inspect.signature(kind).parameters.items():
        if name == "params" or parameter.kind is parameter.VAR_KEYWORD:
            continue
        default = "-" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
        meaning, _, _ = words.get(name, "").partition(" aihwkit")
        meaning = in_markdown(meaning).replace("|", "\\|")
        rows.append(f"| `{name}` | {default} | {meaning} | {facts['names'].get(name, '-')} |")
    head = "| option | default | meaning | in aihwkit |\n|---|---|---|---|\n"
    digital = "Further options, of digital parameters: `momentum`, `dampening`, `weight_decay`, `nesterov`."
    return head + "\n".join(rows) + f"\n\n{digital}"


def _start(kind: Any, page: str) -> str:
    call, accuracy = _row(page, f"`{kind.__name__}(lr=")
    option = re.match(r"`\w+\((.*?)\)`", call)
    given = option[1] if option else "lr=0.1"
    learns = accuracy.replace("%", "").strip()
    return (
        "These options learn on a small network:\n\n"
        "```python\nimport torch, ohmgrad as og\nfrom ohmgrad.devices.presets import preset\n\n"
        "net = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))\n"
        'model = og.convert(net, preset("paper"))\n'
        f"optimizer = og.{kind.__name__}(model.parameters(), {given})\n```\n\n"
        f"They reach {learns} % on the digits of scikit-learn after 6 epochs of batches of 10, with one "
        "seed. Defaults "
        "are made for long trainings of large networks. [Compare](../../compare.md) finds options for a "
        "device."
    )


def _caption(options: dict[str, Any]) -> str:
    return (
        f"Mean square distance of a weight from its solution, over {RUNS} runs and {WINDOW} updates. The "
        "loss is "
        "$f = (w - w^*)^2/2$ with gradient noise of +1 or -1, on soft bounds with range 1 and 1000 "
        "states, at `lr` 0.1"
        f"{_given(options)}. Left: symmetric point at 0, solution at 0.5. Right: symmetric points of all "
        "arrays at 0.3, "
        "solution at -0.3. Dashed: the floor of Analog SGD at small steps, by the theory. A smaller `lr` "
        "lowers what is "
        "no floor."
    )


def _measured(kind: Any, page: str) -> str:
    _, at_zero, _, shifted, _ = _row(page, f"`{kind.__name__}(lr")  # of "What holds"
    return (
        "Longer runs of the same, at `lr` 0.1 and 0.025, have the errors "
        f"{' and '.join(at_zero.split(', '))} with the "
        f"symmetric point at 0, and {' and '.join(shifted.split(', '))} with it at 0.3. Where the second "
        "is hardly below "
        "the first, there is a floor. [What holds](../../algorithms.md#what-holds) has all algorithms "
        "side by side."
    )


def _scaled(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value * LR if name in RATES else value for name, value in options.items()}


def _given(options: dict[str, Any]) -> str:
    return "".join(f", `{name}` {value:g}" if not isinstance(value, str) else f", `{name}` {value}"
                   for name, value in _scaled(options).items())  # fmt: skip


def _figure(name: str) -> Any:
    """The error of a weight against updates, at a symmetric point of 0 and at a shifted one."""
    from matplotlib.figure import Figure

    from ohmgrad.report.figures import styled

    label, colour, dash, _ = style_of(name)
    with styled():
        figure = Figure(figsize=(6.8, 2.7), layout="constrained")
        for axis, device, solution in zip(figure.subplots(1, 2), (EXACT, SHIFTED), (0.5, -0.3), strict=True):
            error = _errors(name, device, solution).view(-1, WINDOW).mean(1)
            axis.plot(WINDOW * (torch.arange(len(error)) + 0.5), error, dash, color=colour, label=label)
            problem = Quadratic(torch.eye(1), torch.tensor([solution]))
            noise = GradientNoise(1.0, "two-point")
            floor = analog_sgd(problem, device.nominal.response, noise, LR).limit_error
            axis.axhline(float(floor), color=BLACK, ls="--", lw=0.8, label="floor of Analog SGD")
            axis.set(xlabel="update", ylabel="mean square error (weight units²)")
            axis.set(yscale="log", ylim=(2e-3, 1))
            axis.set_title(f"symmetric point at {0 if device is EXACT else 0.3}", fontsize=9)
            axis.legend(frameon=False, fontsize=7)
    return figure


def _errors(name: str, device: Any, solution: float) -> torch.Tensor:
    layer = layer_of(device, RUNS, 1, max_bl=127)
    optimizer: Any = ALGORITHMS[name](layer.parameters(), LR, **_scaled(FACTS[name]["options"]))
    signs = torch.randint(0, 2, (UPDATES, RUNS), generator=torch.Generator().manual_seed(5)) * 2.0 - 1
    found, one = torch.zeros(UPDATES), torch.ones(1, 1)
    for i in range(UPDATES):
        optimizer.zero_grad()
        y = layer(one)
        ((y - solution).square() / 2 + signs[i] * y).sum().backward()
        optimizer.step()
        found[i] = (y.detach() - solution).square().mean()
    return found
