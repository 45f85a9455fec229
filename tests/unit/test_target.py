"""The service dies, moves, comes back: what `Service` notices and forgets."""

from __future__ import annotations

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from foundry_rest import RetryPolicy, clock
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import Cancelled, DeadlineExceeded, ServiceNotFound, ServiceUnreachable
from foundry_rest.events import ServiceMoved
from foundry_rest.services.discovery.registry_file import Entry, write
from foundry_rest.services.target import Service
from foundry_rest.testing import FakeSender, FaultServer
from foundry_rest.transport.call import CancelToken, Options

CHAT = "/v1/chat/completions"
MODEL = "demo-generic-cpu:1"
A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
SOON = RetryPolicy(retries=3, base=0.01, floor=0.001)


def register(server: FaultServer) -> None:
    """Write this user's registry file, as ``foundry-rest serve`` does."""
    write(Entry(server.url, os.getpid(), 1.0))


def moved(events) -> list[tuple[str, str]]:
    """Return the moves told: from, to."""
    return [(event.before, event.url) for event in events if isinstance(event, ServiceMoved)]


class Facts:
    """A Service whose search follows a script; it notes what it is told."""

    def __init__(self, *found, named=None, dialect=None):
        self.found, self.renewed, self.events = list(found), [], []
        self.service = Service(
            named, dialect, revive=self.find, renewed=self.renewed.append, emit=self.events.append
        )

    def find(self):
        """Return or raise what is next."""
        item = self.found.pop(0)
        if isinstance(item, Exception):
            raise item
        return item


# ---------------------------------------------------------------- Service alone


def test_found_once():
    """The address is remembered."""
    facts = Facts(A)

    assert [facts.service.locate() for _ in range(3)] == [A] * 3


def test_a_move():
    """What was learnt of the old process is forgotten, and observers are told."""
    facts = Facts(A, B)
    facts.service.locate()

    assert facts.service.has_moved(A)
    assert facts.service.locate() == B
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_a_move_that_a_later_try_finds():
    """It was nowhere at first; whoever finds it then tells the move all the same."""
    facts = Facts(A, ServiceNotFound("none"), B)
    facts.service.locate()

    assert not facts.service.has_moved(A)
    assert facts.service.locate() == B
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_the_same_address_is_no_move():
    """A hiccup of one connection changes nothing."""
    facts = Facts(A, A)
    facts.service.locate()

    assert not facts.service.has_moved(A)
    assert (facts.renewed, facts.events) == ([], [])


def test_a_move_that_was_noticed_before():
    """A late error of the old address finds the new one; nothing is told or forgotten twice."""
    facts = Facts(A, B)
    facts.service.locate()
    assert facts.service.has_moved(A)
    assert facts.service.has_moved(A)

    assert (facts.renewed, len(facts.events)) == ([A], 1)


def test_many_threads_notice_one_move():
    """Eight threads lose it at once: one event."""
    facts = Facts(A, *[B] * 8)
    facts.service.locate()
    together = threading.Barrier(8)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: together.wait(2) >= 0 and facts.service.has_moved(A), range(8)))

    assert all(found)
    assert (facts.renewed, moved(facts.events)) == ([A], [(A, B)])


def test_an_error_without_an_address():
    """Nobody knows where that was."""
    assert not Facts(A).service.has_moved("")


def test_a_named_address_never_moves():
    """It was named: another service would answer with another model."""
    service = Service(A, None)

    assert not service.has_moved(A)
    assert service.locate() == A


def test_another_process_answers():
    """It has loaded nothing and failed nothing; its generation is asked anew."""
    facts = Facts(A)
    facts.service.locate()
    facts.service._dialect = Generation2Dialect()
    for pid in (None, 7, 7, None, 7):
        facts.service.seen(pid)
    assert facts.renewed == []
    facts.service.seen(8)

    assert facts.renewed == [A]
    assert facts.service._dialect is None


def test_a_given_dialect_stays():
    """What the caller said is not asked of the next process either."""
    given = Generation2Dialect()
    facts = Facts(A, B, dialect=given)
    facts.service.locate()
    facts.service.has_moved(A)

    assert facts.service._dialect is given


def test_the_process_of_the_new_address_is_no_surprise():
    """After a move the next pid is that of the new service: nothing is forgotten again."""
    facts = Facts(A, B)
    facts.service.locate()
    facts.service.seen(7)
    facts.service.has_moved(A)
    facts.service.seen(8)

    assert facts.renewed == [A]


def test_another_process_while_the_address_is_unknown():
    """There is no circuit to close."""
    facts = Facts()
    facts.service.seen(7)
    facts.service.seen(8)

    assert facts.renewed == []


def test_never_found_is_not_gone():
    """Before the first success nothing is worth waiting for."""
    with pytest.raises(ServiceNotFound):
        Service(None, None).locate()


def test_gone():
    """What was there a moment ago may be starting: an error that is worth another try."""
    service = Service(None, None)
    with FaultServer() as server:
        register(server)
        url = service.locate()
    assert not service.has_moved(url)
    with pytest.raises(ServiceUnreachable, match=r"the service is gone: .*looked at base_url") as caught:
        service.locate()

    assert (caught.value.sent, caught.value.url) == (False, url)
    assert "foundry-rest serve" in caught.value.advice


def crowd(service: Service, count: int) -> list[object]:
    """Return what so many threads got that asked at once: addresses and errors."""
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(service.locate) for _ in range(count)]
    return [done.exception() or done.result() for done in asked]


def waiting(service: Service) -> int:
    """Count the threads that wait for the one that looks."""
    return sum(len(look._waiting) for look in service._looks._under_way.values())


@pytest.mark.parametrize("found", [A, ServiceNotFound("nowhere")], ids=["found", "nowhere"])
def test_one_thread_looks_for_all(monkeypatch, found):
    """A look may start processes: eight threads that ask at once cause one, and each has its own error."""
    service, looks = Service(None, None), []

    def look(*_, **__):
        looks.append(1)
        limit = clock.monotonic() + 5
        while waiting(service) < 7 and clock.monotonic() < limit:
            clock.sleep(0.001)
        if isinstance(found, Exception):
            raise found
        return found

    monkeypatch.setattr("foundry_rest.services.discovery.search.discover", look)
    results = crowd(service, 8)

    assert len(looks) == 1
    assert {str(result) for result in results} == {str(found)}
    assert len({id(result) for result in results}) == (1 if found is A else 8)


def test_a_closed_client_stops_waiting(monkeypatch):
    """Whoever waits for the thread that looks is told that it was the search that ended."""
    token = CancelToken()
    service = Service(None, None, closing=token)

    def look(*_, **__):
        limit = clock.monotonic() + 5
        while not waiting(service) and clock.monotonic() < limit:
            clock.sleep(0.001)
        token.cancel()
        return A

    monkeypatch.setattr("foundry_rest.services.discovery.search.discover", look)

    assert sorted(map(str, crowd(service, 2))) == [
        A,
        "the call was ended from elsewhere while it waited for another thread that looks for the service",
    ]


def test_a_closed_client_stops_looking(monkeypatch):
    """What the client closes ends the look, too."""
    token, seen = CancelToken(), []
    monkeypatch.setattr(
        "foundry_rest.services.discovery.search.discover", lambda *_, foundry, **__: seen.append(foundry) or A
    )
    Service(None, None, closing=token).locate()
    token.cancel()
    with pytest.raises(Cancelled):
        seen[0].pause(0)


def test_a_look_keeps_to_the_calls_time(monkeypatch):
    """The deadline ends it in the call's own words; the next call looks anew."""
    service, looks = Service(None, None), []

    def look(*_, foundry, **__):
        looks.append(foundry)
        foundry.check()
        return A

    monkeypatch.setattr("foundry_rest.services.discovery.search.discover", look)
    with pytest.raises(DeadlineExceeded, match="the deadline passed while the service was looked for"):
        service.locate(Options(until=clock.monotonic()))
    ended = CancelToken()
    ended.cancel()
    with pytest.raises(Cancelled):
        service.dialect(FakeSender([]), Options(cancel=ended))

    assert service.locate() == A
    assert len(looks) == 3


def test_a_rediscovery_keeps_to_the_calls_time(monkeypatch):
    """It tells that the time is over, not that the service is nowhere."""
    service = Service(None, None)
    monkeypatch.setattr(
        "foundry_rest.services.discovery.search.discover", lambda *_, foundry, **__: foundry.check() or A
    )
    assert service.locate() == A
    with pytest.raises(DeadlineExceeded):
        service.has_moved(A, Options(until=clock.monotonic()))
