"""Tests on real engines, which most machines lack: the gate has an environment for them and demands them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from foundry_rest import LocalRuntime
from foundry_rest.runtime import demo_model_dir

#: Set to 1 by .ci/run: a test here that is skipped fails the run.
REQUIRE_ENGINES = "FOUNDRY_REQUIRE_ENGINES"
_required = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the demand once, before any test cleans the environment."""
    config.stash[_required] = os.environ.get(REQUIRE_ENGINES) == "1"


@pytest.fixture(scope="session")
def runtime() -> Iterator[LocalRuntime]:
    """Return one real service for all tests that leave it as they find it."""
    with LocalRuntime(demo_model_dir()) as started:
        yield started


@pytest.fixture
def in_environment(runtime: LocalRuntime, monkeypatch: pytest.MonkeyPatch) -> LocalRuntime:
    """Have it found by the programs that a test runs, with its model as the default one."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", runtime.url)
    monkeypatch.setenv("FOUNDRY_MODEL", "demo-chat")
    return runtime


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[object]:
    """Turn a skip into a failure when the engines are required."""
    report = yield
    if report.skipped and item.config.stash.get(_required, False):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{REQUIRE_ENGINES}=1, but {report.nodeid} was left out: {reason}"
        report.outcome = "failed"
    return report
