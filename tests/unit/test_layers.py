"""The package keeps its layers and the bounds of its files (docs/explanation/architecture.md, section 2).

Every check takes parsed sources and gives complaints, so that the same check is run on the package and
on small bad samples: a check that cannot complain proves nothing.
"""

from __future__ import annotations

import ast
import itertools
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROOT = Path(__file__).parents[2]
PACKAGE = "foundry_rest"

#: Lowest first. A module belongs to the longest name that is its own or a parent's; "" is the package itself.
ROWS = (
    (
        *("clock", "values", "raw_json", "private_files", "file_lock", "control_characters", "version"),
        *("errors", "checks", "schema", "timeouts", "config", "events"),
    ),
    ("transport",),
    ("transport.session", "resilience", "cache", "observe", "testing"),
    ("dialects", "stream"),
    ("models", "services"),
    ("endpoints", "runtime", "services.discovery"),
    ("client",),
    ("batch", "ops", "adapter", "aio", "testing.plugin"),
    ("cli", "__main__", ""),
)
ROW_OF = {name: row for row, names in enumerate(ROWS) for name in names}
#: The row whose members may not import each other.
NEIGHBOURS = 2
#: What is imported from outside -> the only modules (and what lies below them) that may do so.
IMPORTERS = {
    "requests": ("transport.session", "client.adapter"),
    "requests.exceptions": ("transport.session", "client.adapter", "errors"),
    "pybreaker": ("resilience.breaker.pybreaker_adapter",),
    "backoff": ("resilience",),
    "foundry_local_sdk": ("runtime",),
    "time": ("clock", "testing", "cli"),
}
LONGEST_FUNCTION, LONGEST_FILE = 50, 300
MEDIAN_FUNCTION, MOST_FUNCTIONS = 7, 25

Function = (ast.FunctionDef, ast.AsyncFunctionDef)


@dataclass(frozen=True)
class Source:
    """One file: its place in the tree, its dotted name below the package, and its text."""

    path: str
    text: str

    @cached_property
    def tree(self) -> ast.Module:
        """The parsed text."""
        return ast.parse(self.text)

    @cached_property
    def parts(self) -> list[str]:
        """The dotted name in pieces, with ``__init__`` still there."""
        return self.path.removesuffix(".py").split("/")[1:]

    @cached_property
    def name(self) -> str:
        """The dotted name below the package: ``transport.call``."""
        return ".".join(part for part in self.parts if part != "__init__")

    @cached_property
    def imports(self) -> list[ast.Import | ast.ImportFrom]:
        """Every import that runs."""
        unseen = {id(node) for node in _type_checking(self.tree)}
        nodes = (node for node in ast.walk(self.tree) if isinstance(node, (ast.Import, ast.ImportFrom)))
        return [node for node in nodes if id(node) not in unseen]

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        """Every function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


@cache
def sources(*folders: str) -> list[Source]:
    """Return every Python file below folders of the project, each read and parsed once."""
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [Source(path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in paths]


def below(name: str, *parents: str) -> bool:
    """Tell whether a dotted name is one of these, or lies below one."""
    return any(name == parent or name.startswith(parent + ".") for parent in parents)


def row_of(name: str) -> int | None:
    """Return the row of a module; ``None`` for one that is in no row."""
    while name and name not in ROW_OF:
        name = name.rpartition(".")[0]
        if not name:
            return None
    return ROW_OF[name]


def imports(source: Source, known: set[str]) -> Iterator[tuple[str, int]]:
    """Yield (absolute dotted name, line) of each import that runs; late imports too, TYPE_CHECKING's not."""
    for node in source.imports:
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        else:
            base = _base(source, node)
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                ours = below(base, PACKAGE)
                yield (whole if not ours or whole in known else base), node.lineno


def _type_checking(tree: ast.Module) -> Iterator[ast.AST]:
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).rpartition(".")[2] == "TYPE_CHECKING":
            for statement in node.body:
                yield from ast.walk(statement)


def _base(source: Source, node: ast.ImportFrom) -> str:
    """Return what `from ... import` names, made absolute."""
    if not node.level:
        return node.module or ""
    here = [PACKAGE, *source.parts][: -node.level]
    return ".".join([*here, *([node.module] if node.module else [])])


def inner_imports(files: list[Source]) -> Iterator[tuple[Source, str, int]]:
    """Yield (file, name below the package, line) of each import of the package's own modules."""
    known = {f"{PACKAGE}.{source.name}" for source in files}
    for source in files:
        for target, line in imports(source, known):
            if below(target, PACKAGE):
                yield source, target[len(PACKAGE) + 1 :], line


def rows(files: list[Source]) -> Iterator[str]:
    """A module imports only from lower rows, or from its own row."""
    for source in files:
        if row_of(source.name) is None:
            yield f"{source.path}: {source.name} is in no row; add it to ROWS and to the page on architecture"
    for source, target, line in inner_imports(files):
        mine, other = row_of(source.name), row_of(target)
        if mine is not None and other is not None and other > mine:
            yield f"{source.path}:{line}: row {mine} imports row {other} ({target or PACKAGE})"


def neighbours(files: list[Source]) -> Iterator[str]:
    """The members of row 2 do not import each other."""
    for source, target, line in inner_imports(files):
        apart = source.name.split(".")[0] != target.split(".")[0]
        if apart and row_of(source.name) == row_of(target) == NEIGHBOURS:
            yield f"{source.path}:{line}: {source.name} imports its neighbour {target}"


def cycles(files: list[Source]) -> Iterator[str]:
    """No import leads from a folder back to it."""
    edges: dict[str, set[str]] = {}
    for source, target, _ in inner_imports(files):
        here, there = source.name.split(".")[0], target.split(".")[0]
        if here and there and here != there:
            edges.setdefault(here, set()).add(there)
    for folder in sorted(edges):
        way = _way_back(edges, folder)
        if way:
            yield f"{PACKAGE}/{folder}: imports lead back to it: {' -> '.join([folder, *way])}"


def _way_back(edges: dict[str, set[str]], start: str) -> list[str]:
    """Return the folders on a way from one back to itself, the last being that one; none for no way."""
    ways, seen = [[there] for there in edges.get(start, ())], set()
    while ways:
        way = ways.pop(0)
        if way[-1] == start:
            return way
        if way[-1] not in seen:
            seen.add(way[-1])
            ways += [[*way, there] for there in sorted(edges.get(way[-1], ()))]
    return []


def importers(files: list[Source]) -> Iterator[str]:
    """Each library that decides something is imported in one place."""
    for source in files:
        for target, line in imports(source, set()):
            rules = [name for name in IMPORTERS if below(target, name)]
            allowed = IMPORTERS[max(rules, key=len)] if rules else (source.name,)
            if not below(source.name, *allowed):
                yield f"{source.path}:{line}: imports {target}; only {', '.join(allowed)} may"


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Count the lines of a function's body without its docstring."""
    body = node.body[1:] if ast.get_docstring(node) and len(node.body) > 1 else node.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1


def long_functions(files: list[Source]) -> Iterator[str]:
    """No function has more than 50 lines."""
    for source in files:
        for node in source.functions:
            if body_lines(node) > LONGEST_FUNCTION:
                yield f"{source.path}:{node.lineno}: {node.name} has {body_lines(node)} lines"


def usual_functions(files: list[Source]) -> Iterator[str]:
    """The median function has at most 7 lines, and 90 % have at most 25."""
    lengths = sorted(body_lines(node) for source in files for node in source.functions)
    if not lengths:
        return
    if median(lengths) > MEDIAN_FUNCTION:
        yield f"the median of {len(lengths)} functions is {median(lengths):g} lines"
    short = sum(length <= MOST_FUNCTIONS for length in lengths) / len(lengths)
    if short < 0.9:
        yield f"only {short:.0%} of {len(lengths)} functions have at most {MOST_FUNCTIONS} lines"


def long_files(files: list[Source]) -> Iterator[str]:
    """No file has more than 300 lines."""
    for source in files:
        lines = len(source.text.splitlines())
        if lines > LONGEST_FILE:
            yield f"{source.path}: {lines} lines"


def public_docstrings(files: list[Source]) -> Iterator[str]:
    """Every public module, class, function and method says what it does."""
    for source in files:
        if source.parts[-1].startswith("_") and source.parts[-1] != "__init__":
            continue
        if not ast.get_docstring(source.tree):
            yield f"{source.path}: no docstring"
        for name, node in _public(source.tree):
            if not ast.get_docstring(node):
                yield f"{source.path}:{node.lineno}: {name} has no docstring"


def _public(parent: ast.Module | ast.ClassDef, prefix: str = "") -> Iterator[tuple[str, ast.AST]]:
    for node in parent.body:
        if not isinstance(node, (*Function, ast.ClassDef)) or node.name.startswith("_") or _extra(node):
            continue
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            yield from _public(node, f"{prefix}{node.name}.")


def _extra(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    """Tell whether this is one more face of a function described elsewhere: an overload, a setter."""
    endings = {ast.unparse(decorator).rpartition(".")[2] for decorator in node.decorator_list}
    return bool(endings & {"overload", "setter", "deleter"})


def rules_of_tests(files: list[Source]) -> Iterator[str]:
    """Every test states the rule that it checks."""
    for source in files:
        classes = (node for node in source.tree.body if isinstance(node, ast.ClassDef))
        for node in itertools.chain(source.tree.body, *(each.body for each in classes)):
            if isinstance(node, Function) and node.name.startswith("test_") and not ast.get_docstring(node):
                yield f"{source.path}:{node.lineno}: {node.name} has no docstring"


CHECKS: list[Callable[[list[Source]], Iterator[str]]] = [
    rows,
    neighbours,
    cycles,
    importers,
    long_functions,
    usual_functions,
    long_files,
    public_docstrings,
]


def sample(files: dict[str, str]) -> list[Source]:
    """Return sources made of {path below the package: text}."""
    return [Source(f"{PACKAGE}/{path}", text) for path, text in files.items()]


def function(lines: int, name: str = "f") -> str:
    """Return the text of a documented function with so many lines of body."""
    return f'def {name}():\n    """Do it."""\n' + "    pass\n" * lines


def lines_of(complaints: Iterable[str]) -> str:
    """Return complaints as a text that pytest shows whole."""
    return "\n".join(complaints)


BAD = [
    (rows, {"errors.py": "import foundry_rest.client", "client.py": ""}, "row 0 imports row 6 (client)"),
    (rows, {"cache.py": "from . import stream", "stream.py": ""}, "row 2 imports row 3 (stream)"),
    (rows, {"stream.py": "def f():\n    from .endpoints.chat import x", "endpoints/chat.py": ""}, "row 5"),
    (rows, {"transport/sse.py": "from .session import x", "transport/session.py": ""}, "(transport.session)"),
    (rows, {"config.py": "from foundry_rest import Client", "__init__.py": ""}, "row 0 imports row 8"),
    (rows, {"helpers.py": ""}, "helpers is in no row"),
    (
        neighbours,
        {"cache.py": "from .resilience import retry", "resilience/retry.py": ""},
        "resilience.retry",
    ),
    (neighbours, {"testing/fake.py": "from ..observe.log import x", "observe/log.py": ""}, "observe.log"),
    (cycles, {"a/b.py": "from foundry_rest.c import d", "c/d.py": "from ..a import b"}, "a -> c -> a"),
    (importers, {"endpoints/chat.py": "import requests"}, "only transport.session, client.adapter"),
    (importers, {"transport/sse.py": "from requests import Session"}, "imports requests.Session"),
    (
        importers,
        {"errors/__init__.py": "from requests import Session"},
        "only transport.session, client.adapter",
    ),
    (importers, {"client.py": "def f():\n    import pybreaker"}, "breaker.pybreaker_adapter may"),
    (importers, {"cache.py": "from backoff import expo"}, "only resilience may"),
    (importers, {"client.py": "import foundry_local_sdk.catalog as c"}, "only runtime may"),
    (importers, {"stream.py": "from time import sleep"}, "only clock, testing, cli may"),
    (long_functions, {"cache.py": function(51)}, "f has 51 lines"),
    (usual_functions, {"cache.py": function(8)}, "median of 1 functions is 8 lines"),
    (usual_functions, {"cache.py": function(1) * 8 + function(26) * 2}, "only 80% of 10 functions"),
    (long_files, {"cache.py": "\n" * 301}, "301 lines"),
    (public_docstrings, {"cache.py": "x = 1"}, "cache.py: no docstring"),
    (public_docstrings, {"cache.py": '"""X."""\nclass A:\n    pass'}, "A has no docstring"),
    (
        public_docstrings,
        {"cache.py": '"""X."""\nclass A:\n    """A."""\n    def f(self): pass'},
        "A.f has no",
    ),
    (rules_of_tests, {"test_x.py": "class TestX:\n    def test_x(self): pass"}, "test_x has no docstring"),
]
GOOD = [
    (rows, {"client.py": "from foundry_rest.errors import X", "errors.py": ""}),
    (rows, {"transport/call.py": "from ..errors import X", "errors/__init__.py": ""}),
    (rows, {"stream.py": "if TYPE_CHECKING:\n    from .client import Client", "client.py": ""}),
    (rows, {"transport/session/body.py": "from foundry_rest.transport import call", "transport/call.py": ""}),
    (neighbours, {"resilience/sender.py": "from . import retry", "resilience/retry.py": ""}),
    (cycles, {"a/b.py": "from foundry_rest.c import d", "c/d.py": "from . import e", "c/e.py": ""}),
    (importers, {"errors/__init__.py": "import requests.exceptions as r\nfrom requests.exceptions import X"}),
    (importers, {"transport/session/body.py": "from requests import Session", "clock.py": "import time"}),
    (importers, {"timeouts.py": "import timeit, requests_toolbelt"}),
    (long_functions, {"cache.py": function(50)}),
    (usual_functions, {"cache.py": function(1) * 9 + function(26)}),
    (usual_functions, {"cache.py": ""}),
    (long_files, {"cache.py": "\n" * 300}),
    (public_docstrings, {"cache.py": '"""X."""\ndef _f(): pass', "_inner.py": "def f(): pass"}),
    (public_docstrings, {"cache.py": '"""X."""\n@typing.overload\ndef f(): ...'}),
    (rules_of_tests, {"test_x.py": "def helper(): pass\ndef test_x():\n    'Rule.'"}),
]


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_package(check):
    """The package leaves no rule of the design."""
    files = sources(PACKAGE)
    complaints = lines_of(check(files))

    assert files
    assert not complaints, f"{check.__doc__}\n{complaints}"


def test_every_test_states_its_rule():
    """Every test function under tests/ has a docstring."""
    assert not lines_of(rules_of_tests(sources("tests")))


@pytest.mark.parametrize(("check", "files", "complaint"), BAD)
def test_check_complains(check, files, complaint):
    """Each check complains about a small bad sample, and says where."""
    assert complaint in lines_of(check(sample(files)))


@pytest.mark.parametrize(("check", "files"), GOOD)
def test_check_is_content(check, files):
    """No check complains about what is allowed."""
    assert not lines_of(check(sample(files)))


def test_every_check_is_tried():
    """No check goes without a bad sample and a good one."""
    known = {*CHECKS, rules_of_tests}

    assert {check for check, *_ in BAD} == {check for check, *_ in GOOD} == known
