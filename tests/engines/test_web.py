"""The web examples on real servers: eight streams at a time, and a browser that leaves."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from support.engines import needs
from support.project import load_module
from support.servers import CHAT
from support.waits import until

from foundry_rest import FoundryAPIClient, clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, chat_stream, json_error, paced

EXAMPLES = Path(__file__).parents[2] / "examples"


@contextmanager
def flask_server(app):
    """Serve with werkzeug, a thread for each request."""
    from werkzeug.serving import make_server

    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def fastapi_server(app):
    """Serve with uvicorn, in one event loop."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning"))
    thread = threading.Thread(target=server.run)
    thread.start()
    until(lambda: server.started)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join()


SERVERS = {"web_flask": flask_server, "web_fastapi": fastapi_server}


@pytest.fixture(
    params=[
        pytest.param("web_flask", marks=needs("flask")),
        pytest.param("web_fastapi", marks=[needs("fastapi"), needs("uvicorn")]),
    ]
)
def site(request, monkeypatch):
    """Give the route's address, the service behind it, and the example's client."""
    with FaultServer() as service:
        monkeypatch.setenv("FOUNDRY_ENDPOINT", service.url)
        monkeypatch.setenv("FOUNDRY_MODEL", DEMO_MODEL)
        module = load_module(EXAMPLES / f"{request.param}.py", request.param)
        assert isinstance(module.client, FoundryAPIClient)
        with SERVERS[request.param](module.app) as url, module.client:
            yield f"{url}/ask?prompt=Hi", service, module.client


def test_eight_streams_at_a_time(site):
    """All are whole, and the eight are served side by side, not in turn."""
    url, service, client = site
    service.on("POST", CHAT, paced(chat_stream("a b c d e f g h"), 0.05))
    requests.get(url, timeout=10)
    began = clock.monotonic()
    requests.get(url, timeout=10)
    alone, began = clock.monotonic() - began, clock.monotonic()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: requests.get(url, timeout=10), range(8)))

    assert clock.monotonic() - began < 3 * alone
    assert {answer.headers["Content-Type"].split(";")[0] for answer in answers} == {"text/event-stream"}
    assert all(b"event: end\n" in answer.content for answer in answers)
    until(lambda: client.stats().slots.in_use == 0)


def test_a_browser_that_leaves(site):
    """Its slot is free within a second, also while the service goes on generating."""
    url, service, client = site
    service.on("POST", CHAT, paced(chat_stream(["x"] * 400), 0.02))
    with requests.get(url, stream=True, timeout=10) as answer:
        lines = answer.iter_lines()  # held: its end would close the connection already
        assert next(lines)
        assert client.stats().slots.in_use == 1
    began = clock.monotonic()
    until(lambda: client.stats().slots.in_use == 0)
    assert clock.monotonic() - began < 1


def test_a_service_that_refuses(site):
    """The page has the status of a failure, as the answer had not begun."""
    url, service, _ = site
    service.on("POST", CHAT, json_error(404, "no such thing"))
    assert requests.get(url, timeout=10).status_code == 503
