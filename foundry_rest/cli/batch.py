"""The command ``batch``."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

from foundry_rest.batch.figures import BatchFigures, BatchSummary
from foundry_rest.batch.files import Files
from foundry_rest.batch.findings import Defaults, Finding
from foundry_rest.batch.intake import Intake, Selection
from foundry_rest.batch.job import Outcome, read_input, run_job
from foundry_rest.batch.output import Counts, Output
from foundry_rest.batch.report import render
from foundry_rest.batch.request_index import RequestIndex
from foundry_rest.batch.run import Hooks, Settings
from foundry_rest.batch.shards import Shard, merge
from foundry_rest.batch.stop import INTERRUPTED, SERVICE_DOWN, TERMINATED, Stop
from foundry_rest.batch.template import Template
from foundry_rest.checks import positive_seconds, seconds_from_zero, whole_number, whole_number_or_auto
from foundry_rest.cli.batch_progress import batch_progress
from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.signals import handled
from foundry_rest.cli.streams import print_note, print_text
from foundry_rest.config import MAX_CONCURRENCY, from_env
from foundry_rest.endpoints.batch import CONCURRENCY
from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.host_slots import MOST

#: Options for rows that are prompts -> parameters of chat.
_FOR_PROMPTS = ("system", "max_tokens", "temperature")
#: The circuit of a batch, which has nothing else to do: one probe every five seconds, however long it takes.
_CIRCUIT = BreakerPolicy(reset_after=5.0, growth=1.0, reset_max=5.0)
#: Members of a summary that only a plot needs.
_FOR_PLOTS = ("latency_histogram", "first_token_histogram", "progress")
#: Numbers of the command line and how they are checked.
_CHECKS: dict[str, Callable[[str, Any], object]] = {
    "limit": lambda name, value: whole_number(name, value, 1),
    "concurrency": lambda name, value: whole_number_or_auto(name, value, 1000),
    "host_slots": lambda name, value: whole_number(name, value, 1, MOST),
    "max_errors": lambda name, value: whole_number(name, value, 1),
    "stop_after": positive_seconds,
    "deadline": positive_seconds,
    "max_downtime": seconds_from_zero,
    "grace": seconds_from_zero,
}


def batch(arguments: Namespace) -> int:
    """Answer all requests of a file, or merge outputs; return the exit code."""
    if arguments.merge:
        return _merge(arguments)
    for name, check in _CHECKS.items():
        if getattr(arguments, name) is not None:
            check(f"--{name.replace('_', '-')}", getattr(arguments, name))
    if arguments.input is None or (arguments.output is None and not arguments.dry_run):
        raise ConfigError("batch needs INPUT and -o FILE", advice="See: foundry-rest batch --help")
    output = _output(arguments)
    with RequestIndex() as index:
        intake = _read(arguments, index)
        if intake.findings and not arguments.skip_invalid:
            raise ConfigError(
                f"{arguments.input}: {intake.findings:,} findings in {intake.rows:,} rows; nothing was sent",
                advice="Mend the lines, or leave them out with --skip-invalid.",
            )
        if arguments.dry_run or output is None:
            _print_plan(arguments, index, intake)
            return 0
        return _run(arguments, index, output)


def _merge(arguments: Namespace) -> int:
    out, *parts = arguments.merge
    if not parts or arguments.input or arguments.output:
        raise ConfigError(
            "--merge needs OUT and the parts, and nothing else", advice="See: foundry-rest batch --help"
        )
    counts = merge([Path(part) for part in parts], Path(out))
    print_note(f"{out}: {_described(counts)}")
    return _exit_code(counts, "")


def _output(arguments: Namespace) -> Output | None:
    if arguments.output is None:
        return None
    errors = None if arguments.errors is None else Path(arguments.errors)
    output = Output(Path(arguments.output), errors, arguments.ordered)
    source = None if arguments.input == "-" else Path(arguments.input)
    output.check(source, None if arguments.report is None else Path(arguments.report))
    return output


# ---------------------------------------------------------------- before the first request


def _read(arguments: Namespace, index: RequestIndex) -> Intake:
    given = {name: getattr(arguments, name) for name in _FOR_PROMPTS}
    defaults = Defaults(
        arguments.model or from_env().model,
        {name: value for name, value in given.items() if value is not None},
        None if arguments.prompt is None else Template(arguments.prompt),
        arguments.id,
    )
    shard = None if arguments.shard is None else Shard.of(arguments.shard)
    intake = Intake(index, defaults, lambda finding: _print_finding(arguments.input, finding))
    read_input(arguments.input, intake, arguments.format, Selection(arguments.limit, shard))
    return intake


def _print_finding(name: str, finding: Finding) -> None:
    place = f"{name}:{finding.line}" if finding.line else name
    print_note(f"{place}: {finding.code}: {finding.message}")


def _print_plan(arguments: Namespace, index: RequestIndex, intake: Intake) -> None:
    facts = {
        "rows": intake.rows,
        "requests": len(index),
        "findings": intake.findings,
        "urls": dict(intake.urls),
        "models": index.models,
    }
    if arguments.json:
        print_json(facts)
        return
    print_text(f"{len(index):,} requests in {intake.rows:,} rows, {intake.findings:,} findings")
    for what in ("urls", "models"):
        for name, count in facts[what].items():  # type: ignore[attr-defined]
            print_text(f"  {count:>10,}  {name}")


# ---------------------------------------------------------------- the run


def _run(arguments: Namespace, index: RequestIndex, output: Output) -> int:
    concurrency = arguments.concurrency or CONCURRENCY
    client = client_for(
        arguments,
        deadline=None,  # each call's, not the client's: discovery of the service may take longer
        breaker=_CIRCUIT,
        max_concurrency=MAX_CONCURRENCY if concurrency == "auto" else max(concurrency, MAX_CONCURRENCY),
    )
    settings = Settings(
        concurrency=concurrency,
        host_slots=arguments.host_slots,
        options={} if arguments.deadline is None else {"deadline": arguments.deadline},
        sync=arguments.sync,
        retry_failed=arguments.retry_failed,
        max_errors=arguments.max_errors,
        stop_after=arguments.stop_after,
        downtime=arguments.max_downtime,
        grace=arguments.grace,
    )
    stop = Stop()
    with client, ExitStack() as shown, _stop_on_signals(stop, arguments.grace):
        outcome = run_job(client, index, output, settings, _hooks(arguments, stop, shown), stop)
    if outcome.reason == SERVICE_DOWN and outcome.error is not None:
        print_note(f"foundry-rest: {outcome.error.for_command('batch')}")
    _print_summary(arguments, outcome)
    return _exit_code(outcome.counts, outcome.reason)


def _hooks(arguments: Namespace, stop: Stop, shown: ExitStack) -> Hooks:
    redraw: list[Callable[[], None]] = []
    said: list[str] = []

    def started(figures: BatchFigures) -> None:
        redraw.append(shown.enter_context(batch_progress(figures, quiet=arguments.json)))

    def progress() -> None:
        redraw[0]()
        if stop.reason and not said:
            said.append(stop.reason)
            print_note(f"Stopping ({stop.reason}): the calls under way are finished; Ctrl-C ends them now.")

    def ended(summary: BatchSummary) -> None:
        shown.close()
        if arguments.report is not None:
            page = render(summary, f"Batch {arguments.input}")
            Files().write_whole(Path(arguments.report), [page.encode()])

    return Hooks(started, progress, ended, print_note)


def _stop_on_signals(stop: Stop, grace: float) -> AbstractContextManager[None]:
    """Let one Ctrl-C finish the calls under way, a second end them, and SIGTERM do so after a grace."""

    def interrupt(number: int, _: object) -> None:
        if stop.asked.cancelled:
            signal.default_int_handler(number, None)
        stop.ask(INTERRUPTED)

    def terminate(_: int, __: object) -> None:
        stop.ask(TERMINATED, grace)

    handlers: dict[int, Callable[[int, Any], object]] = {signal.SIGINT: interrupt, signal.SIGTERM: terminate}
    if hasattr(signal, "SIGBREAK"):
        handlers[signal.SIGBREAK] = terminate
    return handled(handlers)


# ---------------------------------------------------------------- afterwards


def _print_summary(arguments: Namespace, outcome: Outcome) -> None:
    summary, counts = outcome.summary, outcome.counts
    written = {"succeeded": counts.succeeded, "failed": counts.failed, "unsent": counts.unsent}
    arguments.items.update(written)
    if arguments.json:
        facts = {name: value for name, value in summary.to_dict().items() if name not in _FOR_PLOTS}
        print_json({**facts, "output": {"path": arguments.output, **written}})
        return
    if not outcome.is_written:
        print_note(f"Stopped ({outcome.reason}) before the service was found; nothing was sent or written.")
        return
    print_note(str(summary))
    print_note(f"{arguments.output}: {_described(counts)}")
    if counts.failed and not counts.unsent:
        print_note("To send what failed again: --retry-failed, or --retry-failed=transient.")
    elif counts.unsent:
        print_note("To go on, run the same command again.")


def _described(counts: Counts) -> str:
    return f"{counts.succeeded:,} answers, {counts.failed:,} failed, {counts.unsent:,} without a result"


def _exit_code(counts: Counts, reason: str) -> int:
    if reason == SERVICE_DOWN:
        return 75
    if counts.unsent:
        return 7
    return 6 if counts.failed else 0
