"""What every test starts from: a clean environment, an empty home, no runtime test lost in silence."""

from __future__ import annotations

import gc
import itertools
import os
import re
import shutil
from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support import variants, wine
from support.canaries import Canaries

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytest_plugins = ["pytester"]

#: Set to 1 by .ci/run: a test marked `runtime` that is skipped fails the run.
REQUIRE_RUNTIME = "FOUNDRY_REQUIRE_RUNTIME"
#: What of the outer world could steer a client: its settings, proxies, certificates, credentials.
STEERING = re.compile(
    r"(FOUNDRY|OTEL)_.*|(HTTP|HTTPS|ALL|NO|FTP|WS|WSS)_PROXY|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|NETRC",
    re.IGNORECASE,
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

#: Without the folders that hold a real ``foundry``: no test may ask or start the service of this machine.
SEARCH_PATH = os.pathsep.join(
    folder
    for folder in os.environ.get("PATH", "").split(os.pathsep)
    if not shutil.which("foundry", path=folder)
)

#: Set to 1 by .ci/run for a Python between others: of each test a few variants are run, as under Wine.
SAMPLE = "FOUNDRY_SAMPLE"
_required = pytest.StashKey[bool]()
_samples = pytest.StashKey[bool]()


def _isolate(patch: pytest.MonkeyPatch, home: Path) -> None:
    """Take away all that steers a client, and put every user directory below ``home``."""
    for name in [*filter(STEERING.fullmatch, os.environ), *USER_DIRS]:
        patch.delenv(name, raising=False)
    patch.setenv("HOME", str(home))
    patch.setenv("USERPROFILE", str(home))
    patch.setenv("XDG_RUNTIME_DIR", str(home / "run"))
    # Windows keeps its folders in the registry, so platformdirs needs a word of its own.
    patch.setenv("WIN_PD_OVERRIDE_LOCAL_APPDATA", str(home))
    patch.setenv("PATH", SEARCH_PATH)


class Homes:
    """Give out empty homes; one that a test left empty serves the next, for directories cost milliseconds."""

    def __init__(self, base: Path) -> None:
        self._paths = (base / str(number) for number in itertools.count())
        self._next: Path | None = None

    def take(self) -> Path:
        """Return an empty home with a runtime directory in it."""
        if self._next is None or self._is_used(self._next):
            self._next = next(self._paths)
            (self._next / "run").mkdir(mode=0o700, parents=True)
        return self._next

    @staticmethod
    def _is_used(home: Path) -> bool:
        return {path.name for path in home.iterdir()} != {"run"} or any((home / "run").iterdir())


@pytest.fixture(scope="session", autouse=True)
def _homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Homes]:
    """Isolate what fixtures of a wider scope than a test do, such as starting the runtime."""
    base = tmp_path_factory.mktemp("homes")
    with pytest.MonkeyPatch.context() as patch:
        _isolate(patch, Homes(base / "session").take())
        wine.spare(patch)
        yield Homes(base / "tests")


@pytest.fixture(autouse=True)
def _isolated(monkeypatch: pytest.MonkeyPatch, _homes: Homes) -> None:
    """Give each test a clean environment and an empty home: no real registry file is read or written."""
    _isolate(monkeypatch, _homes.take())


@pytest.fixture(scope="session")
def _canaries() -> Iterator[Canaries]:
    """Keep what every test sends, logs and prints."""
    with pytest.MonkeyPatch.context() as patch, Canaries().watching(patch) as canaries:
        yield canaries


@pytest.fixture(autouse=True)
def _nothing_is_told(request: pytest.FixtureRequest, _canaries: Canaries) -> Iterator[None]:
    """Find no key in the output of a test, and no prompt in its log."""
    _canaries.forget()
    if request.node.get_closest_marker("unwatched"):
        with _canaries.paused():
            yield
        return
    yield
    found = _canaries.found(with_prompts=request.node.get_closest_marker("logs_bodies") is None)
    assert not found, "\n".join(found)


@pytest.fixture
def told() -> list[object]:
    """Return what observers were told."""
    return []


def pytest_configure(config: pytest.Config) -> None:
    """Read the demands once, before any test cleans the environment."""
    config.stash[_required] = os.environ.get(REQUIRE_RUNTIME) == "1"
    config.stash[_samples] = os.environ.get(SAMPLE) == "1"


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """Leave out whole files that cannot be imported under Wine."""
    return wine.leaves_out(collection_path) or None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take some of many variants where that is asked, as under Wine; leave out what cannot pass there."""
    if not (wine.is_wine() or config.stash[_samples]):
        return
    taken = variants.sample([item.nodeid for item in items])
    config.hook.pytest_deselected(items=[item for at, item in enumerate(items) if at not in taken])
    items[:] = [item for at, item in enumerate(items) if at in taken]
    for item in items:
        reason = wine.reason(item.nodeid) if wine.is_wine() else None
        if reason is not None:
            item.add_marker(pytest.mark.skip(reason=f"Wine: {reason}"))


def pytest_collection_finish() -> None:
    """Hide the collected tests, which stay to the end, from the garbage collector.

    It would look through them again and again: a fifth of the suite's time.
    """
    gc.collect()
    gc.freeze()


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


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what was left out and why, with the line that installs what this machine lacks."""
    reasons = Counter(_reason(report) for report in terminalreporter.stats.get("skipped", ()))
    if not reasons:
        return
    terminalreporter.section("left out on this machine")
    for reason, count in reasons.most_common():
        terminalreporter.write_line(f"{count} x {reason}")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def _fail(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Make a skip a failure that tells the skip's reason."""
    report.longrepr = f"{REQUIRE_RUNTIME}=1, but {report.nodeid} was left out: {_reason(report)}"
    report.outcome = "failed"
