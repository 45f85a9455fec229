"""The Responses API, which 1.x, 2.x and other OpenAI-compatible servers share.

Measured on 1.2.4 and 2.2.1 (docs/reference/service.md, section 14): both end a stream with
``response.completed``, ``response.incomplete`` or ``response.failed``, and then ``[DONE]``. On 1.x a stream
for a model that is not loaded gives no error: the connection is closed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import encode_json

if TYPE_CHECKING:
    from foundry_rest.schema.responses import (
        InputItem,
        Response,
        ResponseEvent,
        ResponsePage,
        ResponseRequest,
    )

PATH = "/v1/responses"


class ResponsesRoutes:
    """The routes of any service with ``/v1/responses``, in its dialect.

    Most programs only chat, so this is imported by the first request for a response.
    """

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect

    def create(self, request: ResponseRequest, options: Options) -> Operation[Reply, Response]:
        """Build the request that creates a response."""
        from foundry_rest.dialects.responses_parsing import parse_response

        body = {**_body(request), "stream": False}  # some servers stream unless told
        call = self._create_call(request, options, "responses.create", body)
        return Operation(call, partial(parse_response, previous=request.previous))

    def stream(
        self, request: ResponseRequest, options: Options, label: str = "responses.stream"
    ) -> Operation[bytes, ResponseEvent]:
        """Build the request for a streamed response."""
        from foundry_rest.dialects.responses_parsing import parse_event

        timeouts = options.timeouts
        # The first event comes before the model reads the prompt, so the long silence comes after it.
        patient = replace(timeouts, idle=max(timeouts.idle, timeouts.first_token))
        options = replace(options, timeouts=patient)
        call = self._create_call(request, options, label, {**_body(request), "stream": True})
        if not self._dialect.completes_by_stream:
            # Sent only to find out why a stream failed, so the response must not be stored.
            call = replace(call, plain=encode_json({**_body(request), "store": False}))
        return Operation(call, partial(parse_event, previous=request.previous))

    def get(self, id: str, options: Options) -> Operation[Reply, Response]:
        """Build the request for a stored response."""
        from foundry_rest.dialects.responses_parsing import parse_response

        return Operation(self._dialect.build_get(_path_of(id), "responses.get", options), parse_response)

    def delete(self, id: str, options: Options) -> Operation[Reply, bool]:
        """Build the request that deletes a stored response, which may be repeated."""
        from foundry_rest.dialects.responses_parsing import parse_deleted

        call = self._dialect.build_call("DELETE", _path_of(id), "responses.delete", options, None)
        return Operation(call, parse_deleted)

    def page(
        self, options: Options, *, limit: int | None = None, after: str | None = None
    ) -> Operation[Reply, ResponsePage]:
        """Build the request for one page of the stored responses."""
        from foundry_rest.dialects.responses_parsing import parse_page

        path = PATH + _query(limit, after)
        return Operation(self._dialect.build_get(path, "responses.list", options), parse_page)

    def input_items(self, id: str, options: Options) -> Operation[Reply, list[InputItem]]:
        """Build the request for the input items of a response's own turn, which come in one page."""
        from foundry_rest.dialects.responses_parsing import parse_items

        call = self._dialect.build_get(f"{_path_of(id)}/input_items", "responses.input_items", options)
        return Operation(call, parse_items)

    def _create_call(
        self, request: ResponseRequest, options: Options, label: str, body: dict[str, object]
    ) -> Call:
        is_alone = not request.is_stored and request.previous is None
        call = self._dialect.build_call("POST", PATH, label, options, body, request.model, cacheable=is_alone)
        # A repeated request would store a second response, whose id nobody knows.
        return replace(call, replay=Replay.IF_UNSENT) if request.is_stored else call


def _body(request: ResponseRequest) -> dict[str, object]:
    return {"model": request.id, "input": request.input, **request.params}


def _path_of(id: str) -> str:
    from foundry_rest.schema.response_request import check_response_id

    return f"{PATH}/{check_response_id(id)}"


def _query(limit: int | None, after: str | None) -> str:
    from foundry_rest.schema.response_request import check_page

    check_page(limit, after)
    fields = {"limit": limit, "after": after}
    query = "&".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    return f"?{query}" if query else ""
