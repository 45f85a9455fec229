"""FoundryAdapter: what ``requests.Session.mount`` takes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import requests
from msgspec.structs import replace
from requests.adapters import BaseAdapter

from foundry_rest.client.adapter.errors import errors_for_requests
from foundry_rest.client.adapter.request import SCHEME, ForeignRequest, timeouts_for
from foundry_rest.client.adapter.response import streamed_response, whole_response
from foundry_rest.client.adapter.scheme import teach_scheme
from foundry_rest.client.adapter.stream import PassedStream, read_event
from foundry_rest.dialects.operation import Operation
from foundry_rest.endpoints.raw import check_route
from foundry_rest.errors import ServiceError
from foundry_rest.services.target import Target
from foundry_rest.transport.call import Options, Reply

if TYPE_CHECKING:
    from foundry_rest.client.client import FoundryAPIClient


class FoundryAdapter(BaseAdapter):
    """An adapter that sends the requests of a ``requests.Session`` through a client.

    ``session.mount("foundry://", FoundryAdapter())`` sends ``session.post("foundry://local/v1/...")`` to the
    service that is found; mounted on another prefix, such as the URL that the code has today, it answers
    for that. Requests get the client's discovery, loading on demand, retries, circuit breaker and deadline. A
    refusal of the service is a response, with its status; all else raises an error that is a
    ``requests.RequestException``. An answer that is asked for with ``"stream": true`` arrives as it is
    made, and a cut one raises; any other is read whole first.

    The session's headers travel but for those that may carry a key, such as ``Authorization`` and
    ``Cookie``: they were meant for another address, so keys are given to the client. The session's
    ``verify``, ``cert`` and proxies are left out too, for the client has its own, and redirects are not
    followed.

    Args:
        client: The client; by default one of the environment's settings, which ``close`` closes.

    Raises:
        ConfigError: A setting of the environment cannot be used.
    """

    def __init__(self, client: FoundryAPIClient | None = None) -> None:
        super().__init__()
        teach_scheme()
        self._owned = client is None
        if client is None:
            from foundry_rest.client.client import FoundryAPIClient

            client = FoundryAPIClient()
        self._client = client

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,  # noqa: FBT001, FBT002 (as requests declares it)
        timeout: object = None,
        verify: bool | str = True,  # noqa: FBT001, FBT002
        cert: object = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """Return the response to a prepared request, as ``requests.Session.send`` asks for it.

        Args:
            request: The request.
            stream: Not needed: the body says whether a stream is asked for.
            timeout: Seconds of silence, or ``(connect, silence)``; the client's for ``None``.
            verify: Left out, as the next two are.
            cert: Left out.
            proxies: Left out.

        Raises:
            requests.RequestException: No whole answer came; it is one of our errors, too.
        """
        del stream, verify, cert, proxies
        with errors_for_requests():
            foreign = ForeignRequest.of(request)
            check_route(foreign.method, foreign.path)
            options = self._options(foreign, timeout)
            try:
                return self._answer(request, foreign, options)
            except ServiceError as error:
                refusal = error.response
                if refusal is None or refusal.status_code < 300:
                    raise
                return whole_response(request, refusal.status_code, refusal.headers, refusal.content, self)

    def close(self) -> None:
        """Close the client, if it was made here."""
        if self._owned:
            self._client.close()

    def _options(self, foreign: ForeignRequest, timeout: object) -> Options:
        context = self._client._context  # noqa: SLF001 (no method for users)
        options = context.options(headers=foreign.headers)
        return replace(options, timeouts=timeouts_for(timeout, options.timeouts))

    def _answer(
        self, request: requests.PreparedRequest, foreign: ForeignRequest, options: Options
    ) -> requests.Response:
        context = self._client._context  # noqa: SLF001
        if foreign.streams:
            opened = context.open(
                PassedStream, partial(_streamed, foreign, options), options, model=foreign.model
            )
            return streamed_response(request, opened, self)
        reply = context.ask(
            partial(_whole, foreign, options), options, model=foreign.model, recognise=bool(foreign.model)
        )
        return whole_response(request, reply.status, reply.headers, reply.body, self)


def session_of(client: FoundryAPIClient) -> requests.Session:
    """Return a session whose requests to the scheme go through a client."""
    session = requests.Session()
    session.mount(f"{SCHEME}://", FoundryAdapter(client))
    return session


def _whole(foreign: ForeignRequest, options: Options, target: Target) -> Operation[Reply, Reply]:
    return Operation(foreign.call_for(target, options), _as_it_came)


def _streamed(foreign: ForeignRequest, options: Options, target: Target) -> Operation[bytes, bytes]:
    return Operation(foreign.call_for(target, options), read_event)


def _as_it_came(reply: Reply) -> Reply:
    return reply
