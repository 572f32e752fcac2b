"""A device: one frozen specification of how an element answers pulses, to and from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import yaml

from ..checked import checked
from ..errors import InputError, check_choice, check_number, naming, python_numbers, shown
from ..yaml_text import parse_yaml, read_yaml
from .families import FAMILIES, AffineResponse, Custom
from .measured import MeanSteps, Measured
from .memory import ReadNoise, Retention, Stuck
from .pairs import OneSided, Reference
from .picture import device_html
from .response import LEAST, MOST_FACTOR, AbstractResponse, sampled
from .shapes import check_shapes, shaped
from .symmetric_point import driven_to
from .variability import Noise, Spread

__all__ = ["Device"]

#: what a device is made of besides its response and numbers; those that are None do nothing
_PARTS: dict[str, type] = {
    "spread": Spread,
    "noise": Noise,
    "stuck": Stuck,
    "read_noise": ReadNoise,
    "retention": Retention,
    "pair": OneSided,
    "reference": Reference,
}


@dataclass(frozen=True)
class Device:
    """Specification of one kind of resistive element. Immutable, validated, comparable.

    Args:
        response: how the step depends on the weight (a family, or `Custom`).
        dw_min: granularity, the mean step of one pulse at w = 0 (> 0, weight units). The number
            of states is (w_max - w_min) / dw_min.
        spread: device-to-device spread.
        noise: cycle-to-cycle noise.
        stuck: elements that do not move.
        write_noise: standard deviation of what each write adds to the weight that is seen, in units of
            dw_min (>= 0): w_seen = w + write_noise dw_min xi, xi drawn anew whenever the element is pulsed.
            Pulses act on w (Gong et al. 2018, 10.1038/s41467-018-04485-1; aihwkit's `write_noise_std`).
        read_noise: what products and reads see beside the weight, new in every read or slow.
        retention: what time does to weights.
        pair: the weight is the difference of two elements that only go up.
        reference: the weight is the difference to a second element that holds a reference.

    Raises:
        InputError: when a value is out of range.

    Example:
        >>> device = Device(SoftBounds.symmetric(0.6), dw_min=0.001, noise=Noise(0.3))
        >>> round(device.states)
        1200
    """

    response: AbstractResponse
    dw_min: float = 0.001
    spread: Spread = field(default_factory=Spread)
    noise: Noise = field(default_factory=Noise)
    stuck: Stuck | None = None
    write_noise: float = 0.0
    read_noise: ReadNoise | None = None
    retention: Retention | None = None
    pair: OneSided | None = None
    reference: Reference | None = None

    def __post_init__(self) -> None:
        python_numbers(self)
        if not isinstance(self.response, AbstractResponse):
            raise InputError(
                f"response is {shown(self.response)}, but must be a response such as "
                "SoftBounds(-1, 1), or Custom(q_plus, q_minus) for your own callables"
            )
        for name, kind in _PARTS.items():
            part = getattr(self, name)
            needed = name in ("spread", "noise")
            if not isinstance(part, kind) and (needed or part is not None):
                raise InputError(f"{name} is {shown(part)}, but must be a {kind.__name__}")
        self._check_companions()
        if self.spread.shaped:
            check_shapes(self.response, self.spread.shape_up, self.spread.shape_down)
        if self.spread.symmetric_point is not None:
            up, down = self.spread.shape_up, self.spread.shape_down
            every = shaped(self.response, up, down) if self.spread.shaped else [self.response]
            for response in every:
                self._check_symmetric_point(response)
        if isinstance(self.response, Measured):
            self._check_measured(self.response)
        elif not isinstance(self.response, MeanSteps):  # measured steps are as long as they are
            self._check_steps()

    def _check_companions(self) -> None:
        """Raise InputError unless what a device does besides answering pulses fits its response."""
        low, high = self.response.w_min, self.response.w_max
        check_number("write_noise", self.write_noise, low=0, high=MOST_FACTOR)
        if self.pair is not None:
            if low != -high:
                raise InputError(
                    f"the range of a one-sided pair is [{low:g}, {high:g}], but w_min = -w_max is needed: "
                    "g+ - g- reaches w_max in both directions, and w_min is not used"
                )
            if self.reference is not None:
                raise InputError(
                    "both pair and reference are set, but a one-sided pair is a difference already: leave "
                    "the reference out"
                )
            low = 0.0
        for name, value in (
            ("weight of stuck elements", self.stuck and self.stuck.at),
            ("rest", self.retention and self.retention.rest),
            ("reference at", self.reference and self.reference.at),
        ):
            if isinstance(value, (int, float)):
                check_number(name, value, low=low, high=high)

    def _check_steps(self) -> None:
        """Both directions have a step at w = 0, and the bounds are at least two of them away."""
        plus, minus = self.nominal_steps
        for name, step in (("up", plus), ("down", minus)):
            if not step >= LEAST:
                raise InputError(
                    f"the response's step {name} at w = 0 is {step:g}, but must be positive: it is what "
                    "dw_min and the noise scale with"
                )
        half = min(self.response.w_max, -self.response.w_min)
        top = half / max(plus, minus)
        # a few roundings of room: a bound at exactly one step is allowed
        if not LEAST <= check_number("granularity dw_min", self.dw_min) <= top * (1 + 1e-9):
            raise InputError(
                f"granularity dw_min is {shown(self.dw_min)}, but must be a number in [{LEAST:g}, {top:g}]: "
                "positive, and at least one step from zero to each bound (the larger step is "
                f"{max(plus, minus):g} dw_min)"
            )

    def _check_measured(self, response: Measured) -> None:
        """The tables say what a step is and how it varies: dw_min and the noise add nothing to them."""
        if self.dw_min != response.dw_min:
            raise InputError(
                f"granularity dw_min is {shown(self.dw_min)}, but the measured step at w = 0 is "
                f"{response.dw_min:g}: give dw_min=response.dw_min"
            )
        if self.noise.std:
            raise InputError(
                f"noise has std {self.noise.std:g}, but the measured steps have their own: leave noise out"
            )

    def _check_symmetric_point(self, response: AbstractResponse) -> None:
        check_number(
            "symmetric_point_mean",
            self.spread.symmetric_point_mean,
            low=response.w_min,
            high=response.w_max,
            open_low=True,
            open_high=True,
        )
        # the balance scales q+ and q-; if their ratio is the same everywhere they meet nowhere or
        # everywhere, and no balance puts the symmetric point where it is wanted
        w = torch.linspace(0.9 * response.w_min, 0.9 * response.w_max, 19, dtype=torch.float64)
        ratio = response.q_plus(w) / response.q_minus(w)
        if bool((ratio - ratio[0]).abs().max() <= 1e-9 * ratio[0].abs()):
            raise InputError(
                f"spread of symmetric_point is {shown(self.spread.symmetric_point)}, but q+/q- of this "
                f"{type(response).__name__} does not depend on w, so that it has no inner symmetric point: "
                "leave symmetric_point unset (None) and use up_down, or a response such as SoftBounds"
            )
        # with that balance pulses must drive elements to the point, and not away from it
        mean, std = self.spread.symmetric_point_mean, self.spread.symmetric_point or 0.0
        points = (mean + std * torch.linspace(-3, 3, 13, dtype=torch.float64)).clamp(w[0], w[-1]).unique()
        grid, up, down = sampled(response)
        i, t = driven_to(grid, up, down, response.q_minus(points) / response.q_plus(points))
        off = (grid[i] + t * (grid[i + 1] - grid[i]) - points).abs()
        if float(off.max()) > 0.02 * (response.w_max - response.w_min):
            point = float(points[off.argmax()])
            raise InputError(
                f"symmetric_point_mean and its spread put points at {point:g}, but from 0 alternating "
                f"pulses "
                f"do not drive a {type(response).__name__} there: q+/q- must fall on the way; use up_down"
            )

    @property
    def nominal(self) -> Device:
        """The same device without spread; what its means do to the steps stands in its response.

        Of measured steps the means stay, and as noise their relative standard deviation at w = 0.
        """
        plus, minus = self.nominal_steps
        response, noise = self.response, self.noise
        if isinstance(response, Measured):
            noise = Noise(response.relative_std)
        if isinstance(response, AffineResponse):
            response = dataclasses.replace(response, up=plus, down=minus)  # pyright: ignore
        else:
            zero = torch.zeros(1, dtype=torch.float64)
            up, down = plus / float(response.q_plus(zero)), minus / float(response.q_minus(zero))
            q_plus, q_minus = response.q_plus, response.q_minus
            if isinstance(response, Measured):
                response = MeanSteps(response, up, down)
            elif (up, down) != (1.0, 1.0):  # else it keeps its table
                response = Custom(
                    lambda w: up * q_plus(w), lambda w: down * q_minus(w), response.w_min, response.w_max
                )
        return dataclasses.replace(self, response=response, spread=Spread(), noise=noise)

    @property
    def nominal_steps(self) -> tuple[float, float]:
        """Steps up and down of the nominal element at w = 0, in units of dw_min."""
        at = torch.tensor([0.0, self.spread.symmetric_point_mean], dtype=torch.float64)
        (plus, p), (minus, m) = self.response.q_plus(at).tolist(), self.response.q_minus(at).tolist()
        placed = self.spread.symmetric_point is not None
        balance = (m - p) / (m + p) if placed else self.spread.up_down_mean
        balance = min(max(balance, -0.9), 0.9)
        return plus * (1 + balance), minus * (1 - balance)

    @property
    def memoryless(self) -> bool:
        """True when the weight is one element's, seen as it is and changed by pulses only."""
        parts = (self.stuck, self.read_noise, self.retention, self.pair, self.reference)
        return not self.write_noise and all(part is None for part in parts)

    def _repr_html_(self) -> str:
        """The device in a notebook: pictures of its response, and its numbers."""
        return device_html(self)

    @property
    def states(self) -> float:
        """Number of states, range / granularity."""
        return (self.response.w_max - self.response.w_min) / self.dw_min

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, the content of the YAML form; measured tables stand as their file.

        Raises:
            InputError: for a device made of callables, or of tables without a file, which have no text form.
        """
        parts = {n: dataclasses.asdict(p) for n in _PARTS if (p := getattr(self, n)) is not None}
        rest = {"write_noise": self.write_noise} if self.write_noise else {}
        if isinstance(self.response, Measured) and self.response.file is not None:
            named = {"family": "measured", "file": str(self.response.file), "digest": self.response.digest}
            return {"response": named, **parts, **rest}
        family = next((name for name, cls in FAMILIES.items() if type(self.response) is cls), None)
        if family is None:
            made = "of measured tables" if isinstance(self.response, Measured) else "of callables"
            raise InputError(
                f"{type(self.response).__name__} is made {made} and cannot be written to "
                "YAML: keep it in a Python file, or use one of " + ", ".join(FAMILIES)
            )
        values = {f.name: getattr(self.response, f.name) for f in dataclasses.fields(type(self.response))}  # pyright: ignore
        plain = {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}
        response = {"family": family, **plain}
        return {"response": response, "dw_min": self.dw_min, **parts, **rest}

    @classmethod
    @checked
    def from_dict(cls, data: Mapping[str, Any]) -> Device:
        """Inverse of `to_dict`; omitted entries keep their defaults. `fit`, the card of a fit, is left alone.

        Raises:
            InputError: naming the unknown entry, the wrong value, or the missing family.
        """
        known = _known({name: value for name, value in data.items() if name != "fit"}, cls, "device")
        raw = dict(_mapping(known.get("response"), "response"))
        if "family" not in raw:
            raise InputError(f"response has no family: choose one of {', '.join(FAMILIES)}")
        family = check_choice("device family", raw.pop("family"), (*FAMILIES, "measured"))
        if family == "measured":
            tables = _tables(raw)
            parts: dict[str, Any] = {"response": tables, "dw_min": tables.dw_min}
        else:
            parts = {"response": FAMILIES[family](**_known(raw, FAMILIES[family], family))}
        for name in ("dw_min", "write_noise"):
            if name in known:
                parts[name] = known[name]
        for name, kind in _PARTS.items():
            if name in known and known[name] is not None:
                parts[name] = kind(**_known(_mapping(known[name], name), kind, name))
        return cls(**parts)

    def to_yaml(self) -> str:
        """The specification as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    @checked
    def from_yaml(cls, source: str | Path) -> Device:
        """Read a specification from YAML text, or from a file when given a Path.

        Raises:
            InputError: when the file cannot be read, is not YAML, or describes no device.
        """
        if not isinstance(source, Path):
            return cls.from_dict(_mapping(parse_yaml(source, "device"), "device"))
        data = read_yaml(source, f"the device file {source}")
        with naming(source):
            response = _mapping(data, "device").get("response")
            if isinstance(response, dict) and isinstance(response.get("file"), str):
                response["file"] = str(source.parent / response["file"])
            return cls.from_dict(data)


def _tables(entries: Mapping[str, Any]) -> Measured:
    """Measured tables by their file, which must be the one that was meant."""
    for name in entries:
        check_choice("entry of measured", name, ("file", "digest"))
    file = entries.get("file")
    if not isinstance(file, str):
        raise InputError(f"file of measured is {shown(file)}, but must be the name of an .npz file of tables")
    tables = Measured.from_npz(file)
    if entries.get("digest", tables.digest) != tables.digest:
        raise InputError(
            f"{file} has other tables than the device was made of: leave digest out to take them"
        )
    return tables


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is {shown(value)}, but must be a mapping of names to values")
    return value


def _known(data: Mapping[str, Any], cls: type, what: str) -> Mapping[str, Any]:
    names = [f.name for f in dataclasses.fields(cls)]
    for name in data:
        check_choice(f"entry of {what}", name, names)
    return data
