"""Microsoft's client 0.5.1 lives its whole life against our 0.x service, which has no special case for it.

What the two agree on is what ``Generation0Dialect`` is tested against; the last tests hold our client beside
theirs. The fake command ``foundry`` is on PATH, as the client wants it.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support.transports import BoundTransport

from foundry_rest.config import Timeouts
from foundry_rest.dialects.generation0_cli import Generation0Dialect
from foundry_rest.testing import FaultServer, LegacyService, dead_address, legacy_model
from foundry_rest.testing.legacy import LEGACY_CACHED, LEGACY_CATALOG
from foundry_rest.transport.call import Options

pytestmark = pytest.mark.runtime

#: Seconds that one program may take.
PATIENCE = 60
CPU, QWEN_OLD, EMBEDDER = LEGACY_CACHED
NPU, GPU, _, QWEN, _, MISTRAL, _ = (entry["name"] for entry in LEGACY_CATALOG)
OPTIONS = Options(Timeouts(connect=2, first_token=5, idle=5))
#: What every program begins with; ``tell`` prints what the test gets.
PRELUDE = """
import json, logging, os, sys
from foundry_local import FoundryLocalManager
from foundry_local.models import DeviceType

def tell(value):
    print("\\nTOLD " + json.dumps(value))

def error_of(do, *arguments, **named):
    try:
        return [None, repr(do(*arguments, **named))]
    except Exception as error:
        return [type(error).__name__, str(error)]

def ids(models):
    return [model.id for model in models]

"""
Run = Callable[..., object]


@pytest.fixture
def run(
    fake_foundry: Callable[..., Path], environment_for: Callable[[str], Path], tmp_path: Path
) -> Callable[..., object]:
    """Return a function that runs a program with Microsoft's client; it returns what the program told."""
    python = environment_for("foundry-local-sdk==0.5.1")

    def run(*lines: str, **environ: str) -> object:
        # A file, not a pipe: a service that the client starts holds its standard output open for ever.
        output = tmp_path / "output"
        with output.open("w") as sink:
            subprocess.run(
                [python, "-c", "\n".join((PRELUDE, *lines))],
                env={**os.environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                timeout=PATIENCE,
                check=False,
            )
        text = output.read_text("utf-8")
        assert "\nTOLD " in text, text
        return json.loads(text.rpartition("\nTOLD ")[2].partition("\n")[0])

    return run


@pytest.fixture
def service() -> LegacyService:
    """Return the state behind the server."""
    return LegacyService()


@pytest.fixture
def server(service: LegacyService, fake_foundry: Callable[..., Path]) -> Iterator[FaultServer]:
    """Run the service; the command says where it is."""
    with FaultServer(service=service, header_limit=None) as running:
        fake_foundry(url=running.url)
        yield running


def paths(server: FaultServer, under: str) -> list[str]:
    """Return what was asked below a path, with the queries."""
    return [
        f"{request.path}?{request.query}" for request in server.requests if request.path.startswith(under)
    ]


# ------------------------------------------------------------------------------ the service itself


def test_bootstrap_starts_the_service(run: Run, fake_foundry: Callable[..., Path]) -> None:
    """With none running, the client starts one, downloads the alias's best variant, and loads it."""
    told = run(
        "manager = FoundryLocalManager('qwen2.5-0.5b')",
        "tell([manager.is_service_running(), manager.service_uri, manager.endpoint, manager.api_key,",
        "    ids(manager.list_loaded_models()), ids(manager.list_cached_models())])",
        OPENAI_API_KEY="",
    )
    url = state()["url"]

    assert told == [
        True,
        url,
        f"{url}/v1",
        "OPENAI_API_KEY",
        [QWEN],
        [CPU, QWEN_OLD, EMBEDDER, QWEN],
    ]


def test_a_running_service_is_taken(run: Run, server: FaultServer) -> None:
    """With one running, nothing is started; the key comes from the environment."""
    told = run(
        "manager = FoundryLocalManager()", "tell([manager.service_uri, manager.api_key])", OPENAI_API_KEY="k"
    )

    assert told == [server.url, "k"]
    assert "pid" not in state()


def test_without_bootstrap_nothing_starts(run: Run, fake_foundry: Callable[..., Path]) -> None:
    """The client knows no service until it is told to start one."""
    told = run(
        "manager = FoundryLocalManager(bootstrap=False)",
        "before = [manager.is_service_running(), error_of(lambda: manager.endpoint)]",
        "manager.start_service()",
        "tell([*before, manager.is_service_running()])",
    )

    assert told == [False, ["RuntimeError", "Service URI is not set. Please start the service first."], True]


def test_a_dead_address_is_believed(run: Run, fake_foundry: Callable[..., Path]) -> None:
    """The command's exception text holds a URL, which the client takes for a service (issue 286)."""
    with dead_address() as dead:
        fake_foundry(url=dead, dead=True)
        told = run(
            "manager = FoundryLocalManager()",
            "tell([manager.service_uri, error_of(manager.list_catalog_models)])",
        )

    assert told[0] == dead
    assert told[1][0] == "ConnectionError"


def test_the_service_ends_with_its_owner(
    fake_foundry: Callable[..., Path], within: Callable[..., bool], is_gone: Callable[[int], bool]
) -> None:
    """Nothing of a test run is left behind, however it ends; the command prints what the real one prints."""
    owner = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    said = [say("start", FAKE_FOUNDRY_OWNER=str(owner.pid)), say("start"), say("status")]
    url, pid = state()["url"], state()["pid"]

    assert said == [
        f"\N{LARGE GREEN CIRCLE} Service is Started on {url}/, PID {pid}!\n",
        f"\N{LARGE GREEN CIRCLE} Service is already running on {url}/.\n",
        f"\N{LARGE GREEN CIRCLE} Model management service is running on {url}/openai/status\n",
    ]
    assert not is_gone(pid)
    owner.communicate(b"\n")
    assert within(5, lambda: is_gone(pid))


def test_the_service_stops_when_told(
    fake_foundry: Callable[..., Path], within: Callable[..., bool], is_gone: Callable[[int], bool]
) -> None:
    """``service stop`` ends the process; the status says so."""
    say("start")
    pid = state()["pid"]

    assert say("stop").endswith("Service is stopped.\n")
    assert within(5, lambda: is_gone(pid))
    assert "is not running!" in say("status")


def state() -> dict[str, object]:
    """Return what the fake command knows."""
    return json.loads(Path(os.environ["FAKE_FOUNDRY_HOME"], "state.json").read_text("utf-8"))


def say(verb: str, **environ: str) -> str:
    """Return what ``foundry service`` prints; through a file, as its child keeps the output open."""
    output = Path(os.environ["FAKE_FOUNDRY_HOME"], "said")
    with output.open("wb") as sink:
        subprocess.run(
            ["foundry", "service", verb],
            stdout=sink,
            env={**os.environ, **environ},
            timeout=PATIENCE,
            check=True,
        )
    return output.read_text("utf-8")


# ------------------------------------------------------------------------------ the catalog


def test_the_catalog(run: Run, server: FaultServer) -> None:
    """Every entry is whole enough for the client's strict reader, and the order is kept."""
    told = run(
        "models = FoundryLocalManager().list_catalog_models()",
        "tell([model.model_dump(mode='json') for model in models])",
    )

    assert [model["id"] for model in told] == [entry["name"] for entry in LEGACY_CATALOG]
    assert told[2] == {
        "alias": "phi-4-mini",
        "id": CPU,
        "version": "5",
        "execution_provider": "CPUExecutionProvider",
        "device_type": "CPU",
        "uri": "azureml://registries/azureml/models/Phi-4-mini-instruct-generic-cpu/versions/5",
        "file_size_mb": 4915,
        "supports_tool_calling": True,
        "prompt_template": LEGACY_CATALOG[2]["promptTemplate"],
        "provider": "AzureFoundry",
        "publisher": "Microsoft",
        "license": "MIT",
        "task": "chat-completion",
        "ep_override": None,
    }


def test_names(run: Run, server: FaultServer) -> None:
    """Alias, device, id, and id without its version mean what they mean to the client."""
    told = run(
        "find = FoundryLocalManager().get_model_info",
        "found = [find('phi-4-mini'), find('PHI-4-MINI', DeviceType.CPU),",
        "    find('phi-4-mini', DeviceType.GPU),",
        f"    find({QWEN_OLD!r}), find({QWEN.partition(':')[0]!r}), find('nothing')]",
        "unknown = error_of(find, 'nothing', raise_on_not_found=True)",
        "tell([[info and info.id for info in found], unknown])",
    )

    assert told == [
        [NPU, CPU, GPU, QWEN_OLD, QWEN, None],
        ["ValueError", "Model nothing not found in the catalog."],
    ]


def test_what_is_on_disk(run: Run, server: FaultServer) -> None:
    """The cached models and their directory; the catalog is asked for once, and again when told."""
    told = run(
        "manager = FoundryLocalManager()",
        "found = ids(manager.list_cached_models()), manager.get_cache_location()",
        "manager.list_catalog_models(); manager.refresh_catalog(); manager.list_catalog_models()",
        "tell(found)",
    )

    assert told == [list(LEGACY_CACHED), "/no-such-directory/foundry/cache/models"]
    assert len(server.asked("/foundry/list")) == 2


def test_upgrades(run: Run, server: FaultServer, service: LegacyService) -> None:
    """An older version on disk can be upgraded, by alias or by the old id; the newest cannot."""
    told = run(
        "manager = FoundryLocalManager()",
        f"before = [manager.is_model_upgradeable(name) for name in ({QWEN_OLD!r}, {CPU!r})]",
        f"manager.upgrade_model({QWEN_OLD!r})",
        f"tell([*before, manager.is_model_upgradeable({QWEN_OLD!r}),",
        "    error_of(manager.is_model_upgradeable, '')])",
    )

    assert told[:3] == [True, False, False]
    assert told[3][0] == "ValueError"
    assert service.cached[-1] == QWEN


# ------------------------------------------------------------------------------ downloading


def test_a_download(run: Run, server: FaultServer, service: LegacyService) -> None:
    """What is on disk is asked for only by force."""
    told = run(
        "manager = FoundryLocalManager()",
        "get = manager.download_model",
        "downloaded = [get('phi-4-mini', DeviceType.CPU), get('phi-4-mini'),",
        f"    get({CPU!r}, token='t', force=True)]",
        "tell(ids(downloaded))",
    )
    bodies = [request.json() for request in server.asked("/openai/download")]

    assert told == [CPU, NPU, CPU]
    assert [(body["model"]["Name"], body["token"]) for body in bodies] == [(NPU, None), (CPU, "t")]
    assert service.cached == (*LEGACY_CACHED, NPU)


def test_progress_of_a_download(run: Run, server: FaultServer, tmp_path: Path) -> None:
    """The client's progress bar runs to its end on our lines."""
    run(
        "logging.getLogger('foundry_local').setLevel(logging.INFO)",
        "tell(FoundryLocalManager().download_model('mistral-7b-v0.2').id)",
    )

    assert "100.0/100.0" in (tmp_path / "output").read_text("utf-8")


def test_downloads_that_fail(run: Run, server: FaultServer, service: LegacyService) -> None:
    """The service's message reaches the user; a cut is an error too."""
    download = "tell(error_of(FoundryLocalManager().download_model, 'mistral-7b-v0.2'))"
    service.download_error = "disk full"
    failed = run(download)
    service.download_error, service.download_stop = None, 2
    cut = run(download)

    assert failed == ["RuntimeError", "Failed to download model with error: disk full"]
    assert cut[0] == "RemoteProtocolError"
    assert MISTRAL not in service.cached


# ------------------------------------------------------------------------------ loading


def test_loading(run: Run, server: FaultServer, service: LegacyService) -> None:
    """By alias, device, or id, with the client's own time to live or another."""
    told = run(
        "manager = FoundryLocalManager()",
        "load = manager.load_model",
        f"loaded = [load('phi-4-mini', DeviceType.CPU), load({QWEN_OLD!r}, ttl=5)]",
        "tell([ids(loaded), ids(manager.list_loaded_models())])",
    )

    assert told == [[CPU, QWEN_OLD], [CPU, QWEN_OLD]]
    assert paths(server, "/openai/load/") == [
        f"/openai/load/{CPU}?ttl=600&ep=",
        f"/openai/load/{QWEN_OLD}?ttl=5&ep=",
    ]
    service.expire()
    assert service.loaded == ()


def test_loads_that_fail(run: Run, fake_foundry: Callable[..., Path]) -> None:
    """What is not on disk is recognised by the service's words; what is broken tells them."""
    with FaultServer(service=LegacyService(broken=[CPU])) as server:
        fake_foundry(url=server.url)
        told = run(
            "load = FoundryLocalManager().load_model",
            f"tell([error_of(load, name) for name in ('mistral-7b-v0.2', {CPU!r}, 'nothing')])",
        )

    assert told == [
        ["ValueError", "Model mistral-7b-v0.2 has not been downloaded yet. Please download it first."],
        ["HttpResponseError", f"500 - Failed loading model {CPU}"],
        ["ValueError", "Model nothing not found in the catalog."],
    ]


def test_a_cuda_machine(run: Run, fake_foundry: Callable[..., Path]) -> None:
    """Where one variant needs CUDA, the client loads the generic GPU variants with it."""
    cuda = legacy_model("phi-4-cuda-gpu:1", "phi-4", "GPU", provider="CUDAExecutionProvider")
    with FaultServer(service=LegacyService([cuda, *LEGACY_CATALOG], [GPU])) as server:
        fake_foundry(url=server.url)
        told = run(f"tell(ids([FoundryLocalManager().load_model({GPU!r})]))")

    assert told == [GPU]
    assert paths(server, "/openai/load/") == [f"/openai/load/{GPU}?ttl=600&ep=cuda"]


def test_unloading(run: Run, server: FaultServer, service: LegacyService) -> None:
    """Without force the time to live has to run out; what is not loaded is not asked for."""
    told = run(
        "manager = FoundryLocalManager()",
        f"manager.load_model({CPU!r})",
        "manager.unload_model('phi-4-mini', DeviceType.CPU)",
        "kept = ids(manager.list_loaded_models())",
        f"manager.unload_model({CPU!r}, force=True)",
        f"manager.unload_model({QWEN!r}, force=True)",
        "tell([kept, ids(manager.list_loaded_models())])",
    )

    assert told == [[CPU], []]
    assert paths(server, "/openai/unload/") == [
        f"/openai/unload/{CPU}?force={word}" for word in ("false", "true")
    ]


# ------------------------------------------------------------------------------ asking


def test_chat_over_the_endpoint(run: Run, server: FaultServer, service: LegacyService) -> None:
    """What the client gives as ``endpoint`` is where an OpenAI client asks."""
    service.loaded = [CPU]
    told = run(
        "import httpx",
        "manager = FoundryLocalManager()",
        "def ask(model, **more):",
        "    body = {'model': model, 'messages': [{'role': 'user', 'content': 'Hi'}], **more}",
        "    headers = {'Authorization': f'Bearer {manager.api_key}'}",
        "    return httpx.post(f'{manager.endpoint}/chat/completions', json=body, headers=headers)",
        "info = manager.get_model_info('phi-4-mini', DeviceType.CPU)",
        "whole, stream, alias = ask(info.id).json(), ask(info.id, stream=True).text, ask('phi-4-mini')",
        "tell([whole['choices'][0]['message'], stream.count('data: '), alias.status_code, alias.text])",
    )

    assert told == [
        {"role": "assistant", "content": "Hello there"},
        3,
        400,
        "No OpenAIService provider found for modelName:phi-4-mini",
    ]


# ------------------------------------------------------------------------------ beside ours


def test_both_clients_ask_the_same(run: Run, server: FaultServer, service: LegacyService) -> None:
    """Our calls to load, unload and download are theirs, byte for byte where it matters."""
    run(
        "manager = FoundryLocalManager()",
        "manager.download_model('mistral-7b-v0.2')",
        "manager.load_model('mistral-7b-v0.2')",
        "manager.unload_model('mistral-7b-v0.2', force=True)",
        "tell(0)",
    )
    theirs = [request for request in server.requests if "load" in request.path and "ed" not in request.path]
    transport, dialect = BoundTransport(lambda: server.url), Generation0Dialect()
    listing = dialect.models().listed(OPTIONS)
    info = next(each for each in listing.parse(transport.send(listing.call)) if each.id == MISTRAL)
    before = len(server.requests)
    download = dialect.models().download(info, OPTIONS)
    steps = [download.parse(line) for line in transport.open(download.call)]
    for operation in (
        dialect.models().load(MISTRAL, OPTIONS),
        dialect.models().unload(MISTRAL, OPTIONS, force=True),
    ):
        transport.send(operation.call)
    transport.close()
    ours = server.requests[before:]

    assert [step.done for step in steps] == [False] * 6 + [True]
    assert [(each.method, each.path) for each in ours] == [(each.method, each.path) for each in theirs]
    assert [each.query for each in ours] == [each.query.replace("&ep=", "") for each in theirs]
    assert ours[0].json() == {**theirs[0].json(), "token": ""}
