"""The app of docs/how-to/web-servers.md under gunicorn, started by the page's command."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from support.engines import needs
from support.pages import ROOT, blocks, commands
from support.servers import CHAT

from foundry_rest import clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, json_error, paced, unavailable

PAGE = "how-to/web-servers"
GUNICORN, *CURLS = commands(PAGE)
pytestmark = [needs("gunicorn"), needs("flask")]


class Site:
    """The running site: its address, its master process, and the service behind it."""

    def __init__(self, url, process, service):
        self.url, self.process, self.service = url, process, service

    def get(self, path, **settings):
        """Ask for a page."""
        return requests.get(f"{self.url}{path}?prompt=Hi", timeout=30, **settings)


@pytest.fixture
def serve(tmp_path):
    """Return a function that starts the page's app by the page's command, at a free port."""
    (program,) = blocks(PAGE, "python")
    (tmp_path / "app.py").write_text(program, "utf-8")
    arguments = shlex.split(GUNICORN.replace("127.0.0.1:8000", "127.0.0.1:0"))[1:]
    started = []

    with FaultServer() as service:

        def start(*more):
            log = tmp_path / "log"
            environment = {
                "FOUNDRY_ENDPOINT": service.url,
                "FOUNDRY_MODEL": DEMO_MODEL,
                "PYTHONPATH": str(ROOT),
                "HOME": str(tmp_path),  # where it has a socket of its own
            }
            with log.open("wb") as out:
                process = subprocess.Popen(
                    [sys.executable, "-m", "gunicorn", *more, *arguments],
                    cwd=tmp_path,
                    env={**os.environ, **environment},
                    stderr=out,
                )
            started.append(process)
            while log.read_text("utf-8").count("Booting worker") < 2:
                assert process.poll() is None, log.read_text("utf-8")
                clock.sleep(0.02)
            return Site(re.search(r"Listening at: (\S+)", log.read_text("utf-8"))[1], process, service)

        yield start
        for process in started:
            process.terminate()
            process.wait(60)


@pytest.mark.parametrize("more", [(), ("--preload",)], ids=["fork, then client", "client, then fork"])
def test_every_worker_answers(serve, more):
    """Eight readers at a time get whole answers, whole and streamed, whether or not the client was forked."""
    site = serve(*more)
    site.service.on("POST", CHAT, paced(chat_stream("a b c"), 0.02))
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(site.get, ["/answer", "/stream"] * 8))

    assert {answer.status_code for answer in answers} == {200}
    assert {answer.json()["content"] for answer in answers[::2]} == {"a b c"}
    assert all("event: end\n" in answer.text for answer in answers[1::2])


def test_a_service_that_fails(serve):
    """Only what may pass is 503 with a time to wait: a refusal is none, and the worker goes on."""
    site = serve()
    site.service.on(
        "POST", CHAT, json_error(404, "no such thing"), *[unavailable()] * 4, site.service.healthy
    )
    refused, unable = site.get("/stream"), site.get("/stream")

    assert (refused.status_code, "Retry-After" in refused.headers) == (502, False)
    assert "no such thing" in refused.json()["error"]
    assert (unable.status_code, unable.headers["Retry-After"]) == (503, "5")
    assert site.get("/answer").status_code == 200


def test_a_reader_that_leaves(serve):
    """The service's stream is closed, so that it stops generating."""
    site = serve()
    site.service.on("POST", CHAT, paced(chat_stream(["x"] * 400), 0.02))
    with site.get("/stream", stream=True) as answer:
        assert next(answer.iter_lines())

    assert site.service.wait_left(10)


def test_an_orderly_end(serve):
    """SIGTERM lets a stream that is under way come to its end, and takes no new request."""
    site = serve()
    site.service.on("POST", CHAT, paced(chat_stream(["x"] * 40), 0.02))
    with site.get("/stream", stream=True) as answer:
        lines = answer.iter_lines()
        assert next(lines)
        site.process.send_signal(signal.SIGTERM)
        assert b"event: end" in list(lines)

    assert site.process.wait(30) == 0
    with pytest.raises(requests.ConnectionError):
        site.get("/answer")


def test_the_commands_of_the_page(serve):
    """Both of its checks get an answer."""
    site = serve()
    assert len(CURLS) == 2
    for command in CURLS:
        address = command.split('"')[1].replace("http://127.0.0.1:8000", site.url)
        assert requests.get(address, timeout=30).status_code == 200
