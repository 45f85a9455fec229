"""Which dialect speaks: what answers decides, not what it calls itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from foundry_rest import FoundryAPIClient
from foundry_rest.config import Timeouts
from foundry_rest.dialects.detect import DIALECTS, detect, named
from foundry_rest.dialects.generation0_cli import Generation0Dialect
from foundry_rest.dialects.generation1_core import Generation1Dialect
from foundry_rest.dialects.generation2_native import Generation2Dialect
from foundry_rest.dialects.openai import OpenAIDialect
from foundry_rest.errors import (
    AuthenticationError,
    BadRequest,
    ConfigError,
    InvalidReply,
    NotFound,
    ServerError,
    ServiceUnreachable,
    TooManyRequests,
)
from foundry_rest.testing import FakeSender, FaultServer, json_answer
from foundry_rest.transport.call import Options, Reply

SAMPLES = Path(__file__).parents[1] / "samples"
OPTIONS = Options(Timeouts(connect=1), 99.0, {"X-Key": "k"})


def body(name: str) -> Reply:
    """Return a recorded answer."""
    return Reply(200, {}, (SAMPLES / f"json_{name}.json").read_bytes(), "http://h")


HTML = Reply(200, {}, b"<html>", "http://h")
MISSING = NotFound("no mapping", url="http://h", status=404)


LEGACY = Reply(200, {}, b'{"Endpoints":[],"ModelDirPath":"/m","PipeName":"p"}', "http://h")
#: What the 0.5.1 client reads in place of the documented spelling.
LEGACY_CAMEL = Reply(200, {}, b'{"modelDirPath":"/m"}', "http://h")


KESTREL_MODELS = Reply(200, {"server": "Kestrel"}, b'{"data":[]}', "http://h")


@pytest.mark.parametrize(
    ("answers", "dialect"),
    [
        ([body("native_status")], Generation2Dialect),
        ([body("core_status")], Generation1Dialect),
        ([MISSING, MISSING, LEGACY], Generation0Dialect),
        ([HTML, HTML, LEGACY_CAMEL], Generation0Dialect),
        ([MISSING, KESTREL_MODELS, LEGACY], Generation0Dialect),
        ([MISSING, KESTREL_MODELS, MISSING], OpenAIDialect),
        ([MISSING, body("native_models")], OpenAIDialect),
        ([Reply(200, {}, b'{"pid":7}'), body("core_models")], OpenAIDialect),
        ([Reply(200, {}, b'["modelDirPath"]'), body("core_models")], OpenAIDialect),
        ([BadRequest("405", status=405), Reply(200, {}, b"[]")], OpenAIDialect),
        ([HTML, body("core_models")], OpenAIDialect),
        ([AuthenticationError("not here", status=403), body("native_models")], OpenAIDialect),
        ([Reply(200, {}, b""), body("native_models")], OpenAIDialect),
        ([MISSING, Reply(200, {"server": "uvicorn"}, b'{"data":[]}')], OpenAIDialect),
    ],
)
def test_who_speaks(answers, dialect):
    """A generation is known by what its status holds; a list of models makes a stranger of any other."""
    sender = FakeSender(answers)

    assert type(detect(sender.send, OPTIONS).dialect) is dialect
    assert sender.remaining == 0


def test_probes_keep_to_the_callers_bounds():
    """Detection happens inside a call, so it has that call's timeouts, deadline and headers."""
    sender = FakeSender([MISSING, MISSING, LEGACY])
    detect(sender.send, OPTIONS)

    for call in sender.calls:
        assert (call.options.timeouts, call.options.until, call.options.headers) == (
            OPTIONS.timeouts,
            99.0,
            {"X-Key": "k"},
        )
        assert (call.method, call.label, call.body) == ("GET", "detect", None)
    assert [call.path for call in sender.calls] == ["/status", "/v1/models", "/openai/status"]


@pytest.mark.parametrize(
    "answers", [[HTML] * 3, [MISSING] * 3, [MISSING, MISSING, Reply(200, {}, b"{}", "http://h")]]
)
def test_nothing_known_answers(answers):
    """A web server that is none of ours is named as such, with its address."""
    with pytest.raises(InvalidReply, match="no Foundry Local service") as caught:
        detect(FakeSender(answers).send, OPTIONS)

    assert caught.value.url == "http://h"


@pytest.mark.parametrize("refusal", [AuthenticationError("401"), TooManyRequests("429"), ServerError("503")])
@pytest.mark.parametrize("last", [MISSING, HTML, None])
def test_a_gateways_refusal_is_the_error(refusal, last):
    """Behind a gateway that wants a key, or is down, the reason is that, not a wrong address."""
    with pytest.raises(type(refusal)):
        detect(FakeSender([refusal, *[last or refusal] * 2]).send, OPTIONS)


def test_nothing_answers():
    """A refused connection ends the probing at once."""
    sender = FakeSender([ServiceUnreachable("refused")])
    with pytest.raises(ServiceUnreachable):
        detect(sender.send, OPTIONS)

    assert len(sender.calls) == 1


@pytest.mark.parametrize("name", DIALECTS)
def test_by_name(name):
    """Each dialect can be asked for by its name."""
    assert named(name).generation == name


def test_an_unknown_name():
    """The error lists what is allowed."""
    with pytest.raises(ConfigError, match=r"must be 'auto', '2\.x', '1\.x', '0\.x', 'openai', not 'grpc'"):
        named("grpc")


@pytest.mark.parametrize(
    "server", ["uvicorn", "nginx/1.25", "cloudflare", "llama.cpp", "Werkzeug/3.0", "envoy"]
)
@pytest.mark.parametrize("listed", [True, False])
def test_strangers_are_asked_nothing_with_side_effects(server, listed):
    """``/openai/status`` of a gateway is a call to a service outside: it is for Microsoft's own server."""
    models = json_answer({"data": []} if listed else {"no": 1}, 200 if listed else 404, {"Server": server})
    with FaultServer().otherwise(json_answer({}, 404, {"Server": server})) as running:
        running.on("GET", "/status", json_answer({}, 404, {"Server": server}))
        running.on("GET", "/v1/models", models)
        with FoundryAPIClient(running.url, retries=0) as client:
            if listed:
                assert client.health_check().generation == "openai"
            else:
                with pytest.raises(InvalidReply, match='give dialect="openai"'):
                    client.health_check()

    assert "/openai/status" not in {request.path for request in running.requests}
