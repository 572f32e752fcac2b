"""The structure: which way imports run, how long files are, what they say, what an import costs."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
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
            {"errors", "style", "version"},
            {"rng", "yaml_text", "eager", "user_files", "kernel_cache", "ranges", "sizes", "inline"},
            {"npz", "type_words"},
            {"checked", "tensor_methods"},
            {"devices"},
            {"kernels", "theory", "datasets", "models"},
            {"crossbar"},
            {"nn", "optim", "ensemble"},
            {"monitor", "conformance", "cost", "export", "aihwkit", "deployment"},
            {"studies"},
            {"report"},
            {"cli"},
            {"__init__", "__main__", "tests"},
        )
    )
    for name in names
}

#: classes with one subclass, which stand in a file of their own for its length
LONG = {"MatrixOnDemand"}


def room(path: Path) -> str:
    """The folder or file below ohmgrad."""
    return path.relative_to(ROOT).with_suffix("").parts[0]


def file_of(parts: Sequence[str]) -> Path:
    """The file of a module below ohmgrad, or of the module that has the last part as a name."""
    for at in (ROOT.joinpath(*parts), ROOT.joinpath(*parts[:-1])):
        for file in (at.with_suffix(".py"), at / "__init__.py"):
            if file.is_file():
                return file
    raise AssertionError(f"there is no module ohmgrad.{'.'.join(parts)}")


def imported(path: Path) -> Iterator[tuple[Path, int]]:
    """Files of ohmgrad that a file imports from, anywhere in it, and the lines; for type checkers, too."""
    here = ("ohmgrad", *path.relative_to(ROOT).with_suffix("").parts)
    for node in ast.walk(ast.parse(path.read_text())):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = here[: len(here) - node.level] if node.level else ()
            base = ".".join((*start, *filter(None, [node.module])))
            names = [f"{base}.{alias.name}" for alias in node.names]
        for first, *rest in (name.split(".") for name in names):
            if first == "ohmgrad":
                yield file_of(rest), node.lineno


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_downwards(path: Path) -> None:
    own = room(path)
    assert own in FLOORS, f"give {own!r} a floor in test_structure.py"
    for file, line in imported(path):
        other = room(file)
        assert other in FLOORS, f"{path.name}:{line} imports {other!r}, which has no floor"
        below = other == own or FLOORS[other] < FLOORS[own]
        assert below, f"{path.name}:{line}: {own} must not import {other}"
        inside = file.name == "__init__.py" and file != path and file.parent in path.parents
        assert not inside, f"{path.name}:{line}: import from the file that has it, not from its own package"


def circle(imports: Mapping[Path, Iterable[Path]]) -> list[Path]:
    """Files that import one another in a circle, the first one again at the end; none without one."""
    done: set[Path] = set()

    def search(path: Path, way: list[Path]) -> list[Path]:
        if path in way:
            return [*way[way.index(path) :], path]
        found = (
            [] if path in done else next(filter(None, (search(p, [*way, path]) for p in imports[path])), [])
        )
        done.add(path)
        return found

    return next(filter(None, (search(path, []) for path in imports)), [])


def test_no_files_import_one_another_in_a_circle() -> None:
    found = circle({path: {file for file, _ in imported(path)} - {path} for path in FILES})
    assert not found, " -> ".join(str(path.relative_to(ROOT)) for path in found)


def test_wrong_imports_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The planted bugs, in each way of writing them."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    for name in ("devices/__init__", "devices/wrong", "devices/table", "optim/__init__", "optim/sgd",
                 "optim/base", "rng", "errors", "__init__"):  # fmt: skip
        path = tmp_path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    path, table = tmp_path / "devices" / "wrong.py", tmp_path / "devices" / "table.py"
    for line in ("from ..optim import AnalogSGD", "from .. import optim", "from ..optim.sgd import x",
                 "import ohmgrad.optim", "from ohmgrad.optim import base",
                 "def f():\n    from .. import optim",
                 "if TYPE_CHECKING:\n    from ..optim import AnalogSGD"):  # fmt: skip
        path.write_text(line)
        assert [room(file) for file, _ in imported(path)] == ["optim"], line
        with pytest.raises(AssertionError, match="devices must not import optim"):
            test_imports_run_downwards(path)
    for line in ("from . import Device", "from ..devices import Device", "import ohmgrad.devices"):
        path.write_text(line)
        with pytest.raises(AssertionError, match="not from its own package"):
            test_imports_run_downwards(path)
    path.write_text("import torch\nfrom . import table\nfrom ..rng import Key\nfrom ..errors import x")
    assert [file.name for file, _ in imported(path)] == ["table.py", "rng.py", "errors.py"]
    test_imports_run_downwards(path)
    monkeypatch.setattr(sys.modules[__name__], "FILES", sorted(tmp_path.rglob("*.py")))
    test_no_files_import_one_another_in_a_circle()
    table.write_text("if TYPE_CHECKING:\n    from .wrong import x")
    with pytest.raises(AssertionError, match=r"table.py -> devices.wrong.py -> devices.table.py"):
        test_no_files_import_one_another_in_a_circle()


def test_classes_are_final_or_have_several_subclasses() -> None:
    """A class that is there for one other is a part of that."""
    classes = [
        n for path in FILES for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ClassDef)
    ]
    bases = Counter(base.id for node in classes for base in node.bases if isinstance(base, ast.Name))
    assert {node.name for node in classes if bases[node.name] == 1} == LONG


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


def test_importing_ohmgrad_is_light() -> None:
    heavy = [
        "numba",
        "triton",
        "pydantic",
        "matplotlib",
        "pyarrow",
        "sklearn",
        "scipy",
        "transformers",
        "IPython",
    ]
    code = f"import ohmgrad, sys; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_a_page_is_finished_and_its_links_resolve(page: Path) -> None:
    text = page.read_text()
    assert not re.findall(r"@[A-Z0-9]+@|TODO|FIXME", text)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        made = target.startswith(("http", "generated/"))  # with the site, whose build looks at these
        assert made or (page.parent / target).exists(), f"{page.name}: {target}"


def test_a_wheel_has_every_file() -> None:
    """What is no Python is in a wheel only where pyproject.toml lists it."""
    patterns = tomllib.loads((HOME / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    listed = {path for pattern in patterns["ohmgrad"] for path in ROOT.glob(pattern)}
    others = {path for path in ROOT.rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    assert others == {path for path in listed if path.suffix != ".py"}


def test_names_in_all_exist() -> None:
    for name in ohmgrad.__all__:
        assert hasattr(ohmgrad, name), name
