"""Breaker state in a file: private, shared, and not fooled by clocks."""

from __future__ import annotations

import gc
import pickle
import sqlite3
import stat
import threading

import pytest
from support.breakers import fail, is_admitted
from support.platforms import posix, set_home

from foundry_rest import clock
from foundry_rest.errors import CircuitOpen
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import Record
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.resilience.breaker.storage import SqliteBreakers, SqliteState
from foundry_rest.testing.fakes import FakeClock

POLICY = BreakerPolicy(failures=3, reset_after=10, reset_max=60)


# ---------------------------------------------------------------- the file


@posix
def test_nobody_else_reads_it(path, open_state):
    """Folder 0700, file 0600, and sqlite's own files beside it too, whatever the umask."""
    state = open_state()
    fail(Breaker(POLICY, state))
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in [path.parent, *path.parent.iterdir()]}

    assert modes.pop("state") == 0o700
    assert set(modes) == {path.name, f"{path.name}-wal", f"{path.name}-shm"}
    assert set(modes.values()) == {0o600}


def test_nothing_in_it_is_executable(path, open_state):
    """The record is columns of a table: no pickle, readable with sqlite's own shell."""
    fail(Breaker(POLICY, open_state()), 3)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT address, state, failures, trips FROM circuit").fetchall()
    connection.close()

    assert rows == [("a", "open", 3, 1)]


def test_a_healthy_service_is_never_written(open_state, path):
    """Successes on a closed circuit read the file and leave it as it is."""
    breaker = Breaker(POLICY, open_state())
    for _ in range(10):
        breaker.report(breaker.admit(), Outcome.SUCCESS)
    with sqlite3.connect(path) as connection:
        rows = connection.execute("SELECT count(*) FROM circuit").fetchone()
    connection.close()

    assert rows == (0,)


def test_home_is_expanded(monkeypatch, tmp_path):
    """A path may begin with ~, as people write it in settings."""
    set_home(monkeypatch, tmp_path)
    SqliteState("~/circuits.sqlite", "a").close()

    assert (tmp_path / "circuits.sqlite").exists()


# ---------------------------------------------------------------- sharing


def test_what_one_learns_the_next_knows(open_state):
    """A circuit opened through one connection refuses at another, which is told of it as an event."""
    events = []
    one, other = Breaker(POLICY, open_state()), Breaker(POLICY, open_state(), emit=events.append)
    fail(one, 2)
    fail(other)

    assert not is_admitted(one)
    assert not is_admitted(other)
    assert [(event.before, event.after) for event in events] == [("closed", "open")]


def test_one_probe_for_all(open_state):
    """Of two connections one gets the probe; what it finds holds for both, and both tell it."""
    with FakeClock().installed() as time:
        events = []
        one, other = Breaker(POLICY, open_state()), Breaker(POLICY, open_state(), emit=events.append)
        fail(one, 3)
        time.advance(10)
        probe = one.admit()

        assert not is_admitted(other)
        one.report(probe, Outcome.SUCCESS)
        assert is_admitted(other)
        assert [event.after for event in events] == ["half-open", "closed"]


def test_late_results_of_another_process_move_nothing(open_state):
    """Epochs are in the file: a ticket from before a trip and a recovery its breaker never saw is void."""
    one, other = Breaker(POLICY, open_state()), Breaker(POLICY, open_state())
    late = [other.admit() for _ in range(5)]
    fail(one, 3)
    one.close()
    for ticket in late:
        other.report(ticket, Outcome.FAILURE)

    assert one.current == "closed"
    assert open_state().read().failures == 0


def test_addresses_are_apart(path):
    """One file holds many addresses, by one connection."""
    states = SqliteBreakers(path)
    breakers = BreakerRegistry(POLICY, states)
    fail(breakers.of("http://127.0.0.1:1"), 3)

    assert is_admitted(breakers.of("http://127.0.0.1:2"))
    assert breakers.current() == {"http://127.0.0.1:1": "open", "http://127.0.0.1:2": "closed"}
    states.close()


def test_addresses_of_long_ago_are_forgotten(open_state):
    """A port that nobody reported on for a week leaves the file: ports change at each restart."""
    with FakeClock().installed() as time:
        old, new = open_state("old"), open_state("new")
        Breaker(POLICY, old).force_open()
        time.advance(6 * 24 * 3600)
        Breaker(POLICY, new).force_open()

        assert old.read().state == "open"
        time.advance(2 * 24 * 3600)
        Breaker(POLICY, new).close()
        assert old.read() == Record()


def test_every_fact_survives_the_file(open_state):
    """What is written is read again unchanged, dates included."""
    breaker = Breaker(POLICY, open_state())
    fail(breaker, 3)
    record = open_state().read()

    assert (record.state, record.failures, record.epoch, record.trips) == ("open", 3, 1, 1)
    assert record.opened_at.tzinfo is not None
    assert abs(record.opened_at.timestamp() + 10 - record.opened_until) < 1


def test_threads_share_a_connection(path):
    """Increments by eight threads through pybreaker's storage are all there."""
    states = SqliteBreakers(path)
    storage = states("a").storage()
    threads = [
        threading.Thread(target=lambda: [storage.increment_counter() for _ in range(25)]) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert storage.counter == 200
    states.close()


def test_factory_is_its_path(path):
    """Pickled, and so sent to a worker, the factory is its path; closed, it opens again when used."""
    states = SqliteBreakers(path)
    copy = pickle.loads(pickle.dumps(states))
    Breaker(POLICY, states("a")).force_open()
    copy.close()

    assert copy("a").read().state == "open"
    copy.close()
    states.close()
    states.close()


def test_a_state_let_go_closes_its_file(path):
    """No connection is left behind, and no ResourceWarning, by a state that nobody closed."""
    state = SqliteState(path, "a")
    fail(Breaker(POLICY, state))
    del state
    gc.collect()

    assert [file.name for file in path.parent.iterdir()] == [path.name]  # the last one out tidies up


# ---------------------------------------------------------------- clocks


@pytest.mark.parametrize("step", [-3600.0, 3600.0])
def test_a_clock_that_steps_ends_the_wait(open_state, monkeypatch, step):
    """After a wall clock stepped, either way, the circuit is probed, not left open for an hour."""
    wall = [1_700_000_000.0]
    monkeypatch.setattr(clock, "now", lambda: wall[0])
    breaker = Breaker(POLICY, open_state())
    fail(breaker, 3)

    assert not is_admitted(breaker)
    wall[0] += step
    assert is_admitted(breaker)


def test_a_small_step_back_keeps_within_the_wait(open_state, monkeypatch):
    """A clock corrected by seconds never makes the wait longer than a wait is."""
    wall = [1_700_000_000.0]
    monkeypatch.setattr(clock, "now", lambda: wall[0])
    breaker = Breaker(POLICY, open_state())
    fail(breaker, 3)
    wall[0] += 9
    wall[0] -= 5
    with pytest.raises(CircuitOpen) as caught:
        breaker.admit()

    assert caught.value.retry_in == pytest.approx(6)


def test_a_claim_from_the_future_is_void(open_state, monkeypatch):
    """A prober that was killed before the clock stepped back blocks nobody."""
    wall = [1_700_000_000.0]
    monkeypatch.setattr(clock, "now", lambda: wall[0])
    breaker = Breaker(POLICY, open_state())
    fail(breaker, 3)
    wall[0] += 10
    breaker.admit()
    wall[0] -= 3600

    assert is_admitted(breaker)
