"""Whole answers, sound and broken, byte by byte as http.client and raw sockets see them."""

from __future__ import annotations

import http.client
import socket
from contextlib import closing

import pytest

from foundry_rest.testing import (
    BOM,
    DONE,
    DONE_UNSPACED,
    MALFORMED,
    answer,
    bad_chunk_size,
    chunked,
    close_delimited,
    comment,
    cut,
    event,
    html_page,
    sse,
)


def port(server):
    """Return the server's port."""
    return int(server.url.rpartition(":")[2])


def get(server, script):
    """Ask once for a scripted answer; return it with its body, and the body alone."""
    server.otherwise(script)
    with closing(http.client.HTTPConnection("127.0.0.1", port(server), timeout=1)) as connection:
        connection.request("GET", "/")
        reply = connection.getresponse()
        return reply, reply.read()


def raw(server, script):
    """Ask once for a scripted answer over a raw socket; return all bytes until the end."""
    server.otherwise(script)
    with socket.create_connection(("127.0.0.1", port(server)), timeout=1) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        return b"".join(iter(lambda: sock.recv(65536), b""))


def test_answer_states_its_length_its_type_and_more(server):
    """An answer is complete by Content-Length; text is UTF-8; extra headers may be a mapping."""
    reply, body = get(server, answer(201, "é", headers={"X-One": "1"}))

    assert (reply.status, reply.reason, body) == (201, "Created", "é".encode())
    assert (reply.headers["Content-Length"], reply.headers["X-One"]) == ("2", "1")
    assert reply.headers["Content-Type"] == "application/json"


def test_answer_may_have_no_type_an_unknown_status_and_a_header_twice(server):
    """What is unusual can be said: no Content-Type, status 299, one name in two headers."""
    reply, _ = get(server, answer(299, content_type=None, headers=[("X-A", "1"), ("X-A", "2")]))

    assert (reply.status, reply.reason) == (299, "Unknown")
    assert reply.headers["Content-Type"] is None
    assert reply.headers.get_all("X-A") == ["1", "2"]


def test_a_stated_length_above_the_true_one_is_a_cut_body(server):
    """A length that is a lie leaves the reader with an incomplete body."""
    with pytest.raises(http.client.IncompleteRead) as raised:
        get(server, answer(200, b"{}", length=10) + cut())

    assert raised.value.partial == b"{}"


def test_each_part_is_one_chunk_and_the_zero_chunk_is_last(server):
    """Chunks lie on the wire as the parts were given."""
    assert raw(server, chunked([b"ab", b"0123456789abcdef"])).endswith(
        b"\r\n\r\n2\r\nab\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n"
    )


def test_an_empty_part_does_not_end_the_body(server):
    """The zero chunk is the end of a body, so an empty part must not become one."""
    assert get(server, chunked([b"a", b"", b"b"]))[1] == b"ab"


def test_a_chunked_body_without_its_last_step_is_cut(server):
    """Leaving the zero chunk out and closing is a body that breaks off."""
    with pytest.raises(http.client.IncompleteRead):
        get(server, chunked([b"ab"])[:-1] + cut())


def test_a_bad_chunk_size_comes_after_the_good_parts(server):
    """The sound chunks arrive, then a size that is no number."""
    assert raw(server, bad_chunk_size([b"ab"])).endswith(b"\r\n2\r\nab\r\nzz\r\nnot a chunk\r\n")
    with pytest.raises(http.client.IncompleteRead):
        get(server, bad_chunk_size([b"ab"]))


def test_a_close_delimited_body_ends_with_its_connection(server):
    """HTTP/1.0 style: no length, no chunks, Connection ends; whole and cut look alike."""
    whole, body = get(server, close_delimited([b"data: 1\n\n", DONE]))
    _, part = get(server, close_delimited([b"data: 1\n\n"]))

    assert (whole.version, whole.headers["Content-Length"], body) == (10, None, b"data: 1\n\n" + DONE)
    assert part == b"data: 1\n\n"


def test_an_event_stream_is_typed_and_ends_with_done(server):
    """Each event is a chunk of its own, and [DONE] is one more."""
    reply, body = get(server, sse([event("1"), comment()]))

    assert reply.headers["Content-Type"] == "text/event-stream"
    assert body == b"data: 1\n\n: keep-alive\n\ndata: [DONE]\n\n"
    assert len(sse([event("1"), comment()])) == 5


def test_done_can_be_left_out_or_spelled_without_space(server):
    """A stream may end cleanly without [DONE], and may spell it as some servers do."""
    assert get(server, sse([event("1")], done=False))[1] == b"data: 1\n\n"
    assert get(server, sse([DONE_UNSPACED], done=False))[1] == b"data:[DONE]\n\n"


@pytest.mark.parametrize("events", [[], [b"data: 1\n\n"]])
def test_a_bom_comes_before_the_first_byte_of_the_body(server, events):
    """The byte order mark is part of the first event's chunk, never a chunk of its own."""
    _, body = get(server, sse(events, bom=True))

    assert body == BOM + b"".join(events) + DONE
    assert get(server, sse([], done=False, bom=True))[1] == BOM


def test_events_of_every_odd_kind_can_be_built():
    """Id-only and name-only blocks, several data lines, comments and broken JSON are one call each."""
    assert event(id="1") == b"id: 1\n\n"
    assert event(name="ping") == b"event: ping\n\n"
    assert event("a\nb", name="x") == b"event: x\ndata: a\ndata: b\n\n"
    assert comment("hi") == b": hi\n\n"
    assert MALFORMED.endswith(b'{"delta"\n\n')


def test_an_html_page_is_a_success_by_status_only(server):
    """The page of a captive portal: status 200, text/html, no JSON."""
    reply, body = get(server, html_page(title="Log in"))

    assert (reply.status, reply.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert b"<title>Log in</title>" in body
