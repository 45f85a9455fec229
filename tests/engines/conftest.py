"""Tests on real engines, which most machines lack: the gate has an environment for them and demands them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

#: Set to 1 by .ci/run: a test here that is skipped fails the run.
REQUIRE_ENGINES = "FOUNDRY_REQUIRE_ENGINES"
_required = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    """Read the demand once, before any test cleans the environment."""
    config.stash[_required] = os.environ.get(REQUIRE_ENGINES) == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[object]:
    """Turn a skip into a failure when the engines are required."""
    report = yield
    if report.skipped and item.config.stash.get(_required, False):
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longrepr
        report.longrepr = f"{REQUIRE_ENGINES}=1, but {report.nodeid} was left out: {reason}"
        report.outcome = "failed"
    return report
