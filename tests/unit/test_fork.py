"""The fork rule: objects are renewed in a child, or suspended across the fork, and kept alive by nothing."""

from __future__ import annotations

import re
import weakref
from pathlib import Path

import pytest
from support.forks import forks, in_child

import foundry_rest
from foundry_rest.transport.fork import renew_after_fork, suspend_across_fork

PACKAGE = Path(foundry_rest.__file__).parent
#: How a module would have a fork rule of its own.
OWN_RULE = re.compile(r"\bgetpid\b|\bregister_at_fork\b")
#: Modules that only report the process id: the fault server does in the status that it answers.
REPORTING = {"testing/server.py"}


class Item:
    """An object that notes in which order it is called."""

    def __init__(self, name, calls):
        self.name, self.calls = name, calls

    def renew(self):
        """Note a renewal."""
        self.calls.append(f"renew {self.name}")

    def suspend(self):
        """Note the time before a fork."""
        self.calls.append(f"suspend {self.name}")

    def resume(self):
        """Note the time after a fork."""
        self.calls.append(f"resume {self.name}")


@pytest.fixture
def calls():
    """Every call of an item, in order."""
    return []


def expect(calls, *wanted):
    """Return a check that a child can run: an exception makes its exit code 1."""

    def check():
        assert calls == [*wanted]

    return check


@forks
def test_items_are_renewed_in_the_child_in_their_order(calls):
    """A child renews each item, the first registered first, before other code runs; the parent does not."""
    items = [Item(name, calls) for name in "abc"]
    for item in items:
        renew_after_fork(item)

    assert in_child(expect(calls, "renew a", "renew b", "renew c")) == 0
    assert calls == []


@forks
def test_items_are_renewed_in_a_grandchild_again(calls):
    """A child that forks renews its items for its own child."""
    item = Item("a", calls)
    renew_after_fork(item)

    def fork_again():
        assert in_child(expect(calls, "renew a", "renew a")) == 0

    assert in_child(fork_again) == 0


@forks
def test_items_are_suspended_across_a_fork(calls):
    """An item is suspended before the fork, and resumed in the parent and in the child."""
    item = Item("a", calls)
    suspend_across_fork(item)

    assert in_child(expect(calls, "suspend a", "resume a")) == 0
    assert calls == ["suspend a", "resume a"]


@forks
def test_a_suspended_item_may_be_registered_meanwhile(calls):
    """An item that is registered while another is suspended waits for the next fork."""
    late = Item("late", calls)
    first = Item("first", calls)
    first.suspend = lambda: suspend_across_fork(late)
    suspend_across_fork(first)

    assert in_child(expect(calls, "resume first")) == 0
    assert calls == ["resume first"]


@forks
@pytest.mark.parametrize("register", [renew_after_fork, suspend_across_fork])
def test_dropped_items_are_forgotten(calls, register):
    """Being registered keeps nothing alive, and what is gone is not called."""
    item = Item("a", calls)
    register(item)
    gone = weakref.ref(item)
    del item

    assert gone() is None
    assert in_child(expect(calls)) == 0


def test_there_is_no_other_fork_rule():
    """Only ``transport/fork`` learns of forks; ``runtime`` compares process ids for its child's owner."""
    texts = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in PACKAGE.rglob("*.py")}
    asking = {path for path, text in texts.items() if OWN_RULE.search(text)}
    elsewhere = {path for path in asking if not path.startswith("runtime/")}

    assert elsewhere == {"transport/fork.py", *REPORTING}
