"""Every state that a service may be in, as ``check`` and ``doctor`` have to tell it: one row each."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field

import psutil
import pytest

from foundry_rest.ops.plugin_format import State
from foundry_rest.services.discovery import port_holder
from foundry_rest.testing import (
    DEMO_MODEL,
    FaultServer,
    dead_address,
    deaf_address,
    dribble,
    json_answer,
    json_error,
)
from support.discovery import register
from support.platforms import posix
from support.waits import until

#: A process id that no system gives.
NOBODY = 2**22 + 5
#: What a proxy is set by.
PROXIES = ("http_proxy", "HTTP_PROXY", "ALL_PROXY")
SERVICE = """
import sys
from foundry_rest.testing import FaultServer
with FaultServer() as server:
    print(server.url, flush=True)
    sys.stdin.readline()
"""

Scene = Callable[[pytest.MonkeyPatch], AbstractContextManager["str | None"]]


@contextmanager
def service_process():
    """Run a service in a process of its own; yield its address and its id."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVICE], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield process.stdout.readline().strip(), process.pid
    finally:
        process.kill()
        process.communicate()


def stop(pid):
    """Stop a process by a signal; return when it is stopped."""
    os.kill(pid, signal.SIGSTOP)
    until(lambda: psutil.Process(pid).status() == psutil.STATUS_STOPPED)


@contextmanager
def healthy(patch) -> Iterator[str]:
    """Serve a 2.x with one model in memory."""
    with FaultServer() as server:
        yield server.url


@contextmanager
def no_service(patch) -> Iterator[str]:
    """Nobody listens at the address."""
    with dead_address() as url:
        yield url


@contextmanager
def wrong_port(patch) -> Iterator[str]:
    """Something else listens there, which answers in its own language."""
    with FaultServer() as server:
        server.otherwise(json_error(404, "Not Found"))
        yield server.url


@contextmanager
def captive_portal(patch) -> Iterator[str]:
    """Every question is answered by a page."""
    with FaultServer() as server:
        server.otherwise(json_answer("<html><body>Log in</body></html>"))
        yield server.url


@contextmanager
def stopped(patch) -> Iterator[str]:
    """A process that is stopped accepts connections and says nothing."""
    with service_process() as (url, pid):
        stop(pid)
        yield url


@contextmanager
def proxy_in_the_way(patch) -> Iterator[str]:
    """The environment sends everything to a proxy where nobody listens."""
    for name in PROXIES:
        patch.setenv(name, "http://127.0.0.1:9")
    with FaultServer() as server:
        yield server.url


@contextmanager
def not_loaded(patch) -> Iterator[str]:
    """The model is on disk, but not in memory."""
    with FaultServer(loaded=[]) as server:
        yield server.url


@contextmanager
def https_on_http(patch) -> Iterator[str]:
    """The service speaks plain http, and is asked by https."""
    with FaultServer() as server:
        yield server.url.replace("http://", "https://")


@contextmanager
def https_on_silence(patch) -> Iterator[str]:
    """Nobody answers the TLS handshake."""
    with deaf_address() as url:
        yield url.replace("http://", "https://")


@contextmanager
def dribbling(patch) -> Iterator[str]:
    """The status comes a byte now and then."""
    with FaultServer() as server:
        server.on("GET", "/status", dribble(json_answer({"a": "b" * 500}), 0.02))
        yield server.url


@contextmanager
def stale_registry(patch) -> Iterator[None]:
    """A file names a process that has ended."""
    with dead_address() as url:
        register(url, pid=NOBODY)
        yield None


@contextmanager
def another_users(patch) -> Iterator[None]:
    """A service was found whose port another user's process holds."""
    patch.setattr(port_holder, "pids_at", lambda url: {os.getpid()})  # Wine tells nobody's
    patch.setattr(port_holder, "_is_this_users", lambda process: False)
    with FaultServer() as server:
        register(server.url)
        yield None


@dataclass(frozen=True)
class Predicament:
    """One state of a service, and what is told of it.

    Attributes:
        scene: Sets it up; yields the address that is given, ``None`` for one that is looked for.
        state: The verdict of ``check``.
        said: What ``check`` says.
        model: Model that must be loaded.
        severities: The worst severity of findings of ``doctor``, by their id.
        code: Exit code of ``doctor``.
        strict: Its exit code with ``--strict``.
        advice: What ``doctor`` advises.
        patience: Seconds that are given: few where nobody answers.
        marks: Where it cannot be.
    """

    scene: Scene
    state: State
    said: str
    model: str | None = None
    severities: dict[str, str] = field(default_factory=dict)
    code: int = 1
    strict: int = 1
    advice: str = ""
    patience: float = 20.0
    marks: tuple[pytest.MarkDecorator, ...] = ()


DOWN = {"service.health": "error"}
PREDICAMENTS = {
    "healthy": Predicament(
        healthy, State.OK, "1 model loaded", DEMO_MODEL, {"service.health": "ok", "models.name": "ok"}, 0, 0
    ),
    "no service": Predicament(
        no_service, State.CRITICAL, "connection refused", severities=DOWN, advice="foundry-rest serve"
    ),
    "wrong port": Predicament(
        wrong_port,
        State.CRITICAL,
        "no Foundry Local service",
        severities=DOWN,
        advice="Look at the address",
        patience=1.5,
    ),
    "captive portal": Predicament(
        captive_portal,
        State.CRITICAL,
        "http://127.0.0.1",
        severities=DOWN,
        advice="Look at the address",
        patience=1.5,
    ),
    "stopped": Predicament(
        stopped,
        State.CRITICAL,
        "silent",
        severities={"service.health": "error", "service.process": "error"},
        advice="kill -CONT",
        patience=1.0,
        marks=(posix,),
    ),
    "proxy in the way": Predicament(
        proxy_in_the_way,
        State.OK,
        "1 model loaded",
        severities={"service.health": "ok", "connectivity.proxies": "note"},
        code=0,
        strict=0,
        advice="NO_PROXY",
    ),
    "model not loaded": Predicament(
        not_loaded,
        State.WARNING,
        "not loaded",
        DEMO_MODEL,
        {"service.health": "ok", "models.name": "warning"},
        code=0,
        advice=f"foundry-rest load {DEMO_MODEL}",
    ),
    "model unknown": Predicament(
        healthy,
        State.CRITICAL,
        "'nope'",
        "nope",
        {"service.health": "ok", "models.name": "error"},
        advice="--model",
    ),
    "https on http": Predicament(
        https_on_http,
        State.CRITICAL,
        "https://",
        severities={"service.health": "error", "connectivity.scheme": "error"},
        advice="Give http://127.0.0.1",
        patience=1.5,
    ),
    "https on silence": Predicament(
        https_on_silence,
        State.CRITICAL,
        "https://",
        severities=DOWN,
        advice="--timeout",
        patience=1.0,
    ),
    "stale registry": Predicament(
        stale_registry,
        State.CRITICAL,
        "no Foundry Local service was found",
        severities={"service.health": "error", "service.registry": "warning"},
        advice="foundry-rest serve",
    ),
    "another user's service": Predicament(
        another_users,
        State.CRITICAL,
        "another user",
        severities={"service.health": "error", "service.registry": "warning"},
        advice="FOUNDRY_ENDPOINT",
    ),
    "status that dribbles": Predicament(
        dribbling,
        State.CRITICAL,
        "silent",
        severities=DOWN,
        advice="slow",
        patience=1.0,
    ),
}
EACH = [pytest.param(each, id=name, marks=each.marks) for name, each in PREDICAMENTS.items()]


@contextmanager
def in_predicament(each: Predicament, patch) -> Iterator[str | None]:
    """Set a row up; yield the address that is given."""
    with ExitStack() as stack:
        yield stack.enter_context(each.scene(patch))
