"""The fork rule: in a forked child everything that holds a lock or a socket begins anew, before other code.

A lock that another thread held at the fork stays locked in the child for ever, a socket that parent and child
share swaps their answers, and what the parent's threads have under way never ends in the child. So whatever
holds one of these names itself here once, and its ``renew`` is called in every child. Nothing is closed
there: the parent goes on using it.
"""

from __future__ import annotations

import functools
import os
from typing import Protocol
from weakref import WeakSet


class Renewable(Protocol):
    """Something that begins anew in a forked child."""

    def renew(self) -> None:
        """Put aside what belongs to the parent, and make it anew; the child has one thread now."""


def renew_after_fork(item: Renewable) -> None:
    """Have ``item.renew()`` called in every forked child for as long as the item lives."""
    _registered().add(item)


@functools.cache
def _registered() -> WeakSet[Renewable]:
    """Return the living items; the first one has the interpreter tell of forks."""
    items: WeakSet[Renewable] = WeakSet()

    def renew_all() -> None:
        for item in list(items):
            item.renew()

    if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
        os.register_at_fork(after_in_child=renew_all)
    return items
