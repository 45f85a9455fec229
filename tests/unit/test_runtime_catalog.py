"""How a model directory is described to the native runtime, and how the runtime is answered."""

from __future__ import annotations

import http.client
import json
import threading
from pathlib import Path

import pytest

from foundry_rest.runtime import catalog
from foundry_rest.runtime.model_folders import ModelFolder, read_folder

RECORDED = ("annotations", "properties", "variantInfo", "alias")


def folder(
    path: Path, *, name: str = "phi", search: object = None, tokenizer: str = "{}", **model: object
) -> ModelFolder:
    """Write a model directory and read it."""
    root = path / name
    root.mkdir(parents=True)
    config = {
        "model": {"type": "llama", "decoder": {"filename": "model.onnx"}, **model},
        "search": search or {},
    }
    (root / "genai_config.json").write_text(json.dumps(config), "utf-8")
    (root / "tokenizer.json").write_text(tokenizer, "utf-8")
    (root / "model.onnx").write_bytes(b"graph")
    return read_folder(root)


def test_flat_shape(tmp_path):
    """An entry has no key of the other shape: one would cost it its task and limits."""
    entry = catalog.entry(folder(tmp_path))

    assert not set(RECORDED) & set(entry)
    assert entry["name"] == "phi-generic-cpu"
    assert entry["inferenceTasks"] == ["chat-completion"]
    assert entry["modelCapabilities"] == ["chat-completion"]


def test_alias_comes_from_the_parent(tmp_path):
    """The runtime reads the alias out of the parent's asset id."""
    (parent,) = catalog.entry(folder(tmp_path))["variantInformation"]["parents"]

    assert parent["assetId"].split("/")[-3] == "phi"


def test_size(tmp_path):
    """The size is the sum of the files, not of the links to them."""
    read = folder(tmp_path)
    size = catalog.entry(read)["variantInformation"]["variantMetadata"]["fileSizeBytes"]

    assert size == sum(file.stat().st_size for file in read.path.iterdir())


@pytest.mark.parametrize(
    ("model", "task"),
    [
        ({"type": "whisper"}, "automatic-speech-recognition"),
        ({"type": "phi3"}, "chat-completion"),
        ({"decoder": {"filename": "model.onnx", "outputs": {"logits": "logits"}}}, "chat-completion"),
        ({"decoder": {"filename": "model.onnx", "outputs": {"hidden_states": "h"}}}, "embeddings"),
    ],
)
def test_task(tmp_path, model, task):
    """The task follows the model's type, and the outputs that its configuration names."""
    assert catalog.task_of(folder(tmp_path, **model)) == task


@pytest.mark.parametrize(
    ("model", "search", "length"),
    [
        ({"context_length": 4096}, {"max_length": 1024}, 1024),
        ({"context_length": 512}, {"max_length": 1024}, 512),
        ({"context_length": 512}, {}, 512),
        ({}, {"max_length": 64}, 64),
        ({}, {}, catalog.DEFAULT_CONTEXT),
        ({"context_length": "4096"}, {"max_length": 0}, catalog.DEFAULT_CONTEXT),
    ],
)
def test_context_length(tmp_path, model, search, length):
    """The smaller limit counts, for the runtime enforces it; nonsense counts as not said."""
    assert catalog.context_length(folder(tmp_path, search=search, **model)) == length


@pytest.mark.parametrize(
    ("tokenizer", "knows"),
    [
        ('{"added_tokens": [{"id": 3, "content": "<tool_call>"}]}', True),
        ('{"chat_template": "say <tool_call> when you need one"}', False),
        ("{}", False),
    ],
)
def test_tools(tmp_path, tokenizer, knows):
    """A model calls tools when its tokenizer has the token; a mention in a template is no token."""
    read = folder(tmp_path, tokenizer=tokenizer)

    assert catalog.supports_tools(read) == knows
    assert ("tool-calling" in catalog.entry(read)["modelCapabilities"]) == knows


@pytest.mark.parametrize(("token", "knows"), [(7, True), (0, True), (None, False), ("<tool_call>", False)])
def test_tools_by_id(tmp_path, token, knows):
    """A model calls tools when its configuration names the token, however that is spelled."""
    assert catalog.supports_tools(folder(tmp_path, bot_token_id=token)) == knows


@pytest.mark.parametrize(
    ("model", "inputs"),
    [({"type": "whisper"}, ["audio"]), ({"vision": {}}, ["text", "image"]), ({}, ["text"])],
)
def test_inputs(tmp_path, model, inputs):
    """What goes in is read from the sections of the configuration."""
    assert catalog.entry(folder(tmp_path, **model))["modelLimits"]["supportedInputModalities"] == inputs


def test_reply_lists_all(tmp_path):
    """One reply lists every model, in the order given."""
    folders = tuple(folder(tmp_path, name=name) for name in ("b", "a"))
    reply = json.loads(catalog.reply(folders))

    assert [entry["displayName"] for entry in reply["summaries"]] == ["b", "a"]
    assert reply["totalCount"] == 2


def ask(server: catalog.CatalogServer, *paths: str) -> list[tuple[int, bytes]]:
    """Post to paths over one connection, as the runtime does; return status and body of each."""
    host, _, _ = server.url.removeprefix("http://").partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    answers = []
    for path in paths:
        connection.request("POST", path, body=b'{"filters": []}')
        answer = connection.getresponse()
        answers.append((answer.status, answer.read()))
    connection.close()
    return answers


def test_server():
    """Every question on the catalog's path gets the one reply; any other path is not found."""
    server = catalog.CatalogServer(b"reply").start()
    try:
        answers = ask(server, catalog.CATALOG_PATH, catalog.CATALOG_PATH, "/elsewhere")
    finally:
        server.close()

    assert answers[:2] == [(200, b"reply")] * 2
    assert answers[2][0] == 404


def test_server_gives_everything_back(capfd):
    """After close the port refuses, the thread is gone, and nothing was printed."""
    before = threading.active_count()
    server = catalog.CatalogServer(b"reply").start()
    server.close()

    with pytest.raises(ConnectionRefusedError):
        ask(server, catalog.CATALOG_PATH)
    assert threading.active_count() == before
    assert capfd.readouterr() == ("", "")


def test_each_connection_serves_one_request():
    """No connection is kept: one that idled out under the native client cost its next request 30 s."""
    server = catalog.CatalogServer(b"{}").start()
    connection = http.client.HTTPConnection(*server.url.split("/")[2].split(":"), timeout=5)
    connection.request("POST", "/asset-gallery/v1.0/models", b"{}")
    answer = connection.getresponse()

    assert answer.read() == b"{}"
    assert answer.will_close
