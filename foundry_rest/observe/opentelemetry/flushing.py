"""The end of a script: what is left is sent, within a time that holds."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from opentelemetry import metrics, trace

from foundry_rest import clock
from foundry_rest.checks import positive_seconds
from foundry_rest.observe.fan_out import logger


def flush(timeout: float, *providers: object) -> bool:
    """Send the spans and metrics that wait, and return whether that was done in time.

    The SDK's own ``force_flush`` waits for a silent collector as long as its exporter does, whatever time it
    is given; this function leaves it behind. An exporter that gives up in time counts as done.

    Call it before the program's end: while Python ends, as in a function of ``atexit``, some versions start
    no thread, and nothing is sent.

    Args:
        timeout: Most seconds that it may take.
        providers: The providers to flush, those of the whole program by default.

    Raises:
        ConfigError: ``timeout`` is no number above 0.
    """
    until = clock.monotonic() + positive_seconds("timeout", timeout)
    found = providers or (trace.get_tracer_provider(), metrics.get_meter_provider())
    flushes = [each.force_flush for each in found if hasattr(each, "force_flush")]
    done: SimpleQueue[bool] = SimpleQueue()
    try:
        for each in flushes:
            arguments = (each, int(timeout * 1000), done)
            threading.Thread(target=_flush, args=arguments, name="foundry_rest-flush", daemon=True).start()
        results = [done.get(timeout=max(0.0, until - clock.monotonic())) for _ in flushes]
    except Empty:
        return False
    except RuntimeError:
        logger.warning("nothing can be flushed while Python ends; call flush() before")
        return False
    return all(results)


def _flush(force_flush: Callable[[int], object], milliseconds: int, done: SimpleQueue[bool]) -> None:
    try:
        done.put(force_flush(milliseconds) is not False)
    except Exception:  # noqa: BLE001 (a provider or exporter may raise anything)
        logger.exception("an exporter failed while it was flushed")
        done.put(False)  # noqa: FBT003
