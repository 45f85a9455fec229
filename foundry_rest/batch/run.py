"""The run of a batch: what is not yet in the journal is sent, journalled, and then reported.

Each thread appends a result to the journal before it takes the next request, so a process that is killed
loses at most the calls under way. The caller's thread syncs the results of all threads in groups, and counts
them afterwards.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Literal, NamedTuple

import msgspec

from foundry_rest import clock
from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.journal import Journal, Record
from foundry_rest.batch.output import Counts, Output
from foundry_rest.batch.output_lines import CANCELLED, EXPIRED, answered, code_of, failed, is_transient
from foundry_rest.batch.request_index import IndexedRequest, RequestIndex
from foundry_rest.batch.resume import RETRIES, note_earlier, note_results
from foundry_rest.batch.stop import OUT_OF_TIME, TOO_MANY_ERRORS, Outage, Stop
from foundry_rest.checks import (
    only_known,
    positive_seconds,
    seconds_from_zero,
    whole_number,
    whole_number_or_auto,
)
from foundry_rest.endpoints.batch import CONCURRENCY, Answering, Gate, WorkerCalls, answers_of
from foundry_rest.endpoints.window import Window
from foundry_rest.errors import Cancelled, ConfigError, FoundryError, StreamInterrupted
from foundry_rest.resilience.host_slots import MOST, HostSlots
from foundry_rest.schema.batch import Answer
from foundry_rest.transport.call_options import CallOptions

#: Longest time in seconds without any service before a batch gives up: more than a restart takes.
DOWNTIME = 300.0
#: Seconds that calls under way have when the process is asked to end; systemd and Slurm wait longer.
GRACE = 10.0
#: When results are synced to the disk -> seconds between two syncs; ``"none"`` leaves it to the system. While
#: a file is being synced nobody can append to it, and a sync takes 5 to 20 ms.
SYNCS = {"every": 0.1, "second": 1.0, "none": 0.0}
#: Seconds for which results are gathered before they are counted together.
_GATHER = 0.02
#: Longest pause in seconds before a request goes to an executor again: another worker may have a service, and
#: one without has rested already.
_WORKERS_PAUSE = 0.1
#: Further tries when an answer breaks off: nobody has seen any of it.
_MORE_TRIES = 2


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How a batch is run.

    Attributes:
        concurrency: Calls at a time, or ``"auto"`` to find the number out.
        host_slots: Calls at a time of all batches of this user on this machine that have such a number;
            ``None`` for no bound.
        sync: When results are synced to the disk, one of ``SYNCS``.
        retry_failed: Which failures of earlier runs are sent again, see ``note_earlier``.
        max_errors: Failures after which it stops; ``None`` for any number.
        stop_after: Seconds after which it stops; ``None`` for no bound.
        downtime: Longest time in seconds without any service.
        grace: Seconds that calls under way have when it stops for lack of time.
        options: Options of each call, without ``cancel``.

    Raises:
        ConfigError: A value cannot be used.
    """

    concurrency: int | Literal["auto"] = CONCURRENCY
    host_slots: int | None = None
    sync: str = "every"
    retry_failed: str = "none"
    max_errors: int | None = None
    stop_after: float | None = None
    downtime: float = DOWNTIME
    grace: float = GRACE
    options: CallOptions = {}

    def __post_init__(self) -> None:
        whole_number_or_auto("concurrency", self.concurrency)
        if self.host_slots is not None:
            whole_number("host_slots", self.host_slots, 1, MOST)
        for name, known in (("sync", SYNCS), ("retry_failed", RETRIES)):
            only_known((getattr(self, name),), known, f"value of {name}")
        if self.max_errors is not None:
            whole_number("max_errors", self.max_errors, 1)
        if self.stop_after is not None:
            positive_seconds("stop_after", self.stop_after)
        for name in ("downtime", "grace"):
            seconds_from_zero(name, getattr(self, name))
        only_known(self.options, CallOptions.__annotations__, "option")
        if "cancel" in self.options:
            raise ConfigError("a batch is ended by its stop, not by cancel=")


class Hooks(msgspec.Struct, frozen=True):
    """Functions that are told about a batch.

    Attributes:
        started: Called before the first request, with the figures that the run will fill.
        progress: Called after each group of results, and now and then while none comes.
        ended: Called with the summary when the output is written.
        note: Called with a sentence for people.
    """

    started: Callable[[BatchFigures], object] = lambda figures: None
    progress: Callable[[], object] = lambda: None
    ended: Callable[[BatchSummary], object] = lambda summary: None
    note: Callable[[str], object] = lambda text: None


class _Done(NamedTuple):
    """One result that is in the journal."""

    seconds: float
    answer: Answer | None
    error: str


class BatchRun:
    """One run of a batch.

    Args:
        client: Sends the requests.
        index: The requests.
        journal: The results.
        output: Where the results go at the end.
        settings: How it is run.
        hooks: Who is told.
        stop: Ends it early.
        meanings: What each model's name stands for: exact id and generation.
        until: Monotonic instant at which the whole job is over; default ``stop_after`` from now.
        gate: The bound on the calls under way; default that of the settings.
        workers: Make the calls in place of this process.
    """

    def __init__(
        self,
        client: Answering,
        index: RequestIndex,
        journal: Journal,
        output: Output,
        *,
        settings: Settings,
        hooks: Hooks,
        stop: Stop,
        meanings: dict[str, str],
        until: float | None = None,
        gate: Gate | None = None,
        workers: WorkerCalls | None = None,
    ) -> None:
        self._answer = answers_of(client, workers)
        self._index, self._journal, self._output = index, journal, output
        self._settings, self._hooks, self._stop, self._meanings = settings, hooks, stop, meanings
        self._until = clock.monotonic() + (settings.stop_after or math.inf) if until is None else until
        self._host_slots = None if settings.host_slots is None else HostSlots(settings.host_slots)
        self._outage = Outage(settings.downtime, stop, math.inf if workers is None else _WORKERS_PAUSE)
        self._options: CallOptions = {**settings.options, "cancel": stop.now}
        self._ends = (stop.asked, stop.now)
        self._gate = gate or Gate(settings.concurrency)
        self._unsynced: list[_Done] = []
        self._synced_at = clock.monotonic()
        self._figures = BatchFigures(0)
        self._failures = itertools.count(1)  # counted without a lock, by every thread

    @property
    def outage(self) -> FoundryError | None:
        """Return why no service answers, or ``None`` while one does."""
        return self._outage.error

    def run(self) -> tuple[BatchSummary, Counts]:
        """Send what has no result yet, write the output, and return the run's figures and what was written.

        Raises:
            OSError: The journal or the output cannot be written; what is in the journal stays there.
        """
        journal, index, meanings = self._journal, self._index, self._meanings
        earlier = note_earlier(journal, index, meanings, self._settings.retry_failed, self._hooks.note)
        start = journal.size
        self._figures = BatchFigures(len(self._index), earlier)
        self._hooks.started(self._figures)
        self._send_all()
        self._figures.stopped = self._stop.reason
        summary = self._figures.summary()
        note_results(journal, index, meanings, start=start)
        code = EXPIRED if self._stop.reason == OUT_OF_TIME else CANCELLED
        counts = self._output.write(index, journal, code)
        self._hooks.ended(summary)
        return summary, counts

    # ---------------------------------------------------------------- sending

    def _send_all(self) -> None:
        size, end_calls = self._gate.threads, self._stop.now.cancel
        groups = Window(self._send, self._requests(), size, end_calls=end_calls, gather=_GATHER).groups()
        try:
            for group in groups:
                self._keep([done for done in group if done is not None])
                if clock.monotonic() >= self._until:
                    self._stop.ask(OUT_OF_TIME, self._settings.grace)
                self._stop.check()
                self._figures.concurrency = self._gate.reached
                self._figures.waiting = self._why_waiting()
                self._hooks.progress()
        finally:
            groups.close()
        self._sync()
        self._hooks.progress()

    def _why_waiting(self) -> str:
        if self._outage.error is not None:
            return self._outage.error.message
        slots = self._host_slots
        return f"others have all {slots.size} host slots" if slots and slots.is_kept_waiting else ""

    def _slot(self) -> AbstractContextManager[object]:
        """Return a slot of the machine, or nothing where it has no bound."""
        slots = self._host_slots
        return nullcontext() if slots is None else slots.acquire(cancels=self._ends)

    def _requests(self) -> Iterator[IndexedRequest]:
        for request in self._index.pending():
            if self._stop.asked.cancelled:
                return
            yield request

    def _send(self, indexed: IndexedRequest) -> _Done | None:
        """Return the journalled result of a request; ``None`` when it is to be sent by a later run."""
        request, tries = indexed.request, 0
        while not self._stop.asked.cancelled:
            started = clock.monotonic()
            try:
                # A turn first: a slot of the machine is not held while this batch itself waits.
                with self._gate.turn(self._ends) as count, self._slot():
                    started = clock.monotonic()
                    value = count(self._answer(request, **self._options))
            except Cancelled:
                return None
            except FoundryError as error:
                if self._outage.is_one(error):
                    self._outage.wait(error)
                    continue
                tries += 1
                if isinstance(error, StreamInterrupted) and tries <= _MORE_TRIES:
                    continue
                outcome: Answer | FoundryError = error
            else:
                outcome = value
            self._outage.end()
            encoding = request.body.get("encoding_format")
            return self._journalled(indexed, outcome, encoding, clock.monotonic() - started)
        return None

    def _journalled(
        self, indexed: IndexedRequest, outcome: Answer | FoundryError, encoding: object, seconds: float
    ) -> _Done:
        identity, name = indexed.identity, indexed.custom_id
        key = identity.key(self._meanings[identity.model])
        if isinstance(outcome, FoundryError):
            line, error, value = failed(key, name, outcome), code_of(outcome), None
        else:
            line, error, value = answered(key, name, outcome, encoding), "", outcome
        is_again = isinstance(outcome, FoundryError) and is_transient(outcome)
        record = Record(name, key, msgspec.Raw(line), ok=not error, transient=is_again)
        self._journal.append(record)
        if error and next(self._failures) >= (self._settings.max_errors or math.inf):
            self._stop.ask(TOO_MANY_ERRORS)
        return _Done(seconds, value, error)

    # ---------------------------------------------------------------- results

    def _keep(self, group: list[_Done]) -> None:
        """Sync results, and count them."""
        self._unsynced += group
        if self._unsynced and clock.monotonic() - self._synced_at >= SYNCS[self._settings.sync]:
            self._sync()

    def _sync(self) -> None:
        if self._unsynced and self._settings.sync != "none":
            self._journal.sync()
        self._synced_at = clock.monotonic()
        self._count()

    def _count(self) -> None:
        for done in self._unsynced:
            usage = getattr(done.answer, "usage", None)
            self._figures.add(
                seconds=done.seconds,
                first_token=getattr(done.answer, "first_token", None),
                prompt_tokens=usage.prompt_tokens if usage else 0,
                completion_tokens=usage.completion_tokens if usage else 0,
                error=done.error,
            )
        self._unsynced.clear()
