"""What every test starts from: a clean environment, an empty home, no runtime test lost in silence."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["pytester"]

#: Set to 1 by .ci/run: a test marked `runtime` that is skipped fails the run.
REQUIRE_RUNTIME = "FOUNDRY_REQUIRE_RUNTIME"
#: What of the outer world could steer a client: its settings, proxies, certificates, credentials.
STEERING = re.compile(
    r"FOUNDRY_.*|(HTTP|HTTPS|ALL|NO|FTP|WS|WSS)_PROXY|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NETRC", re.IGNORECASE
)
#: Where platformdirs looks before it falls back on the home directory.
USER_DIRS = (
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "LOCALAPPDATA",
    "APPDATA",
)

_required = pytest.StashKey[bool]()


def _isolate(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Take away all that steers a client, and put every user directory below ``home``."""
    for name in [*filter(STEERING.fullmatch, os.environ), *USER_DIRS]:
        patch.delenv(name, raising=False)
    runtime = home / "run"
    runtime.mkdir(mode=0o700)
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))
    patch.setenv("XDG_RUNTIME_DIR", str(runtime))


@pytest.fixture(scope="session", autouse=True)
def _isolated_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Isolate what fixtures of a wider scope than a test do, such as starting the runtime."""
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, tmp_path_factory.mktemp("session-home"))
        yield


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Give each test a clean environment and an empty home: no real registry file is read or written."""
    _isolate(monkeypatch, tmp_path_factory.mktemp("home"))


def pytest_configure(config: pytest.Config) -> None:
    """Read the demand once, before any test cleans the environment."""
    config.stash[_required] = os.environ.get(REQUIRE_RUNTIME) == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[object]:
    """Turn the skip of a test marked `runtime` into a failure when the runtime is required."""
    report = yield
    skipped = report.skipped and not hasattr(report, "wasxfail")
    if skipped and item.config.stash[_required] and item.get_closest_marker("runtime"):
        _fail(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Iterator[object]:
    """Do the same for a module skipped whole: its marks were never seen, so it may hide runtime tests."""
    report = yield
    if report.skipped and collector.config.stash[_required]:
        _fail(report)
    return report


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure that tells the skip's reason."""
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    report.outcome = "failed"
    report.longrepr = f"{REQUIRE_RUNTIME}=1, but {report.nodeid} was left out: {reason}"
