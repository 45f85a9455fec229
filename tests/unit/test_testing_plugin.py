"""The pytest fixtures that come with the package."""

from __future__ import annotations

import subprocess
import sys
from configparser import ConfigParser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NAME = "foundry_rest.testing.plugin"

TESTS = '''
def test_client(foundry_client, fault_server):
    """The client asks the server that the test holds."""
    assert foundry_client.complete("Hi").content == "Hello there"
    assert fault_server.asked("/v1/chat/completions")


def test_clock(fake_clock, foundry_client, fault_server):
    """Back-off takes no time, and what was slept is on record."""
    from foundry_rest.testing import too_many
    fault_server.on("POST", "/v1/chat/completions", too_many(7), fault_server.healthy)
    foundry_client.models.load("demo")
    assert foundry_client.complete("Hi").content == "Hello there"
    assert fake_clock.slept == [7.0]


def test_real_time_again():
    """The clock is put back."""
    import time
    from foundry_rest import clock
    assert clock.monotonic is time.monotonic
'''


def test_the_fixtures(pytester, monkeypatch):
    """Each does what its docstring says, and the environment steers none of them."""
    monkeypatch.setenv("FOUNDRY_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setenv("FOUNDRY_RETRIES", "0")
    pytester.makepyfile(TESTS)

    pytester.runpytest_inprocess(*loading(), "-p", "no:cacheprovider").assert_outcomes(passed=3)


def loading() -> list[str]:
    """Return the arguments that load the plugin; none where it is installed, for pytest finds it then."""
    names = [point.value for point in entry_points(group="pytest11")]
    return [] if NAME in names else ["-p", NAME]


@pytest.mark.parametrize("name", ["fault_server", "fake_clock", "foundry_client"])
def test_each_says_what_it_is(pytester, name):
    """`pytest --fixtures` lists them with their first sentence."""
    result = pytester.runpytest_inprocess(*loading(), "--fixtures", "-p", "no:cacheprovider")

    listed = [line for line in result.outlines if line.startswith(f"{name} -- ")]
    assert len(listed) == 1


def test_loading_it_costs_nothing():
    """It is loaded in every run of pytest in that environment: neither the client nor what it needs."""
    code = (
        f"import sys, {NAME}; "
        "heavy = ('foundry_rest.client', 'requests', 'msgspec', 'psutil'); "
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)

    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_it_is_an_entry_point():
    """The package names it, so that pytest finds it."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    if not config.has_option("options.entry_points", "pytest11"):
        pytest.skip("setup.cfg does not name the plugin yet")

    assert config["options.entry_points"]["pytest11"].split() == ["foundry_rest", "=", NAME]
