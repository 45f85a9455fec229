"""Ready answers in the spelling of Foundry Local 2.x, as 2.2.1 was recorded (keys sorted, no spaces)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence

from foundry_rest.testing.framing import EVENT_STREAM, Fields, answer, event, sse
from foundry_rest.testing.script import Script, cut

#: Id of the fault server's demo model.
DEMO_MODEL = "demo-generic-cpu:1"
SERVER = ("Server", "oatpp/1.3.0")
_KEEP = ("Connection", "keep-alive")
_NO_CACHE = ("Cache-Control", "no-cache")
#: 2.x sends three headers of a stream twice (``framing`` adds the first Content-Type): a client that
#: compares with == fails on "text/event-stream, text/event-stream".
_STREAM_HEADERS = (_NO_CACHE, _KEEP, SERVER, ("Content-Type", EVENT_STREAM), _NO_CACHE, _KEEP)
_CHAT_ID = "chatcmpl-0123456789abcdef"
_CREATED = 1_700_000_000
_PROMPT_TOKENS = 18


def json_answer(value: object, status: int = 200, headers: Fields = ()) -> Script:
    """Answer with a value as JSON, under the headers that 2.x sends."""
    more = headers.items() if isinstance(headers, Mapping) else headers
    return answer(status, _json(value), headers=(_KEEP, SERVER, *more))


def service_status(url: str, model_cache_path: str, pid: int) -> Script:
    """Answer ``GET /status`` with exactly the three fields by which 2.x is recognised."""
    return json_answer({"endpoints": [url], "modelCachePath": model_cache_path, "pid": pid})


def model_list(ids: Iterable[str]) -> Script:
    """Answer ``GET /v1/models`` with the whole catalog, loaded or not."""
    return json_answer({"data": [_model_item(id) for id in ids], "object": "list"})


def model_item(id: str) -> Script:
    """Answer ``GET /v1/models/{id}``."""
    return json_answer(_model_item(id))


def chat_completion(
    text: str = "Hello",
    *,
    finish: str = "stop",
    model: str = DEMO_MODEL,
    tool_calls: Sequence[object] | None = None,
) -> Script:
    """Answer a chat request in one piece; usage counts the words of ``text``."""
    message: dict[str, object] = {"content": text, "refusal": None, "role": "assistant"}
    if tool_calls is not None:
        message["tool_calls"] = tool_calls
    choice = {"finish_reason": finish, "index": 0, "logprobs": None, "message": message}
    body = _chat_object("chat.completion", model, [choice], usage=_usage(len(text.split())))
    return json_answer(body)


def chat_stream(
    words: str | Iterable[str] = "Hello there",
    finish: str | None = "stop",
    *,
    usage: bool = True,
    done: bool = True,
    model: str = DEMO_MODEL,
) -> Script:
    """Answer a chat request with a stream; its steps are head, role, one for each word, finish, usage, end.

    So ``chat_stream(words)[:4] + cut()`` breaks off after the second word.

    Args:
        words: Contents of the chunks, sent as they are; a text is split before its spaces.
        finish: Reason in the last chunk; ``None`` for no such chunk.
        usage: Send the usage chunk, with an empty ``choices``, as with ``include_usage``.
        done: Send ``data: [DONE]``.
        model: Id named in every chunk.
    """
    events = chat_events(words, finish, usage=usage, model=model)
    return sse(events, done=done, headers=_STREAM_HEADERS)


def chat_events(
    words: str | Iterable[str] = "Hello there",
    finish: str | None = "stop",
    *,
    usage: bool = True,
    model: str = DEMO_MODEL,
) -> tuple[bytes, ...]:
    """Build the events of a chat stream without ``[DONE]``, to combine with others in ``sse``."""
    pieces = _pieces(words)
    deltas: list[dict[str, object]] = [{"content": "", "role": "assistant"}]
    deltas += [{"content": piece} for piece in pieces]
    events = [_chunk_event(model, [_choice(delta, None)]) for delta in deltas]
    if finish is not None:
        events.append(_chunk_event(model, [_choice({}, finish)]))
    if usage:
        events.append(_chunk_event(model, [], usage=_usage(len(pieces))))
    return tuple(events)


def chat_event(delta: Mapping[str, object], finish: str | None = None, *, model: str = DEMO_MODEL) -> bytes:
    """Build one chunk of a chat stream from its delta: a tool call, a reasoning text."""
    return _chunk_event(model, [_choice(delta, finish)])


def error_event(message: str = "Inference failed", type: str = "server_error") -> bytes:
    """Build the event by which 2.x reports a failure in a stream with status 200; no [DONE] follows it."""
    return event(_json(_error(message, type)).decode())


def error_stream(
    message: str = "Inference failed", type: str = "server_error", *, after: str | Iterable[str] = ()
) -> Script:
    """Answer with a stream that fails: the words of ``after``, an error event, a clean end, no [DONE]."""
    words = _pieces(after)
    before = chat_events(words, finish=None, usage=False) if words else ()
    return sse((*before, error_event(message, type)), done=False, headers=_STREAM_HEADERS)


def json_error(
    status: int,
    message: str,
    type: str | None = None,
    *,
    code: str | None = None,
    param: str | None = None,
    headers: Fields = (),
) -> Script:
    """Answer with 2.x's error body; the default of ``type`` depends on the status.

    Status 200 is allowed, for an error body that looks like a success.
    """
    kind = type or ("server_error" if status >= 500 else "invalid_request_error")
    return json_answer(_error(message, kind, code, param), status, headers)


def model_not_found(name: str) -> Script:
    """Answer 404: the name is neither an alias nor an id of the catalog."""
    return json_error(404, f"Model not found: No model matching '{name}'")


def model_not_loaded(id: str = DEMO_MODEL) -> Script:
    """Answer 400: the model is on disk, but not in memory."""
    return json_error(400, f"Model not loaded: Model '{id}' must be loaded before inference")


def model_not_cached() -> Script:
    """Answer 400: the model is in the catalog, but not on disk."""
    return json_error(400, "Model not cached: Model must be downloaded before loading")


def context_exceeded(limit: int = 1024, asked: int = 2048, *, stream: bool = False) -> Script:
    """Answer 400: prompt and ``max_tokens`` together exceed the model's context; counts are tokens.

    With ``stream`` it is the one event of a stream, as 2.x answers there.
    """
    words = (
        f"request requires {_PROMPT_TOKENS + asked} total tokens ({_PROMPT_TOKENS} input + {asked} output), "
        f"which exceeds the model's maximum context length of {limit} tokens"
    )
    if stream:
        return error_stream(words, "invalid_request_error")
    return json_error(400, f"Invalid request: {words}")


def inference_failed(detail: str = "out of memory") -> Script:
    """Answer 500: the generation itself failed."""
    return json_error(500, f"Inference failed: {detail}")


def too_many(retry_after: float | str | None = 1) -> Script:
    """Answer 429 as a gateway in front of the service does; ``retry_after`` in seconds or as a date."""
    return json_error(429, "Too many requests", headers=_retry_after(retry_after))


def unavailable(retry_after: float | str | None = None) -> Script:
    """Answer 503 as a gateway in front of the service does; ``retry_after`` in seconds or as a date."""
    return json_error(503, "Service unavailable", headers=_retry_after(retry_after))


def unmapped(method: str, path: str) -> Script:
    """Answer 404 as oatpp does for an unknown route or verb: plain text without a type; then close."""
    text = (
        "server=oatpp/1.3.0\ncode=404\ndescription=Not Found\n"
        f"message=No mapping for HTTP-method: '{method}', URL: '{path}'\n"
    )
    return answer(404, text, content_type=None, headers=(("Connection", "close"), SERVER)) + cut()


def _pieces(words: str | Iterable[str]) -> tuple[str, ...]:
    if not isinstance(words, str):
        return tuple(words)
    first, *rest = words.split(" ")
    return (first, *(f" {word}" for word in rest))


def _chunk_event(model: str, choices: Sequence[object], **more: object) -> bytes:
    return event(_json(_chat_object("chat.completion.chunk", model, choices, **more)).decode())


def _chat_object(kind: str, model: str, choices: Sequence[object], **more: object) -> dict[str, object]:
    fixed = {"created": _CREATED, "id": _CHAT_ID, "model": model, "object": kind, "system_fingerprint": None}
    return {**fixed, "choices": choices, **more}


def _choice(delta: Mapping[str, object], finish: str | None) -> dict[str, object]:
    return {"delta": delta, "finish_reason": finish, "index": 0, "logprobs": None}


def _usage(completion: int) -> dict[str, object]:
    return {
        "completion_tokens": completion,
        "completion_tokens_details": {"reasoning_tokens": 0},
        "prompt_tokens": _PROMPT_TOKENS,
        "prompt_tokens_details": {"cached_tokens": 0},
        "total_tokens": _PROMPT_TOKENS + completion,
    }


def _model_item(id: str) -> dict[str, object]:
    return {"created": _CREATED, "id": id, "object": "model", "owned_by": "Microsoft"}


def _error(message: str, type: str, code: str | None = None, param: str | None = None) -> dict[str, object]:
    return {"error": {"code": code, "message": message, "param": param, "type": type}}


def _retry_after(value: float | str | None) -> tuple[tuple[str, str], ...]:
    return () if value is None else (("Retry-After", str(value)),)


def _json(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
