"""Every exception of requests and urllib3 is one of ours, with ``sent`` known; nothing foreign gets out."""

from __future__ import annotations

import errno
import http.client
import socket
import ssl

import pytest
import requests
import urllib3

from foundry_rest.errors import (
    ConfigError,
    DeadlineExceeded,
    InvalidReply,
    ServiceTimeout,
    ServiceUnreachable,
    TransportError,
)
from foundry_rest.transport.session.exceptions import CallSite, translate

PLACE = CallSite("http://127.0.0.1:5273", "chat.complete", "demo")
CONNECTION = http.client.HTTPConnection("127.0.0.1", 9)
POOL = urllib3.HTTPConnectionPool("127.0.0.1")
#: Class by name -> arguments where a message alone will not do.
ARGUMENTS = {
    "CompatJSONDecodeError": ("no", "doc", 0),
    "JSONDecodeError": ("no", "doc", 0),
    "ClosedPoolError": (POOL, "no"),
    "EmptyPoolError": (POOL, "no"),
    "FullPoolError": (POOL, "no"),
    "PoolError": (POOL, "no"),
    "HeaderParsingError": ([], b""),
    "HostChangedError": (POOL, "http://x"),
    "IncompleteRead": (1, 2),
    "InvalidChunkLength": (urllib3.HTTPResponse(b"x"), b"zz"),
    "MaxRetryError": (POOL, "/x"),
    "NameResolutionError": ("host", CONNECTION, socket.gaierror(1, "no")),
    "NewConnectionError": (CONNECTION, "no"),
    "ProxyError urllib3": ("no", OSError("x")),
    "ReadTimeoutError": (POOL, "/x", "no"),
    "RequestError": (POOL, "/x", "no"),
}
#: Class by name -> ours; ``sent`` where it is one of transport.
UNSENT, SENT = (ServiceUnreachable, False), (ServiceUnreachable, True)
MAPPED = {
    ConfigError: "InvalidJSONError InvalidProxyURL InvalidSchema InvalidURL LocationParseError "
    "LocationValueError MissingSchema StreamConsumedError TimeoutStateError UnrewindableBodyError "
    "URLRequired URLSchemeUnknown ProxySchemeUnknown ProxySchemeUnsupported",
    InvalidReply: "ContentDecodingError DecodeError HeaderParsingError InvalidHeader JSONDecodeError "
    "ResponseError TooManyRedirects",
    ServiceTimeout: "ConnectTimeout ConnectTimeoutError ReadTimeout ReadTimeoutError Timeout TimeoutError",
    UNSENT: "ClosedPoolError EmptyPoolError NameResolutionError NewConnectionError ProxyError SSLError",
    SENT: "BaseHTTPError BodyNotHttplibCompatible ChunkedEncodingError ConnectionError FullPoolError "
    "HTTPError HostChangedError IncompleteRead InvalidChunkLength MaxRetryError PoolError ProtocolError "
    "RequestError RequestException ResponseNotChunked RetryError",
}
#: Imported into these modules from elsewhere, and never raised by an attempt.
NOT_THEIRS = {"CompatJSONDecodeError", "MessageDefect", "httplib_IncompleteRead"}


def classes():
    """Return every exception class of both modules, warnings left out."""
    modules = (requests.exceptions, urllib3.exceptions)
    return [
        pytest.param(item, id=f"{module.__name__}.{name}")
        for module in modules
        for name, item in sorted(vars(module).items())
        if isinstance(item, type)
        and issubclass(item, Exception)
        and not issubclass(item, Warning)
        and name not in NOT_THEIRS
    ]


@pytest.mark.parametrize("cls", classes())
def test_every_class_of_the_libraries_is_mapped(cls):
    """A class that a new version brings fails here until somebody has thought about it."""
    key = f"{cls.__name__} {cls.__module__.partition('.')[0]}"
    error = cls(*ARGUMENTS.get(key, ARGUMENTS.get(cls.__name__, ("no",))))
    ours = translate(error, PLACE, "headers")
    expected = [wanted for wanted, names in MAPPED.items() if cls.__name__ in names.split()]

    assert expected in ([type(ours)], [(type(ours), getattr(ours, "sent", None))])
    assert type(ours) is not TransportError
    assert (ours.url, ours.call, ours.model) == (PLACE.url, PLACE.call, PLACE.model)


@pytest.mark.parametrize(
    ("error", "cls", "sent"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "no"), ServiceUnreachable, False),
        (ConnectionResetError(errno.ECONNRESET, "no"), ServiceUnreachable, True),
        (OSError(errno.EIO, "no"), ServiceUnreachable, True),
        (TimeoutError(), ServiceTimeout, True),
        (AttributeError("'NoneType' object has no attribute 'read1'"), TransportError, True),
        (ValueError("read of closed file"), TransportError, True),
    ],
)
def test_bare_errors_are_mapped_too(error, cls, sent):
    """What a closed or foreign response raises while it is read becomes one of ours."""
    ours = translate(error, PLACE, "idle")

    assert (type(ours), ours.sent) == (cls, sent)


def test_a_time_out_after_the_deadline_is_the_deadline():
    """When both are due it is the call's time that ran out."""
    assert type(translate(TimeoutError(), PLACE, "idle", late=True)) is DeadlineExceeded
    assert type(translate(ConnectionResetError(), PLACE, "idle", late=True)) is ServiceUnreachable


def test_a_chain_that_bites_its_tail_ends():
    """Errors may hold each other."""
    first, second = RuntimeError("a"), RuntimeError("b")
    first.__cause__, second.__cause__ = second, first

    assert type(translate(first, PLACE, "idle")) is TransportError


def test_a_lost_tls_connection_may_have_been_sent():
    """An end inside TLS says nothing about the request; a refused certificate says that it never left."""
    lost = translate(requests.exceptions.SSLError(ssl.SSLEOFError(8, "EOF")), PLACE, "headers")
    refused = translate(requests.exceptions.SSLError(ssl.SSLCertVerificationError(1, "no")), PLACE, "headers")

    assert (type(lost), lost.sent, type(refused), refused.sent) == (
        ServiceUnreachable,
        True,
        ServiceUnreachable,
        False,
    )
