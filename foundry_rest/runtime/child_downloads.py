"""Downloads in the child: Microsoft's SDK fetches, and the parent is sent the progress.

Each command has a thread of its own; the native library runs downloads of one model one after the other.
A thread only puts its `Progress` into a queue: the child's main thread alone writes to the pipe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.runtime.protocol import Command, Progress

if TYPE_CHECKING:
    from foundry_local_sdk.catalog import Catalog
    from foundry_local_sdk.imodel import IModel

#: Share of a model after which progress is sent again; the library reports every piece of 4 MiB or less.
_STEP = 0.001


class DownloadWorker:
    """The execution of download commands with one catalog.

    Args:
        catalog: Microsoft's.
        send: Takes the progress, from any thread.
    """

    def __init__(self, catalog: Catalog, send: Callable[[Progress], object]) -> None:
        self._catalog = catalog
        self._send = send
        self._stops: dict[int, threading.Event] = {}

    def handle(self, command: Command) -> None:
        """Begin a download or a removal, or stop the one with that number; returns at once."""
        if not command.download and not command.forget:
            stop = self._stops.get(command.number)
            if stop is not None:
                stop.set()
            return
        self._stops[command.number] = threading.Event()
        threading.Thread(target=self._execute, args=(command,), daemon=True).start()

    def _execute(self, command: Command) -> None:
        try:
            progress = self._forget(command) if command.forget else self._download(command)
        except Exception as error:  # noqa: BLE001 (the thread's top level: the parent is sent every error)
            code, reason = getattr(error, "error_code", 0), f"{error}" or type(error).__name__
            progress = Progress(command.number, outcome="failed", reason=reason, code=code)
        del self._stops[command.number]
        self._send(progress)

    def _download(self, command: Command) -> Progress:
        number, name = command.number, command.download
        # The first look-up finds only an alias, the second only an id.
        model = self._catalog.get_model(name) or self._catalog.get_model_variant(name)
        if model is None:
            return Progress(number, outcome="unknown", known=_names(self._catalog.list_models()))
        model.download(self._reporter(number), self._stops[number])
        if not model.is_cached:
            reason = "the download ended, but the model is not on disk"
            return Progress(number, outcome="failed", reason=reason)
        return Progress(number, fraction=1.0, outcome="cached")

    def _forget(self, command: Command) -> Progress:
        """Have the library forget a model whose folder is gone: until then it takes it for cached."""
        model = self._catalog.get_model_variant(command.forget)
        if model is not None and model.is_cached:
            model.remove_from_cache()
        return Progress(command.number, outcome="forgotten")

    def _reporter(self, number: int) -> Callable[[float], None]:
        sent = 0.0

        def report(percent: float) -> None:
            nonlocal sent
            fraction = percent / 100
            if fraction >= sent + _STEP:
                sent = fraction
                self._send(Progress(number, fraction=min(fraction, 1.0)))

        return report


def _names(models: list[IModel]) -> tuple[tuple[str, str], ...]:
    return tuple((variant.alias, variant.id) for model in models for variant in model.variants)
