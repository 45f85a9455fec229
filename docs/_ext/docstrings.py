"""Docstrings as reStructuredText: what is under ``Args:``, ``Attributes:``, ``Raises:``, ``Options:``.

Each argument is shown with its type as it is written in the source; names that a page of the reference
explains become links.
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator, Mapping
from pydoc import locate
from typing import Any

from public import documented
from sphinx.application import Sphinx

TITLES = {
    "Args": "Arguments",
    "Attributes": "Attributes",
    "Raises": "Raises",
    "Returns": "Returns",
    "Example": "Example",
}
_SECTION = re.compile(rf"({'|'.join(TITLES)}):")
_ENTRY = re.compile(r" {4}(\*{0,2}[\w., ]+): (.*)")
#: Names of classes: a function of ours may have the name of somebody's argument.
_LITERAL = re.compile(r"``(?:foundry_rest\.(?:\w+\.)*)?([A-Z]\w+)``")
_PAGE = re.compile(r"\bdocs/([\w/-]+)\.md\b")
_NAME = re.compile(r"[a-z]\w+")
_OURS = re.compile(r"^(foundry_rest|builtins)\..*?(?=\w+$)")
#: Values that programs get and do not make: their fields are listed, a signature says nothing more.
_RESULTS = (
    "foundry_rest.schema.",
    "foundry_rest.events.",
    "foundry_rest.ops.",
    "foundry_rest.errors.",
)
_MADE = ("Settings", "BatchRequest", "Tool")


def sections(lines: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield (title, lines) of a docstring's sections; the text before the first has the title ``""``."""
    title, found = "", list[str]()
    for line in lines:
        heading = _SECTION.fullmatch(line)
        if heading or line.startswith("Options: ") or (line and not line.startswith(" ") and title):
            yield title, found
            title = heading[1] if heading else "Options" if line.startswith("Options: ") else ""
            found = []
            if heading:
                continue
        found.append(line)
    yield title, found


def types_of(obj: Any) -> dict[str, str]:
    """Return the types of a function's arguments or a class's attributes, as the source writes them."""
    if inspect.isclass(obj):
        found = {name: kind for cls in reversed(obj.__mro__) for name, kind in _annotations(cls).items()}
        return types_of(obj.__init__) | found if "__init__" in vars(obj) else found
    parameters = inspect.signature(obj).parameters.values() if callable(obj) else ()
    return {each.name: each.annotation for each in parameters if isinstance(each.annotation, str)}


def _annotations(cls: type) -> dict[str, str]:
    kinds = vars(cls).get("__annotations__", {}).items()
    texts = {name: getattr(kind, "__forward_arg__", kind) for name, kind in kinds}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def entries(lines: list[str]) -> list[tuple[str, list[str]]]:
    """Return (name, lines of text) for each entry of a section."""
    found: list[tuple[str, list[str]]] = []
    for line in lines:
        entry = _ENTRY.fullmatch(line)
        if entry:
            found.append((entry[1], [entry[2]]))
        elif found:
            found[-1][1].append(line.strip())
    return found


def listed(lines: list[str], types: dict[str, str]) -> Iterator[str]:
    """Yield a definition list of the entries of a section."""
    for name, text in entries(lines):
        kind = types.get(name.lstrip("*"), "")
        yield f"``{name}``" + (f" : ``{kind}``" if kind and "Unpack[" not in kind else "")
        yield from (f"    {line}" for line in text)
        yield ""


def options(lines: list[str]) -> Iterator[str]:
    """Yield the paragraph of the options; their names are literals, the word leads to their tables."""
    text = " ".join(line.strip() for line in lines).strip()
    names, _, parameters = text.removeprefix("Options: ").partition(" Parameters: ")
    for ref, title, given in (
        ("call-options", "Options", names),
        ("request-parameters", "Parameters", parameters),
    ):
        if given:
            names_shown = _NAME.sub(r"``\g<0>``", given)
            yield f":ref:`{title} <{ref}>`: {names_shown}"
            yield ""


def linked(line: str, itself: str, around: Mapping[str, object]) -> str:
    """Return a line in which the names of the reference are links, and those of pages.

    Args:
        line: One line of a docstring.
        itself: What the docstring explains.
        around: The names of its module: what has another meaning there is no link.
    """

    def link(found: re.Match[str]) -> str:
        place = documented().get(found[1])
        if not place or place == itself or around.get(found[1], locate(place)) is not locate(place):
            return found[0]
        return f":py:obj:`{found[1]} <{place}>`"

    if line.lstrip().startswith((">>>", "...")):
        return line
    return _PAGE.sub(r":doc:`/\1`", _LITERAL.sub(link, line))


def rewrite(_app: Sphinx, _what: str, name: str, obj: Any, _options: object, lines: list[str]) -> None:
    """Replace a docstring's lines."""
    types = types_of(obj)
    result = (
        [f"A {_bases(obj)}.", ""]
        if inspect.isclass(obj) and issubclass(obj, Exception) and _bases(obj)
        else []
    )
    for title, body in sections(lines):
        if title == "Options":
            result += options(body)
        elif title in ("Args", "Attributes", "Raises"):
            result += [
                f"**{TITLES[title]}**",
                "",
                *listed(body, types),
            ]
        elif title:
            result += [f"**{TITLES[title]}**", "", *inspect.cleandoc("\n".join(["", *body])).splitlines(), ""]
        else:
            result += [*body, ""]
    around = vars(sys.modules.get(str(getattr(obj, "__module__", "")), inspect))
    lines[:] = [linked(line, name, around) for line in result]


def _bases(error: type) -> str:
    names = [f"{base.__module__}.{base.__name__}" for base in error.__bases__ if base is not Exception]
    return " and a ".join(f"``{_OURS.sub('', name)}``" for name in names)


def signature(
    _app: Sphinx, what: str, _name: str, obj: Any, _options: object, given: str | None, _returns: str | None
) -> tuple[str, str] | None:
    """Leave out the signature of what no program makes."""
    if not given or what not in ("class", "exception"):
        return None
    is_made = obj.__name__.endswith(_MADE) or not f"{obj.__module__}.".startswith(_RESULTS)
    return None if is_made else ("", "")


def is_left_out(
    _app: Sphinx,
    _what: str,
    name: str,
    obj: Any,
    skip: bool,
    _options: object,
) -> bool | None:
    """Leave out what a class has of other packages, such as an exception's ``args``."""
    module = getattr(obj, "__module__", None) or getattr(getattr(obj, "fget", None), "__module__", None)
    return True if skip or not str(module).startswith("foundry_rest") else None


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the hooks."""
    app.connect("autodoc-process-docstring", rewrite)
    app.connect("autodoc-process-signature", signature)
    app.connect("autodoc-skip-member", is_left_out)
    return {"parallel_read_safe": True}
