"""Files that are nearly right: altered bytes and text, and right files of wrong values."""

from __future__ import annotations

import copy
import io
import json
import re
import zipfile
from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

__all__ = ["NONSENSE", "altered", "arrays_altered", "members", "replaced", "yaml_altered"]

#: what stands in files where something else should
TOKENS = [
    b"", b"\0", b"\xff", b"nan", b"inf", b"-inf", b"-1", b"0", b"1e999", b"1e-999", b"1e308", b"-0.0",
    b"9223372036854775808", b"18446744073709551616", b"99999999999999999999999999", b"0x10", b"1_000", b"1,5",
    b"1.2.3", b"--", b"null", b"~", b"true", b"[]", b"{}", b"[[[[", b"&a [*a]", b"*a", b"<<",
    b"!!python/object", b"|", b">", b"\t", b"\r", b"\n", b"\n\n", b" ", b",", b";", b":", b"#", b"'", b'"',
    b"\xef\xbb\xbf", b"\xe2\x88\x92", b"\xcf\x84", b"a" * 5000, b"9" * 400, b"(1, 2)", b"PK\x03\x04",
    b"\x1f\x8b", b"PAR1",
]  # fmt: skip

#: values in place of others
NONSENSE: list[Any] = [
    None, True, False, 0, -1, 1, 0.5, -0.0, 2**31, 2**63, 2**70, 10**400, 1e-320, 1e308, -1e308, float("nan"),
    float("inf"), "", "x", "nan", "1e-3", "../..", "a\nb", "\0", [], [1], [None], [[1, 2], 3], {}, {"a": 1},
    {"family": "soft_bounds"}, "paper", "a" * 300, [0.0] * 300,
]  # fmt: skip

_KINDS = ("flip", "cut", "drop", "twice", "put", "number", "lines")
_EDITS = st.lists(
    st.tuples(st.sampled_from(_KINDS), st.integers(0, 10**6), st.integers(0, 10**6), st.sampled_from(TOKENS)),
    min_size=1,
    max_size=4,
)


def altered(*right: bytes) -> SearchStrategy[bytes]:
    """Right files with one to four edits of their bytes, and bytes of any kind."""
    edited = st.builds(_edited, st.sampled_from(right), _EDITS)
    return st.one_of(edited, edited, edited, st.binary(max_size=200))


def _edited(content: bytes, edits: Sequence[tuple[str, int, int, bytes]]) -> bytes:
    for kind, at, much, token in edits:
        at, end = sorted((at % (len(content) + 1), much % (len(content) + 1)))
        if kind == "flip" and content:
            place, flipped = at % len(content), bytearray(content)
            flipped[place] ^= 1 << much % 8
            content = bytes(flipped)
        elif kind == "cut":
            content = content[:end]
        elif kind == "drop":
            content = content[:at] + content[min(end, at + 40) :]
        elif kind == "twice":
            content = content[:end] + content[at:end][:2000] + content[end:]
        elif kind == "put":
            content = content[:at] + token + content[at:]
        elif kind == "number":
            found = list(re.finditer(rb"[-+.\w]+", content[:20_000]))
            if found:
                one = found[at % len(found)]
                content = content[: one.start()] + token + content[one.end() :]
        elif kind == "lines":
            lines = content.split(b"\n")
            i, j = at % len(lines), much % len(lines)
            lines[i], lines[j] = lines[j], lines[i]
            content = b"\n".join(lines)
    return content


def _places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Ways to all values in lists and mappings, the whole among them."""
    found = [way]
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        found += _places(each, (*way, key))
    return found


def replaced(value: Any, edits: Sequence[tuple[int, int, Any]]) -> Any:
    """Plain values with some replaced, left out or put under another name."""
    value = json.loads(json.dumps(value))
    for which, how, new in edits:
        places = _places(value)[1:]
        if not places:
            break
        *way, last = places[which % len(places)]
        around = value
        for key in way:
            around = around[key]
        if how == 0:
            del around[last]
        elif how == 1 and isinstance(around, dict):
            around[str(new)[:20]] = around.pop(last)
        else:
            around[last] = copy.deepcopy(new)
    return value


REPLACED = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 9), st.sampled_from(NONSENSE)), min_size=1, max_size=3
)


def yaml_altered(*right: str) -> SearchStrategy[bytes]:
    """YAML whose values are replaced, and YAML text with edits."""
    values = [yaml.safe_load(text) for text in right]

    def written(value: Any, edits: Sequence[tuple[int, int, Any]]) -> bytes:
        return yaml.safe_dump(replaced(value, edits), allow_unicode=True, sort_keys=False).encode()

    structured = st.builds(written, st.sampled_from(values), REPLACED)
    return st.one_of(structured, structured, altered(*(text.encode() for text in right)))


_SHAPES = [(), (0,), (1,), (2,), (3, 4), (0, 3), (2, 2, 2), (1, 1, 1, 1), (5, 2), (1, 100_000)]
_TYPES = ["<f8", "<f4", "<i8", "<u1", "?", "<U3", "<c16", ">f8", "<f2", "<M8[s]"]
_VALUES = [0.0, 1.0, -1.0, float("nan"), float("inf"), 1e300, 1e-320, 0.3]


def _array(shape: tuple[int, ...], kind: str, value: float) -> np.ndarray:
    with np.errstate(all="ignore"):
        return np.full(shape, value).astype(np.dtype("<i8") if kind == "<M8[s]" else kind, casting="unsafe")


def arrays_altered(**right: np.ndarray) -> SearchStrategy[bytes]:
    """.npz files of right arrays, of which some are missing, others, or have one other value; and edits."""

    def written(edits: Sequence[tuple[int, int, tuple[int, ...], str, float]]) -> bytes:
        arrays = {name: value.copy() for name, value in right.items()}
        for which, how, shape, kind, value in edits:
            name = list(right)[which % len(right)]
            old = arrays.get(name)
            if how == 0:
                arrays.pop(name, None)
            elif how < 4 or old is None or not old.size:
                arrays[name] = _array(shape, kind, value)
            elif how < 6:
                arrays[name] = old.reshape(-1)[: which % old.size]
            elif old.dtype.kind == "f":
                old.reshape(-1)[which % old.size] = value
            elif old.dtype.kind != "U" or kind == "<U3":
                arrays[name] = old.astype(kind if kind != "<M8[s]" else "<i8", casting="unsafe")
        return members(**arrays)

    edit = st.tuples(
        st.integers(0, 10**6), st.integers(0, 9), st.sampled_from(_SHAPES), st.sampled_from(_TYPES),
        st.sampled_from(_VALUES),
    )  # fmt: skip
    structured = st.builds(written, st.lists(edit, min_size=1, max_size=3))
    return st.one_of(structured, structured, altered(members(**right), _packed(members(**right))))


def members(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **arrays)
    return out.getvalue()


def _packed(content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    return out.getvalue()
