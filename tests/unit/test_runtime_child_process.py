"""The parent's half: what it does when the child answers, refuses, crashes, is silent or will not end.

The child here is a few lines of Python in place of the host.
"""

from __future__ import annotations

import os
import queue
import sys
import threading
import warnings

import psutil
import pytest
from support.platforms import posix

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, ServiceUnreachable
from foundry_rest.runtime import processes
from foundry_rest.runtime.child_process import Child, Plan
from foundry_rest.runtime.model_folders import read_folders

ANSWER = """print('{"url": "http://127.0.0.1:1", "pid": %d}' % os.getpid(), flush=True)\n"""
#: Runs the child as a virtual environment's python.exe does on Windows.
LAUNCHER = "import subprocess, sys\nsubprocess.run([sys.executable, '-S', '-E', '-c', *sys.argv[1:]])"
TAKE = "import os, signal, sys, time\nsettings = sys.stdin.readline()\n"
WAIT = "sys.stdin.read(1)\n"
#: The first thread ends, and 0.2 s later the process.
FIRST_THREAD_ENDS = """
import ctypes, threading
threading.Timer(0.2, os._exit, [0]).start()
ctypes.CDLL(None).pthread_exit(None)
"""
DEAF = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"


def plan(**changes: object) -> Plan:
    """Return a plan for nothing in particular."""
    given = {"folders": (), "host": "127.0.0.1", "port": 0, "cache_dir": None, "start_timeout": 10.0}
    return Plan(**{**given, **changes})


def fake(*code: str, **changes: object) -> Child:
    """Return a child that runs this code."""
    return Child(plan(**changes), (sys.executable, "-S", "-E", "-c", "".join((TAKE, *code))))


def refusal(*code: str, **changes: object) -> str:
    """Return the message of the error with which a start fails, after a look at what is left."""
    started = fake(*code, **changes)
    with pytest.raises(ServiceUnreachable) as caught:
        started.launch()
    assert caught.value.sent is False
    assert not started.is_alive()
    assert not started._directory.exists()
    assert not started.url
    return str(caught.value)


@pytest.fixture
def up():
    """Return a child that has answered."""
    started = fake(ANSWER, WAIT)
    started.launch()
    yield started
    started.end()


def test_start_and_end(up):
    """The address is the child's answer; the end takes the process and its directory away."""
    process = psutil.Process(up.pid)

    assert up.url == "http://127.0.0.1:1"
    assert up.is_alive()
    assert process.ppid() == os.getpid()
    up.end()
    assert not up.is_alive()
    assert not process.is_running()
    assert not up._directory.exists()
    up.end()


def test_a_launcher_is_not_the_child():
    """The process id is the one of the process that answers, whatever was started to start it."""
    started = Child(plan(), (sys.executable, "-S", "-E", "-c", LAUNCHER, TAKE + ANSWER + WAIT))
    started.launch()
    launcher, child = psutil.Process(started._process.pid), psutil.Process(started.pid)

    assert launcher.pid in (child.ppid(), psutil.Process(child.ppid()).ppid())
    assert child.pid != launcher.pid
    started.end()
    child.wait(2)


@posix  # of a pipe that a child closes Windows keeps an end open
def test_a_dying_process_is_not_alive():
    """It has closed its pipe, as the system does for a killed one before it is gone; who waits is woken."""
    started = fake(ANSWER, "os.close(1)\n", WAIT)
    started.launch()
    started.settle(10)

    assert started._process.poll() is None
    assert not started.is_alive()
    started.end()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's end of one thread")
def test_a_process_whose_threads_end_one_after_another():
    """It is waited for, however short the wait for a living one: its first thread is over already."""
    started = fake(ANSWER, FIRST_THREAD_ENDS)
    started.launch()
    while not processes.is_dying(started.pid):
        clock.sleep(0.001)
    started.settle(0.01)

    assert not started.is_alive()
    started.end()


@posix
def test_private_directory(up):
    """The directory is for this user only."""
    assert up._directory.stat().st_mode & 0o777 == 0o700


def test_settings_arrive(tmp_path):
    """The child is told its parent and directory as arguments, the rest as one JSON line."""
    told = tmp_path / "told"
    started = fake(f"open({str(told)!r}, 'w').write(repr(sys.argv[1:]) + settings)\n", ANSWER, WAIT, port=81)
    started.launch()
    started.end()
    text = told.read_text("utf-8")

    assert text.startswith(repr([str(os.getpid()), str(started._directory)]))
    assert '"host":"127.0.0.1","port":81,' in text
    assert text.endswith('"cache_dir":null,"own_catalog":false}\n')


def test_its_own_words():
    """A child that says why it failed is quoted, and the message says what to do."""
    message = refusal("""print('{"error": "Couldn\\'t bind Address already in use"}')\n""")

    assert "the native runtime did not start: Couldn't bind Address already in use" in message
    assert "port=0" in message


def test_a_missing_library_of_windows():
    """Which one Python does not say; the message names what nearly always lacks."""
    message = refusal(
        """print('{"error": "ImportError: DLL load failed while importing _native: not found"}')\n"""
    )

    assert "Install the Microsoft Visual C++ Redistributable (x64)." in message
    assert "force-reinstall" not in message


def test_exit_code_and_last_words():
    """A child that ends without an answer is reported with its exit code and what it printed last."""
    message = refusal("sys.stderr.write('x' * 9000 + 'libonnxruntime.so: cannot open')\nsys.exit(3)\n")

    assert "it ended with exit code 3" in message
    assert "libonnxruntime.so: cannot open" in message
    assert len(message) < 3000


@posix
def test_signal():
    """A crash is reported by the signal's name."""
    assert "it was ended by SIGSEGV" in refusal("os.kill(os.getpid(), signal.SIGSEGV)\n")


def test_silence(monkeypatch):
    """A child that never answers is ended when the time is up, even one that is deaf to SIGTERM."""
    monkeypatch.setattr(processes, "GRACE", 0.03)
    before = clock.monotonic()
    message = refusal(DEAF, "while True: time.sleep(9)\n", start_timeout=0.3)

    assert "no answer within 0.3 s" in message
    assert clock.monotonic() - before < 2


def test_garbage(monkeypatch):
    """An answer that is none is not taken for an address."""
    monkeypatch.setattr(processes, "GRACE", 0.03)
    assert "something else than expected" in refusal("print('hello')\nsys.stdout.close()\n", WAIT)
    assert "it named no address" in refusal("print('{}')\n")


def test_command_that_cannot_run():
    """An interpreter that is not there is reported with its name."""
    started = Child(plan(), ("/nonexistent/python",))

    with pytest.raises(ServiceUnreachable, match="'/nonexistent/python' cannot be run"):
        started.launch()
    assert not started.is_alive()
    assert started.pid == 0


def test_no_place_for_the_directory(tmp_path):
    """A place where no directory can be made is the caller's mistake."""
    model = tmp_path / "phi"
    model.mkdir()
    (model / "genai_config.json").write_text('{"model": {}}', "utf-8")

    with pytest.raises(ConfigError, match="no directory can be made"):
        fake(folders=read_folders(model), cache_dir=model / "genai_config.json").launch()


def test_models_are_laid_out_before_the_start(tmp_path):
    """The child finds the catalog's reply and the links in its directory, below the one that was given."""
    model = tmp_path / "phi"
    model.mkdir()
    (model / "genai_config.json").write_text('{"model": {}}', "utf-8")
    started = fake(ANSWER, WAIT, folders=read_folders(model), cache_dir=tmp_path / "new")
    started.launch()

    assert started._directory.parent == tmp_path / "new"
    assert b"phi-generic-cpu" in (started._directory / "catalog.json").read_bytes()
    assert (started._directory / "cache" / "Local" / "phi-generic-cpu" / "genai_config.json").samefile(
        model / "genai_config.json"
    )
    started.end()
    assert (model / "genai_config.json").is_file()


def launch_aside(started: Child) -> tuple[threading.Thread, list[BaseException]]:
    """Launch in another thread; return it and what it raises."""
    raised: list[BaseException] = []

    def launch() -> None:
        try:
            started.launch()
        except (Cancelled, ServiceUnreachable) as error:
            raised.append(error)

    thread = threading.Thread(target=launch)
    thread.start()
    return thread, raised


def test_end_during_the_start():
    """An end from another thread stops a start at once; what was begun is undone."""
    started = fake(WAIT)
    thread, raised = launch_aside(started)
    while not started.pid:
        clock.sleep(0.005)
    before = clock.monotonic()
    started.end()
    thread.join()

    assert clock.monotonic() - before < 1
    assert isinstance(raised[0], Cancelled)
    assert not started.is_alive()
    assert not started._directory.exists()


def test_second_starter_waits():
    """Who comes second gets what the first one got: the service, or the same error."""
    for code, outcome in ((ANSWER + WAIT, None), ("sys.exit(4)\n", ServiceUnreachable)):
        started = fake(code)
        thread, raised = launch_aside(started)
        if outcome is None:
            started.wait()
            assert started.url
        else:
            with pytest.raises(outcome, match="exit code 4"):
                started.wait()
        thread.join()
        assert [type(error) for error in raised] == ([outcome] if outcome else [])
        started.end()


class Interrupting(queue.SimpleQueue):
    """Stand for Ctrl-C at the moment of waiting for the child's answer."""

    def get(self, *_: object, **__: object) -> bytes:
        """Interrupt."""
        raise KeyboardInterrupt


def test_interrupted_starter(monkeypatch):
    """A starter that was interrupted leaves no one waiting."""
    monkeypatch.setattr(queue, "SimpleQueue", Interrupting)
    started = fake(ANSWER, WAIT)
    with pytest.raises(KeyboardInterrupt):
        started.launch()

    with pytest.raises(Cancelled, match="interrupted in another thread"):
        started.wait()
    assert not started.is_alive()
    assert not started._directory.exists()


def test_many_ends_at_once(up):
    """Ending from several threads at once does no harm."""
    threads = [threading.Thread(target=up.end) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert not up.is_alive()
    assert not up._directory.exists()


@posix
def test_crash_later(up):
    """A child that dies later is noticed, and the end still clears up."""
    psutil.Process(up.pid).kill()
    limit = clock.monotonic() + 2
    while up.is_alive() and clock.monotonic() < limit:
        clock.sleep(0.005)

    assert not up.is_alive()
    up.end()
    assert not up._directory.exists()


@posix
def test_forked_process_ends_nothing(up):
    """A forked process sees the child alive and cannot end it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # 3.12: fork beside threads
        pid = os.fork()
    if not pid:
        seen = up.is_alive()
        up.end()
        os._exit(0 if seen and not up.is_starting() else 1)
    _, status = os.waitpid(pid, 0)

    assert status == 0
    assert up.is_alive()
    assert up._directory.exists()
