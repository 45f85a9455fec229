"""The lines of the output, exactly as OpenAI writes them.

A failure with an HTTP status is a ``response`` with its status and error body, and ``error`` is null. Only a
failure without one has ``response: null``.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Mapping
from http import HTTPStatus

import msgspec

from foundry_rest import errors
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.resilience.failures import most_retries
from foundry_rest.schema.batch import Answer
from foundry_rest.schema.embeddings import EmbeddingReply
from foundry_rest.transport.call import Replay

#: Why a request was not sent, as OpenAI calls it.
CANCELLED, EXPIRED = "batch_cancelled", "batch_expired"
_UNSENT = {
    CANCELLED: "The batch was stopped before this request had an answer; run it again to send it.",
    EXPIRED: "The time of the batch was over before this request had an answer; run it again to send it.",
}
#: Failures without HTTP -> OpenAI's code, or one in its manner. A subclass has that of its base.
_CODES: dict[type[errors.FoundryError], str] = {
    errors.FoundryError: "failed",
    errors.ConfigError: "invalid_request",
    errors.UnsupportedByService: "unsupported_by_service",
    errors.DeadlineExceeded: "request_timeout",
    errors.Cancelled: CANCELLED,
    errors.ServiceTimeout: "request_timeout",
    errors.ServiceUnreachable: "connection_lost",
    errors.StreamInterrupted: "answer_cut",
    errors.WorkerLost: "worker_lost",
    errors.InvalidReply: "invalid_answer",
    errors.TransportError: "connection_failed",
}


class _Response(msgspec.Struct):
    status_code: int
    request_id: str
    body: object


class _Error(msgspec.Struct):
    code: str
    message: str


class _Line(msgspec.Struct):
    id: str
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


def answered(key: str, custom_id: str, answer: Answer, encoding: object = None) -> bytes:
    """Return the line of an answer.

    Args:
        key: Key of the request.
        custom_id: Its name.
        answer: The answer.
        encoding: ``"base64"`` for vectors in that form.
    """
    body = _vectors(answer, encoding) if isinstance(answer, EmbeddingReply) else answer.raw
    request_id = answer.headers.get("x-request-id") or getattr(answer, "id", "")
    return _encoded(_Line(_id(key), custom_id, _Response(200, str(request_id), body)))


def failed(key: str, custom_id: str, error: errors.FoundryError) -> bytes:
    """Return the line of a failure."""
    if isinstance(error, errors.ServiceError):
        status = error.status if error.status >= HTTPStatus.MULTIPLE_CHOICES else 500
        headers = getattr(error.response, "headers", {})
        response = _Response(status, str(headers.get("x-request-id", "")), _error_body(error))
        return _encoded(_Line(_id(key), custom_id, response))
    return _encoded(_Line(_id(key), custom_id, error=_Error(code_of(error), error.for_command("batch"))))


def unsent(custom_id: str, code: str) -> bytes:
    """Return the line of a request without a result."""
    return _encoded(_Line(_id(""), custom_id, error=_Error(code, _UNSENT[code])))


def code_of(error: errors.FoundryError) -> str:
    """Return the code of a failure: of one with HTTP its status and type, else OpenAI's."""
    if isinstance(error, errors.ServiceError):
        return f"{error.status} {type(error).__name__}"
    return next(_CODES[cls] for cls in type(error).__mro__ if cls in _CODES)


def is_transient(error: errors.FoundryError) -> bool:
    """Return whether the same request may succeed later."""
    if isinstance(error, (errors.DeadlineExceeded, errors.TransportError)):
        return True
    return most_retries(error, Replay.ALWAYS) > 0


def _id(key: str) -> str:
    return f"batch_req_{key or 'unsent'}"


def _encoded(line: _Line) -> bytes:
    return msgspec.json.encode(line)


def _error_body(error: errors.ServiceError) -> object:
    """Return the body of an error as it came, or one in OpenAI's form."""
    try:
        body = msgspec.json.decode(error.body)
    except UNDECODABLE:
        body = None
    if isinstance(body, Mapping) and isinstance(body.get("error"), Mapping):
        return body
    kind = "invalid_request_error" if error.status < HTTPStatus.INTERNAL_SERVER_ERROR else "server_error"
    return {"error": {"message": error.message, "type": kind, "param": None, "code": error.code}}


def _vectors(reply: EmbeddingReply, encoding: object) -> object:
    """Return vectors as OpenAI's route answers them."""
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": _packed(vector) if encoding == "base64" else vector,
        }
        for index, vector in enumerate(reply.vectors)
    ]
    usage = {"prompt_tokens": reply.usage.prompt_tokens, "total_tokens": reply.usage.total_tokens}
    return {"object": "list", "data": data, "model": reply.model, "usage": usage}


def _packed(vector: list[float]) -> str:
    return base64.b64encode(struct.pack(f"<{len(vector)}f", *vector)).decode()
