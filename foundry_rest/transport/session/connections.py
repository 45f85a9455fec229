"""Connections: their pools, their proxies, and the session that is used when the caller gives none.

requests parses the URL of every request six times, looks for a proxy twice, and reads the answer's cookies
twice, to drop them in the end: a third of the cost of a small call. Here everything that depends on the
address alone is looked up once, and everything unused is left out. The rest is requests' own.
"""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from http.client import BadStatusLine, HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from types import FunctionType
from typing import TYPE_CHECKING, Any

import requests
import urllib3.connection
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers, select_proxy
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.exceptions import ConnectTimeoutError, NameResolutionError, NewConnectionError

from foundry_rest.config import is_loopback
from foundry_rest.transport.session.socket_handle import (
    BoundedSocket,
    BoundedTLSSocket,
    SocketHandle,
    current_handle,
)

if TYPE_CHECKING:
    from urllib3._base_connection import BaseHTTPConnection
    from urllib3.connection import HTTPConnection, HTTPSConnection
else:  # the real ones, also when this is imported while vcrpy has put its own in their place
    HTTPConnection, HTTPSConnection = (
        next(cls for cls in found.__mro__ if cls.__module__ == "urllib3.connection")
        for found in (urllib3.connection.HTTPConnection, urllib3.connection.HTTPSConnection)
    )

#: What requests itself does to send; ``None`` where a tool that traces requests was here first.
_UNTRACED = (
    requests.Session.send
    if isinstance(requests.Session.send, FunctionType)
    and requests.Session.send.__globals__ is vars(requests.sessions)
    else None
)


#: Statuses of interim responses, without 100, which http.client passes over, and 101, which promises another
#: protocol and no further response.
_INTERIM = range(102, 200)
#: Interim responses before the final one; a service sends one or two.
_MOST_INTERIM = 64


class _FinalResponse(HTTPResponse):
    """A response past the interim ones (102, 103), which http.client takes for the final one."""

    def _read_status(self) -> tuple[str, int, str]:
        for _ in range(_MOST_INTERIM):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]
            if line[1] not in _INTERIM:
                return line
            http.client.parse_headers(self.fp)
        raise BadStatusLine("interim responses without end")


class _Connection(HTTPConnection):
    """A connection that reports its socket before it is connected."""

    response_class = _FinalResponse

    def _new_conn(self) -> socket.socket:
        try:
            return _connect(self)
        except socket.gaierror as error:
            raise NameResolutionError(self.host, self, error) from error
        except TimeoutError as error:
            raise ConnectTimeoutError(self, "no connection within the time allowed") from error
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {error}") from error


class HandshakeTimeout(ConnectTimeoutError):
    """A service that accepted the connection, but did not end the TLS handshake in time."""


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS; a failure of the TLS handshake counts as a failure to connect."""

    def connect(self) -> None:
        try:
            super().connect()
            if type(self.sock) is ssl.SSLSocket:
                self.sock.__class__ = BoundedTLSSocket
        except TimeoutError as error:
            raise HandshakeTimeout(self, "no secure connection within the time allowed") from error
        except (ConnectionError, ssl.SSLEOFError) as error:
            raise NewConnectionError(self, f"no secure connection: {error}") from error


#: Classes of urllib3's connections -> ours, whose waits are bounded.
BOUNDED: dict[type, type] = {HTTPConnection: _Connection, HTTPSConnection: _SecureConnection}


def _connect(connection: HTTPConnection) -> socket.socket:
    """Return a connected socket of the first address that answers.

    urllib3's own function returns the socket only when it is connected, so nothing could end that wait.
    """
    host = connection._dns_host.strip("[]")  # noqa: SLF001
    failure: OSError = OSError("the name has no address")
    for family, kind, protocol, _, address in _addresses(host, connection.port):
        try:
            return _connect_to(connection, BoundedSocket(family, kind, protocol), address)
        except OSError as error:  # also of the constructor: a kernel may lack a family that the name has
            # One address that refuses says more than another one that is silent.
            failure = failure if isinstance(failure, ConnectionRefusedError) else error
    raise failure


def _connect_to(connection: HTTPConnection, sock: BoundedSocket, address: Any) -> socket.socket:  # noqa: ANN401
    try:
        for option in connection.socket_options or ():
            sock.setsockopt(*option)
        sock.settimeout(connection.timeout)
        handle = current_handle() or SocketHandle()
        handle.take(sock)
        sock.connect(address)
        handle.take(sock)  # again: a socket could not be shut down before it was connected
    except OSError:
        sock.close()
        raise
    return sock


def _addresses(host: str, port: int | None) -> list[Any]:
    """Return the addresses of a name as ``getaddrinfo`` does, for ``localhost`` those of IPv4 first.

    The services listen there, and Windows tries a refused connection again for 2 s.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return sorted(found, key=lambda entry: host == "localhost" and entry[0] != socket.AF_INET)


class ReportingPool(HTTPConnectionPool):
    """A pool that reports the socket of each request before it is sent."""

    def _validate_conn(self, conn: BaseHTTPConnection) -> None:
        is_reused = not conn.is_closed
        super()._validate_conn(conn)
        if conn.is_closed:  # urllib3 connects here with TLS only
            conn.connect()
        sock = getattr(conn, "sock", None)
        handle = current_handle()
        if handle is not None and isinstance(sock, socket.socket):
            handle.is_reused = is_reused
            handle.take(sock)


class _Pool(ReportingPool):
    """A pool of connections that report their sockets before they are connected, too."""

    @property
    def ConnectionCls(self) -> type[HTTPConnection]:  # type: ignore[override]  # noqa: N802 (urllib3's name)
        """Return our class of connections, or that of a tool that records them (vcrpy)."""
        theirs = HTTPConnectionPool.ConnectionCls
        return _Connection if theirs is HTTPConnection else theirs  # type: ignore[return-value]


class _SecurePool(_Pool, HTTPSConnectionPool):
    """A pool that reports the socket again after the TLS handshake, which replaces it."""

    @property
    def ConnectionCls(self) -> type[HTTPSConnection]:  # type: ignore[override]  # noqa: N802 (as above)
        """Return our class of connections, or that of a tool that records them."""
        theirs = HTTPSConnectionPool.ConnectionCls
        return _SecureConnection if theirs is HTTPSConnection else theirs  # type: ignore[return-value]


def report_sockets(adapter: HTTPAdapter) -> None:
    """Make a new adapter's connections report their sockets to the current handle of their thread."""
    adapter.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}


class Adapter(HTTPAdapter):
    """An adapter that keeps its pools by address; through a proxy or TLS it acts as requests does."""

    def __init__(self, pool_size: int) -> None:
        self._pools: dict[str, Any] = {}
        super().__init__(pool_connections=8, pool_maxsize=pool_size)
        report_sockets(self)
        # urllib3 2 leaves this to the garbage collector, but an error that is kept refers to its pool.
        self.poolmanager.pools.dispose_func = lambda pool: pool.close()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001 (requests' own signature, as below)
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return the pool of an address; make a new one if it was closed."""
        url = str(request.url)
        if proxies or not url.startswith("http://"):
            return super().get_connection_with_tls_context(request, verify, proxies=proxies, cert=cert)
        origin = url[: url.find("/", 7)]
        pool = self._pools.get(origin)
        if pool is None or pool.pool is None:
            pool = super().get_connection_with_tls_context(request, verify, cert=cert)
            self._pools[origin] = pool
        return pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Return the path, or the whole URL for a proxy."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401
        """Return the response without cookies, which this session does not keep."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = str(req.url), req
        response.connection = self
        return response


class SingleRequest(requests.Session):
    """A session that follows no redirect, whose body requests would read whole."""

    def get_redirect_target(self, resp: requests.Response) -> None:
        """Return no address."""


class Session(SingleRequest):
    """A session that only sends, and keeps no cookies."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Return the answer of the adapter; a hook, or a tool that traces requests, takes its whole way."""
        if request.hooks["response"] or requests.Session.send is not _UNTRACED:
            return super().send(request, **kwargs)
        del kwargs["allow_redirects"]
        kwargs.setdefault("verify", self.verify)
        return self.get_adapter(url=str(request.url)).send(request, **kwargs)


def build_session(pool_size: int) -> requests.Session:
    """Return a session that keeps ``pool_size`` connections, stores no cookies and retries nothing."""
    session = Session()
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = Adapter(pool_size)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session


def proxies_and_tls(session: requests.Session, url: str) -> dict[str, Any]:
    """Return the proxies and the TLS settings of a request; loopback has no proxy.

    What the session says wins over the environment; in requests it is the other way round.
    """
    here = is_loopback(url)
    if here and url.startswith("http://"):
        return {"proxies": {}, "cert": None}
    settings = session.merge_environment_settings(url=url, proxies={}, stream=True, verify=None, cert=None)
    if session.verify not in (True, None):
        settings["verify"] = session.verify
    if not url.startswith("https://"):  # requests looks for its file all the same
        settings["cert"] = None
    if here or select_proxy(url, session.proxies):
        settings["proxies"] = {} if here else session.proxies
    return {name: settings[name] for name in ("proxies", "verify", "cert")}
