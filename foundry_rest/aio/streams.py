"""Answers that are read piece by piece, as they arrive."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

from msgspec import UNSET, UnsetType

from foundry_rest.aio.threads import Linked, threads_of
from foundry_rest.errors import Cancelled
from foundry_rest.transport.cancellation import CancelToken, wait_for

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from foundry_rest.aio.calls import Question
    from foundry_rest.client.client import FoundryAPIClient
    from foundry_rest.schema import ChatChunk
    from foundry_rest.schema.messages import Conversation
    from foundry_rest.stream.chat import ChatStream

T = TypeVar("T")
#: Pieces that a thread reads ahead of the program: enough to hide a switch of threads, a few KB of text.
AHEAD = 16


def stream(
    client: FoundryAPIClient, prompt: Conversation | UnsetType = UNSET, **given: Unpack[Question]
) -> AsyncStream[ChatChunk]:
    """Return the chunks of ``client.stream_complete``, for ``async for``; all its arguments are accepted."""
    return AsyncStream(client, partial(client.stream_complete, prompt, **given), iter)


def sse(
    client: FoundryAPIClient, prompt: Conversation | UnsetType = UNSET, **given: Unpack[Question]
) -> AsyncStream[bytes]:
    """Return an answer as server-sent events, those of ``ChatStream.sse``, for a response that streams."""
    return AsyncStream(client, partial(client.stream_complete, prompt, **given), _events)


class AsyncStream(Generic[T]):
    """The pieces of one answer, as they arrive; made by ``stream`` and ``sse``.

    ``aclose()``, the cancellation of the task that reads, or dropping the stream (as ``break`` does in
    ``async for chunk in aio.stream(...)``) closes the connection and makes the service stop generating. At
    most 16 pieces are read ahead of a slow reader. One task reads, in one event loop.

    Raises:
        RuntimeError: It is read in another event loop than the one that began it.
        FoundryError: As ``ChatStream`` raises it.
    """

    def __init__(
        self,
        client: FoundryAPIClient,
        begin: partial[ChatStream],
        form: Callable[[ChatStream], Iterator[T]],
    ) -> None:
        self._threads, self._token = threads_of(client), CancelToken()
        self._link = Linked(self._token, begin.keywords.get("cancel"))
        self._closing = client._context.closing  # noqa: SLF001 (no method for users)
        self._begin, self._form = begin, form
        self._pieces: _Pieces[T] | None = None

    async def opened(self) -> Self:
        """Wait until the service has begun to answer, and return the stream: errors before it raise here."""
        pieces = self._started()
        await self._guarded(pieces.opening())
        return self

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        pieces = self._started()
        await self._guarded(pieces.news())
        return pieces.take()

    async def aclose(self) -> None:
        """Close the stream, at once; idempotent."""
        self._token.cancel()

    def __del__(self) -> None:
        with suppress(AttributeError):  # an __init__ that failed
            self._token.cancel()

    async def _guarded(self, wait: Awaitable[None]) -> None:
        try:
            await wait
        except asyncio.CancelledError:
            self._token.cancel()
            raise

    def _started(self) -> _Pieces[T]:
        """Return where the pieces arrive; the first time, have a thread open the stream."""
        loop = asyncio.get_running_loop()
        if self._pieces is None:
            self._pieces = pieces = _Pieces[T](loop, self._token, self._link, self._closing)
            run = contextvars.copy_context().run
            self._threads.submit(partial(run, pieces.read, self._begin, self._form))
        elif self._pieces.loop is not loop:
            raise RuntimeError(
                "this stream was begun in another event loop; read it there, or begin another one"
            )
        return self._pieces


class _Pieces(Generic[T]):
    """What a thread has read of a stream and the program has not taken."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, token: CancelToken, link: Linked, closing: CancelToken
    ) -> None:
        self.loop, self.is_open = loop, False
        self._token, self._link, self._closing = token, link, closing
        self._arrived: deque[T] = deque()
        self._end: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._room = threading.Event()
        # Each has one writer, so neither needs a lock.
        self._told = self._taken = 0

    async def opening(self) -> None:
        """Wait until the stream is open; raise the error of one that does not open."""
        while not self.is_open and self._end is None:
            await self._hearing()
        if not self.is_open:
            self.take()

    async def news(self) -> None:
        """Wait until ``take`` has something to give."""
        while not self._arrived and self._end is None:
            await self._hearing()

    async def _hearing(self) -> None:
        self._waiter = self.loop.create_future()
        await self._waiter

    def take(self) -> T:
        """Return the next piece, or raise what ended the stream."""
        if self._arrived and not self._token.cancelled:
            self._taken += 1
            self._room.set()
            return self._arrived.popleft()
        if self._end is None:
            raise Cancelled("the stream was closed here")
        raise self._end

    def read(self, begin: Callable[..., ChatStream], form: Callable[[ChatStream], Iterator[T]]) -> None:
        """Read the whole stream, in a thread."""
        end: BaseException = StopAsyncIteration()
        try:
            with self._link, begin(cancel=self._token) as opened:
                self._tell(self._open)
                for piece in form(opened):
                    self._wait_for_room()
                    self._tell(partial(self._arrived.append, piece))
                    self._told += 1
        except BaseException as error:  # noqa: BLE001 (the reader gets it)
            end = error
        with suppress(RuntimeError):  # the loop was closed: nobody reads
            self._tell(partial(setattr, self, "_end", end))

    def _wait_for_room(self) -> None:
        while self._told - self._taken >= AHEAD:
            self._room.clear()
            if self._told - self._taken >= AHEAD:
                wait_for(self._room, float("inf"), (self._token, self._closing), "the reader of its stream")

    def _open(self) -> None:
        self.is_open = True

    def _tell(self, news: Callable[[], object]) -> None:
        self.loop.call_soon_threadsafe(self._hear, news)

    def _hear(self, news: Callable[[], object]) -> None:
        news()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _events(opened: ChatStream) -> Iterator[bytes]:
    return opened.sse()
