"""The parity report as text: tables of what was measured, and the list of meant differences."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from parity_updates import ALARM, differs, threshold

__all__ = ["KNOWN", "curves_text", "updates_text", "write_csv"]

#: differences of the two programs; 1 to 8 are meant
KNOWN = """\
1. **The balance** of up and down scales an element's own step here: up = g (1 + b), down = g (1 - b). There
   it adds to it in units of the mean step: up = g + b, down = g - b, folded at zero. Elements with a small g
   have a wider balance there. A mean balance (`up_down`) changes one of the two steps there, both here.
2. **Bounds near zero.** A drawn bound is folded at zero and kept at 0.001 of the nominal one here.
3. **Linear slopes** refer to each element's own bound here, by default to the mean bound there
   (`mean_bound_reference`), and have no spread of their own here (`gamma_up_dtod`, `gamma_down_dtod`).
4. **The collapse.** All pulses of a minibatch share one Gaussian: exact with additive noise, exact in mean
   and variance with multiplicative noise. There every pulse has its own noise, as at fidelity
   pulse-by-pulse here.
5. **Random numbers** have addresses here and come from Philox. There update noise is taken from a list of
   32,768 Gaussian numbers per tile, and neither it nor trains can be seeded.
6. **Rounding.** Here means and variances are accumulated over a minibatch and rounded to float32 at its end,
   there after every pulse.
7. **AGAD's first phase** only measures its reference here, and W moves from the first flip on; there the
   reference starts at zero, and nothing is written until a sweep over the columns after the first flip. That
   makes the short training of part B slower there: over 20 other seeds its loss was 0.321 ± 0.012 here,
   0.335 ± 0.011 there, and 0.330 ± 0.014 here with writes held back likewise.
8. **Non-affine responses** run on tables here, the pulses of a sample along a parabola, to about 2e-4 of
   the way; and where an element's bounds differ from the mean, its response is scaled separately above and
   below zero here, by the whole range there.

Seen in this comparison, and left:

9. **More pulses than slots** (K > max_bl): both lines are clipped at probability 1 here, so that a pair of
   lines fires with min(1, sqrt(K/BL) x) min(1, sqrt(K/BL) d), x and d relative to the largest. There x is
   never clipped and d takes all of it: x min(1, d K/BL). A transfer has a single x-line on, x = 1: it gets
   fewer pulses than wanted here, by up to sqrt(K/BL), and all that the slots hold there. This slows TTv1 at
   large rates; enough slots (max_bl) remove the difference. For x-lines of many values the clipping here is
   nearer to what was asked for (x = 0.3, d = 0.8, K = 3 BL: 22.3 pulses wanted, 15.9 here, 9.2 there).
10. **Piecewise steps:** the number of pulses K counts in dw_min here, and there in the step up at the middle
   node (found by counting pulses). The rows below have the value 1 there."""


def write_csv(path: Path, rows: Sequence[dict[str, Any]]) -> None:
    """All rows with all columns."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _p(value: float) -> str:
    return f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def _table(rows: Sequence[dict[str, Any]], last: str) -> list[str]:
    lines = [
        "| device | update | start | mean (ours) | mean (theirs) | sd (ours) | sd (theirs) | p (KS) "
        f"| {last} |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        end = row["meant"] if last == "why" else f"{_p(row['p_mean'])}, {_p(row['p_variance'])}"
        numbers = (f"{row[k]:.4g}" for k in ("mean_ohmgrad", "mean_aihwkit", "sd_ohmgrad", "sd_aihwkit"))
        cells = [row["case"], row["update"], str(row["start"]), *numbers, _p(row["p_ks"]), end]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _verdict(rows: Sequence[dict[str, Any]], what: str) -> list[str]:
    """Sentences on the comparisons that must agree, with the distribution of their p-values."""
    must, below = [row for row in rows if not row["meant"]], threshold(list(rows))
    bad = [row for row in must if differs(row, below)]
    p = [row[k] for row in must for k in ("p_ks", "p_mean", "p_variance")]
    low = sum(v < 0.01 for v in p)
    lines = [
        f"{len(must)} comparisons of {what} must agree, three tests each; {len(bad)} do not at p < "
        f"{below:.1g} (a false alarm rate of {ALARM:g} for all of them together). Smallest p: {_p(min(p))}. "
        f"Of the {len(p)} p-values {low} are below 0.01, where chance gives {0.01 * len(p):.0f}.",
        "",
    ]
    if bad:
        lines += ["**These do not agree:**", "", *_table(bad, "p (mean), p (variance)"), ""]
    return lines


def updates_text(
    updates: Sequence[dict[str, Any]],
    elements: Sequence[dict[str, Any]],
    distinct: tuple[int, int],
    cells: int,
) -> list[str]:
    """Part A."""
    meant = [row for row in updates if row["meant"]]
    drawn = [row for row in elements if row["meant"]]
    return [
        "## A. Single updates",
        "",
        f"The change of the weights of {cells:,} independent cells, in units of dw_min, after one update of "
        "one or more samples: exactly n pulses, or stochastic trains. Tests: Kolmogorov-Smirnov, mean, "
        "variance. All rows are in `parity_updates.csv`.",
        "",
        *_verdict(updates, "updates"),
        *_verdict(elements, "drawn planes (bounds, steps, balance)"),
        "### Known differences, as measured",
        "",
        *_table(meant, "why"),
        "",
        "Drawn elements (bounds and steps in weight units):",
        "",
        *_table(drawn, "why"),
        "",
        f"One noisy pulse on {200_000:,} alike cells of one tile has {distinct[0]:,} different results here, "
        f"{distinct[1]:,} there.",
        "",
        "### All that must agree",
        "",
        *_table([row for row in updates if not row["meant"]], "p (mean), p (variance)"),
        "",
    ]


def curves_text(rows: Sequence[dict[str, Any]], setting: str) -> list[str]:
    """Part B."""
    lines = [
        "## B. Learning curves",
        "",
        setting,
        "",
        "| algorithm | loss (ours) | loss (theirs) | p | accuracy % (ours) | accuracy % (theirs) | p | |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for r in rows:
        cells = [r["algorithm"]]
        for what, factor, digits in (("loss", 1, 4), ("accuracy", 100, 1)):
            for who in ("ohmgrad", "aihwkit"):
                mean, sd = (factor * r[f"{what}_{part}{who}"] for part in ("", "sd_"))
                cells.append(f"{mean:.{digits}f} ± {sd:.{digits}f}")
            cells.append(_p(r[f"p_{what}"]))
        lines.append("| " + " | ".join([*cells, r["meant"]]) + " |")
    must = [r for r in rows if not r["meant"]]
    below = ALARM / (2 * len(must))
    bad = [r["algorithm"] for r in must if min(r["p_loss"], r["p_accuracy"]) < below]
    return [
        *lines,
        "",
        f"p: Welch's t test. {len(must)} algorithms must agree; " + (
            f"not so at p < {below:.1g}: {', '.join(bad)}." if bad else f"all do (no p < {below:.1g})."
        ),
        "",
    ]  # fmt: skip
