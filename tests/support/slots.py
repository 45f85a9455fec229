"""What tests of slots share, whichever kind: threads, who is inside, who is served when."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from support.waits import until


def start(work, *arguments) -> threading.Thread:
    """Run in a thread of its own."""
    thread = threading.Thread(target=work, args=arguments, daemon=True)
    thread.start()
    return thread


class Holders:
    """The threads that hold a slot at the moment.

    Attributes:
        most: The most that there were at once.
    """

    def __init__(self) -> None:
        self.most = 0
        self._count = 0
        self._lock = threading.Lock()

    @contextmanager
    def one_more(self) -> Iterator[None]:
        """Count this thread as a holder within the block."""
        with self._lock:
            self._count += 1
            self.most = max(self.most, self._count)
        try:
            yield
        finally:
            with self._lock:
                self._count -= 1


def order_of_service(slots, count: int, waiting: Callable[[], int]) -> list[int]:
    """Return the order in which threads got the one slot of ``slots``, by the order in which they came."""
    order: list[int] = []
    held = slots.acquire()

    def wait(number):
        slot = slots.acquire()
        order.append(number)
        slot.release()

    threads = []
    for number in range(count):
        threads.append(start(wait, number))
        until(lambda number=number: waiting() == number + 1)
    held.release()
    for thread in threads:
        thread.join(2)
    return order
