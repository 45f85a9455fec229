"""`serve` and `demo` around a runtime that is played: what they print, register and take back."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient, ServiceUnreachable
from foundry_rest.cli import ports, serve
from foundry_rest.cli.main import main
from foundry_rest.runtime import LocalModel
from foundry_rest.services.discovery.registry_file import registry_path
from foundry_rest.testing import DEMO_MODEL, FaultServer, json_error


class PlayedRuntime:
    """Stands for `LocalRuntime`: up at once; `life` says what each look at it gives."""

    url = "http://127.0.0.1:5273"
    pid = 4242
    models = ()
    closed = 0

    def __init__(self, life):
        self._life = iter(life)
        self.start_fails = []
        self.ports = []

    def __call__(self, model_dirs, *, host, port):
        """Take what the constructor takes."""
        self.given = (model_dirs, host, port)
        return self

    def start(self):
        """Fail as often as it is to fail."""
        self.ports.append(self.given[2])
        if self.start_fails:
            raise self.start_fails.pop()
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed += 1

    def is_alive(self):
        """Return or raise the next thing that happens; note what the registry says meanwhile."""
        place = registry_path(self.pid)
        self.registered = place.read_bytes() if place.exists() else None
        happens = next(self._life)
        if isinstance(happens, BaseException):
            raise happens
        return happens


def holds(monkeypatch, *answers):
    """Let the usual port be taken or not, whatever this machine's is; the last answer stays."""
    left = list(answers)
    monkeypatch.setattr(ports, "is_free", lambda *_: not (left.pop(0) if left[1:] else left[0]))


@pytest.fixture
def play(monkeypatch):
    """Return a function that puts a played runtime in the place of the real one."""

    def replace(*life):
        runtime = PlayedRuntime(life)
        monkeypatch.setattr(serve, "LocalRuntime", runtime)
        return runtime

    monkeypatch.setattr(serve, "_POLL_INTERVAL", 0.001)
    holds(monkeypatch, False)
    return replace


def test_until_ctrl_c(play, capsys):
    """It prints the address, registers it, and at Ctrl-C takes it back, ends the runtime, and ends well."""
    runtime = play(True, True, KeyboardInterrupt())
    code = main(["serve", "--model-dir", "a", "--model-dir", "b", "--port", "5273"])
    shown = capsys.readouterr()

    assert (code, shown.out) == (0, "http://127.0.0.1:5273\n")
    assert shown.err.splitlines() == [
        "Serving the public catalog at http://127.0.0.1:5273 (pid 4242); Ctrl-C stops it.",
        "Other clients: base URL http://127.0.0.1:5273/v1, any key, and the exact id of a model in memory:",
        "  none yet: foundry-rest load NAME prints it",
        "Stopped.",
    ]
    assert runtime.given == (["a", "b"], "127.0.0.1", 5273)
    assert json.loads(runtime.registered)["url"] == runtime.url
    assert not registry_path(PlayedRuntime.pid).exists()
    assert runtime.closed == 1


def test_runtime_that_dies(play, capsys):
    """When the runtime ends by itself it is code 3, said, and taken out of the registry."""
    runtime = play(True, False)

    assert main(["serve"]) == 3
    assert "the runtime ended by itself" in capsys.readouterr().err
    assert not registry_path(PlayedRuntime.pid).exists()
    assert runtime.closed == 1


def test_signals_are_given_back(play):
    """Afterwards SIGINT and SIGTERM do what they did before."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    play(KeyboardInterrupt())
    main(["serve"])

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signal_ends_the_wait(play, number, capsys):
    """A signal ends the wait wherever it is: the handler raises, and waits for no lock."""
    runtime = play(True)

    def look():
        signal.raise_signal(number)
        return True

    runtime.is_alive = look

    assert main(["serve"]) == 0
    assert capsys.readouterr().err.endswith("Stopped.\n")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "*"])
def test_beyond_loopback(play, capsys, host):
    """Beyond loopback there is a warning that the service has no authentication."""
    play(KeyboardInterrupt())
    main(["serve", "--host", host])

    assert f"NO AUTHENTICATION. Whoever can reach {host} can use it" in capsys.readouterr().err


def test_registry_that_cannot_be_written(play, capsys):
    """Where the registry file cannot be written it serves all the same, and says how others find it."""
    registry_path().parent.parent.mkdir(parents=True, exist_ok=True)
    registry_path().parent.write_text("in the way")
    play(KeyboardInterrupt())

    assert main(["serve"]) == 0
    shown = capsys.readouterr()
    assert shown.out == "http://127.0.0.1:5273\n"
    assert "FOUNDRY_ENDPOINT=http://127.0.0.1:5273" in shown.err


def test_the_usual_port(play):
    """Without `--port` it is the same at every start; `--port 0` is any free one."""
    taken = []
    for arguments in ([], [], ["--port", "0"]):
        runtime = play(KeyboardInterrupt())
        assert main(["serve", *arguments]) == 0
        taken += runtime.ports

    assert taken == [ports.DEFAULT_PORT, ports.DEFAULT_PORT, 0]


@pytest.mark.parametrize("is_late", [False, True])
def test_the_usual_port_is_taken(play, monkeypatch, capsys, is_late):
    """It is said, and a free one taken; also when somebody takes the port while the runtime starts."""
    runtime = play(KeyboardInterrupt())
    holds(monkeypatch, not is_late, True)
    monkeypatch.setattr(ports, "holder_of", lambda url: "somebody")
    runtime.start_fails = [ServiceUnreachable("in use")] * is_late

    assert main(["serve"]) == 0
    assert runtime.ports == [ports.DEFAULT_PORT] * is_late + [0]
    assert capsys.readouterr().err.startswith(
        f"Port {ports.DEFAULT_PORT} is taken by somebody; taking a free one.\n"
    )


def test_a_start_that_fails(play, capsys):
    """Where the port is free the start failed for another reason: it is code 3, and not tried again."""
    runtime = play()
    runtime.start_fails = [ServiceUnreachable("no memory")]

    assert main(["serve"]) == 3
    assert runtime.ports == [ports.DEFAULT_PORT]
    assert "no memory" in capsys.readouterr().err


@pytest.fixture
def served(play, server):
    """Return a played runtime whose address is that of a service with one model of two in memory."""
    runtime = play(KeyboardInterrupt())
    runtime.url = server.url
    runtime.models = (LocalModel("demo", DEMO_MODEL, Path()), LocalModel("b", "b-cpu:1", Path()))
    return runtime


def test_models_loaded_at_the_start(served, server, capsys):
    """What is loaded is told by its exact id, once; what is not, with what loads it."""
    assert main(["serve", "--load", "demo", "--load", DEMO_MODEL]) == 0
    shown = capsys.readouterr()

    assert shown.out == f"{server.url}\n"
    assert shown.err.splitlines()[-5:] == [
        f"Serving demo, b at {server.url} (pid 4242); Ctrl-C stops it.",
        f"Other clients: base URL {server.url}/v1, any key, and the exact id of a model in memory:",
        f"  {DEMO_MODEL} (in memory)",
        "  b-cpu:1 (not yet: foundry-rest load b)",
        "Stopped.",
    ]


@pytest.mark.parametrize(
    ("name", "code", "said"), [("nothing", 1, "nothing"), ("demo", 1, "no memory"), ("a b", 2, "'a b'")]
)
def test_a_model_that_cannot_be_loaded(served, server, capsys, name, code, said):
    """It is an error before anybody is told of the service; for what is no name at all, none is started."""
    if name == "demo":
        server.on("GET", "/models/load/*", json_error(500, "no memory"))
    assert main(["serve", "--load", name]) == code
    shown = capsys.readouterr()

    assert shown.out == ""
    assert said in shown.err
    assert not registry_path(served.pid).exists()
    assert served.closed == (code == 1)


def test_stopped_while_a_model_is_loaded(served, server, monkeypatch, capsys):
    """SIGTERM is obeyed meanwhile: nobody was told of the service, and it is an end in good order."""
    monkeypatch.setattr(serve, "_load", lambda *_: signal.raise_signal(signal.SIGTERM))

    assert main(["serve", "--load", "demo"]) == 0
    assert capsys.readouterr() == ("", "Stopped.\n")


@pytest.mark.parametrize("command", ["serve", "demo"])
def test_without_the_sdk(command, capsys, monkeypatch):
    """Where the extra is not installed, or Python is too old for it, it is code 2 and what to run."""
    monkeypatch.setitem(sys.modules, "foundry_local_sdk", None)

    assert main([command]) == 2
    assert 'pip install "foundry_rest[runtime]"' in capsys.readouterr().err


def test_demo(capsys, monkeypatch):
    """`demo` prints answer and story on stdout; questions, health and figures on stderr."""
    with FaultServer(models={"demo-chat": "demo-chat-generic-cpu:1"}, loaded=[], reply="Said") as server:
        monkeypatch.setattr(
            FoundryAPIClient, "embedded", classmethod(lambda cls, _: cls(server.url, model="demo-chat"))
        )
        assert main(["demo"]) == 0
    shown = capsys.readouterr()

    assert shown.out == "Said\nSaid\n"
    assert all(part in shown.err for part in ("> Explain quantum", "(streamed)", "status:", "TOKENS/S"))
    assert "failed" not in shown.err
