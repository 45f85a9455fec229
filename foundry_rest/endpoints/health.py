"""Health: whether the service answers, which models are loaded, how much memory it uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.checks import positive_seconds
from foundry_rest.config import is_loopback
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
from foundry_rest.errors.process import late_import
from foundry_rest.models.disk import local_folder
from foundry_rest.schema import HealthReport, ServiceStatus
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.context import Context
from foundry_rest.services.listeners import pids_at
from foundry_rest.services.target import Target
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.call_options import CallOptions, OtherCallOptions
from foundry_rest.transport.cancellation import sleep

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.schema.service_state import ServiceState

T = TypeVar("T")

#: Default timeout in seconds. The status takes milliseconds, even under load (docs/reference/service.md,
#: section 2).
_DEFAULT_TIMEOUT = 5.0
#: Errors of a status request to a service that is not running, not ready, or not Foundry Local.
_UNHEALTHY = (TransportError, ServiceError, InvalidReply, DeadlineExceeded)
#: Seconds between two checks of a service that is starting.
_POLL = 0.1
#: Statuses for a route that a server does not have.
_NO_ROUTE = (404, 405, 501)


class Health:
    """The health endpoint, whose requests bypass retries, breaker and slots to show the present state."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def check(self, **options: Unpack[CallOptions]) -> HealthReport:
        """Return the health of the service.

        ``status`` is ``"ok"``, or ``"busy"`` when the service answers but does not send the list of loaded
        models in time, as happens while a model is being loaded.

        Args:
            options: Options of the call. ``timeout``, 5 s by default, bounds the silence of each of the two
                requests and, unless ``deadline`` does, both together; ``retries`` is 0 by default.

        Raises:
            TransportError: The service does not answer.
            InvalidReply: Another kind of service answers at the address.
            DeadlineExceeded: The service did not answer in time.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.health.check().loaded_models
            ('phi-4-mini-instruct-generic-cpu:5',)
        """
        return self._with_retries(options, self._check)

    def is_alive(self, **options: Unpack[CallOptions]) -> bool:
        """Return whether a Foundry Local service answers, without an error if it does not.

        Args:
            options: As for ``check``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.health.is_alive()
            True
        """
        try:
            self._with_retries(options, self._status)
        except _UNHEALTHY:
            return False
        return True

    def state(self, model: str | None = None, **options: Unpack[CallOptions]) -> ServiceState:
        """Return how the service is; a service that does not answer is a state and no error.

        ``if client.health.state():`` is true when a call could be answered.

        Args:
            model: Alias or id of a model that has to be in memory to be ready; any by default.
            options: As for ``check``.

        Raises:
            ConfigError: A value cannot be used.
            Cancelled: The client was closed or the token cancelled.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.health.state().status
            'ready'
        """
        with late_import():
            from foundry_rest.endpoints.service_state import after_failure, of_report

        if model is not None:
            check_model_name(model)
        try:
            report = self.check(**options)
            return of_report(report, model, self._context, self._context.options(**options))
        except _UNHEALTHY as error:
            return after_failure(error)

    def wait_until_ready(self, timeout: float = 30.0, **options: Unpack[OtherCallOptions]) -> HealthReport:
        """Return the first successful health report within ``timeout`` seconds.

        Args:
            timeout: Seconds for the whole wait.
            options: Further options of the call; an earlier ``deadline`` ends the wait.

        Raises:
            DeadlineExceeded: The service was not ready in time; the cause is the last failure.
            Cancelled: The client was closed or the token cancelled.

        Options: deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.health.wait_until_ready(10).status
            'ok'
        """
        until = clock.monotonic() + positive_seconds("timeout", timeout)
        given = self._context.options(**options)
        until = min(until, given.until)
        last: FoundryError | None = None
        while True:
            left = min(_DEFAULT_TIMEOUT, until - clock.monotonic())
            try:
                return self._check(
                    replace(
                        given, timeouts=_uniform_timeouts(max(0.01, left)), until=clock.monotonic() + left
                    )
                )
            except _UNHEALTHY as error:
                # The deadline of the last attempt tells less than why the one before failed.
                last = last if last is not None and isinstance(error, DeadlineExceeded) else error
                if clock.monotonic() + _POLL >= until:
                    raise _not_ready(last, timeout) from last
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
            cache_path=status.cache_path,
            raw=status.raw,
            headers=status.headers,
        )

    def _status(self, options: Options) -> tuple[ServiceStatus, Reply]:
        """Return the service's status and the response that held it."""

        def build(target: Target) -> Operation[Reply, tuple[ServiceStatus, Reply]]:
            operation = target.dialect.status(options)
            return Operation(operation.call, lambda reply: (operation.parse(reply), reply))

        dialect = self._context.dialect_for(options, probe=True)
        try:
            return self._context.ask(build, options, probe=True)
        except ServiceError as error:
            if dialect.has_status or error.status not in _NO_ROUTE:
                raise
            # It answers: a server without a list of models is alive all the same.
            return ServiceStatus(), Reply(error.status, {}, error.body, error.url)

    def _loaded(self, options: Options) -> list[str] | None:
        """Return the ids of the loaded models; ``None`` when the service is too busy to list them."""
        try:
            return self._context.ask(
                lambda target: target.dialect.models().loaded(options), options, probe=True
            )
        except UnsupportedByService:
            return []
        except (ServiceTimeout, DeadlineExceeded):
            return None

    def _with_retries(self, given: CallOptions, ask: Callable[[Options], T]) -> T:
        """Return the result of ``ask``, which is repeated up to ``retries`` times.

        A number as ``timeout`` bounds the silence of every phase and, without a deadline, the whole check.
        """
        options = self._context.options(**given)
        timeout = given.get("timeout", _DEFAULT_TIMEOUT)
        if timeout is None or isinstance(timeout, Timeouts):
            return self._repeat(options, ask)
        options = replace(options, timeouts=_uniform_timeouts(timeout))
        if given.get("deadline") is not None:
            return self._repeat(options, ask)
        bounded = replace(options, until=min(options.until, clock.monotonic() + timeout))
        try:
            return self._repeat(bounded, ask)
        except DeadlineExceeded as error:
            if bounded.until == options.until:
                raise
            raise _timed_out(error, timeout) from error

    def _repeat(self, options: Options, ask: Callable[[Options], T]) -> T:
        for _ in range(options.retries or 0):
            try:
                return ask(options)
            except _UNHEALTHY:
                self._pause(options, "to ask again")
        return ask(options)

    def _pause(self, options: Options, what: str) -> None:
        sleep(_POLL, options.tokens(self._context.closing), what)


def _timed_out(error: DeadlineExceeded, timeout: float) -> ServiceTimeout:
    """Return the timeout error of a check that was given ``timeout`` and no deadline."""
    return ServiceTimeout(
        f"the service was silent: no whole answer within {timeout:g} s", call=error.call, url=error.url
    )


def _uniform_timeouts(seconds: float) -> Timeouts:
    return Timeouts(connect=seconds, first_token=seconds, idle=seconds)


def _not_ready(error: FoundryError, timeout: float) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"the service was not ready within {timeout:g} s: {error.message}",
        call="health.wait_until_ready",
        url=error.url,
        advice=error.advice,
    )


def _resident_memory(status: ServiceStatus, url: str) -> int | None:
    """Return the resident memory of the service's process in bytes; ``None`` if it is not on this machine.

    A forwarded port has a loopback address although the service is elsewhere. So the process with the
    reported pid must own the listening port; where none is reported, the model directory must exist here.
    """
    if not is_loopback(url):
        return None
    import psutil

    try:
        port = urlsplit(url).port
        pid = status.pid
        if pid is None and local_folder(status.cache_path, url) is not None:
            pid = min(pids_at(url), default=None)
        if pid is None:
            return None
        process = psutil.Process(pid)
        ports = {connection.laddr.port for connection in process.net_connections("tcp") if connection.laddr}
        return int(process.memory_info().rss) if port in ports else None
    except (psutil.Error, OSError, RuntimeError, ValueError, OverflowError):
        # Windows' table of connections changed while it was read, or this is no valid pid.
        return None
