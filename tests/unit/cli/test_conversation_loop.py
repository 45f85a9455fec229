"""A conversation without a terminal: what is read, asked and told, whatever happens in between."""

from __future__ import annotations

import pytest

from foundry_rest.cli.answering import Answered
from foundry_rest.cli.conversation import Conversation
from foundry_rest.cli.conversation_loop import TerminalTalk, read_text
from foundry_rest.errors import ConfigError, StreamInterrupted


def reader(*lines):
    """Return what gives lines, or raises them; then the end."""
    left = iter(lines)

    def read(prompt):
        line = next(left, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    return read


def said(text):
    """Return an answer."""
    return {"role": "assistant", "content": text}


@pytest.fixture
def talk():
    """Return a function that holds a conversation of given lines and answers; gives what was asked."""

    def hold(lines, answers, records=(), fill=lambda text: text):
        conversation, asked, left = Conversation(records), [], iter(answers)

        def answer(talk):
            asked.append([message["content"] for message in talk.messages])
            return next(left)

        TerminalTalk(conversation, answer, reader(*lines), "demo", fill).run()
        return asked, [message["content"] for message in conversation.messages]

    return hold


def test_turns(talk):
    """Each question goes with all that was said; an empty line asks nothing."""
    asked, messages = talk(["a", "", "  ", "b"], [Answered([said("1")]), Answered([said("2")])])
    assert asked == [["a"], ["a", "1", "b"]]
    assert messages == ["a", "1", "b", "2"]


def test_ctrl_c_at_the_prompt(talk, capsys):
    """Ctrl-C where a question is typed tells how to end, and ends nothing."""
    asked, _ = talk([KeyboardInterrupt(), "a"], [Answered([said("1")])])
    assert asked == [["a"]]
    assert "Ctrl-D or /quit ends" in capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), StreamInterrupted("cut off")])
def test_answer_that_ends_early(talk, capsys, error):
    """What came of an answer stays in the talk; a question without any can be asked again."""
    asked, messages = talk(
        ["a", "b", "/retry"], [Answered([said("1")], error), Answered((), error), Answered([said("3")])]
    )
    assert asked == [["a"], ["a", "1", "b"], ["a", "1", "b"]]
    assert messages == ["a", "1", "b", "3"]
    told = capsys.readouterr().err
    assert told.count("(stopped)" if isinstance(error, KeyboardInterrupt) else "cut off") == 2


def test_retry(talk, capsys):
    """`/retry` puts another answer in the place of the last; without a question it says so."""
    asked, messages = talk(["/retry", "a", "/retry"], [Answered([said("1")]), Answered([said("2")])])
    assert asked == [["a"], ["a"]]
    assert messages == ["a", "2"]
    assert "no question to ask again" in capsys.readouterr().err


def test_question_that_was_left(talk, capsys):
    """A kept question that never got its answer is asked by `/retry`, and is in nobody's way."""
    left = [{"role": "user", "content": "a"}, said("1"), {"role": "user", "content": "b"}]
    asked, _ = talk(["/retry"], [Answered([said("2")])], left)
    assert asked == [["a", "1", "b"]]
    assert "/retry asks it again" in capsys.readouterr().err
    assert talk(["c"], [Answered([said("2")])], left)[0] == [["a", "1", "c"]]


def test_commands(talk, capsys):
    """A command is run and asks nothing; what it cannot do is told; `/quit` ends."""
    asked, _ = talk(["/model phi", "/save", "/quit", "never"], [])
    assert asked == []
    told = capsys.readouterr().err
    assert "The model is phi." in told
    assert "foundry-rest: name a file" in told


def test_what_cannot_be_kept(capsys):
    """A question that cannot be kept is told, and the talk goes on."""

    def refuse(_):
        raise ConfigError("the disk is full")

    TerminalTalk(Conversation(keep=refuse), lambda _: Answered(), reader("a"), "demo").run()
    assert "the disk is full" in capsys.readouterr().err


def test_template(talk):
    """What is typed is put into the template; commands are not."""
    asked, _ = talk(["a", "/model"], [Answered([said("1")])], fill=lambda text: f"<{text}>")
    assert asked == [["<a>"]]


def test_no_text(talk, capsys):
    """Bytes that are no text are told, and nothing is asked."""
    broken = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid")
    assert talk([broken], [])[0] == []
    assert "no text" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("lines", "text"),
    [
        (["a"], "a"),
        (['"""a', "b", 'c"""'], "a\nb\nc"),
        (['"""', "a", "", "b", '"""'], "a\n\nb"),
        (['"""a"""'], "a"),
        (['"""a""" '], "a"),
        (['""""""'], ""),
        (['say """'], 'say """'),
        (['"""a\nb"""'], "a\nb"),
    ],
)
def test_text_of_several_lines(lines, text):
    """Three quotes begin a text of several lines and end it; anywhere else they are text."""
    assert read_text(reader(*lines)) == text
