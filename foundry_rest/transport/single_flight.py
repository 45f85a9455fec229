"""Single flight: of threads that need the same work one does it, and the others share its result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, TypeVar

from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken, wait_for
from foundry_rest.transport.fork import renew_after_fork

T = TypeVar("T")


class _Flight:
    """One piece of work and the threads that wait for it."""

    def __init__(self) -> None:
        self.results: list[Any] = []
        self._lock = threading.Lock()
        self._waiting: list[threading.Event] = []
        self._has_landed = False

    def join(self, woken: threading.Event) -> None:
        """Set the event when the work is over."""
        with self._lock:
            if not self._has_landed:
                self._waiting.append(woken)
                return
        woken.set()

    def land(self) -> None:
        """Wake every waiting thread."""
        with self._lock:
            self._has_landed = True
        for woken in self._waiting:
            woken.set()


class SingleFlight:
    """The work under way, by key.

    No lock is held during the work. When the working thread fails, one of the waiting threads does the work
    itself, because an error belongs to the call that got it.

    Args:
        closing: Ends every wait, in addition to each call's own token.
    """

    def __init__(self, closing: CancelToken | None = None) -> None:
        self._closing = closing or CancelToken()
        self.renew()
        renew_after_fork(self)

    def run(self, key: str, options: Options, work: Callable[[], T], doing: str = "loads the model") -> T:
        """Return the result of ``work``, done here or by the thread that does it already.

        Raises:
            DeadlineExceeded: The other thread took longer than this call may.
            Cancelled: This call was ended from elsewhere.
        """
        mine = _Flight()
        while True:
            first = self._under_way.setdefault(key, mine)
            if first is mine:
                return self._lead(key, mine, work)
            woken = threading.Event()
            first.join(woken)
            wait_for(woken, options.until, options.tokens(self._closing), f"another thread that {doing}")
            if first.results:
                result: T = first.results[0]
                return result

    def _lead(self, key: str, mine: _Flight, work: Callable[[], T]) -> T:
        try:
            result = work()
            mine.results.append(result)
        finally:
            self._under_way.pop(key, None)
            mine.land()
        return result

    def renew(self) -> None:
        """Forget the parent's work in a forked child, where its threads never finish."""
        self._under_way: dict[str, _Flight] = {}
