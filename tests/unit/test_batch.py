"""``client.batch``: many requests in a bounded window, with an answer or an error for each."""

from __future__ import annotations

import itertools
import threading

import pytest
from support.forks import forks, in_child
from support.responses import response, streamed
from support.servers import CHAT, answer
from support.waits import until

from foundry_rest import BatchRequest, BatchResult, CancelToken, FoundryAPIClient
from foundry_rest.endpoints import window
from foundry_rest.endpoints.batch import CONCURRENCY
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    InferenceFailed,
    UnknownArgument,
)
from foundry_rest.schema import ChatReply
from foundry_rest.schema.batch import EMBEDDINGS, RESPONSES
from foundry_rest.schema.embeddings import EmbeddingReply
from foundry_rest.schema.responses import Response
from foundry_rest.testing import (
    DEMO_MODEL,
    hold,
    inference_failed,
    json_answer,
    json_error,
    stall,
)

MESSAGES = [{"role": "user", "content": "Hello"}]


@pytest.fixture(autouse=True)
def _leaves_no_thread():
    """Fail a test after which a thread of a batch still runs."""
    yield
    assert not [thread for thread in threading.enumerate() if thread.name == "foundry_rest-window"]


def repeat(request):
    """Answer with the prompt."""
    return answer(request.json()["messages"][-1]["content"])(request)


def test_every_form(server, client):
    """Prompts, short mappings, OpenAI's lines of three routes and finished requests are answered alike."""
    server.on("POST", CHAT, repeat)
    server.on(
        "POST", EMBEDDINGS, json_answer({"data": [{"index": 0, "embedding": [1.0, 2.0]}], "model": "e"})
    )
    server.on("POST", RESPONSES, streamed(response(text="From responses")))
    given = [
        "Hello",
        {"prompt": "Two", "temperature": 0.5, "extra": {"top_k": 3}},
        {"prompt": "Three", "custom_id": "third", "system": "Be brief.", "model": DEMO_MODEL},
        {"messages": MESSAGES, "max_tokens": 7},
        {"custom_id": "five", "method": "POST", "url": CHAT, "body": {"messages": MESSAGES}},
        {"custom_id": "six", "url": "/embeddings", "body": {"input": "x", "encoding_format": "base64"}},
        {"custom_id": "seven", "url": RESPONSES, "body": {"input": "x", "stream": False}},
        BatchRequest("eight", CHAT, {"messages": MESSAGES, "model": DEMO_MODEL}),
        BatchRequest("nine", CHAT, {"messages": MESSAGES}),
    ]
    results = list(client.batch(given, ordered=True))
    bodies = {request.json()["messages"][-1]["content"]: request.json() for request in server.asked(CHAT)}

    assert [result.error for result in results] == [None] * 9
    assert [result.custom_id for result in results] == [
        *("request-0", "request-1", "third", "request-3", "five", "six", "seven", "eight", "nine")
    ]
    assert [result.index for result in results] == list(range(9))
    assert all(isinstance(result, BatchResult) and result.ok and result.elapsed > 0 for result in results)
    assert [result.value.content for result in results[:5]] == ["Hello", "Two", "Three", "Hello", "Hello"]
    assert isinstance(results[0].result(), ChatReply)
    assert isinstance(results[5].value, EmbeddingReply)
    assert results[5].value.vector == [1.0, 2.0]
    assert isinstance(results[6].value, Response)
    assert (bodies["Two"]["temperature"], bodies["Two"]["top_k"]) == (0.5, 3)
    assert bodies["Three"]["messages"][0] == {"role": "system", "content": "Be brief."}
    assert {body["model"] for body in bodies.values()} == {DEMO_MODEL}
    assert "encoding_format" not in server.asked(EMBEDDINGS)[0].json()


#: What cannot be a request, and why.
WRONG = [
    (5, "must be a prompt or a mapping, not int"),
    (b"bytes", "not bytes"),
    (None, "not NoneType"),
    ("", "prompt is empty"),
    ({}, "needs either 'prompt' or 'messages'"),
    ({1: 2}, "no member"),
    ({"prompt": "x", "custom_id": 5}, "custom_id must be text"),
    ({"prompt": "x", "model": 5}, "model must be text, not int"),
    ({"prompt": "x", "max_tokens": -1}, "max_tokens"),
    ({"custom_id": "x", "url": "/v1/x", "body": {}}, "url must be one of"),
    ({"custom_id": "x", "url": CHAT, "body": 5}, "body must be a mapping, not int"),
    ({"custom_id": "x", "url": CHAT, "body": {}}, "the body has no 'messages'"),
    ({"custom_id": "x", "url": CHAT, "body": {"messages": MESSAGES}, "method": "GET"}, "method must be"),
    ({"custom_id": "x", "url": CHAT, "body": {"messages": MESSAGES}, "more": 1}, "member of a line 'more'"),
    ({"custom_id": "x", "url": CHAT, "body": {"messages": MESSAGES, "stream": True}}, "stream"),
    ({"custom_id": "x", "url": CHAT, "body": {"messages": MESSAGES, "api_key": "k"}}, "does not belong"),
    ({"prompt": "x", "extra": {"Authorization": "Bearer k"}}, "give the key by FOUNDRY_API_KEY"),
    ({"custom_id": "x", "url": EMBEDDINGS, "body": {"input": "x", "size": 1}}, "parameter of embeddings"),
    ({"custom_id": "x", "url": EMBEDDINGS, "body": {"input": "x", "encoding_format": 1}}, "encoding_format"),
    (BatchRequest("x", "/v1/x", {}), "url must be one of"),
    (BatchRequest("x", CHAT, {"model": "m"}), "the body has no 'messages'"),
    (BatchRequest("", CHAT, {"messages": MESSAGES}), "custom_id must be text"),
    (BatchRequest("x", CHAT, None), "body must be a mapping"),
    (BatchRequest("x", None, {}), "url must be one of"),
]


@pytest.mark.parametrize(("given", "said"), WRONG)
def test_a_request_that_cannot_be_sent(server, client, given, said):
    """It is a result with its error, nothing is sent for it, and the others go on."""
    first, wrong, last = client.batch(["one", given, "three"], ordered=True)

    assert first.ok
    assert last.ok
    assert isinstance(wrong.error, ConfigError)
    assert said in str(wrong.error)
    assert wrong.value is None
    with pytest.raises(ConfigError):
        wrong.result()
    assert len(server.asked(CHAT)) == 2


def test_failures_are_results(server, client):
    """What the service says no to is a result with the error, by the name of its request."""

    def reply(request):
        prompt = request.json()["messages"][0]["content"]
        return {"bad": json_error(400, "no"), "broken": inference_failed()}.get(prompt) or answer(prompt)(
            request
        )

    server.on("POST", CHAT, reply)
    results = {
        result.custom_id: result
        for result in client.batch(
            {"custom_id": f"id-{text}", "prompt": text} for text in ["bad", "x", "broken"]
        )
    }

    assert isinstance(results["id-bad"].error, BadRequest)
    assert isinstance(results["id-broken"].error, InferenceFailed)
    assert results["id-x"].value.content == "x"
    with pytest.raises(InferenceFailed):
        results["id-broken"].result()


def test_a_result_without_anything():
    """A result that a user made without value and error says so, in place of None."""
    with pytest.raises(ValueError, match="needs a value or an error"):
        BatchResult(custom_id="x", index=0).result()


@pytest.mark.parametrize(
    ("requests", "options", "said"),
    [
        ("one prompt", {}, "an iterable of requests, not a single one"),
        (b"bytes", {}, "not a single one"),
        ({"prompt": "x"}, {}, "not a single one"),
        (5, {}, "not a single one"),
        (None, {}, "not a single one"),
        ([], {"max_concurrency": 0}, "max_concurrency must be a whole number, 1 or more"),
        ([], {"max_concurrency": True}, "max_concurrency"),
        ([], {"max_concurrency": "4"}, "max_concurrency"),
        ([], {"max_concurrency": 1000}, "more than the client's"),
        ([], {"ordered": 1}, "ordered"),
        ([], {"timeout": -1}, "timeout"),
        ([], {"deadline": "soon"}, "deadline"),
        ([], {"retries": -1}, "retries"),
        ([], {"cancel": 5}, "cancel"),
        ([], {"max_tokens": 5}, "max_tokens"),
        ([], {"modle": "x"}, "modle"),
    ],
)
def test_wrong_arguments(server, client, requests, options, said):
    """They are refused when the method is called, before the first step and without a request."""
    with pytest.raises(ConfigError, match=said):
        client.batch(requests, **options)

    assert not server.requests


def test_unknown_option(client):
    """A misspelt option is told with the ones that there are."""
    with pytest.raises(UnknownArgument, match="there is no argument 'time_out'"):
        client.batch([], time_out=5)


def test_the_clients_own_bound(server):
    """Above the client's bound is refused with what to do; below the default the default is lowered."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, max_concurrency=2) as client:
        with pytest.raises(ConfigError, match="Make the client with max_concurrency=3"):
            client.batch([], max_concurrency=3)
        assert len(list(client.batch(["x"] * 5, max_concurrency=2))) == 5
        assert at_a_time(server, client) == 2


def at_a_time(server, client, **options) -> int:
    """Return how many calls of a batch are under way at most."""
    gate = threading.Event()
    before = len(server.asked(CHAT))
    server.on("POST", CHAT, hold(gate, 5) + answer("x")(FakeRequest()))
    results: list[BatchResult] = []
    thread = threading.Thread(target=lambda: results.extend(client.batch(["x"] * 12, **options)))
    thread.start()
    most = options.get("max_concurrency", min(CONCURRENCY, client._context.config.max_concurrency))
    until(lambda: len(server.asked(CHAT)) - before >= most)
    gate.wait(0.03)
    under_way = len(server.asked(CHAT)) - before
    gate.set()
    thread.join(5)
    assert len(results) == 12
    return under_way


class FakeRequest:
    """A chat request that is not streamed."""

    def json(self):
        """Return its body."""
        return {}


@pytest.mark.parametrize(
    ("options", "most"), [({}, CONCURRENCY), ({"max_concurrency": 1}, 1), ({"max_concurrency": 7}, 7)]
)
def test_concurrency(server, client, options, most):
    """So many calls are under way at a time, 4 unless told otherwise."""
    assert at_a_time(server, client, **options) == most


def test_options_reach_each_call(server, client):
    """Headers, time-outs and deadlines given once hold for each request."""
    results = list(client.batch(["a", "b"], headers={"X-Job": "night"}))

    assert all(result.ok for result in results)
    assert [request.headers.get("X-Job") for request in server.asked(CHAT)] == ["night", "night"]
    server.on("POST", CHAT, stall())
    results = list(client.batch(["a", "b", "c"], deadline=0.03))
    assert [type(result.error) for result in results] == [DeadlineExceeded] * 3


def test_a_view_of_the_client(server, client):
    """Options of a view hold for its batches."""
    server.on("POST", CHAT, stall())
    (result,) = client.with_options(deadline=0.03).batch(["a"])

    assert isinstance(result.error, DeadlineExceeded)


def test_results_come_as_they_are_done(server, client):
    """A slow request holds up nobody, and in order it holds up those behind it."""
    gate = threading.Event()

    def reply(request):
        prompt = request.json()["messages"][0]["content"]
        return hold(gate, 5) + answer(prompt)(request) if prompt == "slow" else answer(prompt)(request)

    server.on("POST", CHAT, reply)
    results = client.batch(["slow", "a", "b", "c"], max_concurrency=2)
    assert [next(results).value.content for _ in range(3)] == ["a", "b", "c"]
    gate.set()
    assert next(results).value.content == "slow"
    assert list(results) == []
    gate.clear()
    results = client.batch(["slow", "a", "b", "c"], max_concurrency=2, ordered=True)
    threading.Timer(0.02, gate.set).start()
    assert [result.value.content for result in results] == ["slow", "a", "b", "c"]


def test_a_generator_without_end(server, client):
    """Requests are read as room becomes free: leaving the loop ends a generator that has no end."""
    read = []

    def requests():
        for number in itertools.count():
            read.append(number)
            yield f"prompt {number}"

    for result in client.batch(requests(), max_concurrency=2):
        assert result.ok
        if result.index >= 20:
            break

    assert len(read) <= 20 + 3 * 2 + 1


def test_nothing_is_sent_before_the_first_step(server, client):
    """Calling the method reads no request and sends none; an empty batch has no results."""
    read = []
    results = client.batch((read.append(1) or "x") for _ in range(3))

    assert not read
    assert not server.requests
    results.close()
    assert not read
    assert list(client.batch([])) == []


def test_an_error_of_the_source(server, client):
    """What the generator of the requests raises comes out as it is."""

    def requests():
        yield "one"
        raise LookupError("the database is gone")

    with pytest.raises(LookupError, match="the database is gone"):
        list(client.batch(requests()))


def test_a_fault_of_this_package_is_not_a_result(server, client, monkeypatch):
    """An error that is none of ours is raised: it would look like the request's own."""

    def broken(*_, **__):
        raise TypeError("a fault")

    monkeypatch.setattr("foundry_rest.endpoints.batch.answer", broken)
    with pytest.raises(TypeError, match="a fault"):
        list(client.batch(["x"]))


# ---------------------------------------------------------------- ends


def test_leaving_the_loop_ends_the_calls(server, client):
    """After a break the calls under way are ended on the service, too, and the client is as before."""
    server.on("POST", CHAT, server.healthy, stall())
    results = client.batch(["x"] * 10, max_concurrency=3)
    assert next(results).ok
    until(lambda: len(server.asked(CHAT)) >= 2)
    results.close()

    assert server.wait_left(count=len(server.asked(CHAT)) - 1)
    server.on("POST", CHAT, server.healthy)
    assert client.complete("x").content == "Hello there"
    assert list(results) == []


def test_a_loop_that_fails_ends_the_calls(server, client):
    """So does an error in the body of the loop."""
    server.on("POST", CHAT, server.healthy, stall())

    def use():
        for _ in client.batch(["x"] * 10, max_concurrency=2):
            until(lambda: len(server.asked(CHAT)) >= 2)
            raise LookupError

    with pytest.raises(LookupError):
        use()

    assert server.wait_left(count=len(server.asked(CHAT)) - 1)


def test_cancel(server, client, monkeypatch):
    """A token ends the batch from any thread: what is under way is an error, and the end is told."""
    monkeypatch.setattr(window, "TICK", 0.01)
    server.on("POST", CHAT, server.healthy, stall())
    token, results = CancelToken(), []

    def use():
        for result in client.batch(["x"] * 100, max_concurrency=2, cancel=token):
            results.append(result)
            if len(results) == 1:
                threading.Thread(target=cancel_when_stalled).start()

    def cancel_when_stalled():
        until(lambda: len(server.asked(CHAT)) >= 2)
        token.cancel()

    with pytest.raises(Cancelled, match="the batch was ended from elsewhere"):
        use()

    assert results[0].ok
    assert {type(result.error) for result in results[1:]} <= {Cancelled}
    assert len(results) <= 1 + 2 * 3
    assert not token._watchers


def test_cancelled_before(server, client):
    """A token that was cancelled before sends nothing."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        list(client.batch(["x"] * 100, cancel=token))

    assert not server.asked(CHAT)


def test_a_token_outlives_the_batch(server, client):
    """The end of a batch does not cancel the token it was given, and nobody watches it any more."""
    token = CancelToken()
    assert len(list(client.batch(["x"] * 3, cancel=token))) == 3
    next(results := client.batch(["x"] * 3, cancel=token))
    results.close()

    assert not token.cancelled
    assert not token._watchers


def test_closing_the_client(server, monkeypatch):
    """A client that is closed in the middle ends the batch with an error, and not like one that is done."""
    monkeypatch.setattr(window, "TICK", 0.01)
    server.on("POST", CHAT, server.healthy, stall())
    client = FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0)
    results = client.batch(["x"] * 50, max_concurrency=2)
    assert next(results).ok
    client.close()
    with pytest.raises(Cancelled, match="the batch was ended from elsewhere"):
        list(results)


def test_names_are_the_users(server, client):
    """The same name twice is answered twice: whoever gives names knows what they mean."""
    results = list(client.batch([{"custom_id": "a", "prompt": "x"}] * 2))

    assert [result.custom_id for result in results] == ["a", "a"]
    assert sorted(result.index for result in results) == [0, 1]


def test_values(server, client):
    """A result is a value: short repr without the prompt, a dict, no change."""
    (result,) = client.batch([{"custom_id": "a", "prompt": "a long secret prompt"}])

    assert "secret" not in repr(result)
    assert result.to_dict()["custom_id"] == "a"
    with pytest.raises(AttributeError):
        result.custom_id = "b"


def test_a_given_mapping_stays_as_it_was(server, client):
    """Reading a request changes nothing of it."""
    line = {"custom_id": "a", "url": CHAT, "body": {"messages": MESSAGES, "stream": False}}
    given = {"prompt": "x", "extra": {"top_k": 1}}
    list(client.batch([line, given]))

    assert line == {"custom_id": "a", "url": CHAT, "body": {"messages": MESSAGES, "stream": False}}
    assert given == {"prompt": "x", "extra": {"top_k": 1}}


@forks
def test_a_forked_child_does_not_read_the_parents_batch(server, client):
    """The results are the parent's, whose threads make the calls: the child is told so and does not wait."""
    server.on("POST", CHAT, repeat)
    results = client.batch(map(str, range(20)), ordered=True)
    first = next(results)

    def work():
        with pytest.raises(Cancelled, match="parent process"):
            list(results)

    assert in_child(work) == 0
    assert [first.custom_id, *[each.custom_id for each in results]] == [f"request-{n}" for n in range(20)]
