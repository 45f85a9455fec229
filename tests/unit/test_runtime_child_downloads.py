"""The child's half of a download, with Microsoft's catalog played."""

from __future__ import annotations

import queue
import threading

import pytest

from foundry_rest.runtime.child_downloads import Fetcher
from foundry_rest.runtime.protocol import News, Order


class PlayedModel:
    """Stand for Microsoft's model; `way` says how its download goes."""

    alias, id = "phi", "phi-generic-cpu:1"

    def __init__(self, way):
        self.way, self.is_cached = way, False
        self.variants = [self]

    def download(self, report, stop):
        """Go that way; it is on disk afterwards unless it says otherwise."""
        self.is_cached = self.way(report, stop) is not False


class PlayedCatalog:
    """Stand for Microsoft's catalog: aliases here, ids there."""

    def __init__(self, way):
        self.model = PlayedModel(way)

    def get_model(self, name):
        """Find by alias."""
        return self.model if name == self.model.alias else None

    def get_model_variant(self, name):
        """Find by id."""
        return self.model if name == self.model.id else None

    def list_models(self):
        """List."""
        return [self.model]


@pytest.fixture
def fetch():
    """Return a function that gives one order and returns all news of it."""

    def order(way, name="phi"):
        news = queue.SimpleQueue()
        Fetcher(PlayedCatalog(way), news.put).take(Order(5, name))
        heard = [news.get(timeout=2)]
        while not heard[-1].outcome:
            heard.append(news.get(timeout=2))
        return heard

    return order


@pytest.mark.parametrize("name", ["phi", "phi-generic-cpu:1"])
def test_fetched(fetch, name):
    """Alias and id are found; per cents become fractions, never above 1, and none is told twice."""

    def way(report, _):
        for percent in (0.0, 10.0, 10.01, 10.2, 100.001, 100.0):
            report(percent)

    heard = fetch(way, name)

    assert [round(news.fraction, 4) for news in heard] == [0.1, 0.102, 1.0, 1.0]
    assert [news.outcome for news in heard] == ["", "", "", "cached"]


def test_unknown(fetch):
    """A name that is neither comes back with all there are."""
    known = (("phi", "phi-generic-cpu:1"),)
    assert fetch(lambda *_: None, "phy") == [News(5, outcome="unknown", known=known)]


@pytest.mark.parametrize(
    ("raised", "reason", "code"), [(OSError("disk"), "disk", 0), (ValueError(), "ValueError", 6)]
)
def test_failure(fetch, raised, reason, code):
    """Whatever is raised is told in its words, with Microsoft's code if it has one."""
    if code:
        raised.error_code = code

    def way(*_):
        raise raised

    assert fetch(way) == [News(5, outcome="failed", reason=reason, code=code)]


def test_success_that_is_none(fetch):
    """A download that ends well without the model on disk is a failure."""
    assert fetch(lambda *_: False)[0].outcome == "failed"


def test_stop():
    """An order without a name stops the one of its number; one that has ended already is no matter."""
    began, news = threading.Event(), queue.SimpleQueue()

    def way(_, stop):
        began.set()
        assert stop.wait(2)
        raise InterruptedError("download cancelled")

    fetcher = Fetcher(PlayedCatalog(way), news.put)
    fetcher.take(Order(1, "phi"))
    assert began.wait(2)
    fetcher.take(Order(2))
    fetcher.take(Order(1))

    assert news.get(timeout=2).reason == "download cancelled"
    fetcher.take(Order(1))
