"""The command ``serve``: the embedded runtime in the foreground."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import NoReturn

from foundry_rest import clock
from foundry_rest.cli.signals import handled
from foundry_rest.cli.streams import discard, print_note
from foundry_rest.config import base_url, is_loopback
from foundry_rest.errors import ConfigError, ServiceUnreachable
from foundry_rest.runtime import LocalRuntime
from foundry_rest.services.discovery.registry_file import Entry, remove, write

#: Seconds between two checks that the runtime lives; signals end the wait at once.
_POLL_INTERVAL = 0.5


def serve(model_dirs: Sequence[str], host: str, port: int, *, as_json: bool = False) -> None:
    """Serve until SIGINT or SIGTERM; print the address, or one line of JSON with process and models, too.

    Raises:
        ConfigError: A folder holds no model.
        ServiceUnreachable: The runtime did not start, or died.
    """
    # The handlers are installed second: until the runtime is up, Ctrl-C interrupts its start.
    with LocalRuntime(model_dirs, host=host, port=port) as runtime, _stop_on_signals():
        url = base_url(runtime.url)
        try:
            with suppress(KeyboardInterrupt):
                _register(Entry(url=url, pid=runtime.pid, started=clock.now()))
                _announce(runtime, url, host, as_json=as_json)
                _wait_for_exit(runtime, url)
        finally:
            remove(runtime.pid)
        print_note("Stopped.")


def _wait_for_exit(runtime: LocalRuntime, url: str) -> NoReturn:
    while runtime.is_alive():
        clock.sleep(_POLL_INTERVAL)
    raise ServiceUnreachable(
        "the runtime ended by itself",
        url=url,
        call="serve",
        advice="Start it again; if a request ended it, the same request will end it again.",
    )


def _register(entry: Entry) -> None:
    try:
        write(entry)
    except ConfigError as error:
        print_note(f"WARNING: other programs must be told FOUNDRY_ENDPOINT={entry.url}: {error}")


def _announce(runtime: LocalRuntime, url: str, host: str, *, as_json: bool) -> None:
    names = ", ".join(model.alias for model in runtime.models) or "the public catalog"
    print_note(f"Serving {names} at {url} (pid {runtime.pid}); Ctrl-C stops it.")
    if not is_loopback(f"http://{host}"):
        print_note(
            f"WARNING: the service has NO AUTHENTICATION. Whoever can reach {host} can use it, "
            "shut it down, and have it open audio files of this machine."
        )
    # Last: a script that has read the address may rely on everything before it.
    facts = {"url": url, "pid": runtime.pid, "models": [model.alias for model in runtime.models]}
    try:
        print(json.dumps(facts) if as_json else url, flush=True)
    except OSError:  # A daemon's stdout is closed; others find the address in the registry file.
        discard(sys.stdout)


def _stop_on_signals() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt at SIGTERM and at SIGINT, which a shell's background job would ignore.

    The handler raises, because one that set a ``threading.Event`` would wait for ever for the lock that
    the interrupted ``wait`` holds.
    """
    return handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.default_int_handler))
