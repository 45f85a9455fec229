"""The real runtime with the demo model, clients on it, and the command; skipped where the SDK is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from foundry_rest import FoundryAPIClient, LoadFailed, clock
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.testing import FaultServer

ROOT = Path(__file__).parents[2]
MISSING = sys.version_info < (3, 11) or importlib.util.find_spec("foundry_local_sdk") is None
ALIAS = "demo-chat"
#: Seconds that any command or server of these tests may take; far above what they need.
PATIENCE = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every test that needs the runtime, where there is none."""
    reason = 'needs Python 3.11 and pip install "foundry_rest[runtime]"'
    for item in items:
        if MISSING and item.get_closest_marker("runtime"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _nothing_uploaded() -> Iterator[None]:
    """Keep the native library's telemetry on this machine: it uploads nothing in what it takes for CI."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "true")
        yield


@pytest.fixture(scope="session")
def pairs() -> list[dict[str, str]]:
    """Return what the demo model was taught: question and answer."""
    return json.loads((ROOT / "tools" / "demo_model" / "pairs.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def answers(pairs: list[dict[str, str]]) -> dict[str, str]:
    """Return the exact answer by question."""
    return {pair["question"]: pair["answer"] for pair in pairs}


@pytest.fixture(scope="session")
def runtime() -> Iterator[LocalRuntime]:
    """Return one runtime for all tests that leave it as they find it, its model in memory."""
    with LocalRuntime(demo_model_dir()) as started:
        with FoundryAPIClient(started.url) as client:
            client.models.load(ALIAS)
        yield started


@pytest.fixture
def client(runtime: LocalRuntime) -> Iterator[FoundryAPIClient]:
    """Return a client on the shared runtime that knows nothing yet."""
    with FoundryAPIClient(runtime.url, model=ALIAS) as made:
        yield made


@pytest.fixture
def own_runtime() -> Iterator[LocalRuntime]:
    """Return a runtime of the test's own, to be killed and unloaded; nothing is loaded."""
    with LocalRuntime(demo_model_dir()) as started:
        yield started


@pytest.fixture
def own_client(own_runtime: LocalRuntime) -> Iterator[FoundryAPIClient]:
    """Return a client on the test's own runtime."""
    with FoundryAPIClient(own_runtime.url, model=ALIAS) as made:
        yield made


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    """Return a service that fails as told."""
    with FaultServer() as server:
        yield server


@pytest.fixture(scope="session")
def within() -> Callable[[float, Callable[[], object]], bool]:
    """Return a function that waits for a condition, and tells whether it came to hold in time."""

    def wait(seconds: float, condition: Callable[[], object]) -> bool:
        limit = clock.monotonic() + seconds
        while not condition() and clock.monotonic() < limit:
            clock.sleep(0.01)
        return bool(condition())

    return wait


@pytest.fixture(scope="session")
def is_gone() -> Callable[[int], bool]:
    """Return a function that tells whether a process has ended; one that nobody waited for has."""

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return gone


@pytest.fixture(scope="session")
def unload(within: Callable[[float, Callable[[], object]], bool]) -> Callable[[FoundryAPIClient, str], None]:
    """Return a function that unloads; a session lives on for milliseconds after its answer's last byte."""

    def drop(client: FoundryAPIClient, name: str = ALIAS) -> None:
        assert within(2, lambda: _unloads(client, name))

    return drop


def _unloads(client: FoundryAPIClient, name: str) -> bool:
    try:
        client.models.unload(name)
    except LoadFailed:
        return False
    return True


def _with_ctrl_c() -> None:
    """Take SIGINT as a terminal's job does: a background job ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """Run ``foundry-rest`` as a process of its own, with the test's environment."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *arguments: str, stdin: str | bytes = b"", cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; return its code, what it printed, and its notes."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.line(*arguments),
            input=given,
            capture_output=True,
            env=self.environ(**environ),
            timeout=PATIENCE,
            check=False,
            cwd=cwd,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        """Start a command; it is killed at the end of the test if it has not ended."""
        process = subprocess.Popen(
            self.line(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=self.environ(**environ),
            encoding="utf-8",
            # No thread of ours holds a lock while it is started.
            preexec_fn=_with_ctrl_c if os.name == "posix" else None,  # noqa: PLW1509
        )
        self._started.append(process)
        return process

    def serve(self, *arguments: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
        """Start ``serve`` with the demo model; return the process and the address it printed."""
        process = self.start("serve", "--model-dir", str(demo_model_dir()), *arguments, **environ)
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        return process, url

    def registry(self) -> Path:
        """Return the registry file's place in this test's own runtime directory."""
        return Path(os.environ["XDG_RUNTIME_DIR"], "foundry_rest", "service.json")

    def line(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "foundry_rest", *arguments]

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment: this test's, and this checkout first."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", **more}

    def end(self) -> None:
        """End what is still there."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(3)
                process.kill()
            process.communicate()


@pytest.fixture
def command() -> Iterator[Command]:
    """Return the command ``foundry-rest``."""
    made = Command()
    yield made
    made.end()
