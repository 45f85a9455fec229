"""Bad input: a clear error before anything is sent, or the service's own answer; the runtime lives on."""

from __future__ import annotations

import math

import pytest
from support.servers import CHAT
from support.values import nested

from foundry_rest import (
    BadRequest,
    ConfigError,
    ContextLengthExceeded,
    FoundryAPIClient,
    ModelNotFound,
    clock,
)

pytestmark = pytest.mark.runtime
ID = "demo-chat-generic-cpu:1"


@pytest.fixture
def asked(runtime):
    """Return a client; afterwards the runtime must be the same process and answer as before."""
    pid = runtime.pid
    with FoundryAPIClient(runtime.url, model=ID) as client:
        yield client
        assert client.complete("Say OK", temperature=0).content == "OK"
        assert client.health_check().pid == pid


def assert_refused(client, error_words, ask):
    """Check that `ask` is refused with these words, and that no chat request was made for it."""
    before = client.stats().by_call
    with pytest.raises(ConfigError) as caught:
        ask()
    assert all(word in str(caught.value) for word in error_words), str(caught.value)
    assert isinstance(caught.value, ValueError)
    assert client.stats().by_call == before


@pytest.mark.parametrize("prompt", ["", [], [{"role": "user", "content": ""}], [{"role": "user"}]])
def test_empty_prompt(asked, prompt):
    """An empty prompt has no answer."""
    for ask in (asked.complete, asked.stream_complete):
        assert_refused(asked, ["the prompt is empty"], lambda ask=ask: ask(prompt))


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        (b"Hello", ["must be text", "bytes"]),
        (None, ["must be text", "NoneType"]),
        (5, ["must be text", "int"]),
        ({"role": "user", "content": "Hello"}, ["list of messages"]),
        (["Hello"], ["mapping with role and content"]),
        ([{"content": "Hello"}], ["needs a role"]),
        ([{"role": "user", "content": b"Hello"}], ["bytes"]),
        ("a\0b", ["NUL"]),
        ("a\ud800b", ["surrogate"]),
    ],
)
def test_no_text(asked, prompt, words):
    """What is no text is named by its type, never sent as something else."""
    assert_refused(asked, words, lambda: asked.complete(prompt))


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"temperature": math.nan}, ["temperature", "0 or more", "nan"]),
        ({"temperature": math.inf}, ["temperature", "inf"]),
        ({"temperature": "hot"}, ["temperature", "str"]),
        ({"temperature": -3}, ["temperature", "-3"]),
        ({"top_p": -1}, ["top_p"]),
        ({"max_tokens": 0}, ["max_tokens", "1 or more"]),
        ({"max_tokens": True}, ["max_tokens"]),
        ({"stop": ""}, ["stop"]),
        ({"seed": 1.5}, ["seed"]),
        ({"extra": {"top_k": math.nan}}, ["nan"]),
        ({"tools": [{"type": b"function"}]}, ["bytes"]),
        ({"stream": True}, ["stream"]),
    ],
)
def test_bad_parameters(asked, params, words):
    """A parameter that the service would misread or ignore in silence is refused by name."""
    assert_refused(asked, words, lambda: asked.chat.complete("Hello", **params))


def test_a_temperature_beyond_the_services_bounds(asked):
    """How hot is too hot differs between services: this one's refusal is passed on."""
    with pytest.raises(BadRequest, match="temperature"):
        asked.chat.complete("Hello", temperature=2.5)


@pytest.mark.parametrize("name", ["demo chat", "", "demo\nchat", "démo", "x" * 500, None, 5])
def test_bad_model_name(asked, name):
    """A name that cannot be a model's is refused, in every place that takes one."""
    for ask in (asked.models.load, asked.models.unload, asked.models.resolve, asked.models.ensure_loaded):
        assert_refused(asked, ["model"], lambda ask=ask: ask(name))
    if name is not None:  # there it means the default model
        assert_refused(asked, ["model"], lambda: asked.complete("Hello", model=name))


@pytest.mark.parametrize("name", ["a/b", "../status", "a?b", "a%2Fb"])
def test_model_name_of_another_path(asked, name):
    """A name with a slash is no model, and never becomes another path of the service."""
    for ask in (lambda: asked.complete("Hello", model=name), lambda: asked.models.load(name)):
        with pytest.raises((ConfigError, ModelNotFound)) as caught:
            ask()
        assert repr(name) in str(caught.value)


def test_huge_prompt(asked):
    """A prompt of 10 MB is the service's to judge, and it does within seconds."""
    before = clock.monotonic()
    with pytest.raises(ContextLengthExceeded, match="shorten the messages"):
        asked.complete("word " * 2_000_000)
    assert clock.monotonic() - before < 30


def test_deep_nesting(asked):
    """Nesting of 60,000 levels, which kills 2.2.1, is never sent, whichever way it is given."""
    deep = nested(60_000)
    for ask in (
        lambda: asked.complete([{"role": "user", "content": deep}]),
        lambda: asked.complete("Hello", tools=[{"function": deep}]),
        lambda: asked.complete("Hello", extra={"x": deep}),
        lambda: asked.request("POST", CHAT, json=deep),
    ):
        assert_refused(asked, ["nested deeper than"], ask)


def test_nesting_that_people_use(asked):
    """Thirty levels, more than any tool schema has, are sent."""
    assert asked.complete("Say OK", temperature=0, extra={"x": nested(30)}).content == "OK"


@pytest.mark.parametrize(
    "place",
    [
        "client",
        "call",
        "request",
        "key",
        "auth",
    ],
)
def test_large_headers(runtime, asked, place):
    """Headers over 4 KB, at which 2.2.1 resets the connection, are refused before they are sent."""
    large = {"X-Large": "a" * 5000}
    given = {
        "client": {"headers": large},
        "key": {"api_key": "k" * 5000},
        "auth": {"auth": ("user", "p" * 4000)},
    }.get(place, {})
    with FoundryAPIClient(runtime.url, model=ID, dialect="2.x", **given) as client:
        ask = {
            "call": lambda: client.chat.complete("Hello", headers=large),
            "request": lambda: client.request("GET", "/status", headers=large),
        }.get(place, lambda: client.complete("Hello"))
        with pytest.raises(ConfigError, match=r"headers need .* bytes") as caught:
            ask()

    assert "aaaa" not in str(caught.value)
    assert "kkkk" not in str(caught.value)


def test_headers_below_the_limit(asked):
    """Headers of 3 KB are sent and answered."""
    reply = asked.chat.complete("Say OK", temperature=0, headers={"X-Large": "a" * 3000})
    assert reply.content == "OK"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-A", "a\r\nX-B: b"),
        ("X A", "a"),
        ("X-A", 5),
        ("", "a"),
        ("X-A", "日本"),
    ],
)
def test_bad_headers(asked, header, value):
    """A header that would split the request or cannot be sent is refused."""
    with pytest.raises(ConfigError):
        asked.chat.complete("Hello", headers={header: value})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:5273", "must start with http"),
        ("localhost", "must start with http"),
        ("ftp://127.0.0.1", "must start with http"),
        ("http://", "name a host"),
        ("http://127.0.0.1:99999", "cannot be read"),
        ("http://127.0.0.1?model=a", "query"),
        ("http://127.0.0.1/a b", "without spaces"),
    ],
)
def test_bad_base_url(url, words):
    """An address that cannot be one is refused when the client is made."""
    with pytest.raises(ConfigError, match=words):
        FoundryAPIClient(url)


def test_base_url_with_credentials(monkeypatch):
    """A password in the address is refused, and is never shown."""
    url = "http://user:hunter2@127.0.0.1:5273"
    with pytest.raises(ConfigError, match="api_key= or auth=") as caught:
        FoundryAPIClient(url)
    assert "hunter2" not in str(caught.value)
    monkeypatch.setenv("FOUNDRY_ENDPOINT", url)
    with pytest.raises(ConfigError, match="FOUNDRY_ENDPOINT") as caught:
        FoundryAPIClient()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("path", ["status", "/a b", "/ü", "/a\r\nX: b", "", "/#a"])
def test_bad_path(asked, path):
    """A path that would be another one on the wire is refused."""
    with pytest.raises(ConfigError, match="path"):
        asked.request("GET", path)


@pytest.mark.parametrize("method", ["", "G T", "GET\r\nX: a", None])
def test_bad_method(asked, method):
    """A verb that is none is refused."""
    with pytest.raises(ConfigError, match="method"):
        asked.request(method, "/status")


def test_what_the_service_accepts(asked, answers):
    """Letters of any script, quotes, and line breaks reach the model and come back unharmed."""
    assert asked.complete("你好", temperature=0).content == answers["你好"]
    odd = "\"'\\\n\t\u2028</script>😀\x7f\ufeff"
    assert asked.complete(odd, max_tokens=5).usage.completion_tokens >= 1
