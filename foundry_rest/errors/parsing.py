"""Error answers, in any generation's spelling, parsed into the error class that says what a caller can do.

Pure functions: status, headers and bytes in, one error out. The services send no useful ``code``, so the
wording decides; the status decides where the wording does not. No other module examines a message or a
body: everything that others need to know is in the class.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple, TypeVar

import msgspec

from foundry_rest import clock
from foundry_rest.errors import (
    AudioFileNotFound,
    AuthenticationError,
    BadRequest,
    CatalogUnavailable,
    ContextLengthExceeded,
    InferenceFailed,
    LoadFailed,
    ModelInUse,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    ResponseNotFound,
    ServerError,
    ServiceError,
    ToolCallFailed,
    TooManyRequests,
    UnsupportedParameter,
)

T = TypeVar("T")

#: What a decoder raises for bytes that are not JSON, or for JSON that is nested too deeply.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: Wording -> class. The first pattern found in message and code, in any case, wins. Patterns are compiled
#: when the first error is parsed, not at import. "is not loaded" and "invalid openai json" are 1.x's, "no
#: openaiservice provider" is 0.x's, codes are OpenAI's, the rest is 2.x's. A 500 that the same request gets
#: each time counts as the request's fault, such as "hidden_states" (embeddings from a chat model).
_BY_WORDING: tuple[tuple[str, type[ServiceError]], ...] = (
    (r"exceeds the model's maximum context length|context_length_exceeded", ContextLengthExceeded),
    (r"cannot be greater than model context_length", ContextLengthExceeded),
    (r"^invalid openai json request|error creating grammar|'hidden_states' was not found", BadRequest),
    (r"\[AudioDecoder\]|\[LogMel\]|audio_features must be provided", BadRequest),
    (r"empty chat template|invalid type in response format", BadRequest),
    (r"model not loaded|must be loaded before|is not loaded\b", ModelNotLoaded),
    (r"no openaiservice provider found", ModelNotLoaded),
    (r"model not cached|must be downloaded before", ModelNotCached),
    (r"model not found|no model matching|model_not_found", ModelNotFound),
    (r"unsupported parameter", UnsupportedParameter),
    (r"^(un)?load failed|failed loading model", LoadFailed),
    (r"inference failed|invalid tool call|failed to create generator", InferenceFailed),
    (r"\btool '[^']*': instance '", InferenceFailed),
)
_BY_STATUS: dict[int, type[ServiceError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFound,
    429: TooManyRequests,
}
#: 2.x checks a call that its model wrote against the tool's schema, and names the position of the mistake.
_TOOL_CALL = (r"tool call|': instance '", ToolCallFailed)
#: Class found by the tables above -> wordings that make it one of its subclasses. The catalog's is 1.x's,
#: a missing response is 1.x's and 2.x's, the rest is 2.x's.
_SUBCLASSES: dict[type[ServiceError], tuple[tuple[str, type[ServiceError]], ...]] = {
    BadRequest: ((r"audio file not found", AudioFileNotFound),),
    NotFound: (
        (r"^(previous response not found|conversation history for|the response ')", ResponseNotFound),
        (r" response_not_found$", ResponseNotFound),
    ),
    LoadFailed: ((r"still using it", ModelInUse),),
    InferenceFailed: (_TOOL_CALL,),
    ServerError: (_TOOL_CALL, (r"failed to retrieve model list", CatalogUnavailable)),
}
#: Wording -> advice, where the service's own message does not explain the cause.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"'hidden_states' was not found",
        "This model gives no embeddings: choose one whose task is embeddings from client.models.catalog().",
    ),
)
#: Advice for calls whose every failure 1.x answers with a 500 and no message.
_ADVICE_WITHOUT_MESSAGE = {
    "models.load": "It does not say why: the name may be unknown (case counts), the model not downloaded, "
    "its files broken or the memory full. See client.models.catalog() and the service's own log.",
    "models.unload": "It does not say why: it may not reach its catalog. See the service's own log.",
}
#: ``type`` of an error inside a stream, its only hint -> the status it corresponds to.
_STATUS_OF_TYPE = {"invalid_request_error": 400, "server_error": 500}
#: A position in the service's own source, such as ``search_options.cc:108 int fl::Parse(...)``.
_SOURCE_POSITION = (
    r"(?<![\w./])[\w./]+\.(?:cc|cpp|h|hpp|cs):\d+\s+(?:[\w:<>,*&~{} ]*::~?\w+\([^()]*\)(?:\s*const)?\s*)?"
)
#: Part of every body or event with an error, in either case; one without it need not be parsed.
ERROR_MARK = b'rror"'
#: Characters of a message that are parsed.
_MOST_READ = 4096
#: Characters of a message that are shown; the whole body stays in ``error.body``.
_MOST_SHOWN = 400


class _ErrorFields(NamedTuple):
    """The parts of an error body that decide about the class."""

    message: str
    code: str | None = None
    type: str | None = None


def service_error(
    status: int, headers: Mapping[str, str], body: bytes, *, call: str = "", url: str = "", model: str = ""
) -> ServiceError:
    """Build the error for an answer with this status, these headers and this body."""
    parsed = _parse_body(body)
    shown = _shorten(parsed.message) or f"the service answered {status} without a message"
    if 300 <= status < 400:
        shown = f"the service redirects to {headers.get('location', 'nowhere')}; redirects are not followed"
    advice = _ADVICE_WITHOUT_MESSAGE.get(call, "") if status == 500 and not parsed.message else ""
    cls = LoadFailed if advice else _classify(status, parsed)
    error = cls(
        shown,
        status=status,
        code=parsed.code,
        retry_after=retry_after(headers),
        body=body,
        call=call,
        url=url,
        model=model,
    )
    return _with_advice(error, advice or _first_match(_ADVICE, parsed.message))


def error_in(payload: bytes) -> ServiceError | None:
    """Return the error in a body with status 200 or in a stream event, or ``None``.

    ``"error": null`` in a success is normal on 0.x and means nothing.
    """
    if ERROR_MARK not in payload:  # cheap, where the payload may be megabytes
        return None
    try:
        decoded = msgspec.json.decode(payload)
    except UNDECODABLE:
        return None
    if not isinstance(decoded, dict) or not (decoded.get("error") or decoded.get("Error")):
        return None
    parsed = _parse_body(payload)
    status = _STATUS_OF_TYPE.get(parsed.type or parsed.code or "", 500)
    error = _classify(status, parsed)(
        _shorten(parsed.message) or "the service reported an error",
        status=status,
        code=parsed.code,
        body=payload,
    )
    return _with_advice(error, _first_match(_ADVICE, parsed.message))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: ``retry-after-ms``, seconds, or an HTTP date.

    A malformed, negative or infinite value counts as not given (``None``).
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds * scale
    return _seconds_until(headers.get("retry-after"))


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d{1,9}(\.\d+)?\s*", text):
        return None
    return float(text)


def _seconds_until(date: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(date or "")
        # HTTP dates are GMT, whichever zone they name, or none.
        return max(0.0, then.replace(tzinfo=then.tzinfo or timezone.utc).timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError):
        return None


def _classify(status: int, parsed: _ErrorFields) -> type[ServiceError]:
    wording = f"{parsed.message} {parsed.code or ''}"
    cls = _first_match(_BY_WORDING, wording) or _by_status(status)
    return _first_match(_SUBCLASSES.get(cls, ()), wording) or cls


def _by_status(status: int) -> type[ServiceError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequest if status >= 400 else ServiceError


def _first_match(table: tuple[tuple[str, T], ...], wording: str) -> T | None:
    """Return the value beside the first pattern that is found in the wording."""
    return next((found for pattern, found in table if re.search(pattern, wording, re.IGNORECASE)), None)


def _with_advice(error: ServiceError, advice: str | None) -> ServiceError:
    """Return the error, with this advice in place of its class's if there is one."""
    if advice:
        error.advice = advice
    return error


def _parse_body(body: bytes) -> _ErrorFields:
    try:
        decoded = msgspec.json.decode(body)
    except UNDECODABLE:
        return _ErrorFields(_without_source_positions(_plain_text(body)))
    parsed = _error_fields(decoded)
    return parsed._replace(message=_without_source_positions(parsed.message))


def _error_fields(decoded: object) -> _ErrorFields:
    if isinstance(decoded, str):
        return _ErrorFields(decoded)
    fields = _lower_keys(decoded)
    inner = fields.get("error")
    if isinstance(inner, str):
        return _ErrorFields(inner)
    if isinstance(inner, dict):
        fields = _lower_keys(inner)
    wording = map(_value_text, map(fields.get, ("message", "errormessage", "title", "detail")))
    code, kind = fields.get("code"), fields.get("type")
    return _ErrorFields(
        ": ".join(filter(None, wording)),
        code if isinstance(code, str) else None,
        kind if isinstance(kind, str) else None,
    )


def _lower_keys(decoded: object) -> dict[str, object]:
    return (
        dict(zip(map(str.lower, decoded), decoded.values(), strict=True)) if isinstance(decoded, dict) else {}
    )


def _value_text(value: object) -> str:
    """Return a text as it is, and only the messages of FastAPI's list, which quotes the request too."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "; ".join(str(item["msg"]) for item in value if isinstance(item, dict) and "msg" in item)


def _plain_text(body: bytes) -> str:
    text = body[:4096].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"an HTML page{f' titled {chr(32).join(title[1].split())!r}' if title else ''}"
    oatpp = re.search(r"^message=(.*)", text, re.MULTILINE)
    return oatpp[1] if oatpp else text


def _without_source_positions(message: str) -> str:
    return " ".join(re.sub(_SOURCE_POSITION, "", message[:_MOST_READ]).split())


def _shorten(text: str) -> str:
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
