"""The bench as a whole, against a service on a socket: what is sent, how it ends, what is advised."""

from __future__ import annotations

import threading
from array import array
from xml.etree import ElementTree as ET

import pytest
from support.servers import CHAT, bodies, echo

from foundry_rest import FoundryAPIClient
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.ops.bench import BenchLevel, BenchReport, BenchSettings, Measurement, bench, parse_goodput
from foundry_rest.ops.bench.advice import advice_on, best_of, grows
from foundry_rest.ops.bench.figures import run_of
from foundry_rest.ops.bench.plot import render
from foundry_rest.ops.bench.prompts import Length, Prompts
from foundry_rest.ops.bench.run import swept
from foundry_rest.testing import DEMO_MODEL, chat_stream, event, hold, json_error, pause, sse, stall
from foundry_rest.testing.answers import chat_events
from foundry_rest.transport.cancellation import CancelToken


def level(concurrency, tokens, *, failed=0, e2e=1.0, good=None):
    """Return a level with so many tokens per second."""
    each = Measurement(
        began=0.0,
        ended=e2e,
        completion_tokens=round(tokens * e2e),
        first_content=0.5,
        outputs=array("d", [0.5] if tokens else []),
    )
    errors = [Measurement(began=0.0, ended=0.0, error="ServiceError", reason="no")] * failed
    bounds = None if good is None else {"e2e": 9.0 if good else 0.0}
    return BenchLevel(concurrency=concurrency, runs=(run_of(concurrency, [each, *errors], bounds),))


def prompts_of(server):
    """Return the prompts that were sent."""
    return [body["messages"][-1]["content"] for body in bodies(server)]


# ---------------------------------------------------------------- what is sent


def test_one_run(client, server):
    """Warm-up requests come first and are in no figure; every request is streamed, bounded and greedy."""
    report = bench(client, BenchSettings(requests=5, concurrency=2, warmup=3, max_tokens=7))

    (found,) = report.levels
    assert (found.concurrency, found.figures["completed"], found.errors) == (2, 5, {})
    assert (report.warmup.requests, report.load, report.interrupted) == (3, None, False)
    assert (report.url, report.generation, report.model) == (server.url, "2.x", DEMO_MODEL)
    assert len(server.asked(CHAT)) == 8
    assert {(body["stream"], body["max_tokens"], body["temperature"]) for body in bodies(server)} == {
        (True, 7, 0)
    }
    assert found.figures["total_output_tokens"] == 10


def test_the_same_seed_makes_the_same_prompts(client, server):
    """Prompts depend on the seed alone, and no two of a bench are alike."""
    for seed in (1, 1, 2):
        bench(client, BenchSettings(requests=4, concurrency=1, seed=seed, prompt_tokens=20))
    first, again, other = (prompts_of(server)[at : at + 6] for at in (0, 6, 12))

    assert first == again
    assert len(set(first)) == 6
    assert not set(first[2:]) & set(other[2:])


def test_the_length_of_prompts_is_learnt_from_the_warm_up(client, server):
    """The tokens that the service counts for two prompts tell how many words make the length asked for."""

    def count(request):
        words = len(request.json()["messages"][-1]["content"].split())
        usage = b'{"choices":[],"usage":{"prompt_tokens":%d,"completion_tokens":2}}' % (10 + 3 * words)
        return sse([*chat_events("Hello there", usage=False), event(usage.decode())])

    server.on("POST", CHAT, count)
    report = bench(client, BenchSettings(requests=2, concurrency=1, prompt_tokens=100))

    assert report.levels[0].figures["total_input_tokens"] / 2 == pytest.approx(100, abs=2)


def test_length():
    """A service that counts no tokens, or counts them oddly, leaves one for each word."""
    assert Length.between((16, 40), (80, 168)).words_for(88) == 40
    assert Length.between((16, 0), (80, 0)) == Length.between((16, 9), (80, 9)) == Length()
    assert Length(50.0, 2.0).words_for(10) == 1


def test_given_prompts(client, server):
    """Given prompts are sent in turn, in place of made ones."""
    bench(client, BenchSettings(requests=3, concurrency=1, warmup=1, prompts=("one", "two")))

    assert prompts_of(server) == ["one", "two", "one", "two"]
    assert Prompts(BenchSettings(prompts=("a",))).take(2) == ["a", "a"]


def test_as_many_at_a_time_as_asked_for(client, server):
    """So many requests are under way together, and no more."""
    together, gate = [], threading.Event()

    def answer(_request):
        together.append(1)
        if len(together) == 3:
            gate.set()
        return chat_stream()[:1] + hold(gate, 2.0) + chat_stream()[1:]

    server.on("POST", CHAT, answer)
    report = bench(client, BenchSettings(requests=3, concurrency=3, warmup=0))

    assert report.levels[0].figures["duration"] < 1.5
    assert server.connections <= 4


def test_nothing_is_tried_twice_or_answered_from_a_cache(server, tmp_path):
    """Failures are counted as they come, whatever the client would do about them."""
    server.on("POST", CHAT, json_error(500, "no"))
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=3, breaker=None) as client:
        report = bench(client, BenchSettings(requests=4, concurrency=1, warmup=0))
    assert report.levels[0].errors == {"ServerError": 4}
    assert len(server.asked(CHAT)) == 4
    server.on("POST", CHAT, echo)
    with FoundryAPIClient(server.url, model=DEMO_MODEL, cache=tmp_path / "answers.sqlite") as client:
        bench(client, BenchSettings(requests=4, concurrency=1, warmup=0, prompts=("same",)))
    assert len(server.asked(CHAT)) == 8


def test_a_model_that_is_not_in_memory(client, server):
    """It is loaded first, and the time of that is told apart."""
    server.loaded = ()
    report = bench(client, BenchSettings(model="demo", requests=1, concurrency=1))

    assert report.load is not None
    assert report.load > 0
    assert report.levels[0].figures["completed"] == 1


def test_a_service_that_loads_nothing(server):
    """Where no route loads a model it is taken to be there, by the name that was given."""
    with FoundryAPIClient(server.url, model=DEMO_MODEL, retries=0, dialect="openai") as client:
        report = bench(client, BenchSettings(requests=1, concurrency=1))

    assert (report.load, report.model, report.generation) == (None, DEMO_MODEL, "openai")
    assert report.levels[0].figures["completed"] == 1


def test_a_model_that_is_not_there(client):
    """A model that cannot be loaded is an error, not a figure."""
    with pytest.raises(FoundryError):
        bench(client, BenchSettings(model="nope"))


def test_a_client_with_fewer_slots(server):
    """A client that would let fewer through is refused: it would be measured in place of the service."""
    with (
        FoundryAPIClient(server.url, max_concurrency=4) as client,
        pytest.raises(ConfigError, match="lets 4 requests through"),
    ):
        bench(client, BenchSettings(concurrency=5))
    assert server.requests == []


# ---------------------------------------------------------------- the sweep


@pytest.mark.parametrize(
    ("throughputs", "measured"),
    [
        ([100, 180, 185, 999], [1, 2, 4]),
        ([100, 104, 999], [1, 2]),
        ([100, 90, 999], [1, 2]),
        ([10, 20, 40, 80, 160, 320, 640, 999], [1, 2, 4, 8, 16, 32, 64]),
        ([0, 999], [1]),
        ([100, 200, None, 999], [1, 2]),
    ],
)
def test_a_sweep_ends_where_throughput_stops_growing(throughputs, measured):
    """It doubles until a level gives less than 5 % more, until the largest number, or until it is ended."""

    def of(number):
        tokens = throughputs[measured.index(number) if number in measured else len(measured)]
        return None if tokens is None else level(number, tokens)

    assert [each.concurrency for each in swept(of, 64)] == measured


def test_a_sweep(client):
    """It begins with one at a time, and the best level is one of those that were measured."""
    report = bench(client, BenchSettings(requests=2, warmup=0))

    assert [each.concurrency for each in report.levels][:2] == [1, 2]
    assert report.best in report.levels


def test_a_sweep_sends_at_least_four_for_each(client):
    """The last ones of a run, which are fewer than asked for, weigh little."""
    settings = BenchSettings(requests=6)

    assert [settings.requests_at(number) for number in (1, 2, 4)] == [6, 8, 16]
    assert BenchSettings(requests=6, concurrency=4).requests_at(4) == 6


def test_a_sweep_of_nothing_but_errors_ends_at_once(client, server):
    """More requests at a time are no use where none is answered, and nothing is advised."""
    server.on("POST", CHAT, json_error(500, "no"))
    report = bench(client, BenchSettings(requests=2, warmup=0))

    assert [each.concurrency for each in report.levels] == [1]
    assert report.best is report.advice is None
    assert report.summary()["advice"] is None


def test_a_sweep_ends_at_the_clients_slots(server):
    """Beyond its slots a client would be measured."""
    server.on("POST", CHAT, lambda _: chat_stream()[:1] + pause(0.02) + chat_stream()[1:])
    with FoundryAPIClient(server.url, model=DEMO_MODEL, max_concurrency=2) as client:
        report = bench(client, BenchSettings(requests=4, warmup=0))

    assert {each.concurrency for each in report.levels} <= {1, 2}


@pytest.mark.parametrize(
    ("before", "after", "expected"), [(100, 105, True), (100, 104, False), (0, 0, False), (0, 1, True)]
)
def test_growth(before, after, expected):
    """Less than 5 % more is no growth, and neither is nothing after nothing."""
    assert grows(level(1, before), level(2, after)) is expected


def test_progress_is_told(client):
    """Each run is told when it has ended."""
    told = []
    bench(client, BenchSettings(requests=1, concurrency=1, repeat=3), progress=told.append)

    assert [run.completed for run in told] == [1, 1, 1]


# ---------------------------------------------------------------- an early end


def test_a_cancel_ends_the_calls_under_way(client, server):
    """The figures so far are returned at once; what was under way is no error."""
    token = CancelToken()

    def cancel(_request):
        token.cancel()
        return chat_stream()[:3] + stall()

    server.on("POST", CHAT, *[chat_stream()] * 5, cancel)
    report = bench(client, BenchSettings(requests=99, concurrency=2, warmup=0), cancel=token)

    (found,) = report.levels
    assert report.interrupted
    assert 4 <= found.figures["completed"] <= 5
    assert found.errors == {}
    assert report.advice is not None


def test_a_cancel_before_the_first_answer(client, server):
    """There is a report without any level."""
    token = CancelToken()
    token.cancel()
    report = bench(client, cancel=token)

    assert (report.levels, report.interrupted, report.advice) == ((), True, None)
    assert server.asked(CHAT) == []


def test_an_interrupt_ends_the_calls_too(client, server):
    """Ctrl-C is raised where the program waits, and no call is left under way."""

    def interrupt(_run):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(client, BenchSettings(requests=2, concurrency=2), progress=interrupt)
    assert client.stats().slots.in_use == 0


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("levels", "best"),
    [
        ([level(1, 100), level(2, 150), level(4, 152)], 2),
        ([level(1, 100), level(2, 150), level(4, 200)], 4),
        ([level(1, 100), level(2, 90)], 1),
        ([level(1, 100), level(2, 150), level(4, 300, failed=1)], 2),
        ([level(1, 100, failed=1), level(2, 150, failed=1)], 2),
        ([level(1, 100, good=True), level(2, 300, good=False)], 1),
        ([level(1, 100, good=False), level(2, 300, good=False)], 1),
    ],
)
def test_the_best_level(levels, best):
    """It is the fewest at a time near the best throughput, or goodput, without errors if any is."""
    assert best_of(levels).concurrency == best


def test_advised_times():
    """They are 3 times the 99th percentile, at least 1 s, and two of that with 3 loads; with two digits."""
    slow = advice_on(level(2, 100, e2e=4.111), None)
    assert (slow.concurrency, slow.timeout, slow.deadline) == (2, 13.0, 26.0)
    assert advice_on(level(2, 100, e2e=0.01), None).timeout == 1.0
    assert advice_on(level(2, 100, e2e=0.01), 10.0).deadline == 32.0


def test_the_advised_client_can_be_made(server):
    """The line is Python, and makes a client of that service."""
    line = advice_on(level(4, 100), None).line("it's", server.url)
    with eval(line, {"FoundryAPIClient": FoundryAPIClient}) as client:
        assert (client.url or server.url, client.model) == (server.url, "it's")
        assert client.stats().slots.limit == 4
    assert "127.0.0.1" not in advice_on(level(4, 100), None).line("demo")


# ---------------------------------------------------------------- settings and reports


@pytest.mark.parametrize(
    "wrong",
    [
        {"requests": 0},
        {"requests": True},
        {"repeat": 0},
        {"warmup": -1},
        {"seed": "x"},
        {"prompt_tokens": 0},
        {"max_tokens": 0},
        {"concurrency": 0},
        {"concurrency": 1001},
        {"concurrency": "all"},
        {"concurrency": True},
        {"requests": 10_000, "max_tokens": 100_000},
        {"goodput": {"itl": 1.0}},
        {"goodput": {"ttft": -1.0}},
    ],
)
def test_wrong_settings(wrong):
    """What cannot be measured is refused before anything is sent."""
    with pytest.raises(ConfigError):
        BenchSettings(**wrong)


def test_goodput_texts():
    """Bounds are in milliseconds, and end to end is spelt as here or as vLLM does."""
    assert parse_goodput("ttft:500, e2e:5000") == {"ttft": 0.5, "e2e": 5.0}
    assert parse_goodput("e2el:10,tpot:2.5") == {"e2e": 0.01, "tpot": 0.0025}
    for wrong in ("", "ttft", "ttft:x", "itl:5", "ttft=5"):
        with pytest.raises(ConfigError, match="goodput cannot be"):
            parse_goodput(wrong)


def report_of(*levels, **settings):
    """Return a report."""
    return BenchReport(
        url="http://127.0.0.1:1",
        generation="2.x",
        model="demo:1",
        settings=BenchSettings(**settings),
        levels=levels,
    )


def test_summary():
    """At the top are the best level's figures, below those of every level; no prompt is in it."""
    found = report_of(level(1, 100), level(2, 200), level(4, 201), prompts=("SECRET",)).summary()

    assert (found["max_concurrency"], found["output_throughput"], found["model_id"]) == (2, 200.0, "demo:1")
    assert [each["max_concurrency"] for each in found["levels"]] == [1, 2, 4]
    assert found["settings"]["prompts"] == 1
    assert "SECRET" not in str(found)
    assert "SECRET" not in repr(report_of(level(1, 100), prompts=("SECRET",)))


def test_plot():
    """It is XML that stands alone; a sweep has curves, any bench the histograms of its best level."""
    sweep, single = render(report_of(level(1, 100), level(2, 200))), render(report_of(level(3, 100)))
    ET.fromstring(sweep)
    ET.fromstring(single)

    assert (sweep.count("<polyline"), single.count("<polyline")) == (4, 0)
    assert "Tokens per second" in sweep
    assert "Time to first token" in single
    assert "<script" not in sweep
    assert "http" not in sweep.replace("http://www.w3.org/2000/svg", "")
    ET.fromstring(render(report_of(level(1, 0), model='<&">')))
