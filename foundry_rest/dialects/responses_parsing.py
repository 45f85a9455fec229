"""Read what the Responses API answers: whole responses, events, pages; pure.

Measured on 2.2.1 and 1.2.4, which also reports a failure under HTTP 200.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from foundry_rest.errors import InvalidReply, ServerError, ServiceError
from foundry_rest.errors.parsing import UNDECODABLE, error_in
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
from foundry_rest.transport.json_codec import decode_json, unreadable

T = TypeVar("T")

#: Events whose ``delta`` is text that must not be lost.
_DELTAS = (
    TEXT_DELTAS | REASONING_DELTAS | {"response.function_call_arguments.delta", "response.refusal.delta"}
)
_ITEMS = frozenset({"response.output_item.added", "response.output_item.done"})
#: Events that hold the response as it is.
_WHOLES = frozenset({"response.created", "response.in_progress", "response.completed", "response.incomplete"})
#: Statuses of a response that will not change any more, and was not failed.
_ENDED = ("completed", "incomplete")


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


def parse_response(reply: Reply, *, previous: str | None = None) -> Response:
    """Read a whole response.

    Args:
        reply: The service's answer.
        previous: The response that it was to go on from.

    Raises:
        ServiceError: It failed, whatever the HTTP status says.
        InvalidReply: It is no response, or goes on from another one.
    """
    response = _read(reply.body, reply.url)
    if response.status == "failed":
        raise _failure(reply.body)
    _check_previous(response, previous)
    return msgspec.structs.replace(response, elapsed=reply.elapsed, headers=reply.headers)


def parse_event(event: bytes, *, previous: str | None = None) -> ResponseEvent:
    """Read one event of a streamed response.

    Raises:
        ServiceError: The event tells that the response failed.
        InvalidReply: The event cannot be read, or the response goes on from another one.
    """
    found = _head(event)
    response = _part(found.response, "response", _read) if found.type in _WHOLES else None
    if response is not None:
        _check_previous(response, previous)
    return ResponseEvent(
        type=found.type,
        sequence_number=found.sequence_number,
        output_index=found.output_index,
        item_id=found.item_id,
        delta=_part(found.delta, "delta", _read_text) if found.type in _DELTAS else "",
        item=_part(found.item, "item", _read_item) if found.type in _ITEMS else None,
        response=response,
        event=event,
    )


def _head(event: bytes) -> _Event:
    """Return what all events have; raise the failure that one tells."""
    try:
        found = _EVENT.decode(event)
    except UNDECODABLE as error:
        raise error_in(event) or unreadable(error, event) from None
    if found.error or not found.type:
        raise error_in(event) or InvalidReply("the event has no type", where="$.type", body=event[:2048])
    if found.type == "response.failed":
        raise _failure(bytes(found.response))
    if found.type == "error":  # OpenAI's: the fields of the error stand in the event itself
        raise _failure(b'{"error":' + event + b"}")
    return found


def _failure(body: bytes) -> ServiceError:
    """Return the error that a failed response tells."""
    return error_in(body) or ServerError(
        "the response failed, and the service does not say why", status=500, body=body
    )


def _part(raw: msgspec.Raw, name: str, read: Callable[[bytes], T]) -> T:
    """Read one field of an event; the error tells the path from the event's top."""
    try:
        return read(bytes(raw) or b"null")
    except InvalidReply as error:
        error.where = f"$.{name}{error.where[1:]}"
        raise


def _read(body: bytes, url: str = "") -> Response:
    found = decode_json(body, _Response, url)
    usage = found.usage or _Usage()
    return Response(
        id=found.id,
        status=found.status,
        output=found.output,
        model=found.model or "",
        usage=Usage(usage.input_tokens, usage.output_tokens, usage.total_tokens),
        error=found.error,
        incomplete_reason=_incomplete_reason(found, usage.output_tokens),
        previous_response_id=found.previous_response_id,
        created_at=found.created_at,
        body=body,
    )


def _read_text(body: bytes) -> str:
    return decode_json(body, str)


def _read_item(body: bytes) -> OutputItem:
    return decode_json(body, OutputItem)


def _incomplete_reason(found: _Response, written: int) -> str | None:
    """Return why the answer is cut; 1.x calls it completed even then.

    2.x calls an answer incomplete when it has used up its limit, the end mark included, and both count
    the same (measured: 14 of 14 tokens is incomplete, 14 of 15 is not), so that rule serves for both.
    """
    if found.incomplete_details is not None and found.incomplete_details.reason:
        return found.incomplete_details.reason
    limit = found.max_output_tokens
    return "max_output_tokens" if found.status in _ENDED and limit and written >= limit else None


def _check_previous(response: Response, previous: str | None) -> None:
    if previous is not None and response.previous_response_id != previous:
        raise InvalidReply(
            "the service did not go on from the previous response",
            where="$.previous_response_id",
            advice="Send the whole conversation as input.",
        )


def parse_page(reply: Reply) -> ResponsePage:
    """Read one page of stored responses, failed ones included."""
    page = reply.decode(_Page)
    data = tuple(_read(bytes(item), reply.url) for item in page.data)
    return ResponsePage(data=data, has_more=page.has_more, first_id=page.first_id, last_id=page.last_id)


def parse_items(reply: Reply) -> list[InputItem]:
    """Read what a response was asked."""
    return reply.decode(_Items).data


def parse_deleted(reply: Reply) -> bool:
    """Read whether a response was deleted; ``True``, for a service that refuses is not understood.

    Raises:
        InvalidReply: The service says that it did not.
    """
    if not reply.decode(_Deleted).deleted:
        raise InvalidReply("the service did not delete the response", where="$.deleted", url=reply.url)
    return True
