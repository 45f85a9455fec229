"""The command ``serve``: the embedded runtime in the foreground."""

from __future__ import annotations

import signal
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, suppress
from typing import NoReturn

from foundry_rest import clock
from foundry_rest.cli import ports
from foundry_rest.cli.signals import handled
from foundry_rest.cli.streams import discard, print_note
from foundry_rest.client import FoundryAPIClient
from foundry_rest.config import base_url, is_loopback
from foundry_rest.errors import ConfigError, ServiceUnreachable
from foundry_rest.runtime import LocalModel, LocalRuntime
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.discovery.registry_file import Entry, remove, write

#: Seconds between two checks that the runtime lives; signals end the wait at once.
_POLL_INTERVAL = 0.5


def serve(model_dirs: Sequence[str], host: str, port: int | None, names: Sequence[str] = ()) -> None:
    """Serve until SIGINT or SIGTERM.

    Args:
        model_dirs: Folders to serve; none for the public catalog.
        host: Address to listen on.
        port: Port to listen on, 0 for any; ``None`` for the default one, or any while that is taken.
        names: Models to have in memory before anybody is told of the service.

    Raises:
        ConfigError: A folder holds no model, or a name cannot be one.
        ServiceUnreachable: The runtime did not start, or died.
        ServiceError: A model is not there, or cannot be loaded.
    """
    for name in names:
        check_model_name(name)
    # The handlers are installed second: until the runtime is up, Ctrl-C interrupts its start.
    with _started(model_dirs, host, port) as runtime, _stop_on_signals():
        url = base_url(runtime.url)
        try:
            with suppress(KeyboardInterrupt):
                loaded = _load(url, names)
                _register(Entry(url=url, pid=runtime.pid, started=clock.now()))
                _announce(runtime, url, host, loaded)
                _wait_for_exit(runtime, url)
        finally:
            remove(runtime.pid)
        print_note("Stopped.")


def _started(model_dirs: Sequence[str], host: str, port: int | None) -> LocalRuntime:
    usual = ports.DEFAULT_PORT
    if port is not None:
        return LocalRuntime(model_dirs, host=host, port=port).start()
    if ports.is_free(host, usual):
        try:
            return LocalRuntime(model_dirs, host=host, port=usual).start()
        except ServiceUnreachable:
            if ports.is_free(host, usual):  # and not taken meanwhile
                raise
    holder = ports.holder_of(base_url(f"http://{host}:{usual}"))
    print_note(f"Port {usual} is taken by {holder}; taking a free one.")
    return LocalRuntime(model_dirs, host=host, port=0).start()


def _load(url: str, names: Sequence[str]) -> list[str]:
    """Load the models and return their exact ids."""
    if not names:
        return []
    print_note(f"Loading {', '.join(names)} ...")
    with FoundryAPIClient(url) as client:
        return [client.models.load(name).id for name in names]


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


def _announce(runtime: LocalRuntime, url: str, host: str, loaded: Sequence[str]) -> None:
    names = ", ".join(model.alias for model in runtime.models) or "the public catalog"
    print_note(f"Serving {names} at {url} (pid {runtime.pid}); Ctrl-C stops it.")
    print_note(f"Other clients: base URL {url}/v1, any key, and the exact id of a model in memory:")
    for line in _ids(runtime.models, loaded):
        print_note(f"  {line}")
    if not is_loopback(f"http://{host}"):
        print_note(
            f"WARNING: the service has NO AUTHENTICATION. Whoever can reach {host} can use it, "
            "shut it down, and have it open audio files of this machine."
        )
    # Last: a script that has read the address may rely on everything before it.
    try:
        print(url, flush=True)
    except OSError:  # A daemon's stdout is closed; others find the address in the registry file.
        discard(sys.stdout)


def _ids(models: Sequence[LocalModel], loaded: Sequence[str]) -> list[str]:
    """Return a line for each model: its id, and how to have it in memory where it is not."""
    unloaded = [model for model in models if model.id not in loaded]
    lines = [f"{id_} (in memory)" for id_ in dict.fromkeys(loaded)]
    lines += [f"{model.id} (not yet: foundry-rest load {model.alias})" for model in unloaded]
    return lines or ["none yet: foundry-rest load NAME prints it"]


def _stop_on_signals() -> AbstractContextManager[None]:
    """Raise KeyboardInterrupt at SIGTERM and at SIGINT, which a shell's background job would ignore.

    The handler raises, because one that set a ``threading.Event`` would wait for ever for the lock that
    the interrupted ``wait`` holds.
    """
    return handled(dict.fromkeys((signal.SIGINT, signal.SIGTERM), signal.default_int_handler))
