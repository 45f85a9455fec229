"""The fault table: what the service does wrong, when, how it is asked, and what the caller then gets.

docs/reference/faults.md is written from the rows below. After a change of them:
``FOUNDRY_WRITE_DOCS=1 python -m pytest tests/integration/test_fault_table.py``.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient, RetryPolicy, Timeouts
from foundry_rest.errors import FoundryError
from foundry_rest.resilience.failures import is_worth_another_model
from foundry_rest.testing import (
    DEMO_MODEL,
    MALFORMED,
    FaultServer,
    Script,
    answer,
    bad_chunk_size,
    chat_completion,
    chat_events,
    chat_stream,
    cut,
    dribble,
    error_event,
    html_page,
    inference_failed,
    json_error,
    pause,
    reset,
    send,
    split,
    sse,
    stall,
    too_many,
    unavailable,
)

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "faults.md"
#: Read when the module is: each test has a clean environment.
WRITE = os.environ.get("FOUNDRY_WRITE_DOCS") == "1"
PATH = "/v1/chat/completions"
TEXT = "one two three"
PART = "one two"
EARLY, FIRST, AFTER = "before the headers", "before the first token", "after it"
PLAIN, STREAM = "plain", "stream"

#: Steps of the sound answers: head and body; head, role, three words, finish, usage, [DONE], zero chunk.
WHOLE = {PLAIN: chat_completion(TEXT), STREAM: chat_stream(TEXT)}
BODY = WHOLE[PLAIN][1:]
HALF = split(BODY, 40)
WORDS = chat_events(TEXT, finish=None, usage=False)[:3]
#: How much of the sound answer comes before the fault, and what would come after it.
BEGUN = {
    (PLAIN, EARLY): Script(),
    (PLAIN, FIRST): WHOLE[PLAIN][:1],
    (PLAIN, AFTER): WHOLE[PLAIN][:1] + HALF[:1],
    (STREAM, EARLY): Script(),
    (STREAM, FIRST): WHOLE[STREAM][:1],
    (STREAM, AFTER): WHOLE[STREAM][:4],
}
REST = {(way, stage): WHOLE[way][len(begun) :] for (way, stage), begun in BEGUN.items()}
REST[PLAIN, AFTER] = HALF[2:]
#: Where the time-outs are the subject, and where a slow machine must not matter.
SILENT = ("stall", "slow accept, too slow")
QUICK, PATIENT = Timeouts(1, 0.15, 0.15), Timeouts(2, 2, 2)
#: Properties of the whole server.
SERVERS = {
    "slow accept": {"accept_delay": 0.05},
    "slow accept, too slow": {"accept_delay": 0.3},
    "closed after n requests": {"close_after": 1},
}
#: The default number of tries, without the waits.
POLICY = RetryPolicy(base=0.001, floor=0.001)


@dataclass(frozen=True)
class Outcome:
    """Hold what a caller gets, an error's class or the right text, and what it cost."""

    what: str
    posts: int
    counted: int
    text: str = ""
    other_model: bool = False


GOOD = Outcome("the right text", 1, 0)
LOST = Outcome("ServiceUnreachable", 2, 2)
MUTE = Outcome("ServiceTimeout", 2, 2, other_model=True)
LATE = Outcome("DeadlineExceeded", 1, 0)
ODD = Outcome("InvalidReply", 1, 1, other_model=True)
#: What is found wrong when a plain answer is read, above the breaker, is not counted.
ODD_BODY = Outcome("InvalidReply", 1, 0, other_model=True)
FAILED = Outcome("InferenceFailed", 3, 1, other_model=True)
EMPTY = Outcome("StreamInterrupted", 2, 2, other_model=True)
BROKEN = Outcome("StreamInterrupted", 1, 1, PART, other_model=True)
LATER = Outcome("TooManyRequests", 4, 0, other_model=True)
DOWN = Outcome("ServerError", 4, 1, other_model=True)


def anywhere(fault: Script, silent: Outcome, partial: Outcome, gap: float = 0.0) -> dict:
    """Return the rows of a fault of the connection: it exists at every moment."""
    return {
        cell: (begun + pause(gap if begun else 0) + fault, partial if cell == (STREAM, AFTER) else silent)
        for cell, begun in BEGUN.items()
    }


def dribbled() -> dict:
    """Return the rows of an answer whose rest comes byte by byte."""
    return {
        cell: (begun + dribble(REST[cell], 0.02), replace(LATE, text=PART if cell == (STREAM, AFTER) else ""))
        for cell, begun in BEGUN.items()
    }


def both(stage: str, script: Script, outcome: Outcome) -> dict:
    """Return the rows of one answer that is given to both kinds of request."""
    return {(way, stage): (script, outcome) for way in (PLAIN, STREAM)}


def sound(outcome: Outcome) -> dict:
    """Return the rows of a server that answers well, in its own time."""
    return {(way, EARLY): (WHOLE[way], outcome) for way in (PLAIN, STREAM)}


FAILURE = error_event("Inference failed: memory")
#: Fault -> (asked how, when) -> (what the server sends, what the caller gets).
TABLE = {
    "cut": anywhere(cut(), LOST, BROKEN),
    "reset": anywhere(reset(), LOST, BROKEN, gap=0.02),
    "stall": anywhere(stall(), MUTE, BROKEN),
    "dribble": dribbled(),
    "slow accept": sound(GOOD),
    "slow accept, too slow": sound(MUTE),
    "closed after n requests": sound(GOOD),
    "broken head: no status line": both(EARLY, send(b"HTP/9 what?\r\n\r\n") + cut(), ODD),
    "broken head: cut in a field": {
        (PLAIN, EARLY): (send(b"HTTP/1.1 200 OK\r\nContent-Ty") + cut(), LOST),
        (STREAM, EARLY): (send(b"HTTP/1.1 200 OK\r\nContent-Ty") + cut(), EMPTY),
    },
    "bad chunk size": {
        (PLAIN, FIRST): (bad_chunk_size(content_type="application/json"), LOST),
        (PLAIN, AFTER): (bad_chunk_size([HALF[:1].data], content_type="application/json"), LOST),
        (STREAM, FIRST): (bad_chunk_size(), LOST),
        (STREAM, AFTER): (bad_chunk_size(WORDS), BROKEN),
    },
    "wrong content type": {
        (PLAIN, FIRST): (answer(200, BODY.data, content_type="text/plain"), GOOD),
        (STREAM, FIRST): (answer(200, b"".join(WORDS), content_type="text/plain"), ODD),
    },
    "HTML with status 200": {(PLAIN, FIRST): (html_page(), ODD_BODY), (STREAM, FIRST): (html_page(), ODD)},
    "JSON error with status 200": both(FIRST, json_error(200, "Inference failed: memory"), FAILED),
    "error event": {
        (STREAM, FIRST): (sse([FAILURE], done=False), FAILED),
        (STREAM, AFTER): (sse([*WORDS, FAILURE], done=False), BROKEN),
    },
    "malformed event or body": {
        (PLAIN, FIRST): (answer(200, "}"), ODD_BODY),
        (PLAIN, AFTER): (answer(200, HALF[:1].data), ODD_BODY),
        (STREAM, FIRST): (sse([MALFORMED]), ODD),
        (STREAM, AFTER): (sse([*WORDS, MALFORMED]), BROKEN),
    },
    "no [DONE], no finish_reason": {
        (STREAM, FIRST): (sse([], done=False), EMPTY),
        (STREAM, AFTER): (sse(WORDS, done=False), BROKEN),
    },
    "no [DONE], but a finish_reason": {(STREAM, AFTER): (chat_stream(TEXT, done=False), GOOD)},
    "429 with Retry-After": both(FIRST, too_many(0.01), LATER),
    "503": both(FIRST, unavailable(), DOWN),
    "500": both(FIRST, inference_failed(), FAILED),
}
CONNECTING = "it is over before the headers"
HEADED = "the headers decide it"
#: Fault -> why some of its combinations are not there.
LEFT_OUT = {
    "slow accept": CONNECTING,
    "slow accept, too slow": CONNECTING,
    "closed after n requests": CONNECTING,
    "broken head: no status line": CONNECTING,
    "broken head: cut in a field": CONNECTING,
    "bad chunk size": "chunks come after the headers",
    "wrong content type": HEADED,
    "HTML with status 200": HEADED,
    "JSON error with status 200": HEADED,
    "error event": "only a stream has events, and they come after the headers",
    "malformed event or body": "both come after the headers",
    "no [DONE], no finish_reason": "only a stream has them, and they come after the headers",
    "no [DONE], but a finish_reason": "only a stream has them, and they come after the text",
    "429 with Retry-After": HEADED,
    "503": HEADED,
    "500": HEADED,
}
#: How a row is asked -> the calls that ask so, with the dialect. On 2.x ``complete()`` is a stream too.
CALLS = {
    PLAIN: (("complete()", "openai"),),
    STREAM: (("complete()", "2.x"), ("stream_complete()", "2.x")),
}


def cells() -> Iterator[tuple[str, str, str, str, str]]:
    """Yield fault, way, moment, call and dialect of every row."""
    for fault, rows in TABLE.items():
        for way, stage in rows:
            for call, dialect in CALLS[way]:
                yield fault, way, stage, call, dialect


def connect(server: FaultServer, fault: str, dialect: str) -> FoundryAPIClient:
    """Return a client with the default number of tries and the default breaker."""
    return FoundryAPIClient(
        server.url,
        model=DEMO_MODEL,
        dialect=dialect,
        retries=POLICY,
        timeout=QUICK if fault in SILENT else PATIENT,
        deadline=0.3 if fault == "dribble" else 20,
    )


def ask(client: FoundryAPIClient, call: str) -> str:
    """Return the text of one answer."""
    if call == "complete()":
        return client.complete("hi").content
    with client.stream_complete("hi") as chunks:
        return "".join(chunk.content for chunk in chunks)


def outcome_of(server: FaultServer, client: FoundryAPIClient, call: str, posts: int) -> Outcome:
    """Ask once; return what came of it, when ``posts`` requests came in or a second passed."""
    before, text, other_model = len(server.requests), "", False
    try:
        what = "the right text" if ask(client, call) == TEXT else "a wrong text"
    except FoundryError as error:
        what, text = type(error).__name__, getattr(error, "text", "")
        other_model = is_worth_another_model(error)
    record = client._core.breakers.of(server.url)._state.read()
    server.wait_requests(before + posts, 1)
    posts = len(server.asked(PATH, "POST")) - before
    return Outcome(what, posts, record.failures, text, other_model)


@pytest.mark.parametrize(("fault", "way", "stage", "call", "dialect"), list(cells()))
def test_a_fault_has_its_outcome(fault, way, stage, call, dialect):
    """The class, the requests on the wire, the breaker's count and the text saved are those of the table."""
    script, expected = TABLE[fault][way, stage]
    with FaultServer(**SERVERS.get(fault, {})) as server, connect(server, fault, dialect) as client:
        server.on("POST", PATH, script)
        if fault == "closed after n requests":
            ask(client, call)

        assert outcome_of(server, client, call, expected.posts) == expected


def test_what_is_left_out_has_a_reason():
    """Every fault meets every way of asking at every moment, or it is said why it cannot."""
    partial = {fault for fault, rows in TABLE.items() if set(rows) != set(BEGUN)}

    assert partial == set(LEFT_OUT)


INTRODUCTION = """# Faults

What a caller gets when the service does something wrong, with the default number of retries (3) and the
default breaker. Each row is a test against real sockets; this page is written by
`FOUNDRY_WRITE_DOCS=1 python -m pytest tests/integration/test_fault_table.py`, which says how each is played.

*Plain* is one request with one answer, as `complete()` asks 0.x and 1.x services; *stream* is an event
stream, as `stream_complete()` asks everywhere and `complete()` asks 2.x. *Requests* counts what reached the
wire, *breaker* the failures it counts afterwards (5 in a row open it), *text* is what the error has saved.
*Next model* says whether `complete(fallback_models=...)` then asks another one of the same service.
"First token" of a plain answer means the first byte of its body.

| fault | asked | when | the caller gets | requests | breaker | text | next model |
|---|---|---|---|---|---|---|---|
"""


def page() -> str:
    """Return docs/reference/faults.md."""
    lines = [
        f"| {fault} | {way} | {stage} | {got.what if got is GOOD else f'`{got.what}`'} "
        f"| {got.posts} | {got.counted} | {got.text and repr(got.text)} "
        f"| {'yes' if got.other_model else ''} |"
        for fault, rows in TABLE.items()
        for (way, stage), (_, got) in rows.items()
    ]
    reasons = [f"- {fault}: {why}" for fault, why in LEFT_OUT.items()]
    return INTRODUCTION + "\n".join([*lines, "", "Combinations that do not exist:", "", *reasons, ""])


def test_the_page_is_the_table():
    """docs/reference/faults.md says what the tests prove; the module's docstring says how to write it."""
    if WRITE:
        DOCUMENT.parent.mkdir(exist_ok=True)
        DOCUMENT.write_text(page(), "utf-8")

    assert DOCUMENT.read_text("utf-8") == page(), "run it with FOUNDRY_WRITE_DOCS=1"
