"""Markdown drawn while it comes: blocks that are finished, and nothing lost or obeyed."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest

from foundry_rest.cli.answer_output import as_it_comes, is_drawable

TEXT = """# Title

Some **bold** and `code`,
in two lines.

1. one

   more of it
2. two

~~~python
a = 1

b = 2
~~~

| a | b |
|---|---|
| 1 | 2 |

<b>tag</b> and [link](https://example.org/a)

The end."""


@pytest.fixture
def markdown():
    """Return the module; it needs rich."""
    pytest.importorskip("rich.console")
    from foundry_rest.cli import markdown

    return markdown


@pytest.fixture
def draw(markdown):
    """Return a function that draws pieces and gives what is on the terminal in the end, without colours."""
    from rich.console import Console

    def drawn(pieces, width=40):
        written = io.StringIO()
        # No terminal: what is drawn anew is left out, what is printed for good is seen.
        console = Console(file=written, width=width, force_terminal=False)
        with markdown.drawn(console) as write:
            for piece in pieces:
                write(piece)
        return written.getvalue()

    return drawn


def test_blocks(markdown):
    """Blocks end at empty lines, but not within code or a list; nothing of the text is lost."""
    blocks, rest = markdown.finished_blocks(TEXT)

    assert "".join(blocks) + rest == TEXT
    assert [block.split()[0] for block in blocks] == ["#", "Some", "1.", "~~~python", "|", "<b>tag</b>"]
    assert rest == "The end."


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_pieces_do_not_matter(draw, size):
    """However the answer is cut into pieces, the same is on the terminal in the end."""
    pieces = [TEXT[at : at + size] for at in range(0, len(TEXT), size)]
    assert draw(pieces) == draw([TEXT])


def test_drawn(draw):
    """Words are wrapped, marks are gone, tags and addresses are seen; one empty line between blocks."""
    text = draw([TEXT])

    for said in (
        "Some bold and code, in two lines.",
        "a = 1\n\n",
        "<b>tag</b> and link",
        "(https://example.org/a)",
    ):
        assert said in text
    assert "**" not in text
    assert "\n\n\n" not in text
    assert not any(line != line.rstrip() for line in text.splitlines())
    assert max(map(len, draw(["word " * 50]).splitlines())) <= 40


def test_control_characters_are_shown(draw):
    """What a terminal would obey is shown."""
    assert "\\x1b[31mred" in draw(["\x1b[3", "1mred"])


@pytest.mark.parametrize("text", ["", "\n\n", "   "])
def test_nothing(draw, text):
    """An answer without words leaves nothing."""
    assert draw([text]) == ""


def test_error_within(markdown):
    """What came before an error is drawn for good."""
    from rich.console import Console

    written = io.StringIO()
    with suppress(KeyboardInterrupt), markdown.drawn(Console(file=written)) as write:
        write("Half an ans")
        raise KeyboardInterrupt
    assert written.getvalue() == "Half an ans\n"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("a\nb\nc", "a\nb\nc"),
        ("a\nb\nc\nd\n", "c\nd\n"),
        ("```py\nb\nc\nd", "```py\nc\nd"),
        ("", ""),
    ],
)
def test_end(markdown, text, end):
    """Of what still grows only the end is drawn; code stays code."""
    assert markdown.end_of(text, 2) == end


def test_tail_that_is_higher_than_the_screen(markdown):
    """What still grows is drawn by its last lines, so that no line leaves the screen and stays there."""
    from rich.console import Console

    lines = markdown._Lines("```\n" + "\n".join(map(str, range(99))), 5, after=False)
    console = Console(file=io.StringIO(), width=40)
    with console.capture() as captured:
        console.print(lines)
    assert captured.get().split() == ["94", "95", "96", "97", "98"]


@pytest.mark.parametrize(
    ("stream", "drawable"),
    [
        ((True, "utf-8", "xterm"), True),
        ((True, "UTF8", ""), True),
        ((False, "utf-8", "xterm"), False),
        ((True, "ascii", "xterm"), False),
        ((True, "utf-8", "dumb"), False),
    ],
)
def test_where_it_is_drawn(markdown, stream, drawable):
    """Only on a terminal that has the letters and can draw."""
    assert is_drawable(*stream) is drawable


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [(["a ", "b"], "a b\n"), (["a\n"], "a\n"), (["a\n", ""], "a\n"), ([""], ""), ([], "")],
)
def test_as_it_comes(capsys, pieces, shown):
    """Without drawing the pieces are printed as they are, and the last line is ended."""
    with as_it_comes() as write:
        for piece in pieces:
            write(piece)
    assert capsys.readouterr().out == shown
