"""Answers that pass: which statuses are asked again, and how long a server is heard that says when."""

from __future__ import annotations

import itertools
from contextlib import nullcontext

import pytest
from support.servers import CHAT, answer

from foundry_rest import FoundryAPIClient, RetryPolicy
from foundry_rest.errors import CircuitOpen, ServiceError
from foundry_rest.events import AttemptFailed
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.testing import DEMO_MODEL, FakeClock, event, json_answer, sse

GENERATIONS = ("2.x", "1.x", "0.x", "openai")
QUICK = RetryPolicy(retries=3, base=0.002, floor=0.001)
TRANSIENT = (408, 409, 425, 429, 503)
LASTING = (400, 401, 403, 404, 405, 410, 413, 415, 422, 451, 501, 505)
BODY = {"error": {"message": "no"}}
#: Headers, status -> whether it is asked again.
TOLD = {
    **{(("x-should-retry", word), status): True for word in ("true", "True", " TRUE ") for status in LASTING},
    **{(("x-should-retry", word), status): False for word in ("false", "FALSE") for status in TRANSIENT},
    **{
        (("x-should-retry", word), status): True
        for word in ("", "maybe", "1", "null")
        for status in TRANSIENT
    },
    **{(("x-should-retry", word), status): False for word in ("", "maybe", "1") for status in LASTING},
}
#: Retry-After as servers send it -> seconds that are waited (``None``: the back-off's own).
WAITS = {
    "0": None,
    "0.0": None,
    "00": None,
    "-1": None,
    "-0": None,
    "soon": None,
    "": None,
    "1e-3": None,
    "\xb2": None,
    "Thu, 01 Jan 1970 00:00:00 GMT": None,
    "Tue, 14 Nov 2023 22:13:20 GMT": None,
    "0, 0": None,
    "nan": None,
    "inf": None,
    "1": 1.0,
    " 2 ": 2.0,
    "1.5": 1.5,
    "007": 7.0,
    "59": 59.0,
    "Tue, 14 Nov 2023 22:13:50 GMT": 30.0,
}
LONG = ("61", "3600", "9999999999", "1700000000", "1" * 30, "9" * 400, "Fri, 31 Dec 9999 23:59:59 GMT")


def client_of(server, generation, **options):
    """Return a client that waits for milliseconds only, and its failed attempts."""
    failed: list[AttemptFailed] = []
    options = {"retries": QUICK, "breaker": None, "model": DEMO_MODEL, **options}
    observers = [lambda event: failed.append(event) if isinstance(event, AttemptFailed) else None]
    return FoundryAPIClient(server.url, dialect=generation, observers=observers, **options), failed


def ask(client, how):
    """Return the text of an answer, whole or streamed."""
    return client.complete("Hi").content if how == "whole" else client.stream_complete("Hi").gather().content


@pytest.mark.parametrize("how", ["whole", "streamed"])
@pytest.mark.parametrize("generation", GENERATIONS)
def test_what_passes_is_asked_again(server, generation, how):
    """As often as the policy allows, for the request has not begun or gave way; what stays is asked once."""
    client, failed = client_of(server, generation)
    with client:
        for status in (*TRANSIENT, *LASTING):
            passes = status in TRANSIENT
            failed.clear()
            server.on("POST", CHAT, *[json_answer(BODY, status)] * 3, answer("Hello"))
            with nullcontext() if passes else pytest.raises(ServiceError):
                assert ask(client, how) == "Hello"
            assert [each.error.status for each in failed] == [status] * (3 if passes else 1)


@pytest.mark.parametrize("how", ["whole", "streamed"])
def test_a_server_that_says_whether(server, how):
    """Its word counts more than its status; what is no word counts nothing."""
    for (header, status), again in TOLD.items():
        before = len(server.asked(CHAT))
        server.on("POST", CHAT, json_answer(BODY, status, [header]), answer("Hello"))
        client, failed = client_of(server, "openai")
        with client, nullcontext() if again else pytest.raises(ServiceError):
            assert ask(client, how) == "Hello"
        assert len(server.asked(CHAT)) - before == len(failed) + again == 1 + again


@pytest.mark.parametrize(
    ("code", "again"), [*[(code, True) for code in TRANSIENT], (501, False), (505, False)]
)
def test_the_same_within_a_stream(server, code, again):
    """A gateway's status may stand in the first event, under 200."""
    first = event(f'{{"error": {{"message": "no", "code": {code}}}}}')
    server.on("POST", CHAT, sse([first]), answer("Hello"))
    client, _ = client_of(server, "openai")
    with client:
        if again:
            assert ask(client, "streamed") == "Hello"
        else:
            with pytest.raises(ServiceError):
                ask(client, "streamed")


def waited(server, status, headers):
    """Return the seconds before the second attempt; ``None`` if there was none."""
    server.on("POST", CHAT, json_answer(BODY, status, headers), answer("Hello"))
    with FakeClock(epoch=1_700_000_000.0).installed():
        client, failed = client_of(server, "openai", retries=RetryPolicy(base=0.25, floor=0.02))
        with client:
            try:
                ask(client, "whole")
            except ServiceError:
                assert len(failed) == 1
    return failed[0].wait


@pytest.mark.parametrize("status", [429, 503, 408, 500])
def test_a_server_that_says_when(server, status):
    """Its seconds are waited; 0, a date that is past and what is no time leave the back-off as it is."""
    for value, seconds in WAITS.items():
        wait = waited(server, status, [("Retry-After", value)])
        assert 0.02 <= wait <= 0.25 if seconds is None else wait == seconds


@pytest.mark.parametrize("status", [429, 503, 408, 500])
def test_a_server_that_says_much_later(server, status):
    """However many digits it has: the call ends, and the error tells when."""
    for value in LONG:
        assert waited(server, status, [("Retry-After", value)]) is None


@pytest.mark.parametrize(
    ("milliseconds", "seconds"),
    [
        ("0", None),
        ("1", None),
        ("20", None),
        ("250", 0.25),
        ("1500", 1.5),
        ("60000", 60.0),
        ("soon", 7.0),
        ("-5", 7.0),
    ],
)
def test_milliseconds(server, milliseconds, seconds):
    """They count before the seconds beside them, unless they are no number."""
    wait = waited(server, 429, [("retry-after-ms", milliseconds), ("retry-after", "7")])

    assert 0.02 <= wait <= 0.25 if seconds is None else wait == seconds


@pytest.mark.parametrize("value", ["60001", "9999999999", "1" * 25])
def test_many_milliseconds(server, value):
    """More than a minute is much later."""
    assert waited(server, 429, [("retry-after-ms", value)]) is None


@pytest.mark.parametrize(
    ("status", "opens"), [*itertools.product((501, 505, 408, 409, 425, 429), [False]), (500, True)]
)
def test_what_a_service_has_not_is_no_failure_of_it(server, status, opens):
    """The circuit stays closed: other requests are answered."""
    server.on("POST", CHAT, json_answer(BODY, status))
    client, _ = client_of(server, "openai", retries=0, breaker=BreakerPolicy())
    with client:
        for _ in range(6):
            with pytest.raises((ServiceError, CircuitOpen)) as caught:
                ask(client, "whole")
    assert isinstance(caught.value, CircuitOpen) is opens
