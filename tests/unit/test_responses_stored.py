"""What the service remembers of responses: conversations, and what is stored."""

from __future__ import annotations

from itertools import pairwise

import pytest
from support.responses import PATH, gone, response, streamed

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import (
    InvalidReply,
    NotFound,
    ResponseNotFound,
    UnsupportedByService,
)
from foundry_rest.testing import (
    DEMO_MODEL,
    cut,
    json_answer,
    json_error,
)

NO_PREVIOUS = json_error(
    404,
    "Previous response not found: Conversation history for 'resp_0' is no longer available; "
    "resend the full conversation in 'input'",
)


def test_a_conversation(server, native):
    """2.x is asked for the response before, because 2.0 would ignore an unknown one, and then to go on."""
    server.on("GET", f"{PATH}/resp_0", json_answer(response("resp_0", previous_response_id="resp_9")))
    server.on("POST", PATH, streamed(response(previous_response_id="resp_0")))
    got = native.responses.create("Hi", previous_response_id="resp_0")

    assert got.previous_response_id == "resp_0"
    assert [request.method for request in server.requests] == ["GET", "POST"]


@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_conversation_that_2x_forgot(server, native, how):
    """A NotFound of its own, with the way on; never taken for an unknown model, nor answered by 2.0."""
    server.on("GET", f"{PATH}/resp_0", gone("resp_0"))
    server.on("POST", PATH, streamed(response(previous_response_id="resp_0")))

    with pytest.raises(ResponseNotFound, match="whole conversation as input"):
        getattr(native.responses, how)("Hi", previous_response_id="resp_0")
    assert [request.method for request in server.requests] == ["GET"]


@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_service_that_refuses_an_unknown_response(server, native, how):
    """From then on it is asked at once."""
    server.on("GET", f"{PATH}/resp_0", json_answer(response("resp_0")))
    server.on("POST", PATH, NO_PREVIOUS)

    for _ in range(2):
        with pytest.raises(ResponseNotFound, match="whole conversation as input"):
            getattr(native.responses, how)("Hi", previous_response_id="resp_0")
    assert [request.method for request in server.requests] == ["GET", "POST", "POST"]


def test_a_conversation_on_1x(server, core):
    """1.x is asked for the response before, and then to go on."""
    server.on("GET", f"{PATH}/resp_1", json_answer(response("resp_1")))
    server.on("POST", PATH, json_answer(response(previous_response_id="resp_1")))
    got = core.responses.create("Hi", previous_response_id="resp_1")

    assert got.output_text == "Hello there"
    assert [request.path for request in server.requests] == [f"{PATH}/resp_1", PATH]


@pytest.mark.parametrize(
    ("before", "error"),
    [
        (gone("resp_2"), NotFound),
        (json_answer(response("resp_2", previous_response_id="resp_1")), UnsupportedByService),
    ],
    ids=["forgotten", "third turn"],
)
@pytest.mark.parametrize("how", ["create", "stream"])
def test_a_conversation_that_1x_would_lose(server, core, how, before, error):
    """1.x would answer without a word of what it forgot or never reads: it is not asked then."""
    server.on("GET", f"{PATH}/resp_2", before)
    with pytest.raises(error, match="whole conversation as input"):
        getattr(core.responses, how)("Hi", previous_response_id="resp_2")

    assert [request.method for request in server.requests] == ["GET"]


def test_a_service_that_does_not_go_on(server, native):
    """An answer that does not name the previous response is none, whole or streamed."""
    server.on("GET", f"{PATH}/resp_0", json_answer(response("resp_0")))
    server.on("POST", PATH, streamed())
    for ask in (native.responses.create, lambda text, **more: native.responses.stream(text, **more).gather()):
        with pytest.raises(InvalidReply, match="did not go on"):
            ask("Hi", previous_response_id="resp_0")


def test_get_and_input_items(server, native):
    """A stored response, and what it was asked."""
    server.on("GET", f"{PATH}/resp_1", json_answer(response()))
    server.on("GET", f"{PATH}/resp_1/input_items", json_answer({"data": [{"role": "user", "content": "Hi"}]}))

    assert native.responses.get("resp_1").output_text == "Hello there"
    assert [item.text for item in native.responses.input_items("resp_1")] == ["Hi"]


@pytest.mark.parametrize("how", ["get", "delete", "input_items"])
def test_what_is_not_kept(server, native, how):
    """NotFound says what may have happened to it."""
    server.on("*", "*", gone("resp_1"))
    with pytest.raises(NotFound, match="without store=True") as caught:
        getattr(native.responses, how)("resp_1")

    assert (caught.value.code, len(caught.value.attempts)) == ("response_not_found", 1)


def test_a_service_without_the_route(server, native):
    """Its 404 is no word about a response: the advice is another one."""
    with pytest.raises(NotFound) as caught:
        native.responses.get("resp_1")

    assert "store=True" not in str(caught.value)


def test_delete(server, native):
    """The service says that it did; a word that says otherwise is an error."""
    server.on(
        "DELETE",
        f"{PATH}/resp_1",
        json_answer({"id": "resp_1", "deleted": True}),
        json_answer({"deleted": False}),
    )

    assert native.responses.delete("resp_1") is None
    with pytest.raises(InvalidReply, match="did not delete"):
        native.responses.delete("resp_1")


def test_delete_whose_answer_was_lost(server):
    """The second try finds nothing: the first one did it."""
    server.on("DELETE", f"{PATH}/resp_1", cut(), gone("resp_1"))
    with FoundryAPIClient(server.url, retries=1, dialect="2.x") as patient:
        assert patient.responses.delete("resp_1") is None

    assert len(server.asked(f"{PATH}/resp_1")) == 2


def pages(server, *contents):
    """Serve pages of responses, one after the other; the last is marked as last."""
    scripts = [
        json_answer(
            {"data": [response(id) for id in ids], "has_more": more, "last_id": ids[-1] if ids else None}
        )
        for ids, more in contents
    ]
    server.on("GET", PATH, *scripts)


def test_list(server, native):
    """One page: whose model each response holds is there."""
    pages(server, (["resp_2", "resp_1"], True))
    page = native.responses.list(limit=2, after="resp_3")

    assert [(each.id, each.model) for each in page] == [("resp_2", DEMO_MODEL), ("resp_1", DEMO_MODEL)]
    assert (page.has_more, page.last_id) == (True, "resp_1")
    assert server.requests[-1].query == "limit=2&after=resp_3"


@pytest.mark.parametrize(
    "contents",
    [
        [(["a", "b"], True), (["c"], False)],
        [(["a", "b"], True), (["b", "c"], True), (["a", "b", "c"], True)],
        [(["a", "b", "c"], True), ([], True)],
        [(["a", "b", "c"], True), ([], False)],
    ],
    ids=["two pages", "begins anew", "empty page", "empty last page"],
)
def test_iterate(server, native, contents):
    """Every response once, however the pages overlap: 2.x begins anew after an id that it has forgotten."""
    pages(server, *contents)

    assert [each.id for each in native.responses.iterate()] == ["a", "b", "c"]
    asked = [request.query for request in server.requests]
    assert len(asked) == len(contents)
    assert all(before != after for before, after in pairwise(asked))
