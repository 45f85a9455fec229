"""A service behind TLS on loopback, whose certificate no machine trusts by itself."""

from __future__ import annotations

import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FILES = Path(__file__).parents[1] / "samples" / "tls"
CERTIFICATE, KEY = str(FILES / "certificate.pem"), str(FILES / "key.pem")
STREAM = (
    b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
    b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
)


class _Handler(BaseHTTPRequestHandler):
    """Answer every question with one stream."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """Answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Content-Length", str(len(STREAM)))
        self.end_headers()
        self.wfile.write(STREAM)

    def log_message(self, *words):
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    """A server that shakes hands in each connection's own thread, and keeps quiet about failures."""

    daemon_threads = True

    def finish_request(self, request, client_address):
        """Shake hands and serve."""
        try:
            with self.context.wrap_socket(request, server_side=True) as secure:
                super().finish_request(secure, client_address)
        except OSError:  # the client refuses the certificate, or the server the client's
            pass


class TlsServer:
    """A service that answers over TLS; a context manager.

    Args:
        wants_certificate: Whether a client has to show the certificate of the tests.
    """

    def __init__(self, *, wants_certificate=False):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE, KEY)
        if wants_certificate:
            context.load_verify_locations(CERTIFICATE)
            context.verify_mode = ssl.CERT_REQUIRED
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.context = context
        self.url = f"https://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self):
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,))
        self._thread.start()
        return self

    def __exit__(self, *error):
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
