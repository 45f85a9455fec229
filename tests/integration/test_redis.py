"""Breaker state on a real Redis server: shared by machines, exact, forgotten in time, never in the way."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from support.breakers import fail, is_admitted
from support.redis_server import RedisServer

from foundry_rest.errors import CircuitOpen, ConfigError
from foundry_rest.resilience.breaker.breaker import Breaker, BreakerPolicy, Outcome
from foundry_rest.resilience.breaker.record import UNKNOWN
from foundry_rest.resilience.breaker.registry import BreakerRegistry
from foundry_rest.resilience.breaker.storage import RedisBreakers, RedisState
from foundry_rest.testing.fakes import FakeClock

redis = pytest.importorskip("redis", reason='needs redis: pip install "foundry_rest[redis]"')
pybreaker = pytest.importorskip("pybreaker")
if shutil.which("redis-server") is None:
    pytest.skip("needs redis-server: apt-get install redis-server", allow_module_level=True)

POLICY = BreakerPolicy(failures=3, reset_after=10, reset_max=60)
#: Seconds after which something that hangs fails its test.
LONG = 20.0


class Server(RedisServer):
    """A Redis server with clients of the state."""

    def client(self, **options):
        """Return a client as RedisState advises: short time-outs, no retries."""
        return redis.Redis(
            port=self.port,
            retry=redis.retry.Retry(redis.backoff.NoBackoff(), 0),
            socket_timeout=1,
            socket_connect_timeout=1,
            **options,
        )


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """One server for the tests that leave it alive."""
    server = Server(tmp_path_factory.mktemp("redis"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def client(running):
    """A client of an empty server."""
    with contextlib.closing(running.client()) as client:
        client.flushall()
        yield client


@pytest.fixture
def make(client, running):
    """Make breakers of one address as other machines would: each with a client of its own."""
    with contextlib.ExitStack() as stack:

        def build(policy=POLICY, emit=lambda event: None):
            own = stack.enter_context(contextlib.closing(running.client()))
            return Breaker(policy, RedisBreakers(own)("a"), "a", emit)

        yield build


def at_once(works):
    """Run functions in threads that start together; return their results."""
    start = threading.Barrier(len(works), timeout=LONG)
    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(lambda work: (start.wait(), work())[1], works))


def test_machines_share_a_circuit(make):
    """What one finds out refuses the other, with the time that is left; each tells its own observers."""
    events = []
    one, other = make(), make(emit=events.append)
    fail(one, 2)
    fail(other)

    with pytest.raises(CircuitOpen) as caught:
        one.admit()
    assert 9 < caught.value.retry_in <= 10
    assert not is_admitted(other)
    assert [event.after for event in events] == ["open"]


def test_one_of_twenty_machines_probes(make):
    """Of twenty clients that come at the same moment exactly one gets the probe."""
    policy = BreakerPolicy(failures=1, reset_after=0)
    breakers = [make(policy) for _ in range(20)]
    fail(breakers[0])
    admitted = at_once([lambda breaker=breaker: is_admitted(breaker) for breaker in breakers])

    assert sorted(admitted) == [False] * 19 + [True]
    assert breakers[0].current == "half-open"


def test_a_lost_probe_expires(make):
    """A machine that died while it probed blocks the others for its claim only."""
    policy = BreakerPolicy(failures=1, reset_after=0)
    one, other = make(policy), make(policy)
    fail(one)
    one.admit()
    refused = not is_admitted(other)
    time.sleep(1.1)  # the server keeps the time: it cannot be told to hurry

    assert refused
    assert other.admit().probe == 2


def test_a_probe_closes_for_all(make):
    """A probe that succeeds closes the circuit everywhere; a neutral one gives the probe to the next."""
    policy = BreakerPolicy(failures=1, reset_after=0)
    one, other = make(policy), make(policy)
    fail(one)
    one.report(one.admit(), Outcome.NEUTRAL)
    other.report(other.admit(), Outcome.SUCCESS)

    assert (one.current, other.current) == ("closed", "closed")
    assert not one.admit().probe


def test_no_report_is_lost(make, client):
    """Failures that several clients report at once are all counted, and trip once."""
    breakers = [make(BreakerPolicy(failures=1000)) for _ in range(4)]
    at_once([lambda breaker=breaker: fail(breaker, 50) for breaker in breakers])
    tripping = make(BreakerPolicy(failures=205))
    tickets = [tripping.admit() for _ in range(20)]
    at_once([lambda t=ticket: tripping.report(t, Outcome.FAILURE) for ticket in tickets])
    record = RedisBreakers(client)("a").read()

    assert (record.failures, record.state, record.trips, record.epoch) == (205, "open", 1, 1)


def test_late_results_move_nothing(make, client):
    """A ticket from before a trip that another machine made changes no key."""
    one, other = make(), make()
    late = [other.admit() for _ in range(5)]
    fail(one, 3)
    before = {key: client.get(key) for key in client.keys("*")}
    for ticket in late:
        other.report(ticket, Outcome.FAILURE)

    assert {key: client.get(key) for key in client.keys("*")} == before


def test_every_key_expires(make, client):
    """A healthy address leaves no key at all, any other only keys that the server forgets."""
    breaker = make()
    for _ in range(3):
        breaker.report(breaker.admit(), Outcome.SUCCESS)
    healthy = client.keys()
    fail(breaker, 3)
    for key in client.keys("*"):
        client.expire(key, 9)
    breaker.close()
    keys = client.keys()

    assert healthy == []
    assert len(keys) == 5
    assert all(key.startswith(b"foundry_rest:{a}:") for key in keys)
    assert all(9 < client.ttl(key) <= 7 * 24 * 3600 for key in keys)


def test_pybreaker_finds_its_own_keys(make, client):
    """A storage of pybreaker's own, on the same namespace, reads what the breaker wrote."""
    fail(make(), 3)
    storage = pybreaker.CircuitRedisStorage("closed", client, namespace="foundry_rest:{a}")

    assert (storage.state, storage.counter) == ("open", 3)
    assert abs(storage.opened_at.timestamp() - time.time()) < LONG


def test_addresses_are_apart(client):
    """One client holds the circuits of many addresses."""
    breakers = BreakerRegistry(POLICY, RedisBreakers(client, "mine"))
    fail(breakers.of("a"), 3)

    assert is_admitted(breakers.of("b"))
    assert breakers.current() == {"a": "open", "b": "closed"}
    assert {key.split(b":")[0] for key in client.keys("*")} == {b"mine"}


def test_a_client_that_decodes_is_refused(running):
    """decode_responses=True, which pybreaker's storage trips over later, is a ConfigError."""
    with (
        contextlib.closing(running.client(decode_responses=True)) as client,
        pytest.raises(ConfigError, match="answers in bytes") as caught,
    ):
        RedisState(client, "a")

    assert "without decode_responses" in caught.value.advice


def test_a_server_that_is_not_there_is_no_error(tmp_path, caplog):
    """Redis down at construction and ever after: calls go on as if closed, with one warning."""
    with FakeClock().installed() as clock, contextlib.closing(Server(tmp_path).client()) as client:
        state = RedisBreakers(client)("a")
        breaker = Breaker(POLICY, state)
        for _ in range(5):
            fail(breaker, 5)
            clock.advance(6)

        assert is_admitted(breaker)
        assert state.read() is UNKNOWN
        assert state.now() == float("inf")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "Redis is out of reach" in caplog.text


def test_a_server_killed_in_between(tmp_path, caplog, request):
    """Killed while the circuit is open, calls go on; started again, the state is used again."""
    server = Server(tmp_path)
    request.addfinalizer(server.kill)
    server.start()
    with FakeClock().installed() as clock, contextlib.closing(server.client()) as client:
        breaker = Breaker(POLICY, RedisBreakers(client)("a"))
        probing = breaker.admit()
        fail(breaker, 3)
        server.kill()
        open_before = [is_admitted(breaker), is_admitted(breaker)]
        breaker.report(probing, Outcome.FAILURE)
        breaker.close()
        server.start()
        clock.advance(6)
        fail(breaker, 3)

        assert open_before == [True, True]
        assert not is_admitted(breaker)
        assert len(caplog.records) == 1


@pytest.mark.parametrize("key", ["state", "fail_counter", "success_counter", "opened_at", "door"])
@pytest.mark.parametrize("value", ["ajar", "[]"])
def test_keys_that_nobody_wrote(client, caplog, key, value):
    """Values edited by hand into nonsense are a warning and a closed circuit, no exception."""
    state = RedisBreakers(client)("a")
    client.set(f"foundry_rest:{{a}}:{key}" if key == "door" else f"foundry_rest:{{a}}:pybreaker:{key}", value)

    assert state.read() is UNKNOWN
    assert state.change(lambda record, now: 1) is None
    assert "foundry_rest:{a} holds" in caplog.text


def test_what_is_not_changed_is_not_written(client):
    """A decision that leaves the record alone sends nothing to be kept."""
    state = RedisBreakers(client)("a")

    assert state.change(lambda record, now: (record.state, now > 1e9)) == ("closed", True)
    assert client.keys() == []
