"""The structure: which way imports run, how long files are, what they say, what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import ohmgrad

ROOT = Path(ohmgrad.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
HOME = Path(__file__).parent.parent
PAGES = sorted((*HOME.glob("*.md"), *HOME.glob("docs/*.md")))

#: folder or file below ohmgrad -> floor. Imports run downwards only; on one floor, within one folder
FLOORS = {
    name: floor
    for floor, names in enumerate(
        (
            {"errors", "style"},
            {"rng", "yaml", "eager"},
            {"devices"},
            {"kernels", "theory", "datasets", "models"},
            {"crossbar"},
            {"nn", "optim", "cost", "ensemble"},
            {"monitor", "conformance"},
            {"studies"},
            {"report"},
            {"cli"},
            {"__init__", "__main__"},
        )
    )
    for name in names
}


def room(module: str) -> str:
    """The folder or file below ohmgrad; two files with one name before the underscore are one room."""
    return module.split("_")[0] or module


def imported(path: Path) -> Iterator[tuple[str, int]]:
    """Rooms that a file imports from, anywhere in it, and the lines."""
    here = ("ohmgrad", *path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level] if node.level else ()
            base = ".".join((*start, *filter(None, [node.module])))
            names = [f"{base}.{alias.name}" for alias in node.names if alias.name != "__version__"]
        for parts in (name.split(".") for name in names):
            if parts[0] == "ohmgrad":
                yield room(parts[1] if len(parts) > 1 else "__init__"), node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    mine = room(path.relative_to(ROOT).with_suffix("").parts[0])
    assert mine in FLOORS, f"give {mine!r} a floor in test_structure.py"
    for other, line in imported(path):
        assert other in FLOORS, f"{path.name}:{line} imports {other!r}, which has no floor"
        below = other == mine or FLOORS[other] < FLOORS[mine]
        assert below, f"{path.name}:{line}: {mine} must not import {other}"


def test_an_import_upwards_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bug, in each way of writing it."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    path = tmp_path / "devices" / "wrong.py"
    path.parent.mkdir()
    for line in ("from ..optim import AnalogSGD", "from .. import optim", "from ..optim.sgd import x",
                 "import ohmgrad.optim", "from ohmgrad.optim import base",
                 "def f():\n    from .. import optim"):  # fmt: skip
        path.write_text(line)
        assert [name for name, _ in imported(path)] == ["optim"], line
        with pytest.raises(AssertionError, match="devices must not import optim"):
            test_imports_run_downwards(path)
    path.write_text("import torch\nfrom . import families\nfrom ..rng import Key\nfrom ..errors import x")
    assert {name for name, _ in imported(path)} == {"devices", "rng", "errors"}
    test_imports_run_downwards(path)


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    tree = ast.parse(text)
    assert len(text.splitlines()) <= 400, f"{path.name} has {len(text.splitlines())} lines"
    assert ast.get_docstring(tree), f"{path.name} has no docstring"
    assigned = {
        t.id
        for node in tree.body
        if isinstance(node, ast.Assign)
        for t in node.targets
        if isinstance(t, ast.Name)
    }
    assert path.name == "__main__.py" or "__all__" in assigned, f"{path.name} has no __all__"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_torch_library_is_named_in_one_place(path: Path) -> None:
    allowed = path == ROOT / "kernels" / "ops.py"
    assert allowed or "torch.library" not in path.read_text()


def test_importing_ohmgrad_is_light() -> None:
    heavy = ["numba", "triton", "pydantic", "matplotlib", "pyarrow", "sklearn", "scipy", "transformers"]
    code = f"import ohmgrad, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_is_finished_and_its_links_resolve(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"@[A-Z0-9]+@|TODO|FIXME", text)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert target.startswith("http") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_names_in_all_exist() -> None:
    for name in ohmgrad.__all__:
        assert hasattr(ohmgrad, name), name
