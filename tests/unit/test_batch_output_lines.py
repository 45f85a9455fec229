"""The lines of a batch's output, byte for byte, as OpenAI's own types and a few lines of Python read them.

``FOUNDRY_TEST_WRITE=1`` writes the golden files of tests/samples/batch anew, to be looked at before a commit.
"""

from __future__ import annotations

import base64
import json
import os
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from support.responses import response, streamed
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, errors
from foundry_rest.batch.output_lines import (
    CANCELLED,
    EXPIRED,
    answered,
    code_of,
    failed,
    is_transient,
    unsent,
)
from foundry_rest.schema.batch import EMBEDDINGS, RESPONSES
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    chat_event,
    chat_stream,
    context_exceeded,
    cut,
    dead_address,
    html_page,
    inference_failed,
    json_answer,
    json_error,
    sse,
    stall,
    too_many,
    unavailable,
    unmapped,
)
from foundry_rest.testing.framing import answer

FOLDER = Path(__file__).parents[1] / "samples" / "batch"
#: Read before a test cleans the environment.
WRITE = os.environ.get("FOUNDRY_TEST_WRITE") == "1"
KEY = "0123456789abcdef0123456789abcdef"
VECTOR = [0.5, -1.25, 3.0]
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"city": "Zürich"}'},
}
WHOLE = response(
    "resp_1",
    created_at=1_700_000_000,
    error=None,
    tools=[],
    usage={"input_tokens": 14, "output_tokens": 3, "total_tokens": 17},
)


def asked(script, ask: Callable[[FoundryAPIClient], object], path: str = CHAT, **options) -> object:
    """Return the answer of a server that answers with a script, or the error."""
    with (
        FaultServer() as server,
        FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, **options) as client,
    ):
        if script is not None:
            server.on("POST", path, script)
        try:
            return ask(client)
        except errors.FoundryError as error:
            # The port is another one each time.
            error.url = error.url and "http://127.0.0.1:5273"
            return error


def complete(client):
    """Ask for a chat completion."""
    return client.chat.complete("Hello")


def embed(client):
    """Ask for the vectors of a text."""
    return client.embeddings.create(["Hello", "there"])


def respond(client):
    """Ask for a response."""
    return client.responses.create("Hello")


TOOL_CALL = sse(
    [
        chat_event({"role": "assistant", "content": ""}),
        chat_event({"tool_calls": [{"index": 0, **CALL}]}),
        chat_event({}, "tool_calls"),
    ]
)
VECTORS = json_answer(
    {
        "data": [{"index": number, "embedding": VECTOR, "object": "embedding"} for number in range(2)],
        "model": DEMO_MODEL,
        "object": "list",
        "usage": {"prompt_tokens": 2, "total_tokens": 2},
    }
)
#: Name of a golden file -> what the service does, what is asked, the route, options of the client.
GOLDEN: dict[str, tuple] = {
    "200_chat": (chat_stream("Hello there"), complete),
    "200_chat_tool_call": (TOOL_CALL, complete),
    "200_embeddings": (VECTORS, embed, EMBEDDINGS),
    "200_embeddings_base64": (VECTORS, embed, EMBEDDINGS),
    "200_response": (streamed(WHOLE), respond, RESPONSES),
    "400": (context_exceeded(), complete),
    "404_plain_text": (unmapped("POST", CHAT), complete),
    "429": (too_many(), complete),
    "500": (inference_failed(), complete),
    "500_html": (answer(500, b"<html><body>Bad gateway</body></html>"), complete),
    "200_html": (html_page(), complete),
    "answer_cut": (chat_stream("one two three")[:4] + cut(), complete),
    "timeout": (stall(), complete, CHAT, {"timeout": 0.03}),
    "deadline": (stall(), complete, CHAT, {"deadline": 0.03}),
    "connection_lost": (cut(), complete),
    "cancelled": CANCELLED,
    "expired": EXPIRED,
}
ANSWERS = [name for name in GOLDEN if name.startswith("200") and "html" not in name]
HTTP_FAILURES = [name for name in GOLDEN if name[0] in "45"]
OTHER_FAILURES = [name for name in GOLDEN if name not in (*ANSWERS, *HTTP_FAILURES)]


def made(name: str) -> bytes:
    """Return the line that is made of a case."""
    case = GOLDEN[name]
    if isinstance(case, str):
        return unsent(f"id-{name}", case)
    script, ask, path, options = (*case, *(CHAT, {})[len(case) - 2 :])
    outcome = asked(script, ask, path, **options)
    if isinstance(outcome, errors.FoundryError):
        return failed(KEY, f"id-{name}", outcome)
    return answered(KEY, f"id-{name}", outcome, "base64" if "base64" in name else None)


def golden(name: str) -> dict[str, object]:
    """Return a golden line."""
    return json.loads((FOLDER / f"{name}.jsonl").read_bytes())


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name):
    """Each kind of line is byte for byte what it was: programs read these files."""
    line = made(name) + b"\n"
    path = FOLDER / f"{name}.jsonl"
    if WRITE:
        path.write_bytes(line)

    assert line == path.read_bytes()


def test_no_golden_file_is_left_over():
    """Each file is held by the test above."""
    assert sorted(path.stem for path in FOLDER.iterdir()) == sorted(GOLDEN)


# ---------------------------------------------------------------- other readers


def openai(name: str):
    """Return a module of OpenAI's client; its pydantic cannot be loaded under Wine."""
    return pytest.importorskip(name, exc_type=ImportError)


@pytest.mark.parametrize("name", GOLDEN)
def test_five_lines_of_json(name):
    """What upstream's own examples do with a line works: one of ``response`` and ``error`` is null."""
    line = json.loads((FOLDER / f"{name}.jsonl").read_text(encoding="utf-8"))
    if line["error"]:
        text = f"{line['error']['code']}: {line['error']['message']}"
    else:
        text = f"{line['response']['status_code']}: {line['response']['body'].get('error') or 'answer'}"

    assert list(line) == ["id", "custom_id", "response", "error"]
    assert line["custom_id"] == f"id-{name}"
    assert line["id"].startswith("batch_req_")
    assert (line["response"] is None) is (line["error"] is not None) is (name in OTHER_FAILURES)
    assert text.startswith(("200: answer", "4", "500: {")) or name in OTHER_FAILURES
    assert "None" not in text.partition(":")[0]


@pytest.mark.parametrize("name", ["200_chat", "200_chat_tool_call"])
def test_openai_reads_chat(name):
    """OpenAI's ChatCompletion takes the body, strictly."""
    types = openai("openai.types.chat")
    read = types.ChatCompletion.model_validate(golden(name)["response"]["body"], strict=True)

    assert read.model == DEMO_MODEL
    if name == "200_chat":
        assert read.choices[0].message.content == "Hello there"
        assert (read.usage.prompt_tokens, read.usage.completion_tokens) == (18, 2)
    else:
        assert json.loads(read.choices[0].message.tool_calls[0].function.arguments) == {"city": "Zürich"}


def test_openai_reads_embeddings():
    """OpenAI's CreateEmbeddingResponse takes vectors as numbers, strictly."""
    types = openai("openai.types")
    read = types.CreateEmbeddingResponse.model_validate(
        golden("200_embeddings")["response"]["body"], strict=True
    )

    assert [item.embedding for item in read.data] == [VECTOR, VECTOR]
    assert [item.index for item in read.data] == [0, 1]
    assert read.usage.total_tokens == 2


def test_openai_reads_base64():
    """In base64 they are little-endian floats of 32 bits, which OpenAI's client reads so."""
    types = openai("openai.types")
    read = types.CreateEmbeddingResponse.construct(**golden("200_embeddings_base64")["response"]["body"])
    packed = base64.b64decode(read.data[1].embedding)

    assert list(struct.unpack("<3f", packed)) == VECTOR
    assert list(memoryview(packed).cast("f")) == VECTOR


def test_openai_reads_responses():
    """OpenAI's Response takes the body as its client does: the service leaves out what the type demands."""
    types = openai("openai.types.responses")
    models = openai("openai._models")
    read = models.construct_type(type_=types.Response, value=golden("200_response")["response"]["body"])

    assert isinstance(read, types.Response)
    assert read.output_text == "Hello there"
    assert (read.id, read.status, read.usage.total_tokens) == ("resp_1", "completed", 17)


@pytest.mark.parametrize("name", HTTP_FAILURES)
def test_openai_reads_errors(name):
    """The body of an HTTP failure is OpenAI's ErrorObject, whatever the service wrote."""
    types = openai("openai.types.shared")
    read = golden(name)["response"]
    error = types.ErrorObject.model_validate(read["body"]["error"], strict=True)

    assert read["status_code"] == int(name[:3])
    assert error.message
    assert "<" not in error.message
    assert error.type == ("server_error" if name[0] == "5" else "invalid_request_error")


@pytest.mark.parametrize("name", OTHER_FAILURES)
def test_openai_reads_failures_without_http(name):
    """A failure without HTTP has upstream's code and a message, and no address of a file or a prompt."""
    types = openai("openai.types.shared")
    error = types.ErrorObject.model_validate(
        {"param": None, "type": "x", **golden(name)["error"]}, strict=True
    )
    codes = {
        "200_html": "invalid_answer",
        "answer_cut": "answer_cut",
        "timeout": "request_timeout",
        "deadline": "request_timeout",
        "connection_lost": "connection_lost",
        "cancelled": "batch_cancelled",
        "expired": "batch_expired",
    }

    assert error.code == codes[name]
    assert error.message.endswith(".")
    assert "one two" not in error.message
    assert "error.text" not in error.message


# ---------------------------------------------------------------- codes


#: An error, its code in the figures, whether the same request may succeed later.
CODES = [
    (errors.FoundryError("x"), "failed", False),
    (errors.ConfigError("x"), "invalid_request", False),
    (errors.UnknownArgument("x"), "invalid_request", False),
    (errors.UnsupportedByService("x"), "unsupported_by_service", False),
    (errors.DeadlineExceeded("x"), "request_timeout", True),
    (errors.Cancelled("x"), "batch_cancelled", False),
    (errors.ServiceTimeout("x"), "request_timeout", True),
    (errors.ServiceUnreachable("x"), "connection_lost", True),
    (errors.ServiceNotFound("x"), "connection_failed", True),
    (errors.StreamInterrupted("x"), "answer_cut", True),
    (errors.TransportError("x"), "connection_failed", True),
    (errors.InvalidReply("x"), "invalid_answer", False),
    (errors.ToolLoopExceeded("x"), "failed", False),
    (errors.BadRequest("x", status=400), "400 BadRequest", False),
    (errors.ContextLengthExceeded("x", status=400), "400 ContextLengthExceeded", False),
    (errors.ModelNotFound("x", status=404), "404 ModelNotFound", False),
    (errors.TooManyRequests("x", status=429), "429 TooManyRequests", True),
    (errors.InferenceFailed("x", status=500), "500 InferenceFailed", True),
    (errors.ServerError("x", status=503), "503 ServerError", True),
    (errors.AuthenticationError("x", status=401), "401 AuthenticationError", False),
]


@pytest.mark.parametrize(("error", "code", "transient"), CODES, ids=lambda value: str(value)[:24])
def test_codes(error, code, transient):
    """Each failure has a class for the figures, and is worth another try or is not."""
    assert code_of(error) == code
    assert is_transient(error) is transient
    line = json.loads(failed(KEY, "a", error))
    if isinstance(error, errors.ServiceError):
        assert line["response"]["status_code"] == error.status
    else:
        assert line["error"]["code"] == code


@pytest.mark.parametrize("status", [0, 100, 200, 204])
def test_a_refusal_under_a_status_of_success(status):
    """An error that came with HTTP 200 never looks like an answer: it is a 500."""
    error = errors.ServiceError("x", status=status, body=b'{"error": {"message": "x"}}')

    assert json.loads(failed(KEY, "a", error))["response"]["status_code"] == 500


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        (b'{"error": {"message": "no", "code": 5, "new": [1]}, "more": 1}', True),
        (b'{"error": "no"}', False),
        (b'{"error": null}', False),
        (b"[1]", False),
        (b"", False),
        (b"\xff", False),
        (b'{"error": {"message": "no"', False),
    ],
)
def test_bodies_of_errors(body, kept):
    """A body in OpenAI's form stays as it came, and any other is put into it."""
    error = errors.BadRequest("no", status=400, body=body, code="c")
    found = json.loads(failed(KEY, "a", error))["response"]["body"]

    if kept:
        assert found == json.loads(body)
    else:
        assert found == {
            "error": {"message": "no", "type": "invalid_request_error", "param": None, "code": "c"}
        }


def test_request_ids():
    """The service's own id of a request is kept where it gives one, else that of the answer."""
    with_id = json_answer({"data": [{"index": 0, "embedding": VECTOR}]}, headers={"X-Request-Id": "req-7"})
    without = json_answer({"data": [{"index": 0, "embedding": VECTOR}]})
    found = [
        json.loads(
            answered(KEY, "a", asked(script, lambda client: client.embeddings.create("x"), EMBEDDINGS))
        )
        for script in (with_id, without)
    ]

    assert [line["response"]["request_id"] for line in found] == ["req-7", ""]


@pytest.mark.parametrize(("headers", "id_"), [({"X-Request-Id": "req-9"}, "req-9"), ({}, "")])
def test_request_ids_of_failures(headers, id_):
    """That of a failure is kept, too: the service's log knows it."""
    error = asked(json_error(400, "no", headers=headers), lambda client: client.complete("x"))

    assert json.loads(failed(KEY, "a", error))["response"]["request_id"] == id_


def test_a_service_that_is_not_there():
    """A refused connection names the address and what to do."""
    with dead_address() as url, FoundryAPIClient(url, model=DEMO_MODEL, retries=0, dialect="2.x") as client:
        with pytest.raises(errors.ServiceUnreachable) as raised:
            complete(client)
        line = json.loads(failed(KEY, "a", raised.value))

    assert line["error"]["code"] == "connection_lost"
    assert url in line["error"]["message"]


def test_a_line_is_one_line():
    """Whatever the model or the service writes, a line has no line end within."""
    outcome = asked(chat_stream(["a\nb\r\u2028\u0085c"]), complete)
    line = answered(KEY, "x\ny", outcome)

    assert len(line.split(b"\n")) == 1
    assert b"\r" not in line
    assert json.loads(line)["response"]["body"]["choices"][0]["message"]["content"] == "a\nb\r\u2028\u0085c"
    assert json.loads(line)["custom_id"] == "x\ny"
    for script in (json_error(400, "a\nb"), unavailable()):
        assert b"\n" not in failed(KEY, "x", asked(script, complete))
