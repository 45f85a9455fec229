"""Nothing phones home: what the embedded runtime looks up, connects to and leaves, seen from outside."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.skipif(
        sys.platform != "linux" or shutil.which("strace") is None,
        reason="needs strace: apt-get install strace",
    ),
]

PROGRAM = """
from foundry_rest import FoundryAPIClient
from foundry_rest.runtime import demo_model_dir

with FoundryAPIClient.embedded([demo_model_dir()]) as client:
    print(client.complete("Say OK", temperature=0).content)
"""
#: A name lookup or a connection to another machine; the local sockets of the system are none.
INTERNET = re.compile(r"sin_port=htons\((\d+)\), sin_addr=inet_addr\(\"([\d.]+)\"\)|sin6_port=htons\((\d+)\)")
#: What the outer world may say about telemetry, which must not matter.
WORLDS = [
    {},
    {"CI": ""},
    {"CI": "false"},
    {"CI": "0"},
    {"ORT_TELEMETRY_DISABLED": "0"},
    {"GITHUB_ACTIONS": "", "TF_BUILD": ""},
]


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_on_the_wire_and_on_disk(tmp_path, world):
    """No name is looked up, no other machine is connected to, and no file is left, whatever CI says."""
    trace, home = tmp_path / "trace", tmp_path / "home"
    home.mkdir()
    outer = {name: value for name, value in os.environ.items() if name not in ("CI", "XDG_CACHE_HOME")}
    tracing = ["strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o", str(trace)]
    done = subprocess.run(
        [*tracing, sys.executable, "-c", PROGRAM],
        env={**outer, "HOME": str(home), "PYTHONPATH": os.pathsep.join(sys.path), **world},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "OK\n"), done.stderr
    peers = {
        (address, port)
        for port, address, _ in INTERNET.findall(trace.read_text("utf-8", "replace"))
        if not address.startswith("127.") or port == "53"
    }

    assert peers == set()
    assert [path for path in home.rglob("*") if path.is_file()] == []
