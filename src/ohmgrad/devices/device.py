"""A device: one frozen specification of how an element answers pulses, to and from YAML."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from ..errors import InputError, check_choice, check_number
from .families import FAMILIES, AffineResponse
from .response import AbstractResponse
from .variability import Noise, Spread

__all__ = ["Device"]


@dataclass(frozen=True)
class Device:
    """Specification of one kind of resistive element. Immutable, validated, comparable.

    Args:
        response: how the step depends on the weight (a family, or `Custom`).
        dw_min: granularity, the mean step of one pulse at w = 0 (> 0, weight units). The number
            of states is (w_max - w_min) / dw_min.
        spread: device-to-device spread.
        noise: cycle-to-cycle noise.

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

    def __post_init__(self) -> None:
        if not isinstance(self.response, AbstractResponse):
            raise InputError(
                f"response is {self.response!r}, but must be a response such as "
                "SoftBounds(-1, 1), or Custom(q_plus, q_minus) for your own callables"
            )
        half = min(self.response.w_max, -self.response.w_min)
        if not isinstance(self.dw_min, (int, float)) or not 0 < self.dw_min <= half / 2:
            raise InputError(
                f"granularity dw_min is {self.dw_min!r}, but must be a number in (0, {half / 2:g}]: "
                "positive, and at least two steps from zero to each bound"
            )
        check_number("dw_min", self.dw_min)
        if self.spread.symmetric_point is not None:
            check_number(
                "symmetric_point_mean",
                self.spread.symmetric_point_mean,
                low=self.response.w_min,
                high=self.response.w_max,
                open_low=True,
                open_high=True,
            )

    @property
    def states(self) -> float:
        """Number of states, range / granularity."""
        return (self.response.w_max - self.response.w_min) / self.dw_min

    def to_dict(self) -> dict[str, Any]:
        """Plain dictionary, the content of the YAML form.

        Raises:
            InputError: for a device made of callables, which have no text form.
        """
        if not isinstance(self.response, AffineResponse):
            raise InputError(
                f"{type(self.response).__name__} is made of callables and cannot be written to "
                "YAML: keep it in a Python file, or use one of " + ", ".join(FAMILIES)
            )
        numbers = {f.name: getattr(self.response, f.name) for f in dataclasses.fields(type(self.response))}  # pyright: ignore
        response = {"family": self.response.family, **numbers}
        return {
            "response": response,
            "dw_min": self.dw_min,
            "spread": dataclasses.asdict(self.spread),
            "noise": dataclasses.asdict(self.noise),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Device:
        """Inverse of `to_dict`; omitted entries keep their defaults.

        Raises:
            InputError: naming the unknown entry, the wrong value, or the missing family.
        """
        known = _known(data, cls, "device")
        raw = dict(_mapping(known.get("response"), "response"))
        if "family" not in raw:
            raise InputError(f"response has no family: choose one of {', '.join(FAMILIES)}")
        family = FAMILIES[check_choice("device family", raw.pop("family"), FAMILIES)]
        parts: dict[str, Any] = {"response": family(**_known(raw, family, family.family))}
        if "dw_min" in known:
            parts["dw_min"] = known["dw_min"]
        for name, kind in (("spread", Spread), ("noise", Noise)):
            if name in known:
                parts[name] = kind(**_known(_mapping(known[name], name), kind, name))
        return cls(**parts)

    def to_yaml(self) -> str:
        """The specification as YAML text."""
        return yaml.safe_dump(self.to_dict(), sort_keys=False)

    @classmethod
    def from_yaml(cls, source: str | Path) -> Device:
        """Read a specification from YAML text, or from a file when given a Path.

        Raises:
            InputError: when the file cannot be read, is not YAML, or describes no device.
        """
        try:
            text = source.read_text() if isinstance(source, Path) else source
            data = yaml.safe_load(text)
        except OSError as error:
            raise InputError(f"cannot read the device file {source}: {error.strerror}") from None
        except yaml.YAMLError as error:
            raise InputError(f"device is not valid YAML: {' '.join(str(error).split())}") from None
        return cls.from_dict(_mapping(data, "device"))


def _mapping(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what} is {value!r}, but must be a mapping of names to values")
    return value


def _known(data: Mapping[str, Any], cls: type, what: str) -> Mapping[str, Any]:
    names = [f.name for f in dataclasses.fields(cls)]
    for name in data:
        check_choice(f"entry of {what}", name, names)
    return data
