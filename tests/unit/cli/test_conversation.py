"""A conversation: what is in it, and that its records tell the same."""

from __future__ import annotations

import pytest

from foundry_rest.cli.conversation import Conversation


def asked(text):
    """Return a question."""
    return {"role": "user", "content": text}


def said(text):
    """Return an answer."""
    return {"role": "assistant", "content": text}


@pytest.fixture
def kept():
    """Return what a conversation had kept."""
    return []


@pytest.fixture
def talk(kept):
    """Return a conversation that is kept."""
    return Conversation(keep=kept.extend)


STEPS = {
    "nothing": lambda talk: None,
    "a turn": lambda talk: talk.add(asked("a"), said("b")),
    "two turns": lambda talk: (talk.add(asked("a"), said("b")), talk.add(asked("c")), talk.add(said("d"))),
    "taken back": lambda talk: (
        talk.add(asked("a"), said("b")),
        talk.add(asked("c"), said("d")),
        talk.take_back(),
    ),
    "cleared": lambda talk: (talk.add(asked("a"), said("b")), talk.clear(), talk.add(asked("c"))),
    "settings": lambda talk: (
        talk.change(model="m", system="s"),
        talk.add(asked("a")),
        talk.change(system=None),
    ),
}


@pytest.mark.parametrize("name", STEPS)
def test_records_tell_the_same(talk, kept, name):
    """A conversation made from the records of another one has its settings and its messages."""
    STEPS[name](talk)
    again = Conversation(kept)

    assert (again.model, again.system, again.messages) == (talk.model, talk.system, talk.messages)


def test_settings_alone_are_not_kept(talk, kept):
    """A setting is kept with the next question, so that a talk without any leaves nothing."""
    talk.change(model="m")
    assert not kept
    talk.add(asked("a"))
    assert kept == [{"model": "m"}, asked("a")]


def test_taken_back(talk):
    """The last question goes with all that answered it, calls of tools too."""
    assert talk.take_back() is None
    talk.add(asked("a"), said("b"), asked("c"), {"role": "tool", "content": "1"}, said("d"))
    assert talk.take_back() == "c"
    assert talk.messages == [asked("a"), said("b")]
    assert talk.questions == ["a"]


def test_answered(talk):
    """Only a question without anything behind it has no answer."""
    assert talk.is_answered
    talk.add(asked("a"))
    assert not talk.is_answered
    talk.add(said("b"))
    assert talk.is_answered


@pytest.mark.parametrize(
    "record",
    [
        {},
        {"dropped": "all"},
        {"dropped": 99},
        {"dropped": -1},
        {"later": 1},
        {"role": "user"},
        {"role": 5, "content": "x"},
        {"model": 3},
    ],
)
def test_records_of_others(record):
    """A record that another version wrote, or a wrong one, breaks nothing."""
    made = Conversation([asked("a"), record])
    assert made.messages in ([asked("a")], [])
    assert made.model is None
    assert made.take_back() in ("a", None)
