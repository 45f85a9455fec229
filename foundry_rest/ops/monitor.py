"""The monitor: a service that is checked again and again, by a thread, and whoever is told of its changes."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.checks import positive_seconds, whole_number
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import Cancelled, ConfigError
from foundry_rest.ops.check import CheckSettings, Verdict, check
from foundry_rest.ops.hysteresis import DEGRADED, DOWN, UP, Hysteresis
from foundry_rest.ops.load import ProcessorTime, TokenRate
from foundry_rest.ops.plugin_format import State
from foundry_rest.schema.use import CircuitChange
from foundry_rest.transport.cancellation import CancelToken, sleep
from foundry_rest.transport.fork import renew_after_fork
from foundry_rest.values import Value

if TYPE_CHECKING:
    from typing_extensions import Self

T = TypeVar("T")

_logger = logging.getLogger("foundry_rest")

#: Seconds from one check to the next; what is kept is then the last hour.
INTERVAL = 5.0
KEPT = 720
#: Changes and problems that are kept.
_CHANGES, _PROBLEMS = 100, 20
_OBSERVED = {State.OK: UP, State.WARNING: DEGRADED, State.UNKNOWN: DEGRADED, State.CRITICAL: DOWN}


class Sample(Value, msgspec.Struct, frozen=True, kw_only=True):
    """What one check found.

    Attributes:
        at: When it began, in seconds since 1970.
        observed: ``"up"``, ``"degraded"`` or ``"down"``, from this check alone.
        latency: Seconds that the service took to tell its status; ``None`` if it did not.
        memory: Resident memory of its process in bytes; ``None`` where that is not known.
        cpu: Share of one core that its process used since the last check; ``None`` where that is not known.
        tokens_per_second: Of the client's calls that ended since the last check; ``None`` without any.
        models: Ids of the models in memory.
    """

    at: float
    observed: str
    latency: float | None = None
    memory: int | None = None
    cpu: float | None = None
    tokens_per_second: float | None = None
    models: tuple[str, ...] = ()


class Change(Value, msgspec.Struct, frozen=True, kw_only=True):
    """A change of the service's state.

    Attributes:
        at: When it was found, in seconds since 1970.
        before: State before; ``""`` at the first check.
        after: ``"up"``, ``"degraded"`` or ``"down"``.
        text: What the check found.
    """

    at: float
    before: str
    after: str
    text: str


class Problem(Value, msgspec.Struct, frozen=True, kw_only=True):
    """What was wrong in a check, or in several in a row.

    Attributes:
        at: When it was found last, in seconds since 1970.
        text: What was wrong.
        count: How many checks in a row found it.
    """

    at: float
    text: str
    count: int = 1


class MonitorReport(Value, msgspec.Struct, frozen=True, kw_only=True):
    """What a monitor knows.

    Attributes:
        state: ``"up"``, ``"degraded"`` or ``"down"``; ``""`` before the first check has ended.
        since: When that began, in seconds since 1970.
        url: Address of the service; ``""`` before it is known.
        generation: Its generation, such as ``"2.x"``; ``""`` before it is known.
        interval: Seconds from one check to the next.
        checks: How many checks there were.
        samples: What the latest checks found, oldest first.
        changes: The latest changes of the state, oldest first.
        problems: What was wrong in the latest checks, oldest first.
        circuits: State of the client's circuits by address.
        circuit_changes: Their latest changes, oldest first.
    """

    state: str = ""
    since: float = 0.0
    url: str = ""
    generation: str = ""
    interval: float = INTERVAL
    checks: int = 0
    samples: tuple[Sample, ...] = ()
    changes: tuple[Change, ...] = ()
    problems: tuple[Problem, ...] = ()
    circuits: dict[str, str] = {}
    circuit_changes: tuple[CircuitChange, ...] = ()


class Monitor:
    """Repeated checks of a client's service, in a thread, while its ``with`` block lasts.

    Give it the client of your program, whose circuits and token rates it tells, too: its checks pass by
    retries, circuit breaker and slots. It keeps what the latest checks found, in constant memory.

    Args:
        client: Asks the service; it is not closed.
        interval: Seconds from one check to the next.
        settings: What is checked, and what is bad.
        on_change: Called in the monitor's thread with each change of the state.
        on_sample: Called there after each check.
        rise: Good checks in a row that make a service better again.
        fall: Bad checks in a row that make it worse.
        kept: Checks whose figures are kept.

    Raises:
        ConfigError: A value cannot be used.
    """

    def __init__(
        self,
        client: FoundryAPIClient,
        *,
        interval: float = INTERVAL,
        settings: CheckSettings | None = None,
        on_change: Callable[[Change], object] | None = None,
        on_sample: Callable[[Sample], object] | None = None,
        rise: int = 2,
        fall: int = 3,
        kept: int = KEPT,
    ) -> None:
        self._client = client
        self._interval = positive_seconds("interval", interval)
        self._settings = settings or CheckSettings(timeout=min(10.0, max(1.0, 2 * interval)))
        self._on_change, self._on_sample = on_change, on_sample
        self._hysteresis = Hysteresis(whole_number("rise", rise, 1), whole_number("fall", fall, 1))
        self._samples: deque[Sample] = deque(maxlen=whole_number("kept", kept, 2))
        self._changes: deque[Change] = deque(maxlen=_CHANGES)
        self._problems: deque[Problem] = deque(maxlen=_PROBLEMS)
        self._checks = 0
        self._processor, self._tokens = ProcessorTime(), TokenRate(client)
        self._stop = CancelToken()
        self._thread: threading.Thread | None = None
        self.renew()
        renew_after_fork(self)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin to check.

        Raises:
            ConfigError: It was started before.
        """
        if self._thread is not None:
            raise ConfigError("the monitor was started before", advice="Make another one.")
        self._thread = threading.Thread(target=self._run, name="foundry_rest-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the check under way, and make no other one; what was found stays."""
        self._stop.cancel()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def report(self) -> MonitorReport:
        """Return what is known now."""
        stats = self._client.stats()
        with self._lock:
            changes, checks = tuple(self._changes), self._checks
            samples, problems = tuple(self._samples), tuple(self._problems)
        return MonitorReport(
            state=changes[-1].after if changes else "",
            since=changes[-1].at if changes else 0.0,
            url=self._client.url or "",
            generation=self._client.generation or "",
            interval=self._interval,
            checks=checks,
            samples=samples,
            changes=changes,
            problems=problems,
            circuits=stats.circuits,
            circuit_changes=stats.circuit_changes,
        )

    def renew(self) -> None:
        """Replace the lock in a forked child, where no thread checks any more."""
        self._lock = threading.Lock()
        self._thread = None

    def _run(self) -> None:
        due = clock.monotonic()
        while not self._stop.cancelled:
            self._take(clock.now(), check(self._client, self._settings, cancel=self._stop))
            due = max(due + self._interval, clock.monotonic())
            try:
                sleep(due - clock.monotonic(), (self._stop,), "for the next check")
            except Cancelled:
                return

    def _take(self, at: float, verdict: Verdict) -> None:
        """Take in a check; one that was ended from outside says nothing."""
        if self._stop.cancelled:
            return
        sample = self._sample(at, verdict)
        before = self._hysteresis.state
        is_changed = self._hysteresis.step(sample.observed)
        change = Change(at=at, before=before, after=self._hysteresis.state, text=verdict.text)
        with self._lock:
            self._checks += 1
            self._samples.append(sample)
            if is_changed:
                self._changes.append(change)
            if sample.observed != UP:
                self._note_problem(at, verdict.text)
        _tell(self._on_sample, sample)
        if is_changed:
            _tell(self._on_change, change)

    def _sample(self, at: float, verdict: Verdict) -> Sample:
        report = verdict.report
        observed = _OBSERVED[verdict.state]
        if report is None:
            return Sample(at=at, observed=observed)
        pid = report.pid if report.memory_usage is not None else None
        return Sample(
            at=at,
            observed=observed,
            latency=report.latency,
            memory=report.memory_usage,
            cpu=self._processor.since_last(pid),
            tokens_per_second=self._tokens.since_last(),
            models=tuple(report.loaded_models),
        )

    def _note_problem(self, at: float, text: str) -> None:
        last = self._problems[-1] if self._problems else None
        if last is not None and last.text == text:
            self._problems[-1] = Problem(at=at, text=text, count=last.count + 1)
        else:
            self._problems.append(Problem(at=at, text=text))


def _tell(told: Callable[[T], object] | None, what: T) -> None:
    if told is None:
        return
    try:
        told(what)
    except Exception:  # the user's code, which may raise anything
        _logger.exception("a monitor's callback failed on %s", type(what).__name__)
