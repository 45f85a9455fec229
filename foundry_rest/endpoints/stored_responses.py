"""What the service remembers of earlier responses, and what to do when it does not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from foundry_rest.errors import ResponseNotFound
from foundry_rest.schema.responses import ResponseRequest
from foundry_rest.services.context import Context
from foundry_rest.services.target import Target
from foundry_rest.transport.call import Options

_RESEND = (
    "Send the whole conversation as input: the service remembers only what was made with store=True, the "
    "last 20 of it, and nothing after a restart."
)
#: What to do about a response that the service does not know.
NOT_STORED = (
    "It was made without store=True, deleted, pushed out by newer ones (20 are kept), or lost at a restart."
)


@contextmanager
def continuing(context: Context, request: ResponseRequest, options: Options) -> Iterator[None]:
    """Look up the previous response before a request is sent, unless the service is known to do so."""
    with with_advice(_RESEND):
        target = None if request.previous is None else _confirmed(context, request.previous, options)
        try:
            yield
        except ResponseNotFound:  # it was deleted meanwhile
            if target is not None:
                target.refuses_unknown_response = True
            raise


def _confirmed(context: Context, previous: str, options: Options) -> Target:
    """Return the target; raise an error when it would silently leave out earlier turns.

    1.x and 2.0 ignore a previous response that they do not store, and 1.x never reads the one before that
    (measured on 1.2.4: the third turn knows the second, not the first; docs/reference/service.md, section
    14).
    """
    dialect = context.dialect_for(options)
    target = context.target(options)
    if dialect.keeps_conversations or target.refuses_unknown_response:
        return target
    before = context.ask(lambda target: target.dialect.responses().get(previous, options), options)
    if before.previous_response_id is not None and dialect.keeps_conversations is False:
        dialect.unsupported("memory of more than one earlier turn", "Send the whole conversation as input.")
    return target


@contextmanager
def with_advice(advice: str) -> Iterator[None]:
    """Put ``advice`` into a ResponseNotFound that is raised inside."""
    try:
        yield
    except ResponseNotFound as error:
        error.advice = advice
        raise
