"""The body of one answer, read piece by piece, with a bound on every read."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from contextlib import suppress
from io import BytesIO
from typing import TYPE_CHECKING, TypeVar

import msgspec
from requests.exceptions import RequestException
from urllib3.exceptions import HTTPError
from urllib3.response import BaseHTTPResponse, HTTPResponse

from foundry_rest import clock
from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    ServiceError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.errors.process import late_import
from foundry_rest.transport.session.socket_handle import SocketHandle

if TYPE_CHECKING:
    import requests

    from foundry_rest.transport.call import Call

E = TypeVar("E", bound=FoundryError)

#: The foreign errors of an attempt. ValueError is http.client's for a header or verb that it refuses to
#: send, and for reading a closed answer.
FOREIGN = (RequestException, HTTPError, OSError, ValueError)
#: Most bytes of one read; a larger piece saves nothing on events of a few hundred bytes.
PIECE = 65536
#: Seconds allowed for the end of a body that is already complete, so that the connection can be kept.
DRAIN = 0.25
#: Most pieces read for that: a body with more of them is not at its end.
_DRAIN_PIECES = 4
#: Codings that urllib3 decodes.
_CODINGS = frozenset(("gzip", "x-gzip", "deflate", "br", "zstd"))
#: Statuses whose answers have no body.
_BODILESS = (204, 304)


class CallSite(msgspec.Struct, frozen=True):
    """The address, the label and the model of one call, for its errors."""

    url: str
    call: str
    model: str

    def mark(self, error: E) -> E:
        """Return ``error`` with the facts of this site filled in where they are missing."""
        error.url, error.call = error.url or self.url, error.call or self.call
        error.model = error.model or self.model
        return error


class Body:
    """The unread body of one answer.

    Attributes:
        status: HTTP status.
        headers: Case-insensitive mapping.
        site: The call and its address.
        is_coded: It is compressed.
    """

    def __init__(self, response: requests.Response, site: CallSite, call: Call, handle: SocketHandle) -> None:
        self.status = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self.site = site
        self._response = response
        untouched = isinstance(response.raw, HTTPResponse) and vars(response)["_content"] is False
        self._raw: BaseHTTPResponse = response.raw if untouched else _readable(response)
        self._handle = handle
        self._until = call.options.until
        self._rest = float("inf")
        coding = response.headers.get("content-encoding")
        self.is_coded = coding is not None and not _CODINGS.isdisjoint(re.split(r"[\s,]+", coding.lower()))
        self._is_unread = False
        timeouts = call.options.timeouts
        self._silence, self._phase = timeouts.first_token, "first_token"
        self._patience = max(timeouts.first_token, timeouts.idle, timeouts.load)
        self._whole = handle.bound = clock.monotonic() + self._patience
        handle.longest, handle.receipts = self._patience, 0
        is_known = handle.begin_reading(self._silence) or self._find_socket()
        framed = "content-length" in response.headers or "transfer-encoding" in response.headers
        self._is_framed = framed or not is_known or self.status in _BODILESS

    def _find_socket(self) -> bool:
        """Give the handle the socket of a connection that is not ours; return False when there is none."""
        found = _socket_of(self._response.raw)
        if found is not None:
            self._handle.take(found)
            self._handle.begin_reading(self._silence)
        return found is not None

    def mark(self, error: E) -> E:
        """Return an error with the facts of this call; what it quotes has stars for keys and prompts."""
        with late_import(sent=True):
            from foundry_rest.transport.session.masking import mask

        mask(error, self._response.request)
        return self.site.mark(error)

    def read(self) -> bytes:
        """Return the next bytes as soon as there are any; ``b""`` at the end.

        Raises:
            TransportError: The connection broke or was silent for too long.
            DeadlineExceeded: The call's deadline passed.
            Cancelled: ``close()`` was called, here or in another thread.
        """
        if self._rest != float("inf"):
            self._spend_rest()
        try:
            piece = self._raw.read1(PIECE, decode_content=self.is_coded)
        except (*FOREIGN, AttributeError) as error:
            raise self._error_for(error) from error
        if self._handle.receipts > 1:
            self._handle.receipts, self._handle.bound = 0, min(self._rest, self._whole)
        ended = self._handle.failure if self._handle.ended is not None else None
        if ended is not None:
            self.close()
            raise self.site.mark(ended)
        if not piece:
            self._release()
        return piece

    def bound_whole(self) -> None:
        """Bound the time for one whole, be it a body or an event, by the longest that a service may take."""
        self._whole = clock.monotonic() + self._patience
        self._handle.bound = min(self._rest, self._whole)

    def unbound(self) -> None:
        """Let the silence alone bound what comes next."""
        self._whole = float("inf")
        self._handle.bound = self._rest

    def _release(self) -> None:
        """Return the connection to its pool now; a response that is kept, as in an error, would hold it."""
        self._handle.release()
        release = getattr(self._response.raw, "release_conn", None)
        if release is not None:
            release()

    def read_all(self, limit: int) -> bytes:
        """Return the whole body.

        Raises:
            InvalidReply: The body is larger than ``limit`` bytes.
            ServiceUnreachable: The connection ended without a body, though the head did not announce that.
        """
        try:
            return self._joined(limit)
        except BaseException:  # Ctrl-C too: an unread body would hold its connection
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
        if not pieces and not self._is_framed:
            # http.client treats a head that was cut as a whole one.
            raise self.site.mark(ServiceUnreachable("the connection closed before the body", sent=True))
        return b"".join(pieces)

    def read_some(self, limit: int) -> bytes:
        """Return as much as arrives of an error's body, at most ``limit`` bytes; raise no other failure.

        Raises:
            DeadlineExceeded: The call's deadline passed.
            Cancelled: ``close()`` was called, here or in another thread.
        """
        content = b""
        self.bound_rest(self._silence)
        try:
            while len(content) < limit and (piece := self.read()):
                content += piece
        except (DeadlineExceeded, Cancelled):
            raise
        except FoundryError:
            pass
        return b"" if self._is_unread else content[:limit]

    def leave_coded(self) -> None:
        """Read the body without decoding it, so that ``read_some`` has nothing to tell."""
        self.is_coded, self._is_unread = False, True

    def set_silence(self, seconds: float, phase: str) -> None:
        """Bound the silence before each further piece."""
        self._silence, self._phase = seconds, phase
        self._handle.set_timeout(seconds)

    def bound_rest(self, seconds: float) -> None:
        """Bound the time for the rest of the body, silent or not."""
        self._rest = self._handle.bound = clock.monotonic() + seconds

    def finish(self) -> None:
        """Read the few bytes that end the body, so that the connection is kept; close it otherwise."""
        self.bound_rest(DRAIN)
        with suppress(FoundryError):
            for _ in range(_DRAIN_PIECES):
                if not self.read():
                    return
        self.close()

    def close(self) -> None:
        """Abandon the body; from any thread, and a read in another thread ends at once."""
        self._handle.end(Cancelled)
        self._response.close()
        self._handle.release()

    def attach_to(self, error: ServiceError, content: bytes) -> None:
        """Set the response of an error, which code written for requests expects; it holds no key either."""
        with late_import(sent=True):
            from foundry_rest.transport.session.masking import hide_headers, keys_in, masked, masked_text

        keys = keys_in(self._response.request)
        vars(self._response).update(_content=masked(content, keys), _content_consumed=True)
        for name, value in self._response.headers.items():
            self._response.headers[name] = masked_text(value, keys)
        for response in (self._response, *self._response.history):
            hide_headers(response.request)
        error.response = self._response

    def _spend_rest(self) -> None:
        left = self._rest - clock.monotonic()
        if left <= 0:
            self.close()
            raise self.site.mark(ServiceTimeout("the end of the answer did not come", phase=self._phase))
        self._handle.set_timeout(min(self._silence, left))

    def _error_for(self, error: Exception) -> FoundryError:
        try:
            failure = self._handle.failure or self._translated(error)
        finally:
            self.close()
        if isinstance(failure, ServiceUnreachable):
            failure.begun = True
        return self.site.mark(failure)

    def _translated(self, error: Exception) -> FoundryError:
        with late_import(sent=True):
            from foundry_rest.transport.session.exceptions import translate

        return translate(error, self.site, self._phase, late=clock.monotonic() >= self._until)


def _readable(response: requests.Response) -> BaseHTTPResponse:
    """Return what is left to read of an answer that a hook has read, or that a double made of any file."""
    kept, raw = vars(response)["_content"], response.raw  # ``response.content`` would read it
    if kept is False and raw is not None:
        coding = response.headers.get("content-encoding", "")
        body = raw if hasattr(raw, "read1") else BytesIO(raw.read())
        return HTTPResponse(body, {"Content-Encoding": coding}, preload_content=False)
    vars(response)["_content_consumed"] = True
    return HTTPResponse(BytesIO(kept or b""), preload_content=False)


def _socket_of(raw: object) -> socket.socket | None:
    """Return the socket of an answer; ``None`` for an answer that never had one (a test double)."""
    connection = getattr(raw, "_connection", None)
    found = getattr(connection, "sock", None)
    if found is None:  # "Connection: close": http.client moved the socket to the body
        found = getattr(getattr(getattr(getattr(raw, "_fp", None), "fp", None), "raw", None), "_sock", None)
    return found if isinstance(found, socket.socket) else None
