"""The command ``monitor``: a screen on a terminal, a line for each change elsewhere, and a page."""

from __future__ import annotations

import json
import sys
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, suppress
from datetime import datetime, timezone
from importlib.util import find_spec

from foundry_rest import clock
from foundry_rest.checks import whole_number
from foundry_rest.cli.check import settings_for
from foundry_rest.cli.client import client_for
from foundry_rest.cli.streams import print_note, print_text
from foundry_rest.ops.monitor import Change, Monitor, Sample

#: Seconds between two redraws: it tells how long a state lasts.
_REDRAW = 1.0


def monitor(arguments: Namespace) -> int:
    """Watch a service until Ctrl-C, or for as many checks as were asked for."""
    most = None if arguments.count is None else whole_number("--count", arguments.count, 1)
    done = threading.Event()
    with ExitStack() as open_until_the_end:
        # Its circuit is told, but bars no check of the service's health.
        client = open_until_the_end.enter_context(client_for(arguments, timeout=None, auto_load=False))
        told = _Told(most, done, as_json=arguments.json, is_quiet=_is_screen(arguments))
        watching = Monitor(
            client,
            interval=arguments.interval,
            settings=settings_for(arguments),
            on_change=told.change,
            on_sample=told.sample,
        )
        page = None
        if arguments.web is not None:
            from foundry_rest.ops.monitor_web import MonitorPage  # http.server is for this alone

            page = open_until_the_end.enter_context(MonitorPage(watching.report, arguments.web)).url
            print_note(f"Open {page} in a browser of this machine.")
        open_until_the_end.enter_context(watching)
        with suppress(KeyboardInterrupt):
            if _is_screen(arguments):
                from foundry_rest.cli.monitor_screen import show  # rich is for a terminal alone

                show(watching, page, lambda: _wait(done))
            else:
                while not _wait(done):
                    pass
    return 0


def _is_screen(arguments: Namespace) -> bool:
    return not arguments.json and sys.stdout.isatty() and find_spec("rich") is not None


def _wait(done: threading.Event) -> bool:
    """Wait a moment; return whether all is done."""
    return clock.wait(done, _REDRAW)


class _Told:
    """What is printed of changes and checks, by the monitor's thread."""

    def __init__(self, most: int | None, done: threading.Event, *, as_json: bool, is_quiet: bool) -> None:
        self._left, self._done = most, done
        self._as_json, self._is_quiet = as_json, is_quiet

    def sample(self, sample: Sample) -> None:
        """Print a check for a program, and count it."""
        if self._as_json:
            self._print(lambda: json.dumps({"kind": "sample", **sample.to_dict()}))
        if self._left is not None:
            self._left -= 1
            if not self._left:
                self._done.set()

    def change(self, change: Change) -> None:
        """Print a change."""
        if self._as_json:
            self._print(lambda: json.dumps({"kind": "change", **change.to_dict()}))
        elif not self._is_quiet:
            at = datetime.fromtimestamp(change.at, timezone.utc).isoformat(timespec="seconds")
            self._print(lambda: f"{at.replace('+00:00', 'Z')} {change.after}: {change.text}")

    def _print(self, line: Callable[[], str]) -> None:
        try:
            print_text(line())
        except OSError:  # the reader has left, and nobody else would end it
            self._done.set()
