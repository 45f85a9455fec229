"""The commands as other programs spell them, and those for models that do not chat."""

from __future__ import annotations

import json

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.cli.command_table import COMMANDS
from foundry_rest.cli.commands import _COMMANDS
from foundry_rest.cli.models import _LISTS
from foundry_rest.cli.parser import build_parser
from foundry_rest.endpoints.models import Models
from foundry_rest.errors import UnsupportedByService
from foundry_rest.schema import ModelInfo
from foundry_rest.testing import error_event, event, json_answer, sse

ID = "demo-generic-cpu:1"
INFO = ModelInfo(
    id=ID,
    alias="demo",
    version="1",
    device="CPU",
    execution_provider="CPUExecutionProvider",
    size=3 * 1024**2,
    context_length=4096,
    tool_calling=True,
    cached=True,
)


def embed(request):
    """Answer with the length of each text."""
    texts = request.json()["input"]
    data = [
        {"object": "embedding", "index": n, "embedding": [len(text), 0.5]} for n, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    return json_answer({"data": data, "model": ID, "usage": usage})


def test_a_name_runs_one_command():
    """Another name has the arguments of its command, and is its command; none is without a handler."""
    parsed = {
        name: build_parser().parse_args([name, *given]).command
        for name, given in {
            "ps": [],
            "list": [],
            "pull": ["m"],
            "stop": ["m"],
            "show": ["m"],
            "rm": ["m"],
            "run": ["m", "hello"],
        }.items()
    }

    assert parsed == {
        "ps": "models",
        "list": "models",
        "rm": "models",
        "run": "chat",
        "pull": "download",
        "stop": "unload",
        "show": "show",
    }
    assert {row.runs or row.name for row in COMMANDS.values()} == set(_COMMANDS)


def test_run(run, server):
    """`run NAME PROMPT` asks that model, as `chat -m NAME PROMPT` does; the name has one place."""
    assert run("run", "demo", "hello") == run("chat", "-m", "demo", "hello")
    assert run("run", "demo", "hello")[0] == 0
    code, _, stderr = run("run", "demo", "-m", "other", "hello")
    assert (code, "unrecognized arguments: -m" in stderr) == (2, True)


def test_models_in_memory(run, server):
    """`ps` is `models --loaded`, `stop` is `unload`."""
    run("load", "demo")
    assert run("ps") == run("models", "--loaded")
    assert json.loads(run("ps", "--json")[1])[0]["id"] == ID
    assert run("stop", "demo") == (0, "", "demo is not in memory.\n")
    assert run("ps")[:2] == (0, "")


@pytest.mark.parametrize("dropped", [[ID, "b:1"], []])
def test_unload_in_json(run, server, monkeypatch, dropped):
    """With `--json` the names of what was unloaded are an object."""
    monkeypatch.setattr(Models, "unload_all", lambda _, *, force: dropped)

    assert json.loads(run("unload", "demo", "--json")[1]) == {"unloaded": ["demo"]}
    assert json.loads(run("stop", "--all", "--json")[1]) == {"unloaded": dropped}


def test_list(run, server, monkeypatch):
    """`list` lists what is on disk, `--all` what is known."""
    monkeypatch.setattr(Models, "cached", lambda _: [INFO])
    monkeypatch.setitem(_LISTS, "known", (lambda _: [INFO, ModelInfo(id="b:1")], ""))

    assert [model["id"] for model in json.loads(run("list", "--json")[1])] == [ID]
    assert [model["id"] for model in json.loads(run("list", "--all", "--json")[1])] == [ID, "b:1"]


def test_list_where_the_disk_is_not_told(run, server, monkeypatch):
    """A service on another machine that tells no disk lists all, and that is said."""

    def cached(_):
        raise UnsupportedByService("no")

    monkeypatch.setattr(Models, "cached", cached)
    monkeypatch.setattr(Models, "catalog", lambda _: [INFO])
    code, stdout, stderr = run("list")

    assert (code, ID in stdout) == (0, True)
    assert "tells no disk" in stderr


def test_list_of_nothing(run, server, monkeypatch):
    """Without a model on disk a note says how to get one."""
    monkeypatch.setattr(Models, "cached", lambda _: [])

    code, stdout, stderr = run("list")
    assert (code, stdout) == (0, "")
    assert "foundry-rest pull NAME" in stderr


def test_show(run, server, monkeypatch):
    """`show` prints each known fact on a line, and no unknown one."""
    asked = []
    monkeypatch.setattr(Models, "resolve", lambda _, name, *, device: asked.append((name, device)) or INFO)
    code, stdout, _ = run("show", "demo", "--device", "cpu")
    facts = dict(line.split(":", 1) for line in stdout.splitlines())

    assert code == 0
    assert {name: value.strip() for name, value in facts.items()} == {
        "id": ID,
        "alias": "demo",
        "version": "1",
        "device": "CPU by CPUExecutionProvider",
        "size": "3 MiB",
        "context": "4,096 tokens",
        "tools": "can be called",
        "state": "on disk",
    }
    assert asked == [("demo", "cpu")]
    assert json.loads(run("show", "demo", "--json")[1])["context_length"] == 4096


def test_show_of_nobody(run, server):
    """A model that is not known is code 1, with names that are."""
    code, stdout, stderr = run("show", "dmeo")

    assert (code, stdout) == (1, "")
    assert "demo" in stderr


def test_rm(run, server, monkeypatch):
    """`rm NAME` is `models remove NAME`."""
    asked = []
    monkeypatch.setattr(Models, "remove", lambda _, name: asked.append(name) or INFO)

    assert run("rm", "demo", "--yes") == run("models", "remove", "demo", "--yes") == (0, f"{ID}\n", "")
    assert asked == ["demo", "demo"]
    assert run("rm")[0] == 2


def test_url_in_json(run, server):
    """The address is an object for who asks for one."""
    assert json.loads(run("url", "--json")[1]) == {"url": server.url}


def test_check_in_json(run, server):
    """A check is one object with state, figures and health; the exit code is the state's."""
    code, stdout, _ = run("check", "--json", "-m", "nobody")
    told = json.loads(stdout)

    assert (code, told["state"], told["exit_code"]) == (2, "CRITICAL", 2)
    assert told["figures"]["latency"]["unit"] == "s"
    assert told["health"]["url"] == server.url


def test_demo_in_json(run, server, monkeypatch):
    """The demo is one object, too: answers, health, figures."""
    monkeypatch.setattr(FoundryAPIClient, "embedded", lambda _: FoundryAPIClient(server.url))
    monkeypatch.setattr(Models, "ensure_loaded", lambda *_: INFO)
    told = json.loads(run("demo", "--json")[1])

    assert [each["content"] for each in told["answers"]] == ["Hello there"] * 2
    assert told["health"]["status"] == "ok"
    assert told["figures"]["total"]["calls"] > 2


def test_embed(run, server):
    """Each text has a line with its vector; `--json` is one object with model and usage, on one line."""
    server.on("POST", "/v1/embeddings", embed)

    assert run("embed", "-m", "demo", "one", "three") == (0, "[3.0, 0.5]\n[5.0, 0.5]\n", "")
    told = run("embed", "three", "--json")[1]
    assert told.count("\n") == 1
    assert json.loads(told)["vectors"] == [[5.0, 0.5]]
    assert json.loads(told)["usage"]["prompt_tokens"] == 1


@pytest.mark.parametrize("given", [[], ["-"]])
def test_embed_a_document(run, server, given):
    """Without a text, or with -, the document on stdin is the text; beside words stdin is left alone."""
    server.on("POST", "/v1/embeddings", embed)

    assert run("embed", *given, stdin=b"four\n")[:2] == (0, "[4.0, 0.5]\n")
    assert run("embed", "one", stdin=b"four\n")[:2] == (0, "[3.0, 0.5]\n")


@pytest.fixture
def spoken(server, tmp_path):
    """Return a file, and let the service hear two words in it, then what is given."""

    def hear(*events, done=True):
        words = [event(f'{{"id": "a", "text": "{word}"}}') for word in ("Hello", " world")]
        server.on("POST", "/v1/audio/transcriptions", sse((*words, *events), done=done))
        file = tmp_path / "words.wav"
        file.write_bytes(b"RIFF")
        return str(file)

    return hear


def test_transcribe(run, server, spoken):
    """The words are on stdout; options of the model reach it."""
    file = spoken()

    assert run("transcribe", file, "--language", "en", "-t", "0.5")[:2] == (0, "Hello world\n")
    asked = server.asked("/v1/audio/transcriptions")[-1].json()
    assert (asked["language"], asked["temperature"]) == ("en", 0.5)
    assert json.loads(run("transcribe", file, "--json")[1])["text"] == "Hello world"


def test_transcription_that_breaks_off(run, server, spoken):
    """What was heard before an error is on stdout, and in JSON in the error alone."""
    file = spoken(error_event("no memory"), done=False)
    code, stdout, stderr = run("transcribe", file)

    assert (code, stdout) == (5, "Hello world\n")
    assert stderr.startswith("foundry-rest: ")
    code, stdout, stderr = run("transcribe", file, "--json")
    assert (stdout, json.loads(stderr)["error"]["text"]) == ("", "Hello world")


def test_a_file_that_is_not_there(run, server):
    """A file that cannot be read is refused before anything is sent."""
    assert run("transcribe", "/nowhere.wav")[:2] == (2, "")
    assert not server.asked("/v1/audio/transcriptions")


def test_settings_reach_the_embedded_runtime(run, server, monkeypatch):
    """`pull --embedded` gives the client of the runtime what the options say."""
    given = {}

    def embedded(**settings):
        given.update(settings)
        return FoundryAPIClient(server.url)

    monkeypatch.setattr(FoundryAPIClient, "embedded", embedded)
    monkeypatch.setattr(Models, "download", lambda *_, **__: INFO)

    assert run("pull", "demo", "--embedded", "--deadline", "9", "-H", "A: b")[:2] == (0, f"{ID}\n")
    assert (given["deadline"], given["headers"]) == (9.0, {"A": "b"})
    assert "auto_start" not in given
