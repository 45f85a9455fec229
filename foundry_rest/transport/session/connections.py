"""The session that is made here when the caller gives none.

requests parses the URL of every request six times, looks twice for a proxy, and reads the answer's cookies
twice, to drop them in the end: a third of what a small call costs. What depends on the address alone is
looked up once here, and what is never used is left out. Everything else is requests' own.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.structures import CaseInsensitiveDict
from requests.utils import get_encoding_from_headers

from foundry_rest.transport.session.socket_handle import tell_sockets


class Adapter(HTTPAdapter):
    """Send over pools that are kept by address; through a proxy or TLS as requests does."""

    def __init__(self, pool_size: int) -> None:
        self._pools: dict[str, Any] = {}
        super().__init__(pool_connections=8, pool_maxsize=pool_size)
        tell_sockets(self)
        # urllib3 2 leaves this to the garbage collector, and an error that somebody keeps holds its pool.
        self.poolmanager.pools.dispose_func = lambda pool: pool.close()

    def get_connection_with_tls_context(
        self,
        request: requests.PreparedRequest,
        verify: bool | str | None,  # noqa: FBT001 (requests' own signature, as below)
        proxies: Mapping[str, str] | None = None,
        cert: Any = None,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        """Return the pool of an address; one that was closed meanwhile is made anew."""
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
        """Return the path; a proxy wants the whole URL."""
        return super().request_url(request, proxies) if proxies else request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: Any) -> requests.Response:  # noqa: ANN401
        """Return the response without cookies: none is taken here."""
        response = requests.Response()
        response.status_code = resp.status
        response.headers = CaseInsensitiveDict(resp.headers)
        response.encoding = get_encoding_from_headers(response.headers)
        response.raw, response.reason = resp, resp.reason
        response.url, response.request = str(req.url), req
        response.connection = self
        return response


class Session(requests.Session):
    """Send and nothing else: no cookies, no redirects, which requests would read whole, asked or not."""

    def send(self, request: requests.PreparedRequest, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Return the answer of the adapter."""
        del kwargs["allow_redirects"]
        kwargs.setdefault("verify", self.verify)
        return self.get_adapter(url=str(request.url)).send(request, **kwargs)


def build_session(pool_size: int) -> requests.Session:
    """Return a session that keeps ``pool_size`` connections, takes no cookies and retries nothing."""
    session = Session()
    session.headers.clear()
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    adapter = Adapter(pool_size)
    session.mount("http://", adapter)
    session.mount("https://", adapter)
    return session
