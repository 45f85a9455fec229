"""Every wait ends where no thread wakes another; the service here ignores that its client has gone."""

from __future__ import annotations

import _thread
import contextlib
import socket
import ssl
import threading
import time

import pytest
from support.tls import CERTIFICATE, KEY

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import Cancelled, DeadlineExceeded
from foundry_rest.transport.cancellation import CancelToken

#: Seconds after which a wait is over, from the moment at which it is ended.
LATEST = 0.2
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
#: What the service sends before it falls silent.
SENT = {"nothing": b"", "a head": HEAD, "an event": HEAD + EVENT, "half an event": HEAD + EVENT[:9]}


class DeafService:
    """A service that sends some bytes, then nothing, and never closes a connection.

    Args:
        sent: The bytes.
        is_secure: Whether it speaks TLS.
    """

    def __init__(self, sent, *, is_secure=False):
        self._sent, self._held = sent, contextlib.ExitStack()
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if is_secure else None
        if self._context is not None:
            self._context.load_cert_chain(CERTIFICATE, KEY)
        self._listener = self._held.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.url = f"http{'s' * is_secure}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *raised):
        self._held.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self._serve, args=self._listener.accept()[:1], daemon=True).start()

    def _serve(self, sock):
        if self._context is not None:
            sock = self._context.wrap_socket(sock, server_side=True)
        self._held.callback(sock.close)
        sock.recv(65536)
        if self._sent:
            sock.sendall(self._sent)


def read(client, **options):
    """Read a stream to its end, which does not come."""
    for _ in client.stream_complete("Hi", **options):
        pass


@pytest.mark.parametrize("how", ["deadline", "cancel", "close"])
@pytest.mark.parametrize("is_secure", [False, True], ids=["plain", "TLS"])
@pytest.mark.parametrize("sent", SENT.values(), ids=SENT)
def test_a_silent_service_is_left_at_once(monkeypatch, sent, is_secure, how):
    """A deadline, a token and close() end the wait for a head, for an event and for the rest of one."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", CERTIFICATE)
    token, ended = CancelToken(), []
    with DeafService(sent, is_secure=is_secure) as service:
        client = FoundryAPIClient(service.url, model="m", dialect="openai", timeout=6, auto_load=False)
        after = 0.7
        ends = {"deadline": lambda: None, "cancel": token.cancel, "close": client.close}[how]
        timer = threading.Timer(after, lambda: (ended.append(time.monotonic()), ends()))
        timer.start()
        with pytest.raises(DeadlineExceeded if how == "deadline" else Cancelled):
            read(client, cancel=token, **({"deadline": after} if how == "deadline" else {}))
        over = time.monotonic()
        timer.join()
        assert over - ended[0] < LATEST
        client.close()


@pytest.mark.parametrize("how", ["deadline", "cancel", "close", "Ctrl-C"])
def test_a_wait_for_a_slot_ends_at_once(how):
    """So does the wait for another call, by Ctrl-C too, of which Windows does not tell a waiting thread."""
    token, ended = CancelToken(), []
    with DeafService(HEAD + EVENT) as service:
        client = FoundryAPIClient(
            service.url, model="m", dialect="openai", timeout=6, auto_load=False, max_concurrency=1
        )
        first = iter(client.stream_complete("Hi"))
        next(first)
        ends = {
            "deadline": lambda: None,
            "cancel": token.cancel,
            "close": client.close,
            "Ctrl-C": _thread.interrupt_main,
        }[how]
        timer = threading.Timer(0.5, lambda: (ended.append(time.monotonic()), ends()))
        timer.start()
        errors = {"deadline": DeadlineExceeded, "Ctrl-C": KeyboardInterrupt}
        with pytest.raises(errors.get(how, Cancelled)):
            client.complete("Hi", cancel=token, **({"deadline": 0.5} if how == "deadline" else {}))
        assert time.monotonic() - ended[0] < LATEST
        timer.join()
        first.close()
        client.close()
