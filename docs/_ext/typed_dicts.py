"""The directive ``typed-dict``: a table of the keyword arguments that a ``TypedDict`` declares."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from docstrings import linked
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


def rows_of(cls: Any) -> Iterator[tuple[str, str, str]]:
    """Yield (name, type, meaning) of each key as the source writes them, those of the bases first."""
    for base in getattr(cls, "__orig_bases__", ()):
        if hasattr(base, "__annotations__"):
            yield from rows_of(base)
    texts = ModuleAnalyzer.for_module(cls.__module__).find_attr_docs()
    body = ast.parse(inspect.getsource(cls)).body[0].body
    for node in body:
        if isinstance(node, ast.AnnAssign):
            name = ast.unparse(node.target)
            yield name, ast.unparse(node.annotation), " ".join(texts.get((cls.__name__, name), ())).strip()


class TypedDictTable(SphinxDirective):
    """``.. typed-dict:: module:Class``."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the table."""
        module, _, name = self.arguments[0].partition(":")
        lines = [
            ".. list-table::",
            "   :header-rows: 1",
            "",
            "   * - argument",
            "     - type",
            "     - meaning",
        ]
        around = vars(import_module(module))
        for argument, kind, text in rows_of(around[name]):
            lines += [f"   * - ``{argument}``", f"     - ``{kind}``", f"     - {linked(text, '', around)}"]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), self.content_offset, holder)
        return holder.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("typed-dict", TypedDictTable)
    return {"parallel_read_safe": True}
