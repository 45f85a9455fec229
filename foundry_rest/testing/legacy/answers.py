"""Ready answers in the spelling of Foundry Local 0.8, as its users reported them."""

from __future__ import annotations

import base64
import hashlib
import json
import struct
from collections.abc import Iterable, Sequence

from foundry_rest.testing.framing import answer, chunked, event, sse
from foundry_rest.testing.script import Script, cut, stall

SERVER = (("Server", "Kestrel"),)
_JSON = "application/json; charset=utf-8"
_TEXT = "text/plain; charset=utf-8"
_CREATED = {"created": 1_763_800_000, "CreatedAt": "2025-11-22T08:26:40+00:00"}
#: The members of ASP.NET's object that OpenAI's has not; every success has "error": null.
_EXTRA = {"Successful": True, "error": None, "HttpStatusCode": 0, "HeaderValues": None}


def json_body(value: object) -> Script:
    """Answer with a value as JSON, in one chunk as Kestrel does."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return chunked((body,), headers=SERVER, content_type=_JSON)


def nothing(status: int = 200) -> Script:
    """Answer without a body, as for success or when no handler takes the request."""
    return answer(status, headers=SERVER, content_type=None)


def text_error(status: int, text: str) -> Script:
    """Answer with an error in plain text."""
    return answer(status, text, headers=SERVER, content_type=_TEXT)


def no_provider(name: str) -> Script:
    """Answer 400: the model is unknown, an alias, not on disk, or not in memory; one text for all."""
    return text_error(400, f"No OpenAIService provider found for modelName:{name}")


def load_failed(name: str) -> Script:
    """Answer 500: the model's files cannot be loaded."""
    return text_error(500, f"Failed loading model {name}")


def problem(title: str, detail: str) -> Script:
    """Answer 500 with ProblemDetails (RFC 7807), as for an exception that no handler caught."""
    kind = "https://tools.ietf.org/html/rfc9110#section-15.6.1"
    body = json.dumps({"type": kind, "title": title, "status": 500, "detail": detail})
    return answer(500, body, headers=SERVER, content_type="application/problem+json")


def model_list(ids: Iterable[str]) -> Script:
    """Answer ``GET /v1/models``: OpenAI's list in ASP.NET's envelope."""
    items = [{"id": id, "object": "model", "owned_by": "Microsoft", "created": 1_763_800_000} for id in ids]
    envelope = {"IsDelta": False, "Successful": True, "HttpStatusCode": 0, "object": "list"}
    return json_body({"data": items, **envelope})


def completion(model: str, text: str, prompt_tokens: int, *, finish: bool = True) -> Script:
    """Answer a chat request in one piece."""
    used = len(text.split())
    usage = {
        "prompt_tokens": prompt_tokens,
        "completion_tokens": used,
        "total_tokens": prompt_tokens + used,
    }
    choice = _choice(text, "stop" if finish else None)
    return json_body({**_chat_object(model, [choice], is_delta=False), "usage": usage})


def stream(model: str, text: str, *, finish: bool = True, hang: bool = False) -> Script:
    """Answer a chat request in chunks, one for each word.

    Args:
        model: Id named in every chunk.
        text: The whole answer.
        finish: Give the finish reason; 0.8.101 never did.
        hang: Neither send ``[DONE]`` nor close after the last chunk, as 0.8.117 did.
    """
    first, *rest = text.split(" ")
    words = [first, *(f" {word}" for word in rest)]
    choices = [_choice(word, None) for word in words[:-1]]
    choices.append(_choice(words[-1], "stop" if finish else None))
    chunks = [_chat_object(model, [choice], is_delta=True) for choice in choices]
    events = [event(json.dumps(chunk, ensure_ascii=False)) for chunk in chunks]
    script = sse(events, done=not hang, headers=SERVER)
    return script[:-1] + stall() if hang else script


def embeddings(model: str, texts: Sequence[str], *, coded: bool = False) -> Script:
    """Answer with one vector for each text; equal texts get equal vectors.

    Args:
        model: Id named in the answer.
        texts: The inputs.
        coded: Send vectors as base64 of 32-bit floats, not as lists.
    """
    vectors = [_vector(text) for text in texts]
    shown = [
        base64.b64encode(struct.pack("<8f", *vector)).decode() if coded else vector for vector in vectors
    ]
    data = [{"object": "embedding", "embedding": each, "index": index} for index, each in enumerate(shown)]
    used = sum(len(text.split()) for text in texts)
    usage = {"prompt_tokens": used, "total_tokens": used}
    return json_body({"object": "list", "data": data, "model": model, "usage": usage})


def download(
    files: Sequence[str], outcome: object, *, pairs: bool = False, stop: int | None = None
) -> Script:
    """Answer a download: lines of progress, one in each chunk, then the outcome.

    Args:
        files: Names of the files that are fetched one after the other.
        outcome: The last object; it takes several lines.
        pairs: Spell progress as the documentation does, ``("file", 0.5)``, not as 0.8, ``Total 50.0% ...``.
        stop: Lines after which the connection is cut; ``None`` for none.
    """
    lines = _pairs(files) if pairs else _percents(files)
    parts = [*lines, *f"{json.dumps(outcome, indent=2)}\n".splitlines(keepends=True)]
    script = chunked([part.encode() for part in parts], headers=SERVER, content_type=_TEXT)
    return script if stop is None else script[: 1 + stop] + cut()


def _vector(text: str) -> list[float]:
    return [(byte - 128) / 128 for byte in hashlib.sha256(text.encode()).digest()[:8]]


def _pairs(files: Sequence[str]) -> list[str]:
    lines: list[str] = []
    for number, file in enumerate(files, 1):
        lines += (f'("{file}", 0.5)\n', f'("{file}", 1)\n', f'("", {number / len(files):.4g})\n')
    return lines


def _percents(files: Sequence[str]) -> list[str]:
    steps = [(file, (number + half) / len(files)) for number, file in enumerate(files) for half in (0.5, 1)]
    return [f"Total {share:.2%} Downloading {file}\n" for file, share in steps]


def _chat_object(model: str, choices: Sequence[object], *, is_delta: bool) -> dict[str, object]:
    kind = "chat.completion.chunk" if is_delta else "chat.completion"
    fixed = {"model": model, "choices": choices, **_CREATED, "id": "chat.id.1", "IsDelta": is_delta}
    return {**fixed, **_EXTRA, "object": kind}


def _choice(text: str, finish: str | None) -> dict[str, object]:
    message = {"role": "assistant", "content": text}
    return {"delta": message, "message": message, "index": 0, "finish_reason": finish}
