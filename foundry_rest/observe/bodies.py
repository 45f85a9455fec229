"""BodyLog: what is sent and what is answered, in the log, for whoever looks for a fault."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from foundry_rest.control_characters import visible
from foundry_rest.errors import InvalidReply, ServiceError
from foundry_rest.observe.fan_out import logger
from foundry_rest.transport.call import Call, Reply
from foundry_rest.transport.interfaces import OpenReply, Target, Transport
from foundry_rest.transport.wrapped_stream import WrappedStream

#: Logs a body: what it is, and its bytes.
_Log = Callable[[str, bytes], None]


class BodyLog:
    """A transport that logs each body at level debug: prompts and answers, but no header and no key.

    Args:
        inner: Makes the attempt.
        hide_keys: Returns a body without the keys of its call.
    """

    def __init__(self, inner: Transport, hide_keys: Callable[[Call, bytes], bytes]) -> None:
        self._inner, self._hide_keys = inner, hide_keys

    def send(self, call: Call, target: Target) -> Reply:
        """Return the whole answer of one attempt."""
        with self._logged(call, target) as log:
            reply = self._inner.send(call, target)
        log("answer", reply.body)
        return reply

    def open(self, call: Call, target: Target) -> OpenReply:
        """Return the open stream of one attempt."""
        with self._logged(call, target) as log:
            return _LoggedStream(self._inner.open(call, target), log)

    def close(self) -> None:
        """Close every connection and end every wait."""
        self._inner.close()

    @contextmanager
    def _logged(self, call: Call, target: Target) -> Iterator[_Log]:
        """Log the request, and the body of an error that answers it; yield what logs a body."""
        facts = {
            "label": call.label,
            "call_id": call.id,
            "attempt": call.attempt,
            "model": call.model,
            "address": target.url,
        }

        def log(what: str, body: bytes) -> None:
            text = visible(self._hide_keys(call, body).decode(errors="replace"), keep_lines=False)
            logger.debug("%s %s: %s", call.label, what, text, extra=facts | {"body": what})

        log("request", call.body or b"")
        try:
            yield log
        except (ServiceError, InvalidReply) as error:
            log("error", error.body)
            raise


class _LoggedStream(WrappedStream):
    """An open stream whose events are logged."""

    def __init__(self, inner: OpenReply, log: _Log) -> None:
        super().__init__(inner)
        self._log = log

    def __iter__(self) -> Iterator[bytes]:
        for event in self.inner:
            self._log("event", event)
            yield event
