"""Health: is the service there, what is loaded, how much memory does it take."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from foundry_rest import clock
from foundry_rest.config import Timeouts, is_loopback, positive_seconds
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import (
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    ServiceError,
    ServiceTimeout,
    TransportError,
    UnsupportedByService,
)
from foundry_rest.schema import HealthReport, ServiceStatus
from foundry_rest.services.context import Context, read
from foundry_rest.transport.call import Options

#: Status answers in milliseconds even while a model is loaded or answers run (measured, section 1).
_PATIENCE = 5.0
#: What a service that is not there, not ready, or not one of ours makes of a status request.
_NOT_WELL = (TransportError, ServiceError, InvalidReply, DeadlineExceeded)
#: Seconds between two looks at a service that is starting.
_POLL = 0.1


class Health:
    """Ask the service how it is; never retried, so that the answer is about now."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self, *, timeout: float = _PATIENCE) -> HealthReport:
        """Return how the service is.

        ``status`` is ``"ok"``, or ``"busy"`` when the service answers but its list of loaded models
        waits, as it does while a model is being loaded.

        Args:
            timeout: Seconds of silence borne in each of the two requests.

        Raises:
            TransportError: The service does not answer.
            InvalidReply: Something else answers there.
        """
        options = self._options(timeout)
        dialect = self._context.dialect(self._context.probe, options)
        operation = dialect.status(options)
        reply = self._context.probe.send(operation.call)
        status = read(operation, reply)
        self._context.seen(status.pid)
        loaded = self._loaded(dialect, options)
        return HealthReport(
            status="busy" if loaded is None else "ok",
            url=reply.url,
            generation=dialect.generation,
            pid=status.pid,
            loaded_models=tuple(loaded or ()),
            memory_usage=_resident_memory(status, reply.url),
            latency=reply.elapsed,
            raw=status.raw,
            headers=status.headers,
        )

    def is_alive(self, *, timeout: float = _PATIENCE) -> bool:
        """Tell whether a Foundry Local service answers; never raises for a dead one."""
        options = self._options(timeout)
        try:
            operation = self._context.dialect(self._context.probe, options).status(options)
            operation.parse(self._context.probe.send(operation.call))
        except _NOT_WELL:
            return False
        return True

    def wait_until_ready(self, timeout: float = 30.0) -> HealthReport:
        """Return the first good health report within ``timeout`` seconds.

        Raises:
            DeadlineExceeded: None came in time; its cause is the last failure.
        """
        until = clock.monotonic() + positive_seconds("timeout", timeout)
        while True:
            try:
                return self.check(timeout=max(0.01, min(_PATIENCE, until - clock.monotonic())))
            except _NOT_WELL as error:
                if clock.monotonic() + _POLL >= until:
                    raise _not_ready(error, timeout) from error
            clock.sleep(_POLL)

    def _options(self, timeout: float) -> Options:
        seconds = positive_seconds("timeout", timeout)
        return self._context.options(Timeouts(connect=seconds, first_token=seconds, idle=seconds))

    def _loaded(self, dialect: Dialect, options: Options) -> list[str] | None:
        try:
            operation = dialect.loaded_models(options)
        except UnsupportedByService:
            return []
        try:
            return read(operation, self._context.probe.send(operation.call))
        except (ServiceTimeout, DeadlineExceeded):
            return None


def _not_ready(error: FoundryError, timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the service was not ready within {timeout:g} s: {error.message}",
        call="health.wait_until_ready",
        url=error.url,
        advice=error.advice,
    )


def _resident_memory(status: ServiceStatus, url: str) -> int | None:
    """Return the bytes that the service's process holds in memory, if it is a process of this machine.

    A forwarded port looks like this machine and is not. So the process that the service names must hold
    the listening port; and where it names none, its model directory must be here.
    """
    if not is_loopback(url):
        return None
    import psutil

    try:
        port = urlsplit(url).port
        pid = _listener(status.cache_path, port) if status.pid is None else status.pid
        if pid is None:
            return None
        process = psutil.Process(pid)
        ports = {held.laddr.port for held in process.net_connections("tcp") if held.laddr}
        return int(process.memory_info().rss) if port in ports else None
    except (psutil.Error, OSError, ValueError, OverflowError):  # the last two: no number for a process
        return None


def _listener(cache_path: str, port: int | None) -> int | None:
    """Return the process that listens on a port; ``None`` where the system does not show it."""
    if not cache_path or not Path(cache_path).is_dir():
        return None
    import psutil

    listening = (held for held in psutil.net_connections("tcp") if held.status == psutil.CONN_LISTEN)
    return next((held.pid for held in listening if held.laddr and held.laddr.port == port), None)
