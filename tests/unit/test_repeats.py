"""The package says nothing twice: no two runs of ten lines have the same shape.

The shape of a line is its tokens with names, strings and numbers blanked; keywords and operators stay, and
indentation does not matter. Docstrings, comments and imports are left out, and so is every line without a
name or a keyword: closing brackets, and rows of words such as those of ``__all__``.
"""

from __future__ import annotations

import ast
import io
import itertools
import keyword
import textwrap
import tokenize
from collections import defaultdict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PACKAGE = Path(__file__).parents[2] / "foundry_rest"
LENGTH = 10

#: What is left to be mended, by the definitions in which two runs begin. Nothing is added here.
KNOWN: set[tuple[str, str]] = set()

#: What stands for a token. Only names and keywords are letters.
BLANKS = {tokenize.NAME: "name", tokenize.STRING: "''", tokenize.NUMBER: "0"}
SILENT = {tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.COMMENT, tokenize.ENDMARKER}
#: Since Python 3.12 an f-string is more than one token; -1 is no token.
FSTRING_START = getattr(tokenize, "FSTRING_START", -1)
FSTRING_END = getattr(tokenize, "FSTRING_END", -1)

Definition = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)


@dataclass(frozen=True)
class Source:
    """One file: its path below the package, and its text."""

    path: str
    text: str

    @cached_property
    def lines(self) -> list[tuple[int, str]]:
        """The number and the shape of each line that counts."""
        shapes = defaultdict(list)
        for number, blank in itertools.chain.from_iterable(filter(is_code, statements(self.text))):
            shapes[number].append(blank)
        return [(number, " ".join(shape)) for number, shape in shapes.items() if any(map(str.isalpha, shape))]

    @cached_property
    def definitions(self) -> list[tuple[str, int, int]]:
        """Every function and class: its dotted name, its first line and its last."""
        return list(definitions(ast.parse(self.text)))

    def place(self, number: int) -> str:
        """Return what a line belongs to, as ``path:Class.function``."""
        names = [name for name, first, last in self.definitions if first <= number <= last]
        return ":".join([self.path, *names[-1:]])


@dataclass(frozen=True)
class Repeat:
    """Two runs of the same shape: (file, first line, last line) of each, and their length."""

    one: tuple[Source, int, int]
    other: tuple[Source, int, int]
    length: int

    @property
    def key(self) -> tuple[str, str]:
        """The definitions in which the two begin; these outlive a change elsewhere in the file."""
        return self.one[0].place(self.one[1]), self.other[0].place(self.other[1])

    def __str__(self) -> str:
        one, other = (f"{source.path}:{first}-{last}" for source, first, last in (self.one, self.other))
        return f"{one} and {other}: {self.length} lines of the same shape, in {' and '.join(self.key)}"


def statements(text: str) -> Iterator[list[tuple[int, str]]]:
    """Yield each logical line as its tokens: (number of the line, what stands for the token)."""
    tokens, depth = [], 0
    for kind, string, (number, _), *_ in tokenize.generate_tokens(io.StringIO(text).readline):
        if kind == tokenize.NEWLINE:
            yield tokens
            tokens = []
        elif kind == FSTRING_START:
            tokens += [(number, BLANKS[tokenize.STRING])] if not depth else []
            depth += 1
        elif kind == FSTRING_END:
            depth -= 1
        elif not depth and kind not in SILENT:
            tokens.append((number, string if keyword.iskeyword(string) else BLANKS.get(kind, string)))


def is_code(statement: list[tuple[int, str]]) -> bool:
    """Tell whether a logical line is neither prose nor an import."""
    blanks = [blank for _, blank in statement]
    return set(blanks) != {BLANKS[tokenize.STRING]} and blanks[0] not in {"from", "import"}


def definitions(node: ast.AST, outer: str = "") -> Iterator[tuple[str, int, int]]:
    """Yield (dotted name, first line, last line) of each function and class, the outer before the inner."""
    for child in ast.iter_child_nodes(node):
        name = outer
        if isinstance(child, Definition):
            name = f"{outer}.{child.name}".lstrip(".")
            yield name, min([child.lineno, *(each.lineno for each in child.decorator_list)]), child.end_lineno
        if not isinstance(child, ast.expr):
            yield from definitions(child, name)


def pairs(sources: list[Source], length: int) -> Iterator[tuple[int, int, int, int]]:
    """Yield (source, line, source, line), as indices, where two runs begin that are alike and apart."""
    runs = defaultdict(list)
    for index, source in enumerate(sources):
        shapes = [shape for _, shape in source.lines]
        for start in range(len(shapes) - length + 1):
            runs[tuple(shapes[start : start + length])].append((index, start))
    for starts in runs.values():
        for (one, i), (other, j) in itertools.combinations(starts, 2):
            if one != other or j - i >= length:
                yield one, i, other, j


def repeats(sources: Iterable[Source], length: int = LENGTH) -> Iterator[Repeat]:
    """Yield each repeat once, in its whole length."""
    sources = list(sources)
    starts = set(pairs(sources, length))
    for one, i, other, j in sorted(starts):
        if (one, i - 1, other, j - 1) not in starts:
            more = next(n for n in itertools.count(1) if (one, i + n, other, j + n) not in starts)
            count = length + more - 1
            yield Repeat(run(sources[one], i, count), run(sources[other], j, count), count)


def run(source: Source, start: int, count: int) -> tuple[Source, int, int]:
    """Return a run as its file, its first line and its last."""
    return source, source.lines[start][0], source.lines[start + count - 1][0]


def test_package():
    """The package has no repeats but those that are known."""
    sources = [
        Source(path.relative_to(PACKAGE).as_posix(), path.read_text(encoding="utf-8"))
        for path in sorted(PACKAGE.rglob("*.py"))
    ]
    found = [repeat for repeat in repeats(sources) if repeat.key not in KNOWN]

    assert sources
    assert not found, "\n".join(map(str, found))


def code(count: int = LENGTH, name: str = "a", value: str = "1") -> str:
    """Return lines of which no two have the same shape."""
    return "".join(f"{name} = {value}{f' + {value}' * number}\n" for number in range(count))


def among(*texts: str) -> list[Repeat]:
    """Return the repeats among small files."""
    return list(repeats(Source(f"{index}.py", text) for index, text in enumerate(texts)))


ALIKE = {
    "names": (code(), code(name="another_name")),
    "numbers": (code(), code(value="2.5e3")),
    "strings": (code(value="'a'"), code(value='b"c"')),
    "f-strings": (code(value="'a'"), code(value="f'{a!r} {b:{c}} {d(1)}'")),
    "comments and blank lines": (code(), code().replace("\n", "  # why\n\n")),
    "prose": (code(), code().replace("\n", '\n"""What\nit is."""\n')),
    "imports": (code(), code().replace("\n", "\nfrom a import (\n    b,\n)\n")),
    "lines without a name": (code(value="[\n1,\n]"), code(value="[\n'a', 'b',\n'c'\n]")),
    "indentation": (code(), "if a:\n" + textwrap.indent(code(), "    ")),
}
UNLIKE = {
    "nine lines": (code(LENGTH - 1), code(LENGTH - 1)),
    "ten lines with another in between": (code(), code(5) + "a()\n" + code().partition(code(5))[2]),
    "an operator": (code(), code().replace("+", "-")),
    "a keyword": (code(), code(value="None")),
    "a call": (code(), code(value="a()")),
    "rows of words": ("__all__ = [\n" + "    'a',\n" * 30 + "]\n",),
    "imports": ("import a\nfrom a import b\n" * 30,),
    "prose": ('"""' + code() + '"""\n', '"""' + code() + '"""\n'),
    "two runs that overlap": ("a = 1\n" * (2 * LENGTH - 1),),
}


@pytest.mark.parametrize("texts", ALIKE.values(), ids=ALIKE)
def test_alike(texts):
    """Ten lines that differ only in what is blanked or left out are a repeat."""
    assert [repeat.length for repeat in among(*texts)] == [LENGTH]


@pytest.mark.parametrize("texts", UNLIKE.values(), ids=UNLIKE)
def test_unlike(texts):
    """Ten lines are no repeat when anything else differs, nor is what is no code, nor a run and itself."""
    assert not among(*texts)


def test_whole_length():
    """A repeat is told once, in its whole length, by the lines of both files."""
    (repeat,) = among("b()\n" + code(12), "\n" + code(12) + "c(b)\n")

    assert str(repeat) == "0.py:2-13 and 1.py:2-13: 12 lines of the same shape, in 0.py and 1.py"


def test_within_one_file():
    """Two runs in one file are a repeat as well, when they do not overlap."""
    (repeat,) = among("a = 1\n" * 2 * LENGTH)

    assert str(repeat).startswith("0.py:1-10 and 0.py:11-20: ")


def test_every_pair():
    """Three runs are three repeats, so that an entry in KNOWN allows one pair and no third place."""
    assert len(among(code(), code(), code())) == 3


def test_key():
    """A repeat is known by the innermost definitions in which it begins, decorators included."""
    body = textwrap.indent(code(), "        ")
    one = f"class A:\n    @a\n    def f(self):\n{body}"
    other = f"if a:\n    @a\n    def f(self):\n{body}"
    (repeat,) = among(one, other)

    assert repeat.key == ("0.py:A.f", "1.py:f")
