"""The parent's half of a download: orders go to the child, its news to the threads that wait.

No lock is needed. An order is one ``write`` of a piece that a pipe takes whole (512 bytes by POSIX; a
name has 200 at most), and each waiting thread has a queue of its own, which wakes it whatever
happens: news, the child's end, `wake`, or its cancel token.
"""

from __future__ import annotations

import itertools
import queue
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from math import inf

import msgspec

from foundry_rest import clock
from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    ModelNotFound,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.models.names import best_match, suggest
from foundry_rest.runtime.protocol import News, Order, from_line
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.transport.cancellation import CancelToken

#: Label of the operation in errors.
LABEL = "models.download"
#: Seconds between two looks at the child: the pipe of a dead one may be held open by a forked process.
_POLL = 0.1
#: Microsoft's ``FOUNDRY_LOCAL_ERROR_NETWORK``.
_NETWORK = 6
_NETWORK_ADVICE = (
    "Check this machine's way to the internet: https_proxy for a proxy, SSL_CERT_FILE for a company's own "
    "certificates, both set before the runtime starts. The next download goes on from what has come."
)
_DISK_ADVICE = (
    "Check free space and permissions of the model cache; the next download goes on from what has come."
)

_Inbox = queue.SimpleQueue["News | None"]


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """Say how a caller wants to be served: who hears of the steps, and what bounds the wait."""

    progress: Callable[[DownloadStep], object] | None = None
    timeout: float = inf
    until: float = inf
    cancel: CancelToken | None = None

    def tell(self, step: DownloadStep) -> None:
        """Give a step to whoever listens."""
        if self.progress is not None:
            self.progress(step)

    def left(self) -> float:
        """Return the seconds that are left.

        Raises:
            Cancelled, DeadlineExceeded: The download is to end.
        """
        if self.cancel is not None and self.cancel.cancelled:
            raise Cancelled("the download was ended from elsewhere", call=LABEL)
        left = self.until - clock.monotonic()
        if left <= 0:
            advice = "Give a larger deadline=; the next download goes on from what has come."
            raise DeadlineExceeded("the deadline passed during the download", call=LABEL, advice=advice)
        return left

    def borne(self, quiet_until: float) -> float:
        """Return the seconds of silence that are still borne.

        Raises:
            ServiceTimeout: They are over.
        """
        left = quiet_until - clock.monotonic()
        if left <= 0:
            what = f"nothing more came within {self.timeout:g} s"
            raise ServiceTimeout(what, call=LABEL, phase="idle", advice=_NETWORK_ADVICE)
        return left

    def waking(self, inbox: _Inbox) -> AbstractContextManager[None]:
        """Wake who waits at this queue when the wish is cancelled within the block."""
        return nullcontext() if self.cancel is None else self.cancel.watched(lambda: inbox.put(None))


class Mailboxes:
    """Hand out what a child says of its downloads to the threads that wait.

    It knows nothing of the child: the thread that listens, to the child's end, holds this and the pipe alone.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, _Inbox] = {}

    @contextmanager
    def opened(self) -> Iterator[tuple[int, _Inbox]]:
        """Yield a new order's number, and the queue that its news goes to."""
        number, inbox = next(self._numbers), _Inbox()
        self._open[number] = inbox
        try:
            yield number, inbox
        finally:
            del self._open[number]

    def deliver(self, line: bytes) -> None:
        """Give a line of the child's to the thread that waits for it; others are dropped."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            news = from_line(line, News)
            inbox = self._open.get(news.number)
            if inbox is not None:
                inbox.put(news)

    def wake(self) -> None:
        """Make every waiting thread look at the child; safe in a signal handler."""
        for inbox in list(self._open.values()):
            inbox.put(None)


class Downloads:
    """Order downloads of one child and wait for them.

    Args:
        inboxes: Where the child's news arrives.
        send: Writes an order to the child; raises a FoundryError when that cannot be.
        check: Raises a FoundryError when the child has ended, or is to.
    """

    def __init__(self, inboxes: Mailboxes, send: Callable[[Order], None], check: Callable[[], None]) -> None:
        self._inboxes = inboxes
        self._send = send
        self._check = check

    def run(self, name: str, wish: DownloadRequest) -> None:
        """Fetch a model; see `LocalRuntime.download`."""
        news = self._ordered(name, wish)
        if news.outcome == "unknown":
            # Microsoft's look-up minds the case and wants the version.
            meant = spelling_of(name, models_of(news))
            if meant:
                news = self._ordered(meant, wish)
        error = error_of(news, name)
        if error is not None:
            raise error
        wish.tell(DownloadStep(fraction=1.0, done=True))

    def _ordered(self, name: str, wish: DownloadRequest) -> News:
        """Return the news with which an order ends; one that is given up is stopped in the child too."""
        wish.left()
        with self._inboxes.opened() as (number, inbox), wish.waking(inbox), ExitStack() as undo:
            self._send(Order(number, name))
            undo.callback(self._stop, number)
            news = self._followed(inbox, wish)
            undo.pop_all()
            return news

    def _stop(self, number: int) -> None:
        with suppress(FoundryError):  # the child has ended: nothing is left to stop
            self._send(Order(number))

    def _followed(self, inbox: _Inbox, wish: DownloadRequest) -> News:
        while True:
            news = self._next(inbox, wish)
            if news.outcome:
                return news
            wish.tell(DownloadStep(fraction=news.fraction))

    def _next(self, inbox: _Inbox, wish: DownloadRequest) -> News:
        quiet_until = clock.monotonic() + wish.timeout
        while True:
            left = min(wish.left(), wish.borne(quiet_until))
            with suppress(queue.Empty):
                news = inbox.get(timeout=min(left, _POLL))
                if news is not None:
                    return news
            self._check()


def models_of(news: News) -> list[ModelInfo]:
    """Return the models that the news of an unknown name lists."""
    return [
        ModelInfo(id=id_, alias=alias, name=id_.partition(":")[0], version=id_.partition(":")[2])
        for alias, id_ in news.known
    ]


def spelling_of(name: str, models: list[ModelInfo]) -> str:
    """Return the alias or id that ``name`` means in another spelling, or ``""``."""
    meant = best_match(name, models)
    if meant is None:
        return ""
    return meant.alias if name.casefold() == meant.alias.casefold() else meant.id


def error_of(news: News, name: str) -> FoundryError | None:
    """Return the error that an order's end stands for, or ``None``: the model is there."""
    if news.outcome == "cached":
        return None
    if news.outcome == "unknown":
        return _unknown(models_of(news), name)
    if news.code == _NETWORK:
        return _unreachable(f"the model could not be fetched: {news.reason}", name)
    what = f"the download failed: {news.reason}"
    return ServerError(what, call=LABEL, model=name, status=500, advice=_DISK_ADVICE)


def _unknown(models: list[ModelInfo], name: str) -> FoundryError:
    if not models:
        # The native library tells of no failure: its catalog is then just empty.
        return _unreachable("the model catalog is empty: it could not be reached from this machine", name)
    error = ModelNotFound("the catalog has no such model", call=LABEL, model=name, status=404)
    suggest(error, models)
    return error


def _unreachable(what: str, name: str) -> ServiceUnreachable:
    return ServiceUnreachable(what, call=LABEL, model=name, advice=_NETWORK_ADVICE)
