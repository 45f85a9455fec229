"""`models` and `health`: tables for people, JSON for programs."""

from __future__ import annotations

import io
import json
import os

from foundry_rest.cli.output import print_health, print_json, print_models
from foundry_rest.schema import HealthReport, ModelInfo
from foundry_rest.testing import FaultServer


def test_models(run, server):
    """`models` prints a table, `--json` a list; a service without models prints a note alone."""
    code, stdout, _ = run("models")
    assert (code, stdout.splitlines()[1].split()[1]) == (0, "demo-generic-cpu:1")
    assert json.loads(run("models", "--json")[1])[0]["id"] == "demo-generic-cpu:1"
    with FaultServer(models={}) as empty:
        assert run("models", "--url", empty.url)[:2] == (0, "")


def test_health(run, server):
    """`health` prints facts by name, `--json` one object."""
    code, stdout, _ = run("health")
    assert (code, stdout.split()[:2]) == (0, ["status:", "ok"])
    report = json.loads(run("health", "--json")[1])
    assert (report["pid"], report["generation"]) == (os.getpid(), "2.x")
    assert not {"raw", "headers"} & set(report)


def test_table_of_models(capsys):
    """What is unknown is a dash; columns are aligned; each state has its word."""
    print_models(
        [
            ModelInfo(id="long-name-of-a-model:1", alias="a", device="CPU", size=3 * 1024**2, loaded=True),
            ModelInfo(id="b:1", cached=True),
            ModelInfo(id="c:1", cached=False),
            ModelInfo(id="d:1"),
        ]
    )
    lines = capsys.readouterr().out.splitlines()

    assert [line.split()[-1] for line in lines] == ["STATE", "loaded", "disk", "downloaded", "-"]
    assert lines[2].split()[:4] == ["-", "b:1", "-", "-"]
    assert {
        line.index(word) for line, word in zip(lines, ("STATE", "loaded", "on", "not"), strict=False)
    } == {lines[0].index("STATE")}


def test_health_of_another_machine():
    """Memory that cannot be known is said to be unknown, and no models are none."""
    stream = io.StringIO()
    print_health(HealthReport(status="busy", url="http://192.0.2.7", generation="openai"), stream)

    assert "memory:        unknown\n" in stream.getvalue()
    assert "loaded models: none\n" in stream.getvalue()


def test_json_of_any_letters(capsys):
    """JSON is indented and keeps letters as they are."""
    print_json({"a": "ü"})
    assert capsys.readouterr().out == '{\n  "a": "ü"\n}\n'
