"""Run by test_gevent.py in a process of its own, for monkey patching cannot be undone.

Argument: address of a service that answers each prompt with itself, 0.1 s later.
"""

from __future__ import annotations

import sys

from gevent import monkey

monkey.patch_all()

import gevent  # noqa: E402
from gevent.pool import Pool  # noqa: E402

from foundry_rest import CancelToken, FoundryAPIClient, clock  # noqa: E402
from foundry_rest.errors import Cancelled, DeadlineExceeded  # noqa: E402

SILENT = "stay silent"


def ask(client, number) -> bool:
    """Ask once, plain or streamed, with a deadline and a token; tell whether the answer is right."""
    prompt, token = f"prompt {number}", CancelToken()
    if number % 2:
        return client.chat.complete(prompt, deadline=5, cancel=token).content == prompt
    stream = client.chat.stream(prompt, deadline=5, cancel=token)
    return "".join(chunk.content for chunk in stream) == prompt


def ends_with(error, call) -> float:
    """Return the seconds after which a call raised this error; -1 for another end."""
    begun = clock.monotonic()
    try:
        call()
    except error:
        return clock.monotonic() - begun
    return -1.0


def main(url: str) -> None:
    """Print one line for each rule that held."""
    client = FoundryAPIClient(url, model="demo-generic-cpu:1", dialect="2.x")
    begun = clock.monotonic()
    right = Pool(20).map(lambda number: ask(client, number), range(20))
    took = clock.monotonic() - begun
    sys.stdout.write(f"20 calls: {sum(right)} right in {took:.2f} s\n")

    late = ends_with(DeadlineExceeded, lambda: client.chat.complete(SILENT, deadline=0.2))
    sys.stdout.write(f"deadline: {late:.2f} s\n")

    token = CancelToken()
    gevent.spawn_later(0.2, token.cancel)
    cancelled = ends_with(Cancelled, lambda: client.chat.complete(SILENT, cancel=token))
    sys.stdout.write(f"cancelled: {cancelled:.2f} s\n")

    narrow = FoundryAPIClient(url, model="demo-generic-cpu:1", dialect="2.x", max_concurrency=2)
    waiting = [gevent.spawn(ends_with, Cancelled, lambda: narrow.complete(SILENT)) for _ in range(5)]
    gevent.sleep(0.2)
    narrow.close()
    gevent.joinall(waiting, timeout=5)
    sys.stdout.write(f"closed: {max((one.value or -1.0) for one in waiting):.2f} s\n")
    client.close()
    ok = all(right) and took < 1 and all(0 <= each < 1 for each in (late, cancelled))
    ok = ok and all(one.value is not None and 0 <= one.value < 1 for one in waiting)
    sys.exit(0 if ok else 1)


main(sys.argv[1])
