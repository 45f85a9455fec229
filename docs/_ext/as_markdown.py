"""A page as Markdown, from what Sphinx has made of it: for those pages that directives write."""

from __future__ import annotations

import re
from collections.abc import Callable

from docutils import nodes
from sphinx import addnodes


def markdown(document: nodes.document) -> str:
    """Return a resolved page as Markdown; links lead to the copies of other pages."""
    return re.sub(r"\n{3,}", "\n\n", _block(document, 0)).strip() + "\n"


def _inline(node: nodes.Node) -> str:
    """Return running text."""
    if isinstance(node, nodes.Text):
        return node.astext().replace("\n", " ")
    if isinstance(node, (nodes.literal, nodes.math)):
        return f"`{node.astext()}`"
    inner = "".join(_inline(child) for child in node.children)
    if isinstance(node, nodes.strong):
        return f"**{inner}**"
    if isinstance(node, nodes.reference) and inner:
        return f"[{inner}]({_target(node)})"
    return inner


def _target(node: nodes.reference) -> str:
    uri = node.get("refuri") or f"#{node.get('refid', '')}"
    return uri if ":" in uri.partition("#")[0] else re.sub(r"\.html(?=#|$)", ".md", uri)


def _blocks(node: nodes.Node, level: int) -> str:
    return "".join(_block(child, level) for child in node.children)


def _block(node: nodes.Node, level: int) -> str:
    """Return a block with an empty line behind it; ``level`` is that of its headings."""
    for kind, rendered in _KINDS.items():
        if isinstance(node, kind):
            return rendered(node, level)
    return _blocks(node, level)


def _anchored(node: nodes.Element) -> str:
    return "".join(f'<a id="{name}"></a>\n' for name in node.get("ids", []))


def _section(node: nodes.Node, level: int) -> str:
    ids = {*node.get("ids", ())} - {node.get("slug"), nodes.make_id(node[0].astext())}
    return "".join(f'<a id="{name}"></a>\n' for name in sorted(ids)) + _blocks(node, level + 1)


def _title(node: nodes.Node, level: int) -> str:
    return f"{'#' * level} {_inline(node)}\n\n"


def _code(node: nodes.Node, _level: int) -> str:
    language = "" if isinstance(node, nodes.doctest_block) else node.get("language", "")
    return f"```{language or 'python'}\n{node.astext()}\n```\n\n"


def _paragraph(node: nodes.Node, level: int) -> str:
    if any(isinstance(child, nodes.bullet_list) for child in node.children):  # a table of contents
        return _blocks(node, level)
    return f"{_inline(node).strip()}\n\n"


def _indented(text: str) -> str:
    first, *rest = text.strip().splitlines() or [""]
    return "\n".join([f"- {first}", *(f"  {line}" if line else "" for line in rest)]) + "\n"


def _list(node: nodes.Node, level: int) -> str:
    return "".join(_indented(_blocks(item, level)) for item in node.children) + "\n"


def _definitions(node: nodes.Node, level: int) -> str:
    items = []
    for item in node.children:
        terms = [_inline(part) for part in item.children if isinstance(part, (nodes.term, nodes.classifier))]
        text = "".join(_block(part, level) for part in item.children if isinstance(part, nodes.definition))
        name = terms[0] + (f" ({', '.join(terms[1:])})" if terms[1:] else "")
        items.append(_indented(f"{name}: {text.strip()}"))
    return "".join(items) + "\n"


def _signature(node: nodes.Node, level: int) -> str:
    text = " ".join(node.astext().split())
    return f"{_anchored(node)}{'#' * min(level + 1, 6)} `{text}`\n\n"


def _table(node: nodes.Node, level: int) -> str:
    rows = [
        [_inline_of(entry, level).replace("|", r"\|") for entry in row.children]
        for row in node.findall(nodes.row)
    ]
    if not rows:
        return ""
    head, *body = rows
    lines = [head, ["---"] * len(head), *body]
    return _anchored(node) + "\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines) + "\n"


def _inline_of(entry: nodes.Node, level: int) -> str:
    return " ".join(_blocks(entry, level).split())


def _nothing(_node: nodes.Node, _level: int) -> str:
    return ""


_KINDS: dict[type | tuple[type, ...], Callable[[nodes.Node, int], str]] = {
    (nodes.comment, nodes.target, nodes.system_message, addnodes.index, nodes.raw): _nothing,
    nodes.section: _section,
    nodes.title: _title,
    (nodes.literal_block, nodes.doctest_block): _code,
    (nodes.paragraph, nodes.rubric, addnodes.compact_paragraph): _paragraph,
    (nodes.bullet_list, nodes.enumerated_list): _list,
    nodes.definition_list: _definitions,
    addnodes.desc_signature: _signature,
    addnodes.desc_content: lambda node, level: _blocks(node, level + 1),
    nodes.table: _table,
}
