"""Trouble with the file of breaker state: told at construction, never in the way of a call after that."""

from __future__ import annotations

import logging
import re
import sqlite3
import stat

import pytest
from support.breakers import fail, is_admitted
from support.platforms import posix

from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy
from foundry_rest.resilience.breaker.record import UNKNOWN, Record
from foundry_rest.resilience.breaker.storage import SqliteBreakers, SqliteState

POLICY = BreakerPolicy(failures=3, reset_after=10, reset_max=60)


@pytest.mark.parametrize("damage", ["directory", "below a file", "no database", "newer", "cut"])
def test_an_unusable_path_is_a_config_error(tmp_path, damage):
    """At construction the caller is told what is wrong with the path and what to do."""
    path = tmp_path / "circuits.sqlite"
    if damage == "directory":
        path.mkdir()
    elif damage == "below a file":
        path.write_text("")
        path /= "circuits.sqlite"
    elif damage == "no database":
        path.write_text("This is a letter to my landlord about the heating. " * 50)
    else:
        SqliteState(path, "a").close()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 2")
        connection.close()
        if damage == "cut":
            path.write_bytes(path.read_bytes()[:5000])

    with pytest.raises(ConfigError, match=re.escape(f"cannot be kept in {path}")) as caught:
        SqliteBreakers(path)
    assert "local disk" in caught.value.advice


def damage(path):
    """Write over the whole file, as a failing disk would."""
    for file in path.parent.iterdir():
        file.write_bytes(b"\xff" * file.stat().st_size)


@posix
def test_a_damaged_file_keeps_no_call(time, path, open_state, caplog):
    """Calls go on as if closed, with one warning; a file put right is used again after a pause."""
    state = open_state()
    breaker = Breaker(POLICY, state)
    fail(breaker, 3)
    damage(path)
    for _ in range(10):
        time.advance(3)
        fail(breaker, 3)

    assert is_admitted(breaker)
    assert breaker.current == "closed"
    assert state.storage().state == "closed"
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert str(path) in caplog.text
    for file in path.parent.iterdir():
        file.unlink()
    time.advance(6)
    fail(breaker, 3)
    assert not is_admitted(breaker)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_each_outage_is_told(time, path, open_state, caplog):
    """A second outage after a recovery is a second warning."""
    state = open_state()
    with sqlite3.connect(path, isolation_level=None) as blocker:
        for _ in range(2):
            blocker.execute("BEGIN IMMEDIATE")
            for _ in range(3):
                state.change(lambda record, now: setattr(record, "trips", 7))
                time.advance(6)
            blocker.execute("COMMIT")
            state.read()
    blocker.close()

    assert [record.getMessage().count("database is locked") for record in caplog.records] == [1, 1]


def test_a_locked_file_keeps_readers_reading(time, path, open_state):
    """Somebody else's long transaction delays a report by the patience, and admission not at all."""
    breaker = Breaker(POLICY, open_state())
    with sqlite3.connect(path, isolation_level=None) as blocker:
        blocker.execute("BEGIN IMMEDIATE")
        admitted = [is_admitted(breaker) for _ in range(3)]
        fail(breaker, 9)
        blocker.execute("ROLLBACK")
    blocker.close()

    assert all(admitted)
    assert breaker.current == "closed"


@pytest.mark.parametrize("change", ["state = 'ajar'", "epoch = 'x'", "opened_at = 'noon'"])
def test_a_row_that_nobody_wrote_counts_as_damage(time, path, open_state, caplog, change):
    """Values edited by hand into nonsense are a warning and a closed circuit, no exception."""
    state = open_state()
    fail(Breaker(POLICY, state), 3)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE circuit SET {change}")
    connection.close()

    assert state.read() is UNKNOWN
    assert state.change(lambda record, now: 1) is None
    assert "DataError" in caplog.text


def test_ctrl_c_leaves_no_transaction_open(open_state):
    """An interrupt in the middle of a change undoes it and locks nobody out."""

    def interrupted(record, now):
        record.failures = 99
        raise KeyboardInterrupt

    state = open_state()
    with pytest.raises(KeyboardInterrupt):
        state.change(interrupted)

    assert open_state().change(lambda record, now: record.failures) == 0


def test_a_slow_failure_is_paid_for_rarely(time, open_state, caplog):
    """A store that took long to fail is left alone nine times as long: calls lose a tenth at most."""
    state = open_state()

    def slow(record, now):
        time.advance(2)
        raise sqlite3.OperationalError("disk I/O error")

    state.change(slow)
    with caplog.at_level(logging.WARNING, "foundry_rest"):
        time.advance(17.9)

        assert state.read() is UNKNOWN
        time.advance(0.2)
        assert state.read() == Record()
