"""The figures of one run of a batch, counted in constant memory."""

from __future__ import annotations

from collections import Counter, deque

import msgspec

from foundry_rest import clock
from foundry_rest.batch.units import duration, rate
from foundry_rest.schema.distribution import Percentiles, Recorder
from foundry_rest.values import Value

#: Classes of errors that are counted apart, and the name of the rest; most characters of a class.
_CLASSES, _OTHER, _LONGEST_CLASS = 20, "other", 60
#: Points of the progress that are kept, and seconds between two of them at the start.
_POINTS, _FIRST_STEP = 240, 0.1
#: The recent past, for the time left: so many seconds, but at least so many marks; seconds between two marks.
_RECENT, _FEWEST_MARKS, _MARK_STEP = 60.0, 20, 1.0
#: Classes of errors that the short text names.
_NAMED = 5


class BatchFigures:
    """The running figures of one run of a batch; for one thread, in constant memory.

    Args:
        total: Requests of the batch.
        done_before: Number of these that an earlier run has done.

    Attributes:
        concurrency: Calls at a time; where the number is found out, the one that is right as far as is known.
        waiting: Why the run waits at present, or ``""``.
        stopped: Why the run ended early, or ``""``.
    """

    def __init__(self, total: int, done_before: int = 0) -> None:
        self.concurrency = 0
        self.waiting = ""
        self.stopped = ""
        self._total = total
        self._done_before = done_before
        self._succeeded = self._failed = 0
        self._prompt_tokens = self._completion_tokens = 0
        self._latency, self._first_token = Recorder(), Recorder()
        self._errors: Counter[str] = Counter()
        self._started = clock.monotonic()
        self._progress = _Progress()
        self._recent = _RecentRate()

    def add(
        self,
        *,
        seconds: float,
        first_token: float | None = None,
        prompt_tokens: int = 0,
        completion_tokens: int = 0,
        error: str = "",
    ) -> None:
        """Count the end of one request.

        Args:
            seconds: How long it took.
            first_token: Seconds to its first token, where it was streamed.
            prompt_tokens: The count that the service reported.
            completion_tokens: The count that the service reported.
            error: The class of its error, such as ``"request_timeout"``, or ``""`` for a success.
        """
        moment = self._elapsed()
        # The state until now: a wait that ends now is seen as one.
        self._progress.mark(moment, self._succeeded, self._failed)
        self._prompt_tokens += prompt_tokens
        self._completion_tokens += completion_tokens
        if error:
            self._add_failure(error[:_LONGEST_CLASS])
        else:
            self._add_success(seconds, first_token)
        self._recent.mark(moment, self._succeeded + self._failed)

    def _add_success(self, seconds: float, first_token: float | None) -> None:
        self._succeeded += 1
        self._latency.add(seconds)
        if first_token is not None:
            self._first_token.add(first_token)

    def _add_failure(self, name: str) -> None:
        self._failed += 1
        is_known = name in self._errors or len(self._errors) < _CLASSES
        self._errors[name if is_known else _OTHER] += 1

    def _elapsed(self) -> float:
        return clock.monotonic() - self._started

    def summary(self) -> BatchSummary:
        """Return the figures so far."""
        elapsed, finished = self._elapsed(), self._succeeded + self._failed
        unsent = max(0, self._total - self._done_before - finished)
        latency, first_token = self._latency.read(), self._first_token.read()
        return BatchSummary(
            total=self._total,
            done_before=self._done_before,
            succeeded=self._succeeded,
            failed=self._failed,
            unsent=unsent,
            elapsed=elapsed,
            concurrency=self.concurrency,
            requests_per_second=finished / elapsed if elapsed else 0.0,
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            tokens_per_second=self._completion_tokens / elapsed if elapsed else 0.0,
            latency=latency.percentiles(),
            latency_histogram=latency.bars(),
            first_token=first_token.percentiles() if first_token.buckets else None,
            first_token_histogram=first_token.bars(),
            errors=dict(self._errors),
            progress=[*self._progress.points, (elapsed, self._succeeded, self._failed)],
            remaining=None if self.stopped else self._recent.time_for(unsent, elapsed, finished),
            stopped=self.stopped,
        )


class _Progress:
    """How far a run was at some moments; each time they are too many, every second is dropped."""

    def __init__(self) -> None:
        self.points = [(0.0, 0, 0)]
        self._step = _FIRST_STEP

    def mark(self, seconds: float, succeeded: int, failed: int) -> None:
        if seconds - self.points[-1][0] < self._step:
            return
        if len(self.points) == _POINTS - 1:  # the summary adds the last
            del self.points[1::2]
            self._step *= 2
        self.points.append((seconds, succeeded, failed))


class _RecentRate:
    """The rate of the latest minute, or of a longer time where little happens."""

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque([(0.0, 0)])

    def mark(self, seconds: float, finished: int) -> None:
        if seconds - self._marks[-1][0] < _MARK_STEP:
            return
        self._marks.append((seconds, finished))
        while len(self._marks) > _FEWEST_MARKS and self._marks[1][0] < seconds - _RECENT:
            self._marks.popleft()

    def time_for(self, unsent: int, seconds: float, finished: int) -> float | None:
        """Return the seconds that the rest takes, or ``None`` where nothing was finished of late."""
        since, before = self._marks[0]
        if not unsent:
            return 0.0
        return unsent * (seconds - since) / (finished - before) if finished > before else None


class BatchSummary(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The figures of one run of a batch.

    Attributes:
        total: Requests of the batch.
        done_before: Number of these that an earlier run has done.
        succeeded: Number of these that this run got an answer for.
        failed: Number of these that ended with an error in this run.
        unsent: Number of these that have no result yet.
        elapsed: Seconds since the start of this run.
        concurrency: Calls at a time at the end; 0 before the first.
        requests_per_second: Requests that ended in this run, divided by ``elapsed``.
        prompt_tokens: Sum of the counts that the service reported.
        completion_tokens: Sum of the counts that the service reported.
        tokens_per_second: ``completion_tokens`` divided by ``elapsed``.
        latency: Durations of the requests that succeeded, at most 2 % off; zeros without any.
        latency_histogram: The same as (upper bound in seconds, count); the first entry is a bound only.
        first_token: Seconds to the first token, or ``None`` where none was measured.
        first_token_histogram: The same as (upper bound in seconds, count); the first entry is a bound only.
        errors: Failed requests by class; classes beyond the first 20 are counted as ``"other"``.
        progress: (seconds, succeeded, failed) at no more than 240 moments of this run.
        remaining: Seconds that the rest takes at the recent rate; ``None`` while nobody can tell.
        stopped: Why the run ended early, or ``""``.
    """

    total: int = 0
    done_before: int = 0
    succeeded: int = 0
    failed: int = 0
    unsent: int = 0
    elapsed: float = 0.0
    concurrency: int = 0
    requests_per_second: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    tokens_per_second: float = 0.0
    latency: Percentiles = Percentiles()
    latency_histogram: list[tuple[float, int]] = []
    first_token: Percentiles | None = None
    first_token_histogram: list[tuple[float, int]] = []
    errors: dict[str, int] = {}
    progress: list[tuple[float, int, int]] = []
    remaining: float | None = None
    stopped: str = ""

    def __str__(self) -> str:
        """Return a few lines for a terminal."""
        lines = [
            ("Requests", _counts(self)),
            ("Time", _time(self)),
            ("Tokens", _tokens(self)),
            ("Latency", _percentiles(self.latency if self.succeeded else None)),
            ("First token", _percentiles(self.first_token)),
            *zip(["Errors", *[""] * _NAMED], _errors(self.errors), strict=False),
            ("Stopped", self.stopped),
        ]
        return "\n".join(f"{name:<13}{text}" for name, text in lines if text)


def _counts(summary: BatchSummary) -> str:
    parts = {
        "succeeded": summary.succeeded,
        "failed": summary.failed,
        "not done": summary.unsent,
        "done before": summary.done_before,
    }
    shown = (f"{count:,} {name}" for name, count in parts.items() if count or name == "succeeded")
    return f"{summary.total:,}: {', '.join(shown)}"


def _time(summary: BatchSummary) -> str:
    text = f"{duration(summary.elapsed)}, {rate(summary.requests_per_second)}/s"
    return f"{text}, {summary.concurrency:,} at a time" if summary.concurrency else text


def _tokens(summary: BatchSummary) -> str:
    if not summary.prompt_tokens + summary.completion_tokens:
        return ""
    counts = f"{summary.prompt_tokens:,} in, {summary.completion_tokens:,} out"
    return f"{counts}, {rate(summary.tokens_per_second)}/s out"


def _percentiles(found: Percentiles | None) -> str:
    rows = msgspec.structs.asdict(found or Percentiles()).items()
    return "".join(f"{name} {duration(value):<12}" for name, value in rows).rstrip() if found else ""


def _errors(errors: dict[str, int]) -> list[str]:
    """Return a line for each of the classes with most errors, and one for the rest."""
    ordered = sorted(errors.items(), key=lambda item: -item[1])
    width = len(f"{ordered[0][1]:,}") if ordered else 0
    lines = [f"{count:>{width},} x {name}" for name, count in ordered[:_NAMED]]
    rest = sum(count for _, count in ordered[_NAMED:])
    return [*lines, f"{rest:>{width},} of other classes"] if rest else lines
