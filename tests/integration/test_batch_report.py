"""The report of a batch as a real browser shows it: light and dark, narrow and wide, without a network."""

from __future__ import annotations

import os
import re
import shutil
import signal
import struct
import subprocess
import zlib
from contextlib import suppress

import psutil
import pytest

from foundry_rest.batch.figures import BatchFigures
from foundry_rest.batch.report import render
from foundry_rest.testing.fakes import FakeClock

CHROMIUM = shutil.which("chromium")
if CHROMIUM is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)

#: Without a window, a sandbox (which root cannot have), a GPU, and the browser's own errands.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
#: Seconds that one start of the browser may take.
PATIENCE = 60
#: Blink's numbers for the scheme that a person prefers.
SCHEMES = {"dark": 0, "light": 1}
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

    def run(*options):
        line = [CHROMIUM, *OPTIONS, f"--user-data-dir={tmp_path}/profile"]
        process = subprocess.Popen(
            [*line, *options, page.as_uri()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.communicate(timeout=PATIENCE)[0].decode()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    yield run
    left = [each.pid for each in psutil.process_iter(["cmdline"]) if _belongs(each, tmp_path)]
    assert within(5, lambda: all(map(is_gone, left)))


def _belongs(process, folder):
    return any(str(folder) in part for part in process.info["cmdline"] or ())


def picture(path):
    """Return the width of a PNG, its first pixel, and the share of its bytes that differ from a neighbour's.

    A PNG's rows are differences, but for the first pixel: a blank picture has hardly any.
    """
    data = path.read_bytes()
    width, _, depth, kind = struct.unpack(">IIBB", data[16:26])
    assert (depth, kind) in {(8, 2), (8, 6)}
    parts, at = [], 8
    while at < len(data):
        size, name = struct.unpack(">I4s", data[at : at + 8])
        parts += [data[at + 8 : at + 8 + size]] if name == b"IDAT" else []
        at += size + 12
    rows = zlib.decompress(b"".join(parts))
    return width, tuple(rows[1:4]), 1 - rows.count(0) / len(rows)


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
