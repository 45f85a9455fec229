"""A client with a cache, a service that counts its answers, and equal calls from many threads."""

from __future__ import annotations

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

from foundry_rest import FoundryAPIClient, ResponseCache
from foundry_rest.testing import DEMO_MODEL, chat_completion, chat_stream
from support.servers import CHAT

#: What makes a call deterministic.
SURE = {"temperature": 0}


def cached_client(server, folder, **arguments):
    """Return a client of a server that keeps answers in a folder; it knows the service."""
    given = {"model": DEMO_MODEL, "retries": 0, "dialect": "2.x", **arguments}
    if "cache" not in given:
        given["cache"] = folder / "answers.sqlite"
    return FoundryAPIClient(server.url, **given)


def cache_in(folder, **settings):
    """Return a cache in a folder."""
    return ResponseCache(folder / "answers.sqlite", **settings)


def numbered(server, path=CHAT, **more):
    """Have a server answer each chat with another number."""
    count = itertools.count(1)

    def answer(request):
        text = f"answer {next(count)}"
        stream = request.json().get("stream")
        return chat_stream(text, **more) if stream else chat_completion(text, **more)

    server.on("POST", path, answer)
    return server


def asked(server, path=CHAT):
    """Return how many chats a server was asked."""
    return len(server.asked(path))


def at_once(count, work):
    """Return what ``work(number)`` returns or raises in so many threads at once."""
    begin = threading.Barrier(count)

    def run(number):
        begin.wait(10)
        try:
            return work(number)
        except Exception as error:  # noqa: BLE001 (looked at by the test)
            return error

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
