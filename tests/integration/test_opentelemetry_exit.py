"""The documented set-up of OpenTelemetry sends what there is, and holds no script where nobody takes it."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest

from foundry_rest import clock
from foundry_rest.testing import DEMO_MODEL, FaultServer, dead_address, json_answer

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "metrics.md").read_text(encoding="utf-8")
(PROGRAM,) = (
    block for block in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "OTLPSpanExporter" in block
)
#: Most seconds by which a script may end later.
LATEST = 1.0


@contextmanager
def silent_address():
    """Yield the address of a collector that takes all and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


def run(program, service, collector, **more):
    """Return what a script said, and the seconds from its last own step to its end."""
    marked = program.replace("finally:\n", 'finally:\n    print("done", flush=True)\n')
    assert marked != program
    environment = {
        **os.environ,
        "FOUNDRY_ENDPOINT": service,
        "FOUNDRY_MODEL": DEMO_MODEL,
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
        **more,
    }
    command = [sys.executable, "-W", "error", "-c", marked]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as script:
        assert script.stdout.readline() == "done\n"
        began = clock.monotonic()
        said = script.stdout.read()
        assert script.wait(30) == 0
        return said, clock.monotonic() - began


@pytest.fixture(scope="module")
def usual():
    """Run the script with a collector that answers: what it said and sent, and how long its end took."""
    with FaultServer() as service, FaultServer() as collector:
        for path in ("/v1/traces", "/v1/metrics"):
            collector.on("POST", path, json_answer({}))
        said, seconds = run(PROGRAM, service.url, collector.url)
        (spans,), (metrics,) = (collector.asked(path) for path in ("/v1/traces", "/v1/metrics"))
    return said, spans.body, metrics.body, seconds


def test_a_good_collector(usual):
    """A collector that answers gets spans and metrics before the script ends."""
    said, spans, metrics, _ = usual

    assert said == "all is sent\n"
    assert f"chat {DEMO_MODEL}".encode() in spans
    assert b"gen_ai.client.operation.duration" in metrics


@pytest.mark.parametrize("collector", [silent_address, dead_address])
def test_nobody_takes_it(usual, collector):
    """A collector that is silent or gone delays the end of a script by at most a second."""
    with FaultServer() as service, collector() as address:
        said, seconds = run(PROGRAM, service.url, address)

    assert said == "not all was sent within half a second\n"
    assert seconds - usual[-1] < LATEST


def test_the_set_up_is_what_helps(usual):
    """With the SDK's own end the same script is held for longer: the test measures what it says."""
    with FaultServer() as service, silent_address() as address:
        program = PROGRAM.replace("shutdown_on_exit=False", "shutdown_on_exit=True")
        _, seconds = run(program, service.url, address, OTEL_EXPORTER_OTLP_TIMEOUT="1.5")

    assert seconds - usual[-1] > LATEST
