"""`Timeouts.adaptive()`: no false time-out on the real runtime, and a short one at a service that hangs."""

from __future__ import annotations

import pytest
from support.servers import CHAT

from foundry_rest import FoundryAPIClient, ServiceTimeout, StreamInterrupted, Timeouts, clock
from foundry_rest.events import CallFinished, TimeoutChanged
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, stall

#: Requests of the batch, and how many times longer the last prompt is than the first.
REQUESTS, GROWTH = 150, 10
FLOOR, CEILING = 0.25, 30.0
#: The floor on the real runtime, which may be silent for 0.25 s where other programs want both cores.
REAL_FLOOR = 1.0
#: Seconds that noticing a hanging service may take beyond the floor; a machine that does much else is slow.
LATE = 2.0


def growing():
    """Yield requests whose prompts grow tenfold; the longest has 1,700 tokens."""
    for number in range(REQUESTS):
        words = int(60 * GROWTH ** (number / REQUESTS))
        yield {"messages": [{"role": "user", "content": "word " * words}], "max_tokens": 16}


@pytest.mark.runtime
def test_prompts_that_grow_tenfold(runtime):
    """On the real runtime a batch whose prompts grow tenfold meets no false time-out, though it adapts."""
    events = []
    timeouts = Timeouts.adaptive(floor=REAL_FLOOR, ceiling=CEILING)
    with FoundryAPIClient(
        runtime.url, model="demo-chat", timeout=timeouts, retries=0, observers=[events.append]
    ) as client:
        errors = [result.error for result in client.batch(growing(), max_concurrency=4)]

    ended = [event for event in events if isinstance(event, CallFinished) and event.prompt_tokens]
    changed = [event for event in events if isinstance(event, TimeoutChanged)]
    assert [str(each) for each in errors if each is not None] == []
    assert max(each.prompt_tokens for each in ended) > 8 * min(each.prompt_tokens for each in ended)
    assert {each.phase for each in changed if each.after < CEILING / 2} == {"first_token", "idle"}


@pytest.fixture
def learned():
    """Return a server, and a client that knows it to be quick."""
    with (
        FaultServer() as server,
        FoundryAPIClient(
            server.url, model=DEMO_MODEL, timeout=Timeouts.adaptive(floor=FLOOR, ceiling=CEILING), retries=0
        ) as client,
    ):
        for _ in range(25):
            client.complete("Hi")
        yield server, client


@pytest.mark.parametrize(
    ("script", "error"),
    [(stall(), ServiceTimeout), (chat_stream("one two three")[:3] + stall(), StreamInterrupted)],
    ids=["before an answer", "in the middle"],
)
def test_a_service_that_hangs(learned, script, error):
    """A service that hangs after it was quick is noticed in about the floor, not in the ceiling."""
    server, client = learned
    server.on("POST", CHAT, script)
    began = clock.monotonic()
    with pytest.raises(error, match=f"{FLOOR:g} s, adapted to the last 25 calls"):
        client.complete("Hi")

    assert FLOOR <= clock.monotonic() - began < FLOOR + LATE
    assert FLOOR + LATE < CEILING / 4


def test_views_learn_together(learned):
    """What one view has learned holds in another; fixed seconds of a view or a call are fixed."""
    server, client = learned
    server.on("POST", CHAT, stall())
    view = client.with_options(timeout=Timeouts.adaptive(floor=2 * FLOOR, ceiling=CEILING))
    with pytest.raises(ServiceTimeout, match=f"{2 * FLOOR:g} s, adapted"):
        view.complete("Hi")
    for fixed in ({"timeout": 0.1}, {"timeout": Timeouts(first_token=0.1)}):
        with pytest.raises(ServiceTimeout, match="within the time allowed") as caught:
            client.complete("Hi", **fixed)
        assert "adapted" not in str(caught.value)
