"""The monitor's page: who gets it, and that nobody else gets anything."""

from __future__ import annotations

import http.client
import json
import re
import socket
from urllib.parse import urlsplit

import pytest

from foundry_rest.errors import ConfigError
from foundry_rest.ops.monitor import Change, MonitorReport, Problem, Sample
from foundry_rest.ops.monitor_web import MonitorPage

REPORT = MonitorReport(
    state="degraded",
    since=1.0,
    url="http://127.0.0.1:5273",
    generation="2.x",
    checks=3,
    samples=(Sample(at=1.0, observed="up", latency=0.001, memory=1_000_000, cpu=0.5, models=("demo:1",)),),
    changes=(Change(at=1.0, before="up", after="degraded", text="</script><b>x"),),
    problems=(Problem(at=1.0, text="slow \ud800", count=2),),
)


@pytest.fixture
def page():
    """Serve the report."""
    with MonitorPage(lambda: REPORT) as served:
        yield served.url


def get(url, path=None, method="GET", **headers):
    """Return status, headers and body of what is asked for."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=5)
    try:
        connection.request(method, parts.path if path is None else path, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read()
    finally:
        connection.close()


def test_the_page(page):
    """It holds all that it needs, and may ask nobody but its own server."""
    status, headers, body = get(page)
    policy = headers["Content-Security-Policy"]
    (nonce,) = set(re.findall(rb'nonce="(.*?)"', body))
    assert status == 200
    assert policy.startswith(f"default-src 'none'; script-src 'nonce-{nonce.decode()}'; style-src 'nonce-")
    assert "frame-ancestors 'none'" in policy
    assert headers["Cache-Control"] == "no-store"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers.get("Access-Control-Allow-Origin") is None
    assert set(re.findall(rb"https?://[^\"' ]+", body)) == {b"http://www.w3.org/2000/svg"}
    assert b"innerHTML" not in body
    assert get(page)[2] != body  # the nonce is another one each time


def test_the_figures(page):
    """They are the report as JSON, whatever is in its texts."""
    status, headers, body = get(page, f"{urlsplit(page).path}data.json")
    assert (status, headers["Content-Type"]) == (200, "application/json")
    found = json.loads(body)
    assert found["state"] == "degraded"
    assert found["changes"][0]["text"] == "</script><b>x"
    assert found["samples"][0]["models"] == ["demo:1"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "evil.example"},
        {"Host": "evil.example:80"},
        {"Host": "127.0.0.1.evil.example"},
        {"Host": "192.0.2.7"},
        {"Host": ""},
        {"Host": "[::1"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
@pytest.mark.parametrize("what", ["", "data.json"])
def test_other_origins_get_nothing(page, headers, what):
    """A page of another origin, also one whose name was made to lead here, learns nothing, with the token."""
    status, found, body = get(page, urlsplit(page).path + what, **headers)
    assert (status, body) == (404, b"not found\n")
    assert found.get("Access-Control-Allow-Origin") is None


@pytest.mark.parametrize("host", ["localhost", "localhost:80", "[::1]:5", "127.0.0.1", "127.0.0.2:5"])
def test_names_of_this_machine(page, host):
    """However a person writes it."""
    assert get(page, Host=host)[0] == 200
    assert get(page, Host=host, Origin=f"http://{host}", **{"Sec-Fetch-Site": "same-origin"})[0] == 200


@pytest.mark.parametrize("path", ["/", "/data.json", "/x/", "/../", "//"])
def test_without_the_token(page, path):
    """Whoever does not know the address gets nothing of it."""
    status, _, body = get(page, path)
    assert (status, body) == (404, b"not found\n")


def test_other_paths_and_methods(page):
    """There are two addresses, to be read."""
    base = urlsplit(page).path
    assert get(page, f"{base}other")[0] == 404
    assert get(page, base[:-1])[0] == 404
    for method in ("POST", "PUT", "DELETE", "OPTIONS"):
        status, headers, body = get(page, method=method)
        assert status == 501
        assert headers.get("Access-Control-Allow-Origin") is None
        assert b"degraded" not in body


def test_loopback_alone(page):
    """It listens on no other address of this machine."""
    assert urlsplit(page).hostname == "127.0.0.1"
    own = socket.gethostbyname(socket.gethostname())
    if not own.startswith("127."):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection((own, urlsplit(page).port), timeout=1)


def test_two_pages_have_two_tokens(page):
    """A token is made anew each time."""
    with MonitorPage(lambda: REPORT) as other:
        assert urlsplit(other.url).path != urlsplit(page).path
        assert get(other.url, urlsplit(page).path)[0] == 404
    with pytest.raises(ConnectionRefusedError):
        get(other.url)


def test_nothing_is_printed(page, capfd):
    """The path, which holds the token, is in no log."""
    get(page)
    get(page, "/wrong")
    with socket.create_connection(("127.0.0.1", urlsplit(page).port)) as rude:
        rude.sendall(b"nonsense\r\n\r\n")
        rude.recv(1000)
    assert capfd.readouterr() == ("", "")


def test_many_browsers(page):
    """So many are served at a time, and a later one when they have left."""
    port = urlsplit(page).port
    silent = [socket.create_connection(("127.0.0.1", port), timeout=5) for _ in range(40)]
    closed = [each for each in silent[20:] if each.recv(1) == b""]
    assert len(closed) == 20
    for each in silent:
        each.close()
    for _ in range(100):
        try:
            assert get(page)[0] == 200
            break
        except (OSError, http.client.HTTPException):
            continue
    else:
        pytest.fail("no place became free")


@pytest.mark.parametrize("port", [-1, 65536, "x", 1.5])
def test_a_port_that_is_none(port):
    """It is refused."""
    with pytest.raises(ConfigError):
        MonitorPage(lambda: REPORT, port)


def test_a_port_in_use(page):
    """It is an error of the settings that names the port."""
    port = urlsplit(page).port
    with pytest.raises(ConfigError, match=str(port)):
        MonitorPage(lambda: REPORT, port)
