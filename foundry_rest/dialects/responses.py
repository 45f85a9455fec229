"""The Responses API, as 2.x, 1.x and strangers share it.

Measured on 2.2.1 and 1.2.4. Both end a stream with ``response.completed``, ``response.incomplete`` or
``response.failed`` and then ``[DONE]``. 1.x tells a stream nothing when the model is not loaded: the
connection just ends.
"""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.dialects.responses_parsing import (
    parse_deleted,
    parse_event,
    parse_items,
    parse_page,
    parse_response,
)
from foundry_rest.schema.response_request import check_page, check_response_id
from foundry_rest.schema.responses import InputItem, Response, ResponseEvent, ResponsePage, ResponseRequest
from foundry_rest.transport.call import Call, Options, Replay, Reply
from foundry_rest.transport.json_codec import encode_json

PATH = "/v1/responses"


class ResponsesDialect(Dialect):
    """Speak to any service that answers ``/v1/responses``."""

    def create_response(self, request: ResponseRequest, options: Options) -> Operation[Reply, Response]:
        """Ask for a response."""
        call = self._create_call(request, options, "responses.create", _body(request))
        return Operation(call, partial(parse_response, previous=request.previous))

    def stream_response(
        self, request: ResponseRequest, options: Options, label: str = "responses.stream"
    ) -> Operation[bytes, ResponseEvent]:
        """Ask for a response in events."""
        timeouts = options.timeouts
        # The first event comes before the model has read the prompt, so the long silence follows it.
        patient = replace(timeouts, idle=max(timeouts.idle, timeouts.first_token))
        options = replace(options, timeouts=patient)
        call = self._create_call(request, options, label, {**_body(request), "stream": True})
        if not self.completes_by_stream:
            # Asked only to learn why a stream did not begin: nothing is to be kept of it.
            call = replace(call, plain=encode_json({**_body(request), "store": False}))
        return Operation(call, partial(parse_event, previous=request.previous))

    def get_response(self, id: str, options: Options) -> Operation[Reply, Response]:
        """Read a stored response."""
        return Operation(self.build_get(_path_of(id), "responses.get", options), parse_response)

    def delete_response(self, id: str, options: Options) -> Operation[Reply, bool]:
        """Forget a stored response; asked twice it is gone all the same."""
        call = self.build_call("DELETE", _path_of(id), "responses.delete", options, None)
        return Operation(call, parse_deleted)

    def list_responses(
        self, options: Options, *, limit: int | None = None, after: str | None = None
    ) -> Operation[Reply, ResponsePage]:
        """List the stored responses, a page at a time."""
        path = PATH + _query(limit, after)
        return Operation(self.build_get(path, "responses.list", options), parse_page)

    def input_items(self, id: str, options: Options) -> Operation[Reply, list[InputItem]]:
        """List what a stored response was asked, in this turn only; the service sends all in one page."""
        call = self.build_get(f"{_path_of(id)}/input_items", "responses.input_items", options)
        return Operation(call, parse_items)

    def _create_call(
        self, request: ResponseRequest, options: Options, label: str, body: dict[str, object]
    ) -> Call:
        call = self.build_call("POST", PATH, label, options, body, request.model)
        # A second one would be stored beside the first, and nobody would know its id.
        return replace(call, replay=Replay.IF_UNSENT) if request.is_stored else call


def _body(request: ResponseRequest) -> dict[str, object]:
    return {"model": request.id, "input": request.input, **request.params}


def _path_of(id: str) -> str:
    return f"{PATH}/{check_response_id(id)}"


def _query(limit: int | None, after: str | None) -> str:
    check_page(limit, after)
    fields = {"limit": limit, "after": after}
    query = "&".join(f"{name}={value}" for name, value in fields.items() if value is not None)
    return f"?{query}" if query else ""
