"""`LocalRuntime` over the real host, with a small stand-in for Microsoft's package."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import psutil
import pytest
from support.platforms import posix
from support.waits import until

from foundry_rest import clock
from foundry_rest.errors import Cancelled, ConfigError, ModelNotFound, ServerError, ServiceUnreachable
from foundry_rest.runtime import LocalModel, LocalRuntime, demo_model_dir, local_runtime

#: What the host needs of foundry_local_sdk; STAND_IN says how the start goes.
SDK = """
import json, os, signal, time

class Configuration:
    class WebService:
        def __init__(self, urls):
            self.urls = urls

    def __init__(self, **settings):
        self.settings = settings


class Model:
    alias, id = "phi", "phi-generic-cpu:1"
    is_cached = False

    @property
    def variants(self):
        return [self]

    def download(self, report, stop):
        for percent in (0.0, 0.05, 25.0, 25.05, 100.0, 100.0):
            report(percent)
        exec(os.environ.get("DOWNLOAD", ""))
        self.is_cached = "LOST" not in os.environ

    def remove_from_cache(self):
        exec(os.environ.get("REMOVE", ""))
        self.is_cached = False


class Catalog:
    model = Model()

    def get_model(self, alias):
        return self.model if alias == "phi" else None

    def get_model_variant(self, id):
        return self.model if id == self.model.id else None

    def list_models(self):
        return [self.model]


class FoundryLocalManager:
    def __init__(self, configuration):
        self.settings = configuration.settings
        self.urls = None
        self.catalog = Catalog()

    def start_web_service(self):
        os.write(1, b"native noise on standard output\\n")
        exec(os.environ.get("STAND_IN", ""))
        said = {**self.settings, "web": self.settings["web"].urls, "log_level": None}
        with open(self.settings["logs_dir"] + ".json", "w") as file:
            json.dump(said, file)
        self.urls = ["http://0.0.0.0:4711"]

    def is_shutdown_requested(self):
        return False
"""
LOGGING = "class LogLevel:\n    WARNING = 3\n"
hosted = pytest.mark.skipif(sys.version_info < (3, 11), reason="the runtime needs Python 3.11")


@pytest.fixture
def sdk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in before whatever is installed, on sys.path only."""
    package = tmp_path / "site" / "foundry_local_sdk"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(SDK, "utf-8")
    (package / "logging_helper.py").write_text(LOGGING, "utf-8")
    monkeypatch.syspath_prepend(str(package.parent))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Return a model directory."""
    path = tmp_path / "phi"
    path.mkdir()
    (path / "genai_config.json").write_text('{"model": {}}', "utf-8")
    return path


def test_models(model):
    """The names are known before anything starts."""
    assert LocalRuntime(model).models == (LocalModel("phi", "phi-generic-cpu:1", model),)
    assert LocalRuntime().models == ()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"port": 65536}, "port must be"),
        ({"port": -1}, "port must be"),
        ({"port": "80"}, "port must be"),
        ({"port": True}, "port must be"),
        ({"host": ""}, "host must be"),
        ({"host": "::1"}, "host must be"),
        ({"host": "http://127.0.0.1"}, "host must be"),
        ({"host": None}, "host must be"),
        ({"start_timeout": 0}, "start_timeout must be"),
        ({"model_dirs": "/nonexistent"}, "does not exist"),
    ],
)
def test_bad_values(arguments, message):
    """A value that cannot be used is refused before anything starts."""
    with pytest.raises(ConfigError, match=message):
        LocalRuntime(**arguments)


@pytest.mark.parametrize("name", ["url", "pid"])
def test_not_started(name):
    """What only a started runtime has says so, and how to start it."""
    runtime = LocalRuntime()

    with pytest.raises(ConfigError, match=r"not started\. Use it in a `with` statement"):
        getattr(runtime, name)
    assert not runtime.is_alive()
    assert repr(runtime) == "<LocalRuntime not started: public catalog>"
    runtime.close()


@hosted
def test_not_installed(monkeypatch):
    """Without Microsoft's package the message is the command that installs it."""
    monkeypatch.setitem(sys.modules, "foundry_local_sdk", None)

    with pytest.raises(ConfigError, match=r'Run: pip install "foundry_rest\[runtime\]"'):
        LocalRuntime().start()


def test_old_python(monkeypatch):
    """On Python 3.10 the message names the version that is needed."""
    monkeypatch.setattr(sys, "version_info", (3, 10, 9))

    with pytest.raises(ConfigError, match=r"Python 3\.11 or newer.*foundry_rest\[runtime\]"):
        LocalRuntime().start()


@hosted
def test_life(sdk, model):
    """Started by `with`, gone after it; the parent never imports Microsoft's package."""
    with LocalRuntime(model, port=4711) as runtime:
        process = psutil.Process(runtime.pid)
        directory = runtime._child._directory
        assert runtime.url == "http://127.0.0.1:4711"
        assert runtime.is_alive()
        assert runtime.start() is runtime
        assert runtime.pid == process.pid
        assert repr(runtime) == "<LocalRuntime http://127.0.0.1:4711: phi>"
        told = json.loads((directory / "logs.json").read_text("utf-8"))
        printed = (directory / "stderr.log").read_text("utf-8")

    assert "foundry_local_sdk" not in sys.modules
    assert not process.is_running()
    assert not directory.exists()
    assert printed == "native noise on standard output\n"
    assert told["web"] == "http://127.0.0.1:4711"
    assert told["disable_nonessential_telemetry"] is True
    assert told["model_cache_dir"] == str(directory / "cache")
    assert told["catalog_region"] == "local"
    assert told["catalog_urls"][0][0].endswith("/asset-gallery/v1.0/models")


@hosted
def test_public_catalog(sdk, tmp_path):
    """Without directories the SDK's own catalog is used, and the cache that is shared between runs."""
    with LocalRuntime(cache_dir=tmp_path / "cache") as runtime:
        told = json.loads((runtime._child._directory / "logs.json").read_text("utf-8"))

    assert told["app_name"] == "foundry_rest"
    assert told["catalog_urls"] is None
    assert told["catalog_region"] is None
    assert told["app_data_dir"] is None
    assert told["model_cache_dir"] == str(tmp_path / "cache")


@hosted
def test_words_of_the_native_runtime(sdk, monkeypatch):
    """What the library raises reaches the caller with its type; the child's prints do not disturb it."""
    monkeypatch.setenv("STAND_IN", "raise RuntimeError('Couldn\\'t bind Address already in use')")

    with pytest.raises(ServiceUnreachable, match="RuntimeError: Couldn't bind Address already in use"):
        LocalRuntime().start()


@hosted
@posix
def test_crash_during_the_start(sdk, monkeypatch):
    """A crash in the library is an error of ours with the signal and the place; a start may follow."""
    monkeypatch.setenv("STAND_IN", "os.kill(os.getpid(), signal.SIGSEGV)")
    runtime = LocalRuntime()

    with pytest.raises(ServiceUnreachable, match=r"SIGSEGV(?s:.*)in start_web_service"):
        runtime.start()
    assert not runtime.is_alive()
    monkeypatch.delenv("STAND_IN")
    with runtime:
        assert runtime.is_alive()


@hosted
@posix
def test_start_after_a_crash(sdk):
    """A runtime that died is started anew by start(); what the dead one left is removed."""
    with LocalRuntime() as runtime:
        first, directory = runtime.pid, runtime._child._directory
        psutil.Process(first).kill()
        until(lambda: not runtime.is_alive())
        runtime.start()

        assert runtime.is_alive()
        assert runtime.pid != first
        assert not directory.exists()


@hosted
@posix
def test_interrupt_in_the_terminal(sdk):
    """Ctrl-C is for the parent: the child is in a session of its own and ignores SIGINT."""
    with LocalRuntime() as runtime:
        assert os.getsid(runtime.pid) != os.getsid(0)
        psutil.Process(runtime.pid).send_signal(2)
        clock.sleep(0.05)
        assert runtime.is_alive()


@hosted
@pytest.mark.parametrize("name", ["phi", "phi-generic-cpu:1", "PHI", "Phi-Generic-CPU"])
def test_download(sdk, name):
    """Steps come in this thread as fractions, a line for each 0.1 %; the last one is done."""
    steps = []
    with LocalRuntime() as runtime:
        runtime.download(name, steps.append)

    assert [(step.fraction, step.done) for step in steps] == [(0.25, False), (1.0, False), (1.0, True)]


@hosted
@pytest.mark.parametrize(
    ("name", "code", "error", "said"),
    [
        ("phy", "", ModelNotFound, "Did you mean phi"),
        ("phi", "raise OSError('pwrite failed (errno 28)')", ServerError, "errno 28.*Check free space"),
        ("phi", "raise ValueError", ServerError, "the download failed: ValueError"),
        (
            "phi",
            "error = OSError('HTTP 503'); error.error_code = 6; raise error",
            ServiceUnreachable,
            "HTTP 503.*https_proxy",
        ),
        ("phi", "os._exit(77)", ServiceUnreachable, "died.*exit code 77"),
        pytest.param(
            "phi",
            "os.kill(os.getpid(), signal.SIGKILL)",
            ServiceUnreachable,
            "died.*SIGKILL",
            marks=posix,
        ),
        ("phi", "os.environ['LOST'] = '1'", ServerError, "ended, but the model is not on disk"),
    ],
)
def test_download_that_fails(sdk, monkeypatch, name, code, error, said):
    """Each way to fail has its class, Microsoft's words, and what to do; it is never a success."""
    monkeypatch.setenv("DOWNLOAD", code)
    steps = []
    with LocalRuntime() as runtime, pytest.raises(error, match=f"(?s){said}") as caught:
        runtime.download(name, steps.append)

    assert (caught.value.call, caught.value.model or name) == ("models.download", name)
    assert not any(step.done for step in steps)


@hosted
def test_download_again(sdk, monkeypatch):
    """After a failure the runtime still serves, and after a death it is started again for the next one."""
    monkeypatch.setenv("DOWNLOAD", "os._exit(77)")
    with LocalRuntime() as runtime:
        first = runtime.pid
        with pytest.raises(ServiceUnreachable):
            runtime.download("phi")
        monkeypatch.setenv("DOWNLOAD", "")
        runtime.download("phi")

        assert runtime.pid != first


@pytest.mark.parametrize(
    ("name", "said"), [("", "model must be"), ("a b", "no alias or id"), ("phi", "not started")]
)
def test_download_that_cannot_be(name, said):
    """A name that is none, and a runtime that is not started, are found before anything is asked."""
    with pytest.raises(ConfigError, match=said):
        LocalRuntime().download(name)


@hosted
def test_forget(sdk, monkeypatch):
    """A model whose folder was deleted is forgotten; a refusal has the library's words; unknown is fine."""
    with LocalRuntime() as runtime:
        runtime.download("phi")
        runtime.forget("phi-generic-cpu:1")
        runtime.forget("phi-generic-cpu:1")
        runtime.forget("nobody:1")
    monkeypatch.setenv("REMOVE", "raise ValueError('still loaded')")
    with LocalRuntime() as runtime:
        runtime.download("phi")
        with pytest.raises(ServerError, match="still loaded") as caught:
            runtime.forget("phi-generic-cpu:1")
    assert caught.value.call == "models.remove"

    with pytest.raises(ConfigError, match="not started"):
        LocalRuntime().forget("phi-generic-cpu:1")


@hosted
def test_download_after_close(sdk):
    """A runtime that was closed downloads nothing."""
    runtime = LocalRuntime().start()
    runtime._is_wanted = False
    with pytest.raises(Cancelled):
        runtime.download("phi")
    runtime.close()


@pytest.mark.parametrize("version", ["2.1.0", "2.0.1", "1.2.4", "0.5.1"])
def test_an_sdk_that_is_too_old(monkeypatch, version):
    """It is named before anything starts, with what is needed; any newer one is not."""
    monkeypatch.setattr(local_runtime.importlib.metadata, "version", lambda name: version)
    monkeypatch.setattr(local_runtime.importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(local_runtime.sys, "version_info", (3, 11))

    with pytest.raises(ConfigError, match=rf"foundry-local-sdk 2\.2 or newer, and {version} is installed"):
        LocalRuntime(demo_model_dir()).start()
