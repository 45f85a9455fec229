"""The synchronous client in an asyncio program: each call in a thread, and cancelled with its task.

There is no second client::

    reply = await aio.complete(client, "Hello")
    async for chunk in aio.stream(client, "Write a story"):
        ...

The threads belong to the client: as many as it has slots (``max_concurrency``), not those of the loop's own
executor. A thread ends when nothing waits for it, and none keeps a program from ending. A call beyond the
slots waits for a thread, and its time-outs and deadline begin when it gets one; ``asyncio.timeout`` bounds
both. A task that is cancelled closes the call's connection at once. Context variables go along; errors are
those of the synchronous method, unchanged.

Any number of event loops may use one client. When a loop was closed meanwhile, an answer for it is dropped,
and a stream for it is closed. A forked child begins with no calls and new threads.
"""

from foundry_rest.aio.calls import call, complete
from foundry_rest.aio.streams import AsyncStream, sse, stream

__all__ = ["AsyncStream", "call", "complete", "sse", "stream"]
