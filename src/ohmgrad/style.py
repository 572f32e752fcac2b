"""How things look in every figure and table: colours for all eyes, one line style an algorithm."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["BLACK", "BLUE", "GREEN", "LOOKS", "ORANGE", "PURPLE", "RC", "RED", "SKY", "Look", "style_of"]

#: Okabe & Ito's colours, distinct for the colour-blind
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, RED, PURPLE = "#0072B2", "#D55E00", "#CC79A7"

#: matplotlib's settings for all figures; text in SVG files stays text
RC: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",
}


class Look(NamedTuple):
    """Name for people, colour, line style and marker of an algorithm."""

    label: str
    colour: str
    dash: str
    marker: str


LOOKS: dict[str, Look] = {
    "digital": Look("digital SGD", BLACK, "--", "s"),
    "sgd": Look("Analog SGD", RED, "-", "o"),
    "tiki-taka": Look("Tiki-Taka", BLUE, "-", "^"),
    "ttv2": Look("TTv2", SKY, "-", "v"),
    "c-ttv2": Look("c-TTv2", ORANGE, "-", "<"),
    "agad": Look("AGAD", PURPLE, "-", ">"),
    "residual": Look("Residual Learning", GREEN, "-", "D"),
    "residual-v2": Look("Residual Learning v2", GREEN, "--", "d"),
    "multi-tile": Look("multi-tile residual", ORANGE, "--", "P"),
    "sp-tracking": Look("SP tracking", SKY, "--", "X"),
    "sp-tracking-chopped": Look("SP tracking, chopped", BLUE, "--", "*"),
    "mixed-precision": Look("mixed precision", BLACK, "-", "p"),
    "gradient-counts": Look("gradient counts", PURPLE, "--", "h"),
    "momentum": Look("Analog SGD, momentum", RED, "--", "H"),
    "sign-rule": Look("sign rule", GREEN, ":", "8"),
    "eapu": Look("EaPU", BLUE, ":", "$\\star$"),
}


def style_of(algorithm: str) -> Look:
    """How an algorithm is drawn; a plain look for one that is not of ours, without the path of its file."""
    return LOOKS.get(algorithm, Look(algorithm.rpartition(":")[2], PURPLE, "-", "v"))
