"""Two hosts with a service each; the cable to one is cut under load and mended: no whole answer notices.

The hosts are network namespaces of Linux, which only root may make.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from foundry_rest import BreakerPolicy, FoundryAPIClient, Timeouts, clock
from foundry_rest.errors import ServiceTimeout, ServiceUnreachable, StreamInterrupted

QUESTION, ANSWER = "What is the capital of France?", "The capital of France is Paris."
THREADS, PORT = 6, 5273
#: How a stream ends that had begun when the cable was cut.
BEGUN = (StreamInterrupted, ServiceTimeout, ServiceUnreachable)
#: Seconds of silence that count as one, and from the opening of a circuit to each probe.
SILENCE, PERIOD = 1.0, 0.75
#: Seconds in which what is awaited must have come.
PATIENCE = 60.0


def ip(*words: str) -> subprocess.CompletedProcess[str]:
    """Run the command `ip`."""
    return subprocess.run(["ip", *words], capture_output=True, text=True, check=False)


class Host:
    """A host behind a cable: a namespace with one network interface and a service.

    Args:
        number: Which of this test's hosts it is, from 0.
    """

    def __init__(self, number: int) -> None:
        self.name = f"fr{os.getpid()}n{number}"
        self._here = f"f{os.getpid() % 10_000_000}v{number}"
        net = f"10.213.{os.getpid() % 250}.{number * 4}"
        base = net.rpartition(".")[0]
        self._near, self._far = f"{base}.{number * 4 + 1}", f"{base}.{number * 4 + 2}"
        self.url = f"http://{self._far}:{PORT}"
        self._service: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Host:
        added = ip("netns", "add", self.name)
        if added.returncode:
            pytest.skip(f"no network namespace can be made here: {added.stderr.strip()}")
        steps = [
            ("link", "add", self._here, "type", "veth", "peer", "name", "cable", "netns", self.name),
            ("addr", "add", f"{self._near}/30", "dev", self._here),
            ("link", "set", self._here, "up"),
            ("-n", self.name, "addr", "add", f"{self._far}/30", "dev", "cable"),
            ("-n", self.name, "link", "set", "lo", "up"),
            ("-n", self.name, "link", "set", "cable", "up"),
        ]
        for step in steps:
            done = ip(*step)
            if done.returncode:
                self.__exit__()
                pytest.skip(f"ip {' '.join(step)} is not allowed here: {done.stderr.strip()}")
        serve = ["serve", "--demo", "--load", "demo-chat", "--host", self._far, "--port", str(PORT)]
        self._service = subprocess.Popen(
            ["ip", "netns", "exec", self.name, sys.executable, "-m", "foundry_rest", *serve],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        if self._service is not None:
            self._service.terminate()
            self._service.wait(PATIENCE)
        ip("link", "del", self._here)
        ip("netns", "del", self.name)

    def cut(self) -> None:
        """Pull the plug at the host's end."""
        assert ip("-n", self.name, "link", "set", "cable", "down").returncode == 0

    def mend(self) -> None:
        """Put it in again."""
        assert ip("-n", self.name, "link", "set", "cable", "up").returncode == 0


@pytest.fixture
def hosts() -> Iterator[list[Host]]:
    """Return two hosts, whose services answer."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("ip") is None:
        pytest.skip("needs Linux, root and the command ip")
    with ExitStack() as until_the_end:
        made = [until_the_end.enter_context(Host(number)) for number in range(2)]
        for host in made:
            with FoundryAPIClient(host.url, model="demo-chat") as client:
                client.health.wait_until_ready(PATIENCE)
                client.complete(QUESTION, temperature=0)
        yield made


def wait_until(condition: Callable[[], bool], what: str) -> None:
    """Wait for a condition; fail when it does not come."""
    until = clock.monotonic() + PATIENCE
    while not condition():
        assert clock.monotonic() < until, what
        clock.sleep(0.02)


class Load:
    """Questions without a pause from several threads, two of three whole, one streamed.

    Attributes:
        answered: Address of a service -> how many answers came from it.
        wrong: What should not have happened.
    """

    def __init__(self, client: FoundryAPIClient) -> None:
        self.answered = dict.fromkeys((each.url for each in client.targets()), 0)
        self.wrong: list[object] = []
        self._client = client
        self._lock, self._over = threading.Lock(), threading.Event()
        self._threads = ThreadPoolExecutor(THREADS)

    def __enter__(self) -> Load:
        self._asking = [self._threads.submit(self._ask_on, number % 3 == 0) for number in range(THREADS)]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._threads.shutdown()
        self.wrong += [each.exception() for each in self._asking if each.exception() is not None]

    def _ask_on(self, is_streamed: bool) -> None:
        while not self._over.is_set():
            try:
                self._ask(is_streamed)
            except BEGUN as error:
                if not is_streamed or not ANSWER.startswith(getattr(error, "text", "")):
                    self.wrong.append(error)

    def _ask(self, is_streamed: bool) -> None:
        ask = self._client.stream_complete if is_streamed else self._client.complete
        reply = ask(QUESTION, temperature=0)
        reply = reply.gather() if is_streamed else reply
        with self._lock:
            self.answered[reply.url] += 1
            self.wrong += [reply] if reply.content != ANSWER else []


def test_a_cable(hosts):
    """Whole answers come from the other host, a begun stream tells that it broke, and both are used after."""
    first, second = hosts
    client = FoundryAPIClient(
        services=[first.url, second.url],
        model="demo-chat",
        timeout=Timeouts(connect=SILENCE, first_token=SILENCE, idle=SILENCE),
        deadline=PATIENCE,
        breaker=BreakerPolicy(failures=2, reset_after=PERIOD, growth=1.0),
    )
    with client, Load(client) as load:
        answered = load.answered
        wait_until(lambda: min(answered.values()) >= 30, "both are asked")
        first.cut()
        wait_until(lambda: client.targets()[0].circuit != "closed", "its circuit opens")
        before = dict(answered)
        wait_until(lambda: answered[second.url] >= before[second.url] + 60, "the other goes on")
        assert answered[first.url] == before[first.url]
        first.mend()
        wait_until(lambda: answered[first.url] >= before[first.url] + 30, "it is asked again")
    assert load.wrong == []
