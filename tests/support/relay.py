"""A relay in front of a service, which cuts an answer where a test says."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

#: Returns how many bytes of an answer are passed on before the cut; ``None`` while there is none in sight.
Cut = Callable[[bytes], "int | None"]


def after_head(answer: bytes) -> int | None:
    """Cut behind the head."""
    return _behind(answer, b"\r\n\r\n", 1)


def after_events(count: int) -> Cut:
    """Cut behind the beginning of an event."""
    return lambda answer: _behind(answer, b'"content"', count)


def in_chunk_size(answer: bytes) -> int | None:
    """Cut in the middle of the line that tells a chunk's size, after some events."""
    event = _behind(answer, b'"content"', 3)
    end = -1 if event is None else answer.find(b"\n\n\r\n", event)
    return end + 5 if 0 < end < len(answer) - 5 else None


def before_done(answer: bytes) -> int | None:
    """Cut right before the end is told."""
    at = answer.find(b"data: [DONE]")
    return at if at >= 0 else None


class CuttingRelay:
    """A relay to a service on this machine; a context manager.

    Args:
        url: The service.
        named: What a request holds whose answer is cut; all others pass whole.
        cut: Where it is cut.

    Attributes:
        url: Its own address.
        cuts: How many answers were cut.
    """

    def __init__(self, url: str, named: bytes, cut: Cut) -> None:
        self._service = urlsplit(url)
        self._named, self._cut = named, cut
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.cuts = 0

    def __enter__(self) -> CuttingRelay:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for each in (self._listener, *self._open):
            _end(each)
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed at the end
            while True:
                client, _ = self._listener.accept()
                service = socket.create_connection((self._service.hostname, self._service.port))
                self._open += [client, service]
                asked = bytearray()
                for target in (self._pass_requests, self._pass_answers):
                    self._threads.append(
                        threading.Thread(target=target, args=(client, service, asked), daemon=True)
                    )
                    self._threads[-1].start()

    def _pass_requests(self, client: socket.socket, service: socket.socket, asked: bytearray) -> None:
        for data in _read(client):
            asked += data
            service.sendall(data)
        _end(service)

    def _pass_answers(self, client: socket.socket, service: socket.socket, asked: bytearray) -> None:
        answer = b""
        for data in _read(service):
            if self._named not in asked:
                asked.clear()
                client.sendall(data)
                continue
            passed, answer = len(answer), answer + data
            at = self._cut(answer)
            client.sendall(data if at is None else data[: max(0, at - passed)])
            if at is not None:
                self.cuts += 1
                break
        _end(client)
        _end(service)


def _behind(text: bytes, word: bytes, count: int) -> int | None:
    """Return the place behind the n-th occurrence of a word."""
    at = 0
    for _ in range(count):
        found = text.find(word, at)
        if found < 0:
            return None
        at = found + len(word)
    return at


def _read(end: socket.socket) -> Iterator[bytes]:
    with contextlib.suppress(OSError):
        while data := end.recv(65536):
            yield data


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
