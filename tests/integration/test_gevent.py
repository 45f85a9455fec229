"""Under gevent's monkey patching, where legacy code bases live, greenlets are served as threads are."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from foundry_rest.testing import FaultServer, chat_stream, pause, stall

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("gevent_program.py")

needs_gevent = pytest.mark.skipif(
    importlib.util.find_spec("gevent") is None, reason='needs pip install "foundry_rest[test]" (gevent)'
)


def slow_echo(request):
    """Answer with the prompt after 0.1 s; stay silent when told to."""
    prompt = request.json()["messages"][0]["content"]
    return stall() if prompt == "stay silent" else pause(0.1) + chat_stream([prompt])


@needs_gevent
@pytest.mark.timeout(60)
def test_greenlets():
    """20 calls of 0.1 s at once take below 1 s; deadline, token and close() end them; a clean exit."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    with FaultServer() as server:
        server.on("POST", "/v1/chat/completions", slow_echo)
        done = subprocess.run(
            [sys.executable, str(PROGRAM), server.url],
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, "PYTHONPATH": path},
            timeout=30,
            check=False,
        )

    assert done.stderr == ""
    assert done.returncode == 0, done.stdout
    assert "20 calls: 20 right" in done.stdout
