"""The fork rule: what an object that holds a lock or a socket does when the process forks.

A lock that another thread holds at the fork stays locked in the child for ever, a socket that parent and
child share mixes up their answers, and the work of the parent's threads never ends in the child. So every
object that holds one of these registers here once, in one of two ways:

* ``renew_after_fork``, the usual one: ``renew`` is called in every child before other code runs there. It
  replaces locks and forgets sockets; it closes nothing, because the parent goes on using them, but files
  that are locked: the child would keep the lock of a parent that died.
* ``suspend_across_fork``, for what must not exist at the moment of a fork at all, such as an open sqlite
  connection: ``suspend`` is called before the fork, ``resume`` after it in the parent and in the child.

Objects are renewed and suspended in the order in which they registered, and resumed in reverse; they are
forgotten when nothing else refers to them.
"""

from __future__ import annotations

import functools
import itertools
import os
import threading
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

if TYPE_CHECKING:
    from foundry_rest.transport.interfaces import Renewable, Suspendable


class _LivingItems:
    """Registered objects in order, without keeping them alive."""

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._by_number: WeakValueDictionary[int, Any] = WeakValueDictionary()

    def add(self, item: object) -> None:
        """Append an object."""
        self._by_number[next(self._numbers)] = item

    def all(self) -> list[Any]:
        """Return the objects that are still alive."""
        # valuerefs() copies in one step: other threads may register objects meanwhile.
        return [item for reference in self._by_number.valuerefs() if (item := reference()) is not None]


def renew_after_fork(item: Renewable) -> None:
    """Have ``item.renew()`` called in every forked child for as long as the object lives."""
    _renewables().add(item)


def suspend_across_fork(item: Suspendable) -> None:
    """Have ``item.suspend()`` called before every fork and ``item.resume()`` after it on both sides."""
    _suspendables().add(item)


@functools.cache
def _renewables() -> _LivingItems:
    """Return the objects to renew; the first call registers the hook with the interpreter."""
    items = _LivingItems()

    def renew_all() -> None:
        for item in items.all():
            item.renew()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=renew_all)
    return items


@functools.cache
def _suspendables() -> _LivingItems:
    """Return the objects to suspend; the first call registers the hooks with the interpreter."""
    items = _LivingItems()
    suspended: list[Suspendable] = []
    one_fork_at_a_time = threading.Lock()

    def suspend_all() -> None:
        one_fork_at_a_time.acquire()
        for item in items.all():
            item.suspend()
            suspended.append(item)

    def resume_all() -> None:
        while suspended:
            suspended.pop().resume()
        one_fork_at_a_time.release()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(before=suspend_all, after_in_parent=resume_all, after_in_child=resume_all)
    return items
