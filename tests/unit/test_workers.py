"""Workers: calls on an executor's workers end as they do here, and end whatever the executor does."""

from __future__ import annotations

import copy
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context

import pytest
from support.executors import HereExecutor, KilledWorker, RefusingExecutor, never
from support.servers import CHAT, answer, bodies
from support.waits import until

from foundry_rest import CancelToken, FoundryAPIClient, clock
from foundry_rest.client import workers as workers_module
from foundry_rest.client.worker_tasks import REST, run_task
from foundry_rest.endpoints import batch as batch_module
from foundry_rest.errors import (
    BadRequest,
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    ExecutorBroken,
    ServiceNotFound,
    ServiceUnreachable,
    WorkerLost,
)
from foundry_rest.testing import DEMO_MODEL, json_error, stall

KEY = "a-key-that-nobody-may-see"


def ask(client, prompt, **options):
    """Ask; a function of a module, as a worker needs it."""
    return client.complete(prompt, **options).content


def model_and_key(client):
    """Return what a worker's client is made of."""
    return client._spec.config.endpoint, client._spec.config.api_key


def fail(client, error):
    """Raise."""
    raise error


def give(client, value):
    """Return what was given."""
    return value


def end_the_process(client):
    """Leave as a process does that is told to end: the client is closed under the call."""
    client.close()
    return client.complete("Hi")


class TwoParts(Exception):
    """An error that Python's pickle cannot make again."""

    def __init__(self, one, two) -> None:
        super().__init__(one)


class Own(FoundryAPIClient):
    """A class of the caller's own."""


@pytest.fixture(params=["here", "threads"])
def executor(request):
    """Executors of both kinds: at once, and later."""
    if request.param == "here":
        yield HereExecutor()
    else:
        with ThreadPoolExecutor(2) as pool:
            yield pool


# ---------------------------------------------------------------- outcomes


def test_an_answer(server, client, executor):
    """The function gets a client with the same settings and the options of the call."""
    server.on("POST", CHAT, lambda request: answer(request.json()["messages"][-1]["content"])(request))
    workers = client.workers(executor)

    assert workers.call(ask, "Hi", deadline=9, headers={"X-Step": "1"}) == "Hi"
    request = server.asked(CHAT)[0]
    assert (request.headers.get("x-step"), request.json()["model"]) == ("1", DEMO_MODEL)


def test_an_error_is_the_same_as_here(server, client, executor):
    """Class, facts and sentence arrive."""
    server.on("POST", CHAT, json_error(400, "no"))
    with pytest.raises(BadRequest) as here:
        client.complete("Hi")
    with pytest.raises(BadRequest) as there:
        client.workers(executor).call(ask, "Hi")

    assert (str(there.value), there.value.status) == (str(here.value), 400)


@pytest.mark.parametrize("error", [ZeroDivisionError("x"), KeyError("x")])
def test_a_mistake_in_the_function(client, executor, error):
    """It is raised as it would be here."""
    with pytest.raises(type(error), match="x"):
        client.workers(executor).call(fail, error)


def test_an_error_that_cannot_travel(client):
    """Its class is told."""
    with pytest.raises(TypeError, match="a TwoParts of a worker cannot be pickled"):
        client.workers(HereExecutor()).call(fail_with_two_parts)


def fail_with_two_parts(client):
    """Raise what pickle cannot make again."""
    raise TwoParts(1, 2)


def test_a_value_that_cannot_travel(client):
    """Its class is told."""
    with pytest.raises(TypeError, match="a lock of a worker cannot be pickled"):
        client.workers(HereExecutor()).call(make_lock)


def make_lock(client):
    """Return what belongs to one process."""
    return threading.Lock()


def test_the_deadline_counts_in_the_worker(server, client, executor):
    """It begins with the call, and its error is the call's."""
    server.on("POST", CHAT, stall())
    with pytest.raises(DeadlineExceeded):
        client.workers(executor).call(ask, "Hi", deadline=0.05)


def test_a_client_of_the_callers_own_class(server, executor):
    """The worker's client is of that class, too."""
    with Own(server.url, model=DEMO_MODEL) as client:
        assert client.workers(executor).call(class_of) is Own


def class_of(client):
    """Return the class of a worker's client."""
    return type(client)


def test_a_view_is_asked_with_its_settings(server, client, executor):
    """What ``with_options`` changed reaches the workers."""
    view = client.with_options(model="demo")

    assert view.workers(executor).call(model_of) == "demo"


def model_of(client):
    """Return the model of a worker's client."""
    return client.model


def test_equal_calls_are_tasks_of_their_own(client):
    """Engines that make one call of equal tasks find none: no two are alike."""
    executor = HereExecutor()
    workers = client.workers(executor)
    for _ in range(3):
        workers.call(ask, "Hi")
    client.workers(executor).call(ask, "Hi")

    assert len(set(executor.tasks)) == 4


def test_a_task_shows_nothing(server):
    """Engines log the arguments of tasks that fail: neither key nor prompt is in their repr."""
    executor = HereExecutor()
    with FoundryAPIClient(server.url, model=DEMO_MODEL, api_key=KEY) as client:
        client.workers(executor).call(ask, "A secret prompt")

    assert repr(executor.tasks[0]) == "Task()"


# ---------------------------------------------------------------- processes


def test_processes(server, client):
    """Worker processes answer; each makes one client."""
    server.on("POST", CHAT, lambda request: answer(request.json()["messages"][-1]["content"])(request))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        results = list(client.batch(map(str, range(12)), executor=pool, ordered=True))

    assert [result.result().content for result in results] == [str(number) for number in range(12)]
    assert server.connections <= 2


def test_a_pool_that_breaks(server, client):
    """The end of a worker breaks the standard library's pool: the batch ends, and says what to do."""
    pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def end_the_worker(request):
        for process in pool._processes.copy().values():
            process.kill()
        return answer("late")(request)

    server.on("POST", CHAT, end_the_worker)
    with pool, pytest.raises(ExecutorBroken, match=r"is broken: BrokenProcessPool.* Make a new executor"):
        list(client.batch(["a", "b", "c"], executor=pool))


# ---------------------------------------------------------------- executors that fail


LOST = [ConnectionError("the worker left"), SystemExit(1), MemoryError(), lambda future: future.cancel()]


@pytest.mark.parametrize("loss", LOST, ids=["connection", "exit", "memory", "cancelled"])
@pytest.mark.parametrize("times", [1, 2])
def test_a_lost_task_is_submitted_again(server, client, loss, times):
    """Once or twice, as another task each time, and the call is answered."""
    executor = HereExecutor(*[loss] * times)

    assert client.workers(executor).call(ask, "Hi") == "Hello there"
    assert len(executor.tasks) == times + 1 == len(set(executor.tasks))
    assert len(bodies(server)) == 1


@pytest.mark.parametrize("loss", LOST, ids=["connection", "exit", "memory", "cancelled"])
def test_a_task_that_is_always_lost(server, client, loss):
    """The third loss is the call's error; other calls go on."""
    workers = client.workers(HereExecutor(*[loss] * 3))
    with pytest.raises(WorkerLost, match="lost with its worker") as caught:
        workers.call(ask, "Hi")

    assert caught.value.sent
    assert workers.call(ask, "Hi") == "Hello there"


def test_a_task_that_ended_several_workers(client):
    """Where the engine has tried it on several workers, as dask does, it is not tried again."""
    executor = HereExecutor(KilledWorker("task-1 on 4 different workers"))
    with pytest.raises(WorkerLost, match="KilledWorker"):
        client.workers(executor).call(ask, "Hi")

    assert len(executor.tasks) == 1


def test_a_worker_that_is_ended_under_the_call(client):
    """Nobody on this side cancelled it: it counts as lost."""
    with pytest.raises(WorkerLost, match="its process was ended"):
        client.workers(HereExecutor()).call(end_the_process)


@pytest.mark.parametrize(
    ("error", "rest"),
    [
        (ServiceNotFound("none"), [REST]),
        (ServiceUnreachable("refused", sent=False), [REST]),
        (CircuitOpen("open", retry_in=30.0), [REST]),
        (ServiceUnreachable("reset", sent=True), []),
        (BadRequest("no"), []),
    ],
)
def test_a_worker_without_a_service_rests(client, time, error, rest):
    """It does not take the tasks of those that have one, as whoever is done first gets the next."""
    with pytest.raises(type(error)):
        client.workers(HereExecutor()).call(fail, error)

    assert time.slept == rest


def test_a_task_after_an_outage_has_another_name(client, time):
    """Dask would give one of the same name to the worker that has no service again."""
    executor = HereExecutor()
    workers = client.workers(executor)
    for _ in range(2):
        with pytest.raises(CircuitOpen):
            workers.call(fail, CircuitOpen("open"))
    for _ in range(2):
        workers.call(give, 1)

    assert [run is run_task for run in executor.functions] == [True, False, False, True]


BROKEN = {
    "the pool is broken": HereExecutor(BrokenProcessPool("a child ended")),
    "no such module": HereExecutor(ModuleNotFoundError("No module named 'foundry_rest'")),
    "another object": HereExecutor(lambda future: future.set_result(object())),
    "nothing": HereExecutor(lambda future: future.set_result(None)),
    "foreign bytes": HereExecutor(lambda future: future.set_result(b"no pickle")),
    "cut bytes": HereExecutor(lambda future: future.set_result(b"")),
    "it was shut down": RefusingExecutor(RuntimeError("cannot schedule new futures after shutdown")),
    "it takes no task": RefusingExecutor(OSError("too many")),
}


@pytest.mark.parametrize("executor", BROKEN.values(), ids=BROKEN)
def test_an_executor_that_runs_nothing(client, executor):
    """It is told as such at once, and says what to do."""
    executor = copy.copy(executor)
    with pytest.raises(ExecutorBroken) as caught:
        client.workers(executor).call(ask, "Hi")

    assert caught.value.advice
    assert not caught.value.sent


def test_what_an_engine_says_is_shown_short_and_safe(client):
    """Its words may be long and hold what a terminal obeys."""
    executor = RefusingExecutor(RuntimeError("\x1b[2J\n" + "x" * 10_000))
    with pytest.raises(ExecutorBroken) as caught:
        client.workers(executor).call(ask, "Hi")

    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_a_submit_without_a_future(client):
    """A client of dask, and what only looks like an executor, are told apart."""

    class Odd(HereExecutor):
        def submit(self, *_, **__):
            return "later"

    with pytest.raises(ExecutorBroken, match="returned no future but str"):
        client.workers(Odd()).call(ask, "Hi")


def test_an_executor_that_never_runs_a_task(client, monkeypatch):
    """The wait is bounded."""
    monkeypatch.setattr(workers_module, "LONGEST_TASK", 0.02)
    executor = HereExecutor(never)
    with pytest.raises(ExecutorBroken, match="Look whether it has any workers"):
        client.workers(executor).call(ask, "Hi")

    assert executor.futures[0].cancelled()


@pytest.mark.parametrize("who", ["token", "client"])
def test_the_wait_ends_from_another_thread(client, who):
    """The token and the client's end take the task back at once."""
    executor, token = HereExecutor(never), CancelToken()
    end = token.cancel if who == "token" else client.close
    thread = threading.Thread(target=lambda: (until(lambda: executor.futures), end()))
    thread.start()
    with pytest.raises(Cancelled):
        client.workers(executor).call(ask, "Hi", cancel=token)
    thread.join()

    assert executor.futures[0].cancelled()


def test_a_call_that_was_cancelled_before(client):
    """No task is submitted."""
    executor, token = HereExecutor(), CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        client.workers(executor).call(ask, "Hi", cancel=token)

    assert not executor.tasks


# ---------------------------------------------------------------- what cannot be sent


@pytest.mark.parametrize("given", [None, "processes", 4, HereExecutor, object()])
def test_what_is_no_executor(client, given):
    """It is refused at once; dask's client has another method for one."""
    with pytest.raises(
        ConfigError, match=r"must be a concurrent\.futures\.Executor.* client\.get_executor\(\)"
    ):
        client.workers(given)


def test_an_embedded_runtime(server, monkeypatch):
    """It is this process's own, so its client, and a view of it, are refused with what to do."""

    class Runtime:
        """Stand for the native runtime."""

        models, url = (), server.url

        def __init__(self, model_dirs):
            """Take the folders."""

        def start(self):
            """Run."""
            return self

        revive = close = download = start

    monkeypatch.setattr("foundry_rest.runtime.LocalRuntime", Runtime)
    with FoundryAPIClient.embedded(model=DEMO_MODEL) as embedded:
        for each in (embedded, embedded.with_options(retries=0)):
            with pytest.raises(ConfigError, match=r"embedded runtime.* foundry-rest serve"):
                each.batch(["a"], executor=HereExecutor())


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("observers=", {"observers": [lambda event: None]}),
        ("breaker_state=", {"breaker_state": lambda address: None}),
        ("auth=", {"auth": lambda request: request}),
    ],
)
def test_a_client_that_cannot_be_sent(server, name, arguments):
    """The part that cannot be pickled is named, and nothing of what it holds."""
    with FoundryAPIClient(server.url, api_key=KEY, **arguments) as client:
        with pytest.raises(ConfigError, match=f"workers: {name} cannot be pickled") as caught:
            client.workers(HereExecutor())

        assert KEY not in str(caught.value)


def test_an_attribute_that_cannot_be_sent(server):
    """An attribute of the caller's class is named, too."""
    with Own(server.url) as client:
        client.lock = threading.Lock()
        with pytest.raises(ConfigError, match="workers: lock cannot be pickled"):
            client.workers(HereExecutor())


def test_a_class_that_cannot_be_sent(server):
    """A class that stands in a function is found in no module."""

    class Inner(FoundryAPIClient):
        pass

    with Inner(server.url) as client, pytest.raises(ConfigError, match="its class cannot be pickled"):
        client.workers(HereExecutor())


@pytest.mark.parametrize("part", [lambda: None, threading.Lock(), iter([KEY])])
def test_a_request_that_cannot_be_sent(server, client, part):
    """It is the result of that request alone, and quotes nothing."""
    given = [{"prompt": "a", "extra": {"odd": {"x": part}}}, "b"]
    if hasattr(part, "__next__"):
        given[0]["extra"]["odd"]["y"] = threading.Lock()
    results = list(client.batch(given, executor=HereExecutor(), ordered=True))

    assert isinstance(results[0].error, ConfigError)
    assert KEY not in str(results[0].error)
    assert results[1].ok


def test_a_request_of_several_kinds(client):
    """Values without JSON that pickle are checked where the call is made, as here."""
    (result,) = client.batch([{"prompt": "a", "extra": {"odd": {1, 2}}}], executor=HereExecutor())
    (here,) = client.batch([{"prompt": "a", "extra": {"odd": {1, 2}}}])

    assert type(result.error) is type(here.error)


# ---------------------------------------------------------------- the machine of a worker


def test_an_environments_key_stays_here(server, monkeypatch):
    """A worker reads its own; one that the program gave travels, hidden from every repr."""
    monkeypatch.setenv("FOUNDRY_API_KEY", KEY)
    executor = HereExecutor()
    with FoundryAPIClient(server.url) as client:
        workers = client.workers(executor)
    with FoundryAPIClient(server.url, api_key="given") as client:
        given = client.workers(executor)
    monkeypatch.setenv("FOUNDRY_API_KEY", "the-workers-own")

    assert KEY.encode() not in workers._client
    assert worker_side(workers)._spec.config.api_key == "the-workers-own"
    assert worker_side(given)._spec.config.api_key == "given"


def test_an_address_that_was_not_given(server, monkeypatch):
    """A worker's own environment names it, else it is found there; a given one is the same everywhere."""
    executor = HereExecutor()
    with FoundryAPIClient() as client:
        found = client.workers(executor)
    with FoundryAPIClient("http://127.0.0.1:5") as client:
        given = client.workers(executor)

    assert worker_side(found)._spec.config.endpoint is None
    monkeypatch.setenv("FOUNDRY_ENDPOINT", server.url)
    assert worker_side(found)._spec.config.endpoint == server.url
    assert worker_side(given)._spec.config.endpoint == "http://127.0.0.1:5"


def test_a_found_address_does_not_travel(server, monkeypatch):
    """What this machine found says nothing about another one."""
    monkeypatch.setattr("foundry_rest.services.discovery.search.look", lambda *_, **__: found_at(server))
    with FoundryAPIClient(model=DEMO_MODEL) as client:
        client.complete("Hi")

        assert client.url == server.url
        assert server.url.encode() not in client.workers(HereExecutor())._client


def found_at(server):
    """Return what a search found."""
    from foundry_rest.services.target import Found

    return Found(server.url)


def worker_side(workers):
    """Return the client that a worker makes."""
    from foundry_rest.client.worker_tasks import _made_client

    client = _made_client(workers._client)
    client.close()
    return client


def test_a_worker_with_a_bad_environment(server, client, monkeypatch):
    """It is told what is wrong there."""
    workers = client.with_options(deadline=77).workers(HereExecutor())  # a spec that no worker has seen
    monkeypatch.setenv("FOUNDRY_RETRIES", "many")
    with pytest.raises(ExecutorBroken, match=r"a worker cannot read its task.*FOUNDRY_RETRIES"):
        workers.call(ask, "Hi")


def test_a_task_of_another_version(client):
    """Code that a worker does not have is told as such, with what to do."""
    executor = HereExecutor(lambda future: future.set_result(run_task(broken_task(executor.tasks[0]))))
    with pytest.raises(ExecutorBroken, match=r"a worker cannot read its task.* Install the same versions"):
        client.workers(executor).call(ask, "Hi")


def broken_task(task):
    """Return a task whose function stands in a module that is not there."""
    work = b"cno_such_module\nfunction\n."
    return type(task)(task.client, work, task.number)


# ---------------------------------------------------------------- batches


def test_a_batch_in_a_window(client):
    """As many tasks at a time as calls would be, also more than the client's own number."""
    held = threading.Semaphore(0)

    class Counting(HereExecutor):
        at_once = most = 0

        def submit(self, *arguments, **options):
            with self._lock:
                self.at_once += 1
                self.most = max(self.most, self.at_once)
            if self.most < 70:
                held.acquire(timeout=0.02)
            future = super().submit(*arguments, **options)
            with self._lock:
                self.at_once -= 1
            return future

    executor = Counting()
    assert all(result.ok for result in client.batch(["x"] * 200, max_concurrency=70, executor=executor))
    assert 8 < executor.most <= 70


def test_leaving_a_batch_takes_its_tasks_back(client):
    """What has not begun never begins; the loop ends at once."""
    executor = HereExecutor(never, never)
    began = clock.monotonic()
    for _ in client.batch(["x"] * 50, executor=executor):
        break

    assert clock.monotonic() - began < 2
    assert [future.cancelled() for future in executor.futures[:3]] == [True, True, False]


def test_a_batch_without_an_executor_imports_nothing_of_it(client, monkeypatch):
    """Who answers in this process is the client itself."""
    monkeypatch.setattr(FoundryAPIClient, "workers", None)

    assert next(client.batch(["x"])).ok
    assert batch_module.answers_of(client, None).args == (client,)
