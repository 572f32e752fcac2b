"""A hardware description: coefficients with unit, technology node and source, to and from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import yaml

from ..checked import checked
from ..errors import InputError, check_choice, check_flag, check_integer, check_number, naming, shown
from ..yaml_text import parse_yaml, read_yaml

__all__ = ["NAMES", "Hardware", "Source", "hardware"]

#: where the descriptions of this package are
FOLDER = Path(__file__).parent / "descriptions"
#: names of those descriptions
NAMES = ("gokmen-vlasov-2016", "rasch-li", "row-serial")


@checked
@dataclass(frozen=True)
class Source:
    """Where a coefficient is from.

    Args:
        text: the publication, or how the figure follows from publications.
        node: technology node, as in "14 nm"; "-" where it has none.
        assumed: whether the figure is an assumption of ours.
    """

    text: str
    node: str = "-"
    assumed: bool = False


def _number(unit: str, what: str, low: float = 0.0, *, above: bool = False) -> Any:
    """A field with a unit, of at least `low`, or above it."""
    return field(metadata={"unit": unit, "what": what, "low": low, "above": above})


def _whole(what: str, low: int = 1) -> Any:
    return field(metadata={"unit": "1", "what": what, "low": low, "whole": True})


@dataclass(frozen=True)
class Hardware:
    """Coefficients of a kind of hardware, in SI units. Immutable, validated.

    Every field has its unit in the metadata of the dataclass. `sources` says where each is from. Equations
    that use them are in `ohmgrad.cost.equations`.

    Raises:
        InputError: when a value is out of range, or a coefficient has no source.
    """

    name: str
    note: str
    array_rows: int = _whole("lines of a physical array: outputs")
    array_cols: int = _whole("lines of a physical array: inputs")
    elements_per_weight: int = _whole("elements that hold a weight: 2 where a reference is subtracted")
    cell_pitch: float = _number("m", "pitch of crosspoints", above=True)
    line_resistance: float = _number("ohm/m", "resistance of a line by length")
    line_capacitance: float = _number("F/m", "capacitance of a line by length")
    conductance: float = _number("S", "mean conductance of an element", above=True)
    read_voltage: float = _number("V", "largest voltage on a line in a product")
    read_duty: float = _number("1", "mean share of the voltage-squared time that inputs take of a product")
    read_time: float = _number(
        "s", "time of a product, with what is not hidden of its conversion", above=True
    )
    write_voltage: float = _number("V", "voltage on an element in a coincidence; a line carries half of it")
    pulse_width: float = _number("s", "time of a pulse slot of one polarity", above=True)
    pulse_phases: int = _whole("polarities sent one after the other in an update")
    parallel_update: int = _whole("1 where trains update all lines at once, 0 where row after row", low=0)
    verify_reads: float = _number("1", "reads of a line after each slot of a write to it")
    dac_energy: float = _number("J", "energy of an input conversion")
    adc_bits: int = _whole("resolution of the output converters")
    adc_energy: float = _number("J", "energy of an output conversion")
    adc_rate: float = _number("1/s", "conversions of a converter by time", above=True)
    adc_area: float = _number("m^2", "area of an output converter")
    lines_per_adc: int = _whole("lines that share a converter")
    integrator_power: float = _number("W", "power of the integrator of an output line, during a product")
    translator_power: float = _number("W", "power of the pulse circuits of a line, during an update")
    line_area: float = _number("m^2", "area of the circuits of a line besides converters")
    digital_energy: float = _number("J", "energy of a digital operation")
    digital_rate: float = _number("1/s", "digital operations by time, for each array", above=True)
    digital_area: float = _number("m^2", "area of the digital unit of each array")
    number_bytes: float = _number("B", "bytes of a digital number", above=True)
    memory_energy: float = _number("J/B", "energy of a byte that is read or written")
    memory_area: float = _number("m^2/B", "area of a byte of memory")
    baseline_energy: float = _number("J", "energy of an operation of a digital training: the baseline")
    baseline_rate: float = _number("1/s", "operations of the baseline by time", above=True)
    sources: Mapping[str, Source] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        _text("name", self.name)
        _text("note", self.note)
        if not isinstance(self.sources, Mapping):
            raise InputError(f"sources are {shown(self.sources)}, but must be a mapping of names to Source")
        for each in _COEFFICIENTS:
            value, meta = getattr(self, each.name), each.metadata
            if meta.get("whole"):
                check_integer(each.name, value, meta["low"])
            else:
                check_number(f"{each.name} ({meta['unit']})", value, low=meta["low"], open_low=meta["above"])
            if each.name not in self.sources:
                raise InputError(f"{each.name} has no source: say where the figure is from, or assumed: true")
        if self.parallel_update > 1:
            raise InputError(f"parallel_update is {self.parallel_update}, but must be 0 or 1")
        if self.pulse_width < self.line_delay:
            raise InputError(
                f"pulse_width is {self.pulse_width:g} s, but must be at least the delay of a line, "
                f"{self.line_delay:g} s: a longer pulse, a smaller array, or less resistance or capacitance"
            )

    @property
    def line_delay(self) -> float:
        """Delay of the longer line, R C / 2 of a distributed line (Elmore), in seconds."""
        length = self.cell_pitch * max(self.array_rows, self.array_cols)
        return self.line_resistance * self.line_capacitance * length**2 / 2

    def to_yaml(self) -> str:
        """The description as YAML, with units and sources."""
        body: dict[str, Any] = {"name": self.name, "note": self.note}
        for each in _COEFFICIENTS:
            source = self.sources[each.name]
            entry = {"value": getattr(self, each.name), "unit": each.metadata["unit"]}
            entry |= {"node": source.node, "source": source.text}
            body[each.name] = entry | ({"assumed": True} if source.assumed else {})
        return yaml.safe_dump(body, sort_keys=False, allow_unicode=True, width=108)

    @classmethod
    @checked
    def from_yaml(cls, text: str | Path) -> Hardware:
        """The description in YAML text, or in a file (a Path).

        Raises:
            InputError: when an entry is missing, unknown, in another unit, without a source, or out of range.
        """
        what = text if isinstance(text, Path) else "the hardware description"
        data = read_yaml(text) if isinstance(text, Path) else parse_yaml(text, str(what))
        with naming(what):
            return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> Hardware:
        """The description in a mapping as YAML has it; raises as `from_yaml`."""
        if not isinstance(data, Mapping):
            raise InputError(f"the description is {shown(data)}, but must be a mapping of coefficients")
        known = {each.name: each for each in _COEFFICIENTS}
        for name in data:
            check_choice("entry", name, ("name", "note", *known))
        missing = [name for name in ("name", *known) if name not in data]
        if missing:
            raise InputError(f"there is no {missing[0]}: {_meaning(known.get(missing[0]))}")
        values: dict[str, Any] = {
            "name": _text("name", data["name"]),
            "note": _text("note", data.get("note", "")),
        }
        sources: dict[str, Source] = {}
        for name, each in known.items():
            entry, unit = data[name], each.metadata["unit"]
            if not isinstance(entry, Mapping):
                raise InputError(
                    f"{name} is {shown(entry)}, but must be a mapping: value, unit ({unit}), node, source"
                )
            for key in entry:
                check_choice(f"entry of {name}", key, ("value", "unit", "node", "source", "assumed"))
            if str(entry.get("unit")) != unit:  # YAML reads 1 as a number
                raise InputError(f"the unit of {name} is {shown(entry.get('unit'))}, but must be {unit}")
            if "value" not in entry or not entry.get("source"):
                raise InputError(f"{name} needs a value and a source")
            values[name] = entry["value"]
            check_flag(f"assumed of {name}", assumed := entry.get("assumed", False))
            source, node = (_text(f"{key} of {name}", entry.get(key, "-")) for key in ("source", "node"))
            sources[name] = Source(source, node, assumed)
        return cls(**values, sources=sources)


def _text(what: str, value: Any) -> str:
    if not isinstance(value, str):
        raise InputError(f"{what} is {shown(value)}, but must be text")
    return value


def _meaning(each: Any) -> str:
    return "a name for tables" if each is None else f"{each.metadata['what']}, in {each.metadata['unit']}"


_COEFFICIENTS = [each for each in fields(Hardware) if each.metadata]


@checked
def hardware(name: str | Path) -> Hardware:
    """A description of this package by name, or the one in a YAML file.

    Raises:
        InputError: for an unknown name, or a wrong file.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return Hardware.from_yaml(path)
    return Hardware.from_yaml(FOLDER / f"{check_choice('hardware', str(name), NAMES)}.yaml")


def changed(of: Hardware, source: str, **values: Any) -> Hardware:
    """The description with other values of some coefficients, from `source`.

    Raises:
        InputError: for an unknown coefficient, or a value that is out of range.
    """
    for name in values:
        check_choice("coefficient", name, [each.name for each in _COEFFICIENTS])
    sources = {**of.sources, **{name: Source(source) for name in values}}
    return dataclasses.replace(of, **values, sources=sources)
