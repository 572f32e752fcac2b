"""The command fit: what it prints and writes, and how it says no."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import yaml

import ohmgrad as og
from ohmgrad import InputError
from ohmgrad.cli import main
from ohmgrad.devices import fit
from ohmgrad.devices.fitting.card import write
from ohmgrad.devices.fitting.pulses import ReadOptions
from ohmgrad.devices.fitting.synthetic import synthetic
from ohmgrad.report import fit_figure, save

SOFT = og.Device(og.SoftBounds(-1.1, 1.0, 1.1, 0.9), 0.03, noise=og.Noise(0.3))


def run(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(list(argv))
    out, err = capsys.readouterr()
    return (stop.value.code if isinstance(stop.value.code, int) else 0), out, err


def file_of(folder: Path, name: str = "pulses.csv") -> Path:
    up, down = (r.readings for r in synthetic(SOFT, 60, 1, read_noise=0.02).ramps)
    path = folder / name
    path.write_text(
        "LTP (nS),LTD (nS)\n" + "".join(f"{u:.5f},{d:.5f}\n" for u, d in zip(up, down, strict=True))
    )
    return path


def test_a_fit_is_printed_and_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file_of(tmp_path)
    code, out, err = run(capsys, "fit", "pulses.csv", "--family", "soft_bounds,constant_step")
    assert (code, err) == (0, "")
    wanted = ["column 1 (LTP (nS)) up", "--column up=NUMBER", "conductances in nS", "(chosen)"]
    for words in (*wanted, "90 % interval", "not told"):
        assert words in " ".join(out.split()), words
    data = yaml.safe_load((tmp_path / "pulses.yaml").read_text())
    card = data["fit"]
    assert card["family"] == "soft_bounds"
    assert len(card["files"][0]["sha256"]) == 64
    assert card["weights"]["unit"] == "S"
    low, value, high = (card["estimates"]["step up at w = 0"][k] for k in ("low", "value", "high"))
    assert low < value < high
    assert [r["family"] for r in card["ranking"]] == ["soft_bounds", "constant_step"]
    assert card["estimates"]["device-to-device spread"]["told"] is False
    device = og.Device.from_yaml(tmp_path / "pulses.yaml")
    assert og.Device.from_dict(device.to_dict()) == device
    assert out.splitlines()[-1] == "page: pulses.html"
    page = (tmp_path / "pulses.html").read_text()
    assert "pulses is best described by the family soft_bounds; these data tell it from any other" in page
    assert "ohmgrad fit pulses.csv --out pulses.yaml --family soft_bounds,constant_step" in page
    assert card["files"][0]["sha256"] in page
    text = (tmp_path / "pulses.svg").read_text()
    for words in ("fitted state", "simulated", "pulse number", "symmetric point", "constant_step"):
        assert words in text


def test_a_measured_distribution_has_its_tables_beside_it(tmp_path: Path) -> None:
    g, p = np.linspace(1.0, 2.0, 9), np.linspace(0.0, 1.0, 5)
    step = 0.05 * (1.5 - p[:, None]) * (1 + 0.5 * np.sin(9 * g))
    np.savez(tmp_path / "t.npz", G=g[None], cdf=p, inc=step[None, ::-1], dec=-step[None])
    found = fit(tmp_path / "t.npz", families=["measured"])
    assert {r.name for r in found.ranking} >= {"measured", "soft_bounds", "piecewise_step"}
    (tmp_path / "a").mkdir()
    paths = write(found, tmp_path / "a" / "my.yaml", [tmp_path / "t.npz"], ReadOptions())
    assert [path.name for path in paths] == ["my.yaml", "my.npz"]
    (tmp_path / "a").rename(tmp_path / "b")  # they move together
    device = og.Device.from_yaml(tmp_path / "b" / "my.yaml")
    assert isinstance(device.response, og.Measured)
    assert device.dw_min == pytest.approx(found.device.dw_min)
    assert og.Device.from_dict(device.to_dict()) == device
    save(fit_figure(found, "t"), tmp_path / "t.svg")
    np.savez(tmp_path / "b" / "my.npz", G=g[None], cdf=p, inc=2 * step[None, ::-1], dec=-step[None])
    with pytest.raises(InputError, match="other tables than the device was made of"):
        og.Device.from_yaml(tmp_path / "b" / "my.yaml")
    with pytest.raises(InputError, match="file of measured is None"):
        og.Device.from_dict({"response": {"family": "measured"}})


def test_sizes_of_steps_are_a_piecewise_step(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    path.write_text("0.001,0.004\n0.001,0.004\n0.005,0.006\n0.001,0.002\n0.001,0.002\n")
    found = fit(path)
    response = found.device.response
    assert isinstance(response, og.PiecewiseStep)
    assert np.array(response.nodes_up) * found.device.dw_min == pytest.approx(
        [0.001, 0.001, 0.005, 0.001, 0.001]
    )
    assert not found.ranking
    save(fit_figure(found, "steps"), tmp_path / "steps.svg")
    with pytest.raises(InputError, match="leave --family out"):
        fit(path, families=["soft_bounds"])


WRONG = {
    "file": (["none.csv"], "cannot read none.csv"),
    "family": (["pulses.csv", "--family", "soft"], "did you mean 'soft_bounds'"),
    "column": (["pulses.csv", "--column", "up"], "ROLE=NUMBER"),
    "column number": (["pulses.csv", "--column", "up=9"], "no column '9'"),
    "pulses": (["pulses.csv", "--pulses", "50"], "two numbers with a comma"),
    "out": (["pulses.csv", "--out", "a.txt"], "must be a YAML file"),
    "unit": (["pulses.csv", "--unit", "mile"], "must be S, A or ohm"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    file_of(tmp_path)
    argv, message = WRONG[case]
    code, _, err = run(capsys, "fit", *argv)
    assert code == 2
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err
    assert [p.name for p in tmp_path.iterdir()] == ["pulses.csv"]
