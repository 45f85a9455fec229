"""The directive ``typed-dict``: a table of the keyword arguments that a ``TypedDict`` declares."""

from __future__ import annotations

from importlib import import_module

from docstrings import linked
from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective


def rows_of(cls: type) -> list[tuple[str, str, str]]:
    """Return (name, type, meaning) of each key, those of the bases first; one module has all of them."""
    texts = ModuleAnalyzer.for_module(cls.__module__).find_attr_docs()
    meanings = {name: " ".join(lines).strip() for (_, name), lines in texts.items()}
    kinds = {name: getattr(kind, "__forward_arg__", str(kind)) for name, kind in cls.__annotations__.items()}
    return [(name, kind, meanings.get(name, "")) for name, kind in kinds.items()]


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
        for argument, kind, text in rows_of(getattr(import_module(module), name)):
            lines += [f"   * - ``{argument}``", f"     - ``{kind}``", f"     - {linked(text, '')}"]
        holder = nodes.Element()
        self.state.nested_parse(StringList(lines, source=self.arguments[0]), self.content_offset, holder)
        return holder.children


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("typed-dict", TypedDictTable)
    return {"parallel_read_safe": True}
