"""The report of a batch as a real browser shows it: light and dark, narrow and wide, without a network."""

from __future__ import annotations

import re
import shutil

import pytest
from support.browsers import SCHEMES, browser, picture

from foundry_rest.batch.figures import BatchFigures
from foundry_rest.batch.report import render
from foundry_rest.testing.fakes import FakeClock

if shutil.which("chromium") is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)

#: Width of a window -> its height, so that the whole page is seen.
HEIGHTS = {360: 2400, 1200: 1500}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Return the file of a report on a run with some of everything."""
    with FakeClock().installed() as time:
        figures = BatchFigures(1_000, 100)
        for number in range(800):
            time.advance(0.05)
            wide = 0.08 * 1.004 ** (number * 7 % 800)
            error = (
                ("request_timeout", "400 invalid_request_error")[number % 3 % 2] if number % 40 == 0 else ""
            )
            figures.add(seconds=wide, first_token=wide / 9, completion_tokens=40, error=error)
        figures.stopped = "the circuit is open"
        html = render(figures.summary())
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html, "utf-8")
    return path


@pytest.fixture
def browse(page, tmp_path, within, is_gone):
    """Return a function that opens the page in a browser of its own; no process of it is left."""
    with browser(tmp_path, within, is_gone) as look:
        yield lambda *options: look(page.as_uri(), *options)


@pytest.mark.parametrize("width", HEIGHTS)
def test_it_can_be_seen(browse, tmp_path, width):
    """At either width and in either scheme there is something to see, on a light or a dark ground."""
    grounds = {}
    for scheme, number in SCHEMES.items():
        shot = tmp_path / f"{scheme}.png"
        browse(
            f"--screenshot={shot}",
            f"--window-size={width},{HEIGHTS[width]}",
            f"--blink-settings=preferredColorScheme={number}",
            "--hide-scrollbars",
        )
        found, grounds[scheme], drawn = picture(shot)
        assert found == width
        assert drawn > 0.01

    assert min(grounds["light"]) > 200
    assert max(grounds["dark"]) < 60


def test_what_the_browser_made_of_it(browse):
    """The browser finds three plots with their lines and bars, the figures and the errors."""
    found = browse("--dump-dom")

    assert re.findall(r'<svg class="plot"[^>]*aria-label="([^"]*)"', found) == [
        "Requests that succeeded and failed over time",
        "Latency",
        "Time to first token",
    ]
    assert len(re.findall("<polyline", found)) == 2
    assert len(re.findall('<rect class="bar"', found)) > 20
    assert "900 of 1,000 requests done, stopped early: the circuit is open" in found
    assert re.search(r"<dt>Succeeded</dt><dd>780</dd>", found)
    assert "request_timeout" in found
