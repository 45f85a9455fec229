"""Turn a service's refusal, in any generation's spelling, into the class that says what to do.

Pure: status, headers and bytes in, one error out. The services carry no useful ``code``, so the
wording decides; the status decides what the wording does not. No other module looks at a message or a
body: what it has to know is a class.
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

#: What a decoder raises for bytes that are no JSON, or JSON nested without end.
UNDECODABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)

#: Patterns are compiled when the first error is read, not at import. First match wins; searched in message
#: and code in any case. "is not loaded" and "invalid openai json" are 1.x, "no
#: openaiservice provider" is 0.x, codes are OpenAI's, the rest is 2.x. A 500 that the same request
#: gets again each time counts as the request's fault: so does "hidden_states" (a chat model was to embed).
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
#: 2.x checks a call that its model wrote against the tool's schema, and names the place in the call.
_TOOL_CALL = (r"tool call|': instance '", ToolCallFailed)
#: What came of the tables above -> the narrower class that some wordings stand for. The catalog's is 1.x's,
#: a response is gone on 1.x and 2.x, the rest is 2.x.
_NARROWER: dict[type[ServiceError], tuple[tuple[str, type[ServiceError]], ...]] = {
    BadRequest: ((r"audio file not found", AudioFileNotFound),),
    NotFound: (
        (r"^(previous response not found|conversation history for|the response ')", ResponseNotFound),
        (r" response_not_found$", ResponseNotFound),
    ),
    LoadFailed: ((r"still using it", ModelInUse),),
    InferenceFailed: (_TOOL_CALL,),
    ServerError: (_TOOL_CALL, (r"failed to retrieve model list", CatalogUnavailable)),
}
#: What a service leaves to be guessed, by its wording.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"'hidden_states' was not found",
        "This model gives no embeddings: choose one whose task is embeddings from client.models.catalog().",
    ),
)
#: 1.x answers every failure of these calls with a 500 and no word.
_WORDLESS = {
    "models.load": "It does not say why: the name may be unknown (case counts), the model not downloaded, "
    "its files broken or the memory full. See client.models.catalog() and the service's own log.",
    "models.unload": "It does not say why: it may not reach its catalog. See the service's own log.",
}
#: What an error inside a stream stands for: its ``type`` is the only hint.
_STATUS_OF_TYPE = {"invalid_request_error": 400, "server_error": 500}
#: ``search_options.cc:108 int fl::Parse(...)``: where in the service's own source it happened.
_SOURCE_PLACE = (
    r"(?<![\w./])[\w./]+\.(?:cc|cpp|h|hpp|cs):\d+\s+(?:[\w:<>,*&~{} ]*::~?\w+\([^()]*\)(?:\s*const)?\s*)?"
)
#: In every body or event that carries an error, in either case; what lacks it need not be read.
ERROR_MARK = b'rror"'
#: Longest message looked at.
_READ = 4096
#: Longest message shown; the whole body stays in ``error.body``.
_SHOWN = 400


class _Said(NamedTuple):
    message: str
    code: str | None = None
    type: str | None = None


def service_error(
    status: int, headers: Mapping[str, str], body: bytes, *, call: str = "", url: str = "", model: str = ""
) -> ServiceError:
    """Build the error that an answer with this status, these headers and this body stands for."""
    said = _read(body)
    shown = _shown(said.message) or f"the service answered {status} without a message"
    if 300 <= status < 400:
        shown = f"the service redirects to {headers.get('location', 'nowhere')}; redirects are not followed"
    wordless = _WORDLESS.get(call, "") if status == 500 and not said.message else ""
    cls = LoadFailed if wordless else _classify(status, said)
    error = cls(
        shown,
        status=status,
        code=said.code,
        retry_after=retry_after(headers),
        body=body,
        call=call,
        url=url,
        model=model,
    )
    return _advise(error, wordless or _first(_ADVICE, said.message))


def error_in(payload: bytes) -> ServiceError | None:
    """Return the error that a 200 body or a stream event carries, or ``None``.

    ``"error": null`` beside a success is normal on 0.x and means nothing.
    """
    if ERROR_MARK not in payload:  # one look at what may be megabytes
        return None
    try:
        decoded = msgspec.json.decode(payload)
    except UNDECODABLE:
        return None
    if not isinstance(decoded, dict) or not (decoded.get("error") or decoded.get("Error")):
        return None
    said = _read(payload)
    status = _STATUS_OF_TYPE.get(said.type or said.code or "", 500)
    error = _classify(status, said)(
        _shown(said.message) or "the service reported an error", status=status, code=said.code, body=payload
    )
    return _advise(error, _first(_ADVICE, said.message))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds a server asks to wait: ``retry-after-ms``, seconds, or an HTTP date.

    A malformed, negative or endless value counts as not given (``None``).
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
        # HTTP dates are GMT, whatever zone they name or leave out.
        return max(0.0, then.replace(tzinfo=then.tzinfo or timezone.utc).timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError):
        return None


def _classify(status: int, said: _Said) -> type[ServiceError]:
    words = f"{said.message} {said.code or ''}"
    cls = _first(_BY_WORDING, words) or _by_status(status)
    return _first(_NARROWER.get(cls, ()), words) or cls


def _by_status(status: int) -> type[ServiceError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequest if status >= 400 else ServiceError


def _first(table: tuple[tuple[str, T], ...], words: str) -> T | None:
    """Return what stands beside the first pattern that is found in the words."""
    return next((found for pattern, found in table if re.search(pattern, words, re.IGNORECASE)), None)


def _advise(error: ServiceError, advice: str | None) -> ServiceError:
    """Return the error with an advice of its own, where there is a better one than its class's."""
    if advice:
        error.advice = advice
    return error


def _read(body: bytes) -> _Said:
    try:
        decoded = msgspec.json.decode(body)
    except UNDECODABLE:
        return _Said(_without_places(_plain(body)))
    said = _from_json(decoded)
    return said._replace(message=_without_places(said.message))


def _from_json(decoded: object) -> _Said:
    if isinstance(decoded, str):
        return _Said(decoded)
    fields = _lower(decoded)
    inner = fields.get("error")
    if isinstance(inner, str):
        return _Said(inner)
    if isinstance(inner, dict):
        fields = _lower(inner)
    words = map(_words, map(fields.get, ("message", "errormessage", "title", "detail")))
    code, kind = fields.get("code"), fields.get("type")
    return _Said(
        ": ".join(filter(None, words)),
        code if isinstance(code, str) else None,
        kind if isinstance(kind, str) else None,
    )


def _lower(decoded: object) -> dict[str, object]:
    return (
        dict(zip(map(str.lower, decoded), decoded.values(), strict=True)) if isinstance(decoded, dict) else {}
    )


def _words(value: object) -> str:
    """Return a text as it is; of FastAPI's list only what went wrong, since it quotes the request too."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    return "; ".join(str(item["msg"]) for item in value if isinstance(item, dict) and "msg" in item)


def _plain(body: bytes) -> str:
    text = body[:4096].decode("utf-8", "replace").strip()
    if text[:1] == "<":
        title = re.search(r"<title>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return f"an HTML page{f' titled {chr(32).join(title[1].split())!r}' if title else ''}"
    oatpp = re.search(r"^message=(.*)", text, re.MULTILINE)
    return oatpp[1] if oatpp else text


def _without_places(message: str) -> str:
    return " ".join(re.sub(_SOURCE_PLACE, "", message[:_READ]).split())


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
