"""The service that is asked: fast, in a process of its own, all bytes made beforehand.

The first segment of the path says how it answers, see ``Behaviour``, and may be left out; behind it lie the
routes of a 2.x service, of OpenAI and of ollama. Connections are kept and TCP_NODELAY is set (asyncio does).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache

from comparison.behaviour import MODEL, Behaviour
from comparison.crew import clean_environment

#: Bytes of an HTTP chunk, and events in one, where they are not one event each.
TINY, COALESCED = 16, 16
#: As long as a token's chunk is in practice: about 270 bytes.
_CHUNK = (
    '{"id":"chatcmpl-8f2c41d0a6b94d7f","object":"chat.completion.chunk","created":1790000000,"model":"%s",'
    '"system_fingerprint":"fp_local","choices":[{"index":0,"delta":{"role":"assistant","content":"%s"},'
    '"logprobs":null,"finish_reason":%s}]}'
)
_USAGE = {"prompt_tokens": 9, "completion_tokens": 8, "total_tokens": 17}


# ---------------------------------------------------------------- bytes


def openai_event(text: str, finish: str = "null") -> bytes:
    """Return one event of a streamed chat answer."""
    return b"data: " + (_CHUNK % (MODEL, text, finish)).encode() + b"\n\n"


def ollama_event(text: str, finish: str = "null") -> bytes:
    """Return one line of a streamed answer as ollama spells it."""
    line = {
        "model": MODEL,
        "created_at": "2026-11-01T00:00:00.000000Z",
        "message": {"role": "assistant", "content": text},
        "done": finish != "null",
        "eval_count": 8,
        "prompt_eval_count": 9,
    }
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def _events(behaviour: Behaviour, *, ollama: bool) -> list[bytes]:
    """Return every event of an answer, its end included."""
    make = ollama_event if ollama else openai_event
    tokens = [make(f" word{number % 100}") for number in range(behaviour.events)]
    return [*tokens, make("", '"stop"'), *([] if ollama else [b"data: [DONE]\n\n"])]


def _framed(events: list[bytes], framing: str) -> list[bytes]:
    """Return the body in the pieces in which it is sent, the last chunk included."""
    if framing == "close":
        return events
    if framing == "tiny":
        body = b"".join(events)
        events = [body[at : at + TINY] for at in range(0, len(body), TINY)]
    elif framing == "coalesced":
        events = [b"".join(events[at : at + COALESCED]) for at in range(0, len(events), COALESCED)]
    return [*map(_chunk, events), b"0\r\n\r\n"]


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def _stream_head(behaviour: Behaviour, *, ollama: bool) -> bytes:
    kind = b"application/x-ndjson" if ollama else b"text/event-stream"
    end = b"Connection: close" if behaviour.framing == "close" else b"Transfer-Encoding: chunked"
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\n%s\r\n\r\n" % (kind, end)


def _plain(content: object, status: bytes = b"200 OK") -> bytes:
    body = json.dumps(content, separators=(",", ":")).encode()
    head = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    return head % (status, len(body)) + body


@cache
def whole_stream(behaviour: Behaviour, *, ollama: bool) -> bytes:
    """Return a streamed answer, head and all."""
    pieces = _framed(_events(behaviour, ollama=ollama), behaviour.framing)
    return _stream_head(behaviour, ollama=ollama) + b"".join(pieces)


@cache
def whole_answer(behaviour: Behaviour, *, ollama: bool) -> bytes:
    """Return a plain answer, head and all."""
    text = "word " * (behaviour.size // 5)
    if ollama:
        return _plain({"model": MODEL, "message": {"role": "assistant", "content": text}, "done": True})
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    head = {"id": "chatcmpl-1", "object": "chat.completion", "created": 1790000000, "model": MODEL}
    return _plain({**head, "choices": [choice], "usage": _USAGE})


_READS = {
    "status": _plain({"endpoints": [], "modelCachePath": "/nowhere", "pid": 1}),
    "v1/models": _plain({"object": "list", "data": [{"id": MODEL, "object": "model"}]}),
}
_UNKNOWN = _plain({"error": {"message": "no such route"}}, b"404 Not Found")

# ---------------------------------------------------------------- server


class _Connection(asyncio.Protocol):
    """Answer the requests of one connection, one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._got = bytearray()
        self._needs = 0

    def data_received(self, data: bytes) -> None:
        self._got += data
        if not self._needs:
            self._needs = _length_of(self._got)
        if self._needs and len(self._got) >= self._needs:
            request, self._got, self._needs = bytes(self._got), bytearray(), 0
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        _, path, _ = request.split(b" ", 2)
        segment, _, route = path.decode()[1:].partition("/")
        if "," not in segment:
            segment, route = Behaviour().path[1:], path.decode()[1:]
        if route in _READS or "chat" not in route:
            self._transport.write(_READS.get(route, _UNKNOWN))
            return
        behaviour, ollama = Behaviour.at(segment), route == "api/chat"
        is_stream = b'"stream":true' in request or b'"stream": true' in request
        if is_stream and behaviour.gap_ms:
            self._pace(behaviour, _stream_head(behaviour, ollama=ollama), ollama=ollama)
            return
        made = whole_stream if is_stream else whole_answer
        ends = is_stream and behaviour.framing == "close"
        if behaviour.wait_ms:
            loop = asyncio.get_running_loop()
            loop.call_later(behaviour.wait_ms / 1000, self._send, made(behaviour, ollama=ollama), ends)
        else:
            self._send(made(behaviour, ollama=ollama), ends)

    def _send(self, data: bytes, ends: bool) -> None:  # noqa: FBT001 (call_later takes positions)
        self._transport.write(data)
        if ends:
            self._transport.close()

    def _pace(self, behaviour: Behaviour, head: bytes, *, ollama: bool, sent: int = 0) -> None:
        """Send one event now, stamped with the instant, and the next one later."""
        frame = (lambda data: data) if behaviour.framing == "close" else _chunk
        if sent == behaviour.events:
            last = _events(Behaviour(0), ollama=ollama)
            self._send(b"".join(_framed(last, behaviour.framing)), behaviour.framing == "close")
            return
        make = ollama_event if ollama else openai_event
        self._transport.write(head + frame(make(str(time.perf_counter_ns()))))
        again = asyncio.get_running_loop().call_later
        again(behaviour.gap_ms / 1000, lambda: self._pace(behaviour, b"", ollama=ollama, sent=sent + 1))


def _length_of(got: bytearray) -> int:
    """Return the length of head and body, 0 while the head is not whole."""
    end = got.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(got[:end]).lower()
    _, found, rest = head.partition(b"content-length:")
    return end + 4 + (int(rest.split(b"\r\n", 1)[0]) if found else 0)


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    over = asyncio.Event()

    def watch() -> None:
        sys.stdin.read()
        loop.call_soon_threadsafe(over.set)

    threading.Thread(target=watch, daemon=True).start()
    await over.wait()


@contextlib.contextmanager
def stub() -> Iterator[str]:
    """Run the stub in a process of its own; yield its address."""
    command, pipe = [sys.executable, "-m", "comparison.stub"], subprocess.PIPE
    environment = clean_environment()
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()


if __name__ == "__main__":
    asyncio.run(_serve())
