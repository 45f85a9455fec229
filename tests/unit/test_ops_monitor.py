"""The monitor: what it keeps, whom it tells, and how it ends."""

from __future__ import annotations

import json
import logging
import os
import threading
import time

import pytest
from support.platforms import ports
from support.servers import CHAT

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError
from foundry_rest.ops.check import CheckSettings
from foundry_rest.ops.load import ProcessorTime, TokenRate
from foundry_rest.ops.monitor import Monitor
from foundry_rest.testing import DEMO_MODEL, FaultServer, json_error, stall

#: Seconds within which anything happens, on a busy machine.
LATEST = 20
SOON = {"interval": 0.01, "settings": CheckSettings(timeout=LATEST)}


@pytest.fixture
def client(server):
    """Ask the server once, as a monitor does."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, breaker=None) as made:
        yield made


class Told:
    """What a monitor told, and a wait for it."""

    def __init__(self):
        self.items = []
        self._more = threading.Condition()

    def __call__(self, item):
        """Keep an item."""
        with self._more:
            self.items.append(item)
            self._more.notify_all()

    def wait(self, count):
        """Wait for so many items and return them."""
        with self._more:
            assert self._more.wait_for(lambda: len(self.items) >= count, LATEST)
            return self.items[:count]


def test_a_service_that_goes_and_comes(server, client):
    """Each change is told once, with its reason, however many checks found the same."""
    changes, samples = Told(), Told()
    with Monitor(client, on_change=changes, on_sample=samples, **SOON) as monitor:
        changes.wait(1)
        server.otherwise(json_error(500, "broken"))
        changes.wait(2)
        server.otherwise(server.healthy)
        changes.wait(3)
        samples.wait(len(samples.items) + 5)
        report = monitor.report()
    assert [(each.before, each.after) for each in changes.items] == [
        ("", "up"),
        ("up", "down"),
        ("down", "up"),
    ]
    assert "HTTP 500" in changes.items[1].text or "broken" in changes.items[1].text
    assert report.state == "up"
    assert report.changes == tuple(changes.items)
    assert report.since == changes.items[-1].at
    assert (report.url, report.generation) == (server.url, "2.x")


def test_figures(client):
    """A sample has what the service tells of itself."""
    samples = Told()
    with Monitor(client, on_sample=samples, **SOON):
        found = samples.wait(3)[-1]
    assert found.observed == "up"
    assert 0 < found.latency < LATEST
    assert found.models == (DEMO_MODEL,)
    assert found.tokens_per_second is None


@ports
def test_figures_of_the_process(client):
    """Memory and processor time are those of the process that listens there."""
    samples = Told()
    with Monitor(client, on_sample=samples, **SOON):
        found = samples.wait(3)[-1]
    assert found.memory > 1_000_000
    assert found.cpu >= 0


def test_problems(server, client):
    """What was wrong is kept once, with how often it was found."""
    server.otherwise(json_error(500, "broken"))
    samples = Told()
    with Monitor(client, on_sample=samples, **SOON) as monitor:
        samples.wait(4)
        report = monitor.report()
    (problem,) = report.problems
    assert problem.count >= 4
    assert report.samples[0].latency is None


def test_constant_memory(client):
    """Only the latest figures are kept."""
    samples = Told()
    with Monitor(client, on_sample=samples, kept=3, **SOON) as monitor:
        samples.wait(6)
        report = monitor.report()
    assert len(report.samples) == 3
    assert report.checks >= 6


def test_a_report_is_json(client):
    """It can be sent to a page."""
    samples = Told()
    with Monitor(client, on_sample=samples, **SOON) as monitor:
        samples.wait(2)
        report = monitor.report()
    assert json.loads(report.to_json())["samples"][0]["observed"] == "up"


def test_stop_ends_a_check(server, client):
    """Whoever stops it does not wait for a service that is silent, and is told nothing of the end."""
    server.otherwise(stall())
    samples = Told()
    monitor = Monitor(client, interval=1, settings=CheckSettings(timeout=LATEST), on_sample=samples)
    monitor.start()
    while not server.requests:
        time.sleep(0.005)
    began = time.monotonic()
    monitor.stop()
    assert time.monotonic() - began < LATEST / 2
    assert samples.items == []
    assert monitor.report().state == ""


def test_a_callback_that_fails(client, caplog):
    """It is logged and changes nothing."""
    samples = Told()

    def fail(_):
        raise ZeroDivisionError

    with caplog.at_level(logging.ERROR), Monitor(client, on_change=fail, on_sample=samples, **SOON):
        samples.wait(3)
    assert "callback failed" in caplog.text


def test_it_is_stopped_from_its_own_thread(client):
    """A callback may end it."""
    ended = threading.Event()
    monitor = Monitor(client, on_sample=lambda _: (monitor.stop(), ended.set()), **SOON)
    monitor.start()
    assert ended.wait(LATEST)
    monitor.stop()
    assert monitor.report().checks == 1


@pytest.mark.parametrize(
    "wrong", [{"interval": 0}, {"rise": 0}, {"fall": 1.5}, {"kept": 1}, {"interval": "5"}]
)
def test_wrong_values(client, wrong):
    """They are refused before anything is asked."""
    with pytest.raises(ConfigError):
        Monitor(client, **wrong)


def test_it_starts_once(client):
    """A second start would check twice as often."""
    with Monitor(client, **SOON) as monitor, pytest.raises(ConfigError, match="before"):
        monitor.start()


def test_the_rate_of_tokens(server, client):
    """It is that of the calls since the last look; none without calls."""
    rate = TokenRate(client)
    assert rate.since_last() is None
    client.complete("Hi")
    assert rate.since_last() > 0
    assert rate.since_last() is None
    assert server.asked(CHAT)


def test_processor_time(time):
    """It is the share since the last look at the same process."""
    used = ProcessorTime()
    assert used.since_last(os.getpid()) is None
    time.advance(1)
    assert 0 <= used.since_last(os.getpid()) < 5
    assert used.since_last(None) is None
    assert used.since_last(os.getpid()) is None
    assert used.since_last(2**22 + 7) is None


def test_a_dead_service_is_down_at_once():
    """The first check counts by itself."""
    with FaultServer() as gone:
        url = gone.url
    changes = Told()
    with (
        FoundryAPIClient(url, retries=0, breaker=None) as client,
        Monitor(client, on_change=changes, **SOON),
    ):
        (change,) = changes.wait(1)
    assert (change.before, change.after) == ("", "down")
    assert "refused" in change.text
