"""The monitor's page in a real browser: its curves and words, light and dark, and other origins' pages."""

from __future__ import annotations

import re
import shutil
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from support.browsers import SCHEMES, browser, picture

from foundry_rest.ops.monitor import Change, MonitorReport, Problem, Sample
from foundry_rest.ops.monitor_web import MonitorPage
from foundry_rest.schema.use import CircuitChange

if shutil.which("chromium") is None:
    pytest.skip("needs chromium: apt-get install chromium", allow_module_level=True)

HEIGHTS = {400: 2000, 1280: 1200}
BAD = "<img src=x onerror=document.title='broken'>"
REPORT = MonitorReport(
    state="up",
    since=1.0,
    url="http://127.0.0.1:5273",
    generation="2.x",
    checks=90,
    samples=tuple(
        Sample(
            at=float(n),
            observed="down" if 40 <= n < 50 else "up",
            latency=None if 40 <= n < 50 else 0.002 + n % 9 / 1e4,
            memory=4_000_000_000 + n * 1_000_000,
            cpu=n % 7 / 10,
            tokens_per_second=20.0 + n % 5,
            models=("phi-4-mini:5", BAD),
        )
        for n in range(90)
    ),
    changes=(Change(at=1.0, before="down", after="up", text=BAD),),
    problems=(Problem(at=1.0, text=BAD, count=3),),
    circuits={"http://127.0.0.1:5273": "open"},
    circuit_changes=(CircuitChange(at=1.0, url="http://127.0.0.1:5273", before="closed", after="open"),),
)
#: A page of another origin that asks for the figures in every way that a page has.
THIEF = """<!doctype html><title>thief</title><p id=said>nothing</p><script>
const tell = (what) => { document.getElementById("said").textContent += ` ${what}`; };
fetch("URLdata.json").then((a) => a.text()).then((t) => tell("read " + t)).catch(() => tell("refused"));
fetch("URLdata.json", {mode: "no-cors"}).then((a) => tell("opaque " + a.type)).catch(() => tell("refused"));
</script><iframe src="URL"></iframe><script src="URLdata.json"></script>"""


@pytest.fixture
def browse(tmp_path, within, is_gone):
    """Return a function that opens a URL in a browser of its own and waits a moment."""
    with browser(tmp_path, within, is_gone) as look:
        yield lambda url, *options: look(url, "--virtual-time-budget=3000", *options)


@pytest.fixture
def page():
    """Serve the report."""
    with MonitorPage(lambda: REPORT) as served:
        yield served.url


@pytest.mark.parametrize("width", HEIGHTS)
def test_it_can_be_seen(browse, page, tmp_path, width):
    """At either width and in either scheme there is something to see, on a light or a dark ground."""
    grounds = {}
    for scheme, number in SCHEMES.items():
        shot = tmp_path / f"{scheme}.png"
        browse(
            page,
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


def test_what_the_browser_made_of_it(browse, page):
    """It has the state, the figures, a curve with a gap, every check, and texts that stay texts."""
    found = browse(page, "--dump-dom")
    assert "<title>Foundry Local is up</title>" in found
    assert re.search(r'id="memory">4\.09 GB<', found)
    assert re.search(r'id="rate">24\.0<', found)
    assert len(re.findall("<polyline", found)) == 2 + 3
    assert len(re.findall('<span class="down"', found)) == 10
    assert len(re.findall('<span class="up"', found)) == 80
    assert "closed → open" in found
    assert "3 \N{MULTIPLICATION SIGN}" in found
    assert found.count("&lt;img src=x") == 3
    assert "broken</title>" not in found


def test_a_page_of_another_origin_gets_nothing(browse, page):
    """It can neither read the figures nor show the page in a frame, though it knows the address."""

    class Thief(BaseHTTPRequestHandler):
        """A server of the other page."""

        def do_GET(self):
            """Answer."""
            body = THIEF.replace("URL", page).encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *words):
            """Keep quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Thief) as other:
        Thread(target=other.serve_forever, args=(0.05,), daemon=True).start()
        found = browse(f"http://localhost:{other.server_port}/", "--dump-dom")
        other.shutdown()
    (said,) = re.findall(r'id="said">([^<]*)<', found)
    assert "read" not in said
    assert said.count("refused") >= 1
    assert "phi-4-mini" not in found
