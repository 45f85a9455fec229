"""Downloads by the real native library: from a store on loopback, and where there is none.

The library fetches a model from ``https://{region}.api.azureml.ms/modelregistry/...``, which names a blob
container; a region that ends in ``/x?y=`` leads both to this machine. The certificate is the test's own.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import psutil
import pytest

from foundry_rest import FoundryAPIClient, clock, errors
from foundry_rest.runtime import LocalRuntime, catalog, demo_model_dir
from foundry_rest.runtime.model_folders import read_folders
from foundry_rest.transport.cancellation import CancelToken

pytestmark = pytest.mark.runtime
ALIAS, ID = "demo-chat", "demo-chat-generic-cpu:1"
WEIGHTS = "model.onnx.data"
#: Loaded by the child before anything else: the public catalog and its region are the test's.
SITE = """
import foundry_local_sdk
real = foundry_local_sdk.Configuration.__init__
def redirected(self, **settings):
    if settings["catalog_urls"] is None:
        settings.update(catalog_urls=[({catalog!r}, None)], catalog_region={region!r})
    real(self, **settings)
foundry_local_sdk.Configuration.__init__ = redirected
"""
BLOB = (
    "<Blob><Name>{name}</Name><Properties><Creation-Time>{when}</Creation-Time><Last-Modified>{when}"
    "</Last-Modified><Etag>0x1</Etag><Content-Length>{size}</Content-Length><BlobType>BlockBlob</BlobType>"
    "</Properties></Blob>"
)
LIST = (
    '<?xml version="1.0" encoding="utf-8"?><EnumerationResults ServiceEndpoint="{url}" ContainerName="box">'
    "<Blobs>{blobs}</Blobs><NextMarker /></EnumerationResults>"
)
WHEN = "Mon, 23 Nov 2026 00:00:00 GMT"
#: Headers without which Microsoft's blob client fails.
AZURE = {
    "Content-Type": "application/octet-stream",
    "ETag": '"0x1"',
    "Last-Modified": WHEN,
    "x-ms-blob-type": "BlockBlob",
    "x-ms-creation-time": WHEN,
    "x-ms-lease-state": "available",
    "x-ms-lease-status": "unlocked",
    "x-ms-server-encrypted": "true",
    "x-ms-version": "2021-01-01",
}


class Store:
    """Serve the demo model as Microsoft's registry and its blob store do.

    Attributes:
        refusals: File -> HTTP status in place of its bytes.
        gate: While it is closed, the weights are not sent.
        waiting: Set once they were asked for.
    """

    def __init__(self, context: ssl.SSLContext) -> None:
        self.refusals: dict[str, int] = {}
        self.gate, self.waiting = threading.Event(), threading.Event()
        self.gate.set()
        self.files = {path.name: path.read_bytes() for path in demo_model_dir().iterdir()}
        handler = type("StoreHandler", (Handler,), {"store": self})
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.server.daemon_threads = True
        self.server.socket = context.wrap_socket(
            self.server.socket, server_side=True, do_handshake_on_connect=False
        )
        self.host = f"127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Stop, whoever may still wait."""
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()


class Handler(BaseHTTPRequestHandler):
    """Answer as Azure does."""

    store: Store
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        """Tell a file's size."""
        self.do_GET()

    def do_GET(self) -> None:
        """Give the container's address, its list, or a file."""
        url = f"https://{self.store.host}/box"
        name = urlsplit(self.path).path.rpartition("/")[2]
        if "modelregistry" in self.path:
            self.answer(200, json.dumps({"blobSasUri": f"{url}?sig=x"}).encode())
        elif "comp=list" in self.path:
            blobs = (BLOB.format(name=n, size=len(b), when=WHEN) for n, b in self.store.files.items())
            self.answer(200, LIST.format(url=url, blobs="".join(blobs)).encode())
        elif name in self.store.refusals:
            self.answer(self.store.refusals[name], b"<Error><Code>No</Code></Error>")
        else:
            self.send_file(name)

    def send_file(self, name: str) -> None:
        """Send the asked-for part of a file, the weights when the gate is open."""
        if name == WEIGHTS and self.command == "GET":
            self.store.waiting.set()
            self.store.gate.wait(30)
        content = self.store.files[name]
        asked = self.headers.get("x-ms-range")
        if asked is None:
            self.answer(200, content)
            return
        first, last = (int(number) for number in asked.removeprefix("bytes=").split("-"))
        self.answer(206, content[first : last + 1], f"bytes {first}-{last}/{len(content)}")

    def answer(self, status: int, content: bytes, part: str = "") -> None:
        """Send an answer."""
        self.send_response(status)
        headers = {**AZURE, "Content-Length": str(len(content)), **({"Content-Range": part} if part else {})}
        for header, value in headers.items():
            self.send_header(header, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a certificate for 127.0.0.1 and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl: apt-get install openssl")
    place = tmp_path_factory.mktemp("tls")
    made = place / "certificate.pem", place / "key.pem"
    line = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=s -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*line.split(), "-out", str(made[0]), "-keyout", str(made[1])], check=True, capture_output=True
    )
    return made


@pytest.fixture
def store(certificate: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """Return the store; runtimes of the public catalog that are started now fetch from it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    made = Store(context)
    listing = catalog.CatalogServer(catalog.reply(read_folders(demo_model_dir()))).start()
    site = tmp_path / "site"
    site.mkdir()
    code = SITE.format(catalog=listing.url, region=f"{made.host}/x?y=")
    (site / "sitecustomize.py").write_text(code, "utf-8")
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    yield made
    listing.close()
    made.close()


@pytest.fixture
def empty(store: Store, tmp_path: Path) -> Iterator[LocalRuntime]:
    """Return a runtime of the store's catalog with nothing on disk."""
    with LocalRuntime(cache_dir=tmp_path / "cache") as started:
        yield started


def weights(runtime: LocalRuntime, tmp_path: Path) -> bytes | None:
    """Return the weights in the runtime's cache, if they are there."""
    found = list((tmp_path / "cache").rglob(WEIGHTS))
    return found[0].read_bytes() if found else None


@pytest.mark.parametrize("name", [ALIAS, ID, ALIAS.upper(), "demo-chat-generic-cpu"])
def test_download(empty, store, tmp_path, name):
    """A model is fetched by any of its names; steps rise to the end; afterwards it is there, byte by byte."""
    steps = []
    empty.download(name, steps.append)
    fractions = [step.fraction for step in steps]

    assert fractions == sorted(fractions)
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]
    assert len(steps) > 2
    assert weights(empty, tmp_path) == store.files[WEIGHTS]
    assert not list((tmp_path / "cache").rglob("download.tmp"))


def test_what_was_fetched_can_be_asked(command, store, tmp_path, answers):
    """`download --embedded` fetches it, prints its name alone, and the model then answers as ever."""
    done = command("download", ALIAS, "--embedded")
    with LocalRuntime(cache_dir=Path.home() / ".foundry_rest" / "cache" / "models") as runtime:
        asked = command("chat", "Say OK", "--model", ALIAS, "--temperature", "0", "--url", runtime.url)

    assert (done.returncode, done.stdout) == (0, f"{ID}\n"), done.stderr
    assert (asked.returncode, asked.stdout) == (0, "OK\n"), asked.stderr


def test_one_client_does_all(store, answers):
    """A client with an embedded runtime fetches a model and asks it, without a restart in between."""
    with FoundryAPIClient.embedded() as client:
        steps = []
        info = client.models.download(ALIAS, progress=steps.append)
        reply = client.complete("Say OK", model=ALIAS, temperature=0, max_tokens=20)
        client.models.download(ID, progress=steps.append)

    assert (info.id, info.cached, reply.content) == (ID, True, "OK")
    assert [step.done for step in steps].count(True) == 2


def test_all_in_one_step(store):
    """A model that is nowhere is fetched, loaded and ready by one call, each phase told; then it answers."""
    steps = []
    with FoundryAPIClient.embedded() as client:
        info = client.models.ensure_loaded(ALIAS, download=True, progress=steps.append, device="CPU")
        assert [each.id for each in client.models.loaded()] == [info.id] == [ID]
        assert client.complete("Say OK", model=ALIAS, temperature=0, max_tokens=20).content == "OK"

    assert list(dict.fromkeys(step.phase for step in steps)) == ["download", "load", "ready"]
    assert [step.done for step in steps] == [False] * (len(steps) - 1) + [True]


def test_death_in_one_step(store, is_gone, within):
    """A runtime that dies in the download is an error, the next call goes on; in the load it is revived."""
    told, deaths = [], {"download": 1, "load": 1}

    def kill(step):
        told.append(step.phase)
        if deaths.get(step.phase):
            deaths[step.phase] -= 1
            pid = client.health_check().pid
            psutil.Process(pid).kill()
            assert within(5, lambda: is_gone(pid))  # until then it resets what connects: two end a call

    store.gate.clear()  # the weights are held back, so the download is under way when it dies
    with FoundryAPIClient.embedded() as client:
        with pytest.raises(errors.ServiceUnreachable):
            client.models.ensure_loaded(ALIAS, download=True, progress=kill)
        assert set(told) == {"download"}
        store.gate.set()
        info = client.models.ensure_loaded(ALIAS, download=True, progress=kill)
        assert (told[-2:], deaths) == (["load", "ready"], {"download": 0, "load": 0})
        assert client.complete("Say OK", model=info.id, temperature=0, max_tokens=20).content == "OK"


def test_no_room(store, monkeypatch):
    """A disk without room for the model is an error with both numbers, and nothing was begun."""
    monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=1_000))
    with FoundryAPIClient.embedded() as client:
        with pytest.raises(errors.ConfigError, match=r"needs 1\.0 MB, and 0\.0 MB are free at .*models"):
            client.models.ensure_loaded(ALIAS, download=True)
        folder = Path(client.health_check().cache_path)

    assert not store.waiting.is_set()
    assert not list(folder.rglob("download.tmp"))


def test_a_download_goes_on_where_there_is_room_for_the_rest(store, monkeypatch):
    """What an unfinished download has written already is not needed a second time."""
    store.refusals[WEIGHTS] = 403
    with FoundryAPIClient.embedded() as client:
        with pytest.raises(errors.ServiceUnreachable):
            client.models.download(ALIAS)
        store.refusals.clear()
        size = client.models.resolve(ALIAS).size
        monkeypatch.setattr(psutil, "disk_usage", lambda path: SimpleNamespace(free=size - 4096))
        assert client.models.download(ALIAS).cached


def test_removed_and_fetched_again(store):
    """The embedded runtime forgets a model that was removed: another download fetches it, and it answers."""
    with FoundryAPIClient.embedded() as client:
        client.models.ensure_loaded(ALIAS, download=True)
        folder = Path(client.health_check().cache_path)
        assert client.models.remove(ALIAS).cached is False
        assert (client.models.cached(), client.models.loaded()) == ([], [])
        assert not list(folder.rglob(WEIGHTS))

        steps = []
        assert client.models.ensure_loaded(ALIAS, download=True, progress=steps.append).id == ID
        assert steps[0].phase == "download"
        assert client.complete("Say OK", model=ALIAS, temperature=0, max_tokens=20).content == "OK"


def test_two_at_once(empty, store, tmp_path):
    """Threads that want the same model fetch it once, and all of them hear that it is there."""
    with ThreadPoolExecutor(2) as pool:
        ends = [[], []]
        list(pool.map(lambda heard: empty.download(ALIAS, heard.append), ends))

    assert [heard[-1].done for heard in ends] == [True, True]
    assert weights(empty, tmp_path) == store.files[WEIGHTS]


def test_own_model(own_runtime):
    """A model of one's own directory is there already: one step, done."""
    steps = []
    own_runtime.download(ALIAS, steps.append)

    assert steps[-1].done
    assert steps[-1].fraction == 1


def test_unknown(own_runtime):
    """A name that the catalog does not have is ModelNotFound with the near ones."""
    with pytest.raises(errors.ModelNotFound, match="Did you mean demo-chat") as caught:
        own_runtime.download("demo-chta")

    assert caught.value.suggestions[0] == ALIAS
    assert (caught.value.call, caught.value.model) == ("models.download", "demo-chta")


def test_refused(empty, store, tmp_path):
    """A store that refuses a file is no success: typed, in Microsoft's words, and what to check."""
    store.refusals[WEIGHTS] = 403
    with pytest.raises(errors.ServiceUnreachable, match=r"model\.onnx\.data.*403(?s:.*)SSL_CERT_FILE"):
        empty.download(ALIAS)
    assert list((tmp_path / "cache").rglob("download.tmp"))
    store.refusals.clear()
    empty.download(ALIAS)

    assert weights(empty, tmp_path) == store.files[WEIGHTS]


def test_certificate_that_is_not_known(store, certificate, monkeypatch, tmp_path):
    """Behind a certificate that this machine does not know, the store is unreachable; the advice says why."""
    monkeypatch.delenv("SSL_CERT_FILE")
    with (
        LocalRuntime(cache_dir=tmp_path / "cache") as runtime,
        pytest.raises(errors.ServiceUnreachable) as caught,
    ):
        runtime.download(ALIAS)

    assert "SSL_CERT_FILE" in str(caught.value)


def test_no_catalog(monkeypatch, tmp_path):
    """Where the public catalog cannot be reached no name is called unknown."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with LocalRuntime(cache_dir=tmp_path / "cache") as runtime:
        with pytest.raises(errors.ServiceUnreachable, match=r"catalog is empty(?s:.*)https_proxy"):
            runtime.download("phi-4-mini")
        assert runtime.is_alive()


@pytest.fixture
def held(empty, store):
    """Return a runtime whose download of the weights stands still; it is started in another thread."""
    store.gate.clear()
    with ThreadPoolExecutor(1) as pool:

        def begin(**bounds):
            running = pool.submit(empty.download, ALIAS, **bounds)
            assert store.waiting.wait(10)
            return running

        yield begin
        store.gate.set()


def test_close_ends_it(empty, held):
    """close() ends a download at once, in the thread that waits for it."""
    running = held()
    empty.close()

    assert isinstance(running.exception(5), errors.Cancelled)


def test_cancel_ends_it(empty, held, store, tmp_path):
    """A cancel token ends the wait at once; the library stops fetching, and the next download succeeds."""
    token = CancelToken()
    running = held(cancel=token)
    token.cancel()
    assert isinstance(running.exception(5), errors.Cancelled)
    store.gate.set()
    empty.download(ALIAS)

    assert weights(empty, tmp_path) == store.files[WEIGHTS]


def test_deadline(empty, store):
    """A deadline ends the wait, whatever the download waits for."""
    store.gate.clear()
    with pytest.raises(errors.DeadlineExceeded):
        empty.download(ALIAS, until=clock.monotonic() + 0.3)


def test_death(empty, held, store, tmp_path):
    """A runtime that dies meanwhile is unreachable; the next download starts it again and goes on."""
    running = held()
    psutil.Process(empty.pid).kill()
    assert isinstance(running.exception(5), errors.ServiceUnreachable)
    store.gate.set()
    empty.download(ALIAS)

    assert weights(empty, tmp_path) == store.files[WEIGHTS]


def test_listener_that_raises(empty, store, tmp_path):
    """What the listener raises ends the download and reaches the caller; a later one succeeds."""

    def complain(_: object) -> None:
        raise LookupError("enough")

    with pytest.raises(LookupError, match="enough"):
        empty.download(ALIAS, complain)
    empty.download(ALIAS)

    assert weights(empty, tmp_path) == store.files[WEIGHTS]


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c(command, store, within, is_gone):
    """Ctrl-C in a download is code 130 without a traceback; the runtime is gone, what has come is kept."""
    store.gate.clear()
    process = command.start("download", ALIAS, "--embedded", FOUNDRY_LOG_LEVEL="WARNING")
    assert store.waiting.wait(20)
    (child,) = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=10)

    assert (process.returncode, stdout) == (130, "")
    assert "Traceback" not in stderr
    assert "is on disk" not in stderr
    assert within(3, lambda: is_gone(child.pid))
    assert list(Path.home().rglob("download.tmp"))
