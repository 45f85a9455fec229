"""Read one answer piece by piece, every read bounded."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.errors import (
    Cancelled,
    FoundryError,
    InvalidReply,
    ServiceError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.transport.session.exceptions import FOREIGN, CallSite, translate
from foundry_rest.transport.session.socket_handle import SocketHandle

if TYPE_CHECKING:
    import requests

    from foundry_rest.transport.call import Call

#: Bytes asked for at once; a larger piece saves nothing on events of a few hundred bytes.
PIECE = 65536
#: Seconds granted for the end of a body that is already complete, so that the connection can be kept.
DRAIN = 0.25
#: Pieces read for that at most: a body that goes on is not at its end.
_DRAIN_PIECES = 4
#: Statuses whose answers have no body.
_BODILESS = (204, 304)


class Body:
    """The unread body of one answer.

    Attributes:
        status: HTTP status.
        headers: Case-insensitive mapping.
        site: Which call, where.
    """

    def __init__(self, response: requests.Response, site: CallSite, call: Call, handle: SocketHandle) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.site = site
        self._response = response
        self._raw = response.raw
        self._handle = handle
        self._until = call.options.until
        self._rest = float("inf")
        self._coded = "content-encoding" in response.headers
        self._silence, self._phase = call.options.timeouts.first_token, "first_token"
        is_known = handle.begin_reading(self._silence) or self._find_socket()
        framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        self._end_is_told = framed or not is_known or self.status in _BODILESS

    def _find_socket(self) -> bool:
        """Show the handle the socket of a connection that is not ours; False when there is none."""
        found = _socket_of(self._raw)
        if found is not None:
            self._handle.take(found)
            self._handle.begin_reading(self._silence)
        return found is not None

    def read(self) -> bytes:
        """Return the next bytes as soon as there are any; ``b""`` at the end.

        Raises:
            TransportError: The connection broke or fell silent.
            DeadlineExceeded: The call's time ran out.
            Cancelled: ``close()`` was called, here or in another thread.
        """
        if self._rest != float("inf"):
            self._spend_rest()
        try:
            piece: bytes = self._raw.read1(PIECE, decode_content=self._coded)
        except (*FOREIGN, AttributeError) as error:
            raise self._failed(error) from error
        ended = self._handle.failure if self._handle.ended is not None else None
        if ended is not None:
            self.close()
            raise self.site.mark(ended)
        if not piece:
            self._release()
        return piece

    def _release(self) -> None:
        """Give the connection back now: whoever keeps the response, as errors do, would keep it open."""
        self._handle.release()
        release = getattr(self._raw, "release_conn", None)
        if release is not None:
            release()

    def read_all(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            InvalidReply: It is larger than ``limit`` bytes.
            ServiceUnreachable: There is none, and nobody said that there would be none.
        """
        try:
            return self._joined(limit)
        except BaseException:
            self.close()
            raise

    def _joined(self, limit: int) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while piece := self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise self.site.mark(InvalidReply(f"the answer is larger than {limit:,} bytes"))
        if not pieces and not self._end_is_told:
            # http.client takes a head that was cut for a whole one.
            raise self.site.mark(ServiceUnreachable("the connection closed before the body", sent=True))
        return b"".join(pieces)

    def read_some(self, limit: int) -> bytes:
        """Return what comes of a body that explains a failure; never raises one."""
        content = b""
        self.bound_rest(self._silence)
        with suppress(FoundryError):
            while len(content) < limit and (piece := self.read()):
                content += piece
        return content[:limit]

    def set_silence(self, seconds: float, phase: str) -> None:
        """Bound the silence before each further piece."""
        self._silence, self._phase = seconds, phase
        self._handle.set_timeout(seconds)

    def bound_rest(self, seconds: float) -> None:
        """Bound the time for all that may still come, whether silent or not."""
        self._rest = clock.monotonic() + seconds

    def finish(self) -> None:
        """Take the few bytes that end the body, so that the connection is kept; else close it."""
        self.bound_rest(DRAIN)
        with suppress(FoundryError):
            for _ in range(_DRAIN_PIECES):
                if not self.read():
                    return
        self.close()

    def close(self) -> None:
        """Abandon the body; from any thread, and a reader in another thread wakes at once."""
        self._handle.end(Cancelled)
        self._response.close()
        self._handle.release()

    def attach_to(self, error: ServiceError, content: bytes) -> None:
        """Give an error the response that code written for requests expects."""
        vars(self._response).update(_content=content, _content_consumed=True)
        error.response = self._response

    def _spend_rest(self) -> None:
        left = self._rest - clock.monotonic()
        if left <= 0:
            self.close()
            raise self.site.mark(ServiceTimeout("the end of the answer did not come", phase=self._phase))
        self._handle.set_timeout(min(self._silence, left))

    def _failed(self, error: Exception) -> FoundryError:
        ours = self._handle.failure
        if ours is None:
            late = clock.monotonic() >= self._until
            ours = translate(error, self.site, self._phase, late=late)
        if isinstance(ours, ServiceUnreachable):
            ours.begun = True
        self.close()
        return self.site.mark(ours)


def _socket_of(raw: object) -> socket.socket | None:
    """Return the socket under an answer; ``None`` for answers that never had one (test doubles)."""
    connection = getattr(raw, "_connection", None)
    found = getattr(connection, "sock", None)
    if found is None:  # "Connection: close": http.client gave the socket away to the body
        found = getattr(getattr(getattr(getattr(raw, "_fp", None), "fp", None), "raw", None), "_sock", None)
    return found if isinstance(found, socket.socket) else None
