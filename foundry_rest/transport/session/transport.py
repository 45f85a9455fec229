"""One attempt over a ``requests.Session``.

By default requests does what must not happen here: take proxies from the environment (loopback would go
through them), read ``.netrc`` (it replaces the key), keep cookies, follow redirects (a POST becomes a
GET), guess the encoding of text, and bound a body only by the silence between two packets. Requests are
therefore prepared here, sent with every setting explicit, and read piece by piece.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import requests
from requests.adapters import HTTPAdapter

from foundry_rest import clock
from foundry_rest.errors import (
    AuthenticationError,
    Cancelled,
    DeadlineExceeded,
    InvalidReply,
    TransportError,
)
from foundry_rest.errors.advice import KEY_WAS_KEPT
from foundry_rest.errors.parsing import ERROR_MARK, error_in
from foundry_rest.errors.process import late_import
from foundry_rest.transport.call import MAX_ANSWER, Auth, Call, Reply
from foundry_rest.transport.fork import renew_after_fork
from foundry_rest.transport.session.body import FOREIGN, Body, CallSite
from foundry_rest.transport.session.connections import build_session, proxies_and_tls
from foundry_rest.transport.session.deadlines import Deadlines
from foundry_rest.transport.session.event_stream import EventStream
from foundry_rest.transport.session.request_builder import RequestBuilder, header_size
from foundry_rest.transport.session.socket_handle import SocketHandle
from foundry_rest.transport.sse import SSEDecoder

if TYPE_CHECKING:
    from foundry_rest.schema.use import ConnectionUse
    from foundry_rest.transport.interfaces import Decoder, Target

#: Most bytes read of an answer that is an error or of the wrong content type.
MAX_ERROR_BODY = 64 * 1024
#: The lowest status of a response that is no interim one.
_FINAL = 200


class SessionTransport:
    """A transport over pooled connections, which sends each call once.

    Args:
        headers: Added to every request.
        auth: Signs every request; takes precedence over ``api_key``.
        api_key: Sent as Bearer token.
        session: The caller's own session; its headers, auth, TLS settings, adapters and hooks are
            kept, it is not closed, proxies are used for other machines only, and its adapters retry nothing.
        pool_size: Connections kept open.
    """

    def __init__(
        self,
        *,
        headers: Mapping[str, str] | None = None,
        auth: Auth | tuple[str, str] | None = None,
        api_key: str | None = None,
        session: requests.Session | None = None,
        pool_size: int = 32,
    ) -> None:
        self._pool_size = pool_size
        self._given = session
        self._session = build_session(pool_size) if session is None else _view_of(session)
        self._builder = RequestBuilder(self._session, headers or {}, auth, api_key, given=session is not None)
        self._abandoned: list[object] = []
        self._closed = False
        self._deadlines = Deadlines()
        renew_after_fork(self)

    def send(self, call: Call, target: Target) -> Reply:
        """Return the whole answer of one attempt.

        Raises:
            TransportError: No whole answer came.
            ServiceError: The service answered with an error, by its status or in the body of a 200.
            DeadlineExceeded: ``call.options.until`` passed.
            Cancelled: ``close()`` was called meanwhile.
        """
        started = clock.monotonic()
        body = self._exchange(call, target)
        if body.status >= 300:
            raise _refusal(body, call, is_key_kept=self._builder.keeps_key and not target.is_known)
        content = body.read_all(MAX_ANSWER)
        error = error_in(content) if ERROR_MARK in content else None
        if error is not None:
            raise body.mark(error)
        return Reply(body.status, body.headers, content, body.site.url, clock.monotonic() - started)

    def open(self, call: Call, target: Target) -> EventStream:
        """Return the open stream of one attempt; its first event has arrived and is not an error.

        Raises:
            TransportError: No event came.
            ServiceError: The service answered with an error, by its status or as the first event.
            InvalidReply: The answer is not a stream of the kind that the call asks for.
            DeadlineExceeded: ``call.options.until`` passed.
            Cancelled: ``close()`` was called meanwhile.
        """
        body = self._exchange(call, target, accept="*/*" if call.lines else "text/event-stream")
        if body.status >= 300:
            raise _refusal(body, call, is_key_kept=self._builder.keeps_key and not target.is_known)
        try:
            return _opened(body, call)
        except BaseException:  # Ctrl-C too: an unread stream would hold its connection
            body.close()
            raise

    def close(self) -> None:
        """End every wait and close every connection made here; idempotent.

        Calls under way and later ones raise Cancelled. A session of the caller stays open.
        """
        self._closed = True
        self._deadlines.close()
        if self._given is None:
            self._session.close()

    def hide_keys(self, call: Call, content: bytes) -> bytes:
        """Return a body with stars in place of the keys that the call carries, as far as they are known."""
        from foundry_rest.transport.session.masking import masked

        return masked(content, self._builder.keys_for(call))

    def header_size(self, call: Call, target: Target) -> int:
        """Return the bytes that the head of a call's request needs; nothing is sent."""
        return header_size(self._builder.build(call, target, "application/json"))

    @property
    def use(self) -> ConnectionUse:
        """Return the use of the connections."""
        from foundry_rest.transport.session.connection_use import use_of

        return use_of(self._session)

    def _exchange(self, call: Call, target: Target, accept: str = "application/json") -> Body:
        """Send the request and return the body of the answer, unread."""
        if self._closed:
            raise Cancelled("the client is closed", call=call.label, model=call.model)
        site = CallSite(target.url, call.label, call.model)
        request = self._builder.build(call, target, accept)
        left = call.options.until - clock.monotonic()
        if left <= 0:
            raise site.mark(DeadlineExceeded("the deadline passed before the request was sent"))
        handle = self._deadlines.new_handle(left, call.options.timeouts.first_token)
        if call.options.cancel is not None:
            handle.watch(call.options.cancel)
        response = self._send(request, call, site, left, handle)
        ended = handle.failure if handle.ended is not None else None
        if ended is not None:  # http.client takes the part of a head that had come for a whole one
            response.close()
            handle.release()
            raise site.mark(ended)
        body = Body(response, site, call, handle)
        if body.is_coded and request.headers.get("Accept-Encoding", "identity") == "identity":
            _refuse_coding(body)
        if body.status < _FINAL:  # 101, or another one through a session that is not ours
            body.close()
            raise site.mark(InvalidReply(f"the interim response {body.status} came in place of an answer"))
        return body

    def _send(
        self, request: requests.PreparedRequest, call: Call, site: CallSite, left: float, handle: SocketHandle
    ) -> requests.Response:
        timeout = (min(call.options.timeouts.connect, left), min(call.options.timeouts.first_token, left))
        settings = proxies_and_tls(self._session, site.url)
        settings |= {"stream": True, "timeout": timeout, "allow_redirects": False}
        try:
            with handle:
                return self._session.send(request, **settings)
        except FOREIGN as error:
            try:
                with late_import(sent=True):
                    from foundry_rest.transport.session.exceptions import answer_or_raise
            except TransportError:
                handle.release()
                vars(error).pop("request", None)  # with its keys, which nothing can hide now
                raise
            try:
                return answer_or_raise(error, request, call, site, handle, settings)
            except BaseException:
                handle.release()
                raise
        except BaseException:  # Ctrl-C too: the cancel token would keep the handle
            handle.release()
            raise

    def renew(self) -> None:
        """Replace all connections in a forked child: a shared socket would mix up answers."""
        self._abandoned += [self._session, self._deadlines]
        self._deadlines.forget()
        self._deadlines = Deadlines()
        if self._given is None:
            self._session = build_session(self._pool_size)
        else:
            self._renew_pools(self._given)

    def _renew_pools(self, session: requests.Session) -> None:
        for adapter in set(session.adapters.values()):
            if isinstance(adapter, HTTPAdapter):
                self._abandoned.append(adapter.poolmanager)
                # As unpickling an adapter does: the same settings, new pools.
                adapter.__setstate__(adapter.__getstate__())  # type: ignore[attr-defined]


def _refuse_coding(body: Body) -> None:
    """Raise InvalidReply for a coded answer that was not asked for; leave the body of an error out.

    What a few bytes become is not known before they are decoded.
    """
    if body.status >= 300:
        body.leave_coded()
        return
    body.close()
    coding = body.headers["content-encoding"][:60]
    what = f"the answer is coded ({coding}), which was not asked for"
    raise body.mark(InvalidReply(what, where="content-encoding"))


def _refusal(body: Body, call: Call, *, is_key_kept: bool) -> Exception:
    content = body.read_some(MAX_ERROR_BODY)
    body.finish()
    with late_import(sent=True):
        from foundry_rest.errors.bodies import service_error

    error = service_error(
        body.status, body.headers, content, call=call.label, url=body.site.url, model=call.model
    )
    body.attach_to(body.mark(error), content)
    if is_key_kept and isinstance(error, AuthenticationError):
        error.advice = KEY_WAS_KEPT
    return error


def _opened(body: Body, call: Call) -> EventStream:
    kind = body.headers.get("content-type", "")
    if not _is_stream(kind.lower(), lines=call.lines):
        raise _not_a_stream(body, kind, "lines of text" if call.lines else "an event stream")
    stream = EventStream(body, call.options.timeouts.idle, _line_decoder() if call.lines else SSEDecoder())
    stream.await_first()
    return stream


def _line_decoder() -> Decoder:
    from foundry_rest.transport.lines import LineDecoder

    return LineDecoder()


def _view_of(session: requests.Session) -> requests.Session:
    from foundry_rest.transport.session.given_session import view_of

    return view_of(session)


def _is_stream(kind: str, *, lines: bool) -> bool:
    # 0.x sends its lines under several content types; only an HTML page is certainly something else.
    return "text/html" not in kind if lines else not kind or "text/event-stream" in kind


def _not_a_stream(body: Body, kind: str, wanted: str) -> Exception:
    content = body.read_some(MAX_ERROR_BODY)
    body.finish()
    error = error_in(content)
    if error is not None:
        return body.mark(error)
    shown = kind.split(";", maxsplit=1)[0].strip()[:60]
    return body.mark(
        InvalidReply(f"expected {wanted}, got {shown}", where="content-type", body=content[:2048])
    )
