"""What a law found, and the report of all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..checked import checked
from ..errors import InputError, check_choice

__all__ = ["BrokenLawError", "Finding", "Progress", "Report", "found", "run_laws", "skipped"]

#: called before each law, and after the last, with (laws done, laws, what is next)
Progress = Callable[[int, int, str], None]


class BrokenLawError(AssertionError):
    """A law does not hold; says which, what was measured and what was allowed."""


@dataclass(frozen=True)
class Finding:
    """What one law measured.

    Attributes:
        status: "ok", "failed" or "skipped".
        measured, bound: in words with their numbers.
        note: one line: what was compared, or why it was skipped.
        law: its name.
    """

    status: Literal["ok", "failed", "skipped"]
    measured: str
    bound: str
    note: str
    law: str = ""


def found(ok: bool, measured: str, bound: str, note: str) -> Finding:
    """A finding of a law that was run."""
    return Finding("ok" if ok else "failed", measured, bound, note)


def skipped(because: str) -> Finding:
    """A finding of a law that cannot be run; `because` is the reason."""
    return Finding("skipped", "", "", f"skipped, because {because}")


@checked
@dataclass(frozen=True)
class Report:
    """All findings about one device or algorithm; `print` shows them as a table."""

    subject: str
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether no law failed. Laws that were skipped do not count: look at `skipped`."""
        return not self.failed

    @property
    def failed(self) -> list[Finding]:
        """The findings of laws that do not hold."""
        return [f for f in self.findings if f.status == "failed"]

    @property
    def skipped(self) -> list[Finding]:
        """The findings of laws that were not run, each with its reason."""
        return [f for f in self.findings if f.status == "skipped"]

    def raise_if_failed(self) -> Report:
        """This report, if no law failed.

        Raises:
            BrokenLawError: naming each law that does not hold, with measure and bound.
        """
        if self.failed:
            lines = (f"{f.law}: {f.measured}, allowed {f.bound} ({f.note})" for f in self.failed)
            raise BrokenLawError(f"{self.subject} breaks " + "; ".join(lines))
        return self

    def __rich__(self) -> Table:
        """The table: law, result, what was measured, bound, explanation."""
        table = Table(title=self.subject, title_justify="left")
        for column in ("law", "", "measured", "allowed", "what was compared"):
            table.add_column(column, overflow="fold")
        styles = {"ok": "green", "failed": "bold red", "skipped": "yellow"}
        for f in self.findings:
            table.add_row(f.law, Text(f.status, styles[f.status]), f.measured, f.bound, f.note)
        return table

    def __str__(self) -> str:
        console = Console(width=140, color_system=None)
        with console.capture() as text:
            console.print(self)
        return text.get()


def run_laws(
    laws: Mapping[str, Callable[..., Finding]],
    names: str | Iterable[str] | None,
    subject: str,
    progress: Progress | None,
    *args: Any,
) -> Report:
    """Run the laws of these names, by default all, with `args`; `progress` says how far it is.

    A law in which the device or the algorithm raises has failed; its finding says what was raised.

    Raises:
        InputError: for an unknown name.
    """
    chosen = [names] if isinstance(names, str) else list(laws if names is None else names)
    for name in chosen:
        check_choice("law", name, laws)
    if not chosen:
        raise InputError(f"no law is named: leave laws out for all, or name some of {', '.join(laws)}")
    report = Report(subject)
    progress = progress or (lambda *_: None)
    for done, name in enumerate(chosen):
        progress(done, len(chosen), name)
        try:
            finding = laws[name](*args)
        except Exception as error:  # whatever a user's device or algorithm may raise
            said = " ".join(str(error).split())
            finding = found(
                False, f"raised {type(error).__name__}: {said}", "no error", "the law could not run"
            )
        report.findings.append(replace(finding, law=name))
    progress(len(chosen), len(chosen), "")
    return report
