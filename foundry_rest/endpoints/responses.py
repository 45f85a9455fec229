"""Responses: the API that can store a conversation.

Responses are stored in the service's memory only: 2.x keeps the last 20 that were made with ``store=True``
and the sessions of the last 5, which hold their model in memory until they are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.endpoints.stored_responses import NOT_STORED, continuing, with_advice
from foundry_rest.errors import ResponseNotFound
from foundry_rest.schema.response_request import (
    RESPONSE_MISTAKES,
    RESPONSE_NAMES,
    build_response_request,
    check_page,
    check_response_id,
)
from foundry_rest.schema.responses import (
    InputItem,
    Item,
    OutputItem,
    Response,
    ResponsePage,
    ResponseParams,
    ResponseRequest,
)
from foundry_rest.services.context import Context
from foundry_rest.stream.responses import ResponseStream
from foundry_rest.transport.call import Options
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Alias of a type, because ``Responses.list`` hides the builtin inside the class.
InputItems = list[InputItem]


class ResponseArguments(ResponseParams, CallOptions, total=False):
    """The keyword arguments of a response: parameters of the request, and options of the call."""


class Responses:
    """The Responses endpoint, which can store conversations."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self,
        input: str | Iterable[Item | OutputItem],
        /,
        *,
        model: str | None = None,
        **given: Unpack[ResponseArguments],
    ) -> Response:
        """Return the whole response to a prompt or to the items of a conversation.

        Args:
            input: The user's prompt, or OpenAI input items, also those of an earlier response's output.
            model: Alias or id; the client's default when not given.
            given: Options of the call, see ``CallOptions``, and parameters: ``instructions``,
                ``max_output_tokens``, ``store``, ``previous_response_id``, ``tools`` and others, see
                ``ResponseParams``. A request with ``store=True`` is retried only when it cannot have begun.

        Raises:
            ConfigError: The input cannot be sent.
            ResponseNotFound: The service has not stored ``previous_response_id``, or no longer.
            UnsupportedByService: This generation has no Responses API; 1.x continues from one turn only.
            ServiceError: The service refused, or the response failed, whatever the HTTP status.
            TransportError: No whole response came; ``StreamInterrupted`` holds the text so far.
            DeadlineExceeded: The deadline of the whole call passed.
            Cancelled: The call was cancelled from another thread.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: instructions,
        previous_response_id, store, max_output_tokens, temperature, top_p, tools, tool_choice, text,
        reasoning, metadata, parallel_tool_calls, user, extra.

        Example:
            >>> client.responses.create("Say OK", store=True).output_text
            'OK'
        """
        started = clock.monotonic()
        options, params = self._context.split(given, RESPONSE_NAMES, RESPONSE_MISTAKES)
        request = self._request(input, model, params)
        dialect = self._context.dialect_for(options)
        with continuing(self._context, request, options):
            if dialect.completes_by_stream:
                return self._open(request, options, started, "responses.create").gather()
            return self._context.ask(
                lambda target: target.dialect.responses().create(target.named(request), options),
                options,
                model=request.model,
            )

    def stream(
        self,
        input: str | Iterable[Item | OutputItem],
        /,
        *,
        model: str | None = None,
        **given: Unpack[ResponseArguments],
    ) -> ResponseStream:
        """Return the response as an open stream of events, the first of which has arrived.

        The arguments are those of ``create``. A response whose stream is closed early is not stored.

        Raises:
            ConfigError: The input cannot be sent.
            ResponseNotFound: The service has not stored ``previous_response_id``, or no longer.
            ServiceError: The service refused or failed.
            TransportError: No event came.
            DeadlineExceeded: The deadline of the whole call passed.
            UnsupportedByService: This generation has no Responses API; 1.x continues from one turn only.

        Options: timeout, deadline, retries, headers, cancel, lane, cache. Parameters: instructions,
        previous_response_id, store, max_output_tokens, temperature, top_p, tools, tool_choice, text,
        reasoning, metadata, parallel_tool_calls, user, extra.

        Example:
            >>> client.responses.stream("Say OK").gather().output_text
            'OK'
        """
        started = clock.monotonic()
        options, params = self._context.split(given, RESPONSE_NAMES, RESPONSE_MISTAKES)
        request = self._request(input, model, params)
        with continuing(self._context, request, options):
            return self._open(request, options, started, "responses.stream")

    def get(self, id: str, /, **options: Unpack[CallOptions]) -> Response:
        """Return a stored response.

        Args:
            id: Id of the response, as in ``Response.id``.

        Raises:
            ResponseNotFound: The service has not stored it, or no longer.
            ServiceError: The stored response had failed.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.responses.get("resp_1").output_text
            'OK'
        """
        checked = self._context.options(**options)
        check_response_id(id)
        with with_advice(NOT_STORED):
            return self._context.ask(lambda target: target.dialect.responses().get(id, checked), checked)

    def delete(self, id: str, /, **options: Unpack[CallOptions]) -> None:
        """Delete a stored response and the session that holds its model in memory.

        Responses that continue it by ``previous_response_id`` cannot be continued afterwards. The arguments
        are those of ``get``.

        Raises:
            ResponseNotFound: The service has not stored it, or no longer.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.responses.delete("resp_1")
            >>> client.responses.list().data
            ()
        """
        checked = self._context.options(**options)
        check_response_id(id)
        with with_advice(NOT_STORED):
            try:
                self._context.ask(lambda target: target.dialect.responses().delete(id, checked), checked)
            except ResponseNotFound as error:
                if (
                    len(error.attempts) < 2
                ):  # else an earlier attempt has deleted it, and its response was lost
                    raise

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ResponsePage:
        """Return one page of the stored responses; ``iterate`` yields those of all pages.

        Args:
            limit: Most responses in the page, 1 to 100; the service's default is 20.
            after: Id of the last response of the previous page.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [response.id for response in client.responses.list(limit=10)]
            ['resp_1']
        """
        checked = self._context.options(**options)
        check_page(limit, after)
        return self._context.ask(
            lambda target: target.dialect.responses().page(checked, limit=limit, after=after), checked
        )

    def iterate(self, **options: Unpack[CallOptions]) -> Iterator[Response]:
        """Yield every stored response once; they may be deleted meanwhile.

        The options apply to the request of each page.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [response.id for response in client.responses.iterate()]
            ['resp_1']
        """
        seen: set[str] = set()
        page = self.list(**options)
        # 2.x restarts at the first page after an id that it does not know, or no longer: without ``seen``
        # this would be an endless loop.
        while fresh := [response for response in page if response.id not in seen]:
            seen.update(response.id for response in fresh)
            yield from fresh
            if not page.has_more:
                return
            page = self.list(after=page.last_id or fresh[-1].id, **options)

    def input_items(self, id: str, /, **options: Unpack[CallOptions]) -> InputItems:
        """Return the input items of a stored response: those of its own turn, not of earlier ones.

        The arguments are those of ``get``.

        Raises:
            ResponseNotFound: The service has not stored it, or no longer.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [item.type for item in client.responses.input_items("resp_1")]
            ['message']
        """
        checked = self._context.options(**options)
        check_response_id(id)
        with with_advice(NOT_STORED):
            return self._context.ask(
                lambda target: target.dialect.responses().input_items(id, checked), checked
            )

    def _request(
        self, input: str | Iterable[Item | OutputItem], model: str | None, params: Mapping[str, object]
    ) -> ResponseRequest:
        config = self._context.config
        return build_response_request(
            input,
            model=config.model if model is None else model,
            max_output_tokens=config.max_tokens,
            params=params,
        )

    def _open(self, request: ResponseRequest, options: Options, started: float, label: str) -> ResponseStream:
        return self._context.open(
            ResponseStream,
            lambda target: target.dialect.responses().stream(target.named(request), options, label),
            options,
            model=request.model,
            started=started,
        )
