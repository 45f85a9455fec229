"""Attempts whose time-outs follow the service: what they get and learn from, and when all is forgotten."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from support.forks import forks, in_child

from foundry_rest.errors import (
    Cancelled,
    DeadlineExceeded,
    ModelNotLoaded,
    ServerError,
    ServiceTimeout,
    ServiceUnreachable,
)
from foundry_rest.events import TimeoutChanged
from foundry_rest.resilience.adaptive_silence import MARGIN, NEIGHBOURS, PAUSE, WINDOW
from foundry_rest.resilience.adaptive_timeouts import AdaptiveTransport
from foundry_rest.services.target import Target
from foundry_rest.testing.fakes import FakeOpenReply, FakeSender
from foundry_rest.timeouts import AdaptiveTimeouts, Timeouts
from foundry_rest.transport.call import Call, Options, Reply

GIVEN = Timeouts.adaptive(floor=2, ceiling=100)
BODY = b'{"messages": [{"role": "user", "content": "' + b"word " * 200 + b'"}]}'
URL = "http://h"
REFUSED = ServiceUnreachable("refused", sent=False)


class Bench:
    """A transport that adapts, over a scripted one, and time that passes as the script says."""

    def __init__(self, time):
        self.time, self.inner, self.events = time, FakeSender(), []
        self.transport = AdaptiveTransport(self.inner, self.events.append)
        self.target = Target(URL)

    def call(self, **changes) -> Call:
        """Return a call with adaptive time-outs."""
        facts = {"body": BODY, "options": Options(GIVEN), "label": "chat.stream", "model": "m", **changes}
        return Call("POST", "/v1/chat/completions", **facts)

    def took(self, seconds, result):
        """Return an item of the script that takes so long."""

        def passing(*_):
            self.time.advance(seconds)
            return result

        return passing

    def open(self, first=0.1, *gaps, target=None, **changes):
        """Open a stream whose first event takes so long, and each further one so long."""
        events = [b"first", *(self.took(gap, b"more") for gap in gaps)]
        self.inner.enqueue(self.took(first, FakeOpenReply(events)))
        return self.transport.open(self.call(**changes), target or self.target)

    def answer(self, first=0.1, *gaps, **more):
        """Read a stream to its end."""
        opened = self.open(first, *gaps, **more)
        assert list(opened)
        opened.finish()

    def learn(self, first=0.1, gap=0.1, **more):
        """Make as many calls as are needed to know something."""
        for _ in range(NEIGHBOURS):
            self.answer(first, gap, **more)

    def fail(self, error, after=0.0, **changes):
        """Let an attempt fail."""
        self.inner.enqueue(self.took(after, error))
        with pytest.raises(type(error)) as caught:
            self.transport.open(self.call(**changes), self.target)
        return caught.value

    def given(self, number=-1) -> Timeouts:
        """Return the time-outs that an attempt got."""
        return self.inner.calls[number].options.timeouts

    def silences(self, **changes) -> tuple[float, float]:
        """Return what the next attempt gets."""
        self.open(**changes).close()
        return self.given().first_token, self.given().idle

    def reasons(self) -> list[str]:
        """Return why the time to the first event was changed, each time."""
        return [event.reason for event in self.events if event.phase == "first_token"]


@pytest.fixture
def bench(time):
    """Return a transport that adapts."""
    return Bench(time)


def test_the_ceiling_holds_at_first(bench):
    """Nothing is adapted before enough is known, and connecting and loading never are."""
    bench.learn()

    assert {
        (each.options.timeouts.first_token, each.options.timeouts.idle) for each in bench.inner.calls
    } == {(100, 100)}
    bench.open()
    assert (bench.given().connect, bench.given().load) == (GIVEN.connect, GIVEN.load)


def test_they_follow(bench):
    """Each silence follows its own observations: a multiple of the longest, never less than the floor."""
    bench.learn(first=3.0, gap=0.1)
    first_token, idle = bench.silences()

    assert MARGIN * 3 <= first_token < MARGIN * 3 * 2
    assert idle == 2


def test_never_above_the_ceiling(bench):
    """A service that takes long gets no more than what the user allows."""
    bench.learn(first=90.0, gap=0.1)

    assert bench.silences()[0] == 100


def test_longer_prompts_get_more(bench):
    """A prompt that is longer than any before may take longer out of proportion; ten times is the ceiling."""
    bench.learn(first=1.0)
    alike = bench.silences()[0]

    assert bench.silences(body=BODY * 2)[0] == pytest.approx(4 * alike)
    assert bench.silences(body=BODY * 10)[0] == 100


def test_higher_loads_get_more(bench):
    """While other calls are under way each may take in proportion longer; closed ones count no more."""
    bench.learn(first=1.0)
    alone = bench.silences()[0]
    others = [bench.open() for _ in range(3)]

    assert bench.silences()[0] == pytest.approx(4 * alone)
    for other in others:
        other.close()
    assert bench.silences()[0] == alone


def test_an_event_for_each_change(bench):
    """The change and its reason are an event; calls that change nothing make none."""
    bench.learn()
    assert not bench.events
    for _ in range(3):
        bench.answer()

    (first, idle) = bench.events
    assert isinstance(first, TimeoutChanged)
    assert (first.url, first.call, first.model) == (URL, "chat.stream", "m")
    assert (first.phase, first.before, first.after) == ("first_token", 100, 2)
    assert len(BODY) <= first.length <= 2 * len(BODY)
    assert first.load == 1
    assert first.reason == "a comparable call was silent for 0.1 s"
    assert (idle.phase, idle.before, idle.after) == ("idle", 100, 2)


def test_a_slower_service_raises_them(bench):
    """What takes longer than before, within its time, raises the time-out at once."""
    bench.learn(first=1.0)
    before = bench.silences()[0]
    bench.answer(3.0)

    assert bench.silences()[0] == pytest.approx(3 * before)
    assert bench.reasons()[-1] == "a comparable call was silent for 3 s"


@pytest.mark.parametrize("phase", ["headers", "first_token"])
def test_a_time_out_raises_it(bench, phase):
    """After a time-out the next attempt may take a multiple of what was not enough, up to the ceiling."""
    bench.learn()
    allowed = [bench.silences()[0]]
    for _ in range(4):
        bench.fail(ServiceTimeout("silent", phase=phase), after=allowed[-1])
        allowed.append(bench.silences()[0])

    assert allowed[0] == 2
    assert MARGIN * 2 <= allowed[1] < allowed[2] <= allowed[3] == allowed[4] == 100
    assert bench.reasons()[1] == "a comparable call timed out after 2 s"


def test_it_comes_down_again(bench):
    """When the service is as quick as before a time-out, the time-out is what it was after some calls."""
    bench.learn()
    bench.silences()
    bench.fail(ServiceTimeout("silent", phase="headers"), after=2.0)
    bench.learn()

    assert bench.silences()[0] == 2


@pytest.mark.parametrize("phase", ["connect", "upload"])
def test_other_time_outs_do_not_count(bench, phase):
    """Whether a connection comes about has its own time-out, whose error says nothing of these."""
    bench.learn()
    error = bench.fail(ServiceTimeout("no connection", phase=phase), after=3.0)

    assert bench.silences()[0] == 2
    assert error.message == "no connection"


def test_the_error_says_what_was_allowed(bench):
    """A time-out says that the time was adapted, to how much and by what, and what to do."""
    bench.learn()
    bench.silences()
    error = bench.fail(ServiceTimeout("the service was silent", phase="headers"), after=2.0)

    known = NEIGHBOURS + 1
    assert error.message == f"the service was silent: 2 s, adapted to the last {known} calls"
    assert "give Timeouts.adaptive() a higher floor=" in str(error)


def test_the_error_at_the_ceiling(bench):
    """A time-out at the ceiling asks for a higher one."""
    error = bench.fail(ServiceTimeout("the service was silent", phase="headers"), after=100.0)

    assert error.message == "the service was silent"
    assert "a higher ceiling=" in str(error)


def test_the_error_of_fixed_time_outs(bench):
    """A call with fixed time-outs in an adaptive client has the usual error, and is learned from."""
    bench.learn(options=Options(Timeouts(first_token=7)))
    error = bench.fail(ServiceTimeout("silent", phase="headers"), options=Options(Timeouts(first_token=7)))

    assert bench.given().first_token == 7
    assert "adapt" not in str(error)
    assert bench.silences()[0] == 2


def test_what_ends_a_stream_that_sends_comments(bench):
    """A stream that was never silent ends by another bound; its error does not claim an adapted one."""
    bench.learn()
    bench.silences()
    error = bench.fail(ServiceTimeout("no event came", phase="first_token"), after=GIVEN.load)

    assert error.message == "no event came"


def test_a_silence_within_a_stream(bench):
    """A stream that falls silent raises the time between events, and its error says what was allowed."""
    bench.learn()
    error = ServiceTimeout("the stream fell silent", phase="idle")
    bench.inner.enqueue(FakeOpenReply([b"first", bench.took(2.0, error)]))
    opened = bench.transport.open(bench.call(), bench.target)
    with pytest.raises(ServiceTimeout, match="adapted to the last 20 calls"):
        list(opened)
    opened.fail(error)
    opened.close()

    assert bench.silences()[1] >= MARGIN * 2
    assert opened.inner.failed is error
    assert opened.inner.closed


def test_the_reader_s_own_time_does_not_count(bench):
    """What the program does between two events is no silence of the service."""
    for _ in range(NEIGHBOURS):
        opened = bench.open(0.1, 0.1, 0.1)
        for _ in opened:
            bench.time.advance(30)
        opened.finish()

    assert bench.silences()[1] == 2


def test_a_stream_that_was_left(bench):
    """Only a stream that was read to its end, or to its last word, tells how long its waits are."""
    for _ in range(NEIGHBOURS):
        opened = bench.open(0.1, 0.1)
        next(iter(opened))
        opened.close()
    assert bench.silences() == (2, 100)
    for _ in range(NEIGHBOURS):
        opened = bench.open(0.1, 0.1, 50.0)
        events = iter(opened)
        next(events)
        next(events)
        opened.set_idle(60.0)
        assert len(list(events)) == 1
        opened.finish()

    assert bench.silences() == (2, 2)
    assert opened.inner.idle == [60.0]


def test_the_end_that_never_comes(bench):
    """A service that sends nothing after its last word has not fallen silent in the answer."""
    bench.learn()
    bench.inner.enqueue(FakeOpenReply([b"all", bench.took(2.0, ServiceTimeout("no end", phase="idle"))]))
    opened = bench.transport.open(bench.call(), bench.target)
    opened.set_idle(2.0)
    with pytest.raises(ServiceTimeout):
        list(opened)

    assert bench.silences()[1] == 2


def test_an_error_within_a_stream(bench):
    """The waits of a stream that ended with an error do not count, nor does what is no time-out."""
    bench.learn()
    for error in (ServerError("broken", status=500), Cancelled("closed"), DeadlineExceeded("late")):
        opened = bench.open(0.1, 50.0)
        list(opened)
        opened.fail(error)
        opened.finish()
        bench.fail(error, after=50.0)

    assert bench.silences() == (2, 2)


@pytest.mark.parametrize(
    "changes",
    [
        {"label": "responses.stream"},
        {"label": "audio.transcribe"},
        {"body": None},
        {"body": b'{"messages":[],"tools":[{}]}'},
        {"body": b'{"messages":[{"content":[{"type":"image_url","image_url":{}}]}]}'},
        {"body": b'{"messages":[{"content":[{"type":"input_audio","input_audio":{}}]}]}'},
    ],
)
def test_what_cannot_be_predicted(bench, changes):
    """What takes a time that its prompt does not tell has the ceiling, however many are known."""
    bench.learn(**changes)

    assert bench.silences(**changes) == (100, 100)
    assert not bench.events


def test_a_prompt_about_tools(bench):
    """A prompt that only speaks of tools is predicted like any other."""
    body = b'{"messages":[{"role":"user","content":"what is \\"tools\\": []?"}]}'
    bench.learn(body=body)

    assert bench.silences(body=body) == (2, 2)


def test_each_model_and_operation_for_itself(bench):
    """Another model, operation or address starts with the ceiling."""
    bench.learn()

    assert bench.silences(model="other") == (100, 100)
    assert bench.silences(label="chat.complete") == (100, 100)
    assert bench.silences(target=Target("http://elsewhere")) == (100, 100)
    assert bench.silences() == (2, 2)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (REFUSED, "the connection to the service broke"),
        (ModelNotLoaded("not loaded", status=400), "the model was not in memory"),
    ],
)
def test_a_restart_starts_anew(bench, error, reason):
    """After a sign that the process or the model is a new one the ceiling holds, and an event says why."""
    bench.learn()
    bench.silences()
    bench.fail(error)

    assert bench.silences() == (100, 100)
    assert bench.reasons()[-1] == reason
    assert (bench.events[-1].before, bench.events[-1].after) == (2, 100)
    bench.learn()
    assert bench.silences() == (2, 2)


def test_another_address_is_not_forgotten(bench):
    """A service that breaks says nothing about those at other addresses."""
    elsewhere = Target("http://elsewhere")
    bench.learn(target=elsewhere)
    bench.fail(REFUSED)

    assert bench.silences(target=elsewhere) == (2, 2)


def test_other_errors_forget_nothing(bench):
    """An error answer is no sign of a new process."""
    bench.learn()
    bench.fail(ServerError("broken", status=500))

    assert bench.silences() == (2, 2)


def test_a_stream_that_breaks_starts_anew(bench):
    """So does a connection that breaks within an answer, and what its process still sends does not count."""
    bench.learn()
    older = bench.open(0.1, 50.0)
    bench.inner.enqueue(FakeOpenReply([b"first", ServiceUnreachable("reset", sent=True)]))
    with pytest.raises(ServiceUnreachable):
        list(bench.transport.open(bench.call(), bench.target))
    list(older)
    older.finish()
    bench.learn()

    assert bench.silences() == (2, 2)


def test_another_process_starts_anew(bench):
    """A process that was seen to have taken the address starts with the ceiling."""
    bench.learn()
    bench.silences()
    bench.target = Target(URL)

    assert bench.silences() == (100, 100)
    assert bench.reasons()[-1] == "another process answers there"


def test_a_pause_starts_anew(bench):
    """After a pause in which a service may have dropped the model the ceiling holds."""
    bench.learn()
    bench.time.advance(PAUSE - 1)
    assert bench.silences()[0] == 2
    bench.time.advance(PAUSE + 1)

    assert bench.silences()[0] == 100
    assert bench.reasons()[-1] == "there was no call for 300 s"


def test_a_load_starts_anew(bench):
    """A model that was loaded answers for the first time; other whole answers change nothing."""
    bench.learn()
    reply = Reply(200, {}, b"{}", URL)
    for label, left in (("models.list", 2), ("models.load", 100)):
        bench.inner.enqueue(reply)
        assert bench.transport.send(bench.call(label=label, body=None), bench.target) is reply
        assert bench.silences()[0] == left


def test_a_whole_answer(bench):
    """A plain request has the ceiling, since nobody knows how long its answer is; its failure counts."""
    bench.learn()
    bench.inner.enqueue(REFUSED)
    with pytest.raises(ServiceUnreachable):
        bench.transport.send(bench.call(), bench.target)

    assert bench.given() == GIVEN
    assert bench.silences() == (100, 100)


def test_calls_that_fail_are_under_way_no_more(bench):
    """A call that ended in whatever way is no load."""
    bench.learn(first=1.0)
    alone = bench.silences()[0]
    bench.fail(ServerError("broken", status=500))
    bench.fail(KeyboardInterrupt())
    bench.inner.enqueue(ServerError("broken", status=500))
    with pytest.raises(ServerError):
        bench.transport.send(bench.call(), bench.target)

    assert bench.silences()[0] == alone


def test_what_is_remembered_is_bounded(bench):
    """A program that names ever more models, and one that calls for ever, need no more memory."""
    for number in range(200):
        bench.silences(model=str(number))
    for _ in range(2 * WINDOW):
        bench.answer()

    assert len(bench.transport._histories) <= 64
    (seen,) = {len(each.seen["idle"]) for each in bench.transport._histories.values() if each.seen["idle"]}
    assert seen == WINDOW


def test_the_stream_is_passed_on(bench):
    """Everything else of the stream is the one below."""
    opened = bench.open()

    assert opened.headers == {"content-type": "text/event-stream"}
    bench.transport.close()
    assert bench.inner.closed


def test_what_it_gives_is_adaptive_still(bench):
    """What an attempt gets is a set of timeouts like the one that was given."""
    bench.open()

    assert isinstance(bench.given(), AdaptiveTimeouts)


def test_many_threads(bench):
    """Threads that learn and forget at the same time disturb no call, and leave none under way."""

    def work(number):
        bench.inner.enqueue(FakeOpenReply([b"first", b"more"]))
        opened = bench.transport.open(bench.call(model=str(number % 3)), bench.target)
        list(opened)
        opened.finish()
        if number % 50 == 0:
            bench.transport._start_anew(bench.target, "a test")
        return opened

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(work, range(2000)))

    assert len(bench.inner.calls) == 2000
    assert not bench.transport._under_way


@forks
def test_a_fork(bench):
    """The calls under way belong to the parent; what was learned is known in the child, too."""
    bench.learn(first=1.0)
    alone = bench.silences()[0]
    others = [bench.open() for _ in range(3)]

    def work():
        assert bench.silences()[0] == alone

    assert in_child(work) == 0
    assert len(others) == 3
