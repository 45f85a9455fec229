"""`foundry-rest serve` on the real runtime: found by others, ends with nothing left, says what it exposes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import stat
import sys

import psutil
import pytest
from openai import OpenAI

from foundry_rest import FoundryAPIClient, LocalRuntime, ServiceNotFound
from foundry_rest.cli.ports import is_free
from foundry_rest.runtime import demo_model_dir

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.skipif(os.name != "posix", reason="signals"),
]
ALIAS = "demo-chat"
#: The command with a usual port of the test's own.
WITH_USUAL_PORT = """
import sys
from foundry_rest.cli import main, ports
ports.DEFAULT_PORT = {}
sys.exit(main.main())
"""


def child_of(process):
    """Return the pid of the runtime under a serve process."""
    (child,) = psutil.Process(process.pid).children()
    return child.pid


def test_found_by_a_second_process(command, answers):
    """Another process of this user finds it by itself; the registry file is this user's alone."""
    process, url = command.serve()
    place = command.registry()
    entry = json.loads(place.read_text("utf-8"))

    assert entry["url"] == url
    assert entry["pid"] == child_of(process)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    done = command("chat", "Say yes", "--temperature", "0", "--model", ALIAS)
    assert (done.returncode, done.stdout) == (0, "Yes\n")
    assert url in command("health").stdout


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(command, is_gone, within, number):
    """SIGTERM and SIGINT end it in good order: code 0, no registry file, no child, no traceback."""
    process, url = command.serve()
    child = child_of(process)
    process.send_signal(number)
    stdout, stderr = process.communicate(timeout=5)

    assert process.returncode == 0
    assert stdout == ""
    assert stderr.startswith(f"Serving {ALIAS} at {url} (pid {child}); Ctrl-C stops it.")
    assert stderr.endswith("Stopped.\n")
    assert "Traceback" not in stderr
    assert not command.registry().exists()
    assert within(2, lambda: is_gone(child))


@pytest.mark.parametrize("first", [0, 1])
def test_two_side_by_side(command, first):
    """Two run side by side, and the one that goes on is found, whichever stops first."""
    served = [command.serve(), command.serve()]
    process, _ = served.pop(first)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=5)
    ((_, url),) = served

    assert url in command("health").stdout


def test_demo_model(command):
    """`--demo` serves the built-in model: no folder has to be named."""
    process = command.start("serve", "--demo", "--port", "0")
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    done = command("chat", "Say yes", "--temperature", "0", "--model", ALIAS)

    assert (done.returncode, done.stdout) == (0, "Yes\n")
    assert command("download", ALIAS).stdout == f"{ALIAS}-generic-cpu:1\n"


def test_killed(command, is_gone, within):
    """After SIGKILL the child is gone within 2 s, and what is left of it is told to be stale."""
    process, url = command.serve()
    child = child_of(process)
    process.kill()
    process.wait()

    assert within(2, lambda: is_gone(child))
    assert command.registry().exists()
    with FoundryAPIClient() as client, pytest.raises(ServiceNotFound, match=r"stale: nothing .* answers"):
        client.complete("Hello")
    done = command("health")
    assert done.returncode == 3
    assert all(said in done.stderr for said in ("stale", url, "foundry-rest serve"))
    _, fresh = command.serve()
    assert fresh in command("health").stdout


def test_stopped_during_an_answer(command, within):
    """It does not wait for the answers that are on their way, and their client learns of it."""
    process, _ = command.serve()
    asking = command.start(
        "chat", "Write a story about AI", "--model", ALIAS, "--max-tokens", "3000", FOUNDRY_RETRIES="0"
    )
    asking.stdout.read(1)
    process.terminate()

    assert process.wait(3) == 0
    assert within(5, lambda: asking.poll() is not None)
    assert asking.returncode in (0, 5)
    assert "Traceback" not in asking.stderr.read()


def test_dead_child(command):
    """When the runtime dies by itself, serve ends with code 3, says so, and takes back its registry file."""
    process, _ = command.serve()
    os.kill(child_of(process), signal.SIGKILL)
    _, stderr = process.communicate(timeout=5)

    assert process.returncode == 3
    assert "foundry-rest: the runtime ended by itself" in stderr
    assert not command.registry().exists()


def test_shut_down_from_elsewhere(command):
    """`POST /shutdown` by any client ends serve too, rather than leaving it with a dead address."""
    process, url = command.serve()
    with FoundryAPIClient(url) as client, pytest.raises(OSError, match="closed the connection"):
        client.request("POST", "/shutdown")
    _, stderr = process.communicate(timeout=2)

    assert process.returncode == 3
    assert "ended by itself" in stderr


def test_beyond_loopback(command):
    """Bound to every address it says that the service has no authentication; the address can be called."""
    process, url = command.serve("--host", "0.0.0.0")
    process.terminate()
    _, stderr = process.communicate(timeout=5)

    assert url.startswith("http://127.0.0.1:")
    assert "WARNING: the service has NO AUTHENTICATION. Whoever can reach 0.0.0.0" in stderr


def test_loopback_is_not_warned_about(command):
    """On loopback there is no warning."""
    process, _ = command.serve("--host", "localhost")
    process.terminate()
    assert "WARNING" not in process.communicate(timeout=5)[1]


def test_given_port(command):
    """A given port is used."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    _, url = command.serve("--port", str(port))
    assert url == f"http://127.0.0.1:{port}"


def test_busy_port(command, runtime):
    """A busy port is code 3 in the runtime's own words, with what to do; no registry file is written."""
    port = runtime.url.rpartition(":")[2]
    done = command("serve", "--model-dir", str(demo_model_dir()), "--port", port)

    assert (done.returncode, done.stdout) == (3, "")
    assert "Couldn't bind Address already in use" in done.stderr
    assert "--port 0 for a free one" in done.stderr
    assert not command.registry().exists()


def test_bad_model_directory(command, tmp_path):
    """A directory that is no model is code 2, named, with what is missing."""
    missing, empty = (
        command("serve", "--model-dir", "/nowhere"),
        command("serve", "--model-dir", str(tmp_path)),
    )

    assert (missing.returncode, empty.returncode) == (2, 2)
    assert "/nowhere does not exist" in missing.stderr
    assert f"{tmp_path} is not a model directory: it has no genai_config.json" in empty.stderr


def test_the_usual_port(command):
    """Each start has the usual port while it is free, and a free one beside another serve, which is told."""
    # Below what the system gives to connections; from another start in each process of the tests.
    port = next(each for each in range(20000 + os.getpid() % 9000, 30000) if is_free("127.0.0.1", each))
    command.line = lambda *arguments: [sys.executable, "-c", WITH_USUAL_PORT.format(port), *arguments]

    def start():
        process = command.start("serve", "--demo")
        return process, process.stdout.readline().strip()

    usual = f"http://127.0.0.1:{port}"
    for _ in range(2):
        process, url = start()
        with FoundryAPIClient(url, model=ALIAS) as client:
            assert client.complete("Say OK", temperature=0).content == "OK"
        process.terminate()
        process.communicate(timeout=30)
        assert url == usual
    first, url = start()
    other, other_url = start()
    other.terminate()

    assert url == usual
    assert other_url not in ("", usual)
    said = other.communicate(timeout=30)[1]
    assert said.startswith(f"Port {port} is taken by another foundry-rest serve (pid {child_of(first)}); ")


def test_models_loaded_at_the_start(command):
    """`--load` has the model in memory before the address is printed: another client asks by the id told."""
    process, url = command.serve("--load", "DEMO-chat")
    with FoundryAPIClient(url) as client:
        (loaded,) = client.models.loaded()
    question = [{"role": "user", "content": "Say OK"}]
    with OpenAI(base_url=f"{url}/v1", api_key="any") as other:
        reply = other.chat.completions.create(model=loaded.id, messages=question, temperature=0)
    process.terminate()
    stderr = process.communicate(timeout=30)[1]

    assert reply.choices[0].message.content == "OK"
    assert f"base URL {url}/v1" in stderr
    assert f"\n  {loaded.id} (in memory)\n" in stderr


def test_a_model_that_is_not_there(command):
    """`--load` of a model that is not served is code 1; no address is printed, and nothing goes on."""
    done = command("serve", "--demo", "--port", "0", "--load", "nothing")

    assert (done.returncode, done.stdout) == (1, "")
    assert "No model matching 'nothing'" in done.stderr
    assert "It serves demo-chat." in done.stderr
    assert not command.registry().exists()


@pytest.mark.parametrize("arguments", [["--port", "70000"], ["--port", "many"], ["--host", "a b"]])
def test_bad_arguments(command, arguments):
    """A port or host that cannot be one is code 2."""
    done = command("serve", "--model-dir", str(demo_model_dir()), *arguments)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_two_models(command, tmp_path):
    """`--model-dir` may be repeated; both models are listed and answer."""
    other = tmp_path / "other"
    shutil.copytree(demo_model_dir(), other)
    command.serve("--model-dir", str(other))
    listed = [model["alias"] for model in json.loads(command("models", "--json").stdout)]

    assert sorted(listed) == [ALIAS, "other"]
    assert command("chat", "Say OK", "--temperature", "0", "--model", "other").stdout == "OK\n"


def test_registry_that_cannot_be_written(command):
    """Where no registry file can be written it serves all the same, and says how others find it."""
    command.registry().parent.write_text("in the way")
    process, url = command.serve()
    process.terminate()
    _, stderr = process.communicate(timeout=5)

    assert f"FOUNDRY_ENDPOINT={url}" in stderr
    assert process.returncode == 0


def test_second_serve_takes_over(command):
    """The latest serve is the one that is found; its end does not bring the other one's entry back."""
    first, first_url = command.serve()
    second, second_url = command.serve()
    assert second_url in command("health").stdout
    first.terminate()
    first.wait(5)
    assert second_url in command("health").stdout
    second.terminate()
    second.wait(5)
    assert first_url != second_url
    assert not command.registry().exists()


def test_runtime_of_a_script_is_not_registered(command):
    """A runtime that a script embeds for itself is not offered to other processes."""
    with LocalRuntime(demo_model_dir()):
        assert command("health").returncode == 3
