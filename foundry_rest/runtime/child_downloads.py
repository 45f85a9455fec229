"""The child's half of a download: Microsoft's SDK fetches, the parent hears how far it is.

Each order has a thread of its own; the native library makes orders for one model wait for each other.
A thread only puts `News` into a queue: the child's main thread is the only one that writes to the pipe.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.runtime.protocol import News, Order

if TYPE_CHECKING:
    from foundry_local_sdk.catalog import Catalog
    from foundry_local_sdk.imodel import IModel

#: News is worth a line when so much more has come; the library tells of every piece of 4 MiB or less.
_STEP = 0.001


class Fetcher:
    """Carry out orders with one catalog.

    Args:
        catalog: Microsoft's.
        tell: Takes the news, from any thread.
    """

    def __init__(self, catalog: Catalog, tell: Callable[[News], object]) -> None:
        self._catalog = catalog
        self._tell = tell
        self._stops: dict[int, threading.Event] = {}

    def take(self, order: Order) -> None:
        """Begin a download, or stop the one of that number; returns at once."""
        if not order.download:
            stop = self._stops.get(order.number)
            if stop is not None:
                stop.set()
            return
        self._stops[order.number] = threading.Event()
        threading.Thread(target=self._carry_out, args=(order,), daemon=True).start()

    def _carry_out(self, order: Order) -> None:
        try:
            news = self._fetch(order)
        except Exception as error:  # noqa: BLE001  # the thread's top level: whatever it is, the parent hears it
            code = getattr(error, "error_code", 0)
            news = News(order.number, outcome="failed", reason=f"{error}" or type(error).__name__, code=code)
        del self._stops[order.number]
        self._tell(news)

    def _fetch(self, order: Order) -> News:
        number, name = order.number, order.download
        # Only an alias is found by the one, only an id by the other.
        model = self._catalog.get_model(name) or self._catalog.get_model_variant(name)
        if model is None:
            return News(number, outcome="unknown", known=_names(self._catalog.list_models()))
        model.download(self._reporter(number), self._stops[number])
        if not model.is_cached:
            return News(number, outcome="failed", reason="the download ended, but the model is not on disk")
        return News(number, fraction=1.0, outcome="cached")

    def _reporter(self, number: int) -> Callable[[float], None]:
        told = 0.0

        def report(percent: float) -> None:
            nonlocal told
            fraction = percent / 100
            if fraction >= told + _STEP:
                told = fraction
                self._tell(News(number, fraction=min(fraction, 1.0)))

        return report


def _names(models: list[IModel]) -> tuple[tuple[str, str], ...]:
    return tuple((variant.alias, variant.id) for model in models for variant in model.variants)
