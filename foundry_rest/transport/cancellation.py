"""One bounded wait that any of some tokens ends."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from contextlib import ExitStack

from foundry_rest import clock
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.transport.call import CancelToken


def wait_for(event: threading.Event, until: float, tokens: Iterable[CancelToken], what: str) -> None:
    """Wait until an event of this waiter's own is set.

    Args:
        event: Set by whoever is waited for; a token sets it too.
        until: Monotonic instant at which waiting ends.
        tokens: Any of these ends the wait.
        what: What is waited for, for the error.

    Raises:
        Cancelled: A token was cancelled.
        DeadlineExceeded: ``until`` passed.
    """
    held = tuple(tokens)
    with ExitStack() as watching:
        for token in held:
            watching.enter_context(token.watched(event.set))
        in_time = event.is_set() or clock.wait(event, max(0.0, until - clock.monotonic()))
    if any(token.cancelled for token in held):
        raise Cancelled(f"the call was ended from elsewhere while it waited for {what}")
    if not in_time:
        raise DeadlineExceeded(f"the time passed while waiting for {what}")
