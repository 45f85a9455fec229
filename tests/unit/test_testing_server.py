"""The fault server as a whole: which script answers, what is on record, how it dies and is reborn."""

from __future__ import annotations

import errno
import http.client
import os
import socket
import threading
import time
from contextlib import closing

import pytest

from foundry_rest import clock
from foundry_rest.testing import (
    FaultServer,
    answer,
    cut,
    dead_address,
    deaf_address,
    die,
    pause,
    reset,
    send,
    stall,
    wire,
)

GET = b"GET / HTTP/1.1\r\n\r\n"


def address(url):
    """Return host and port of a base URL."""
    return "127.0.0.1", int(url.rpartition(":")[2])


def dial(server):
    """Return a raw socket that is connected to the server."""
    return socket.create_connection(address(server.url), timeout=1)


def client(server):
    """Return an HTTP connection to the server that closes itself."""
    return closing(http.client.HTTPConnection(*address(server.url), timeout=1))


def ask(server, path="/", method="GET"):
    """Ask once on a connection of its own; return the body as text."""
    with client(server) as connection:
        connection.request(method, path)
        return connection.getresponse().read().decode()


def of_server(thread):
    """Tell whether a thread belongs to a fault server."""
    return thread.name.startswith("FaultServer")


def test_the_nth_request_gets_the_nth_script_and_the_last_repeats(server):
    """Scripts are taken in order, per route, and the last one serves for ever."""
    server.on("GET", "/a", answer(200, "1"), (answer(200, "2"),)).on("GET", "/b", answer(200, "b"))

    assert [ask(server, path) for path in ("/a", "/b", "/a", "/a")] == ["1", "b", "2", "2"]


def test_a_route_without_script_is_refused(server):
    """``on`` needs something to answer, and says so at once."""
    with pytest.raises(ValueError, match="at least one script for GET /a"):
        server.on("GET", "/a")


def test_a_wrong_script_is_refused_where_it_is_given(server):
    """Not in the server's thread, where nobody sees it."""
    with pytest.raises(TypeError, match="a script is"):
        server.on("GET", "/a", "HTTP/1.1 200 OK")


def test_a_function_may_answer_and_may_use_the_server(server):
    """It gets the request, returns a script, and is not called under a lock."""
    server.on("GET", "/*", lambda request: answer(200, f"{request.path} {len(server.requests)}"))

    assert ask(server, "/x") == "/x 1"


def test_patterns_match_and_the_route_given_last_counts(server):
    """``*`` stands for any text or verb; the same route given again begins anew."""
    server.on("*", "/v1/*", answer(200, "any")).on("GET", "/v1/a", answer(200, "one"), answer(200, "two"))

    assert (ask(server, "/v1/a"), ask(server, "/v1/a", "POST"), ask(server, "/v1/b?x=1")) == (
        "one",
        "any",
        "any",
    )
    server.on("GET", "/v1/a", answer(200, "new"))
    assert ask(server, "/v1/a") == "new"


def test_otherwise_takes_the_place_of_the_healthy_service(server):
    """What no ``on`` names is answered by the scripts, in order."""
    server.otherwise(answer(200, "1"), answer(200, "2")).on("GET", "/a", answer(200, "a"))

    assert [ask(server, path) for path in ("/status", "/a", "/status")] == ["1", "a", "2"]


def test_the_healthy_service_can_follow_a_fault(server):
    """``server.healthy`` is an answer like any other: first a fault, then health."""
    server.on("GET", "/status", answer(500, "no"), server.healthy)

    assert ask(server, "/status") == "no"
    assert "modelCachePath" in ask(server, "/status")


def test_requests_and_connections_are_numbered(server):
    """A reused connection shows in the request's number on it."""
    with client(server) as connection:
        for _ in range(2):
            connection.request("GET", "/status")
            connection.getresponse().read()
    ask(server, "/status")

    assert [(request.connection, request.number) for request in server.requests] == [(1, 1), (1, 2), (2, 1)]
    assert server.connections == 2


def test_requests_can_be_asked_for_by_path_and_verb(server):
    """``asked`` filters the record by the patterns that ``on`` takes."""
    server.otherwise(answer(200))
    for path, method in (("/a", "GET"), ("/b", "GET"), ("/a", "POST")):
        ask(server, path, method)

    assert [request.method for request in server.asked("/a")] == ["GET", "POST"]
    assert len(server.asked("/*", "GET")) == 2


def test_the_record_is_a_copy(server):
    """What a test does to the list does not touch the record."""
    ask(server, "/status")
    server.requests.clear()

    assert len(server.requests) == 1


def test_waits_tell_when_they_ran_out(server):
    """Each wait returns False after its time instead of raising or hanging."""
    assert not server.wait_requests(1, timeout=0.005)
    assert not server.wait_left(0.005)
    with dial(server) as sock:
        sock.sendall(b"GET /status HTTP/1.1\r\n\r\n")
        assert server.wait_requests()
        assert not server.wait_closed(0.005)
        assert server.open_connections == 1


def test_many_clients_at_once_are_all_recorded(server):
    """Records are complete and each client gets its own answer under concurrency."""
    server.on("GET", "/*", lambda request: answer(200, request.path))
    seen = []
    threads = [threading.Thread(target=lambda i=i: seen.append((i, ask(server, f"/{i}")))) for i in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(seen) == [(i, f"/{i}") for i in range(20)]
    assert (len(server.requests), server.connections) == (20, 20)


def test_a_connection_may_be_closed_after_n_requests():
    """The stale keep-alive: the n-th answer is sound, then the connection ends without a word."""
    with FaultServer(close_after=2).otherwise(answer(200)) as server, dial(server) as sock:
        sock.sendall(GET * 2)
        data = b"".join(iter(lambda: sock.recv(65536), b""))

        assert data == answer(200).data * 2


def test_a_slow_accept_delays_the_answer_not_the_connect():
    """The kernel takes the connection at once; the server looks at it later."""
    with FaultServer(accept_delay=0.03) as server:
        began = time.monotonic()
        ask(server, "/status")

        assert time.monotonic() - began >= 0.03


def test_a_very_slow_accept_neither_hinders_connecting_nor_closing():
    """Connecting succeeds before anything is accepted, and the server's end does not wait for it."""
    with FaultServer(accept_delay=60) as server, dial(server):
        assert server.connections == 0


def test_stopping_refuses_and_starting_serves_the_same_port(server):
    """A dead service refuses at once; reborn it has its address, scripts and records again."""
    server.on("GET", "/a", answer(200, "1"), answer(200, "2"))
    url = server.url
    assert ask(server, "/a") == "1"
    server.stop()
    with pytest.raises(ConnectionRefusedError):
        dial(server)
    server.start()

    assert server.url == url
    assert ask(server, "/a") == "2"
    assert len(server.requests) == 2


def test_stopping_cuts_open_answers_and_is_not_counted_as_leaving(server):
    """The client sees an end; it did not leave."""
    server.otherwise(stall())
    with dial(server) as sock:
        sock.sendall(GET)
        assert server.wait_requests()
        server.stop()

        assert sock.recv(1) == b""
    assert server.left == 0


def test_a_client_that_resets_before_it_is_accepted_ends_nothing(monkeypatch):
    """An accept that fails because its client has gone leaves the server serving."""
    accept, gone = socket.socket.accept, [ConnectionResetError(10054, ""), ConnectionAbortedError(10053, "")]

    def accept_after_resets(sock):
        if gone:
            raise gone.pop()
        return accept(sock)

    with FaultServer() as server:
        monkeypatch.setattr(socket.socket, "accept", accept_after_resets)
        assert "pid" in ask(server, "/status")
    assert not gone


@pytest.mark.parametrize("is_woken", [True, False], ids=["woken", "as on Windows"])
def test_closing_ends_every_thread_and_socket_at_once(monkeypatch, is_woken):
    """Stalled, sending, idle and half-asked connections: none outlives ``close``, nor delays it.

    Nor where shutting a socket down wakes nobody who waits for it.
    """
    if not is_woken:
        monkeypatch.setattr(clock, "SLICE", 0.02)
        monkeypatch.setattr(wire.Connection, "end", lambda connection: setattr(connection, "_ended", True))
    server = FaultServer().on("GET", "/stall", stall())
    server.on("GET", "/flood", answer(200, b"x" * 20_000_000))
    server.start()
    socks = [dial(server) for _ in range(4)]
    for sock, data in zip(socks, (b"GET /stall", b"GET /flood", b"GET /status", b"GET /half"), strict=True):
        sock.sendall(data + (b" HTTP/1.1\r\n\r\n" if data != b"GET /half" else b""))
    assert server.wait_requests(3)
    began = time.monotonic()
    server.close()
    took = time.monotonic() - began
    for sock in socks:
        sock.close()

    assert took < 1.0
    assert server.open_connections == 0
    assert not list(filter(of_server, threading.enumerate()))


def test_a_request_may_kill_the_server(server):
    """``die`` plays POST /shutdown: no answer, all connections cut, the port refuses, rebirth works."""
    server.on("POST", "/shutdown", die())
    with dial(server) as other:
        other.sendall(b"GET /half")
        with pytest.raises(http.client.RemoteDisconnected):
            ask(server, "/shutdown", "POST")
        assert other.recv(1) == b""
    with pytest.raises(ConnectionRefusedError):
        dial(server)
    server.start()

    assert "pid" in ask(server, "/status")


def test_two_requests_may_kill_the_server_at_once(server):
    """Dying never waits for another connection that dies too."""
    both = threading.Barrier(2)
    server.otherwise(lambda _: (send(b"") if both.wait(1) else pause(0)) + die())
    threads = [threading.Thread(target=_ask_in_vain, args=(server,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(1)

    assert not any(thread.is_alive() for thread in threads)


def _ask_in_vain(server):
    with dial(server) as sock:
        sock.sendall(GET)
        sock.recv(1)


def test_an_address_exists_only_after_the_start():
    """Nothing is opened by the constructor, and a second start is a mistake."""
    server = FaultServer()
    with pytest.raises(RuntimeError, match="before start"):
        _ = server.url
    assert (server.connections, server.open_connections) == (0, 0)
    with server, pytest.raises(RuntimeError, match="runs already"):
        server.start()


def test_a_taken_port_is_an_error_of_start(server):
    """Whoever took the port meanwhile keeps it; nothing leaks."""
    port = server._port
    server.stop()
    with socket.socket() as other:
        if os.name == "posix":
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        other.bind(("127.0.0.1", port))
        other.listen()
        with pytest.raises(OSError) as caught:  # noqa: PT011 (the number is what is checked)
            server.start()
    assert caught.value.errno == errno.EADDRINUSE


def test_an_error_in_an_answering_function_is_not_lost(server, monkeypatch):
    """It ends the connection and goes to threading.excepthook, where pytest sees it."""
    seen = []
    monkeypatch.setattr(threading, "excepthook", lambda info: seen.append(info.exc_type))
    server.otherwise(lambda _: 1 / 0)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server)
    server.close()

    assert seen == [ZeroDivisionError]


def test_a_dead_address_refuses_and_a_deaf_one_hangs():
    """The two ways of not being there: an answer at once, and none."""
    with dead_address() as url, pytest.raises(ConnectionRefusedError):
        socket.create_connection(address(url), timeout=1)
    with deaf_address() as url, pytest.raises(TimeoutError):
        socket.create_connection(address(url), timeout=0.03)


def test_a_client_that_resets_at_once_does_not_hurt_the_server(server):
    """The acceptor goes on whatever a connection does before it is looked at."""
    for _ in range(5):
        sock = dial(server)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        sock.close()

    assert "pid" in ask(server, "/status")


def test_faults_may_differ_from_request_to_request(server):
    """A script per request: a reset, then a cut, then an answer."""
    server.on("GET", "/", reset(), cut(), answer(200, "at last"))
    with pytest.raises(ConnectionResetError):
        ask(server)
    with pytest.raises(http.client.RemoteDisconnected):
        ask(server)

    assert ask(server) == "at last"
