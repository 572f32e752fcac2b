"""The key of the kernel cache: an edit of any file that compiled code comes from changes it."""

from __future__ import annotations

import ast
import importlib
import shutil
import sys
from pathlib import Path

import pytest
from numba import njit
from numba.core import event

import ohmgrad
from ohmgrad.kernel_cache import cache_key, sources
from ohmgrad.kernels.cpu import compiling

PACKAGE = Path(ohmgrad.__file__).parent
#: decorators of functions that are compiled
COMPILING = {"njit", "kernel", "late_kernel", "part", "intrinsic", "serial_and_parallel"}
#: compiled from itself alone, so that Numba's own rule sees every edit
ALONE = PACKAGE / "devices" / "fitting" / "filter.py"


def imports(path: Path) -> dict[str, Path]:
    """Names that a file imports from the package, with the file that each is written in."""
    found = {}
    here = path.relative_to(PACKAGE).parent.parts
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.ImportFrom) or not node.level:
            continue
        base = ("ohmgrad", *here[: len(here) + 1 - node.level], *filter(None, [node.module]))
        module = importlib.import_module(".".join(base))
        for alias in node.names:
            origin = getattr(getattr(module, alias.name, None), "__module__", None)
            own = origin if str(origin).startswith("ohmgrad") else module.__name__
            file = importlib.import_module(str(own)).__file__
            assert file is not None
            found[alias.asname or alias.name] = Path(file)
    return found


def compiled(tree: ast.Module) -> list[ast.FunctionDef]:
    """The compiled functions of a file, wherever they stand in it."""
    return [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef)
        and COMPILING & {n.id for d in node.decorator_list for n in ast.walk(d) if isinstance(n, ast.Name)}
    ]


def used(path: Path) -> set[str]:
    """Names that compiled functions of a file use, and those that its constants are made of."""
    tree = ast.parse(path.read_text())
    constants = [node for node in tree.body if isinstance(node, (ast.Assign, ast.AnnAssign))]
    parts = [*compiled(tree), *constants]
    return {n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name)}


def needed() -> set[Path]:
    """Files of compiled functions, and those that their code and numbers are imported from, at any depth."""
    assert not imports(ALONE).keys() & used(ALONE)
    todo = [p for p in sorted(PACKAGE.rglob("*.py")) if p != ALONE and compiled(ast.parse(p.read_text()))]
    found: set[Path] = set()
    while todo:
        path = todo.pop()
        if path not in found:
            found.add(path)
            names = used(path)
            todo += [file for name, file in imports(path).items() if name in names]
    return found


def test_every_file_that_compiled_code_comes_from_is_in_the_key() -> None:
    inside = set(sources(PACKAGE))
    names = {str(path.relative_to(PACKAGE)) for path in needed()}
    # what this test must find: kernels in each folder, and numbers from files without kernels
    assert {"kernels/cpu/math.py", "kernels/cpu/tables_rows.py", "kernels/cpu/products.py",
            "ensemble/compiled.py", "kernels/reference/affine.py", "kernels/reference/tables.py",
            "kernels/pulsing.py", "rng.py"} <= names  # fmt: skip
    assert needed() <= inside


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copytree(PACKAGE, tmp_path / "ohmgrad", ignore=shutil.ignore_patterns("__pycache__")))


def test_an_edit_of_any_of_them_changes_the_key(copied: Path) -> None:
    before = cache_key(copied)
    assert before == cache_key(PACKAGE)
    keys = {before}
    for path in sorted(needed()):
        here = copied / path.relative_to(PACKAGE)
        text = here.read_bytes()
        here.write_bytes(text.replace(b"1", b"2", 1) if b"1" in text else text + b"#")
        keys.add(cache_key(copied))
        here.write_bytes(text)
    assert len(keys) == 1 + len(needed())
    assert cache_key(copied) == before


def test_new_renamed_and_removed_files_change_the_key(copied: Path) -> None:
    keys = [cache_key(copied)]
    new = copied / "kernels" / "cpu" / "new.py"
    for change in (
        lambda: new.write_text("LIMIT = 1\n"),
        lambda: new.rename(copied / "kernels" / "cpu" / "other.py"),
        lambda: (copied / "kernels" / "cpu" / "affine_columns.py").unlink(),
    ):
        change()
        keys.append(cache_key(copied))
    one, two = sources(copied)[:2]
    text = one.read_bytes()  # a line that moves to the head of the next file is another program
    one.write_bytes(text[:-1])
    two.write_bytes(text[-1:] + two.read_bytes())
    keys.append(cache_key(copied))
    assert len(set(keys)) == len(keys)


def test_what_no_kernel_uses_leaves_the_key(copied: Path) -> None:
    """So that an edit of an algorithm does not cost a minute of compiling."""
    before = cache_key(copied)
    for name in ("optim/sgd.py", "crossbar.py", "nn/linear.py"):
        (copied / name).write_text("")
    assert cache_key(copied) == before


def test_who_waits_for_kernels_is_told_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling._Notice, "told", True)  # that which the package has registered
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)  # tests of notebooks load it
    for terminal, module in ((True, "ohmgrad.kernels.some"), (False, "ohmgrad.kernels.some"), (True, "mine")):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal)
        notice = compiling._Notice()
        notice.told = False
        with event.install_listener("numba:compile", notice):
            for first in (1, 2):

                def add(i: int, first: int = first) -> int:
                    return i + first

                add.__module__ = module
                assert njit(add)(1) == 1 + first
        told = capsys.readouterr().err.splitlines()
        expected = terminal and module != "mine"  # users compile functions of their own
        assert [line[:27] for line in told] == ["ohmgrad: compiling kernels,"] * expected
