"""Processes on Windows: a virtual environment's launcher, a command that is a script, a pipe."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest
from support.servers import CHAT

from foundry_rest.runtime.child_process import Child, Plan
from foundry_rest.services.discovery import registry_file
from foundry_rest.services.discovery.process import Foundry
from foundry_rest.services.discovery.search import answers, discover
from foundry_rest.testing import FaultServer, chat_completion, chat_stream

#: python.exe of a virtual environment that this test run was given: a launcher of the real one.
LAUNCHER = os.environ.get("FOUNDRY_TEST_LAUNCHER", "")
#: A service in place of the runtime, which does not start under Wine.
SERVICE = textwrap.dedent("""
    import json, os, sys
    from foundry_rest.testing import FaultServer
    sys.stdin.readline()
    with FaultServer(pid=os.getpid()) as server:
        print(json.dumps({"url": server.url, "pid": os.getpid()}), flush=True)
        sys.stdin.readline()
""")
TEXT = "Grüße ☕"
launched = pytest.mark.skipif(not LAUNCHER, reason="no virtual environment was given")


@pytest.fixture(autouse=True)
def launcher(monkeypatch):
    """Give children the modules of this process."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))


def is_over(pid, seconds=3.0):
    """Return whether a process ends in time."""
    until = time.monotonic() + seconds
    while psutil.pid_exists(pid) and time.monotonic() < until:
        time.sleep(0.02)
    return not psutil.pid_exists(pid)


@launched
def test_a_service_behind_a_launcher_is_found():
    """The registry names the process that listens, and not the launcher that was started."""
    child = Child(Plan((), "127.0.0.1", 0, None, 20.0), (LAUNCHER, "-c", SERVICE))
    child.launch()
    launcher, service = child._process.pid, child.pid
    assert launcher != service
    registry_file.write(registry_file.Entry(child.url, child.pid, time.time()))

    assert discover(None, answers) == child.url
    registry_file.remove(child.pid)
    child.end()
    assert is_over(service)
    assert is_over(launcher)


@launched
def test_a_service_ends_with_its_owner():
    """The 0.x service of the tests watches who started it, past the launcher between them."""
    owner = textwrap.dedent(f"""
        import subprocess, sys
        service = subprocess.Popen(
            [{LAUNCHER!r}, "-m", "foundry_rest.testing.legacy"],
            stdout=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
        )
        url = service.stdout.readline()
        children = __import__("psutil").Process(service.pid).children()
        print(children[0].pid, flush=True)
        sys.stdin.readline()
    """)
    started = subprocess.Popen([sys.executable, "-c", owner], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with started:
        service = int(started.stdout.readline())
        assert psutil.pid_exists(service)
        started.kill()
    assert is_over(service)


def run(*arguments, **options):
    """Run the command as a shell's pipe does."""
    return subprocess.run(
        [sys.executable, "-m", "foundry_rest", *arguments],
        capture_output=True,
        timeout=30,
        check=False,
        **options,
    )


def test_a_pipe_is_utf8():
    """What is written into a pipe is UTF-8, and what comes from PowerShell in UTF-16 is read."""
    with FaultServer() as server:
        whole, events = chat_completion(TEXT), chat_stream(TEXT)
        server.on("POST", CHAT, lambda request: events if request.json().get("stream") else whole)
        words = ("--url", server.url, "--model", "demo-generic-cpu:1")
        printed = run("chat", *words, "--json", "Hi", stdin=subprocess.DEVNULL)
        assert printed.returncode == 0, printed.stderr
        assert TEXT in json.dumps(json.loads(printed.stdout), ensure_ascii=False)
        plain = run("chat", *words, "Hi", stdin=subprocess.DEVNULL).stdout
        assert plain.decode("utf-8").strip() == TEXT
        for document in (plain, TEXT.encode("utf-16")):
            assert run("chat", *words, "-", input=document).returncode == 0
            assert server.asked(CHAT)[-1].json()["messages"][-1]["content"] == TEXT


def test_a_command_of_the_working_directory_is_not_run(tmp_path, monkeypatch):
    """Windows looks there first, so anybody who can write there could have one run."""
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        (folder / "foundry.cmd").write_text("@echo off\n")
    monkeypatch.chdir(here)
    monkeypatch.setenv("PATH", str(there))
    assert Path(Foundry().find()).parent == there
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    assert Foundry().find() is None


def test_a_script_that_takes_too_long_is_ended_whole(tmp_path):
    """What the script started ends with it."""
    note = tmp_path / "pid"
    command = tmp_path / "foundry.cmd"
    code = f"import os,time; open({str(note)!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    (tmp_path / "wait.py").write_text(code)
    command.write_text(f'@"{sys.executable}" "{tmp_path / "wait.py"}"\n')
    output = Foundry().ask(str(command), [], 4.0)

    assert output.trouble == "no answer within 4 s"
    assert is_over(int(note.read_text()))
