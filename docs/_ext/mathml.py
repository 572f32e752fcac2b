"""Equations as MathML, which browsers draw themselves: no script and no network."""

from __future__ import annotations

import re

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.writers.html5 import HTML5Translator

__all__ = ["setup"]


#: bars of absolute values and norms, which have no space around them as signs of relations have
_BAR = re.compile(r"<mo([^>]*)>([|∣‖∥])</mo>")


def drawn(node: nodes.Element, block: bool = False) -> str:
    return _BAR.sub(r'<mo\1 lspace="0" rspace="0">\2</mo>', tex2mathml(node.astext().strip(), as_block=block))


def inline(translator: HTML5Translator, node: nodes.math) -> None:
    translator.body.append(f'<span class="math">{drawn(node)}</span>')
    raise nodes.SkipNode


def block(translator: HTML5Translator, node: nodes.math_block) -> None:
    translator.body.append(f'<div class="math">{drawn(node, True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
