"""Use the installed wheel as a stranger would: every public name, one call, one mistake, the command.

Run by .ci/run in an environment that holds the wheel and its required dependencies, nothing else.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import foundry_rest

if TYPE_CHECKING:
    from collections.abc import Iterator

#: What a 2.x service without a model answers.
ANSWERS = {
    "/status": {"endpoints": [], "modelCachePath": "/nonexistent", "pid": 1},
    "/models/loaded": [],
}
#: Help must come quickly, so it must not load what only calls need.
QUICK_HELP = """
import sys
sys.argv[:] = ["foundry-rest", "--help"]
from foundry_rest.cli.main import main
try:
    code = main()
except SystemExit as stop:
    code = stop.code
slow = [name for name in ("requests", "pybreaker", "backoff", "psutil") if name in sys.modules]
sys.exit(f"--help loaded {slow}" if slow else code)
"""


class Service(BaseHTTPRequestHandler):
    """Answer as a 2.x service does."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Send the answer for the path, or 404."""
        known = self.path in ANSWERS
        body = json.dumps(ANSWERS[self.path] if known else {"error": "not found"}).encode()
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextmanager
def service() -> Iterator[str]:
    """Serve on loopback; give the address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Service) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def check_names() -> None:
    """Every public name is there, and it is the wheel's."""
    assert Path(foundry_rest.__file__).is_relative_to(sys.prefix), foundry_rest.__file__
    for name in foundry_rest.__all__:
        assert getattr(foundry_rest, name) is not None, name
    print(f"{len(foundry_rest.__all__)} public names")


def check_health() -> None:
    """A client speaks to a service."""
    with service() as address, foundry_rest.FoundryAPIClient(address) as client:
        health = client.health_check()
    assert health.status, health
    assert not health.loaded_models, health
    print(f"health: {health.status}")


def check_mistake() -> None:
    """A wrong address is told before any I/O."""
    try:
        foundry_rest.FoundryAPIClient("nonsense")
    except foundry_rest.ConfigError as error:
        print(f"ConfigError: {error}")
    else:
        raise AssertionError("FoundryAPIClient('nonsense') was taken")


def check_command() -> None:
    """The command is installed, explains itself, and does so without loading what calls need."""
    command = Path(sys.executable).with_name("foundry-rest")
    text = subprocess.run([command, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout
    subprocess.run([sys.executable, "-c", QUICK_HELP], check=True, stdout=subprocess.DEVNULL, timeout=60)
    print(text.splitlines()[0])


for check in (check_names, check_health, check_mistake, check_command):
    check()
