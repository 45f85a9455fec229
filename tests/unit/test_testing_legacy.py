"""The 0.x service for tests: every route, and the memory behind it."""

from __future__ import annotations

import base64
import http.client
import json
import struct
from contextlib import closing

import pytest

from foundry_rest.testing import FaultServer, LegacyService, legacy_model
from foundry_rest.testing.legacy import LEGACY_CACHED, LEGACY_CATALOG, __main__

CPU, QWEN, EMBEDDER = LEGACY_CACHED
MISSING = "qwen2.5-0.5b-instruct-generic-cpu:4"
NO_PROVIDER = "No OpenAIService provider found for modelName:"


class Clock:
    """Tell the time that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        """Return it."""
        return self.now


class Asker:
    """Ask a service over a real socket."""

    def __init__(self, service: LegacyService) -> None:
        self.service = service
        self.server = FaultServer(service=service, header_limit=None)

    def __call__(self, path, body=None, timeout=5.0):
        """Ask once; return status, headers and body."""
        verb = "GET" if body is None else "POST"
        data = body if isinstance(body, bytes | None) else json.dumps(body)
        port = int(self.server.url.rpartition(":")[2])
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)) as connection:
            connection.request(verb, path, data)
            reply = connection.getresponse()
            return reply.status, reply.headers, reply.read().decode()

    def json(self, path, body=None):
        """Return the decoded body of a 200."""
        status, _, text = self(path, body)
        assert status == 200, text
        return json.loads(text)

    def done(self, path, body=None):
        """Tell that a request was answered with a 200 and nothing in it."""
        status, _, text = self(path, body)
        return (status, text) == (200, "")

    def download(self, name=MISSING, uri=None, **more):
        """Download; return the lines before the last object, and that object."""
        uri = uri or next(entry["uri"] for entry in LEGACY_CATALOG if entry["name"] == MISSING)
        _, _, text = self("/openai/download", {"Model": {"Name": name, "Uri": uri}, **more})
        lines, _, outcome = text.partition("{")
        return lines.splitlines(), json.loads("{" + outcome)


@pytest.fixture
def ask():
    """Return what makes a service of these arguments and asks it."""
    made = []

    def make(**arguments):
        made.append(Asker(LegacyService(**arguments)))
        made[-1].server.start()
        return made[-1]

    yield make
    for asker in made:
        asker.server.close()


def events(text):
    """Return the events of a stream, decoded but for the last."""
    found = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
    return [json.loads(event) if event != "[DONE]" else event for event in found]


def test_status_in_both_spellings(ask):
    """The shipped client reads camelCase, the documents have Pascal case; either comes from Kestrel."""
    asker = ask(model_dir="/models")
    status, headers, text = asker("/openai/status")

    assert (status, headers["Server"], headers["Transfer-Encoding"]) == (200, "Kestrel", "chunked")
    assert json.loads(text) == {
        "endpoints": [asker.server.url],
        "modelDirPath": "/models",
        "pipeName": "inference_agent",
    }
    assert set(ask(documents=True).json("/openai/status")) == {"Endpoints", "ModelDirPath", "PipeName"}


def test_the_catalog_in_both_shapes(ask):
    """A bare array, or an object with the array inside."""
    assert ask().json("/foundry/list") == list(LEGACY_CATALOG)
    (entry,) = ask(documents=True, catalog=[legacy_model("a-cpu:1", "a")]).json("/foundry/list")["models"]
    assert (entry["Name"], entry["Runtime"]["DeviceType"]) == ("a-cpu:1", "CPU")


def test_what_is_not_there(ask):
    """Another path is 404, another verb 405, what cannot be bound 400, all without a word."""
    asker = ask()

    assert asker("/status")[::2] == (404, "")
    assert asker("/openai/models", {})[::2] == (405, "")
    for path, body in (
        ("/v1/chat/completions", b"{"),
        ("/v1/chat/completions", []),
        (f"/openai/load/{CPU}?ttl=soon", None),
        (f"/openai/unload/{CPU}?force=maybe", None),
        ("/openai/setgpudevice/first", None),
    ):
        assert asker(path, body)[::2] == (400, "")


def test_load_and_unload(ask):
    """By exact id; without force a model stays while it has time to live; the words come in any case."""
    asker = ask()

    assert asker.json("/openai/models") == list(LEGACY_CACHED)
    assert asker.done(f"/OpenAI/Load/{CPU.replace(':', '%3A')}?TTL=60&ep=")
    assert asker.json("/openai/loadedmodels") == [CPU]
    assert asker.done(f"/openai/unload/{CPU}?force=False")
    assert asker.service.loaded == (CPU,)
    assert asker.done(f"/openai/unload/{CPU}?force=True")
    assert asker.done(f"/openai/unload/{CPU}")
    assert asker.service.loaded == ()


@pytest.mark.parametrize("name", ["phi-4-mini", CPU[:-2], CPU.upper(), MISSING, "x"])
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_only_exact_ids_of_models_on_disk(ask, verb, name):
    """An alias, an id without version or in another case, and a model not on disk are all the same 400."""
    assert ask()(f"/openai/{verb}/{name}")[::2] == (400, NO_PROVIDER + name)


def test_a_model_that_cannot_be_loaded(ask):
    """A 500 with a line of text."""
    assert ask(broken=[CPU])(f"/openai/load/{CPU}")[::2] == (500, f"Failed loading model {CPU}")


def test_time_to_live(ask):
    """Counted from the last use; 600 s when nothing is said, for ever with unload=false; ttl wins."""
    clock = Clock()
    asker = ask(clock=clock)
    for name, query in ((CPU, ""), (QWEN, "?unload=false"), (EMBEDDER, "?unload=false&ttl=50")):
        assert asker.done(f"/openai/load/{name}{query}")
    clock.now += 50
    assert asker.service.loaded == (CPU, QWEN)
    asker.json("/v1/chat/completions", {"model": CPU, "messages": []})
    clock.now += 599
    assert asker.service.loaded == (CPU, QWEN)
    asker.json("/v1/chat/completions", {"model": CPU, "messages": [], "ttl": 700})
    clock.now += 699
    assert asker.service.loaded == (CPU, QWEN)
    clock.now += 1
    assert asker.service.loaded == (QWEN,)
    assert asker("/v1/chat/completions", {"model": CPU})[::2] == (400, NO_PROVIDER + CPU)


def test_memory_by_hand(ask):
    """A test may set what is in memory, and let every time be over; unloadall drops all."""
    asker = ask(loaded=[QWEN])
    asker.done(f"/openai/load/{CPU}")
    asker.service.expire()
    assert asker.service.loaded == (QWEN,)
    asker.service.loaded = [CPU]
    assert asker.server.loaded == (CPU,)
    asker.server.loaded = [QWEN]
    assert asker.service.loaded == (QWEN,)
    assert asker.done("/openai/unloadall")
    assert asker.service.loaded == ()


def test_the_gpu(ask):
    """Its number is kept."""
    asker = ask()

    assert asker.json("/openai/getgpudevice") == 0
    assert asker.done("/openai/setgpudevice/2")
    assert asker.json("/openai/getgpudevice") == 2


def test_a_registered_provider_chats(ask):
    """A registered model needs no loading."""
    asker = ask()

    assert asker.done("/openai/register", {"TypeName": "deepseek", "ModelName": "far", "BaseUri": "http://x"})
    assert asker.json("/v1/chat/completions", {"model": "far"})["model"] == "far"


def test_a_chat_answer_has_more_than_openais_members(ask):
    """There are delta beside message, "error": null and .NET's own members."""
    asker = ask(loaded=[CPU], reply="One two")
    body = {"model": CPU, "messages": [{"role": "user", "content": "a b c"}]}
    reply = asker.json("/v1/chat/completions", body)

    assert reply["choices"][0]["delta"] == reply["choices"][0]["message"]
    assert (reply["choices"][0]["message"]["content"], reply["choices"][0]["finish_reason"]) == (
        "One two",
        "stop",
    )
    assert reply["usage"] == {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
    assert {"CreatedAt", "IsDelta", "Successful", "error", "HttpStatusCode", "HeaderValues"} < set(reply)
    assert asker.json("/v1/chat/completions/tokenizer/encode/count", body) == {"tokenCount": 3}


@pytest.mark.parametrize(("finish", "last"), [(True, "stop"), (False, None)])
def test_a_chat_stream(ask, finish, last):
    """One chunk a word, then [DONE]; 0.8.101 told no reason."""
    _, headers, text = ask(loaded=[CPU], finish=finish)(
        "/v1/chat/completions", {"model": CPU, "stream": True}
    )
    *chunks, done = events(text)

    assert (headers["Content-Type"], done) == ("text/event-stream", "[DONE]")
    assert [chunk["choices"][0]["delta"]["content"] for chunk in chunks] == ["Hello", " there"]
    assert chunks[-1]["choices"][0]["finish_reason"] == last
    assert chunks[0]["IsDelta"] is True


def test_a_chat_stream_that_hangs(ask):
    """0.8.117 sends neither [DONE] nor an end after the last chunk."""
    asker = ask(loaded=[CPU], hang=True)
    with pytest.raises(TimeoutError):
        asker("/v1/chat/completions", {"model": CPU, "stream": True}, timeout=0.05)

    assert asker.server.wait_left()


def test_models_of_openai(ask):
    """The cached ids in .NET's envelope."""
    listing = ask().json("/v1/models")

    assert [item["id"] for item in listing["data"]] == list(LEGACY_CACHED)
    assert {name: listing[name] for name in listing if name != "data"} == {
        "IsDelta": False,
        "Successful": True,
        "HttpStatusCode": 0,
        "object": "list",
    }


def test_embeddings(ask):
    """One vector a text, the same for the same text, as numbers or as base64 of floats."""
    asker = ask(loaded=[EMBEDDER, CPU])
    plain = asker.json("/v1/embeddings", {"model": EMBEDDER, "input": ["a", "b c", "a"]})
    coded = asker.json("/v1/embeddings", {"model": EMBEDDER, "input": "a", "encoding_format": "base64"})
    vectors = [item["embedding"] for item in plain["data"]]

    assert [item["index"] for item in plain["data"]] == [0, 1, 2]
    assert vectors[0] == vectors[2] != vectors[1]
    assert list(struct.unpack("<8f", base64.b64decode(coded["data"][0]["embedding"]))) == vectors[0]
    assert plain["usage"] == {"prompt_tokens": 4, "total_tokens": 4}
    assert asker("/v1/embeddings", {"model": CPU, "input": "a"})[0] == 400


@pytest.mark.parametrize("path", ["/v1/chat/completions/tokenizer/encode/count", "/v1/embeddings"])
def test_a_model_must_be_in_memory(ask, path):
    """On disk is not enough."""
    assert ask()(path, {"model": EMBEDDER, "messages": []})[::2] == (400, NO_PROVIDER + EMBEDDER)


def test_a_download(ask):
    """Progress in lines, then the word; the model is on disk afterwards."""
    asker = ask()
    lines, outcome = asker.download()

    assert (lines[0], lines[-1]) == (
        "Total 16.67% Downloading genai_config.json",
        "Total 100.00% Downloading model.onnx.data",
    )
    assert outcome == {"success": True, "errorMessage": None}
    assert asker.service.cached == (*LEGACY_CACHED, MISSING)
    assert asker.download()[1]["success"]
    assert asker.service.cached.count(MISSING) == 1


def test_a_download_by_the_documents(ask):
    """Pairs of file and fraction, and capitals."""
    lines, outcome = ask(documents=True).download()

    assert lines[:3] == ['("genai_config.json", 0.5)', '("genai_config.json", 1)', '("", 0.3333)']
    assert outcome == {"Success": True, "ErrorMessage": None}


def test_a_download_without_a_version(ask):
    """The model becomes version 0 (issue 270)."""
    asker = ask()
    asker.download(MISSING.partition(":")[0])

    assert asker.service.cached[-1] == MISSING.partition(":")[0] + ":0"


def test_downloads_that_fail(ask):
    """The status is 200 whatever comes; an unknown address and an error as told both say so."""
    asker = ask()

    assert asker.download(uri="azureml://nowhere")[1]["errorMessage"] == "Model not found: azureml://nowhere"
    asker.service.download_error = "disk full"
    assert asker.download()[1] == {"success": False, "errorMessage": "disk full"}
    asker.service.download_error, asker.service.download_stop = None, 2
    with pytest.raises(http.client.IncompleteRead) as caught:
        asker.download()
    assert caught.value.partial.count(b"Total") == 2
    assert asker.service.cached == LEGACY_CACHED


def test_a_download_asked_for_by_name(ask):
    """A plain name is what the service cannot handle (issue 155)."""
    status, _, text = ask()("/openai/download", {"model": MISSING})

    assert (status, json.loads(text)["title"]) == (500, "Failed to handle download model request")


def test_a_port_may_be_chosen(ask):
    """A server that is told a port serves there."""
    asker = ask()
    asker.server.close()
    with FaultServer(service=asker.service, port=int(asker.server.url.rpartition(":")[2])) as server:
        assert server.url == asker.server.url


def test_the_process_ends_with_its_owner(capsys):
    """The first line is the address; without an owner there is nothing to wait for."""
    __main__.main(["--owner", "999999999", "--documents"])

    assert capsys.readouterr().out.startswith("http://127.0.0.1:")
