"""`LocalRuntime` over Microsoft's native runtime and the model that comes with the package."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from foundry_rest import clock
from foundry_rest.errors import ServiceUnreachable
from foundry_rest.runtime import LocalModel, LocalRuntime

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "foundry_rest" / "demo_model" / "demo-chat"
MISSING = sys.version_info < (3, 11) or importlib.util.find_spec("foundry_local_sdk") is None

pytestmark = [
    pytest.mark.runtime,
    pytest.mark.skipif(MISSING, reason='needs Python 3.11 and pip install "foundry_rest[runtime]"'),
]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and fork")


def get(runtime: LocalRuntime, path: str) -> requests.Response:
    """Ask the runtime."""
    return requests.get(runtime.url + path, timeout=20)


def chat(runtime: LocalRuntime, model: LocalModel) -> requests.Response:
    """Let the model say a few words."""
    body = {"model": model.id, "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}
    return requests.post(f"{runtime.url}/v1/chat/completions", json=body, timeout=20)


def load(runtime: LocalRuntime, model: LocalModel) -> int:
    """Load a model; return the status."""
    return get(runtime, f"/models/load/{model.alias}").status_code


def directory_of(runtime: LocalRuntime) -> Path:
    """Return the private directory."""
    return Path(runtime._child._directory)


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    """Wait until a condition holds, and return whether it came to hold in time."""
    limit = clock.monotonic() + seconds
    while not condition() and clock.monotonic() < limit:
        clock.sleep(0.02)
    return condition()


def is_gone(pid: int) -> bool:
    """Tell whether a process has ended; one that nobody has waited for yet has."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture(scope="module")
def served() -> Iterator[LocalRuntime]:
    """Return a runtime that serves the demo model."""
    with LocalRuntime([DEMO]) as runtime:
        yield runtime


def test_status(served):
    """The address answers at once, the process is a child of this one and names itself."""
    status = get(served, "/status")

    assert status.status_code == 200
    assert status.json()["pid"] == served.pid != os.getpid()
    assert psutil.Process(served.pid).ppid() == os.getpid()
    assert served.is_alive()


def test_load_and_chat(served):
    """A directory is listed under the id that `models` tells, loaded by the alias, and answers."""
    (model,) = served.models

    assert [item["id"] for item in get(served, "/v1/models").json()["data"]] == [model.id]
    assert load(served, model) == 200
    answer = chat(served, model)
    assert answer.status_code == 200
    assert answer.json()["usage"]["completion_tokens"] >= 1


def test_snapshot_maps_alias_to_id(served):
    """The snapshot in the cache that /status names tells the alias, the task and the model's own limit."""
    get(served, "/v1/models")
    cache = Path(get(served, "/status").json()["modelCachePath"])
    text = (cache / "foundry.modelinfo.json").read_text("utf-8")

    assert '"alias": "demo-chat"' in text
    assert '"task": "chat-completion"' in text


def test_nothing_is_copied(served):
    """The private cache holds links: it takes no space, and the model's directory is as it was."""
    cached = directory_of(served) / "cache" / "Local" / "demo-chat-generic-cpu"

    assert sorted(path.name for path in cached.iterdir()) == sorted(
        [path.name for path in DEMO.iterdir()] + ["inference_model.json"]
    )
    assert all((cached / path.name).samefile(path) for path in DEMO.iterdir())
    assert not (DEMO / "inference_model.json").exists()


def test_two_directories_of_any_name(tmp_path):
    """Two directories are served together; spaces and letters outside ASCII in a path do no harm."""
    first = tmp_path / "meine Modelle" / "das größte 模型"
    shutil.copytree(DEMO, first)
    shutil.copytree(DEMO, tmp_path / "other")
    with LocalRuntime([first, tmp_path / "other"]) as runtime:
        assert [model.alias for model in runtime.models] == ["das-gro-te", "other"]
        assert [load(runtime, model) for model in runtime.models] == [200, 200]
        assert [chat(runtime, model).status_code for model in runtime.models] == [200, 200]


def test_snapshot_of_a_hub(tmp_path):
    """A Hugging Face snapshot, whose files are links into one directory, is loaded with its external data."""
    blobs, snapshot = tmp_path / "blobs", tmp_path / "snapshots" / "demo"
    blobs.mkdir()
    snapshot.mkdir(parents=True)
    for number, path in enumerate(sorted(DEMO.iterdir())):
        shutil.copy(path, blobs / f"sha{number}")
        (snapshot / path.name).symlink_to(blobs / f"sha{number}")
    with LocalRuntime(snapshot) as runtime:
        assert load(runtime, runtime.models[0]) == 200


@posix
def test_scattered_weights(tmp_path):
    """External data that really lies in another directory than the model is loaded too, by hard links."""
    model = tmp_path / "demo"
    shutil.copytree(DEMO, model)
    (model / "model.onnx.data").rename(tmp_path / "elsewhere.data")
    (model / "model.onnx.data").symlink_to(tmp_path / "elsewhere.data")
    with LocalRuntime(model, cache_dir=tmp_path / "cache") as runtime:
        assert load(runtime, runtime.models[0]) == 200


def test_hard_links_serve_where_symbolic_ones_are_refused(tmp_path, monkeypatch):
    """Where the system refuses symbolic links, hard links within one file system serve as well."""
    model = tmp_path / "demo"
    shutil.copytree(DEMO, model)
    with monkeypatch.context() as patch:
        patch.setattr(Path, "symlink_to", _refuse)
        runtime = LocalRuntime(model, cache_dir=tmp_path / "cache").start()
    with runtime:
        assert load(runtime, runtime.models[0]) == 200


def _refuse(*_: object) -> None:
    raise OSError(1314, "A required privilege is not held by the client")


def test_broken_model(tmp_path):
    """A model that cannot be loaded is an answer of the service, not the end of it."""
    model = tmp_path / "broken"
    shutil.copytree(DEMO, model)
    (model / "model.onnx").write_bytes(b"no graph")
    with LocalRuntime(model) as runtime:
        assert load(runtime, runtime.models[0]) == 500
        assert get(runtime, "/status").status_code == 200
        assert runtime.is_alive()


def test_proxy_in_the_environment(monkeypatch):
    """A proxy that is set for the internet is not asked for the loopback catalog."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with LocalRuntime(DEMO) as runtime:
        assert len(get(runtime, "/v1/models").json()["data"]) == 1


def test_given_port():
    """A port that is given is used; the address is one that can be called."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with LocalRuntime(DEMO, host="0.0.0.0", port=port) as runtime:
        assert runtime.url == f"http://127.0.0.1:{port}"
        assert get(runtime, "/status").status_code == 200


def test_busy_port(served):
    """A busy port is reported in the runtime's own words, with what to do; nothing is left."""
    second = LocalRuntime(DEMO, port=int(served.url.rpartition(":")[2]))

    with pytest.raises(ServiceUnreachable, match=r"Couldn't bind Address already in use(?s:.*)port=0"):
        second.start()
    assert not second.is_alive()
    assert served.is_alive()


def test_close_leaves_nothing():
    """After close there is no process, thread, socket or file that was not there before."""
    here = psutil.Process()
    before = (len(here.children(recursive=True)), threading.active_count(), here.num_fds())
    with LocalRuntime(DEMO) as runtime:
        load(runtime, runtime.models[0])
        chat(runtime, runtime.models[0])
        url, pid, directory = runtime.url, runtime.pid, directory_of(runtime)
    runtime.close()

    assert not psutil.pid_exists(pid)
    assert not directory.exists()
    assert (len(here.children(recursive=True)), threading.active_count(), here.num_fds()) == before
    with pytest.raises(requests.ConnectionError):
        requests.get(f"{url}/status", timeout=5)


def test_close_during_an_answer():
    """A close does not wait for an answer that is on its way."""
    with LocalRuntime(DEMO) as runtime:
        load(runtime, runtime.models[0])
        asking = threading.Thread(target=_ask_and_fail, args=(runtime, runtime.models[0]))
        asking.start()
        clock.sleep(0.05)
        before = clock.monotonic()
        runtime.close()
        assert clock.monotonic() - before < 2
    asking.join()


def _ask_and_fail(runtime: LocalRuntime, model: LocalModel) -> None:
    body = {"model": model.id, "max_tokens": 400, "messages": [{"role": "user", "content": "Hello"}]}
    url = f"{runtime.url}/v1/chat/completions"
    with suppress(requests.ConnectionError):
        requests.post(url, json=body, timeout=20)


def test_three_at_once():
    """Several runtimes live side by side, each with its own address and models."""
    with LocalRuntime(DEMO) as first, LocalRuntime(DEMO) as second, LocalRuntime() as third:
        assert len({runtime.url for runtime in (first, second, third)}) == 3
        assert len({runtime.pid for runtime in (first, second, third)}) == 3
        assert load(first, first.models[0]) == 200
        assert get(second, "/models/loaded").json() == []
        second.close()
        assert chat(first, first.models[0]).status_code == 200
        assert get(third, "/status").status_code == 200


def test_public_catalog_uses_the_shared_cache():
    """Without directories the model cache is the one in the home directory, which outlives the run."""
    with LocalRuntime() as runtime:
        cache = Path(get(runtime, "/status").json()["modelCachePath"])

    assert cache == Path.home() / ".foundry_rest" / "cache" / "models"


@posix
def test_killed_child():
    """A crash of the runtime is seen and survived: calls fail as calls to any dead service do."""
    with LocalRuntime(DEMO) as runtime:
        directory = directory_of(runtime)
        os.kill(runtime.pid, signal.SIGKILL)

        assert within(2, lambda: not runtime.is_alive())
        with pytest.raises(requests.ConnectionError):
            get(runtime, "/status")
        assert LocalRuntime(DEMO).start().start().close() is None
    assert not directory.exists()


@posix
def test_crash_by_a_request():
    """A request that kills the native library takes its own process down and no other."""
    with LocalRuntime(DEMO) as runtime:
        with pytest.raises(requests.ConnectionError):
            requests.post(
                f"{runtime.url}/v1/chat/completions", data=b"[" * 200_000 + b"]" * 200_000, timeout=20
            )
        assert within(2, lambda: not runtime.is_alive())
        runtime.start()
        assert get(runtime, "/status").status_code == 200


#: A parent that starts a runtime and forks a process which keeps every descriptor that it inherits.
PARENT = """
import os, sys
from foundry_rest import clock
from foundry_rest.runtime import LocalRuntime

runtime = LocalRuntime(sys.argv[1]).start()
sibling = os.fork()
if sibling:
    print(runtime.pid, sibling, runtime._child._directory, flush=True)
clock.sleep(60)
"""


@posix
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_killed_parent(how):
    """The runtime ends within 2 s of its parent and removes its files, though a forked process lives on."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", PARENT, str(DEMO)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as parent:
        pid, sibling, directory = parent.stdout.readline().split()
        try:
            assert not is_gone(int(pid))
            parent.send_signal(how)
            parent.wait()

            assert within(2, lambda: is_gone(int(pid)))
            assert within(1, lambda: not Path(directory).exists())
            assert not is_gone(int(sibling))
        finally:
            os.kill(int(sibling), signal.SIGKILL)


@posix
def test_parent_that_just_ends():
    """A parent that forgets to close leaves no process and no file."""
    code = PARENT.partition("sibling")[0] + "print(runtime.pid, runtime._child._directory, flush=True)\n"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(DEMO)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        check=True,
    )
    pid, directory = ran.stdout.split()

    assert within(2, lambda: is_gone(int(pid)))
    assert within(1, lambda: not Path(directory).exists())


def test_thread_that_started_it_ends():
    """The runtime belongs to the process, not to the thread that started it."""
    runtime = LocalRuntime(DEMO)
    thread = threading.Thread(target=runtime.start)
    thread.start()
    thread.join()
    with runtime:
        clock.sleep(0.6)
        assert get(runtime, "/status").status_code == 200


@pytest.mark.parametrize("ci", [None, "", "false", "true"])
def test_nothing_phones_home(tmp_path, monkeypatch, ci):
    """Whatever the environment says: no device id, no event store, no connection beyond loopback."""
    for name in ("CI", "XDG_CACHE_HOME", "ORT_TELEMETRY_DISABLED", "GITHUB_ACTIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    if ci is not None:
        monkeypatch.setenv("CI", ci)

    with LocalRuntime([DEMO]) as runtime:
        (model,) = runtime.models
        assert load(runtime, model) == 200
        chat(runtime, model)
        peers = [each.raddr.ip for each in psutil.Process(runtime.pid).net_connections() if each.raddr]
        assert set(peers) <= {"127.0.0.1"}
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
