"""The client in an asyncio program: answers, streams, cancellation, loops and forks."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import subprocess
import sys
import threading

import pytest
from support.forks import forks, in_child
from support.servers import CHAT
from support.waits import until

from foundry_rest import CancelToken, FoundryAPIClient, aio, clock
from foundry_rest.aio.streams import AHEAD
from foundry_rest.errors import Cancelled, ConfigError, NotFound, StreamInterrupted
from foundry_rest.testing import DEMO_MODEL, chat_stream, cut, hold, json_error, stall

HALF = chat_stream("one two three")[:3]


def is_free(client, server):
    """Tell whether no slot and no connection of a call that was left is held."""
    return client.stats().slots.in_use == 0 and server.left == 1


def test_an_answer(server, native):
    """It is the synchronous method's, with all its arguments."""
    reply = asyncio.run(aio.complete(native, "Hi", temperature=0))
    assert reply.content == "Hello there"
    assert server.asked(CHAT)[-1].json()["temperature"] == 0


def test_another_method(native):
    """Any method of an endpoint can be called."""
    assert [model.id for model in asyncio.run(aio.call(native.models.loaded))] == [DEMO_MODEL]


def test_a_foreign_function(native):
    """What is no method of a client is refused."""
    with pytest.raises(ConfigError, match="a method of a client"):
        asyncio.run(aio.call(len, "x"))


def test_errors_are_the_same(server, native):
    """An error arrives as the synchronous method raises it, from an answer and from a stream."""
    server.on("POST", CHAT, json_error(404, "no such thing"))
    with pytest.raises(NotFound):
        asyncio.run(aio.complete(native, "Hi"))

    async def opened():
        await aio.stream(native, "Hi").opened()

    with pytest.raises(NotFound):
        asyncio.run(opened())


def test_a_stream(server, native):
    """Its chunks are the synchronous stream's; after them it stays at its end."""
    server.on("POST", CHAT, chat_stream("one two three"))

    async def read():
        stream = aio.stream(native, "Hi")
        text = "".join([chunk.content async for chunk in stream])
        return text, [chunk async for chunk in stream]

    assert asyncio.run(read()) == ("one two three", [])


def test_events_for_a_page(server, native):
    """They are those of ``ChatStream.sse``."""
    server.on("POST", CHAT, chat_stream("one two three"))

    async def read():
        return [event async for event in await aio.sse(native, "Hi").opened()]

    assert asyncio.run(read())[-1].startswith(b"event: end\n")


def test_a_broken_stream(server, native):
    """What arrived is given, then the error with the text so far is raised."""
    server.on("POST", CHAT, HALF + cut())
    seen = []

    async def read():
        async for chunk in aio.stream(native, "Hi"):
            seen.append(chunk.content)  # noqa: PERF401 (what came before the error counts)

    with pytest.raises(StreamInterrupted) as caught:
        asyncio.run(read())
    assert "".join(seen) == caught.value.text != ""


@pytest.mark.parametrize("script", [stall(), HALF + stall()], ids=["before", "within"])
@pytest.mark.parametrize("how", ["complete", "stream"])
def test_a_cancelled_task_closes_the_connection(server, native, how, script):
    """``asyncio.wait_for`` ends the call in time, and the service sees it within 0.2 s."""
    server.on("POST", CHAT, script)

    async def read():
        async for _ in aio.stream(native, "Hi"):
            pass

    async def run():
        work = read() if how == "stream" else aio.complete(native, "Hi")
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(work, 0.05)
        return clock.monotonic()

    began = asyncio.run(run())
    until(lambda: is_free(native, server))
    assert clock.monotonic() - began < 0.2


@pytest.mark.parametrize("how", ["break", "aclose"])
def test_leaving_a_stream(server, native, how):
    """A stream that is left or closed early gives its slot and its connection back."""
    server.on("POST", CHAT, HALF + stall())

    async def run():
        if how == "break":
            async for _ in aio.stream(native, "Hi"):
                break
        else:
            stream = aio.stream(native, "Hi")
            await stream.__anext__()
            await stream.aclose()
            with pytest.raises(Cancelled):
                await stream.__anext__()
        gc.collect()
        until(lambda: is_free(native, server))

    asyncio.run(run())


@pytest.mark.parametrize("how", ["complete", "stream"])
def test_the_callers_own_token(server, native, how):
    """``cancel=`` ends the call as it does elsewhere."""
    server.on("POST", CHAT, stall())
    token = CancelToken()

    async def run():
        asyncio.get_running_loop().call_later(0.02, token.cancel)
        if how == "complete":
            await aio.complete(native, "Hi", cancel=token)
        await aio.stream(native, "Hi", cancel=token).opened()

    with pytest.raises(Cancelled):
        asyncio.run(run())
    assert not token._watchers


def test_a_slow_reader_bounds_what_is_read(server, native):
    """A thread reads no more than 16 pieces ahead, and all arrive."""
    server.on("POST", CHAT, chat_stream([f"{number} " for number in range(100)]))

    async def run():
        stream = await aio.stream(native, "Hi").opened()
        await asyncio.sleep(0.05)
        ahead = len(stream._pieces._arrived)
        return ahead, [chunk.content async for chunk in stream if chunk.content]

    ahead, pieces = asyncio.run(run())
    assert ahead == AHEAD
    assert pieces == [f"{number} " for number in range(100)]


def test_closing_the_client_ends_a_stream_that_nobody_reads(server, native):
    """The thread that waits for the reader does not outlive the client."""
    server.on("POST", CHAT, chat_stream(["x"] * 100))

    async def run():
        stream = await aio.stream(native, "Hi").opened()
        await asyncio.sleep(0.03)
        native.close()
        with pytest.raises(Cancelled):
            async for _ in stream:
                pass

    asyncio.run(run())


def test_there_are_as_many_threads_as_slots(server):
    """Further calls wait for a thread, are served in turn, and no thread is left at the end."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, max_concurrency=2, dialect="2.x") as client:
        most = 0

        def answer(request):
            nonlocal most
            names = [thread.name for thread in threading.enumerate()]
            most = max(most, names.count("foundry_rest.aio"))
            return json_error(404, "x")

        server.on("POST", CHAT, answer)

        async def run():
            calls = (aio.complete(client, "Hi") for _ in range(8))
            return await asyncio.gather(*calls, return_exceptions=True)

        assert [type(each) for each in asyncio.run(run())] == [NotFound] * 8
    assert most == 2
    until(lambda: "foundry_rest.aio" not in [thread.name for thread in threading.enumerate()])


def test_a_call_that_is_cancelled_before_its_turn(server):
    """It is never sent, and the next one is."""
    server.on("POST", CHAT, stall(), json_error(404, "x"))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, max_concurrency=1, dialect="2.x") as client:

        async def run():
            first, second, third = (asyncio.ensure_future(aio.complete(client, text)) for text in "123")
            await asyncio.to_thread(until, lambda: server.asked(CHAT))
            second.cancel()
            first.cancel()
            with pytest.raises(NotFound):
                await third

        asyncio.run(run())
    assert [request.json()["messages"][0]["content"] for request in server.asked(CHAT)] == ["1", "3"]


def test_a_thread_that_cannot_start(native, monkeypatch):
    """The system's error is raised, and the thread does not count as one that runs."""

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(100):
            with pytest.raises(RuntimeError, match="new thread"):
                asyncio.run(aio.complete(native, "Hi"))
    assert asyncio.run(aio.complete(native, "Hi")).content == "Hello there"


def test_context_variables_go_along(server):
    """An observer, which runs in the thread, sees the task's context."""
    request_id = contextvars.ContextVar("request_id", default="none")
    seen = set()
    with FoundryAPIClient(
        server.url, model=DEMO_MODEL, dialect="2.x", observers=[lambda event: seen.add(request_id.get())]
    ) as client:

        async def run():
            request_id.set("r1")
            await aio.complete(client, "Hi")

        asyncio.run(run())
    assert seen == {"r1"}


def test_several_loops(server, native):
    """Each loop may use the client; a stream belongs to the loop that began it."""
    server.on("POST", CHAT, HALF + stall())
    stream = aio.stream(native, "Hi")
    asyncio.run(stream.opened())
    with pytest.raises(RuntimeError, match="another event loop"):
        asyncio.run(stream.__anext__())


def test_a_loop_that_was_closed_meanwhile(server, native):
    """A stream whose loop is closed frees its slot when there is news for the loop."""
    gate = threading.Event()
    server.on("POST", CHAT, HALF + hold(gate) + chat_stream("one two three")[3:])
    stream = aio.stream(native, "Hi")
    asyncio.run(stream.opened())
    gate.set()
    until(lambda: native.stats().slots.in_use == 0)


@forks
def test_a_forked_child(native):
    """It has threads of its own."""
    asyncio.run(aio.complete(native, "Hi"))
    assert in_child(lambda: asyncio.run(aio.complete(native, "Hi"))) == 0


def test_a_program_ends_with_a_call_under_way(server):
    """No thread keeps the interpreter from ending."""
    server.on("POST", CHAT, stall())
    program = (
        "import asyncio\nfrom foundry_rest import FoundryAPIClient, aio\n"
        f"client = FoundryAPIClient({server.url!r}, model={DEMO_MODEL!r}, dialect='2.x')\n"
        "async def main():\n    global call\n    call = aio.stream(client, 'Hi')\n"
        "    asyncio.ensure_future(call.opened())\n    await asyncio.sleep(0.03)\n"
        "asyncio.run(main())\nprint('end')"
    )
    done = subprocess.run(  # less than the 30 s after which the call would end by itself
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=25, check=False
    )
    assert (done.returncode, done.stdout) == (0, "end\n"), done.stderr
