"""Health: is the service there, what is loaded, how much memory does it take."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.checks import positive_seconds
from foundry_rest.config import Timeouts, is_loopback
from foundry_rest.dialects.operation import Operation
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
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.transport.call import CallOptions, Options, OtherCallOptions, Reply
from foundry_rest.transport.cancellation import sleep

if TYPE_CHECKING:
    from typing_extensions import Unpack

T = TypeVar("T")

#: Status answers in milliseconds even while a model is loaded or answers run (docs/service.md, section 2).
_PATIENCE = 5.0
#: What a service that is not there, not ready, or not one of ours makes of a status request.
_NOT_WELL = (TransportError, ServiceError, InvalidReply, DeadlineExceeded)
#: Seconds between two looks at a service that is starting.
_POLL = 0.1


class Health:
    """The health endpoint; it asks once, past breaker and slots, so that the answer is about now."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self, **options: Unpack[CallOptions]) -> HealthReport:
        """Return how the service is.

        ``status`` is ``"ok"``, or ``"busy"`` when the service answers but its list of loaded models
        waits, as it does while a model is being loaded.

        Args:
            options: Options of the call. ``timeout``, 5 s by default, bounds the silence of each of the two
                requests and, unless ``deadline`` does, both together; ``retries`` is 0 by default.

        Raises:
            TransportError: The service does not answer.
            InvalidReply: Something else answers there.
            DeadlineExceeded: It did not answer in time.
        """
        return self._tried(options, self._check)

    def is_alive(self, **options: Unpack[CallOptions]) -> bool:
        """Tell whether a Foundry Local service answers; never raises for a dead one.

        Args:
            options: As for ``check``.
        """
        try:
            self._tried(options, self._status)
        except _NOT_WELL:
            return False
        return True

    def wait_until_ready(self, timeout: float = 30.0, **options: Unpack[OtherCallOptions]) -> HealthReport:
        """Return the first good health report within ``timeout`` seconds.

        Args:
            timeout: Seconds for all of it.
            options: Further options of the call; a ``deadline`` that is earlier wins.

        Raises:
            DeadlineExceeded: None came in time; its cause is the last failure.
            Cancelled: The client was closed, or the token cancelled, meanwhile.
        """
        until = clock.monotonic() + positive_seconds("timeout", timeout)
        given = self._context.options(**options)
        until = min(until, given.until)
        while True:
            left = max(0.01, min(_PATIENCE, until - clock.monotonic()))
            try:
                return self._check(replace(given, timeouts=_all(left), until=clock.monotonic() + left))
            except _NOT_WELL as error:
                if clock.monotonic() + _POLL >= until:
                    raise _not_ready(error, timeout) from error
            self._pause(given, "until the service is ready")

    def _check(self, options: Options) -> HealthReport:
        status, reply = self._status(options)
        self._context.targets.note_pid(status.pid)
        loaded = self._loaded(options)
        return HealthReport(
            status="busy" if loaded is None else "ok",
            url=reply.url,
            generation=self._context.dialect_for(options).generation,
            pid=status.pid,
            loaded_models=tuple(loaded or ()),
            memory_usage=_resident_memory(status, reply.url),
            latency=reply.elapsed,
            raw=status.raw,
            headers=status.headers,
        )

    def _status(self, options: Options) -> tuple[ServiceStatus, Reply]:
        """Return the service's status with the answer that told it."""

        def build(target: Target) -> Operation[Reply, tuple[ServiceStatus, Reply]]:
            operation = target.dialect.status(options)
            return Operation(operation.call, lambda reply: (operation.parse(reply), reply))

        self._context.dialect_for(options, probe=True)
        return self._context.ask(build, options, probe=True)

    def _loaded(self, options: Options) -> list[str] | None:
        """Return the ids in memory; ``None`` where the service is too busy to tell."""
        try:
            return self._context.ask(
                lambda target: target.dialect.loaded_models(options), options, probe=True
            )
        except UnsupportedByService:
            return []
        except (ServiceTimeout, DeadlineExceeded):
            return None

    def _tried(self, given: CallOptions, ask: Callable[[Options], T]) -> T:
        """Return what ``ask`` returns, at the last of ``retries`` further tries.

        A number as ``timeout`` bounds the silence of every phase and, without a deadline, all together.
        """
        options = self._context.options(**given)
        timeout = given.get("timeout", _PATIENCE)
        if timeout is None or isinstance(timeout, Timeouts):
            return self._repeated(options, ask)
        options = replace(options, timeouts=_all(timeout))
        if given.get("deadline") is not None:
            return self._repeated(options, ask)
        bounded = replace(options, until=min(options.until, clock.monotonic() + timeout))
        try:
            return self._repeated(bounded, ask)
        except DeadlineExceeded as error:
            if bounded.until == options.until:
                raise
            raise _silent(error, timeout) from error

    def _repeated(self, options: Options, ask: Callable[[Options], T]) -> T:
        for _ in range(options.retries or 0):
            try:
                return ask(options)
            except _NOT_WELL:
                self._pause(options, "to ask again")
        return ask(options)

    def _pause(self, options: Options, what: str) -> None:
        own = () if options.cancel is None else (options.cancel,)
        sleep(_POLL, (self._context.closing, *own), what)


def _silent(error: DeadlineExceeded, timeout: float) -> ServiceTimeout:
    """Return the error for a check whose ``timeout`` ran out, in the words of what was given."""
    return ServiceTimeout(
        f"the service was silent: no whole answer within {timeout:g} s", call=error.call, url=error.url
    )


def _all(seconds: float) -> Timeouts:
    return Timeouts(connect=seconds, first_token=seconds, idle=seconds)


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
