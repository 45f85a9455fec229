"""The real runtime with the demo model, clients on it, and the command; skipped where the SDK is missing."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

import psutil
import pytest

from foundry_rest import FoundryAPIClient, LoadFailed, clock
from foundry_rest.runtime import LocalRuntime, demo_model_dir
from foundry_rest.testing import FaultServer

ROOT = Path(__file__).parents[2]
MISSING = sys.version_info < (3, 11) or importlib.util.find_spec("foundry_local_sdk") is None
ALIAS = "demo-chat"
#: The environment as the person who started the tests has it: pip finds its settings by HOME and PIP_*.
WORLD = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
#: Virtual environments with other generations of the service; kept, for each takes 20 s to make.
ENVIRONMENTS = ROOT / ".test-envs"
#: Seconds that making one may take on a slow line.
INSTALLING = 600
#: Seconds that any command or server of these tests may take; far above what they need.
PATIENCE = 30


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every test that needs the runtime, where there is none."""
    reason = 'needs Python 3.11 and pip install "foundry_rest[runtime]"'
    for item in items:
        if MISSING and item.get_closest_marker("runtime"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _nothing_uploaded() -> Iterator[None]:
    """Keep the native library's telemetry on this machine: it uploads nothing in what it takes for CI."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "true")
        yield


@pytest.fixture(scope="session")
def pairs() -> list[dict[str, str]]:
    """Return what the demo model was taught: question and answer."""
    return json.loads((ROOT / "tools" / "demo_model" / "pairs.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def answers(pairs: list[dict[str, str]]) -> dict[str, str]:
    """Return the exact answer by question."""
    return {pair["question"]: pair["answer"] for pair in pairs}


@pytest.fixture(scope="session")
def environment_for() -> Callable[[str], Path]:
    """Return a function that gives the Python of a virtual environment holding one requirement."""
    return _environment


def _environment(requirement: str) -> Path:
    """Make the environment unless it is there; renamed when whole, so a killed run leaves none half made."""
    name = f"{re.sub(r'[^A-Za-z0-9.]+', '-', requirement)}-py{sys.version_info[0]}.{sys.version_info[1]}"
    made = ENVIRONMENTS / name
    if not _python(made).exists():
        _drop_leftovers(name)
        half = ENVIRONMENTS / f"{name}~{os.getpid()}"
        _install(half, requirement)
        shutil.rmtree(made, ignore_errors=True)
        with suppress(OSError):  # Another run was faster: its environment serves as well.
            half.rename(made)
        shutil.rmtree(half, ignore_errors=True)
    return _python(made)


def _python(environment: Path) -> Path:
    return environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _drop_leftovers(name: str) -> None:
    """Remove what killed runs left half made."""
    for left in ENVIRONMENTS.glob(f"{name}~*"):
        if not psutil.pid_exists(int(left.name.rpartition("~")[2])):
            shutil.rmtree(left, ignore_errors=True)


def _install(environment: Path, requirement: str) -> None:
    """Make an environment and install into it, with uv where it is, else with pip; skip where that fails."""
    uv = shutil.which("uv", path=os.pathsep.join((str(Path(sys.executable).parent), WORLD.get("PATH", ""))))
    python = str(_python(environment))
    steps: list[list[str]] = (
        [
            [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
            [uv, "pip", "install", "--quiet", "--python", python, requirement],
        ]
        if uv
        else [
            [sys.executable, "-m", "venv", str(environment)],
            [python, "-m", "pip", "install", "--quiet", requirement],
        ]
    )
    try:
        for step in steps:
            subprocess.run(
                step,
                check=True,
                env=WORLD,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=INSTALLING,
            )
    except (OSError, subprocess.SubprocessError) as error:
        shutil.rmtree(environment, ignore_errors=True)
        reason = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        pytest.skip(f"pip install {requirement} failed: {reason[-1] if reason else error!r}")


@pytest.fixture(scope="session")
def runtime() -> Iterator[LocalRuntime]:
    """Return one runtime for all tests that leave it as they find it, its model in memory."""
    with LocalRuntime(demo_model_dir()) as started:
        with FoundryAPIClient(started.url) as client:
            client.models.load(ALIAS)
        yield started


@pytest.fixture
def client(runtime: LocalRuntime) -> Iterator[FoundryAPIClient]:
    """Return a client on the shared runtime that knows nothing yet."""
    with FoundryAPIClient(runtime.url, model=ALIAS) as made:
        yield made


@pytest.fixture
def own_runtime() -> Iterator[LocalRuntime]:
    """Return a runtime of the test's own, to be killed and unloaded; nothing is loaded."""
    with LocalRuntime(demo_model_dir()) as started:
        yield started


@pytest.fixture
def own_client(own_runtime: LocalRuntime) -> Iterator[FoundryAPIClient]:
    """Return a client on the test's own runtime."""
    with FoundryAPIClient(own_runtime.url, model=ALIAS) as made:
        yield made


class CoreRuntime:
    """The real web service of 1.2.4, 2.0.1 or 2.1.0 in a process of its own, with a private model cache.

    Attributes:
        url: Its address.
        process: Its process; it ignores SIGTERM, as 1.x does.
        directory: Its files; ``logs`` below it tells more than its answers do.
    """

    HOST = Path(__file__).with_name("sdk_host.py")
    REQUIREMENT = "foundry-local-sdk==1.2.4"

    def __init__(
        self, python: Path, directory: Path, models: list[dict[str, object]], *, catalog: bool = True
    ) -> None:
        self.directory = directory
        settings = {"directory": str(directory), "models": models, "catalog": catalog}
        with (directory / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [str(python), str(self.HOST)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
                start_new_session=True,
            )
        self.process.stdin.write(json.dumps(settings).encode() + b"\n")
        self.process.stdin.flush()
        self.url = self._answer()["url"]

    def _answer(self) -> dict[str, str]:
        late = threading.Timer(PATIENCE, self.process.kill)
        late.start()
        line = self.process.stdout.readline()
        late.cancel()
        if not line:
            self.kill()
            pytest.fail(
                f"the service did not start: {(self.directory / 'stderr').read_text('utf-8')[-2000:]}"
            )
        return json.loads(line)

    def kill(self) -> None:
        """End it at once, as a crash does."""
        self.process.kill()
        with suppress(BrokenPipeError):
            self.process.communicate()


@pytest.fixture(scope="session")
def core_models(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    """Return the models of the 1.2.4 services: in two versions, without end, broken, not on disk.

    A test file may have a fixture of this name of its own for its ``own_core_runtime``.
    """
    endless, broken = tmp_path_factory.mktemp("endless"), tmp_path_factory.mktemp("broken")
    for file in demo_model_dir().iterdir():
        (endless / file.name).symlink_to(file)
    config = json.loads((endless / "genai_config.json").read_bytes())
    config["model"]["eos_token_id"] = config["model"]["vocab_size"] - 1
    (endless / "genai_config.json").unlink()
    (endless / "genai_config.json").write_text(json.dumps(config), "utf-8")
    (broken / "genai_config.json").write_text("{}", "utf-8")
    return [
        _core_model(ALIAS, demo_model_dir()),
        _core_model(ALIAS, demo_model_dir(), version=2),
        _core_model("endless", endless),
        _core_model("broken", broken),
        _core_model("phantom", None),
    ]


def _core_model(alias: str, path: Path | None, version: int = 1) -> dict[str, object]:
    """Return a model as ``sdk_host`` takes it; one without a path is not on disk."""
    name, place = f"{alias}-generic-cpu", path and str(path)
    return {"name": name, "alias": alias, "version": version, "task": "chat-completion", "path": place}


@pytest.fixture(scope="session")
def core_runtime(
    environment_for: Callable[[str], Path],
    core_models: list[dict[str, object]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CoreRuntime]:
    """Return one 1.2.4 service for all tests that leave it as they find it."""
    started = CoreRuntime(
        environment_for(CoreRuntime.REQUIREMENT), tmp_path_factory.mktemp("core"), core_models
    )
    yield started
    started.kill()


@pytest.fixture
def start_core(
    environment_for: Callable[[str], Path], core_models: list[dict[str, object]], tmp_path: Path
) -> Iterator[Callable[..., CoreRuntime]]:
    """Return a function that starts a 1.2.4 service; with ``catalog=False`` its catalog is out of reach."""
    started: list[CoreRuntime] = []

    def start(requirement: str = CoreRuntime.REQUIREMENT, **settings: bool) -> CoreRuntime:
        directory = tmp_path / f"core-{len(started)}"
        directory.mkdir()
        python = environment_for(requirement)
        started.append(CoreRuntime(python, directory, core_models, **settings))
        return started[-1]

    yield start
    for runtime in started:
        runtime.kill()


@pytest.fixture
def own_core_runtime(start_core: Callable[..., CoreRuntime]) -> CoreRuntime:
    """Return a 1.2.4 service of the test's own, to be crashed; nothing is loaded."""
    return start_core()


@pytest.fixture
def faults() -> Iterator[FaultServer]:
    """Return a service that fails as told."""
    with FaultServer() as server:
        yield server


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    """Return a gate for answers that a service holds back; it is open at the end."""
    made = threading.Event()
    yield made
    made.set()


@pytest.fixture(scope="session")
def within() -> Callable[[float, Callable[[], object]], bool]:
    """Return a function that waits for a condition, and tells whether it came to hold in time."""

    def wait(seconds: float, condition: Callable[[], object]) -> bool:
        limit = clock.monotonic() + seconds
        while not condition() and clock.monotonic() < limit:
            clock.sleep(0.01)
        return bool(condition())

    return wait


@pytest.fixture(scope="session")
def is_gone() -> Callable[[int], bool]:
    """Return a function that tells whether a process has ended; one that nobody waited for has."""

    def gone(pid: int) -> bool:
        try:
            return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    return gone


@pytest.fixture(scope="session")
def unload(within: Callable[[float, Callable[[], object]], bool]) -> Callable[[FoundryAPIClient, str], None]:
    """Return a function that unloads; a session lives on for milliseconds after its answer's last byte."""

    def drop(client: FoundryAPIClient, name: str = ALIAS) -> None:
        assert within(2, lambda: _unloads(client, name))

    return drop


def _unloads(client: FoundryAPIClient, name: str) -> bool:
    try:
        client.models.unload(name)
    except LoadFailed:
        return False
    return True


def _with_ctrl_c() -> None:
    """Take SIGINT as a terminal's job does: a background job ignores it, and so would its children."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Command:
    """Run ``foundry-rest`` as a process of its own, with the test's environment."""

    def __init__(self) -> None:
        self._started: list[subprocess.Popen[str]] = []

    def __call__(
        self, *arguments: str, stdin: str | bytes = b"", cwd: Path | None = None, **environ: str
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; return its code, what it printed, and its notes."""
        given = stdin.encode() if isinstance(stdin, str) else stdin
        done = subprocess.run(
            self.line(*arguments),
            input=given,
            capture_output=True,
            env=self.environ(**environ),
            timeout=PATIENCE,
            check=False,
            cwd=cwd,
        )
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )

    def start(
        self, *arguments: str, stderr: IO[bytes] | int = subprocess.PIPE, **environ: str
    ) -> subprocess.Popen[str]:
        """Start a command; it is killed at the end of the test if it has not ended."""
        process = subprocess.Popen(
            self.line(*arguments),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            env=self.environ(**environ),
            encoding="utf-8",
            # No thread of ours holds a lock while it is started.
            preexec_fn=_with_ctrl_c if os.name == "posix" else None,  # noqa: PLW1509
        )
        self._started.append(process)
        return process

    def serve(self, *arguments: str, **environ: str) -> tuple[subprocess.Popen[str], str]:
        """Start ``serve`` with the demo model; return the process and the address it printed.

        Its port is a free one unless given: the usual one is the same for all tests at a time.
        """
        given = ["--model-dir", str(demo_model_dir()), "--port", "0", *arguments]
        process = self.start("serve", *given, **environ)
        url = process.stdout.readline().strip()
        assert url, process.stderr.read()
        return process, url

    def registry(self) -> Path:
        """Return the newest registry file in this test's own runtime directory, or where one would be."""
        place = Path(os.environ["XDG_RUNTIME_DIR"], "foundry_rest", "service.json")
        return max(place.parent.glob("service*.json"), key=lambda path: path.stat().st_mtime, default=place)

    def line(self, *arguments: str) -> list[str]:
        """Return the command line."""
        return [sys.executable, "-m", "foundry_rest", *arguments]

    def environ(self, **more: str) -> dict[str, str]:
        """Return the environment: this test's, and this checkout first."""
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        return {**os.environ, "PYTHONPATH": path, "PYTHONUTF8": "1", **more}

    def end(self) -> None:
        """End what is still there."""
        for process in self._started:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(3)
                process.kill()
            process.communicate()


@pytest.fixture
def command() -> Iterator[Command]:
    """Return the command ``foundry-rest``."""
    made = Command()
    yield made
    made.end()


@pytest.fixture
def fake_foundry(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    within: Callable[[float, Callable[[], object]], bool],
    is_gone: Callable[[int], bool],
) -> Iterator[Callable[..., Path]]:
    """Put Microsoft's command ``foundry`` on PATH, played by fake_foundry.py; return what sets its state."""
    if os.name == "nt":
        pytest.skip("a script with a first line that names its interpreter is no command on Windows")
    state, folder = tmp_path / "foundry" / "state.json", tmp_path / "foundry" / "bin"
    folder.mkdir(parents=True)
    script = str(Path(__file__).with_name("fake_foundry.py"))
    launcher = folder / "foundry"
    launcher.write_text(
        f"#!{sys.executable}\nimport runpy\nrunpy.run_path({script!r}, run_name='__main__')\n"
    )
    launcher.chmod(0o755)
    monkeypatch.setenv("PATH", os.pathsep.join((str(folder), os.environ.get("PATH", ""))))
    monkeypatch.setenv("FAKE_FOUNDRY_HOME", str(state.parent))
    monkeypatch.setenv("FAKE_FOUNDRY_OWNER", str(os.getpid()))

    def set_state(**members: object) -> Path:
        """Write the state, described in fake_foundry.py; return its file."""
        state.write_text(json.dumps(members), "utf-8")
        return state

    yield set_state
    pid = json.loads(state.read_text("utf-8")).get("pid") if state.exists() else None
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        assert within(PATIENCE, lambda: is_gone(pid))
