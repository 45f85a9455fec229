"""What error answers say, parsed into the error class, which ``wordings`` chooses, that says what to do."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime

import msgspec

from foundry_rest import clock
from foundry_rest.control_characters import visible
from foundry_rest.errors import ContextLengthExceeded, LoadFailed, ServiceError
from foundry_rest.errors.process import late_import
from foundry_rest.errors.wordings import ADVICE_WITHOUT_MESSAGE, advice_for, classify
from foundry_rest.raw_json import decode_raw, encode_raw, read_raw

#: ``type`` of an error inside a stream, its only hint -> the status it corresponds to.
_STATUS_OF_TYPE = {"invalid_request_error": 400, "server_error": 500}
#: A position in the service's own source, such as ``search_options.cc:108 int fl::Parse(...)``.
_SOURCE_POSITION = (
    r"(?<![\w./])[\w./]+\.(?:cc|cpp|h|hpp|cs):\d+\s+(?:[\w:<>,*&~{} ]*::~?\w+\([^()]*\)(?:\s*const)?\s*)?"
)
#: Members of the events of an answer.
_OF_ANSWERS = ("choices", "usage", "delta", "response", "item", "type")
#: Members of an error that hold its words.
_WORDS = ("message", "errormessage", "title", "detail")
#: Values of ``code`` that are HTTP statuses, as gateways send them.
_STATUSES = range(400, 600)
#: Values of ``x-should-retry``, as OpenAI's servers send it.
_SHOULD_RETRY = {"true": True, "false": False}
#: Most seconds that a server is taken to ask for.
_LONGEST = 1e9
_NO_WORDS = "the service reported an error without a message"
#: Characters of a message that are parsed.
_MOST_READ = 4096
#: Characters of a message that are shown; the whole body stays in ``error.body``.
_MOST_SHOWN = 400


class _ErrorFields(msgspec.Struct, frozen=True):
    """The parts of an error body that decide about the class."""

    message: str
    code: str | None = None
    type: str | None = None
    status: int | None = None


def service_error(
    status: int, headers: Mapping[str, str], body: bytes, *, call: str = "", url: str = "", model: str = ""
) -> ServiceError:
    """Build the error for an answer with this status, these headers and this body."""
    parsed = _parse_body(body)
    shown = _shorten(parsed.message) or f"the service answered {status} without a message"
    if 300 <= status < 400:
        shown = f"the service redirects to {headers.get('location', 'nowhere')}; redirects are not followed"
    advice = ADVICE_WITHOUT_MESSAGE.get(call, "") if status == 500 and not parsed.message else ""
    cls = LoadFailed if advice else classify(status, parsed.message, parsed.code)
    error = cls(
        shown,
        status=status,
        code=parsed.code,
        retry_after=retry_after(headers),
        should_retry=_SHOULD_RETRY.get(headers.get("x-should-retry", "").strip().lower()),
        body=body,
        call=call,
        url=url,
        model=model,
    )
    return _explained(error, parsed.message, advice or advice_for(parsed.message))


def reported_error(payload: bytes) -> ServiceError | None:
    """Return the error that a body with status 200 or an event of a stream reports as such, or ``None``."""
    fields = _fields_of(payload)
    is_error = says_error(fields.get("error")) or "error" in (fields.get("object"), fields.get("type"))
    return _reported(payload) if is_error else None


def bare_error(event: bytes) -> ServiceError | None:
    """Return the error of an event that is the words of one, without ``error`` around them, or ``None``."""
    fields = _fields_of(event)
    if any(map(fields.get, _OF_ANSWERS)) or not any(_value_text(fields.get(name)) for name in _WORDS):
        return None
    return _reported(event)


def given_up(payload: bytes, reason: str | None) -> ServiceError:
    """Return the error of an answer that the server gave up, as its finish reason says."""
    choices = _fields_of(payload).get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    fields = _lower_keys(first)
    said = fields if fields.get("error") else {"message": f"the service gave the answer up: {reason}"}
    return _reported(encode_raw({"error": said.get("error", said)}))


def says_error(value: object) -> bool:
    """Return whether the value of a member ``error`` reports one: any but null, false, 0, and empty ones."""
    if isinstance(value, dict):
        return any(map(says_error, value.values()))
    return bool(value)


def enveloped(data: bytes) -> bytes:
    """Return the data of an event that is an error by its name with ``error`` around it."""
    decoded = decode_raw(data)
    decoded = decoded.strip() if isinstance(decoded, str) else decoded
    if isinstance(decoded, dict) and says_error(_lower_keys(decoded).get("error")):
        return data
    members = decoded if isinstance(decoded, dict) else {}
    return encode_raw({**members, "error": decoded or _NO_WORDS})


def _reported(payload: bytes) -> ServiceError:
    """Build the error that a payload with status 200 reports."""
    parsed = _parse_body(payload)
    status = parsed.status or _STATUS_OF_TYPE.get(parsed.type or parsed.code or "", 500)
    error = classify(status, parsed.message, parsed.code)(
        _shorten(parsed.message) or _NO_WORDS, status=status, code=parsed.code, body=payload
    )
    return _explained(error, parsed.message, advice_for(parsed.message))


def _fields_of(payload: bytes) -> dict[str, object]:
    """Return the members of a JSON object by their names in lower case; none of anything else."""
    return _lower_keys(decode_raw(payload))


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a server asks to wait: ``retry-after-ms``, seconds, or an HTTP date.

    A malformed or negative value counts as not given (``None``); a huge one is a billion seconds.
    """
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        seconds = _number(headers.get(name))
        if seconds is not None:
            return seconds * scale
    return _seconds_until(headers.get("retry-after"))


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text, re.ASCII):
        return None
    return min(float(text), _LONGEST)


def _seconds_until(date: str | None) -> float | None:
    try:
        then = parsedate_to_datetime(date or "")
        # HTTP dates are GMT, whichever zone they name, or none.
        return max(0.0, then.replace(tzinfo=then.tzinfo or timezone.utc).timestamp() - clock.now())
    except (ValueError, TypeError, OverflowError):
        return None


def _explained(error: ServiceError, message: str, advice: str | None) -> ServiceError:
    """Return the error with the facts in its message, and this advice in place of its class's, if any."""
    if advice:
        error.advice = advice
    if isinstance(error, ContextLengthExceeded):
        with late_import(sent=True):
            from foundry_rest.errors.context_length import tokens_in

        error.prompt_tokens, error.limit = tokens_in(message)
    return error


def _parse_body(body: bytes) -> _ErrorFields:
    try:
        decoded = read_raw(body)
    except ValueError:
        return _ErrorFields(_without_source_positions(_plain_text(body)))
    parsed = _error_fields(decoded)
    return msgspec.structs.replace(parsed, message=_without_source_positions(parsed.message))


def _error_fields(decoded: object) -> _ErrorFields:
    if isinstance(decoded, str):
        return _ErrorFields(decoded)
    fields = _lower_keys(decoded)
    inner = fields.get("error")
    if isinstance(inner, str):
        return _ErrorFields(inner)
    if isinstance(inner, dict):
        fields = _lower_keys(inner)
    wording = map(_value_text, map(fields.get, _WORDS))
    code, kind = fields.get("code"), fields.get("type")
    return _ErrorFields(
        ": ".join(filter(None, wording)),
        code if isinstance(code, str) else None,
        kind if isinstance(kind, str) else None,
        code if isinstance(code, int) and code in _STATUSES else None,
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
    text = visible(text, keep_lines=False)
    return text if len(text) <= _MOST_SHOWN else text[: _MOST_SHOWN - 1] + "…"
