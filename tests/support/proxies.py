"""A proxy that counts what passes through it."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from urllib.parse import urlsplit

#: Seconds between two looks at whether the proxy is to end.
_SLICE = 0.05


class CountingProxy:
    """A loopback TCP proxy that counts the chat requests of its clients; a context manager.

    Bytes are passed on as they are, and the end of either side ends the other, so the service sees a client
    that was killed as it would without the proxy.

    Args:
        url: Address of the service.
    """

    _CHAT = b"POST /v1/chat/completions HTTP/1.1\r\n"

    def __init__(self, url):
        self._service = (urlsplit(url).hostname, urlsplit(url).port)
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._listener.settimeout(_SLICE)
        self._threads = []
        self.calls = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *_):
        self._over.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _start(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, name="CountingProxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        while not self._over.is_set():
            with suppress(OSError):  # nobody came, or the listener was closed
                client, _ = self._listener.accept()
                self._start(self._serve, client)

    def _serve(self, client):
        with client, suppress(OSError), socket.create_connection(self._service) as service:
            for end in (client, service):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                end.settimeout(_SLICE)
            back = threading.Thread(target=self._copy, args=(service, client), daemon=True)
            back.start()
            self._copy(client, service, is_counted=True)
            back.join()

    def _copy(self, source, target, *, is_counted=False):
        """Pass bytes on until either side ends; the end of one direction ends both."""
        tail = b""
        with suppress(OSError):
            while not self._over.is_set():
                _ack_at_once(source)
                try:
                    data = source.recv(65_536)
                except TimeoutError:
                    continue
                if not data:
                    break
                if is_counted:
                    seen = tail + data
                    tail = seen[1 - len(self._CHAT) :]
                    with self._lock:  # before it reaches the service: what was not counted was not called
                        self.calls += seen.count(self._CHAT)
                _send_all(target, data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def _ack_at_once(end):
    """Acknowledge what comes next at once: the service waits for that, and Linux waits 40 ms with it."""
    if hasattr(socket, "TCP_QUICKACK"):
        end.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)


def _send_all(target, data):
    target.settimeout(5)  # of a sendall, the whole
    try:
        target.sendall(data)
    finally:
        target.settimeout(_SLICE)
