"""Calls whose whole answer is awaited."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast, overload

from msgspec import UNSET, UnsetType

from foundry_rest.aio.threads import Linked, threads_of
from foundry_rest.transport.cancellation import CancelToken

if TYPE_CHECKING:
    from typing_extensions import ParamSpec, Unpack

    from foundry_rest.client.client import FoundryAPIClient
    from foundry_rest.endpoints.chat_arguments import ShortcutArguments, WholeQuestion
    from foundry_rest.schema import ChatReply
    from foundry_rest.schema.messages import Conversation
    from foundry_rest.schema.typed import Typed

    P = ParamSpec("P")

    class Question(ShortcutArguments, total=False):
        """The arguments of ``client.stream_complete`` after the prompt."""

        messages: Conversation | UnsetType
        model: str | None


T = TypeVar("T")


@overload
async def complete(
    client: FoundryAPIClient,
    prompt: Conversation | UnsetType = UNSET,
    *,
    validate: Callable[[ChatReply], object] | None = None,
    **given: Unpack[WholeQuestion],
) -> ChatReply: ...


@overload
async def complete(
    client: FoundryAPIClient,
    prompt: Conversation | UnsetType = UNSET,
    *,
    response_model: type[T],
    with_reply: Literal[True],
    validate: Callable[[T], object] | None = None,
    **given: Unpack[WholeQuestion],
) -> Typed[T]: ...


@overload
async def complete(
    client: FoundryAPIClient,
    prompt: Conversation | UnsetType = UNSET,
    *,
    response_model: type[T],
    validate: Callable[[T], object] | None = None,
    with_reply: Literal[False] = False,
    **given: Unpack[WholeQuestion],
) -> T: ...


async def complete(client: FoundryAPIClient, *prompt: object, **given: object) -> object:
    """Return what ``client.complete`` returns; all its arguments are accepted.

    Raises:
        FoundryError: As ``client.complete`` raises it.
        asyncio.CancelledError: The task was cancelled; the connection is closed by then.
    """
    method: Callable[..., object] = client.complete
    return await call(method, *prompt, **given)


async def call(method: Callable[P, T], *values: P.args, **given: P.kwargs) -> T:
    """Return what a method of a client or of its endpoints returns, such as ``client.embeddings.create``.

    The method has to take ``cancel=``, as all do that send a request.

    Raises:
        ConfigError: This is no method of a client.
        FoundryError: As the method raises it.
        asyncio.CancelledError: The task was cancelled; the connection is closed by then.
    """
    owner = getattr(method, "__self__", None)
    threads, token = threads_of(owner), CancelToken()
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()
    arguments: dict[str, Any] = {**given, "cancel": token}
    with Linked(token, cast("CancelToken | None", given.get("cancel"))):
        job = partial(cast("Callable[..., T]", method), *values, **arguments)
        threads.submit(partial(_answer, partial(contextvars.copy_context().run, job), token, loop, answer))
        try:
            return await answer
        except asyncio.CancelledError:
            token.cancel()
            raise


def _answer(
    work: Callable[[], T], token: CancelToken, loop: asyncio.AbstractEventLoop, answer: asyncio.Future[T]
) -> None:
    """Do the work, in a thread, unless nobody waits for it any more."""
    if token.cancelled and answer.cancelled():
        return
    settle: Callable[[], None]
    try:
        settle = partial(answer.set_result, work())
    except BaseException as error:  # noqa: BLE001 (the caller gets it)
        settle = partial(answer.set_exception, error)
    with suppress(RuntimeError):  # the loop was closed: nobody waits
        loop.call_soon_threadsafe(_unless_done, answer, settle)


def _unless_done(answer: asyncio.Future[T], settle: Callable[[], None]) -> None:
    if not answer.done():
        settle()
