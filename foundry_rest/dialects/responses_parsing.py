"""Parse what the Responses API returns: whole responses, events, pages; pure.

Measured on 2.2.1 and 1.2.4; 1.2.4 reports failures under HTTP 200, too (docs/reference/service.md, section
14).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from foundry_rest.errors import InvalidMember, InvalidReply, ServerError, ServiceError
from foundry_rest.errors.parsing import error_in, stream_error
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema import Usage
from foundry_rest.schema.responses import (
    REASONING_DELTAS,
    TEXT_DELTAS,
    InputItem,
    OutputItem,
    Response,
    ResponseEvent,
    ResponseFailure,
    ResponsePage,
)
from foundry_rest.transport.call import Reply
from foundry_rest.transport.json_codec import decode_answer, decode_odd

T = TypeVar("T")

#: Types of the events whose ``delta`` must be text.
_DELTAS = TEXT_DELTAS | REASONING_DELTAS | {"response.function_call_arguments.delta"}
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
#: Types of the events that hold the response so far.
_STATES = frozenset({"response.created", "response.in_progress", "response.completed", "response.incomplete"})
#: Final statuses of a response that did not fail.
_FINAL = ("completed", "incomplete")


class _Usage(msgspec.Struct):
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0


class _Details(msgspec.Struct):
    reason: str | None = None


class _Response(msgspec.Struct):
    id: str
    status: str
    output: tuple[OutputItem, ...]
    model: str | None = None
    usage: _Usage | None = None
    error: ResponseFailure | None = None
    incomplete_details: _Details | None = None
    previous_response_id: str | None = None
    created_at: float | None = None
    max_output_tokens: int | None = None


class _Event(msgspec.Struct):
    type: str = ""
    sequence_number: int | None = None
    output_index: int | None = None
    item_id: str | None = None
    delta: msgspec.Raw = msgspec.Raw()
    item: msgspec.Raw = msgspec.Raw()
    response: msgspec.Raw = msgspec.Raw()
    error: object = None


class _Page(msgspec.Struct):
    data: list[msgspec.Raw]
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None


class _Items(msgspec.Struct):
    data: list[InputItem]


class _Deleted(msgspec.Struct):
    deleted: bool


_EVENT = msgspec.json.Decoder(_Event)
_TEXT = msgspec.json.Decoder(str)


def parse_response(reply: Reply, *, previous: str | None = None) -> Response:
    """Parse a whole response.

    Args:
        reply: The HTTP response.
        previous: Id of the response that it was to continue.

    Raises:
        ServiceError: The response failed, whatever the HTTP status is.
        InvalidReply: It is not a response, or continues another one.
    """
    response = _parse_body(reply.body, reply.url)
    if response.status == "failed":
        raise _failure(reply.body)
    _check_previous(response, previous)
    return msgspec.structs.replace(
        response,
        elapsed=reply.elapsed,
        headers=reply.headers,
        cached=reply.cached,
        stale_for=reply.stale_for,
    )


def parse_event(event: bytes, *, previous: str | None = None) -> ResponseEvent:
    """Parse one event of a streamed response.

    Raises:
        ServiceError: The event reports that the response failed.
        InvalidReply: The event cannot be parsed, or the response continues another one.
    """
    parsed = _decode_event(event)
    response = _parse_field(parsed.response, "response", _parse_body) if parsed.type in _STATES else None
    if response is not None:
        _check_previous(response, previous)
    return ResponseEvent(
        type=parsed.type,
        sequence_number=parsed.sequence_number,
        output_index=parsed.output_index,
        item_id=parsed.item_id,
        delta=_parse_field(parsed.delta, "delta", _parse_text) if parsed.type in _DELTAS else "",
        item=_parse_field(parsed.item, "item", _parse_item) if parsed.type in _ITEMS else None,
        response=response,
        event=event,
    )


def _decode_event(event: bytes) -> _Event:
    """Return the fields of an event; raise the failure that it reports."""
    try:
        parsed = _EVENT.decode(event)
    except UNDECODABLE as error:
        parsed = decode_odd(event, _Event, error, keeps_halves=True)
    if parsed.error and (reported := error_in(event)):
        raise reported
    if not parsed.type:
        raise stream_error(event) or InvalidReply("the event has no type", where="$.type", body=event[:2048])
    if parsed.type == "response.failed":
        raise _failure(bytes(parsed.response))
    if parsed.type == "error":  # as OpenAI sends it: the event itself holds the fields of the error
        raise _failure(b'{"error":' + event + b"}")
    return parsed


def _failure(body: bytes) -> ServiceError:
    """Return the error that a failed response reports."""
    return error_in(body) or ServerError(
        "the response failed, and the service does not say why", status=500, body=body
    )


def _parse_field(raw: msgspec.Raw, name: str, parse: Callable[[bytes], T]) -> T:
    """Parse one field of an event; an error's path begins at the event."""
    try:
        return parse(bytes(raw) or b"null")
    except InvalidReply as error:
        raise InvalidMember.of(error, name) from None


def _parse_body(body: bytes, url: str = "") -> Response:
    parsed = decode_answer(body, _Response, url)
    usage = parsed.usage or _Usage()
    return Response(
        id=parsed.id,
        status=parsed.status,
        output=parsed.output,
        model=parsed.model or "",
        usage=Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens),
        error=parsed.error,
        incomplete_reason=_incomplete_reason(parsed, usage.output_tokens),
        previous_response_id=parsed.previous_response_id,
        created_at=parsed.created_at,
        body=body,
    )


def _parse_text(body: bytes) -> str:
    try:
        return _TEXT.decode(body)
    except UNDECODABLE as error:
        return decode_odd(body, str, error, keeps_halves=True)


def _parse_item(body: bytes) -> OutputItem:
    return decode_answer(body, OutputItem)


def _incomplete_reason(parsed: _Response, output_tokens: int) -> str | None:
    """Return why the response was cut; ``None`` if it was not.

    1.x reports even a cut response as completed. 2.x reports a response as incomplete when its tokens, the
    end mark included, reach the limit, and both generations count alike (measured: 14 of 14 tokens is
    incomplete, 14 of 15 is not). So the count decides for both.
    """
    if parsed.incomplete_details is not None and parsed.incomplete_details.reason:
        return parsed.incomplete_details.reason
    limit = parsed.max_output_tokens
    return "max_output_tokens" if parsed.status in _FINAL and limit and output_tokens >= limit else None


def _check_previous(response: Response, previous: str | None) -> None:
    if previous is not None and response.previous_response_id != previous:
        raise InvalidReply(
            "the service did not go on from the previous response",
            where="$.previous_response_id",
            advice="Send the whole conversation as input.",
        )


def parse_page(reply: Reply) -> ResponsePage:
    """Parse one page of stored responses, failed ones included."""
    page = decode_answer(reply.body, _Page, reply.url)
    data = tuple(_parse_body(bytes(item), reply.url) for item in page.data)
    return ResponsePage(data=data, has_more=page.has_more, first_id=page.first_id, last_id=page.last_id)


def parse_items(reply: Reply) -> list[InputItem]:
    """Parse the input items of a response."""
    return decode_answer(reply.body, _Items, reply.url).data


def parse_deleted(reply: Reply) -> bool:
    """Parse the confirmation of a deletion, and return ``True``.

    Raises:
        InvalidReply: The service reports that the response was not deleted.
    """
    if not decode_answer(reply.body, _Deleted, reply.url).deleted:
        raise InvalidReply("the service did not delete the response", where="$.deleted", url=reply.url)
    return True
