"""A fit on disk: the device as YAML with a card of how it was fitted, and the tables of a measured one."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ...errors import InputError
from ...version import __version__
from ..measured import Measured
from .estimates import Estimate
from .fit import Fit
from .pulses import ReadOptions

__all__ = ["card", "write"]


def card(fit: Fit, files: Sequence[str | Path], options: ReadOptions) -> dict[str, Any]:
    """What was fitted to what and how well, as plain numbers and text."""
    given = {k: v for k, v in dataclasses.asdict(options).items() if v not in (None, {})}
    out: dict[str, Any] = {
        "files": [
            {"name": str(f), "sha256": hashlib.sha256(Path(f).read_bytes()).hexdigest()} for f in files
        ],
        "ohmgrad": __version__,
        "understood": [note.what for note in fit.said],
        "settings": {k: list(v) if isinstance(v, tuple) else v for k, v in given.items()},
        "family": fit.family,
        "chosen": fit.chosen,
        "noise": fit.noise,
        "intervals": "90 %",
    }
    if fit.pulses is not None and fit.best is not None:
        out["weights"] = {"centre": fit.pulses.centre, "half": fit.pulses.half, "unit": fit.pulses.unit}
        rank = next(r.fit for r in fit.ranking if r.name == fit.family)
        if rank is not None:  # at the maximum, without what is allowed for in the noise
            good = {"log_likelihood": _plain(rank.loglik), "bic": _plain(rank.bic)}
            out["goodness"] = {"readings": rank.data.count, **good}
    out["estimates"] = {e.name: _figure(e) for e in fit.estimates}
    if fit.ranking:
        out["held_out"] = fit.held_out
        out["ranking"] = [
            {"family": r.name, "log_likelihood_a_reading": _plain(r.score), "behind": _plain(r.behind),
             "low": _plain(r.low), "high": _plain(r.high)}
            for r in fit.ranking
        ]  # fmt: skip
    return out


def _figure(e: Estimate) -> dict[str, Any]:
    i = e.interval
    ends = {} if i is None else {"value": _plain(i.value), "low": _plain(i.low), "high": _plain(i.high)}
    words = {"unit": e.unit, "told": e.told, "note": e.note}
    return {name: value for name, value in {**ends, **words}.items() if value not in (None, "")}


def _plain(value: float) -> float | None:
    return None if not math.isfinite(value) else float(f"{value:.6g}")


def write(fit: Fit, path: Path, files: Sequence[str | Path], options: ReadOptions) -> list[Path]:
    """Write the device with its card as YAML; a measured one with its tables beside it, as .npz.

    Returns:
        The files.

    Raises:
        InputError: when the place cannot be written to.
    """
    device, paths = fit.device, [path]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(device.response, Measured):
            tables = path.with_suffix(".npz")
            _save_tables(device.response, tables)
            read = Measured.from_npz(tables)
            device = dataclasses.replace(device, response=read, dw_min=read.dw_min)
            paths.append(tables)
        content = device.to_dict()
        if isinstance(device.response, Measured):
            content["response"]["file"] = path.with_suffix(".npz").name  # they move together
        text = yaml.safe_dump(
            {**content, "fit": card(fit, files, options)}, sort_keys=False, allow_unicode=True
        )
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path} ({error.strerror}): choose another --out") from None
    return paths


def _save_tables(measured: Measured, path: Path) -> None:
    steps = measured.steps.numpy() * measured.dw_min
    grid = np.tile(np.linspace(-1.0, 1.0, steps.shape[-1]), (measured.devices, 1))
    np.savez_compressed(path, G=grid, cdf=measured.cdf.numpy(), inc=steps[:, 0], dec=-steps[:, 1])
