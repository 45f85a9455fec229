"""The translation of every failure of requests and urllib3 into one of our errors, with ``sent`` known.

The classes of requests do not show what happened (a stall inside a body is a ConnectionError, a cut is
not), but the cause at the bottom does. Rows are tried in order, and the first class that fits wins.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from http.client import BadStatusLine, RemoteDisconnected
from pathlib import Path
from typing import Any

import requests
from requests import exceptions as requests_errors
from requests.hooks import dispatch_hook
from urllib3 import exceptions as urllib3_errors
from urllib3.connectionpool import HTTPConnectionPool

from foundry_rest import clock
from foundry_rest.errors import (
    ConfigError,
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    ServiceTimeout,
    ServiceUnreachable,
    TransportError,
)
from foundry_rest.errors.bodies import service_error
from foundry_rest.errors.process import is_out_of_resources, out_of_resources
from foundry_rest.transport.call import Call
from foundry_rest.transport.session.body import CallSite
from foundry_rest.transport.session.connections import HandshakeTimeout
from foundry_rest.transport.session.masking import hide_headers
from foundry_rest.transport.session.socket_handle import SocketHandle

_UNANSWERED = (RemoteDisconnected, ConnectionResetError, BrokenPipeError)
#: The variables that requests reads, in its order.
_CA_VARIABLES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def answer_or_raise(
    error: Exception,
    request: requests.PreparedRequest,
    call: Call,
    site: CallSite,
    handle: SocketHandle,
    settings: Mapping[str, Any],
) -> requests.Response:
    """Return the answer that a hook refused; raise our error for a request that got none.

    Args:
        error: What requests or urllib3 raised.
        request: The request; its keys are hidden, because the error refers to it.
        call: The call that it belongs to.
        site: The call's address.
        handle: The handle of its socket.
        settings: What the session was told: ``verify``, ``cert`` and others.
    """
    if handle.ended is None:
        answer = refused_answer(error)
        if answer is not None:
            return answer
        if raised_by_hook(error):
            raise error
    for sent in (request, getattr(error, "request", None)):  # a signer's hook may have sent another
        hide_headers(sent)
    ours = handle.failure or _failure(error, call, site, handle, settings)
    # The message of a request refused before it was sent may quote a header's value, maybe a key.
    raise site.mark(ours) from (None if isinstance(ours, ConfigError) else error)


def _failure(
    error: Exception, call: Call, site: CallSite, handle: SocketHandle, settings: Mapping[str, Any]
) -> FoundryError:
    phase = "upload" if handle.is_stuck else "headers"
    ours = translate(error, site, phase, late=clock.monotonic() >= call.options.until)
    if isinstance(ours, (ServiceUnreachable, ConfigError)) and site.url.startswith("https://"):
        reason = unusable_file(settings)
        if reason:
            return ConfigError(reason, advice="Give the path of a PEM file that exists.")
    if isinstance(ours, ServiceUnreachable):
        ours.stale = handle.is_reused and died_unanswered(error)
    return ours


def translate(error: BaseException, site: CallSite, phase: str, *, late: bool = False) -> FoundryError:
    """Return our error for a foreign one.

    Args:
        error: What requests or urllib3 raised.
        site: The call and its address.
        phase: What was waited for: ``"upload"``, ``"headers"``, ``"first_token"`` or ``"idle"``.
        late: The deadline of the whole call has passed, so that a time-out is the deadline's.
    """
    chain = list(_chain(error))
    scarce = next(filter(is_out_of_resources, chain), None)
    if scarce is not None:
        return site.mark(out_of_resources(scarce))
    for classes, build in _ROWS:
        hit = next((link for link in chain if isinstance(link, classes)), None)
        if hit is not None:
            ours = build(hit, phase)
            break
    else:
        ours = TransportError(f"the request failed: {type(error).__name__}")
    if late and isinstance(ours, ServiceTimeout):
        ours = DeadlineExceeded("the deadline passed while waiting for the answer")
    return site.mark(ours)


def died_unanswered(error: BaseException) -> bool:
    """Return whether a connection ended without one byte of an answer."""
    return any(isinstance(link, _UNANSWERED) for link in _chain(error))


def refused_answer(error: BaseException) -> requests.Response | None:
    """Return the answer that a hook of the caller's session refused, as by ``raise_for_status()``."""
    answer = error.response if isinstance(error, requests_errors.HTTPError) else None
    return answer if answer is not None and answer.status_code >= 400 else None


def raised_by_hook(error: BaseException) -> bool:
    """Return whether a hook's own code raised an error, not a request or an answer that it used."""
    if isinstance(error, (requests_errors.RequestException, urllib3_errors.HTTPError)):
        return False
    codes = [frame.f_code for frame, _ in traceback.walk_tb(error.__traceback__)]
    hook, send = dispatch_hook.__code__, HTTPConnectionPool.urlopen.__code__
    return hook in codes and send not in codes[codes.index(hook) :]


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yield the error and its causes, outermost first."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        link = waiting.pop(0)
        if isinstance(link, BaseException) and id(link) not in seen:
            seen.add(id(link))
            yield link
            waiting += [getattr(link, "reason", None), *link.args, link.__cause__, link.__context__]


def _timeout(phase: str) -> Callable[[BaseException, str], FoundryError]:
    def build(error: BaseException, waiting_for: str) -> FoundryError:
        now = phase or waiting_for
        words = {
            "connect": "no connection within the time allowed",
            "upload": "the service took no more of the request within the time allowed",
            "headers": "the service was silent: no answer within the time allowed",
            "first_token": "the service was silent: no first event within the time allowed",
            "idle": "the stream fell silent for longer than allowed",
        }[now]
        if now == "connect" and any(isinstance(link, HandshakeTimeout) for link in _chain(error)):
            words = "no secure connection (TLS) within the time allowed: the service may speak plain http"
        return ServiceTimeout(words, phase=now, sent=now != "connect")

    return build


def _unreachable(words: str, *, sent: bool) -> Callable[[BaseException, str], FoundryError]:
    return lambda error, phase: ServiceUnreachable(words, sent=sent)


def _refused(error: BaseException, phase: str) -> FoundryError:
    if phase not in ("headers", "upload"):  # read after another thread closed it
        return TransportError(f"the answer cannot be read any more: {type(error).__name__}")
    return ConfigError(f"the request cannot be sent: {type(error).__name__}")


def _retried(error: BaseException, phase: str) -> FoundryError:
    status = re.search(r"too many (\d{3}) error responses", str(error))
    if status is None:
        return ServiceUnreachable("the session's own retries were used up", sent=True)
    return service_error(int(status[1]), {}, b"")


def _tls(error: BaseException, phase: str) -> FoundryError:
    if any(isinstance(link, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) for link in _chain(error)):
        return ServiceUnreachable("the secure connection (TLS) was lost", sent=True)
    return ServiceUnreachable(
        "no secure connection (TLS): the certificate was refused or the service speaks plain http",
        sent=phase != "headers",
    )


def _unreadable(words: str, where: str) -> Callable[[BaseException, str], FoundryError]:
    return lambda error, phase: InvalidReply(words, where=where)


_Row = tuple[tuple[type[BaseException], ...], Callable[[BaseException, str], FoundryError]]

_ROWS: tuple[_Row, ...] = (
    (
        (requests_errors.InvalidHeader, urllib3_errors.InvalidHeader, urllib3_errors.HeaderParsingError),
        # Request headers were checked before, so these are the answer's, such as two different lengths.
        _unreadable("the answer's headers cannot be read", "headers"),
    ),
    ((requests_errors.RetryError,), _retried),
    ((requests_errors.JSONDecodeError,), _unreadable("the answer is not JSON", "$")),
    (
        (requests_errors.ContentDecodingError, urllib3_errors.DecodeError),
        _unreadable("the answer's compression is broken", "content-encoding"),
    ),
    (
        (
            requests_errors.InvalidURL,
            requests_errors.MissingSchema,
            requests_errors.InvalidSchema,
            requests_errors.InvalidJSONError,
            requests_errors.URLRequired,
            requests_errors.StreamConsumedError,
            requests_errors.UnrewindableBodyError,
            urllib3_errors.UnrewindableBodyError,
            urllib3_errors.LocationValueError,
            urllib3_errors.TimeoutStateError,
        ),
        _refused,
    ),
    ((requests_errors.SSLError, urllib3_errors.SSLError), _tls),
    (
        (requests_errors.ProxyError, urllib3_errors.ProxyError),
        _unreachable("the proxy could not be reached", sent=False),
    ),
    (
        (urllib3_errors.NameResolutionError, socket.gaierror),
        _unreachable("the host name is unknown", sent=False),
    ),
    ((ConnectionRefusedError,), _unreachable("connection refused: nothing listens there", sent=False)),
    (
        (urllib3_errors.NewConnectionError, urllib3_errors.ClosedPoolError, urllib3_errors.EmptyPoolError),
        _unreachable("no connection could be made", sent=False),
    ),
    ((requests_errors.ConnectTimeout, urllib3_errors.ConnectTimeoutError), _timeout("connect")),
    ((requests_errors.Timeout, urllib3_errors.TimeoutError, TimeoutError), _timeout("")),
    ((RemoteDisconnected,), _unreachable("the service closed the connection without an answer", sent=True)),
    (
        (ConnectionResetError, BrokenPipeError, ConnectionAbortedError),
        _unreachable("the service reset the connection", sent=True),
    ),
    (
        (BadStatusLine, requests_errors.TooManyRedirects, urllib3_errors.ResponseError),
        _unreadable("the answer is not HTTP that can be read", "status line"),
    ),
    ((requests_errors.HTTPError,), _unreachable("a hook of the session refused the answer", sent=True)),
    (
        # The errors of requests are all OSErrors.
        (OSError, urllib3_errors.HTTPError),
        _unreachable("the connection broke in the middle of the answer", sent=True),
    ),
    # Last, because a bad chunk size has a ValueError as its cause. Here http.client refuses a verb, a
    # header or a character.
    ((ValueError,), _refused),
)


def unusable_file(settings: Mapping[str, Any]) -> str:
    """Return which file of ``verify`` and ``cert`` cannot be used, who named it, and why; ``""`` for none."""
    verify, cert = settings.get("verify"), settings.get("cert")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if isinstance(verify, (str, os.PathLike)):
        source = next((name for name in _CA_VARIABLES if os.environ.get(name) == verify), "session.verify")
        reason = _reason(partial(_load_bundle, context, verify))
        if reason:
            return f"the CA bundle {os.fspath(verify)!r} ({source}) cannot be used: {reason}"
    file, key = cert if isinstance(cert, tuple) else (cert, None)
    # The empty password, because OpenSSL would ask the terminal for one.
    reason = _reason(partial(context.load_cert_chain, file, key, password="")) if cert else ""
    names = " and ".join(repr(str(name)) for name in (file, key) if name is not None)
    return f"the client certificate {names} (session.cert) cannot be used: {reason}" if reason else ""


def _load_bundle(context: ssl.SSLContext, path: str | os.PathLike[str]) -> None:
    if not Path(path).is_dir():
        context.load_verify_locations(path)


def _reason(load: Callable[[], object]) -> str:
    try:
        load()
    except (OSError, ValueError, TypeError) as error:
        words = getattr(error, "reason", None) or getattr(error, "strerror", None) or type(error).__name__
        return str(words).lower().replace("_", " ")
    return ""
