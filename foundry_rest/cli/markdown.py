"""Markdown drawn on a terminal while it comes.

What is finished (a paragraph, a list, a block of code) is printed for good, with its words wrapped; what
still grows is drawn anew below it, the last lines that fit on the screen.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from markdown_it import MarkdownIt
from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.markdown import Markdown
from rich.segment import Segment

from foundry_rest.control_characters import visible

#: Redraws in a second of what still grows.
_REDRAWS = 10
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
#: Tags as text: rich leaves them out, and with them a part of the answer.
_PARSER = MarkdownIt("commonmark", {"html": False}).enable(["strikethrough", "table"])


@contextmanager
def drawn(console: Console | None = None) -> Iterator[Callable[[str], None]]:
    """Give a function that draws a piece of the answer; at the end all of it is on the terminal."""
    drawing = _Drawing(console or Console())
    try:
        with drawing.live:
            yield drawing.write
    finally:
        drawing.finish()


def finished_blocks(text: str) -> tuple[list[str], str]:
    """Return the blocks of a text that nothing can change any more, and the rest.

    A block ends at an empty line that is in no code and before a line that is not indented, which could
    belong to a list.
    """
    blocks, begin, fence, is_gap = [], 0, "", False
    at = 0
    for line in text.splitlines(keepends=True):
        if is_gap and not fence and line.strip() and line[0] not in " \t":
            blocks.append(text[begin:at])
            begin = at
        fence = _fence_after(line, fence)
        is_gap = not line.strip() and line.endswith("\n")
        at += len(line)
    return blocks, text[begin:]


def end_of(text: str, most: int) -> str:
    """Return the last lines of a text, behind its fence if it is code; all of a long one takes a second."""
    lines = text.splitlines(keepends=True)
    if len(lines) <= most + 1:
        return text
    head = lines[:1] if _FENCE.match(lines[0]) else []
    return "".join([*head, *lines[-most:]])


def _fence_after(line: str, fence: str) -> str:
    """Return the fence of the code in which the next line is; ``""`` for none."""
    found = _FENCE.match(line)
    if found is None:
        return fence
    if not fence:
        return found[1]
    closes = found[1].startswith(fence) and not line[found.end() :].strip()
    return "" if closes else fence


def markdown(text: str) -> Markdown:
    """Return a text as what rich draws: colours of the terminal, addresses of links to be seen."""
    made = Markdown("", code_theme="ansi_dark", hyperlinks=False)
    made.parsed = _PARSER.parse(visible(text))
    return made


class _Drawing:
    """What is on the terminal of one answer."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.live = Live(
            console=console,
            refresh_per_second=_REDRAWS,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._rest, self._has_printed = "", False

    def write(self, text: str) -> None:
        """Take a piece of the answer."""
        is_at_line = "\n" in text or self._rest.endswith("\n")
        self._rest += text
        blocks: list[str] = []
        if is_at_line:  # only there can a block end
            blocks, self._rest = finished_blocks(self._rest)
        if blocks:
            self.live.update("")  # else what is printed would still be drawn below itself
        for block in blocks:
            self._print(block)
        most = max(1, self._console.size.height - 3)
        self.live.update(_Lines(self._rest, most, after=self._has_printed))

    def finish(self) -> None:
        """Print the rest for good."""
        self._print(self._rest)
        self._rest = ""

    def _print(self, block: str) -> None:
        if block.strip():
            self._console.print(_Lines(block, after=self._has_printed), end="")
            self._has_printed = True


class _Lines:
    """The lines of a text without the empty ones around it, which rich leaves of different numbers.

    Args:
        text: Markdown.
        most: How many of them, the last; ``None`` for all.
        after: Put one empty line before them.
    """

    def __init__(self, text: str, most: int | None = None, *, after: bool) -> None:
        self._text, self._most, self._after = text, most, after
        self._drawn: list[Segment] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._drawn is None:  # a redraw of the same text costs nothing
            self._drawn = list(self._segments(console, options))
        yield from self._drawn

    def _segments(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        text = self._text if self._most is None else end_of(self._text, self._most)
        lines = [_without_end(line) for line in console.render_lines(markdown(text), options, pad=False)]
        full = [at for at, line in enumerate(lines) if line]
        if not full:
            return
        if self._after:
            yield Segment.line()
        for line in lines[full[0] : full[-1] + 1][-(self._most or 0) :]:
            yield from line
            yield Segment.line()


def _without_end(line: list[Segment]) -> list[Segment]:
    """Return a line without the blanks that fill it, which would be in every copy of it."""
    while line and not line[-1].text.strip():
        line = line[:-1]
    return [*line[:-1], Segment(line[-1].text.rstrip(), *line[-1][1:])] if line else []
