"""Tables of costs: of trainings, by layer and phase, of cross-checks, of hardware, and of tile use."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import mean

from rich.table import Table

from ..cost import NAMES, PHASES, Cost, Hardware, hardware
from ..cost.checks import Check
from ..cost.tiles import TileUse
from ..studies.costs import TrainingCost
from ..style import style_of

__all__ = [
    "checks_table", "cost_caption", "cost_tables", "hardware_table", "prefix_of", "tiles_table",
    "with_prefix",
]  # fmt: skip

_PREFIXES = {-18: "a", -15: "f", -12: "p", -9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}


def prefix_of(value: float) -> tuple[float, str]:
    """The power of ten that an SI prefix stands for, and the prefix: 1.2e-8 has 1e-9, n."""
    power = next((p for p in reversed(_PREFIXES) if abs(value) >= 10.0**p * 0.9995), -18)
    return 10.0**power, _PREFIXES[power]


def with_prefix(value: float, unit: str, figures: int = 3) -> str:
    """A number with so many digits and an SI prefix: 1.2e-8 J is 12.0 nJ."""
    if not value:
        return f"0 {unit}"
    factor, prefix = prefix_of(value)
    scaled = value / factor
    digits = max(figures - (1 if abs(scaled) < 9.995 else 2 if abs(scaled) < 99.95 else 3), 0)
    return f"{scaled:.{digits}f} {prefix}{unit}"


def cost_caption(hw: Hardware) -> str:
    """How far costs on a kind of hardware can be trusted, and what digital ones are of."""
    assumed = sum(source.assumed for source in hw.sources.values())
    return (
        f"estimates: {assumed} of {len(hw.sources)} coefficients of {hw.name} are assumptions (--show). "
        "Times: passes go from layer to layer, all else goes on in all layers at once. Digital: "
        f"{hw.sources['baseline_energy'].text}"
    )


def cost_tables(found: Sequence[TrainingCost], title: str, caption: str) -> list[Table]:
    """Totals of all algorithms, then a table by layer and phase for each; means over the seeds.

    Seeds that did not reach the accuracy are left out where others did.
    """
    groups: dict[str, list[TrainingCost]] = {}
    for each in found:
        groups.setdefault(each.algorithm, []).append(each)
    chosen = {a: [each for each in many if each.reached] or many for a, many in groups.items()}
    tables = [_totals(groups, chosen, title, caption), _hardware_needed(chosen)]
    return tables + [_phases(a, many) for a, many in chosen.items() if many[0].cost]


def _mean(many: Sequence[TrainingCost], quantity: Callable[[TrainingCost], float]) -> float:
    return mean(quantity(each) for each in many)


def _totals(
    groups: dict[str, list[TrainingCost]], chosen: dict[str, list[TrainingCost]], title: str, caption: str
) -> Table:
    table = _table(title, "algorithm", "epochs", "accuracy", "energy/image", "time/image", "energy", "time",
                   "energy/digital")  # fmt: skip
    own = chosen.get("digital", [])
    for algorithm, many in chosen.items():
        reached = many[0].reached
        name = style_of(algorithm).label
        if reached and len(many) < len(groups[algorithm]):
            name += f" ({len(many)} of {len(groups[algorithm])} seeds)"
        energy = _mean(many, lambda t: t.cost.energy() if t.cost else t.digital.energy)
        time = _mean(many, lambda t: t.cost.time() if t.cost else t.digital.time)
        images = _mean(many, lambda t: t.images)
        # at equal accuracy a digital training sees fewer images, or more
        share = energy / _mean(own if own and own[0].reached else many, lambda t: t.digital.energy)
        accuracy = f"{100 * _mean(many, lambda t: t.accuracy):.1f} %"
        table.add_row(
            name,
            f"{_mean(many, lambda t: t.epoch):.3g}" if reached else "not reached",
            accuracy if reached else f"best {accuracy}",
            with_prefix(energy / images, "J"),
            with_prefix(time / images, "s"),
            with_prefix(energy, "J") if reached else "-",
            with_prefix(time, "s") if reached else "-",
            f"{share:.2g}" if reached else "-",
        )
    table.caption = caption
    table.caption_justify = "left"
    return table


def _hardware_needed(chosen: dict[str, list[TrainingCost]]) -> Table:
    table = _table("arrays, memory and wear", "algorithm", "arrays", "crosspoints", "circuits", "digital",
                   "pulses/element", "most worn array")  # fmt: skip
    for algorithm, many in chosen.items():
        cost = many[0].cost
        if cost is None:
            continue
        layer, tile, array, most = cost.most_wear
        place = f"{layer}, {array}" + (f", tile {tile}" if tile else "")
        table.add_row(
            style_of(algorithm).label,
            str(cost.arrays),
            _area(cost.crosspoint_area),
            _area(cost.circuit_area),
            with_prefix(cost.storage, "B"),
            f"{_mean(many, lambda t: t.cost.mean_wear if t.cost else 0):,.0f}",
            f"{most:,.0f} ({place})",
        )
    table.caption = "pulses: the mean over the elements of all arrays, and of the array with the most"
    table.caption_justify = "left"
    return table


def _area(area: float) -> str:
    return f"{1e6 * area:.3g} mm²"


def _phases(algorithm: str, many: Sequence[TrainingCost]) -> Table:
    """Energy and time an image by layer and phase."""
    costs = [each.cost for each in many if each.cost]
    phases = [p for p in PHASES if any(part.phase == p for cost in costs for part in cost.parts)]
    table = _table(f"{style_of(algorithm).label}, an image", "layer", *phases, "all")
    for layer in (*costs[0].layers, None):
        cells = (_spent(costs, layer, phase) for phase in (*phases, None))
        table.add_row("all" if layer is None else layer, *cells)
    return table


def _spent(costs: Sequence[Cost], layer: str | None, phase: str | None) -> str:
    """Energy and time an image, of a layer or a phase if given."""
    energy = mean(cost.energy(layer, phase) / cost.images for cost in costs)
    time = mean(cost.time(layer, phase) / cost.images for cost in costs)
    return f"{with_prefix(energy, 'J')}\n{with_prefix(time, 's')}"


def checks_table(checks: Sequence[Check]) -> Table:
    """Published figures beside ours."""
    table = _table("cross-checks", "what", "published", "ours", "deviation", "remark")
    for check in checks:
        table.add_row(
            f"{check.what}\n[dim]{check.source}[/dim]",
            f"{check.published:.4g} {check.unit}",
            f"{check.ours:.4g} {check.unit}",
            f"{100 * check.deviation:+.1f} %",
            check.remark,
        )
    table.columns[-1].justify = "left"
    return table


def hardware_table() -> Table:
    """The descriptions of this package."""
    table = _table("hardware", "name", "array", "product", "pulse slot", "assumptions", "what")
    for name in NAMES:
        hw = hardware(name)
        assumed = sum(source.assumed for source in hw.sources.values())
        table.add_row(
            name,
            f"{hw.array_rows} x {hw.array_cols}",
            with_prefix(hw.read_time, "s"),
            with_prefix(hw.pulse_width * hw.pulse_phases, "s"),
            f"{assumed} of {len(hw.sources)}",
            hw.note,
        )
    table.columns[-1].justify = "left"
    table.caption = "ohmgrad cost --show NAME prints one with all units and sources, to copy and change"
    table.caption_justify = "left"
    return table


def tiles_table(found: Sequence[TileUse], array: tuple[int, int], title: str) -> Table:
    """Arrays, cells and utilisation by layer."""
    table = _table(f"{title} on arrays of {array[0]} x {array[1]}", "layer", "matrix", "arrays", "cells",
                   "utilisation")  # fmt: skip
    for each in found:
        several = f"{each.matrices} x " if each.matrices > 1 else ""
        matrix = f"{several}{each.rows} x {each.cols}"
        table.add_row(each.layer, matrix, f"{each.arrays:,}", f"{each.cells:,}", f"{each.utilisation:.1%}")
    arrays, cells = sum(each.arrays for each in found), sum(each.cells for each in found)
    table.add_section()
    share = cells / (arrays * array[0] * array[1])
    table.add_row("all", "", f"{arrays:,}", f"{cells:,}", f"{share:.1%}")
    table.caption = "for the weights; each auxiliary array of an algorithm takes as many again"
    table.caption_justify = "left"
    return table


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first, overflow="fold")
    for column in columns:
        table.add_column(column, justify="right", overflow="fold")
    return table
