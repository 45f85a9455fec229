"""The child's half of a download, with Microsoft's catalog played."""

from __future__ import annotations

import queue
import threading

import pytest

from foundry_rest.runtime.child_downloads import DownloadWorker
from foundry_rest.runtime.protocol import Command, Progress


class PlayedModel:
    """Stand for Microsoft's model; `way` says how its download goes."""

    alias, id = "phi", "phi-generic-cpu:1"

    def __init__(self, way):
        self.way, self.is_cached = way, False
        self.variants = [self]

    def remove_from_cache(self):
        """Forget, or refuse as the library does."""
        self.way(None, None)
        self.is_cached = False

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
    """Return a function that gives one command and returns all progress of it."""

    def run(way, name="phi"):
        progress = queue.SimpleQueue()
        DownloadWorker(PlayedCatalog(way), progress.put).handle(Command(5, name))
        heard = [progress.get(timeout=2)]
        while not heard[-1].outcome:
            heard.append(progress.get(timeout=2))
        return heard

    return run


@pytest.mark.parametrize("name", ["phi", "phi-generic-cpu:1"])
def test_fetched(fetch, name):
    """Alias and id are found; per cents become fractions, never above 1, and none is told twice."""

    def way(report, _):
        for percent in (0.0, 10.0, 10.01, 10.2, 100.001, 100.0):
            report(percent)

    heard = fetch(way, name)

    assert [round(progress.fraction, 4) for progress in heard] == [0.1, 0.102, 1.0, 1.0]
    assert [progress.outcome for progress in heard] == ["", "", "", "cached"]


def test_unknown(fetch):
    """A name that is neither comes back with all there are."""
    known = (("phi", "phi-generic-cpu:1"),)
    assert fetch(lambda *_: None, "phy") == [Progress(5, outcome="unknown", known=known)]


@pytest.mark.parametrize(
    ("raised", "reason", "code"), [(OSError("disk"), "disk", 0), (ValueError(), "ValueError", 6)]
)
def test_failure(fetch, raised, reason, code):
    """Whatever is raised is told in its words, with Microsoft's code if it has one."""
    if code:
        raised.error_code = code

    def way(*_):
        raise raised

    assert fetch(way) == [Progress(5, outcome="failed", reason=reason, code=code)]


def test_success_that_is_none(fetch):
    """A download that ends well without the model on disk is a failure."""
    assert fetch(lambda *_: False)[0].outcome == "failed"


def test_stop():
    """A command without a name stops the one of its number; one that has ended already is no matter."""
    began, progress = threading.Event(), queue.SimpleQueue()

    def way(_, stop):
        began.set()
        assert stop.wait(2)
        raise InterruptedError("download cancelled")

    worker = DownloadWorker(PlayedCatalog(way), progress.put)
    worker.handle(Command(1, "phi"))
    assert began.wait(2)
    worker.handle(Command(2))
    worker.handle(Command(1))

    assert progress.get(timeout=2).reason == "download cancelled"
    worker.handle(Command(1))


@pytest.fixture
def forget():
    """Return a function that has one model forgotten, and returns what was told and the model."""

    def run(way, id_="phi-generic-cpu:1", *, cached=True):
        progress, catalog = queue.SimpleQueue(), PlayedCatalog(way)
        catalog.model.is_cached = cached
        DownloadWorker(catalog, progress.put).handle(Command(6, forget=id_))
        return progress.get(timeout=2), catalog.model

    return run


def test_forgotten(forget):
    """A model whose folder is gone is no longer taken for cached."""
    told, model = forget(lambda *_: None)

    assert (told, model.is_cached) == (Progress(6, outcome="forgotten"), False)


@pytest.mark.parametrize(("id_", "cached"), [("phi-generic-cpu:1", False), ("nobody:1", True)])
def test_nothing_to_forget(forget, id_, cached):
    """What is not there, or unknown, is forgotten already: the library is not asked."""

    def complain(*_):
        raise AssertionError

    assert forget(complain, id_, cached=cached)[0].outcome == "forgotten"


def test_forgetting_that_fails(forget):
    """The library's own words are told."""

    def refuse(*_):
        raise RuntimeError("cannot remove a loaded model")

    told, _ = forget(refuse)

    assert (told.outcome, told.reason) == ("failed", "cannot remove a loaded model")
