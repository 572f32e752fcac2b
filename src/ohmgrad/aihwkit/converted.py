"""from_aihwkit: a configuration of aihwkit as device, algorithm, pulses and circuits here, with a report."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..checked import checked
from ..crossbar import Tile
from ..devices import Device, describe
from ..errors import InputError, check_integer, check_number, naming
from ..kernels import Periphery, Pulsing
from ..nn import convert
from ..nn.convert import analog_layers
from ..optim.base import AnalogOptimizer
from ..optim.registry import ALGORITHMS
from .algorithms import Algorithm, algorithm_of
from .circuits import circuits_of, layout_of, pulsing_of
from .elements import IDEAL
from .reading import around, read

__all__ = ["FromAihwkit", "from_aihwkit"]


@dataclass(frozen=True)
class FromAihwkit:
    """What a configuration of aihwkit is here; `print` shows what was taken over, and what was not.

    Args:
        device: of all arrays.
        algorithm: its name, as in `ohmgrad.optim.ALGORITHMS`.
        options: its options, but for those in `of_lr`.
        of_lr: options that are a multiple of the learning rate, with the factor.
        per_input: numerator of the option `granularity`, whose denominator are a layer's inputs; or None.
        pulsing: how changes become pulses.
        periphery: the circuits.
        max_tile, omega: arguments of `ohmgrad.convert`.
        learns: whether output scales are learned.
        taken: name there, value, name here.
        close: what is nearly as it was, in sentences.
        missing: what has no counterpart.
    """

    device: Device
    algorithm: str
    options: dict[str, Any]
    of_lr: dict[str, float]
    per_input: float | None
    pulsing: Pulsing
    periphery: Periphery
    max_tile: tuple[int, int] | None
    omega: float | None
    learns: bool
    taken: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    close: list[str] = field(default_factory=list, repr=False)
    missing: list[str] = field(default_factory=list, repr=False)

    @checked
    def convert(self, model: nn.Module, **settings: Any) -> nn.Module:
        """`ohmgrad.convert` with this device, pulses, circuits and layout.

        Args:
            model: any module; it is not changed.
            settings: of `ohmgrad.convert`, such as `seed` or `include`; they go before those found here.
        """
        own = {name: getattr(self, name) for name in ("device", "pulsing", "periphery", "max_tile", "omega")}
        analog = convert(model, **{**own, **settings})
        for _, layer in analog_layers(analog):
            layer.out_scale.requires_grad_(self.learns and layer.out_scale.requires_grad)
        return analog

    @checked
    def optimizer(self, model: nn.Module, lr: float, **options: Any) -> AnalogOptimizer:
        """The algorithm for a model that `convert` gave.

        Args:
            lr: learning rate, by which options that are relative to it are set once; a schedule of lr does
                not change them.
            options: of the algorithm, before those found here.
        """
        check_number("lr", lr, low=0)
        relative = {name: factor * lr for name, factor in self.of_lr.items()}
        chosen = {**self.options, **relative, **options}
        groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
        if self.per_input is not None and "granularity" not in options:
            groups = _by_inputs(model, self.per_input)
        return ALGORITHMS[self.algorithm](groups, lr=lr, **chosen)

    def __str__(self) -> str:
        head = [f"device     {describe(self.device)}", f"algorithm  {self.algorithm}"]
        shown = {**self.options, **{n: f"{f:g} lr" for n, f in self.of_lr.items()}}
        if self.per_input is not None:
            shown["granularity"] = f"{self.per_input:g} / inputs"
        head[1] += "".join(f", {name} {value}" for name, value in shown.items())
        wide = [max((len(row[i]) for row in self.taken), default=0) for i in (0, 1)]
        rows = [f"  {a:{wide[0]}}  {b:{wide[1]}}  {c}" for a, b, c in self.taken]
        parts = [*head, "taken over (aihwkit, value, ohmgrad), but for zeros:", *rows]
        for title, items in (("nearly the same:", self.close), ("no counterpart:", self.missing)):
            if items:
                lines = (
                    textwrap.fill(t, 100, initial_indent="  - ", subsequent_indent="    ") for t in items
                )
                parts += [title, *lines]
        return "\n".join(parts)


def _by_inputs(model: nn.Module, per_input: float) -> list[dict[str, Any]]:
    """A group for every analog weight, with its threshold of the buffer; and one for all that is digital."""
    layers = [layer for _, layer in analog_layers(model)]
    analog = {id(layer.weight) for layer in layers}
    groups: list[dict[str, Any]] = [
        {"params": [layer.weight], "granularity": per_input / _inputs(layer.tiles[0])} for layer in layers
    ]
    digital = [p for p in model.parameters() if id(p) not in analog]
    return groups + ([{"params": digital}] if digital else [])


def _inputs(tile: Tile) -> int:
    return tile.shape[1]


def from_aihwkit(rpu_config: Any, vectors: int | None = None) -> FromAihwkit:
    """A configuration of aihwkit as device, algorithm, pulses and circuits here.

    aihwkit need not be installed. The result has a list of what is only nearly the same, and of what has no
    counterpart: look at both, by `print`.

    Args:
        rpu_config: a configuration or a device of aihwkit: the object; the text that `print` or `repr` gives
            of it, or that makes it in a script, as in "SingleRPUConfig(device=SoftBoundsDevice())"; a
            dictionary, or the JSON of `dataclasses.asdict`; a Path to a file of these.
        vectors: of an update: samples, times positions of a convolution (>= 1). Some of aihwkit's compounds
            count transfers in vectors; here they are counted in updates.

    Raises:
        InputError: for what is no configuration, and where its elements have no counterpart; with all that
            has none.

    Example:
        >>> found = from_aihwkit("SingleRPUConfig(device=ConstantStepDevice(w_max=0.5, w_min=-0.5))")
        >>> found.algorithm, found.device.states
        ('sgd', 1000.0)
    """
    if vectors is not None:
        vectors = check_integer("vectors", vectors, 1)
    node = read(rpu_config)
    config = node if node.is_a("RPUConfigBase") else around(node)
    notes = config.notes
    try:
        with naming("aihwkit's configuration"):
            if config.is_a("FloatingPointRPUConfig"):
                raise InputError("FloatingPointRPUConfig is a digital layer: leave the model as it is")
            pulsing, digital = pulsing_of(config.child("update"))
            periphery = circuits_of(config)
            if digital:
                config.take("device")
                made = Algorithm("sgd", IDEAL)
                notes.nearly("weights change digitally: constant steps in [-1000, 1000] at fidelity mean")
            else:
                made = algorithm_of(config.child("device"), periphery, pulsing, vectors)
            response = made.device.response
            layout = layout_of(config, min(response.w_max, -response.w_min))
            if made.device == IDEAL:
                pulsing = Pulsing("mean")
    except InputError as error:
        config.report_rest()
        rest = f"; no counterpart have, too: {', '.join(notes.missing)}" if notes.missing else ""
        raise InputError(f"{error}{rest}") from None
    config.report_rest()
    return FromAihwkit(
        made.device, made.name, made.options, made.of_lr, made.per_input, pulsing, periphery,
        **layout, taken=notes.taken, close=notes.close, missing=notes.missing,
    )  # fmt: skip
