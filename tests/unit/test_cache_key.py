"""Keys: what the answer depends on keeps two questions apart, and nothing else does."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import pytest
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth
from support.caches import SURE, asked, cache_in, cached_client, numbered
from support.platforms import links

from foundry_rest import FoundryAPIClient
from foundry_rest.cache.key import Question, origin_of
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.errors import ConfigError
from foundry_rest.runtime import child_directory
from foundry_rest.services.discovery import registry_file
from foundry_rest.services.identity import PRIVATE_FOLDER, name_of
from foundry_rest.services.target import Target
from foundry_rest.testing import DEMO_MODEL, FaultServer, LegacyService, chat_completion
from foundry_rest.transport.call import Call, Options

WHO = origin_of("at http://h", "2.x", "caller", None)
BODY = b'{"model":"m","temperature":0,"messages":[]}'


def key(body=BODY, who=WHO, method="POST", path="/v1/chat/completions", **headers):
    """Return the key of a question."""
    return Question.of(Call(method, path, body, options=Options(headers=headers))).key(who)


def schema(*names):
    """Return a body with a schema of properties in an order."""
    inner = ",".join(f'"{name}":{{"type":"string"}}' for name in names)
    return b'{"model":"m","response_format":{"schema":{"properties":{' + inner.encode() + b"}}}}"


DIFFERENT = {
    "the same": key(),
    "model": key(BODY.replace(b'"m"', b'"m:1"')),
    "version": key(BODY.replace(b'"m"', b'"m:2"')),
    "prompt": key(BODY.replace(b"[]", b'[{"role":"user","content":"a"}]')),
    "space": key(BODY.replace(b"[]", b'[{"role":"user","content":"a "}]')),
    "a stream": key(BODY.replace(b"}", b',"stream":true}')),
    "schema": key(schema("a", "b")),
    "schema in another order": key(schema("b", "a")),
    "path": key(path="/v1/responses"),
    "verb": key(method="PUT"),
    "header": key(a="1"),
    "header's value": key(a="2"),
    "two headers": key(a="1", b="2"),
    "one header like two": key(a='1"],["b","2'),
    "address": key(who=origin_of("at http://g", "2.x", "caller", None)),
    "generation": key(who=origin_of("at http://h", "1.x", "caller", None)),
    "caller": key(who=origin_of("at http://h", "2.x", "other", None)),
    "namespace": key(who=origin_of("at http://h", "2.x", "caller", "n")),
    "no name": key(who=origin_of("at http://h", "2.x", "caller", "")),
    "parts that moved": key(who=origin_of("at http://h2.x", "", "caller", None)),
}


def test_all_are_apart():
    """Whatever the answer may depend on is in the key, and no part runs into another."""
    assert [
        pair for pair in itertools.combinations(DIFFERENT, 2) if len({DIFFERENT[n] for n in pair}) < 2
    ] == []


def test_what_does_not_count():
    """The order of the members of the body, the case of a header's name, and the label of the call."""
    assert key(b'{"messages":[],"temperature":0,"model":"m"}') == key()
    assert key(A="1") == key(a="1")


@pytest.mark.parametrize("body", [None, b"", b"[]", b"{", b"null", b'"a"', b"\xff"])
def test_a_body_that_is_no_object(body):
    """What is no JSON object has no key."""
    assert Question.of(Call("POST", "/x", body)) is None


@pytest.mark.parametrize(
    ("members", "is_sure"),
    [
        (b'"temperature":0', True),
        (b'"temperature":0.0', True),
        (b'"temperature":-0.0', True),
        (b'"temperature":0e5', True),
        (b'"temperature":1e-320', False),
        (b'"temperature":null', False),
        (b'"temperature":"0"', False),
        (b'"temperature":false', False),
        (b'"temperature":[]', False),
        (b'"seed":1', True),
        (b'"seed":null', False),
        (b'"temperature":1,"seed":0', True),
        (b'"x":{"temperature":0}', False),
    ],
)
def test_what_is_deterministic(members, is_sure):
    """Temperature 0 or a seed, on the top level, whatever its spelling."""
    question = Question.of(Call("POST", "/v1/chat/completions", b"{" + members + b"}"))

    assert question.is_deterministic is is_sure


# ---------------------------------------------------------------- two clients on one file


def both_ask(server, folder, one, other, **call):
    """Ask the same of two clients that share a file; return how often the service was asked."""
    numbered(server)
    for arguments in (one, other):
        with cached_client(server, folder, **arguments) as client:
            client.complete("Hi", **SURE, **call)
    return asked(server)


def session(**attributes):
    """Return a session of one's own."""
    made = requests.Session()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


APART = {
    "keys": ({"api_key": "a"}, {"api_key": "b"}),
    "a key and none": ({"api_key": "a"}, {}),
    "headers": ({"headers": {"X-Team": "a"}}, {"headers": {"X-Team": "b"}}),
    "users": ({"auth": ("u", "p")}, {"auth": ("v", "p")}),
    "passwords": ({"auth": ("u", "p")}, {"auth": ("u", "q")}),
    "signers of requests": ({"auth": HTTPBasicAuth("u", "p")}, {"auth": HTTPBasicAuth("u", "q")}),
    "sessions' headers": ({"session": session(headers={"A": "1"})}, {"session": session(headers={"A": "2"})}),
    "sessions' users": ({"session": session(auth=("u", "p"))}, {"session": session(auth=("u", "q"))}),
    "sessions' certificates": ({"session": session(cert="/a")}, {"session": session(cert="/b")}),
    "generations": ({"dialect": "2.x"}, {"dialect": "openai"}),
}
SHARED = {
    "nothing": ({}, {}),
    "settings": ({"timeout": 5}, {"retries": 2}),
    "a user's spelling": ({"auth": ("u", "p")}, {"auth": HTTPBasicAuth("u", "p")}),
    "names of headers": ({"headers": {"X-Team": "a"}}, {"headers": {"x-team": "a"}}),
}


@pytest.mark.parametrize("name", APART)
def test_two_callers_never_share(server, tmp_path, name):
    """What the service may tell callers apart by keeps their answers apart."""
    assert both_ask(server, tmp_path, *APART[name]) == 2


@pytest.mark.parametrize("name", SHARED)
def test_one_caller_shares(server, tmp_path, name):
    """What no answer depends on does not."""
    assert both_ask(server, tmp_path, *SHARED[name]) == 1


def test_two_namespaces_never_share(server, tmp_path):
    """A name of one's own choice keeps answers apart."""
    caches = [{"cache": cache_in(tmp_path, namespace=name)} for name in ("a", "b")]

    assert both_ask(server, tmp_path, *caches) == 2


def test_two_addresses_never_share(tmp_path):
    """Nor do two services, or two spellings of one: the address counts as it was given."""
    with FaultServer() as one, FaultServer() as other:
        for server in (one, other):
            with cached_client(server, tmp_path) as client:
                assert not client.complete("Hi", **SURE).cached
        spelt = FoundryAPIClient(
            one.url.replace("127.0.0.1", "localhost"),
            model=DEMO_MODEL,
            dialect="2.x",
            cache=tmp_path / "answers.sqlite",
        )
        with spelt:
            assert not spelt.complete("Hi", **SURE).cached


def test_the_headers_of_a_call(server, tmp_path):
    """Headers of one call are a part of who asks."""
    with cached_client(numbered(server), tmp_path) as client:
        found = [client.complete("Hi", headers={"X-User": name}, **SURE).cached for name in ("a", "b", "a")]

    assert found == [False, False, True]


def test_two_schemas_never_share(server, tmp_path):
    """Two schemas are two questions, also in another order of their properties."""
    bodies = [{"type": "json_object"}, None] + [
        {
            "type": "json_schema",
            "json_schema": {"name": "a", "schema": {"properties": {n: {} for n in names}}},
        }
        for names in ("ab", "ba")
    ]
    with cached_client(numbered(server), tmp_path) as client:
        for body in bodies:
            client.complete("Hi", response_format=body, **SURE)

    assert asked(server) == len(bodies)


# ---------------------------------------------------------------- nobody knows who asks


class OwnAdapter(HTTPAdapter):
    """An adapter that may sign requests."""


class OwnSession(requests.Session):
    """A session that may do anything."""


def mounted():
    """Return a session with an adapter of one's own."""
    made = requests.Session()
    made.mount("http://", OwnAdapter())
    return made


UNKNOWN = {
    "a function": {"auth": lambda request: request},
    "a session that signs": {"session": session(auth=lambda request: request)},
    "a session's own class": {"session": OwnSession()},
    "an adapter": {"session": mounted()},
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_who_asks_must_be_known(server, tmp_path, name):
    """Where something else signs requests, the client demands a namespace."""
    with pytest.raises(ConfigError, match="cannot tell for whom") as caught:
        cached_client(server, tmp_path, **UNKNOWN[name])
    assert "namespace=" in caught.value.advice
    given = {**UNKNOWN[name], "cache": cache_in(tmp_path, namespace="me")}
    assert both_ask(server, tmp_path, given, given) == 1


def test_a_session_that_begins_to_sign(server, tmp_path):
    """A session that is changed later makes calls go without the cache, as long as nobody knows who asks."""
    own = requests.Session()
    with cached_client(numbered(server), tmp_path, session=own) as client:
        client.complete("Hi", **SURE)
        own.auth = lambda request: request
        assert not client.complete("Hi", **SURE).cached
        own.auth = None
        assert client.complete("Hi", **SURE).cached


def test_no_key_lies_in_the_file(server, tmp_path):
    """The file holds no key, no header of the caller and no prompt."""
    given = {"api_key": "secret-key", "headers": {"X-Token": "secret-token"}}
    with cached_client(server, tmp_path, **given) as client:
        client.complete("a secret prompt", headers={"X-Mine": "secret-mine"}, **SURE)
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())

    assert b"Hello" in content
    assert b"secret" not in content


# ---------------------------------------------------------------- who answers


def name(folder, *, is_known=True):
    """Return the name of a service that was found, with a model directory."""
    target = Target("http://127.0.0.1:1", dialect=Generation2Dialect())
    target.is_known = is_known
    return name_of(target, folder, is_named=False)


@links
def test_a_found_service_is_its_directory(tmp_path):
    """The port does not count, the model directory does, behind whichever link."""
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    (tmp_path / "link").symlink_to(one)
    names = [name(path) for path in (one, tmp_path / "link", other)]

    assert names[0] == names[1] != names[2]


def test_who_cannot_be_known(tmp_path):
    """A service of nobody knows whom, or without a directory here, has no name."""
    assert name(tmp_path, is_known=False) == ""
    assert name(None) == ""
    assert name(Path(f"{PRIVATE_FOLDER}\0")) == ""


@links
def test_the_runtimes_own_directory_is_what_its_links_lead_to(tmp_path):
    """Two starts make two directories of links; their models are the name, and a changed one is another."""
    model = tmp_path / "model.onnx"
    model.write_bytes(b"1")
    for start in ("a", "b", "c"):
        top = tmp_path / f"{PRIVATE_FOLDER}{start}" / "cache"
        folder = top / "Local" / "m"
        folder.mkdir(parents=True)
        (folder / "model.onnx").symlink_to(model)
        for written in (folder / "inference_model.json", top / "foundry.modelinfo.json"):
            written.write_text(start)
    names = [name(tmp_path / f"{PRIVATE_FOLDER}{start}" / "cache") for start in "ab"]
    model.write_bytes(b"22")
    os.utime(model, ns=(1, 1))
    changed = name(tmp_path / f"{PRIVATE_FOLDER}c" / "cache")

    assert names[0] == names[1]
    assert names[0] not in ("", changed)
    assert child_directory._PREFIX == PRIVATE_FOLDER


def test_an_empty_directory_of_links_is_no_name(tmp_path):
    """Without a model nobody knows who answers."""
    folder = Path(tmp_path / f"{PRIVATE_FOLDER}x")
    folder.mkdir()

    assert name(folder) == ""


def test_a_name_that_is_not_listed(tmp_path):
    """Where versions exist, and nobody knows which one a name means, the service is asked each time."""
    service = LegacyService(cached=["Phi-4-mini-instruct-generic-cpu:5"], loaded=["phi-4-mini"])
    with FaultServer(service=service) as server:
        server.on("POST", "/v1/chat/completions", chat_completion("yes"))
        with FoundryAPIClient(server.url, model="unlisted", cache=tmp_path / "a.sqlite", retries=0) as client:
            assert [client.complete("Hi", **SURE).cached for _ in range(2)] == [False, False]
            listed = [len(server.asked("/foundry/list"))]
            client.complete("Hi", **SURE)
            assert [len(server.asked("/foundry/list"))] == listed


def test_a_service_that_was_found(tmp_path):
    """A service of this user is known by its directory, whichever port it has, and not without one."""
    models, cached = tmp_path / "models", []
    models.mkdir()
    for folder in (models, models, tmp_path / "nowhere", tmp_path / "nowhere"):
        with FaultServer(model_cache_path=str(folder)) as server:
            registry_file.write(registry_file.Entry(server.url, os.getpid(), 1.0))
            with FoundryAPIClient(model="demo", cache=tmp_path / "answers.sqlite", retries=0) as client:
                cached += [client.complete("Hi", **SURE).cached for _ in range(2)]
            registry_file.remove(os.getpid())

    assert cached == [False, True, True, True, False, False, False, False]


def test_a_found_service_of_which_nobody_knows_whose_it_is(tmp_path):
    """A service whose process the system does not reveal is used, and nothing of it is kept."""
    with FaultServer(model_cache_path=str(tmp_path)) as server:
        registry_file.write(registry_file.Entry(server.url, os.getpid(), 1.0))
        with FoundryAPIClient(model="demo", cache=tmp_path / "answers.sqlite", retries=0) as client:
            target = client._core.targets.take()
            target.is_known = False
            assert [client.complete("Hi", **SURE).cached for _ in range(2)] == [False, False]
        registry_file.remove(os.getpid())


def test_a_session_whose_headers_change(server, tmp_path):
    """A session's headers count as they are at each call, however often they change."""
    own = requests.Session()
    with cached_client(numbered(server), tmp_path, session=own) as client:
        for number in range(80):
            own.headers["X-User"] = str(number)
            assert not client.complete("Hi", **SURE).cached
        own.headers["X-User"] = "0"
        assert client.complete("Hi", **SURE).cached
        assert len(client._core.caching._origins) <= 64
