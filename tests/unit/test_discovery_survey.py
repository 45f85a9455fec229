"""Every place of discovery is looked at, and nothing is started."""

from __future__ import annotations

import os

import pytest
from support import predicaments
from support.discovery import register
from support.platforms import posix
from support.predicaments import NOBODY

from foundry_rest.services.discovery.candidates import Candidate
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.discovery.survey import COMMANDS, SOURCES, looks, unasked
from foundry_rest.testing import FaultServer, dead_address
from foundry_rest.transport.call import Options


def places(source):
    """Return what one source names, and what answers there."""
    return [look() for candidate in SOURCES[source](Foundry()) for look in looks(candidate, Options())]


def test_nothing_there():
    """Each source tells that it has nothing."""
    assert [place.note for source in SOURCES for place in places(source)] == ["none", "none"]
    assert not any(place.is_usable or place.url for source in SOURCES for place in places(source))


def test_every_entry_is_looked_at():
    """Also those after the first that answers."""
    with FaultServer() as server, dead_address() as dead:
        register(server.url)
        register(dead, pid=NOBODY)
        found = {place.url: place for place in places("registry")}
        assert (found[server.url].generation, found[server.url].is_usable) == ("2.x", True)
        assert (found[dead].generation, found[dead].is_usable, found[dead].pid) == ("", False, NOBODY)


def test_another_users(monkeypatch):
    """A service that answers, and must not be used, is told as such."""
    with predicaments.another_users(monkeypatch):
        (place,) = places("registry")
    assert place.generation == "2.x"
    assert "another user" in place.refusal
    assert not place.is_usable


def test_nobody_is_asked():
    """Without a question an address is told with the process that its file names."""
    with FaultServer() as server:
        register(server.url)
        (candidate,) = SOURCES["registry"](Foundry())
        (place,) = unasked(candidate)
        assert not server.requests
    assert (place.url, place.pid, place.is_usable) == (server.url, os.getpid(), False)
    (empty,) = unasked(Candidate("x", "none"))
    assert (empty.url, empty.note) == ("", "none")


@pytest.mark.parametrize("source", SOURCES)
def test_nothing_is_started(source, monkeypatch):
    """A survey leaves the command's start alone."""
    monkeypatch.setattr(Foundry, "start", lambda *arguments: pytest.fail("it was started"))
    assert bool(places(source)) is (source not in COMMANDS)


@posix
def test_the_command(monkeypatch, tmp_path):
    """Each subcommand is asked, and who answers at what it prints."""
    with FaultServer() as server:
        command = tmp_path / "foundry"
        command.write_text(f'#!/bin/sh\necho "$1: {server.url}"\n', encoding="utf-8")
        command.chmod(0o755)
        monkeypatch.setenv("PATH", os.pathsep.join((str(tmp_path), os.environ["PATH"])))
        found = [place for source in COMMANDS for place in places(source)]
    assert [place.url for place in found] == [server.url] * 2
    assert all(place.is_usable for place in found)
