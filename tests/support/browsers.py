"""A real browser without a window, and what is on its screen."""

from __future__ import annotations

import os
import signal
import struct
import subprocess
import zlib
from contextlib import contextmanager, suppress

import psutil

#: Without a window, a sandbox (which root cannot have), a GPU, and the browser's own errands.
OPTIONS = ("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
#: Seconds that one start of the browser may take.
PATIENCE = 60
#: Blink's numbers for the scheme that a person prefers.
SCHEMES = {"dark": 0, "light": 1}


@contextmanager
def browser(folder, within, is_gone):
    """Yield a function that opens a URL in a browser of its own and returns what it prints; leave no process.

    Args:
        folder: Where its profile is.
        within: The fixture of that name.
        is_gone: The fixture of that name.
    """

    def run(url, *options):
        line = ["chromium", *OPTIONS, f"--user-data-dir={folder}/profile"]
        process = subprocess.Popen(
            [*line, *options, url],
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
    left = [each.pid for each in psutil.process_iter(["cmdline"]) if _belongs(each, folder)]
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
