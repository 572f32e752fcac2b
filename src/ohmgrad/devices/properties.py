"""What may be wrong with a device, one property at a time: each can be made ideal, or scaled, by itself.

A response is taken apart into

    q+ = F (1 - r),   q- = F (1 + r),       F = (q- + q+)/2,   r = G/F in [-1, 1],   r = r0 + s(w),  s(0) = 0

    nonlinearity    how F varies over the range; ideal: F = F(0), r stays
    asymmetry       s; ideal: r = 0 everywhere, F stays
    shift           r0, which shifts the symmetric point from 0; ideal: q+ and q- have gains by which they are
                    equal at 0, F(0) stays
    sp-spread       how symmetric points differ from element to element
    states          the granularity dw_min, in weight units; relative noise and bounds stay
    bounds          where weights are clipped; ideal: far away, with F and r inside as they were, and outside
                    as at the old bound

and noise, spread, and what else a device has. r and the symmetric point are like the length and the
direction of a vector: asymmetry scales r as a whole, so that the symmetric point stays where it is, until
without asymmetry there is none. So `shift` and `sp-spread` mean something only on a device that has its
asymmetry (`Property.needs`). Soft bounds never let a weight pass, so that `bounds` does nothing there before
the asymmetry is gone.

A property is scaled by a factor: 1 leaves it as it is, 0 makes it ideal, 2 makes it twice as bad. A device is
first brought to a form in which this is possible (`ohmgrad.devices.plain`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch

from ..errors import check_choice, check_number
from ..rng import Key
from .device import Device
from .elements import draw
from .families import ConstantStep
from .memory import ReadNoise, Retention, Stuck
from .plain import INTERVALS, balanced, built, parts, plain, steps, with_parts
from .response import AbstractResponse
from .variability import Noise, Spread

__all__ = ["PROPERTIES", "Property", "plain", "present", "scaled"]

#: a granularity this fine, in weight units and as a share of the range, is ideal: that of the specification
#: of Gokmen & Vlasov 2016 (10.3389/fnins.2016.00333). Much finer ones need more slots than trains have
_IDEAL_STEP, _IDEAL_SHARE = 1e-3, 1 / 1200
#: bounds this far away, in weight units, are ideal: no weight of a network of the usual size gets there
_FAR = 4.0
#: factor from which on a property that ends there is ideal already
_NEARLY = 0.7
#: variation of F, as a share of F(0), that is none
_EVEN = 0.1


# --- the properties ----------------------------------------------------------------------------------------


def _near(device: Device) -> float:
    """The nearer bound, in weight units."""
    return min(device.response.w_max, -device.response.w_min)


def _finest(device: Device) -> float:
    """Factor of the granularity at which it is ideal."""
    span = device.response.w_max - device.response.w_min
    return min(device.dw_min, _IDEAL_STEP, _IDEAL_SHARE * span) / device.dw_min


def _states(device: Device, factor: float) -> Device:
    """dw_min times the factor; write and read noise and diffusion, given in steps, stay in weight units."""
    most = _near(device) / max(device.nominal_steps)
    dw = min(max(factor, _finest(device)) * device.dw_min, most)
    ratio = device.dw_min / dw
    retention = device.retention and replace(device.retention, diffusion=ratio * device.retention.diffusion)
    device = replace(device, dw_min=dw, write_noise=ratio * device.write_noise, retention=retention)
    return _read_noise(device, ratio)


def _nonlinearity(device: Device, factor: float) -> Device:
    """F(0) (F/F(0))^factor in place of F, with the gains by which steps are equal at 0; r(0) stays."""
    r0 = parts(device.response)[4]
    w, f, r, f0, _ = parts(balanced(device.response, 0.0))
    even = with_parts(device, f0 * (f / f0) ** factor, r, w)
    return even if r0 == 0 else replace(even, response=balanced(even.response, r0))


def _asymmetry(device: Device, factor: float) -> Device:
    """factor r in place of r, of all elements; with 0 there is no symmetric point."""
    w, f, r, *_ = parts(device.response)
    spread = replace(device.spread, up_down=factor * device.spread.up_down)
    if factor == 0:
        spread = replace(spread, symmetric_point=None, symmetric_point_mean=0.0)
    return with_parts(replace(device, spread=spread), f, (factor * r).clamp(-1, 1), w)


def _shift(device: Device, factor: float) -> Device:
    """r(0) times the factor, by the gains of q+ and q-; of a reference, its distance from the point."""
    spread, reference = device.spread, device.reference
    if reference is not None:
        if isinstance(reference.at, str):
            return device
        point = device.response.symmetric_point()
        return replace(device, reference=replace(reference, at=point + factor * (reference.at - point)))
    if spread.symmetric_point is not None:
        mean = factor * spread.symmetric_point_mean
        return replace(device, spread=replace(spread, symmetric_point_mean=mean))
    r0 = parts(device.response)[4]
    return replace(device, response=balanced(device.response, min(max(factor * r0, -0.9), 0.9)))


def _sp_spread(device: Device, factor: float) -> Device:
    """Spread of the balance or of the symmetric point, and the error of a reference."""
    spread, reference = device.spread, device.reference
    point = None if spread.symmetric_point is None else factor * spread.symmetric_point
    spread = replace(spread, up_down=factor * spread.up_down, symmetric_point=point)
    reference = reference and replace(reference, std=factor * reference.std)
    return replace(device, spread=spread, reference=reference)


def _noise(device: Device, factor: float) -> Device:
    """Cycle-to-cycle noise."""
    return replace(device, noise=replace(device.noise, std=factor * device.noise.std))


#: of a spread, what is not device-to-device spread in general
_POINT = ("up_down", "up_down_mean", "symmetric_point", "symmetric_point_mean", "law")


def _spreads(spread: Spread) -> dict[str, float]:
    names = [f.name for f in dataclasses.fields(spread) if f.name not in _POINT]
    return {name: getattr(spread, name) for name in names}


def _spread(device: Device, factor: float) -> Device:
    """Spread of granularity and bounds, and of retention; symmetric points have a property of their own."""
    spread = replace(device.spread, **{name: factor * std for name, std in _spreads(device.spread).items()})
    retention = device.retention
    if retention is not None:
        retention = replace(
            retention,
            lifetime_spread=factor * retention.lifetime_spread,
            drift_spread=factor * retention.drift_spread,
        )
    return replace(device, spread=spread, retention=retention)


def _bounds(device: Device, factor: float) -> Device:
    """The range divided by the factor, up to `_FAR`; inside the old one F and r stay, outside they go on."""
    response = device.response
    wide = 1 / max(factor, _widest(device))
    if wide == 1 or _never_passed(response):
        return device
    if isinstance(response, ConstantStep):
        return replace(
            device, response=replace(response, w_min=wide * response.w_min, w_max=wide * response.w_max)
        )
    ends = wide * response.w_min, wide * response.w_max
    grid = torch.linspace(*ends, 2 * INTERVALS + 1, dtype=torch.float64)
    inside = grid.clamp(response.w_min, response.w_max)
    return replace(device, response=built(grid, response.q_plus(inside), response.q_minus(inside)))


def _widest(device: Device) -> float:
    """Factor of the bounds at which they are ideal."""
    return min(_near(device) / _FAR, 1.0)


def _never_passed(response: AbstractResponse) -> bool:
    """Whether steps vanish at the bound ahead, so that no weight is ever clipped there."""
    _, up, down = steps(response)
    return float(up[-1]) <= 0.01 * float(up.max()) and float(down[0]) <= 0.01 * float(down.max())


def _write_noise(device: Device, factor: float) -> Device:
    """Noise of writes in the weight that is seen."""
    return replace(device, write_noise=factor * device.write_noise)


def _read_noise(device: Device, factor: float) -> Device:
    """Noise of products and reads, new in each or slow."""
    noise = device.read_noise
    if noise is None or factor == 0:
        return replace(device, read_noise=None)
    return replace(device, read_noise=replace(noise, fast=factor * noise.fast, slow=factor * noise.slow))


def _stuck(device: Device, factor: float) -> Device:
    """The share of stuck elements."""
    stuck = device.stuck and replace(device.stuck, fraction=min(1.0, factor * device.stuck.fraction))
    return replace(device, stuck=stuck if stuck and stuck.fraction else None)


def _retention(device: Device, factor: float) -> Device:
    """How fast weights decay, diffuse and drift."""
    kept = device.retention
    if kept is None or factor == 0:
        return replace(device, retention=None)
    lifetime = None if kept.lifetime is None else max(kept.lifetime / factor, 1.0)
    rates = {"diffusion": factor * kept.diffusion, "drift": factor * kept.drift}
    return replace(device, retention=replace(kept, lifetime=lifetime, **rates))


def _pairs(device: Device, factor: float) -> Device:
    """One element that goes both ways, with the pair's q+ in both, in place of the pair."""
    return device if factor else replace(device, pair=None)


# --- how much of it there is ----------------------------------------------------------------------------


def _asymmetry_of(device: Device) -> float:
    """Mean of |q- - q+|/(q- + q+) over the range, with gains by which they are equal at 0."""
    return float(parts(balanced(device.response, 0.0))[2].abs().mean())


def _nonlinearity_of(device: Device) -> float:
    _, f, _, f0, _ = parts(balanced(device.response, 0.0))
    return float((f / f0 - 1).abs().max())


def _shift_of(device: Device) -> float:
    """|Symmetric point| of the nominal element, in weight units."""
    if device.reference is not None and isinstance(device.reference.at, str):
        return 0.0
    at = 0.0 if device.reference is None else float(device.reference.at)
    point = float(draw(device.nominal, (1, 1), Key(0, 0)).symmetric_point())
    return abs(point - at)


def _sp_spread_of(device: Device) -> float:
    """Standard deviation of the symmetric points, in weight units, over 1024 elements."""
    if device.reference is not None:
        return device.reference.std
    elements = draw(_spread(device, 0.0), (32, 32), Key(0, 0))
    return float(elements.symmetric_point().expand(32, 32).std())


def _retention_of(device: Device) -> float:
    """The largest of 1/lifetime, the diffusion in steps, and the exponent of the drift."""
    kept = device.retention or Retention()
    return max(1 / kept.lifetime if kept.lifetime else 0.0, kept.diffusion, kept.drift)


def _read_noise_of(device: Device) -> float:
    """Standard deviation of what a read sees beside the weight, in steps."""
    noise = device.read_noise or ReadNoise()
    return math.hypot(noise.fast, noise.slow)


@dataclass(frozen=True)
class Property:
    """A property of a device.

    Args:
        label: for people.
        scale: (device, factor) -> the device with so many times as much of it; the others stay.
        amount: how much of it a device has.
        number: how `amount` is written, a format; unit: what stands behind it.
        least: an amount up to this is none.
        usual: a device without it that gets a usual amount of it: what factor 1 then means.
        rising: more is better, as of states and bounds; `amount` is then divided by the factor.
        end: of rising ones, the factor at which they are ideal; 0 for the others.
        needs: the property without which it means nothing, if a device has that.
        smooth: factors between 0 and 1 mean something.
    """

    label: str
    scale: Callable[[Device, float], Device]
    amount: Callable[[Device], float]
    number: str
    unit: str
    usual: Callable[[Device], Device]
    least: float = 0.0
    rising: bool = False
    end: Callable[[Device], float] = lambda device: 0.0
    needs: str = ""
    smooth: bool = True

    def write(self, device: Device) -> str:
        """How much of it a device has, in words."""
        return f"{self.number.format(self.amount(device))} {self.unit}".strip()


def _with_spread(**stds: float) -> Callable[[Device], Device]:
    return lambda device: replace(device, spread=replace(device.spread, **stds))  # pyright: ignore


def _as_it_is(device: Device) -> Device:
    return device


def _usual_shift(device: Device) -> Device:
    return replace(device, response=balanced(device.response, 0.2))


def _usual_asymmetry(device: Device) -> Device:
    w, f, *_ = parts(device.response)
    return with_parts(device, f, w / torch.where(w < 0, -w[0], w[-1]), w)


PROPERTIES: dict[str, Property] = {
    "states": Property(
        "granularity", _states, lambda d: d.states, "{:.0f}", "states", _as_it_is,
        rising=True, end=_finest,
    ),
    "nonlinearity": Property(
        "nonlinearity", _nonlinearity, _nonlinearity_of, "{:.0%}", "variation of the step", _as_it_is,
        least=_EVEN,
    ),
    "asymmetry": Property(
        "asymmetry", _asymmetry, _asymmetry_of, "{:.1%}", "difference of up and down", _usual_asymmetry,
        least=0.005,
    ),
    "shift": Property(
        "shifted symmetric point", _shift, _shift_of, "{:.3g}", "weight units", _usual_shift,
        least=1e-3, needs="asymmetry",
    ),
    "sp-spread": Property(
        "spread of symmetric points", _sp_spread, _sp_spread_of, "{:.3g}", "weight units",
        _with_spread(up_down=0.1), least=1e-6, needs="asymmetry",
    ),
    "noise": Property(
        "cycle-to-cycle noise", _noise, lambda d: d.noise.std, "{:.0%}", "of a step",
        lambda d: replace(d, noise=Noise(1.0, d.noise.kind)),
    ),
    "spread": Property(
        "device-to-device spread", _spread, lambda d: max(_spreads(d.spread).values()), "{:.0%}", "",
        _with_spread(dw_min=0.3, w_max=0.3, w_min=0.3),
    ),
    "bounds": Property(
        "bounds", _bounds, _near, "{:.3g}", "weight units", _as_it_is, rising=True, end=_widest
    ),
    "write-noise": Property(
        "write noise", _write_noise, lambda d: d.write_noise, "{:.3g}", "steps",
        lambda d: replace(d, write_noise=10.0),
    ),
    "read-noise": Property(
        "read noise", _read_noise, _read_noise_of, "{:.3g}", "steps",
        lambda d: replace(d, read_noise=ReadNoise(10.0)),
    ),
    "stuck": Property(
        "stuck elements", _stuck, lambda d: d.stuck.fraction if d.stuck else 0.0, "{:.1%}", "of elements",
        lambda d: replace(d, stuck=Stuck(0.1)),
    ),
    "retention": Property(
        "retention", _retention, _retention_of, "{:.2g}", "a step",
        lambda d: replace(d, retention=Retention(lifetime=1e4)),
    ),
    "pairs": Property(
        "one-sided pairs", _pairs, lambda d: float(d.pair is not None), "{:.0f}", "", _as_it_is, smooth=False
    ),
}  # fmt: skip

#: the order in which properties are changed: `shift` before `asymmetry`, `bounds` last
_ORDER = ("pairs", "write-noise", "read-noise", "stuck", "retention", "noise", "spread", "sp-spread",
          "states", "shift", "nonlinearity", "asymmetry", "bounds")  # fmt: skip


def present(device: Device) -> list[str]:
    """Names of the properties that a plain device has not ideal, in the order of `PROPERTIES`."""
    found = []
    for name, p in PROPERTIES.items():
        has = p.end(device) < _NEARLY if p.rising else p.amount(device) > p.least
        if has and not (device.pair is not None and name in ("shift", "sp-spread")):
            found.append(name)
    return found


def scaled(device: Device, factors: Mapping[str, float]) -> Device:
    """A plain device with properties multiplied by factors; those that it has not get a usual amount first.

    Args:
        device: see `plain`.
        factors: by names in `PROPERTIES`, each >= 0; 1 leaves a property as it is.

    Raises:
        InputError: for an unknown name or a negative factor.
    """
    for name, factor in factors.items():
        check_choice("property", name, PROPERTIES)
        check_number(f"factor of {name}", factor, low=0)
    has = present(device)
    for name in sorted(factors, key=_ORDER.index):
        if name not in has and factors[name]:
            device = PROPERTIES[name].usual(device)
        if factors[name] != 1 or name not in has:
            device = PROPERTIES[name].scale(device, factors[name])
    return device
