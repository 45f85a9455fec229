"""Three real runtimes, of which one is killed and one is stopped under load: no call notices."""

from __future__ import annotations

import itertools
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from foundry_rest import BreakerPolicy, FoundryAPIClient, Timeouts, clock
from foundry_rest.events import AttemptFailed, CallFinished, CircuitChanged, Event
from foundry_rest.runtime import LocalRuntime, demo_model_dir

pytestmark = pytest.mark.runtime
QUESTIONS = ("What is the capital of France?", "What is the capital of Japan?", "Say yes")
THREADS = 8
#: Answers before something happens, and after it.
ANSWERS = 120
#: Seconds of silence, and from the opening of a circuit to each probe.
SILENCE, PERIOD = 1.0, 0.75
#: Seconds in which what is awaited must have come.
PATIENCE = 60.0


class Journal:
    """What happened at which service, and when."""

    def __init__(self) -> None:
        self.events: list[tuple[float, Event]] = []

    def __call__(self, event: Event) -> None:
        """Note an event."""
        self.events.append((clock.monotonic(), event))

    def answered(self, url: str, since: float = 0.0) -> int:
        """Return how many calls a service has answered since an instant."""
        found = [event for at, event in self.events if at >= since and isinstance(event, CallFinished)]
        whole = [event for event in found if event.call == "chat.complete" and event.error is None]
        return sum(event.url == url for event in whole)

    def failed(self, url: str, since: float) -> list[float]:
        """Return when attempts failed at a service since an instant."""
        found = ((at, event) for at, event in self.events if at >= since and isinstance(event, AttemptFailed))
        return [at for at, event in found if event.url == url]

    def opened(self, url: str) -> float | None:
        """Return when the circuit of a service opened first."""
        found = ((at, event) for at, event in self.events if isinstance(event, CircuitChanged))
        return next((at for at, event in found if event.url == url and event.after == "open"), None)


@pytest.fixture
def three() -> Iterator[list[LocalRuntime]]:
    """Serve the demo model three times, in memory each time."""
    with ExitStack() as until_the_end:
        runtimes = [until_the_end.enter_context(LocalRuntime(demo_model_dir())) for _ in range(3)]
        for runtime in runtimes:
            with FoundryAPIClient(runtime.url) as client:
                client.models.load("demo-chat")
        yield runtimes


def wait_until(condition, what: str) -> None:
    """Wait for a condition; fail when it does not come."""
    until = clock.monotonic() + PATIENCE
    while not condition():
        assert clock.monotonic() < until, what
        clock.sleep(0.02)


def test_no_call_notices(three, pairs):
    """Every answer is right; who is dead gets a probe a period; who is back is used again within one."""
    right = {pair["question"]: pair["answer"] for pair in pairs}
    killed, stopped, well = three
    journal, over = Journal(), threading.Event()
    client = FoundryAPIClient(
        services=[runtime.url for runtime in three],
        model="demo-chat",
        timeout=Timeouts(connect=SILENCE, first_token=SILENCE, idle=SILENCE),
        deadline=PATIENCE,
        breaker=BreakerPolicy(failures=2, reset_after=PERIOD, growth=1.0),
        observers=[journal],
    )

    def ask(first: int) -> list[str]:
        wrong = []
        for number in itertools.count(first):
            if over.is_set():
                return wrong
            question = QUESTIONS[number % len(QUESTIONS)]
            content = client.complete(question, temperature=0).content
            if content != right[question]:
                wrong.append(content)
        return wrong

    with client, ThreadPoolExecutor(THREADS) as threads:
        asking = [threads.submit(ask, number) for number in range(THREADS)]
        try:
            for runtime in three:
                wait_until(lambda url=runtime.url: journal.answered(url) >= ANSWERS // 3, "all are asked")
            os.kill(killed.pid, signal.SIGKILL)
            os.kill(stopped.pid, signal.SIGSTOP)
            away = [killed.url, stopped.url]
            wait_until(lambda: all(journal.opened(url) for url in away), "their circuits open")
            since = clock.monotonic()
            wait_until(lambda: journal.answered(well.url, since) >= ANSWERS, "the third goes on")
            wait_until(lambda: clock.monotonic() > since + 3 * PERIOD, "some periods pass")
            until = clock.monotonic()
            # What was on its way when the circuit opened fails within the silence allowed.
            settled = since + SILENCE + PERIOD
            for url in away:
                probes = [at for at in journal.failed(url, settled) if at < until]
                assert len(probes) <= (until - settled) / PERIOD + 1

            os.kill(stopped.pid, signal.SIGCONT)
            back = clock.monotonic()
            wait_until(lambda: journal.answered(stopped.url, back) >= ANSWERS // 3, "it is asked again")
        finally:
            over.set()
            os.kill(stopped.pid, signal.SIGCONT)
        assert [each.result() for each in asking] == [[]] * THREADS
        first = next(
            at
            for at, event in journal.events
            if at >= back and isinstance(event, CallFinished) and event.url == stopped.url and not event.error
        )
        assert first - back <= PERIOD + 2 * SILENCE


def test_a_laptop_and_a_big_machine(three):
    """The embedded runtime is the first of several; when it is killed the other answers until it is back."""
    big = three[0]
    with FoundryAPIClient.embedded([demo_model_dir()], services=[big.url], prefer="first") as client:
        embedded = client.targets()[0].url
        assert client.complete(QUESTIONS[0], temperature=0).url == embedded
        assert [service.url for service in client.targets()] == [embedded, big.url]
        os.kill(client.health_check().pid, signal.SIGKILL)
        answers = [client.complete(QUESTIONS[0], temperature=0, deadline=PATIENCE) for _ in range(5)]

        assert len({answer.content for answer in answers}) == 1
        assert {answer.url for answer in answers} & {big.url, client.targets()[0].url}
        assert client.targets()[0].url != big.url
