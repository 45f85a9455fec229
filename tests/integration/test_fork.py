"""One client in many processes: made before a fork and used on both sides, or sent to a pool."""

from __future__ import annotations

import multiprocessing
import os
import select
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from operator import methodcaller

import pytest
from support.forks import forks
from support.servers import CHAT, echo

from foundry_rest.client import FoundryAPIClient
from foundry_rest.testing import FaultServer, hold

MODEL = "demo-generic-cpu:1"
CALLS, CHILDREN = 50, 4
#: Seconds after which a child that hangs is ended; far above what it needs.
PATIENCE = 20


@pytest.fixture
def server():
    """Serve an echo."""
    with FaultServer() as running:
        yield running.on("POST", CHAT, echo)


@pytest.fixture
def client(server):
    """Return a client with a kept connection."""
    with FoundryAPIClient(server.url, model=MODEL) as made:
        made.complete("before")
        yield made


def ask(client, who) -> str:
    """Return how many answers were right, plain and streamed, or what went wrong."""
    right = 0
    for number in range(CALLS):
        prompt = f"{who}.{number}"
        reply = client.complete(prompt) if number % 2 else client.stream_complete(prompt).gather()
        if reply.content != prompt:
            return f"{prompt}: {reply.content!r}"
        right += 1
    return str(right)


def forked(work) -> tuple[int, int]:
    """Run ``work`` in a child; return its pid and the end of the pipe on which it reports."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writing)
        return pid, reading
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(PATIENCE)
    try:
        said = work(os.getpid())
    except BaseException as error:  # noqa: BLE001  # all of it is for the report
        said = repr(error)
    os.write(writing, said.encode())
    os._exit(0)


def reports(children) -> list[str]:
    """Return what the children said; ``"hung"`` for one that was ended."""
    said = []
    for pid, reading in children:
        select.select([reading], [], [], PATIENCE)
        said.append(os.read(reading, 4096).decode() or "hung")
        os.close(reading)
        os.waitpid(pid, 0)
    return said


@forks
@pytest.mark.timeout(60)
def test_used_before_and_on_both_sides(client):
    """As under a prefork server: nobody gets another process's answer, nobody waits for ever."""
    children = [forked(lambda who: ask(client, who)) for _ in range(CHILDREN)]

    assert ask(client, "parent") == str(CALLS)
    assert reports(children) == [str(CALLS)] * CHILDREN
    assert ask(client, "parent again") == str(CALLS)


@forks
@pytest.mark.timeout(60)
def test_forked_in_the_middle_of_calls(server, client):
    """Threads that are in calls at the fork go on in the parent, and hold nothing up in the child."""
    gate = threading.Event()
    server.on("POST", CHAT, lambda request: hold(gate, PATIENCE) + echo(request))
    with ThreadPoolExecutor(8) as pool:
        busy = [pool.submit(client.complete, f"busy {number}") for number in range(8)]
        assert server.wait_requests(10)
        children = [forked(lambda who: ask(client, who)) for _ in range(CHILDREN)]
        gate.set()

        assert [future.result(PATIENCE).content for future in busy] == [f"busy {n}" for n in range(8)]
    assert reports(children) == [str(CALLS)] * CHILDREN
    assert ask(client, "parent") == str(CALLS)


@forks
@pytest.mark.timeout(60)
def test_forked_while_threads_call_without_rest(client):
    """Whatever lock a thread holds in that moment, the child does not wait for it."""
    over = threading.Event()

    def keep_calling(number):
        while not over.is_set():
            prompt = f"{number}"
            assert client.chat.complete(prompt, deadline=10).content == prompt

    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(keep_calling, number) for number in range(4)]
        children = [forked(lambda who: ask(client, who)) for _ in range(CHILDREN)]
        said = reports(children)
        over.set()
        for future in busy:
            future.result(PATIENCE)

    assert said == [str(CALLS)] * CHILDREN


@forks
@pytest.mark.timeout(60)
def test_closed_in_the_child(client):
    """A worker that closes the client closes its own connections: the parent's go on."""

    def close(_):
        client.complete("child")
        client.close()
        return "closed"

    stream = client.stream_complete("open at the fork")
    assert reports([forked(close)]) == ["closed"]

    assert stream.gather().content == "open at the fork"
    assert client.complete("parent").content == "parent"


@forks
@pytest.mark.timeout(60)
def test_a_full_house_in_the_parent_is_none_in_the_child(server):
    """Slots are counted for each process: the child's call does not wait for the parent's streams."""
    with FoundryAPIClient(server.url, model=MODEL, max_concurrency=1, deadline=5) as client:
        stream = client.stream_complete("held")

        assert reports([forked(lambda who: client.complete("child").content)]) == ["child"]
        assert stream.gather().content == "held"


@pytest.mark.timeout(60)
def test_sent_to_a_pool(server):
    """A client pickles: each process of a pool makes its own of it, and sends its answers back."""
    with FoundryAPIClient(server.url, model=MODEL, timeout=10) as client:
        view = client.with_options(deadline=20)
        with multiprocessing.get_context("spawn").Pool(2) as pool:
            answers = [
                pool.apply_async(methodcaller("complete", str(number)), (sent,))
                for number, sent in enumerate((client, view) * 4)
            ]

            assert [answer.get(PATIENCE).content for answer in answers] == [str(n) for n in range(8)]
