"""A whole batch: an input that is checked, a run, and the output."""

from __future__ import annotations

import math
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from foundry_rest import clock
from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.findings import Defaults, Finding
from foundry_rest.batch.input_rows import detect_format, open_input
from foundry_rest.batch.intake import Intake, Selection
from foundry_rest.batch.journal import Journal
from foundry_rest.batch.output import Counts, Output
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.batch.run import BatchRun, Hooks, Settings
from foundry_rest.batch.stop import OUT_OF_TIME, Stop
from foundry_rest.endpoints.batch import Gate, WorkerCalls
from foundry_rest.errors import Cancelled, ConfigError, DeadlineExceeded, FoundryError
from foundry_rest.transport.call_options import CallOptions
from foundry_rest.values import Value

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from typing_extensions import Unpack

    from foundry_rest.client import FoundryAPIClient

#: Findings that an error shows.
_SHOWN = 5


class Outcome(Value, msgspec.Struct, frozen=True):
    """The end of one run.

    Attributes:
        summary: Figures of the run.
        counts: What is in the output now; all is unsent if nothing was written.
        reason: Why it stopped early, or ``""``.
        error: Why no service answered at the end, or ``None``.
        is_written: Whether the output was written. A run that is stopped before it has found the service does
            not know which earlier results hold, and leaves the output as it is.
    """

    summary: BatchSummary
    counts: Counts
    reason: str = ""
    error: FoundryError | None = None
    is_written: bool = True

    @property
    def is_whole(self) -> bool:
        """Return whether every request has an answer."""
        return not self.counts.failed and not self.counts.unsent


def answer_file(
    client: FoundryAPIClient,
    source: str | Path,
    output: str | Path,
    *,
    errors: str | Path | None = None,
    ordered: bool = False,
    settings: Settings | None = None,
    hooks: Hooks | None = None,
    stop: Stop | None = None,
    executor: Executor | None = None,
) -> Outcome:
    """Answer every request of a file that has no result yet, and write the results as OpenAI does.

    It may be called again with the same files, after whatever ended the run before: what is in the journal
    beside the output is not sent again.

    Args:
        client: Sends the requests.
        source: JSON lines, OpenAI's or ``{"prompt": ...}``, one prompt a line, or CSV with a column
            ``prompt``.
        output: File of the results.
        errors: File of what is no answer; default the output itself.
        ordered: Whether the results are in the order of the input.
        settings: How it is run.
        hooks: Functions that are told about it.
        stop: Ends it early.
        executor: Whose workers make the calls in place of this process, see ``FoundryAPIClient.workers``.

    Raises:
        ConfigError: A line cannot be sent, or a file cannot be used; nothing was sent.
        TransportError: No service was there at the start, or the executor runs nothing; call it again when
            that is mended.
        OSError: The journal or the output cannot be written.
    """
    workers = None if executor is None else client.workers(executor)
    target = Output(Path(output), None if errors is None else Path(errors), ordered)
    target.check(Path(source))
    first: list[Finding] = []
    with RequestIndex() as index:
        intake = Intake(
            index, Defaults(client.model), lambda finding: first.extend([finding][: _SHOWN - len(first)])
        )
        read_input(str(source), intake)
        if intake.findings:
            lines = "; ".join(f"line {each.line}: {each.message}" for each in first)
            raise ConfigError(
                f"{source} has {intake.findings:,} findings, and nothing was sent: {lines}",
                advice="Mend the lines; foundry-rest batch --dry-run names all of them.",
            )
        given = settings or Settings(), hooks or Hooks(), stop or Stop()
        return run_job(client, index, target, *given, workers=workers)


def read_input(name: str, intake: Intake, form: str = "auto", selection: Selection | None = None) -> None:
    """Read an input, ``"-"`` for stdin, into an index.

    Raises:
        ConfigError: It cannot be read.
    """
    with open_input(name, getattr(sys.stdin, "buffer", None)) as source:
        found = detect_format(name, source) if form == "auto" else form
        intake.read(source, found, selection or Selection())


def run_job(
    client: FoundryAPIClient,
    index: RequestIndex,
    output: Output,
    settings: Settings,
    hooks: Hooks,
    stop: Stop,
    *,
    workers: WorkerCalls | None = None,
) -> Outcome:
    """Run a batch whose requests are in an index, and return how it ended.

    Raises:
        OSError: The journal or the output cannot be written.
    """
    until = clock.monotonic() + (settings.stop_after or math.inf)
    with _naming(output.journal), Journal(output.journal, output.files) as journal:
        try:
            with _asked_at(until if workers is not None else math.inf, stop):
                meanings = _meanings(client, index, hooks, _options(settings, stop), workers)
        except (Cancelled, DeadlineExceeded):
            if clock.monotonic() >= until:
                stop.ask(OUT_OF_TIME)
            if not stop.asked.cancelled:  # the client was closed, or the bound was that of a call
                raise
            return _unsent(len(index), stop.reason)
        run = BatchRun(
            client,
            index,
            journal,
            output,
            settings=settings,
            until=until,
            hooks=hooks,
            stop=stop,
            meanings=meanings,
            gate=Gate.at(client._context, settings.concurrency),  # noqa: SLF001 (nothing for users)
            workers=workers,
        )
        summary, counts = run.run()
    return Outcome(summary, counts, stop.reason, run.outage)


def _unsent(count: int, reason: str) -> Outcome:
    figures = BatchFigures(count)
    figures.stopped = reason
    return Outcome(figures.summary(), Counts(unsent=count), reason, is_written=False)


def _options(settings: Settings, stop: Stop) -> CallOptions:
    """Return the options of the calls that find the service, which the end of the whole job ends, too."""
    deadlines = (settings.options.get("deadline"), settings.stop_after)
    given = [deadline for deadline in deadlines if deadline is not None]
    options: CallOptions = {**settings.options, "cancel": stop.asked}
    return {**options, "deadline": min(given)} if given else options


def _meanings(
    client: FoundryAPIClient,
    index: RequestIndex,
    hooks: Hooks,
    options: CallOptions,
    workers: WorkerCalls | None,
) -> dict[str, str]:
    """Return what each model's name stands for; find the service first."""
    models = index.models
    if len(models) > 1:
        parts = ", ".join(f"{name} ({count:,})" for name, count in models.items())
        hooks.note(f"Several models, one after the other, because a load takes long: {parts}.")
    if workers is not None:  # this machine need not have a service
        return {name: workers.call(_meaning, name, **options) for name in models}
    return {name: _meaning(client, name, **options) for name in models}


def _meaning(client: FoundryAPIClient, name: str, **options: Unpack[CallOptions]) -> str:
    id_ = client.models.id_of(name, **options)
    return f"\n{id_}\n{client.generation}"


@contextmanager
def _asked_at(until: float, stop: Stop) -> Iterator[None]:
    """Ask to stop when the job is out of time: an executor may have no worker, where no deadline counts."""
    if until == math.inf:
        yield
        return
    timer = threading.Timer(max(0.0, until - clock.monotonic()), stop.ask, [OUT_OF_TIME])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextmanager
def _naming(journal: Path) -> Iterator[None]:
    """Say in an error of a file where the results so far are."""
    try:
        yield
    except FoundryError:  # some are an OSError, too, as those of requests are
        raise
    except OSError as error:
        what = f"{error.strerror or error}; the results so far are in {journal}: run it again"
        raise OSError(error.errno, what) from error
