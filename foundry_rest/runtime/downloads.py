"""Downloads in the parent: commands go to the child, its progress to the threads that wait.

No lock is needed. A command is one ``write`` that a pipe takes whole (512 bytes by POSIX; a
name has at most 200), and each waiting thread has a queue of its own, which wakes it in every case:
progress, the child's end, `wake`, or its cancel token.
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
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.names import best_match, suggest
from foundry_rest.runtime.protocol import Command, Progress, from_line
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.transport.cancellation import CancelToken

#: Label of the operation in errors.
LABEL = "models.download"
#: Seconds between two checks that the child runs: a forked process may keep the pipe of an ended one open.
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

_Mailbox = queue.SimpleQueue["Progress | None"]


@dataclass(frozen=True, slots=True)
class DownloadRequest:
    """One caller's options for a download.

    Attributes:
        progress: Called with each step; ``None`` for no reports.
        timeout: Seconds of silence allowed between two steps.
        until: Monotonic instant at which to give up.
        cancel: Ends the wait from another thread.
    """

    progress: Callable[[DownloadStep], object] | None = None
    timeout: float = inf
    until: float = inf
    cancel: CancelToken | None = None

    def report(self, step: DownloadStep) -> None:
        """Pass a step to the caller."""
        if self.progress is not None:
            self.progress(step)

    def time_left(self) -> float:
        """Return the seconds until the deadline.

        Raises:
            Cancelled, DeadlineExceeded: The download is to end.
        """
        if self.cancel is not None and self.cancel.cancelled:
            raise Cancelled("the download was ended from elsewhere", call=LABEL)
        left = self.until - clock.monotonic()
        if left <= 0:
            advice = Advice(
                Words("Give a larger deadline=.", "Give a larger FOUNDRY_DEADLINE."),
                "The next download goes on from what has come.",
            )
            raise DeadlineExceeded("the deadline passed during the download", call=LABEL, advice=advice)
        return left

    def silence_left(self, silent_until: float) -> float:
        """Return the seconds of silence that are still allowed.

        Raises:
            ServiceTimeout: None are.
        """
        left = silent_until - clock.monotonic()
        if left <= 0:
            what = f"nothing more came within {self.timeout:g} s"
            raise ServiceTimeout(what, call=LABEL, phase="idle", advice=_NETWORK_ADVICE)
        return left

    def wakes(self, mailbox: _Mailbox) -> AbstractContextManager[None]:
        """Wake the thread that waits at this queue when the request is cancelled within the block."""
        return nullcontext() if self.cancel is None else self.cancel.watched(lambda: mailbox.put(None))


class Mailboxes:
    """The queues by which a child's progress reaches the threads that wait for it.

    They know nothing of the child, because the thread that reads the child's pipe keeps them alive to its
    end, and must not keep the child's object alive with them.
    """

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self._open: dict[int, _Mailbox] = {}

    @contextmanager
    def opened(self) -> Iterator[tuple[int, _Mailbox]]:
        """Yield a new command's number, and the queue for its progress."""
        number, mailbox = next(self._numbers), _Mailbox()
        self._open[number] = mailbox
        try:
            yield number, mailbox
        finally:
            del self._open[number]

    def deliver(self, line: bytes) -> None:
        """Pass a line of the child to the thread that waits for it; drop any other."""
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            progress = from_line(line, Progress)
            mailbox = self._open.get(progress.number)
            if mailbox is not None:
                mailbox.put(progress)

    def wake(self) -> None:
        """Make every waiting thread check the child; safe in a signal handler."""
        for mailbox in list(self._open.values()):
            mailbox.put(None)


class Downloads:
    """The downloads of one child.

    Args:
        mailboxes: Where the child's progress arrives.
        send: Writes a command to the child; raises a FoundryError when it cannot.
        check: Raises a FoundryError when the child has ended, or is to.
    """

    def __init__(
        self, mailboxes: Mailboxes, send: Callable[[Command], None], check: Callable[[], None]
    ) -> None:
        self._mailboxes = mailboxes
        self._send = send
        self._check = check

    def run(self, name: str, request: DownloadRequest) -> None:
        """Fetch a model; see `LocalRuntime.download`."""
        end = self._fetch(name, request)
        if end.outcome == "unknown":
            # Microsoft's look-up respects the case and needs the version.
            spelling = catalog_spelling(name, known_models(end))
            if spelling:
                end = self._fetch(spelling, request)
        error = error_for(end, name)
        if error is not None:
            raise error
        request.report(DownloadStep(fraction=1.0, done=True))

    def forget(self, id_: str, request: DownloadRequest) -> None:
        """Have the runtime forget a model whose folder was deleted; see `LocalRuntime.forget`."""
        end = self._fetch(id_, request, forget=True)
        if end.outcome == "failed":
            what = f"the model's folder is deleted, and the runtime still takes it for there: {end.reason}"
            advice = "Unload the model, or start the runtime again."
            raise ServerError(what, call="models.remove", model=id_, status=500, advice=advice)

    def _fetch(self, name: str, request: DownloadRequest, *, forget: bool = False) -> Progress:
        """Return the last progress of a command; one that is given up is stopped in the child too."""
        request.time_left()
        with self._mailboxes.opened() as (number, mailbox), request.wakes(mailbox), ExitStack() as undo:
            self._send(Command(number, forget=name) if forget else Command(number, name))
            undo.callback(self._stop, number)
            end = self._follow(mailbox, request)
            undo.pop_all()
            return end

    def _stop(self, number: int) -> None:
        with suppress(FoundryError):  # the child has ended: nothing is left to stop
            self._send(Command(number))

    def _follow(self, mailbox: _Mailbox, request: DownloadRequest) -> Progress:
        while True:
            progress = self._next(mailbox, request)
            if progress.outcome:
                return progress
            request.report(DownloadStep(fraction=progress.fraction))

    def _next(self, mailbox: _Mailbox, request: DownloadRequest) -> Progress:
        silent_until = clock.monotonic() + request.timeout
        while True:
            left = min(request.time_left(), request.silence_left(silent_until))
            with suppress(queue.Empty):
                progress = mailbox.get(timeout=min(left, _POLL))
                if progress is not None:
                    return progress
            self._check()


def known_models(end: Progress) -> list[ModelInfo]:
    """Return the models that the answer to an unknown name lists."""
    return [
        ModelInfo(id=id_, alias=alias, name=id_.partition(":")[0], version=id_.partition(":")[2])
        for alias, id_ in end.known
    ]


def catalog_spelling(name: str, models: list[ModelInfo]) -> str:
    """Return the alias or id that ``name`` means in another spelling, or ``""``."""
    match = best_match(name, models)
    if match is None:
        return ""
    return match.alias if name.casefold() == match.alias.casefold() else match.id


def error_for(end: Progress, name: str) -> FoundryError | None:
    """Return the error for a download's end, or ``None`` when the model is on disk."""
    if end.outcome == "cached":
        return None
    if end.outcome == "unknown":
        return _unknown(known_models(end), name)
    if end.code == _NETWORK:
        return _unreachable(f"the model could not be fetched: {end.reason}", name)
    what = f"the download failed: {end.reason}"
    return ServerError(what, call=LABEL, model=name, status=500, advice=_DISK_ADVICE)


def _unknown(models: list[ModelInfo], name: str) -> FoundryError:
    if not models:
        # The native library reports no failure: its catalog is just empty then.
        return _unreachable("the model catalog is empty: it could not be reached from this machine", name)
    error = ModelNotFound("the catalog has no such model", call=LABEL, model=name, status=404)
    suggest(error, models)
    return error


def _unreachable(what: str, name: str) -> ServiceUnreachable:
    return ServiceUnreachable(what, call=LABEL, model=name, advice=_NETWORK_ADVICE)
