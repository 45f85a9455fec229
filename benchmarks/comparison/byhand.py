"""The floor: the same two questions asked by hand, over three libraries."""

from __future__ import annotations

import http.client
import importlib
import json
import socket
import threading
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar
from urllib.parse import urlsplit

from comparison.behaviour import MODEL

#: Of every request; the real runtime's answer is cut there.
MAX_TOKENS = 8
_CHAT = "/v1/chat/completions"
_JSON = {"Content-Type": "application/json"}


class Subject:
    """Ask one chat service.

    Attributes:
        package: What must be installed.
    """

    package: ClassVar[str] = "json"

    def __init__(self, base: str) -> None:
        self._base = base

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        raise NotImplementedError

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event of a streamed answer."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the connections."""

    def disconnect(self) -> None:
        """Drop the kept connections; the next request opens a new one."""
        self.close()


def body_of(prompt: str, *, stream: bool = False) -> dict[str, object]:
    """Return the request's content."""
    body = {"model": MODEL, "messages": [{"role": "user", "content": prompt}], "max_tokens": MAX_TOKENS}
    return {**body, "stream": True} if stream else body


def texts(pieces: Iterable[bytes]) -> Iterator[str]:
    """Yield the text of each event: the loop that one writes by hand."""
    rest = b""
    for piece in pieces:
        *whole, rest = (rest + piece).split(b"\n\n")
        for event in whole:
            if event.startswith(b"data: {"):
                yield _text(event[6:])


def _text(data: bytes | str) -> str:
    choices = json.loads(data)["choices"]
    return (choices[0]["delta"].get("content") or "") if choices else ""


class HttpClient(Subject):
    """Write the request by hand over a kept connection, one for each thread."""

    package: ClassVar[str] = "http.client"
    quick: ClassVar[bool] = False

    def __init__(self, base: str) -> None:
        super().__init__(base)
        place = urlsplit(base)
        self._host, self._port = place.hostname or "", place.port
        self._path = place.path + _CHAT
        self._here = threading.local()
        self._made: list[http.client.HTTPConnection] = []

    def _ask(self, body: dict[str, object]) -> http.client.HTTPResponse:
        connection = getattr(self._here, "connection", None)
        if connection is None:
            connection = self._here.connection = http.client.HTTPConnection(self._host, self._port)
            self._made.append(connection)
        connection.request("POST", self._path, json.dumps(body).encode(), _JSON)
        if self.quick:
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        answer: http.client.HTTPResponse = connection.getresponse()
        return answer

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(json.loads(self._ask(body_of(prompt)).read())["choices"][0]["message"]["content"])

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        answer = self._ask(body_of(prompt, stream=True))
        return texts(iter(lambda: answer.read1(65536), b""))

    def close(self) -> None:
        """Close the connections."""
        for connection in self._made:
            connection.close()


class HttpClientQuick(HttpClient):
    """Have the kernel acknowledge at once."""

    quick: ClassVar[bool] = hasattr(socket, "TCP_QUICKACK")


class HttpClientStreamed(HttpClientQuick):
    """Take a whole answer out of a stream, as this package does with 2.x."""

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return "".join(self.stream(prompt))


class Urllib3(Subject):
    """Write the request by hand over urllib3's pool."""

    package: ClassVar[str] = "urllib3"

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._pool: Any = importlib.import_module("urllib3").PoolManager(maxsize=64)

    def _ask(self, body: dict[str, object], **more: object) -> Any:
        content = json.dumps(body).encode()
        return self._pool.request("POST", self._base + _CHAT, body=content, headers=_JSON, **more)

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        return str(json.loads(self._ask(body_of(prompt)).data)["choices"][0]["message"]["content"])

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        answer = self._ask(body_of(prompt, stream=True), preload_content=False)
        yield from texts(answer.stream(65536))
        answer.release_conn()

    def close(self) -> None:
        """Close the connections."""
        self._pool.clear()


class Requests(Subject):
    """Ask as most scripts do: ``requests.post(json=).json()``, a connection for each call."""

    package: ClassVar[str] = "requests"

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._ask: Any = importlib.import_module("requests").post

    def complete(self, prompt: str) -> str:
        """Return the text of a whole answer."""
        answer = self._ask(self._base + _CHAT, json=body_of(prompt)).json()
        return str(answer["choices"][0]["message"]["content"])

    def stream(self, prompt: str) -> Iterator[str]:
        """Yield the text of each event."""
        answer = self._ask(self._base + _CHAT, json=body_of(prompt, stream=True), stream=True)
        for line in answer.iter_lines():
            if line.startswith(b"data: {"):
                yield _text(line[6:])


class RequestsSession(Requests):
    """Ask over one ``requests.Session``."""

    def __init__(self, base: str) -> None:
        super().__init__(base)
        self._session: Any = importlib.import_module("requests").Session()
        self._ask = self._session.post

    def close(self) -> None:
        """Close the connections."""
        self._session.close()
