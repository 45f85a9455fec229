"""The monitor as one page for this machine's browsers: figures, states and errors, never a prompt.

Whoever knows the address sees it, and nobody else: it is served on loopback, the address holds a token, and a
page of another origin gets nothing, also if its name was made to lead here (DNS rebinding).
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

from foundry_rest.checks import whole_number
from foundry_rest.config import is_loopback
from foundry_rest.errors import ConfigError
from foundry_rest.ops.monitor import MonitorReport

if TYPE_CHECKING:
    from typing_extensions import Self

_PAGE = Path(__file__).with_name("monitor_page.html")
#: Seconds that a browser may take for its request, and browsers that are served at a time.
_PATIENCE, _MOST = 10.0, 16
#: Seconds within which it ends.
_POLL = 0.05
_HIGHEST_PORT = 65_535
#: What a browser says of a request that another page makes; without the header the Host alone decides.
_OWN_SITE = (None, "none", "same-origin")
_HEADERS = {
    "Cache-Control": "no-store",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_POLICY = (
    "default-src 'none'; script-src 'nonce-{0}'; style-src 'nonce-{0}'; connect-src 'self'; img-src data:;"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class MonitorPage:
    """A server of the page, while its ``with`` block lasts.

    Args:
        report: Returns what is shown, as ``Monitor.report`` does.
        port: Port of 127.0.0.1; 0 for a free one.

    Attributes:
        url: Address of the page, with its token.

    Raises:
        ConfigError: The port cannot be used.
    """

    def __init__(self, report: Callable[[], MonitorReport], port: int = 0) -> None:
        number = whole_number("port", port, 0, _HIGHEST_PORT)
        token = secrets.token_urlsafe(16)
        try:
            self._server = _Server(report, token, number)
        except OSError as error:
            what = f"port {port} of 127.0.0.1 cannot be used: {error.strerror or error}"
            raise ConfigError(what, advice="Give another one, or 0 for a free one.") from error
        self.url = f"http://127.0.0.1:{self._server.server_port}/{token}/"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(_POLL,), name="foundry_rest-page", daemon=True
        )

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    """A server that serves so many at a time and says nothing of failures."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 64

    def __init__(self, report: Callable[[], MonitorReport], token: str, port: int) -> None:
        self.report, self.token = report, token
        self._places = threading.BoundedSemaphore(_MOST)
        super().__init__(("127.0.0.1", port), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401 (the base's own)
        """Serve in a thread, while there is a place."""
        if self._places.acquire(blocking=False):
            super().process_request(request, client_address)
        else:
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Serve, and give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Say nothing: a browser that leaves is no error, and a traceback might quote the token."""


class _Handler(BaseHTTPRequestHandler):
    """One request of a browser."""

    server: _Server
    timeout = _PATIENCE
    server_version, sys_version = "foundry-rest", ""

    def do_GET(self) -> None:
        """Answer with the page or its figures."""
        prefix = f"/{self.server.token}/"
        if not self._is_own() or not hmac.compare_digest(self.path[: len(prefix)].encode(), prefix.encode()):
            self._answer(404, "text/plain; charset=utf-8", b"not found\n")
        elif self.path == prefix:
            nonce = secrets.token_urlsafe(16)
            page = _PAGE.read_text(encoding="utf-8").replace("NONCE", nonce)
            self._answer(200, "text/html; charset=utf-8", page.encode(), nonce)
        elif self.path == f"{prefix}data.json":
            body = self.server.report().to_json().encode("utf-8", "replace")
            self._answer(200, "application/json", body)
        else:
            self._answer(404, "text/plain; charset=utf-8", b"not found\n")

    def _is_own(self) -> bool:
        """Return whether the page itself asks, or a person who typed the address."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not _is_loopback_host(host) or self.headers.get("Sec-Fetch-Site") not in _OWN_SITE:
            return False
        return origin is None or origin == f"http://{host}"

    def _answer(self, status: int, kind: str, body: bytes, nonce: str = "") -> None:
        self.send_response(status)
        headers = {**_HEADERS, "Content-Type": kind, "Content-Length": str(len(body))}
        headers["Content-Security-Policy"] = _POLICY.format(nonce) if nonce else "default-src 'none'"
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Say nothing: the path holds the token."""


def _is_loopback_host(host: str) -> bool:
    try:
        return bool(host) and is_loopback(f"http://{host}")
    except ValueError:
        return False
