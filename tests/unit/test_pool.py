"""The service dies, moves, comes back: what `TargetPool` notices and forgets."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.discovery import moved, register

from foundry_rest import RetryPolicy, clock
from foundry_rest.config import Config
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.dialects.operation import UNKNOWN
from foundry_rest.errors import Cancelled, DeadlineExceeded, ServiceNotFound, ServiceUnreachable
from foundry_rest.services.context import Context
from foundry_rest.services.discovery.search import look
from foundry_rest.services.pool import TargetPool
from foundry_rest.services.target import Found
from foundry_rest.testing import FakeSender, FaultServer
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken

A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
SOON = RetryPolicy(retries=3, base=0.01, floor=0.001)


class Registry:
    """Circuits that are only reset."""

    def __init__(self):
        self.renewed = []

    def of(self, url):
        """Return no circuit."""
        return

    def reset(self, url):
        """Note it."""
        self.renewed.append(url)


class Facts:
    """A pool whose search follows a script; it notes what it is told."""

    def __init__(self, *found, named=None, dialect=UNKNOWN):
        self.found, self.events, registry = list(found), [], Registry()
        self.renewed = registry.renewed
        self.pool = TargetPool(
            named, self.find, dialect=dialect, is_embedded=True, breakers=registry, emit=self.events.append
        )

    def find(self, options):
        """Return or raise what is next."""
        item = self.found.pop(0)
        if isinstance(item, Exception):
            raise item
        return Found(item)


# ---------------------------------------------------------------- the pool alone


def test_found_once():
    """The address is remembered."""
    facts = Facts(A)

    assert [facts.pool.take().url for _ in range(3)] == [A] * 3


def test_a_move():
    """What was learnt of the old process is forgotten, and observers are told."""
    facts = Facts(A, B)
    facts.pool.take()

    assert facts.pool.has_moved(A)
    assert facts.pool.take().url == B
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_a_move_that_a_later_try_finds():
    """It was nowhere at first; whoever finds it then tells the move all the same."""
    facts = Facts(A, ServiceNotFound("none"), B)
    facts.pool.take()

    assert not facts.pool.has_moved(A)
    assert facts.pool.take().url == B
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_the_same_address_is_no_move():
    """A hiccup of one connection changes nothing."""
    facts = Facts(A, A)
    facts.pool.take()

    assert not facts.pool.has_moved(A)
    assert (facts.renewed, facts.events) == ([], [])


def test_a_move_that_was_noticed_before():
    """A late error of the old address finds the new one; nothing is told or forgotten twice."""
    facts = Facts(A, B)
    facts.pool.take()
    assert facts.pool.has_moved(A)
    assert facts.pool.has_moved(A)

    assert (facts.renewed, len(facts.events)) == ([A], 1)


def test_many_threads_notice_one_move():
    """Eight threads lose it at once: one event."""
    facts = Facts(A, *[B] * 8)
    facts.pool.take()
    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: together.wait(2) >= 0 and facts.pool.has_moved(A), range(8)))

    assert all(found)
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_an_error_without_an_address():
    """Nobody knows where that was."""
    assert not Facts(A).pool.has_moved("")


def test_a_named_address_never_moves():
    """It was named: another service would answer with another model."""
    pool = TargetPool(A, pytest.fail)

    assert not pool.has_moved(A)
    assert pool.take().url == A


def test_another_process_answers():
    """It has loaded nothing and failed nothing; its generation is asked anew."""
    facts = Facts(A)
    facts.pool.take()
    facts.pool.take().dialect = Generation2Dialect()
    for pid in (None, 7, 7, None, 7):
        facts.pool.note_pid(pid)
    assert facts.renewed == []
    facts.pool.note_pid(8)

    assert facts.renewed == [A]
    assert facts.pool.take().dialect is UNKNOWN


def test_a_given_dialect_stays():
    """What the caller said is not asked of the next process either."""
    given = Generation2Dialect()
    facts = Facts(A, B, dialect=given)
    facts.pool.take()
    facts.pool.has_moved(A)

    assert facts.pool.take().dialect is given


def test_the_process_of_the_new_address_is_no_surprise():
    """After a move the next pid is that of the new service: nothing is forgotten again."""
    facts = Facts(A, B)
    facts.pool.take()
    facts.pool.note_pid(7)
    facts.pool.has_moved(A)
    facts.pool.note_pid(8)

    assert facts.renewed == [A]


def test_another_process_while_the_address_is_unknown():
    """There is no circuit to close."""
    facts = Facts()
    facts.pool.note_pid(7)
    facts.pool.note_pid(8)

    assert facts.renewed == []


def searching(closing=None) -> TargetPool:
    """Return a pool that looks for the service as a client does."""
    token = closing or CancelToken()
    return TargetPool(None, lambda options: look(options, token, auto_start=False), closing=token)


def test_never_found_is_not_gone():
    """Before the first success nothing is worth waiting for."""
    with pytest.raises(ServiceNotFound):
        searching().take()


def test_gone():
    """What was there a moment ago may be starting: an error that is worth another try."""
    pool = searching()
    with FaultServer() as server:
        register(server.url)
        url = pool.take().url
    assert not pool.has_moved(url)
    with pytest.raises(ServiceUnreachable, match=r"the service is gone: .*looked at base_url") as caught:
        pool.take()

    assert (caught.value.sent, caught.value.url) == (False, url)
    assert "foundry-rest serve" in caught.value.advice


def test_a_discovered_service_is_recognised_already(monkeypatch):
    """Whoever looked for it heard how it speaks: the first call need not ask again."""
    with FaultServer() as server:
        register(server.url)
        target = searching().take()

        assert (target.url, target.dialect.generation) == (server.url, "2.x")


def crowd(pool: TargetPool, count: int) -> list[object]:
    """Return what so many threads got that asked at once: addresses and errors."""
    with ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(pool.take) for _ in range(count)]
    return [done.exception() or done.result().url for done in asked]


def waiting(pool: TargetPool) -> int:
    """Count the threads that wait for the one that looks."""
    return sum(len(look._waiting) for look in pool._searches._under_way.values())


@pytest.mark.parametrize("found", [A, ServiceNotFound("nowhere")], ids=["found", "nowhere"])
def test_one_thread_looks_for_all(found):
    """A look may start processes: eight threads that ask at once cause one, and each has its own error."""
    looks = []

    def find(options):
        looks.append(1)
        limit = clock.monotonic() + 5
        while waiting(pool) < 7 and clock.monotonic() < limit:
            clock.sleep(0.001)
        if isinstance(found, Exception):
            raise found
        return Found(found)

    pool = TargetPool(None, find)
    results = crowd(pool, 8)

    assert len(looks) == 1
    assert {str(result) for result in results} == {str(found)}
    assert len({id(result) for result in results}) == (1 if found is A else 8)


def test_a_closed_client_stops_waiting():
    """Whoever waits for the thread that looks is told that it was the search that ended."""
    token = CancelToken()

    def find(options):
        limit = clock.monotonic() + 5
        while not waiting(pool) and clock.monotonic() < limit:
            clock.sleep(0.001)
        token.cancel()
        return Found(A)

    pool = TargetPool(None, find, closing=token)

    assert sorted(map(str, crowd(pool, 2))) == [
        A,
        "the call was ended from elsewhere while it waited for another thread that looks for the service",
    ]


def test_a_closed_client_stops_looking(monkeypatch):
    """What the client closes ends the look, too."""
    token, seen = CancelToken(), []
    monkeypatch.setattr(
        "foundry_rest.services.discovery.search.discover", lambda *_, foundry, **__: seen.append(foundry) or A
    )
    searching(token).take()
    token.cancel()
    with pytest.raises(Cancelled):
        seen[0].pause(0)


def test_a_look_keeps_to_the_calls_time(monkeypatch):
    """The deadline ends it in the call's own words; the next call looks anew."""
    pool, looks = searching(), []

    def find(*_, foundry, **__):
        looks.append(foundry)
        foundry.check()
        return A

    monkeypatch.setattr("foundry_rest.services.discovery.search.discover", find)
    with pytest.raises(DeadlineExceeded, match="the deadline passed while the service was looked for"):
        pool.take(Options(until=clock.monotonic()))
    ended = CancelToken()
    ended.cancel()
    with pytest.raises(Cancelled):
        pool.take(Options(cancel=ended))

    assert pool.take().url == A
    assert len(looks) == 3


def test_a_rediscovery_keeps_to_the_calls_time(monkeypatch):
    """It tells that the time is over, not that the service is nowhere."""
    pool = searching()
    monkeypatch.setattr(
        "foundry_rest.services.discovery.search.discover", lambda *_, foundry, **__: foundry.check() or A
    )
    assert pool.take().url == A
    with pytest.raises(DeadlineExceeded):
        pool.has_moved(A, Options(until=clock.monotonic()))


def test_the_address_for_an_error_is_not_searched():
    """An error names the address that was known last, none before the first search, and starts no process."""
    facts = Facts(A, ServiceNotFound("there is none"))
    context = Context(FakeSender(), FakeSender(), facts.pool, Config())
    assert (context.url, len(facts.found)) == ("", 2)

    facts.pool.take()
    assert context.url == A
    facts.pool.has_moved(A)
    assert (facts.pool.current, context.url) == (None, A)


@pytest.mark.parametrize("named", [None, A])
def test_another_process_on_the_port_of_a_service_that_was_found_is_unknown(named):
    """Nobody has looked who took the port, so the environment's key stays here; a named address gets it."""
    pool = TargetPool(named, lambda options: Found(A, UNKNOWN, is_known=True))
    pool.take()
    pool.note_pid(7)
    pool.note_pid(8)

    assert pool.take().is_known is (named is not None)
