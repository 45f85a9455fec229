"""A token that serves a thousand calls: none of them leaves anything in it, however it ends."""

from __future__ import annotations

import pytest
import requests
from support.servers import CHAT

from foundry_rest import CancelToken, FoundryAPIClient
from foundry_rest.errors import FoundryError
from foundry_rest.testing import (
    DEMO_MODEL,
    chat_completion,
    chat_stream,
    cut,
    dead_address,
    deaf_address,
    html_page,
    json_error,
    reset,
    send,
    stall,
)

#: How a call may end, by what it is answered with.
ENDS = {
    "well": chat_completion("Hello"),
    "error": json_error(500, "broken"),
    "no route": json_error(404, "no"),
    "reset": reset(),
    "cut": cut(),
    "silence": stall(),
    "no HTTP": send(b"nonsense\r\n\r\n"),
    "half a head": send(b"HTTP/1.1 200 OK\r\nContent-") + cut(),
    "half a body": chat_completion("Hello")[:1] + cut(),
    "a page": html_page(),
}


@pytest.mark.parametrize("given", [False, True], ids=["own session", "given session"])
@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("script", ENDS.values(), ids=ENDS)
def test_every_end(server, script, stream, given):
    """Whatever comes, the token is as it was."""
    server.on("POST", CHAT, chat_stream("Hello") if stream and script is ENDS["well"] else script)
    token = CancelToken()
    options = {"session": requests.Session()} if given else {}
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, breaker=None, dialect="openai", timeout=0.05, **options
    ) as client:
        for _ in range(3):
            try:
                if stream:
                    list(client.stream_complete("Hi", cancel=token))
                else:
                    client.complete("Hi", cancel=token)
            except FoundryError:
                continue
    assert not token._watchers


@pytest.mark.parametrize("place", [dead_address, deaf_address])
def test_no_connection(place):
    """The same where there is no connection at all."""
    token = CancelToken()
    with place() as url, FoundryAPIClient(url, retries=0, breaker=None, dialect="openai") as client:
        for _ in range(3):
            with pytest.raises(FoundryError):
                client.complete("Hi", cancel=token, timeout=0.05, deadline=0.05)
    assert not token._watchers
