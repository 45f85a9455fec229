"""The bounded window: one function over many items, several at a time, in constant memory."""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from foundry_rest import clock
from foundry_rest.errors import Cancelled
from foundry_rest.transport.fork import renew_after_fork

T = TypeVar("T")
R = TypeVar("R")

#: Items that wait for a free thread, for each thread: nobody idles while the results are being used.
_AHEAD = 2
#: The same where results wait for an earlier one.
_HELD = 16
#: Further items that are read ahead while results are gathered; no more, because each may be large.
_GATHERED = 64
#: Longest silence in seconds before an empty group is given, so that the caller can look at the time.
TICK = 0.2


class _Raised(Exception):
    """What the function raised, on its way to the caller."""


class Window(Generic[T, R]):
    """Threads that call a function with the items of an iterable.

    The iterable is read in the caller's thread. At most a few items for each thread are read ahead.

    Args:
        function: Called with each item.
        items: Read once.
        size: Calls at a time.
        end_calls: Ends the calls under way, which the end of the window waits for.
        ordered: Whether results come in the order of the items, else as they are done.
        gather: Seconds for which more results are waited for when one is there: fewer and larger groups cost
            less. Some more items are read ahead.
    """

    def __init__(
        self,
        function: Callable[[T], R],
        items: Iterable[T],
        size: int,
        *,
        end_calls: Callable[[], object] = lambda: None,
        ordered: bool = False,
        gather: float = 0.0,
    ) -> None:
        self._function, self._items, self._size = function, iter(items), size
        self._end_calls = end_calls
        self._most = size * (_HELD if ordered else _AHEAD) + (_GATHERED if gather else 0)
        self._gather = gather
        self._ordered = ordered
        self._tasks: SimpleQueue[tuple[int, T] | None] = SimpleQueue()
        self._done: SimpleQueue[tuple[int, R | _Raised]] = SimpleQueue()
        self._is_the_parents = False
        renew_after_fork(self)
        self._threads: list[threading.Thread] = []
        self._taken = self._given = 0
        self._is_exhausted = False
        self._early: dict[int, R | _Raised] = {}
        self._failure: _Raised | None = None

    def groups(self) -> Generator[list[R], None, None]:
        """Yield the results that are there, several at a time; an empty list when none came for a moment.

        What the function or the iterable raises is raised here. Closing the iterator ends the calls under
        way, as Ctrl-C does, which is raised in here, too.
        """
        try:
            while self._fill() or self._given < self._taken:
                yield self._take_group()
        finally:
            if not self._is_the_parents:
                self._end()

    def renew(self) -> None:
        """Leave the results to the parent process, which has the threads."""
        self._is_the_parents = True

    def _fill(self) -> bool:
        """Take items while there is room, and none while a result waits: the next item may be slow.

        Where results are gathered nobody waits for one: all the room is filled.
        """
        if self._is_the_parents:
            raise Cancelled("the results belong to the parent process, whose threads make the calls")
        while not self._is_exhausted and self._taken - self._given < self._most:
            try:
                item = next(self._items)
            except StopIteration:
                self._is_exhausted = True
                break
            self._start_thread()
            self._tasks.put((self._taken, item))
            self._taken += 1
            if not self._gather and not self._done.empty():
                break
        return not self._is_exhausted

    def _start_thread(self) -> None:
        if len(self._threads) >= self._size:
            return
        # A copy each: no context may be entered by two threads at once.
        work = partial(contextvars.copy_context().run, self._work)
        thread = threading.Thread(target=work, name="foundry_rest-window", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # A limit of processes: those that run do the work, if there is one.
            if not self._threads:
                raise
            return
        self._threads.append(thread)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            number, item = task
            self._done.put((number, self._failure or self._outcome(item)))

    def _outcome(self, item: T) -> R | _Raised:
        try:
            return self._function(item)
        except BaseException as error:  # noqa: BLE001 (it is raised in the caller's thread)
            # That of all further items, too: nobody would take their results.
            self._failure = _Raised(error)
            return self._failure

    def _take_group(self) -> list[R]:
        pairs = self._wait()
        if self._ordered:
            self._early.update(pairs)
            pairs = []
            while self._given + len(pairs) in self._early:
                number = self._given + len(pairs)
                pairs.append((number, self._early.pop(number)))
        self._given += len(pairs)
        return [_opened(result) for _, result in pairs]

    def _wait(self) -> list[tuple[int, R | _Raised]]:
        """Return the results that are there, or the next one; none after a moment without."""
        pairs: list[tuple[int, R | _Raised]] = []
        with suppress(Empty):
            # In slices, because Windows wakes no wait for Ctrl-C.
            pairs.append(self._done.get(timeout=clock.SLICE or TICK))
            if self._gather:
                clock.sleep(self._gather)
            while True:
                pairs.append(self._done.get_nowait())
        return pairs

    def _end(self) -> None:
        self._end_calls()
        with suppress(Empty):
            while True:
                self._tasks.get_nowait()
        for _ in self._threads:
            self._tasks.put(None)
        for thread in self._threads:
            thread.join()


def _opened(result: R | _Raised) -> R:
    if isinstance(result, _Raised):
        raise result.args[0]
    return result
