"""The laws hold for what is here, and each of them fails for a planted bug."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from ohmgrad import AnalogSGD, Custom, Device, InputError, LinearStep, Noise, SoftBounds
from ohmgrad.cli import main
from ohmgrad.conformance import (
    DEVICE_LAWS,
    BrokenLawError,
    check_algorithm,
    check_device,
)
from ohmgrad.conformance.arrays import noiseless, plain, refined
from ohmgrad.conformance.device_updates import draws
from ohmgrad.conformance.report import Report, found, skipped
from ohmgrad.crossbar import tile as crossbar_module
from ohmgrad.devices import Elements, Stuck
from ohmgrad.kernels import Cells
from tests.cases import CALLABLE_DEVICES, DEVICES

pytestmark = pytest.mark.usefixtures("one_thread", "threads")

#: device -> laws that cannot be run for it
SOME = {
    "soft-fine-spread-additive": set(),
    "soft_skewed-coarse-placed-multiplicative": set(),
    "linear-coarse-alike-quiet": set(),
    "linear_rising-fine-spread-strong": {"symmetric point"},
    "constant-coarse-spread-additive": {"symmetric point"},
    "power": {"backends"},
}
REAL = Device(SoftBounds.symmetric(0.6), 0.005, noise=Noise(0.3))


@pytest.mark.parametrize("name", SOME)
def test_devices_obey_the_laws(name: str) -> None:
    (case,) = (c for c in (*DEVICES, *CALLABLE_DEVICES) if c.name == name)
    report = check_device(case.device).raise_if_failed()
    assert [f.law for f in report.findings] == list(DEVICE_LAWS)
    assert {f.law for f in report.skipped} <= SOME[name] | {"threads"}  # one core has no two threads


# --- planted bugs: devices -----------------------------------------------------------------------


def custom(up: Callable[[Tensor], Tensor]) -> Device:
    return Device(Custom(up, lambda w: 1 + 0.9 * w), 0.01, noise=Noise(0.3))


def neighbours(w: Tensor) -> Tensor:
    """A step that depends on the first element of the array."""
    return 1 - 0.9 * w + 0.05 * (w - w.flatten()[0]).abs()


def random(w: Tensor) -> Tensor:
    return 1 - 0.9 * w + 0.1 * torch.rand(w.shape)


def hole(w: Tensor) -> Tensor:
    return torch.where((w > 0.955) & (w < 0.985), torch.nan, 1 - 0.9 * w)


def worn() -> Callable[[Tensor], Tensor]:
    """Steps that shrink each time an array is pulsed, without any address."""
    calls = itertools.count()
    return lambda w: (1 - 0.9 * w) * 0.995 ** next(calls)


def patched_updates(monkeypatch: pytest.MonkeyPatch, wrong: Callable[..., Any]) -> None:
    """`wrong(right, w, cells, x, d, lr, pulsing, step, events)` in the place of the update."""
    right = crossbar_module.ops.pulsed_update_
    monkeypatch.setattr(crossbar_module.ops, "pulsed_update_", lambda *args: wrong(right, *args))


def noisier(
    right: Any, w: Tensor, cells: Cells, x: Tensor, d: Tensor, lr: float, pulsing: Any, *rest: Any
) -> None:
    """The collapse with 10 % too much noise."""
    if pulsing.fidelity == "pulsed":
        before = w.clone()
        right(w, cells, x, d, lr, pulsing, *rest)
        z = torch.randn(w.shape, generator=torch.Generator().manual_seed(0))
        w += (w != before) * 0.005 * z
        return
    right(w, cells, x, d, lr, pulsing, *rest)


def last_sample_lost(right: Any, w: Tensor, cells: Cells, x: Tensor, d: Tensor, *rest: Any) -> None:
    right(w, cells, x[:-1], d[:-1], *rest)


def counts_threads(right: Any, w: Tensor, *rest: Any) -> None:
    right(w, *rest)
    w[0, 0] += 1e-6 * torch.get_num_threads()


def off_by_a_bit(right: Any, w: Tensor, cells: Cells, *rest: Any) -> None:
    right(w, cells, *rest)
    w += 1e-5 * (cells.backend == "reference")


BAD_DEVICES: dict[str, list[Any]] = {
    "responses": [custom(neighbours), custom(random)],
    "drawn": [custom(random)],
    "bounds": [custom(hole)],
    "first order": [custom(worn())],
    "symmetric point": [custom(worn())],
    "batches": [custom(worn())],
    "resume": [custom(worn())],
}
BAD_UPDATES = {
    "collapse": noisier,
    "batches": last_sample_lost,
    "threads": counts_threads,
    "backends": off_by_a_bit,
}


@pytest.mark.parametrize(("law", "device"), [(law, d) for law, all_ in BAD_DEVICES.items() for d in all_])
def test_a_wrong_device_breaks_the_law(law: str, device: Device) -> None:
    (finding,) = check_device(device, law).findings
    assert finding.status == "failed"
    assert "raised" not in finding.measured  # it failed by its measure


@pytest.mark.parametrize("law", BAD_UPDATES)
def test_a_wrong_update_breaks_the_law(law: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = check_device(REAL, law).findings[0].status
    patched_updates(monkeypatch, BAD_UPDATES[law])
    after = check_device(REAL, law).findings[0].status
    assert (before, after) in {("ok", "failed"), ("skipped", "skipped")}
    assert before == "ok" or law == "threads"


def test_steps_3_percent_too_large_are_no_first_order(monkeypatch: pytest.MonkeyPatch) -> None:
    right = crossbar_module.ops.apply_counts_

    def larger(w: Tensor, cells: Cells, *rest: Any) -> None:
        (elements,) = cells.elements
        elements = dataclasses.replace(elements, up=1.03 * elements.up, packed={})
        right(w, Cells.of(elements, cells.keys[0], cells.backend), *rest)

    monkeypatch.setattr(crossbar_module.ops, "apply_counts_", larger)
    assert not check_device(REAL, "first order").ok


def test_a_wrong_symmetric_point_breaks_the_law(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Elements.symmetric_point
    assert check_device(REAL, "symmetric point").findings[0].status == "ok"
    monkeypatch.setattr(Elements, "symmetric_point", lambda self: right(self) + 0.01)
    assert not check_device(REAL, "symmetric point").ok


def test_every_device_law_has_a_planted_bug() -> None:
    assert {*BAD_DEVICES, *BAD_UPDATES} == {*DEVICE_LAWS}


# --- the report, and what is asked ---------------------------------------------------------------


def test_a_report_says_what_failed_and_why_something_was_skipped() -> None:
    report = Report("thing", [found(True, "1", "2", "a"), found(False, "3", "2", "b"), skipped("of c")])
    assert not report.ok
    assert [f.note for f in report.failed] == ["b"]
    assert [f.note for f in report.skipped] == ["skipped, because of c"]
    with pytest.raises(BrokenLawError, match=r"thing breaks .*3, allowed 2 \(b\)"):
        report.raise_if_failed()
    text = str(report)
    assert all(word in text for word in ("thing", "ok", "failed", "skipped, because of c"))


def test_other_effects_are_switched_off_by_name() -> None:
    device = Device(SoftBounds(), 0.01, stuck=Stuck(0.1), write_noise=0.5)
    bare, off = plain(device)
    assert (bare, off) == (Device(SoftBounds(), 0.01), "stuck, write_noise")
    assert "switched off: stuck, write_noise" in check_device(device, "first order").findings[0].note
    assert plain(REAL) == (REAL, "")


def test_a_device_of_fixed_granularity_is_taken_as_it_is() -> None:
    @dataclasses.dataclass(frozen=True)
    class Fixed(Device):
        def __post_init__(self) -> None:
            super().__post_init__()
            if self.dw_min != 0.02:
                raise InputError("dw_min is measured")

    device = Fixed(SoftBounds(), 0.02, noise=Noise(0.3))
    assert refined(device, 400) is device
    assert check_device(device, ("first order", "symmetric point", "collapse")).raise_if_failed().ok


def test_random_steps_without_a_noise_are_seen() -> None:
    assert draws(noiseless(custom(random)))
    assert not draws(noiseless(REAL))
    assert draws(REAL)


def test_refined_devices_have_smaller_steps_and_fine_ones_stay() -> None:
    device = Device(LinearStep(-0.5, 1.0), 0.05)
    assert refined(device, 400).states == pytest.approx(400)
    assert refined(device, 20) is device


@pytest.mark.parametrize(("call", "message"), [
    (lambda: check_device(SoftBounds()), "must be an ohmgrad.Device"),  # pyright: ignore
    (lambda: check_device(REAL, "bouds"), "did you mean 'bounds'"),
    (lambda: check_algorithm(3), "make is 3, but must be a class or function"),  # pyright: ignore
    (lambda: check_algorithm(AnalogSGD, ["exat"]), "did you mean 'exact'"),
])  # fmt: skip
def test_wrong_arguments(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


# --- the command ---------------------------------------------------------------------------------

MINE = """
import torch
import ohmgrad as og
device = og.Device(og.SoftBounds(), 0.01)
class Bad(og.AnalogOptimizer):
    def __init__(self, params, lr): super().__init__(params, {"lr": lr})
    def analog_step(self, tile, x, d, group, state): tile.weight.sub_(0.1)
"""


def command(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(["check", *argv])
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out + err


def test_the_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(MINE)
    for what in ("paper", f"{file}:device"):
        code, said = command(capsys, "device", what, "--law", "responses", "--law", "drawn")
        assert (code, "2 of 2 laws hold; 0 skipped" in said) == (0, True)
    for what in ("TikiTaka", "tiki-taka"):
        assert command(capsys, "algorithm", what, "--law", "gradients", "--option", "gamma=0.1")[0] == 0
    code, said = command(capsys, "algorithm", "tiki-taka", "--law", "gradients", "--option", "gamma=-1")
    assert (code, "gamma is -1" in " ".join(said.split())) == (1, True)
    code, said = command(capsys, "algorithm", f"{file}:Bad", "--law", "pulses only")
    assert (code, "0 of 1 laws hold" in said) == (1, True)
    code, said = command(capsys, "algorithm", f"{file}:Bad", "--option", "gain=2")
    assert (code, "unknown option 'gain' of" in said, "Bad has no options" in said) == (2, True, True)
    assert "tables.csv is no device: give a preset" in command(capsys, "device", "tables.csv")[1]
    assert command(capsys, "algorithm", "AnalogSGD", "--needs-asymmetry", "--law", "quadratic")[0] == 0


@pytest.mark.parametrize("terminal", [True, False])
@pytest.mark.parametrize(("what", "law"), [("device paper", "drawn"), ("algorithm sgd", "gradients")])
def test_a_bar_is_for_terminals(what: str, law: str, terminal: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It names the law that runs; where there is no terminal there is no control character."""
    out = io.StringIO()
    screen = Console(file=out, force_terminal=terminal, width=100, color_system=None)
    monkeypatch.setattr("ohmgrad.cli.check.console", screen)
    with pytest.raises(SystemExit) as stop:
        main(["check", *what.split(), "--law", law])
    assert not stop.value.code
    before = out.getvalue().split("what was compared")[0]
    assert (law in before, "\x1b" in out.getvalue()) == (terminal, terminal)


def test_laws_tell_how_far_they_are() -> None:
    told: list[tuple[int, int, str]] = []
    check_device(REAL, ["responses", "drawn"], progress=lambda *now: told.append(now))
    assert told == [(0, 2, "responses"), (1, 2, "drawn"), (2, 2, "")]


@pytest.mark.parametrize(("argv", "message"), [
    (["device", "papr"], "did you mean 'paper'"),
    (["device", "no.py:device"], "cannot read no.py"),
    (["device", "no.yaml"], "cannot read"),
    (["algorithm", "TikiTak"], "did you mean 'tiki-taka'"),
    (["algorithm", "AnalogSGD", "--law", "exat"], "did you mean 'exact'"),
    (["algorithm", "agad", "--option", "fast=1"], "unknown option 'fast' of agad: did you mean 'fast_lr'?"),
    (["algorithm", "sgd", "--option", "gamma=1"], "unknown option 'gamma' of sgd: leave it out; sgd has mom"),
])  # fmt: skip
def test_wrong_commands_are_one_line(
    argv: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = command(capsys, *argv)
    assert code == 2
    assert message in said
    assert said.count("\n") == 1


def test_a_file_that_raises_and_a_name_that_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "broken.py"
    file.write_text("1 / 0")
    assert "raised ZeroDivisionError (division by zero)" in command(capsys, "device", f"{file}:device")[1]
    file.write_text("device = 3")
    assert "did you mean 'device'" in command(capsys, "device", f"{file}:devise")[1]
    assert "device is 3, but must be" in command(capsys, "device", f"{file}:device")[1]
