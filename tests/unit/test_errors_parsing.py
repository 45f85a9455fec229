"""Every error body of every generation becomes the class that says what to do."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest

from foundry_rest import errors
from foundry_rest.errors.bodies import retry_after, service_error
from foundry_rest.errors.parsing import error_in
from foundry_rest.testing import FakeClock

SAMPLES = Path(__file__).parents[1] / "samples"
INDEX = json.loads((SAMPLES / "json_errors_index.json").read_bytes())


def read(status: int, body: bytes | object, **headers: str) -> errors.ServiceError:
    """Return the error for an answer; what is not bytes is sent as JSON."""
    return service_error(status, headers, body if isinstance(body, bytes) else json.dumps(body).encode())


@pytest.mark.parametrize(("name", "expected"), INDEX.items(), ids=lambda value: str(value)[:40])
def test_recorded_refusals(name, expected):
    """Status and wording decide the class; the message is shown without places in C++ source."""
    body = (SAMPLES / name).read_bytes()
    error = service_error(expected[0], {}, body, call="chat.complete", url="http://h", model="m")

    assert [error.status, type(error).__name__, error.message] == expected
    assert (error.body, error.call, error.url, error.model) == (body, "chat.complete", "http://h", "m")
    assert "SECRET" not in str(error)


def test_no_sample_is_unused():
    """Every recorded refusal is in the table."""
    assert {path.name for path in SAMPLES.glob("json_error_*")} == set(INDEX)


@pytest.mark.parametrize(
    ("status", "cls"),
    [
        (302, errors.ServiceError),
        (400, errors.BadRequest),
        (401, errors.AuthenticationError),
        (403, errors.AuthenticationError),
        (404, errors.NotFound),
        (409, errors.BadRequest),
        (429, errors.TooManyRequests),
        (499, errors.BadRequest),
        (500, errors.ServerError),
        (503, errors.ServerError),
        (599, errors.ServerError),
    ],
)
def test_the_status_decides_what_the_body_does_not(status, cls):
    """A body without words still gives the class of its status, and a message."""
    for body in (b"", b"{}", b"null", b"[]", b"\xff\xfe", b'{"error":null}', b"7"):
        error = read(status, body)

        assert type(error) is cls
        assert error.message


@pytest.mark.parametrize("verb", ["load", "unload"])
@pytest.mark.parametrize("body", [b"", b"{}", b'{"error":{}}'])
def test_a_load_that_fails_without_a_word(verb, body):
    """1.x says nothing at all: the advice names what it may be, and the failure is no server's fault."""
    error = service_error(500, {}, body, call=f"models.{verb}", model="m")

    assert type(error) is errors.LoadFailed
    assert "does not say why" in error.advice
    assert ("not downloaded" in str(error)) is (verb == "load")


@pytest.mark.parametrize(
    ("status", "body", "call", "cls"),
    [
        (500, b"", "chat.complete", errors.ServerError),
        (500, b"out of order", "models.load", errors.ServerError),
        (503, b"", "models.load", errors.ServerError),
        (404, b"", "models.load", errors.NotFound),
        (500, b"Model not found: x", "models.load", errors.ModelNotFound),
    ],
)
def test_other_failures_keep_their_class(status, body, call, cls):
    """Only the wordless 500 of a load is guessed at; a gateway's 503 is no failed load."""
    error = service_error(status, {}, body, call=call)

    assert (type(error), error.advice) == (cls, cls.advice)


def test_a_model_without_embeddings():
    """2.x's 500 is the request's fault; the advice says which models embed."""
    error = read(500, {"error": {"message": "Generator output 'hidden_states' was not found."}})

    assert type(error) is errors.BadRequest
    assert "whose task is embeddings" in error.advice


@pytest.mark.parametrize(
    "message", ["Empty chat template.", "Invalid OpenAI: Invalid type in response format", "[LogMel] failed"]
)
def test_a_500_that_the_request_gets_each_time(message):
    """It is the request's fault, whatever the status says: neither repeated nor held against the service."""
    assert type(read(500, {"error": {"message": message}})) is errors.BadRequest


@pytest.mark.parametrize(
    "message", ["Failed to retrieve model list: refused", "No: failed to retrieve model list"]
)
def test_a_service_without_its_catalog(message):
    """It is the service's network, not this client's."""
    error = read(500, {"error": {"message": message}})

    assert type(error) is errors.CatalogUnavailable
    assert "where it runs" in error.advice


@pytest.mark.parametrize(
    ("status", "error", "cls"),
    [
        (500, "Model emitted an invalid tool call: it was interrupted", errors.ToolCallFailed),
        (500, "Failed to parse Tool Call from the model", errors.ToolCallFailed),
        (500, "Inference failed: the tool call has no name", errors.ToolCallFailed),
        (500, "call 'f': instance '', keyword '/required'", errors.ToolCallFailed),
        (400, "Inference failed: out of memory", errors.InferenceFailed),
        (400, "every tool call needs an id", errors.BadRequest),
        (500, "Load failed: no tool call template", errors.LoadFailed),
        (500, "Unload failed: 1 session(s) still using it", errors.ModelInUse),
        (500, "Load failed: no memory", errors.LoadFailed),
        (500, "we are still using it", errors.ServerError),
        (400, "Audio file not found: '/x.wav'", errors.AudioFileNotFound),
        (500, "Audio file not found: '/x.wav'", errors.ServerError),
        (404, "Previous response not found: gone", errors.ResponseNotFound),
        (404, "Conversation history for 'resp_1' is no longer available", errors.ResponseNotFound),
        (404, "The response 'resp_1' does not exist.", errors.ResponseNotFound),
        (404, {"message": "no", "code": "response_not_found"}, errors.ResponseNotFound),
        (404, {"code": "response_not_found"}, errors.ResponseNotFound),
        (404, "Model not found: the response 'x'", errors.ModelNotFound),
        (404, "no such route; the response '' is empty", errors.NotFound),
        (400, "Previous response not found", errors.BadRequest),
        (400, "Failed to retrieve model list", errors.BadRequest),
    ],
)
def test_the_wording_narrows_a_class(status, error, cls):
    """It tells a known case of a class from the others, and never leads out of that class."""
    assert type(read(status, {"error": error})) is cls


#: An error's wording that is compared, cut up or searched; putting it into a sentence is none of these.
REREAD = re.compile(
    r"\w*error\.(message|body|code)\.\w"
    r"|\b(in|==|!=) \w*error\.(message|body|code)\b"
    r"|\w*error\.(message|body|code) (in|==|!=) "
    r"|\bre\.\w+\([^()]*error\.(message|body)\b"
)


@pytest.mark.parametrize(
    ("line", "is_one"),
    [
        ("if _HELD in error.body:", True),
        ("return error.code == 'gone'", True),
        ("said = error.message.lower()", True),
        ("if re.search(PATTERN, error.message):", True),
        ("log(str(error), error.message)", False),
        ("raise Other(f'it broke off: {error.message}')", False),
    ],
)
def test_what_counts_as_reading_a_wording(line, is_one):
    """The check below can complain."""
    assert bool(REREAD.search(line)) is is_one


def test_nothing_else_reads_a_wording():
    """Outside ``errors`` a failure is known by its class and its facts: no module looks at its words."""
    package = Path(errors.__file__).parents[1]
    found = [
        f"{path.relative_to(package)}: {line.strip()}"
        for path in package.rglob("*.py")
        if path.parent.name != "errors"
        for line in path.read_text(encoding="utf-8").splitlines()
        if REREAD.search(line)
    ]

    assert found == []


@pytest.mark.parametrize(
    ("message", "cls"),
    [
        ("This request exceeds the model's maximum context length of 8", errors.ContextLengthExceeded),
        ("boom", errors.ServerError),
    ],
)
def test_a_failed_response(message, cls):
    """1.x puts the failure of a response into a 200: its error is read like any other."""
    whole = {"id": "resp_1", "status": "failed", "error": {"code": "internal_error", "message": message}}
    error = error_in(json.dumps(whole).encode())

    assert (type(error), error.message, error.code) == (cls, message, "internal_error")
    assert error_in(json.dumps({**whole, "status": "completed", "error": None}).encode()) is None


def test_a_redirect_names_its_target():
    """Redirects are not followed, so the message tells where they lead."""
    assert "redirects to https://login.example/" in read(302, b"", location="https://login.example/").message
    assert "redirects to nowhere" in read(301, b"").message


def test_the_code_is_kept():
    """A code, rare as it is, is a fact of the error."""
    assert read(404, {"error": {"code": "response_not_found", "message": "x"}}).code == "response_not_found"
    assert read(404, {"error": {"code": 404, "message": "x"}}).code is None


def test_a_long_message_is_cut_only_for_show():
    """400 characters are shown; what stands behind them still decides, and the body is whole."""
    words = "x" * 1000 + " exceeds the model's maximum context length of 10 tokens"
    error = read(400, {"error": {"message": words}})

    assert type(error) is errors.ContextLengthExceeded
    assert (len(error.message), error.message[-1]) == (400, "…")
    assert words.encode() in error.body


def test_a_huge_message_takes_no_time():
    """A message of 64 KiB without a space is read in milliseconds (no quadratic search)."""
    started = time.perf_counter()
    read(500, {"error": {"message": "a.b/" * 16384}})
    read(500, b"a.b/" * 16384)

    assert time.perf_counter() - started < 0.2


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("x.cc:1 too long", "too long"),
        ("Load failed: a/b.cpp:12 void fl::A::B(int) const no file", "Load failed: no file"),
        ("Load failed: b.h:3 file missing (errno 2)", "Load failed: file missing (errno 2)"),
        ("see http://h/x.cc for more", "see http://h/x.cc for more"),
        ("two\n  lines\tof it", "two lines of it"),
    ],
)
def test_places_in_source_are_not_shown(said, shown):
    """A C++ file, line and signature go; what was wrong stays, brackets included."""
    assert read(500, {"error": {"message": said}}).message == shown


@pytest.mark.parametrize("body", [b'{"error":' * 100_000, b"[" * 100_000, b'{"error":{"error":{"error":1}}}'])
def test_nesting_without_end_is_text(body):
    """JSON too deep to decode is an error body like any other, not a RecursionError."""
    assert type(read(500, body)) is errors.ServerError


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{}",
        b'{"error":null}',
        b'{"error":""}',
        b'{"error":false,"choices":[]}',
        b'{"choices":[{"message":{"content":"\\"error\\": x"}}]}',
        b'["error"]',
        b'"error"',
        b'{"error":',
        b'{"error":"\xff"',
        b'{"error":' * 100_000,
    ],
)
def test_no_error_in_a_success(payload):
    """``"error": null`` beside a success means nothing, nor does the word inside a text."""
    assert error_in(payload) is None


@pytest.mark.parametrize(
    ("payload", "cls", "status", "message"),
    [
        ({"error": {"message": "x", "type": "invalid_request_error"}}, errors.BadRequest, 400, "x"),
        ({"error": {"message": "x", "type": "server_error"}}, errors.ServerError, 500, "x"),
        ({"error": {"message": "x"}}, errors.ServerError, 500, "x"),
        ({"error": "x"}, errors.ServerError, 500, "x"),
        ({"Error": {"Message": "x"}}, errors.ServerError, 500, "x"),
        ({"error": {"message": "Inference failed: x"}}, errors.InferenceFailed, 500, "Inference failed: x"),
        ({"error": {"code": 7}}, errors.ServerError, 500, "the service reported an error without a message"),
        ({"error": True}, errors.ServerError, 500, "the service reported an error without a message"),
        (
            {"object": "response", "status": "failed", "error": {"code": "internal_error", "message": "x"}},
            errors.ServerError,
            500,
            "x",
        ),
        (
            {"status": "failed", "error": {"code": "invalid_request_error", "message": "x"}},
            errors.BadRequest,
            400,
            "x",
        ),
    ],
)
def test_errors_inside_a_success(payload, cls, status, message):
    """An error in a 200 or in a stream is an error; its type (or code) says whose fault it is."""
    body = json.dumps(payload).encode()
    error = error_in(body)

    assert (type(error), error.status, error.message, error.body) == (cls, status, message, body)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": " 1.5 "}, 1.5),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "7"}, 7.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tuesday, 14-Nov-23 22:13:50 GMT"}, 30.0),
        ({"retry-after": "Tue Nov 14 22:13:50 2023"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:50"}, 30.0),
        ({"retry-after": "Tue, 14 Nov 2023 23:13:50 +0100"}, 30.0),
        ({"retry-after": "Mon, 13 Nov 2023 22:13:50 GMT"}, 0.0),
        ({"retry-after": "999999999"}, 999999999.0),
        ({"retry-after": "9999999999"}, 1e9),
        ({"retry-after": "9" * 400}, 1e9),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after": "Fri, 99 Nov 99999 22:13:50 GMT"}, None),
        *(
            ({"retry-after": text}, None)
            for text in ("", "-1", "nan", "inf", "1e9", "soon", "1,5", "٣٤x", "0x1")
        ),
    ],
    ids=str,
)
def test_retry_after(headers, seconds):
    """Milliseconds, seconds or an HTTP date (GMT); malformed, negative or endless is not given."""
    with FakeClock(epoch=1_700_000_000.0).installed():
        assert retry_after(headers) == seconds


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="needs time.tzset")
def test_a_date_without_a_zone_is_gmt_everywhere(monkeypatch):
    """This machine's own time zone is not the server's."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        with FakeClock(epoch=1_700_000_000.0).installed():
            assert retry_after({"retry-after": "Tue Nov 14 22:13:50 2023"}) == 30.0
    finally:
        monkeypatch.undo()
        time.tzset()


def test_retry_after_is_a_fact():
    """The error tells how long the service asked to wait."""
    assert read(429, b"", **{"retry-after": "3"}).retry_after == 3.0
