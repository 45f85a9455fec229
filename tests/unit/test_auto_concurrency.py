"""``max_concurrency="auto"`` of a client and of a batch, and the lanes of their calls."""

from __future__ import annotations

import pickle
import threading
from collections import Counter
from contextlib import contextmanager

import pytest
from support.servers import CHAT, answer
from support.waits import until

from foundry_rest import CancelToken, Config, FoundryAPIClient, clock
from foundry_rest.batch.job import answer_file
from foundry_rest.batch.run import Settings
from foundry_rest.batch.stop import Stop
from foundry_rest.endpoints import window
from foundry_rest.endpoints.batch import CONCURRENCY, Gate
from foundry_rest.errors import Cancelled, ConfigError
from foundry_rest.resilience.adaptive_slots import AdaptiveSlots
from foundry_rest.resilience.concurrency import Slots
from foundry_rest.testing import DEMO_MODEL, hold, inference_failed


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Make silences short."""
    monkeypatch.setattr(window, "TICK", 0.01)


class Counted:
    """An answer of a service that is as quick for many calls as for one, and counts them.

    Args:
        seconds: What an answer takes.
        together: Until so many calls are under way, each waits for the others a while.

    Attributes:
        most: Calls under way at most.
    """

    def __init__(self, seconds=0.004, together=1):
        self.most, self._now, self._lock, self._seconds = 0, 0, threading.Lock(), seconds
        self._together, self._are_there = together, threading.Event()

    def __call__(self, request):
        """Answer after a moment."""
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
            if self.most >= self._together:
                self._are_there.set()
        self._are_there.wait(0.2)
        clock.sleep(self._seconds)
        with self._lock:
            self._now -= 1
        return answer("one two three")(request)


@pytest.fixture
def counted(server):
    """Let the server count its chat calls."""
    counted = Counted()
    server.on("POST", CHAT, counted)
    return counted


def auto(server, **settings):
    """Return a client that finds its number out."""
    return FoundryAPIClient(
        server.url, model=DEMO_MODEL, retries=0, **{"max_concurrency": "auto", "dialect": "2.x", **settings}
    )


def in_threads(client, threads, calls):
    """Make so many calls from each of so many threads."""

    def work():
        for _ in range(calls):
            client.complete("Hi")

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


# ---------------------------------------------------------------- a client


def test_a_client_climbs_while_that_brings_more(server, counted):
    """It begins with two calls at a time, and allows more to a service that is as quick with them."""
    with auto(server) as client:
        slots = client._core.bounds.slots
        assert slots.limit == 2
        in_threads(client, 6, 25)

        assert 2 < counted.most <= 6


def test_an_idle_client_stays_where_it_is(server, counted):
    """A program with one thread never has two calls to try."""
    with auto(server) as client:
        for _ in range(30):
            client.complete("Hi")

        assert client._core.bounds.slots.limit == 2
        assert counted.most == 1


def test_views_share_what_was_found(server):
    """A view goes through the same slots."""
    with auto(server) as client:
        assert client.with_options(timeout=5)._core is client._core


def test_a_client_that_was_pickled_begins_anew(server, counted):
    """The setting travels, what was found out about one machine does not."""
    with auto(server) as client:
        in_threads(client, 4, 20)
        with pickle.loads(pickle.dumps(client)) as copy:
            slots = copy._core.bounds.slots
            assert isinstance(slots, AdaptiveSlots)
            assert slots.limit == 2


def test_a_stranger_is_not_throttled(server, counted):
    """A service that bounds its calls by itself gets the usual number from the first answer on."""
    with auto(server, dialect="openai") as client:
        client.complete("Hi")

        assert client._core.bounds.slots.limit == 64


def test_without_auto_nothing_listens(client):
    """A fixed number costs no observer, and its slots are plain ones."""
    assert type(client._core.bounds.slots) is Slots
    assert client._core.bounds.slots.limit == 64


@pytest.mark.parametrize("value", ["AUTO", "many", "", "4", b"auto", ["auto"]])
def test_other_words_are_no_number(value):
    """Only ``"auto"`` stands for a number; the message says so."""
    with pytest.raises(ConfigError, match='or "auto", not'):
        FoundryAPIClient("http://h", max_concurrency=value)
    with pytest.raises(ConfigError, match='or "auto", not'):
        Config(max_concurrency=value)
    with pytest.raises(ConfigError, match='or "auto", not'):
        Settings(concurrency=value)


def test_the_pool_of_connections(server):
    """It is as large as the largest number that may be found."""
    with auto(server) as client:
        assert client._core.transport._pool_size == 64


# ---------------------------------------------------------------- a batch


def test_a_batch_climbs(client, counted):
    """It begins with two at a time; each request has its one answer, whatever the number was."""
    results = list(client.batch((f"p{number}" for number in range(120)), max_concurrency="auto"))

    assert Counter(result.custom_id for result in results) == {f"request-{n}": 1 for n in range(120)}
    assert all(result.ok for result in results)
    assert counted.most > 2


def test_the_results_in_order(client, counted):
    """Also where the number is found out."""
    results = client.batch(["x"] * 60, max_concurrency="auto", ordered=True)

    assert [result.index for result in results] == list(range(60))


def test_not_above_the_client_s_own_number(server, counted):
    """A client that makes three calls at a time makes no more in a batch."""
    with auto(server, max_concurrency=3) as client:
        list(client.batch(["x"] * 100, max_concurrency="auto"))

    assert 2 <= counted.most <= 3


@pytest.mark.parametrize("number", [None, "auto"])
def test_a_batch_of_a_client_that_adapts(server, counted, number):
    """The client's slots alone find the number: two searches would hold each other back."""
    with auto(server) as client:
        results = list(client.batch(["x"] * 100, max_concurrency=number))
        reached = client._core.bounds.slots.limit

    assert all(result.ok for result in results)
    assert reached >= 2
    assert Gate.at(client._context, "auto")._slots is None


def test_a_batch_at_a_stranger(server):
    """It has the usual number, for such a service may queue what is more until it seems silent."""
    counted = Counted(together=CONCURRENCY)
    server.on("POST", CHAT, counted)
    with auto(server, dialect="openai", max_concurrency=64) as client:
        list(client.batch(["x"] * 80, max_concurrency="auto"))

    assert counted.most == CONCURRENCY


def test_errors_do_not_count(server):
    """Requests that fail at once are no throughput: the number does not climb by them."""
    server.on("POST", CHAT, inference_failed())
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, breaker=None) as client:
        gate = Gate.at(client._context, "auto")
        for _ in range(40):
            with pytest.raises(ZeroDivisionError), gate.turn(()):
                raise ZeroDivisionError
        results = list(client.batch(["x"] * 40, max_concurrency="auto"))

    assert gate.reached == 2
    assert not any(result.ok for result in results)


def test_the_time_of_a_result_is_that_of_its_call(client, server):
    """The wait of a request for its turn is not counted as its call's time."""
    server.on("POST", CHAT, Counted(0.02))
    results = list(client.batch(["x"] * 24, max_concurrency="auto"))

    assert min(result.elapsed for result in results) < 0.1
    assert sum(result.elapsed for result in results) / 24 < 0.15


def test_cancel_ends_those_who_wait_for_their_turn(client, server):
    """All threads end at once, those without a call under way, too."""
    gate, token = threading.Event(), CancelToken()
    server.on("POST", CHAT, lambda request: hold(gate, 5) + answer("x")(request))
    raised = []

    def run():
        try:
            list(client.batch(["x"] * 200, max_concurrency="auto", cancel=token))
        except Cancelled as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    until(lambda: len(server.asked(CHAT)) == 2)
    begun = clock.monotonic()
    token.cancel()
    thread.join(5)
    gate.set()

    assert clock.monotonic() - begun < 2
    assert len(raised) == 1


def test_a_file(client, counted, tmp_path):
    """Settings take it, too, and the summary says which number was reached."""
    source = tmp_path / "in.txt"
    source.write_text("".join(f"p{number}\n" for number in range(150)), encoding="utf-8")
    outcome = answer_file(client, source, tmp_path / "out.jsonl", settings=Settings(concurrency="auto"))

    assert outcome.is_whole
    assert outcome.summary.concurrency >= 2
    assert f", {outcome.summary.concurrency} at a time" in str(outcome.summary)


def test_a_stop_ends_those_who_wait_for_their_turn(client, server, tmp_path):
    """When the batch is to stop, no waiting request is sent: a later run does it."""
    gate, stop = threading.Event(), Stop()
    server.on("POST", CHAT, lambda request: hold(gate, 5) + answer("x")(request))
    source = tmp_path / "in.txt"
    source.write_text("p\n" * 100, encoding="utf-8")

    def ask():
        until(lambda: len(server.asked(CHAT)) == 2)
        stop.ask("enough")
        gate.set()

    asking = threading.Thread(target=ask)
    asking.start()
    settings = Settings(concurrency="auto")
    outcome = answer_file(client, source, tmp_path / "out.jsonl", settings=settings, stop=stop)
    asking.join()

    assert (outcome.counts.succeeded, outcome.counts.unsent) == (2, 98)
    assert len(server.asked(CHAT)) == 2


# ---------------------------------------------------------------- lanes


@pytest.mark.parametrize("lane", ["batch", "interactive", None])
def test_a_call_says_its_lane(client, monkeypatch, lane):
    """The lane reaches the slots; without one a call is interactive."""
    lanes, real = [], Slots.acquire

    def noted(self, until=float("inf"), cancels=(), lane=""):
        lanes.append(lane)
        return real(self, until, cancels, lane)

    monkeypatch.setattr(Slots, "acquire", noted)
    client.complete("Hi", lane=lane)

    assert set(lanes) == {lane or ""}


@pytest.mark.parametrize("lane", ["Batch", "", "slow", 1, True, ["batch"]])
def test_there_are_two_lanes(client, server, lane):
    """Another word is refused, with those that there are, before anything is sent."""
    with pytest.raises(ConfigError, match="lane"):
        client.complete("Hi", lane=lane)

    assert server.requests == []


@contextmanager
def batch_beside_a_call(server, **options):
    """Begin a batch of four while another call is under way; end both after the block."""
    gate = threading.Event()
    server.on("POST", CHAT, lambda request: hold(gate, 5) + answer("x")(request))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="2.x") as client:
        first = threading.Thread(target=client.complete, args=("first",))
        first.start()
        until(lambda: len(server.asked(CHAT)) == 1)
        batch = threading.Thread(target=lambda: list(client.batch(["x"] * 4, **options)))
        batch.start()
        yield client
        gate.set()
        first.join(5)
        batch.join(5)
    assert len(server.asked(CHAT)) == 5


def test_a_batch_waits_behind_a_call(server):
    """A batch sends nothing more while another call of its client is under way."""
    with batch_beside_a_call(server) as client:
        until(lambda: client._core.bounds.slots.waiting == 4)

        assert len(server.asked(CHAT)) == 1


def test_a_batch_in_the_other_lane(server):
    """Whoever waits for the results of a batch may give it the lane of all others."""
    with batch_beside_a_call(server, lane="interactive"):
        until(lambda: len(server.asked(CHAT)) == 5)
