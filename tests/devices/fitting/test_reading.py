"""Files that people have are read without a flag."""

from __future__ import annotations

import gzip
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ohmgrad.devices.fitting.pulses import Pulses, ReadOptions, StepTable
from ohmgrad.devices.fitting.reading import read

RNG = np.random.default_rng(0)
UP = np.linspace(1.0, 2.0, 40) + 0.004 * RNG.standard_normal(40)
DOWN = np.linspace(2.0, 1.1, 30) + 0.004 * RNG.standard_normal(30)
BOTH = list(zip(UP[:30].tolist(), DOWN.tolist(), strict=True))
CYCLES = np.concatenate([UP, DOWN, UP + 0.01, DOWN + 0.01])


def wide(separator: str = ",", header: str = "", point: str = ".", factor: float = 1.0) -> str:
    """Both ramps as columns; the shorter one has empty cells at its end."""
    rows = [
        separator.join((f"{factor * u:.6g}", f"{factor * DOWN[k]:.6g}" if k < 30 else ""))
        for k, u in enumerate(UP)
    ]
    return header + "\n".join(rows).replace(".", point) + "\n"


def long(polarity: tuple[str, str] = ("LTP", "LTD"), cycles: int = 2) -> str:
    """A row a reading: device, cycle, polarity, pulse, conductance."""
    lines = ["device,cycle,polarity,pulse,conductance (uS)"]
    for device in ("a", "b"):
        for c in range(cycles):
            for word, ramp in zip(polarity, (UP, DOWN), strict=True):
                lines += [f"{device},{c + 1},{word},{n},{g:.5f}" for n, g in enumerate(ramp, 1)]
    return "\n".join(lines) + "\n"


def counted(start: str = "pulse,up,down\n") -> str:
    return start + "".join(
        f"{n},{u:.5f},{DOWN[n - 1] if n <= 30 else float('nan'):.5f}\n" for n, u in enumerate(UP, 1)
    )


GOOD: dict[str, tuple[str, str]] = {
    "comma": ("a.csv", wide()),
    "tab": ("a.tsv", wide("\t")),
    "semicolon": ("a.csv", wide(";")),
    "white space": ("a.txt", "\n".join(f"{u:.5f}  {d:.5f}" for u, d in BOTH)),
    "decimal commas": ("a.csv", wide(";", point=",")),
    "byte-order mark": ("a.csv", "\ufeff" + wide(header="LTP,LTD\n")),
    "header": ("a.csv", wide(header="potentiation (uS),depression (uS)\n")),
    "units row": ("a.csv", wide(header="potentiation,depression\nuS,uS\n")),
    "lines above": ("a.csv", wide(header="Setup,Keithley 4200\nDate,2024-01-01\nset,reset\n(S),(S)\n")),
    "comments": ("a.csv", "# measured at 300 K\n" + wide()),
    "current": ("a.csv", wide(header="set I at 0.1 V (A),reset I at 0.1 V (A)\n", factor=1e-6)),
    "siemens": ("a.csv", wide(factor=1e-6)),
    "centred": ("a.csv", "\n".join(f"{2 * u - 3:.5f},{3 - 2 * u:.5f}" for u in UP)),
    "pulse numbers": ("a.csv", counted()),
    "pulse numbers without header": ("a.csv", counted("")),
    "time": ("a.csv", counted("time (s),G up,G down\n")),
    "long": ("a.csv", long()),
    "long with signs": ("a.csv", long(("1", "-1"))),
    "one column of cycles": ("a.csv", "conductance\n" + "\n".join(f"{g:.5f}" for g in CYCLES)),
    "current against time": (
        "a.csv",
        "time (s),current (nA)\n" + "\n".join(f"{0.1 * k:.1f},{g:.5f}" for k, g in enumerate(CYCLES)),
    ),
    "footer": ("a.csv", wide() + "end of data\n"),
    "exponents": ("a.csv", "\n".join(f"{u:.4E},{d:.4e}" for u, d in BOTH)),
    "many ramps": (
        "a.csv",
        ",".join([*(f"Set {k}" for k in range(5)), *(f"Reset {k}" for k in range(4))])
        + "\n"
        + "\n".join(
            ",".join([*[f"{u:.5f}"] * 5, *([f"{DOWN[k]:.5f}"] * 4 if k < 30 else [""] * 4)])
            for k, u in enumerate(UP)
        ),
    ),
    "resistance": (
        "a.csv",
        "up (kohm),down (kohm)\n" + "\n".join(f"{1 / u:.5f},{1 / d:.5f}" for u, d in BOTH),
    ),
}


#: files whose ramps are both 30 or 40 pulses long
SHORT = ("white space", "exponents", "resistance", "centred")


@pytest.mark.parametrize("case", GOOD)
def test_a_file_is_read_without_a_flag(case: str, tmp_path: Path) -> None:
    name, text = GOOD[case]
    (tmp_path / name).write_text(text)
    pulses = read([tmp_path / name])
    assert isinstance(pulses, Pulses)
    up, down = ([r for r in pulses.ramps if r.up == side] for side in (True, False))
    assert up
    assert down
    for ramp, expected in ((up[0], UP), (down[0], DOWN)):
        w = ramp.readings[~np.isnan(ramp.readings)]
        assert abs(w.size - expected.size) <= (10 if case in SHORT else 2)
        assert (w[-1] > w[0]) == ramp.up
    w = np.concatenate([r.readings for r in pulses.weights().ramps])
    assert -1.1 < np.nanmin(w) < -0.8
    assert 0.8 < np.nanmax(w) < 1.1
    assert any("--" in note.flag for note in pulses.said)
    counts = {"many ramps": (5, 4), "long": (4, 4), "long with signs": (4, 4),
              "one column of cycles": (2, 2), "current against time": (2, 2)}  # fmt: skip
    assert (len(up), len(down)) == counts.get(case, (1, 1))
    units = {"header": "S", "units row": "S", "lines above": "S", "current": "S", "long": "S",
             "long with signs": "S", "current against time": "A", "resistance": "S"}  # fmt: skip
    assert pulses.unit == units.get(case, "")
    if case == "current":
        assert up[0].readings[0] == pytest.approx(1e-5, rel=0.05)  # 1 uA at 0.1 V
    goes_on = case.startswith("long") or case in ("one column of cycles", "current against time")
    assert [r.follows for r in pulses.ramps[:2]] == [False, goes_on]
    if case.startswith("long"):
        assert pulses.devices == ["a", "b"]
        assert len(pulses.groups) == 4


def excel(path: Path, sheets: dict[str, list[list[Any]]]) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl is not installed")
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        page = book.create_sheet(name)
        for row in rows:
            page.append(row)
    book.save(path)
    return path


def columns() -> list[list[Any]]:
    return [[float(u), float(DOWN[k]) if k < 30 else None] for k, u in enumerate(UP)]


def test_excel_parquet_npz_and_gzip(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table({"LTP": UP[:30], "LTD": DOWN}), tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", up=UP, down=DOWN)
    np.savez(tmp_path / "b.npz", potentiation=np.stack([UP, UP]), depression=np.stack([DOWN, DOWN, DOWN]))
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(wide().encode()))
    for name, counts in {"a.parquet": (1, 1), "a.npz": (1, 1), "b.npz": (2, 3), "a.csv.gz": (1, 1)}.items():
        pulses = read([tmp_path / name])
        assert isinstance(pulses, Pulses)
        assert (sum(r.up for r in pulses.ramps), sum(not r.up for r in pulses.ramps)) == counts


def test_excel(tmp_path: Path) -> None:
    data = [["LTP (uS)", "LTD (uS)"], *columns()]
    path = excel(tmp_path / "a.xlsx", {"notes": [["made by me"]], "data": data})
    for options in (ReadOptions(), ReadOptions(sheet="data")):
        pulses = read([path], options)
        assert isinstance(pulses, Pulses)
        assert pulses.unit == "S"
        assert [r.readings.size for r in pulses.ramps] == [40, 30]


def test_pulses_that_were_not_read_have_their_place(tmp_path: Path) -> None:
    """Numbers that are left out, rows without a value and a read after every fifth pulse."""
    keep = [n for n in range(40) if n % 5]
    (tmp_path / "a.csv").write_text("pulse,up\n" + "".join(f"{n},{UP[n]}\n" for n in keep))
    rows = "".join(f"{5 * n},{d}\n" for n, d in enumerate(DOWN))
    (tmp_path / "a_down.csv").write_text("pulse,down\n" + rows)
    pulses = read([tmp_path / "a.csv", tmp_path / "a_down.csv"])
    assert isinstance(pulses, Pulses)
    up, down = pulses.ramps
    assert up.readings.size == 39
    assert np.flatnonzero(np.isnan(up.readings)).tolist() == [n - 1 for n in range(5, 39, 5)]
    assert down.readings.size == 146
    assert np.isfinite(down.readings).sum() == 30
    assert len(pulses.devices) == 1


def test_flags_override(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("n,x,y,z\n" + "".join(f"{n},{u},{d},{0}\n" for n, (u, d) in enumerate(BOTH)))
    columns = {"up": "2", "down": "y", "none": "z"}
    pulses = read([path], ReadOptions(columns=columns, unit="uA", read_voltage=0.5))
    assert isinstance(pulses, Pulses)
    assert pulses.unit == "S"
    assert pulses.ramps[0].readings[0] == pytest.approx(UP[0] * 2e-6)
    path.write_text("\n".join(f"{g:.5f}" for g in CYCLES))
    pulses = read([path], ReadOptions(pulses=(40, 30)))
    assert isinstance(pulses, Pulses)
    assert [r.readings.size for r in pulses.ramps] == [40, 30, 40, 30]


def test_several_files_are_several_devices(tmp_path: Path) -> None:
    for name in ("d1.csv", "d2.csv", "d3.csv"):
        (tmp_path / name).write_text(wide())
    pulses = read(sorted(tmp_path.iterdir()))
    assert isinstance(pulses, Pulses)
    assert pulses.devices == ["d1", "d2", "d3"]


def crosssim(sign: int = 1) -> str:
    g, p = np.linspace(1e-4, 9e-4, 7), np.linspace(0, 1, 5)
    rows = [g, p, *(sign * 1e-6 * (0.8 + 0.4 * p[:, None]) * np.ones(7))]
    return "1st row = G\n" + "\n".join(", ".join(f"{v:.6e}" for v in row) + " ," for row in rows)


def test_tables_of_steps(tmp_path: Path) -> None:
    (tmp_path / "d_increasing.txt").write_text(crosssim())
    (tmp_path / "d_decreasing.txt").write_text(crosssim(-1))
    table = read([tmp_path / "d_increasing.txt", tmp_path / "d_decreasing.txt"])
    assert isinstance(table, StepTable)
    assert table.measured is not None
    assert table.measured.dw_min == pytest.approx(2 * 1e-6 / 8e-4)

    (tmp_path / "even.csv").write_text("\ufeff0.001,0.004\n0.001,0.004\n0.005,0.006\n0.001,0.002\n")
    table = read([tmp_path / "even.csv"])
    assert isinstance(table, StepTable)
    assert table.even is not None
    assert table.even.tolist() == [[0.001, 0.001, 0.005, 0.001], [0.004, 0.004, 0.006, 0.002]]

    # P(step | G): long with both directions, and a matrix a direction
    lines = ["direction,conductance,step,probability"]
    for word, sign in (("up", 1), ("down", -1)):
        for g in (1, 2, 3, 4):
            lines += [f"{word},{g},{sign * s},{p}" for s, p in ((0.0, 0.25), (0.1, 0.5), (0.2, 0.25))]
    (tmp_path / "p.csv").write_text("\n".join(lines))
    table = read([tmp_path / "p.csv"])
    assert isinstance(table, StepTable)
    assert table.measured is not None
    assert table.measured.dw_min == pytest.approx(0.1 * 2 / 3, rel=1e-6)
    assert (table.measured.mean == table.measured.mean[..., :1]).all()
    for word, sign in (("set", 1), ("reset", -1)):
        law = ((0.0, 0.25), (0.1, 0.5), (0.2, 0.25))
        rows = ["step/G,1,2,3,4", *(f"{sign * s},{p},{p},{p},{p}" for s, p in law)]
        (tmp_path / f"{word}.csv").write_text("\n".join(rows))
    again = read([tmp_path / "set.csv", tmp_path / "reset.csv"])
    assert isinstance(again, StepTable)
    assert again.measured == table.measured


DATA = Path(os.environ.get("OHMGRAD_DATA", "nowhere")) / "devices"


@pytest.mark.skipif(not DATA.is_dir(), reason="OHMGRAD_DATA has no devices")
@pytest.mark.parametrize(
    ("files", "what"),
    [
        (["aihwkit/gong_et_al.csv"], "1 ramp up of 1000 pulses, 1 ramp down of 1000 pulses"),
        (["aihwkit/selfdefine.csv"], "sizes of steps at 7 even weights"),
        (["cross-sim/enode_dG_increasing.txt.gz", "cross-sim/enode_dG_decreasing.txt.gz"], "48 conductances"),
        (["cross-sim/taox_41_devices.npz"], "41 devices, 101 conductances"),
        (["cross-sim/enode_9_devices.npz"], "9 devices, 101 conductances"),
    ],
)
def test_real_files_are_read_without_a_flag(files: list[str], what: str) -> None:
    found = read([DATA / name for name in files])
    assert any(what in note.what for note in found.said)
