"""A Redis server of a test's own."""

from __future__ import annotations

import socket
import subprocess
from contextlib import suppress

from foundry_rest import clock

#: Seconds after which a server that does not answer fails its test.
_PATIENCE = 20.0


class RedisServer:
    """A Redis server on a free port of loopback, with nothing on disk; a context manager.

    Args:
        folder: Its working directory.
    """

    def __init__(self, folder):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.folder = folder

    @property
    def url(self):
        """Return the address of its first database."""
        return f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        """Start it and wait until it listens."""
        options = f"--port {self.port} --bind 127.0.0.1 --save  --appendonly no --daemonize no"
        self.process = subprocess.Popen(
            ["redis-server", *options.split(" "), "--dir", str(self.folder)], stdout=subprocess.DEVNULL
        )
        until = clock.monotonic() + _PATIENCE
        while clock.monotonic() < until:
            with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1) as asked:
                asked.sendall(b"PING\r\n")
                if asked.recv(16).startswith(b"+PONG"):
                    return
            clock.sleep(0.01)
        raise TimeoutError("redis-server does not answer")

    def kill(self):
        """End it as kill -9 does."""
        self.process.kill()
        self.process.wait(_PATIENCE)
