"""The caller's own session, as one attempt uses it: one request, no redirect, and bounds that hold.

A session that a program has set up may follow redirects and repeat requests inside its adapters, where no
deadline reaches, and nobody knows the socket that it waits for. It stays as it is: a *view* of it, of its
adapters and their pools shares all their attributes, and is of a class of its own that puts this right.
"""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import requests
from requests.adapters import HTTPAdapter
from urllib3.connectionpool import HTTPConnectionPool
from urllib3.util.retry import Retry

from foundry_rest import clock
from foundry_rest.transport.session.connections import BOUNDED, ReportingPool, SingleRequest
from foundry_rest.transport.session.socket_handle import current_handle

T = TypeVar("T")

#: What requests itself gives to an adapter without retries.
_NO_RETRY = Retry(0, read=False)
#: Seconds; 0 would be refused.
_SHORTEST_TIMEOUT = 0.001


class _SessionView(SingleRequest):
    """A session whose adapters are views, too."""

    def get_adapter(self, url: str) -> Any:  # noqa: ANN401 (any adapter that the caller has mounted)
        """Return the view of the adapter, or the adapter itself if it does not send over HTTP."""
        adapter = super().get_adapter(url)
        return _view(adapter, _AdapterView) if isinstance(adapter, HTTPAdapter) else adapter


class _AdapterView(HTTPAdapter):
    """An adapter that sends once, within the deadline, and whose pools are views, too."""

    max_retries = property(lambda self: _NO_RETRY, lambda self, value: None)

    def send(self, request: requests.PreparedRequest, *args: Any, **kwargs: Any) -> requests.Response:  # noqa: ANN401
        """Return the answer; a request that a hook sends again gets the time that is left."""
        handle, timeouts = current_handle(), kwargs.get("timeout")
        if handle is not None and isinstance(timeouts, tuple):
            left = max(handle.due - clock.monotonic(), _SHORTEST_TIMEOUT)
            kwargs["timeout"] = tuple(min(seconds, left) for seconds in timeouts)
        answer = super().send(request, *args, **kwargs)
        if handle is not None:
            handle.bound = float("inf")
        return answer

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (requests' own)
        """Return a view of the pool, whose connections stay the caller's."""
        pool = super().get_connection_with_tls_context(*args, **kwargs)
        return _view(pool, _PoolView) if isinstance(pool, HTTPConnectionPool) else pool


class _PoolView(ReportingPool):
    """A pool whose connections wait as those made here do; one of a class of the caller's stays as it is."""

    def _get_conn(self, timeout: float | None = None) -> Any:  # noqa: ANN401 (urllib3's own)
        conn: Any = super()._get_conn(timeout)
        ours = BOUNDED.get(type(conn))
        if ours is not None and conn.sock is None:
            conn.__class__ = ours
        elif ours is not None and conn.proxy is None:  # it waits for another request: its socket is not ours
            conn.close()
            conn.__class__ = ours
        return conn


def view_of(session: requests.Session) -> requests.Session:
    """Return a view of a session; a double that only looks like one is returned as it is."""
    return _view(session, _SessionView) if issubclass(type(session), requests.Session) else session


def _view(thing: T, first: type) -> T:
    view: T = object.__new__(_class_with(first, type(thing)))  # type: ignore[arg-type]
    view.__dict__ = vars(thing)  # the same attributes, not equal ones
    return view


@cache
def _class_with(first: type, kind: type) -> Any:  # noqa: ANN401 (a class made here)
    return type(kind.__name__, (first, kind), {"__module__": kind.__module__})
