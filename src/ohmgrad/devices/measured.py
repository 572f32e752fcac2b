"""The measured form: what pulses did to real devices, as distributions of their steps."""

from __future__ import annotations

import gzip
import hashlib
import math
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..checked import checked
from ..errors import InputError, is_integer, naming, said, shown
from ..npz import read_npz
from .families.piecewise_step import interpolate
from .response import AbstractResponse
from .symmetric_point import driven_to, with_zero

__all__ = ["MeanSteps", "Measured"]

#: largest distance between the law of a sum of steps and the Gaussian that replaces it
GAUSSIAN_ERROR = 0.01
#: pulses below which an element is computed pulse by pulse in any case
FEWEST = 4
#: kernels keep an element's place in the tables, two for each conductance, as float32
MOST_PLACES = 2**24
#: bytes of a text file of tables, unpacked
MOST_TEXT = 2**28
#: largest values of |He2 phi|, |He3 phi| and |He5 phi|
_HE2, _HE3, _HE5 = 0.3989, 0.5506, 2.3071


class Measured(AbstractResponse):
    """Steps as measured, on one or several devices: a distribution of dG for every conductance G.

    Conductances become weights by  w = 2 (G - G_mid)/(G_max - G_min), so that the range is [-1, 1].
    A pulse draws a uniform number and takes the step that the tables have at that probability and at the
    present weight, bilinear in both, as CrossSim does (Sandia, cross-sim.sandia.gov); single steps may go
    the wrong way, and are clipped at the range. In an array of a set of several devices, each element is
    one of them, drawn by its address. dw_min is the mean step at w = 0 over both directions and all
    devices; `Device` must be given just that, and no noise, which the tables have.

    q+ and q- (and with them F, G, the symmetric point) are the mean steps, averaged over the devices;
    they are clipped at 0, where a measured mean goes the wrong way: pulses are not.

    The collapse takes the sum of N steps as Gaussian. By Edgeworth's first two terms its distribution
    function is then wrong by at most  a/sqrt(N) + b/N,

        a = |skewness| max|He2 phi|/6,   b = |excess kurtosis| max|He3 phi|/24 + skewness^2 max|He5 phi|/72,

    with Hermite polynomials He and the Gaussian density phi. The N for which this is `GAUSSIAN_ERROR`, and
    at least `FEWEST`, is `gaussian_from`, at every conductance. Elements with fewer pulses in an update
    are computed pulse by pulse.

    Args:
        conductance: G, (nodes,) or (devices, nodes), rising along the last axis.
        cdf: (levels,) probabilities, rising from 0 to 1.
        increasing: dG of a pulse up, (levels, nodes) or (devices, levels, nodes).
        decreasing: dG of a pulse down, likewise; negative where it goes down.

    Raises:
        InputError: when shapes do not match, a grid does not rise, a value is not finite, the mean step at
            w = 0 has the wrong sign, or there are 2^23 conductances or more over all devices.
    """

    w_min = -1.0
    w_max = 1.0

    def __init__(self, conductance: Any, cdf: Any, increasing: Any, decreasing: Any) -> None:
        g, p = np.atleast_2d(_numbers("conductance", conductance)), _numbers("cdf", cdf)
        up, down = (
            a[None] if (a := _numbers(name, table)).ndim == 2 else a
            for name, table in (("increasing", increasing), ("decreasing", decreasing))
        )
        shape = (g.shape[0], p.size, g.shape[1])
        for name, table in (("increasing", up), ("decreasing", down)):
            if table.shape != shape:
                raise InputError(
                    f"{name} has the shape {table.shape}, but (devices, levels, nodes) = {shape} is needed, "
                    "as the conductances and the cdf have it"
                )
        if p.ndim != 1 or p.size < 2 or not (np.diff(p) > 0).all() or p[0] != 0 or p[-1] != 1:
            raise InputError("cdf must be one row of at least 2 probabilities that rise from 0 to 1")
        if g.shape[1] < 3 or not (np.diff(g, axis=1) > 0).all():
            raise InputError(
                "conductance must have at least 3 values a device, which rise from left to right"
            )
        if (places := 2 * g.size) >= MOST_PLACES:
            raise InputError(
                f"{g.shape[0]} devices of {g.shape[1]} conductances have {places} places in the tables, two "
                f"each, but must have fewer than {MOST_PLACES}: give fewer devices or conductances"
            )
        span = (g[:, -1] - g[:, 0])[:, None, None]
        up, down = (_even(g, table) * 2 / span for table in (up, -down))
        steps = torch.from_numpy(np.stack([up, down], 1))
        moments = _moments(steps, torch.from_numpy(p))
        mean, second = moments[:2]
        middle = (mean.shape[-1] - 1) / 2
        at = [math.floor(middle), math.ceil(middle)]
        start = mean[..., at].mean(-1).mean(0)  # up, down at w = 0
        for name, step in zip(("up", "down"), start.tolist(), strict=True):
            if not step > 0:
                raise InputError(
                    f"the mean step of a pulse {name} at w = 0 is {step:g} in its own direction, but must be "
                    "positive: are increasing and decreasing exchanged?"
                )
        #: mean step at w = 0, in weight units
        self.dw_min = float(start.mean())
        #: probabilities (levels,) and steps (devices, 2, levels, nodes), in units of dw_min, positive in
        #: the direction of the pulse
        self.cdf, self.steps = torch.from_numpy(p), steps / self.dw_min
        #: mean and standard deviation, (devices, 2, nodes), in units of dw_min
        self.mean, var = mean / self.dw_min, (second - mean.square()).clamp(min=0)
        self.sd = var.sqrt() / self.dw_min
        #: mean steps up and down at w = 0 in units of dw_min, over all devices (2,)
        self.unit = start / self.dw_min
        #: pulses from which their sum is taken as Gaussian, (devices, 2, nodes)
        self.gaussian_from = _gaussian_from(moments)
        self._average = self.mean.mean(0)
        #: the .npz file that it was read from, if it was one
        self.file: Path | None = None
        self._digest = hashlib.sha256(np.ascontiguousarray(self.steps).tobytes() + p.tobytes()).hexdigest()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Measured) and other._digest == self._digest

    def __hash__(self) -> int:
        return hash(self._digest)

    def __repr__(self) -> str:
        devices, _, levels, nodes = self.steps.shape
        return f"Measured({devices} devices, {levels} levels, {nodes} conductances)"

    @property
    def digest(self) -> str:
        """Short name of what is in the tables."""
        return self._digest[:16]

    @property
    def intervals(self) -> int:
        """Intervals between the conductances."""
        return self.mean.shape[-1] - 1

    @property
    def devices(self) -> int:
        """Number of measured devices."""
        return self.steps.shape[0]

    @property
    def relative_std(self) -> float:
        """Standard deviation of a step at w = 0 over the mean there, rms over devices and directions."""
        middle = self.sd.shape[-1] // 2
        return float((self.sd[..., middle] / self.unit).square().mean().sqrt())

    def q_plus(self, w: Tensor) -> Tensor:
        """Mean step up at `w` over the devices, at least 0, in units of dw_min."""
        return interpolate(self._average[0], -1.0, 1.0, w).clamp(min=0)

    def q_minus(self, w: Tensor) -> Tensor:
        """Mean step down at `w` over the devices, at least 0, in units of dw_min."""
        return interpolate(self._average[1], -1.0, 1.0, w).clamp(min=0)

    @checked
    def pick(self, devices: Sequence[int]) -> Measured:
        """The set of some of the devices, by their numbers from 0 on.

        Raises:
            InputError: when a device does not exist.
        """
        for number in devices:
            if not is_integer(number) or not 0 <= number < self.devices:
                raise InputError(
                    f"device {shown(number)} does not exist: this set has 0 to {self.devices - 1}"
                )
        if not devices:
            raise InputError("no device was picked: give at least one number")
        grid = np.tile(np.linspace(-1.0, 1.0, self.mean.shape[-1]), (len(devices), 1))
        steps = self.steps[list(devices)].numpy() * self.dw_min
        return Measured(grid, self.cdf.numpy(), steps[:, 0], -steps[:, 1])

    def centred(self) -> Measured:
        """The same devices, each on a range of its own around its symmetric point, which becomes w = 0.

        The range reaches from the symmetric point to the nearer end of the device's table, and as far to the
        other side; what lies beyond is left out. Of several points that hold elements the one counts to
        which alternating pulses drive from the middle of the table (`AbstractResponse.symmetric_point`). As
        if a fixed conductance were subtracted from each device.

        Raises:
            InputError: when alternating pulses drive a device to an end of its table.
        """
        grid = np.linspace(-1.0, 1.0, self.mean.shape[-1])
        steps = self.steps.numpy() * self.dw_min
        out = np.empty_like(steps)
        for k, (up, down) in enumerate(self.mean.numpy()):
            gap = up - down
            end = self._driven_to(k)
            at = np.flatnonzero((gap[:-1] > 0) & (gap[1:] <= 0))
            if abs(end) == 1 or not at.size:
                raise InputError(
                    f"device {k} cannot be centred: alternating pulses drive it to its end {end:g} of [-1, 1]"
                )
            points = grid[at] + (grid[1] - grid[0]) * gap[at] / (gap[at] - gap[at + 1])
            point = points[np.abs(points - end).argmin()]
            half = 1 - abs(point)
            rows = steps[k].reshape(-1, grid.size)
            out[k] = np.array([np.interp(point + half * grid, grid, r) for r in rows]).reshape(out[k].shape)
            out[k] /= half
        return Measured(np.tile(grid, (self.devices, 1)), self.cdf.numpy(), out[:, 0], -out[:, 1])

    def _driven_to(self, device: int) -> float:
        """Symmetric point of one device in the range of its table, [-1, 1]."""
        grid = torch.linspace(-1.0, 1.0, self.mean.shape[-1], dtype=torch.float64)
        w = with_zero(grid)
        up, down = (interpolate(steps, -1.0, 1.0, w) for steps in self.mean[device])
        i, t = driven_to(w, up, down, torch.ones(1, dtype=torch.float64))
        return float(w[i] + t * (w[i + 1] - w[i]))

    @classmethod
    @checked
    def from_npz(cls, path: str | Path) -> Measured:
        """Read arrays G (devices, nodes), cdf (levels,), inc and dec (devices, levels, nodes) from a file.

        Raises:
            InputError: when the file cannot be read, lacks an array, or as the constructor raises.
        """
        names = ("G", "cdf", "inc", "dec")
        try:
            arrays = read_npz(Path(path), names, "an .npz file of tables")
        except FileNotFoundError as error:
            raise InputError(f"{path} cannot be read as an .npz file of tables: {said(error)}") from None
        if missing := [name for name in names if name not in arrays]:
            raise InputError(f"{path} has no array {missing[0]!r}, but G, cdf, inc and dec are needed")
        with naming(path):
            tables = cls(arrays["G"], arrays["cdf"], arrays["inc"], arrays["dec"])
        tables.file = Path(path).resolve()
        return tables

    @classmethod
    @checked
    def from_crosssim(cls, increasing: str | Path, decreasing: str | Path) -> Measured:
        """Read CrossSim's two text files (plain or gzip): a header line, conductances, cdf, then dG.

        Each row of dG belongs to one probability, each column to one conductance; numbers are separated
        by commas.

        Raises:
            InputError: when a file cannot be read as that, the two have other grids, or as the
                constructor raises.
        """
        tables = [_read_crosssim(Path(path)) for path in (increasing, decreasing)]
        (g, p, up), (other_g, other_p, down) = tables
        if g.shape != other_g.shape or not np.allclose(g, other_g, rtol=1e-6, atol=0):
            raise InputError(f"{increasing} and {decreasing} have other conductances: one grid is needed")
        if p.shape != other_p.shape or not np.allclose(p, other_p):
            raise InputError(f"{increasing} and {decreasing} have other cdf points: one grid is needed")
        with naming(f"{increasing} and {decreasing}"):
            return cls(g, p, up, down)


@dataclass(frozen=True)
class MeanSteps(AbstractResponse):
    """Mean steps of a measured set, without their distributions; what its nominal device answers.

    Args:
        measured: the set.
        up, down: factors of its mean steps, 1 for none.
    """

    measured: Measured
    up: float = 1.0
    down: float = 1.0

    w_min = -1.0
    w_max = 1.0

    @property
    def intervals(self) -> int:
        """Intervals between nodes, as of a piecewise step."""
        return self.measured.intervals

    def q_plus(self, w: Tensor) -> Tensor:
        """up times the set's mean step up at `w`, in units of dw_min."""
        return self.up * self.measured.q_plus(w)

    def q_minus(self, w: Tensor) -> Tensor:
        """down times the set's mean step down at `w`, in units of dw_min."""
        return self.down * self.measured.q_minus(w)


def _numbers(name: str, values: Any) -> np.ndarray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} is not an array of numbers: {said(error)}") from error
    if array.ndim == 0 or not np.isfinite(array).all():
        raise InputError(f"{name} has a value that is not finite, or is no array")
    return array


def _even(g: np.ndarray, table: np.ndarray) -> np.ndarray:
    """`table` (devices, levels, nodes) on an even grid of as many nodes."""
    even = np.linspace(g[:, 0], g[:, -1], g.shape[1], axis=1)
    if np.abs(g - even).max() <= 1e-3 * (even[:, 1] - even[:, 0]).min():  # even but for printed digits
        return table
    rows = [[np.interp(e, x, row) for row in t] for e, x, t in zip(even, g, table, strict=True)]
    return np.array(rows)


def _moments(steps: Tensor, cdf: Tensor) -> Tensor:
    """E s to E s^4 of quantiles linear between levels; steps (..., levels, nodes) -> (4, ..., nodes)."""
    a, b = steps[..., :-1, :], steps[..., 1:, :]
    weight = (cdf[1:] - cdf[:-1]).unsqueeze(-1)
    # the mean of s^n between a and b is (a^n + a^(n-1) b + ... + b^n)/(n + 1)
    powers = (sum(a ** (n - i) * b**i for i in range(n + 1)) / (n + 1) for n in range(1, 5))
    return torch.stack([(weight * power).sum(-2) for power in powers])


def _gaussian_from(moments: Tensor) -> Tensor:
    mean, second, third, fourth = moments
    var = second - mean.square()
    spread = var > 1e-6 * mean.square().amax()  # where the step hardly varies its shape is no matter
    safe = torch.where(spread, var, torch.ones_like(var))
    skewness = (third - 3 * mean * var - mean**3) / safe**1.5
    excess = (fourth - 4 * mean * third + 6 * mean**2 * second - 3 * mean**4) / safe**2 - 3
    a = skewness.abs() * _HE2 / 6
    b = excess.abs() * _HE3 / 24 + skewness.square() * _HE5 / 72
    root = (a + (a.square() + 4 * GAUSSIAN_ERROR * b).sqrt()) / (2 * GAUSSIAN_ERROR)
    return torch.where(spread, root.square(), torch.zeros_like(var)).clamp(min=FEWEST)


def _read_crosssim(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(MOST_TEXT + 1)
        if len(raw) > MOST_TEXT:
            raise ValueError(f"it has more than {MOST_TEXT >> 20} MiB of text")
        text = raw.decode()
        lines = [line for line in text.splitlines()[1:] if line.strip()]
        rows = [np.array([float(v) for v in line.split(",") if v.strip()]) for line in lines]
    except (OSError, ValueError, EOFError, zlib.error) as error:
        raise InputError(f"{path} cannot be read as a CrossSim table: {said(error)}") from error
    if len(rows) < 4 or len(rows) - 2 != rows[1].size or any(r.size != rows[0].size for r in rows[2:]):
        raise InputError(
            f"{path} has {len(rows)} rows below its header, but a CrossSim table has one of conductances, "
            "one of cdf points, and for each of these a row of dG, one value a conductance"
        )
    return rows[0], rows[1], np.array(rows[2:])
