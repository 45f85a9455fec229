"""AdaptiveSlots: slots whose number follows the throughput of the calls that hold them."""

from __future__ import annotations

import threading
from collections.abc import Callable

from foundry_rest import clock
from foundry_rest.events import OK, CallFinished, Event
from foundry_rest.resilience.adaptive_limit import ThroughputLimit
from foundry_rest.resilience.concurrency import Slots, Token

#: Calls at a time at first: two cores are full with them, and one core loses nothing.
START = 2
#: Operations that run no model: a load takes minutes and delivers nothing.
_WITHOUT_MODEL = ("models.", "health.")


class AdaptiveSlots(Slots):
    """A semaphore whose size is found out while it is used.

    Args:
        most: Holders at a time at most.
        start: Holders at a time at first.
        fixed: Tells whether the size is not ours to find, and is ``instead`` from then on.
        instead: That size; ``most`` by default.
        longest: Longest wait for a slot in seconds.

    Raises:
        ConfigError: ``most`` or ``start`` is not a whole number above 0.
    """

    def __init__(
        self,
        most: int,
        *,
        start: int = START,
        fixed: Callable[[], bool] = lambda: False,
        instead: int | None = None,
        **more: float,
    ) -> None:
        super().__init__(most, **more)
        self._decision = ThroughputLimit(most, start)
        self._fixed, self._instead = fixed, most if instead is None else min(instead, most)
        self._latest = threading.local()
        self.limit = self._decision.limit

    @property
    def settled(self) -> int:
        """Return the size apart from a try of another one."""
        return self.limit if self._fixed() else self._decision.settled

    def give_back(self, held: list[Token]) -> None:
        """Give a slot back, and note for how long it was held."""
        began = self.began(held)
        super().give_back(held)
        if began is not None:
            self._latest.seconds = clock.monotonic() - began

    def finished(self, tokens: int) -> None:
        """Take in a call that ended well, after its slot was released in this thread.

        Args:
            tokens: Tokens of the answer, or another measure of the work.
        """
        seconds = vars(self._latest).pop("seconds", None)
        if seconds is None:
            return
        with self._lock:
            if self._fixed():
                self.limit = self._instead
                return
            self._decision.completed(clock.monotonic(), tokens, seconds, is_full=not self.free)
            # Not only what has changed now: a signal may have struck between the two.
            if self.limit != self._decision.limit:
                self.limit = self._decision.limit

    def observe(self, event: Event) -> None:
        """Take in the end of a call; the same thread has released its slot just before."""
        if not isinstance(event, CallFinished) or event.call.startswith(_WITHOUT_MODEL):
            return
        if event.outcome == OK:
            self.finished(event.completion_tokens or event.prompt_tokens or 1)
        else:
            vars(self._latest).pop("seconds", None)
