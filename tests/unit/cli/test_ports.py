"""The port of `serve`: whether it is free, and who holds it."""

from __future__ import annotations

import os
import socket

import psutil
import pytest
from support.discovery import register
from support.platforms import ports as shows_ports

from foundry_rest.cli.ports import holder_of, is_free


@pytest.fixture
def listener():
    """Return a socket that listens."""
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0", "*"])
def test_a_port_that_is_taken(listener, host):
    """It is, for each spelling of a host that the listener would be heard by."""
    assert not is_free(host, listener.getsockname()[1])


def test_a_port_that_was_just_given_up(listener):
    """It is free at once, although what remains of its connections lingers."""
    port = listener.getsockname()[1]
    with socket.create_connection(("127.0.0.1", port)), listener.accept()[0] as accepted:
        accepted.shutdown(socket.SHUT_RDWR)
    listener.close()

    assert is_free("127.0.0.1", port)


def test_a_host_that_cannot_be_used():
    """It is none of this question: the runtime says what is wrong with it."""
    assert is_free("no-such-host.invalid", 80)


def address(listener):
    """Return the base URL of a socket."""
    return f"http://127.0.0.1:{listener.getsockname()[1]}"


@shows_ports
def test_a_stranger(listener):
    """A program that nobody registered is told by its process."""
    assert (
        holder_of(address(listener)) == f"another program (pid {os.getpid()}), which hears what is sent there"
    )


def test_another_serve(listener):
    """A service that is registered for the address is told as such."""
    register(address(listener))
    assert holder_of(address(listener)) == f"another foundry-rest serve (pid {os.getpid()})"


@shows_ports
def test_an_entry_that_is_stale(listener):
    """The entry of a service that has ended does not speak for whoever took its port."""
    register(address(listener), pid=1)
    assert holder_of(address(listener)).startswith("another program")


@pytest.mark.parametrize("is_registered", [True, False])
def test_a_system_that_shows_no_processes(listener, monkeypatch, is_registered):
    """The registry is believed where nothing contradicts it."""

    def refuse(kind):
        raise psutil.AccessDenied

    monkeypatch.setattr(psutil, "net_connections", refuse)
    if is_registered:
        register(address(listener))
    assert holder_of(address(listener)).startswith(
        "another foundry-rest serve" if is_registered else "another program, which hears"
    )
