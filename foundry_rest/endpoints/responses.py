"""Responses: the API that can remember a conversation.

What is remembered lives in the service's memory only: 2.x keeps the last 20 responses made with
``store=True`` and the sessions of the last 5, which hold their model in memory until they are deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from foundry_rest import clock
from foundry_rest.config import Timeouts
from foundry_rest.dialects.operation import Dialect
from foundry_rest.errors import NotFound
from foundry_rest.schema.response_request import build_response_request, check_page, check_response_id
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
from foundry_rest.transport.call import CancelToken, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: A name for a type, because ``Responses.list`` hides the builtin inside the class.
InputItems = list[InputItem]

_RESEND = (
    "Send the whole conversation as input: the service remembers only what was made with store=True, the "
    "last 20 of it, and nothing after a restart."
)
_NOT_KEPT = (
    "It was made without store=True, deleted, pushed out by newer ones (20 are kept), or lost at a restart."
)
#: How the services say that a response is not there (2.2.1 and 1.2.4).
_GONE = ("previous response not found", "conversation history for", "the response '")


class Responses:
    """Ask through the Responses API, which can remember."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self,
        input: str | Iterable[Item | OutputItem],
        /,
        *,
        model: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        **params: Unpack[ResponseParams],
    ) -> Response:
        """Return the whole response to a prompt or to the items of a conversation.

        Args:
            input: The user's prompt, or OpenAI input items; those of an earlier response's output will do.
            model: Alias or id; the client's default when not given.
            timeout: Seconds of silence borne in one attempt, or a whole set.
            deadline: Seconds for the whole call, retries included.
            headers: Added to this request.
            cancel: Ends the call from another thread.
            retries: Tries after the first, in place of the client's number.
            params: ``instructions``, ``max_output_tokens``, ``store``, ``previous_response_id``, ``tools``
                and others, see ``ResponseParams``. With ``store=True`` the request is repeated only when
                it cannot have begun.

        Raises:
            ConfigError: The input cannot be sent.
            NotFound: The service does not remember ``previous_response_id``.
            UnsupportedByService: This generation has no Responses API; 1.x goes on from one turn only.
            ServiceError: The service said no, or the response failed, whatever the HTTP status.
            TransportError: No whole response came; ``StreamInterrupted`` holds the text so far.
            DeadlineExceeded: The time for the whole call ran out.
            Cancelled: It was ended from another thread.
        """
        started = clock.monotonic()
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(input, model, params)
        dialect = self._context.speak(options)
        with _advised(_RESEND):
            if dialect.completes_by_stream:
                return self._open(dialect, request, options, started, "responses.create").gather()
            self._confirm_previous(dialect, request, options)
            return self._context.ask(dialect.create_response(request, options))

    def stream(
        self,
        input: str | Iterable[Item | OutputItem],
        /,
        *,
        model: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        headers: Mapping[str, str] | None = None,
        cancel: CancelToken | None = None,
        retries: int | None = None,
        **params: Unpack[ResponseParams],
    ) -> ResponseStream:
        """Return the response as an open stream of events; its first event has come.

        Args are those of ``create``. A response whose stream was left early is not stored.

        Raises:
            ConfigError: The input cannot be sent.
            NotFound: The service does not remember ``previous_response_id``.
            ServiceError: The service said no.
            TransportError: No event came.
            DeadlineExceeded: The time for the whole call ran out.
            UnsupportedByService: This generation has no Responses API; 1.x goes on from one turn only.
        """
        started = clock.monotonic()
        options = self._context.options(timeout, deadline, headers, cancel, retries)
        request = self._request(input, model, params)
        with _advised(_RESEND):
            return self._open(self._context.speak(options), request, options, started, "responses.stream")

    def get(
        self, id: str, /, *, timeout: float | Timeouts | None = None, deadline: float | None = None
    ) -> Response:
        """Return a stored response.

        Args:
            id: As in ``Response.id``.
            timeout: Seconds of silence borne in one attempt, or a whole set.
            deadline: Seconds for the whole call, retries included.

        Raises:
            NotFound: The service does not keep it, or no longer.
            ServiceError: It is a response that failed.
        """
        options = self._context.options(timeout, deadline)
        check_response_id(id)
        with _advised(_NOT_KEPT):
            return self._context.ask(self._context.speak(options).get_response(id, options))

    def delete(
        self, id: str, /, *, timeout: float | Timeouts | None = None, deadline: float | None = None
    ) -> None:
        """Forget a stored response; the session that held its model in memory ends.

        What goes on from it by ``previous_response_id`` cannot be gone on from either, afterwards. Args
        are those of ``get``.

        Raises:
            NotFound: The service does not keep it, or no longer.
        """
        options = self._context.options(timeout, deadline)
        check_response_id(id)
        with _advised(_NOT_KEPT):
            try:
                self._context.ask(self._context.speak(options).delete_response(id, options))
            except NotFound as error:
                # An earlier try whose answer was lost has deleted it.
                if not (_is_gone(error) and len(error.attempts) > 1):
                    raise

    def list(
        self,
        *,
        limit: int | None = None,
        after: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
    ) -> ResponsePage:
        """Return one page of the stored responses; ``iterate`` goes through all pages.

        Args:
            limit: Most responses of a page, 1 to 100; 20 by the service's default.
            after: Id of the last one of the page before.
            timeout: Seconds of silence borne in one attempt, or a whole set.
            deadline: Seconds for the whole call, retries included.
        """
        options = self._context.options(timeout, deadline)
        check_page(limit, after)
        dialect = self._context.speak(options)
        return self._context.ask(dialect.list_responses(options, limit=limit, after=after))

    def iterate(
        self, *, timeout: float | Timeouts | None = None, deadline: float | None = None
    ) -> Iterator[Response]:
        """Yield every stored response, page by page, each once; they may be deleted on the way.

        Args:
            timeout: Seconds of silence borne in one attempt of one page, or a whole set.
            deadline: Seconds for one page.
        """
        seen: set[str] = set()
        page = self.list(timeout=timeout, deadline=deadline)
        # 2.x begins anew after an id that it does not know (any more): without the memory of what was
        # there this would have no end.
        while fresh := [response for response in page if response.id not in seen]:
            seen.update(response.id for response in fresh)
            yield from fresh
            if not page.has_more:
                return
            page = self.list(after=page.last_id or fresh[-1].id, timeout=timeout, deadline=deadline)

    def input_items(
        self, id: str, /, *, timeout: float | Timeouts | None = None, deadline: float | None = None
    ) -> InputItems:
        """Return what a stored response was asked: the items of its own turn, not of those before.

        Args are those of ``get``.

        Raises:
            NotFound: The service does not keep it, or no longer.
        """
        options = self._context.options(timeout, deadline)
        check_response_id(id)
        with _advised(_NOT_KEPT):
            return self._context.ask(self._context.speak(options).input_items(id, options))

    def _request(
        self, input: str | Iterable[Item | OutputItem], model: str | None, params: Mapping[str, object]
    ) -> ResponseRequest:
        context = self._context
        name = context.config.model if model is None else model
        return build_response_request(
            input,
            model=name,
            model_id=context.names.id_of(name) if isinstance(name, str) else None,
            max_output_tokens=context.config.max_tokens,
            params=params,
        )

    def _open(
        self, dialect: Dialect, request: ResponseRequest, options: Options, started: float, label: str
    ) -> ResponseStream:
        self._confirm_previous(dialect, request, options)
        operation = dialect.stream_response(request, options, label)
        opened = self._context.sender.open(operation.call)
        return ResponseStream(opened, operation.parse, operation.call, started, self._context.emit)

    def _confirm_previous(self, dialect: Dialect, request: ResponseRequest, options: Options) -> None:
        """Raise when the service would leave out in silence what was said before.

        1.x goes on from nothing when it has forgotten the response, and never reads what that one went on
        from itself (measured on 1.2.4: the third turn knows the second, not the first).
        """
        if request.previous is None or dialect.keeps_conversations:
            return
        before = self._context.ask(dialect.get_response(request.previous, options))
        if before.previous_response_id is not None:
            dialect.unsupported(
                "memory of more than one earlier turn", "Send the whole conversation as input."
            )


@contextmanager
def _advised(advice: str) -> Iterator[None]:
    """Put into the error of a response that is not there what to do."""
    try:
        yield
    except NotFound as error:
        if _is_gone(error):
            error.advice = advice
        raise


def _is_gone(error: NotFound) -> bool:
    return error.code == "response_not_found" or error.message.casefold().startswith(_GONE)
