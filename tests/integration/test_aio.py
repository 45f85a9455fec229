"""A task that is cancelled stops the real service's work, not only the wait for it."""

from __future__ import annotations

import asyncio

import psutil
import pytest

from foundry_rest import aio, clock

pytestmark = pytest.mark.runtime
#: Makes the model write until `max_tokens`, a second or more.
ENDLESS = {"type": "lark_grammar", "lark_grammar": "start: /[a-z ]{60000}/"}
ARGUMENTS = {"response_format": ENDLESS, "max_tokens": 4000}


def burnt(pid):
    """Return the CPU seconds that the process took so far."""
    return sum(psutil.Process(pid).cpu_times()[:2])


def first_token(client):
    """Return the seconds until the service has read the prompt and writes, on this machine."""
    began = clock.monotonic()
    with client.chat.stream("Hello", **ARGUMENTS) as stream:
        while not next(stream).content:
            pass
    return clock.monotonic() - began


async def read(client):
    """Read a stream to its end."""
    async for _ in aio.stream(client, "Hello", **ARGUMENTS):
        pass


@pytest.mark.parametrize("how", ["complete", "stream"])
def test_a_cancelled_task_stops_the_service(runtime, client, how):
    """The slot is free within 0.2 s; in the second after, a service past its prefill burns at most 0.05 s."""
    client.complete("Say OK")
    patience = max(0.05, 2 * first_token(client))

    async def leave():
        work = read(client) if how == "stream" else aio.complete(client, "Hello", **ARGUMENTS)
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work, patience)
        return clock.monotonic()

    left = asyncio.run(leave())
    while client.stats().slots.in_use:
        assert clock.monotonic() - left < 0.2
        clock.sleep(0.001)
    before = burnt(runtime.pid)
    clock.sleep(1)
    assert burnt(runtime.pid) - before <= 0.05
