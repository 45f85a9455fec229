"""The command ``bench``: arguments in, tables and advice out; Ctrl-C ends it with the figures so far."""

from __future__ import annotations

import signal
from argparse import Namespace
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from foundry_rest.batch.files import Files
from foundry_rest.cli.bench_output import lines_of
from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.signals import handled
from foundry_rest.cli.streams import print_note, print_text
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import MAX_CONCURRENCY
from foundry_rest.errors import ConfigError
from foundry_rest.ops.bench import BenchReport, BenchRun, BenchSettings, parse_goodput
from foundry_rest.ops.bench import bench as benched
from foundry_rest.transport.cancellation import CancelToken

#: Options that are settings of the same name.
_SETTINGS = ("model", "requests", "repeat", "warmup", "seed", "prompt_tokens", "max_tokens")


def bench(arguments: Namespace) -> int:
    """Measure the service, print what was found, and return the exit code."""
    settings, cancel = _settings(arguments), CancelToken()
    plot = None if arguments.plot is None else _plot_path(arguments.plot)
    with _client_for(arguments, settings) as client, _cancel_on_interrupt(cancel):
        show = _quiet if arguments.json else _show
        report = benched(client, settings, cancel=cancel, progress=show)
        model = settings.model or client.model
    _print(report, arguments, model)
    if plot is not None and report.levels:
        from foundry_rest.ops.bench.plot import render

        Files().write_whole(plot, [render(report).encode()])
    return _exit_code(report)


def _exit_code(report: BenchReport) -> int:
    if report.interrupted:
        return 130
    if report.advice is None:
        return 1
    return 6 if any(level.errors for level in report.levels) else 0


def _settings(arguments: Namespace) -> BenchSettings:
    given: dict[str, Any] = {name: getattr(arguments, name) for name in _SETTINGS}
    return BenchSettings(
        concurrency=_concurrency(arguments.concurrency),  # type: ignore[arg-type]
        prompts=_prompts(arguments),
        goodput={} if arguments.goodput is None else parse_goodput(arguments.goodput),
        **{name: value for name, value in given.items() if value is not None},
    )


def _concurrency(text: str) -> int | str:
    """Return the number; what is none is left to the settings, which say what is allowed."""
    return int(text) if text.isascii() and text.isdigit() else text


def _prompts(arguments: Namespace) -> tuple[str, ...]:
    if arguments.prompt is not None:
        return (arguments.prompt,)
    if arguments.prompts is None:
        return ()
    try:
        text = Path(arguments.prompts).read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{arguments.prompts} cannot be read: {error}") from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise ConfigError(f"{arguments.prompts} holds no prompt", advice="Write one on each line.")
    return lines


def _plot_path(name: str) -> Path:
    path = Path(name)
    if path.suffix.lower() != ".svg" or path.is_dir() or not path.parent.is_dir():
        raise ConfigError(f"{name} cannot be a plot", advice="Name a file.svg in a folder that is there.")
    return path


def _client_for(arguments: Namespace, settings: BenchSettings) -> FoundryAPIClient:
    """Return a client that changes nothing about what is measured."""
    return client_for(
        arguments,
        breaker=None,
        auto_load=False,
        max_concurrency=max(MAX_CONCURRENCY, settings.level_from),
    )


def _cancel_on_interrupt(cancel: CancelToken) -> AbstractContextManager[None]:
    """Let Ctrl-C end the calls under way; a second one ends the program."""

    def interrupt(number: int, _: object) -> None:
        if cancel.cancelled:
            signal.default_int_handler(number, None)
        cancel.cancel()

    handlers: dict[int, Callable[[int, Any], object]] = {signal.SIGINT: interrupt}
    return handled(handlers)


def _show(run: BenchRun) -> None:
    figures = run.figures
    print_note(
        f"{run.concurrency} at a time: {run.requested} requests in {run.duration:.2f} s, "
        f"{figures['output_throughput']:,.0f} tokens/s"
    )


def _quiet(_: BenchRun) -> None:
    """Say nothing: a program reads stderr, too."""


def _print(report: BenchReport, arguments: Namespace, model: str) -> None:
    if arguments.json:
        facts = report.summary()
        if report.advice is not None:
            facts["client"] = report.advice.line(model, arguments.url)
        print_json(facts)
        return
    for line in lines_of(report, model, arguments.url):
        print_text(line)
