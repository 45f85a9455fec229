"""Flights: one thread does what many want at once."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.waits import until

from foundry_rest import clock
from foundry_rest.client import FoundryAPIClient
from foundry_rest.errors import Cancelled, DeadlineExceeded, LoadFailed
from foundry_rest.testing import FaultServer, hold
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.single_flight import SingleFlight

PLAIN = Options()


class Work:
    """Count how often it is done, and by how many at once; wait for a gate."""

    def __init__(self, result="done"):
        self.result = result
        self.begun, self.gate = threading.Semaphore(0), threading.Event()
        self.count = 0

    def __call__(self):
        """Do it."""
        self.count += 1
        self.begun.release()
        assert self.gate.wait(2)
        if isinstance(self.result, BaseException):
            raise self.result
        return self.result


def waiting(flights, key="k") -> int:
    """Return how many wait for a piece of work."""
    return len(flights._under_way[key]._waiting)


@pytest.fixture
def pool():
    """Lend threads."""
    with ThreadPoolExecutor(8) as threads:
        yield threads


def led(pool, flights, work):
    """Let one thread begin the work; return its future."""
    leader = pool.submit(flights.run, "k", PLAIN, work)
    assert work.begun.acquire(timeout=2)
    return leader


def test_one_works_for_all(pool):
    """Those who come while the work is under way share its result."""
    flights, work = SingleFlight(), Work()
    futures = [led(pool, flights, work)]
    futures += [pool.submit(flights.run, "k", PLAIN, work) for _ in range(7)]
    until(lambda: waiting(flights) == 7)
    work.gate.set()

    assert [future.result(2) for future in futures] == ["done"] * 8
    assert (work.count, flights._under_way) == (1, {})


def test_whoever_comes_later_works_again():
    """Nothing is remembered: a result is as old as the work under way."""
    flights, work = SingleFlight(), Work()
    work.gate.set()

    assert [flights.run("k", PLAIN, work) for _ in range(2)] == ["done", "done"]
    assert work.count == 2


def test_keys_do_not_wait_for_each_other(pool):
    """Another model's load is another piece of work."""
    flights, slow, other = SingleFlight(), Work(), Work("other")
    leader = led(pool, flights, slow)
    other.gate.set()

    assert flights.run("another", PLAIN, other) == "other"
    slow.gate.set()
    assert leader.result(2) == "done"


@pytest.mark.parametrize("error", [LoadFailed("x", status=500), KeyboardInterrupt()])
def test_a_failure_is_the_leaders_own(pool, error):
    """When the one who works fails, one of those who wait tries for itself."""
    flights, bad, good = SingleFlight(), Work(error), Work("good")
    leader = led(pool, flights, bad)
    good.gate.set()
    followers = [pool.submit(flights.run, "k", PLAIN, good) for _ in range(3)]
    until(lambda: waiting(flights) == 3)
    bad.gate.set()

    assert type(leader.exception(2)) is type(error)
    assert [future.result(2) for future in followers] == ["good"] * 3
    assert bad.count == 1
    assert flights._under_way == {}


def test_a_followers_deadline_holds(pool):
    """Whoever waits for another's work waits no longer than it may."""
    flights, work = SingleFlight(), Work()
    leader = led(pool, flights, work)
    with pytest.raises(DeadlineExceeded, match="another thread that loads the model"):
        flights.run("k", Options(until=clock.monotonic() + 0.02), work)
    work.gate.set()

    assert leader.result(2) == "done"


def test_a_follower_is_cancelled_at_once(pool):
    """Its own token ends its wait; the work goes on."""
    flights, work, token = SingleFlight(), Work(), CancelToken()
    leader = led(pool, flights, work)
    follower = pool.submit(flights.run, "k", Options(cancel=token), work)
    until(lambda: waiting(flights) == 1)
    begun = clock.monotonic()
    token.cancel()

    assert isinstance(follower.exception(2), Cancelled)
    assert clock.monotonic() - begun < 0.5
    work.gate.set()
    assert leader.result(2) == "done"


def test_who_joins_after_the_landing_does_not_wait(pool):
    """Between finding the work and waiting for it, it may be over."""
    flights, work = SingleFlight(), Work()
    leader = led(pool, flights, work)
    flight = flights._under_way["k"]
    work.gate.set()
    leader.result(2)
    woken = threading.Event()
    flight.join(woken)

    assert woken.is_set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_does_not_wait_for_the_parents_threads(pool):
    """The thread that works is not there in the child; the child works itself."""
    flights, work = SingleFlight(), Work()
    leader = led(pool, flights, work)
    pid = os.fork()
    if pid == 0:
        limit = Options(until=clock.monotonic() + 2)
        os._exit(0 if flights.run("k", limit, lambda: "mine") == "mine" else 1)

    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    work.gate.set()
    assert leader.result(2) == "done"


def test_eight_threads_load_once(pool):
    """Eight calls that meet a model that is not loaded: one GET /models/load on the wire."""
    gate = threading.Event()
    with FaultServer(loaded=[]) as server, FoundryAPIClient(server.url, model="demo") as client:

        def load(request):
            return hold(gate, 2.0) + server.healthy(request)

        server.on("GET", "/models/load/*", load)
        key = "load demo"
        futures = [pool.submit(client.complete, "Hi") for _ in range(8)]
        flights = client._core.flights
        until(lambda: key in flights._under_way and waiting(flights, key) == 7)
        gate.set()

        assert [future.result(5).content for future in futures] == ["Hello there"] * 8
        assert len(server.asked("/models/load/*")) == 1
