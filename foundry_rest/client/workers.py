"""Workers: a client's calls on the workers of any executor of ``concurrent.futures``.

Each worker finds the Foundry Local of its own machine. The thread that asks waits here for its task, so that
what surrounds a call stays on this side: the window, the order, the journal, outages.
"""

from __future__ import annotations

import itertools
import pickle
import threading
import uuid
from collections.abc import Callable
from concurrent import futures
from concurrent.futures import Executor, Future
from typing import TYPE_CHECKING, TypeVar

from foundry_rest import clock
from foundry_rest.client.engine_failures import Verdict, verdict_on
from foundry_rest.client.worker_tasks import SAME_CODE, Task, run_task, run_task_elsewhere
from foundry_rest.control_characters import visible
from foundry_rest.errors import (
    Cancelled,
    ConfigError,
    DeadlineExceeded,
    ExecutorBroken,
    FoundryError,
    WorkerLost,
)
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.resilience.failures import is_outage
from foundry_rest.transport.cancellation import CancelToken, wait_for

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.transport.call_options import CallOptions

T = TypeVar("T")

#: Further tries of a task that was lost with its worker. One that ends its workers must end somewhere.
_MORE_TRIES = 2
#: Longest time in seconds until a task is done, that in the queue included: on a cluster a worker may have to
#: wait for a machine first.
LONGEST_TASK = 86_400.0
#: Most characters of an engine's own words in an error.
_QUOTED = 300


class Workers:
    """The workers of an executor, each with a client of its own.

    Args:
        client: The client, pickled.
        executor: Runs the tasks.
        closing: Ends every wait.

    Raises:
        ConfigError: This is no executor.
    """

    def __init__(self, client: bytes, executor: Executor, closing: CancelToken) -> None:
        if not isinstance(executor, Executor):
            raise ConfigError(
                f"executor must be a concurrent.futures.Executor, not {type(executor).__name__}",
                advice=Advice(Words("A dask Client gives one: client.get_executor().", "")),
            )
        self._client, self._executor, self._closing = client, executor, closing
        self._name, self._numbers = uuid.uuid4().hex, itertools.count()
        self._run = run_task

    def call(self, function: Callable[..., T], *arguments: object, **options: Unpack[CallOptions]) -> T:
        """Return what a function of a module returns for a worker's client and these arguments.

        Args:
            function: Called with the client, the arguments and the options.
            arguments: Picklable values.
            options: Options of the call; its deadline begins in the worker, and ``cancel`` ends the wait
                for it and takes back a task that has not begun.

        Raises:
            FoundryError: Whatever the function raises.
            WorkerLost: Its worker ended, three times.
            ExecutorBroken: The executor runs no more tasks.
            Cancelled: The token was cancelled, or the client closed.
        """
        cancel = options.pop("cancel", None)
        tokens = (self._closing,) if cancel is None else (self._closing, cancel)
        work = _pickled_work(function, arguments, options)
        losses = 0
        while True:
            try:
                return self._done(work, tokens)  # type: ignore[return-value]
            except _TaskLost as lost:
                losses += 1
                if losses > _MORE_TRIES or lost.verdict is Verdict.LOST:
                    raise WorkerLost(f"the call was lost with its worker: {lost}") from lost

    def _done(self, work: bytes, tokens: tuple[CancelToken, ...]) -> object:
        """Return the result of one task, or raise its error."""
        if any(token.cancelled for token in tokens):
            raise Cancelled("the call was ended from elsewhere before it began")
        future = self._submit(work)
        try:
            _wait(future, tokens)
        except BaseException:
            future.cancel()
            raise
        outcome = _unpickled(_result(future))
        has_no_service = isinstance(outcome, FoundryError) and is_outage(outcome)
        self._run = run_task_elsewhere if has_no_service else run_task
        if isinstance(outcome, Cancelled):  # nobody on this side did it
            raise _TaskLost("its process was ended")
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def _submit(self, work: bytes) -> Future[bytes]:
        task = Task(self._client, work, f"{self._name}-{next(self._numbers)}")
        try:
            future = self._executor.submit(self._run, task)
        except Exception as error:
            raise ExecutorBroken(f"the executor takes no task: {_told(error)}") from error
        if not isinstance(future, Future):
            raise ExecutorBroken(f"the executor's submit() returned no future but {type(future).__name__}")
        return future


class _TaskLost(Exception):
    """The end of a task without an outcome."""

    def __init__(self, what: str, verdict: Verdict = Verdict.AGAIN) -> None:
        super().__init__(what)
        self.verdict = verdict


def _wait(future: Future[bytes], tokens: tuple[CancelToken, ...]) -> None:
    is_over = threading.Event()
    future.add_done_callback(lambda _: is_over.set())
    try:
        wait_for(is_over, clock.monotonic() + LONGEST_TASK, tokens, "a worker")
    except DeadlineExceeded as error:
        what = f"the executor ran no task for {LONGEST_TASK:,.0f} s"
        raise ExecutorBroken(what, advice="Look whether it has any workers.") from error


def _result(future: Future[bytes]) -> object:
    """Return what a finished future holds; raise what the engine's own failure means."""
    try:
        failure = future.exception(timeout=0)
    except (futures.CancelledError, futures.TimeoutError) as error:
        failure = error
    if failure is None:
        return future.result(timeout=0)
    verdict = verdict_on(failure)
    if verdict is Verdict.BROKEN:
        raise ExecutorBroken(f"the executor is broken: {_told(failure)}") from failure
    if verdict is Verdict.UNREADABLE:
        raise ExecutorBroken(
            f"a worker cannot read its task: {_told(failure)}", advice=SAME_CODE
        ) from failure
    raise _TaskLost(_told(failure), verdict) from failure


def _unpickled(given: object) -> object:
    if isinstance(given, bytes):
        try:
            return pickle.loads(given)  # noqa: S301 (made by ``run_task``)
        except Exception as error:
            what = f"a worker's result cannot be read: {type(error).__name__}"
            raise ExecutorBroken(what, advice=SAME_CODE) from error
    raise ExecutorBroken(f"the executor gave a {type(given).__name__} in place of a task's result")


def _pickled_work(
    function: Callable[..., object], arguments: tuple[object, ...], options: CallOptions
) -> bytes:
    try:
        return pickle.dumps((function, arguments, options))
    except Exception as error:  # noqa: BLE001 (a type may raise anything)
        # Not in the error's own words, which may quote the request.
        raise ConfigError(
            f"a request for a worker holds what cannot be pickled ({type(error).__name__})",
            advice="Use texts, numbers, lists and mappings.",
        ) from None


def _told(error: BaseException) -> str:
    """Return an engine's own words."""
    return f"{type(error).__name__}: {visible(str(error), keep_lines=False)[:_QUOTED]}"
