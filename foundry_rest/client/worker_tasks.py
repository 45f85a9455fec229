"""The side of an executor's workers: a call as a task that travels, and the clients of a worker's process."""

from __future__ import annotations

import atexit
import functools
import pickle
import threading
from collections.abc import Callable, Mapping
from typing import Protocol

import msgspec

from foundry_rest import clock
from foundry_rest.client.spec import ClientSpec
from foundry_rest.errors import ConfigError, ExecutorBroken, FoundryError
from foundry_rest.errors.advice import Advice
from foundry_rest.resilience.failures import is_outage
from foundry_rest.transport.fork import renew_after_fork

#: Seconds for which a worker without a service keeps a task that it cannot do. An engine gives the next one
#: to whoever is done first: failing at once, it would take the tasks of all the others.
REST = 1.0
#: Clients that a worker's process keeps; each further one costs the connections of the oldest unused.
_KEPT = 4
SAME_CODE: str = Advice(
    "Install the same versions of foundry_rest and of your own modules on every worker; what a client is made"
    " of (observers=, auth=, a subclass) has to stand in a module, not in the script that is run."
)


class Task(msgspec.Struct, frozen=True):
    """One call on its way to a worker; engines show tasks in logs and pages, so its ``repr`` tells nothing.

    Attributes:
        client: The client, pickled.
        work: Function, arguments and options, pickled.
        number: A different one for each task: dask makes one call of two tasks that are equal.
    """

    client: bytes
    work: bytes
    number: str

    def __repr__(self) -> str:
        return "Task()"


class Closable(Protocol):
    """A client, whatever it is of."""

    def close(self) -> None:
        """Close it."""


class Held:
    """A client, and how many calls of this process use it."""

    def __init__(self, client: Closable) -> None:
        self.client, self.users = client, 0


class Clients:
    """The clients of one process, by their pickled settings; those used last are kept.

    Args:
        make: Makes a client of its pickled settings.
        kept: How many.
    """

    def __init__(self, make: Callable[[bytes], Closable], kept: int = _KEPT) -> None:
        self._make, self._kept = make, kept
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget the clients in a forked child: they are the parent's."""
        self._lock = threading.Lock()
        self._held: dict[bytes, Held] = {}

    def take(self, pickled: bytes) -> Held:
        """Return the client with these settings, which nobody closes before it is given back."""
        held = self._found(pickled)
        if held is None:
            made = Held(self._make(pickled))
            held = self._found(pickled, made) or made
            if held is not made:
                made.client.close()
        for client in self._unneeded():
            client.close()
        return held

    def give_back(self, held: Held) -> None:
        """Record that a call with the client is over."""
        with self._lock:
            held.users -= 1

    def close(self) -> None:
        """Close all of them; calls under way end."""
        with self._lock:
            held = list(self._held.values())
            self._held.clear()
        for each in held:
            each.client.close()

    def _found(self, pickled: bytes, made: Held | None = None) -> Held | None:
        """Return the client that is there, else the one that was made; the last one used stands last."""
        with self._lock:
            held = self._held.pop(pickled, made)
            if held is not None:
                self._held[pickled] = held
                held.users += 1
            return held

    def _unneeded(self) -> list[Closable]:
        """Remove the oldest clients above the bound that nobody uses."""
        with self._lock:
            unused = [key for key, each in self._held.items() if not each.users]
            return [self._held.pop(key).client for key in unused[: max(0, len(self._held) - self._kept)]]


@functools.cache
def _clients() -> Clients:
    """Return the clients of this process; the first call has them closed at its end."""
    clients = Clients(_made_client)
    atexit.register(clients.close)
    return clients


def pickled_client(make: Callable[..., Closable], spec: ClientSpec, additions: Mapping[str, object]) -> bytes:
    """Return what a worker makes a client of; a key that this machine's environment gave stays here.

    Args:
        make: Called with the spec and the additions.
        spec: The settings.
        additions: Attributes of the caller's own class.

    Raises:
        ConfigError: A part cannot be pickled; the error names it.
    """
    spec = spec.elsewhere()
    try:
        return pickle.dumps((make, spec, additions))
    except Exception:  # noqa: BLE001 (a type may raise anything)
        parts = {f"{name}=": getattr(spec, name) for name in spec.__struct_fields__}
        names = [name for name, part in {**parts, **additions}.items() if not _is_picklable(part)]
    raise ConfigError(
        f"the client cannot be sent to workers: {', '.join(names) or 'its class'} cannot be pickled",
        advice="Use functions and classes of a module: no lambdas, no open files or connections.",
    )


def _made_client(pickled: bytes) -> Closable:
    make, spec, additions = pickle.loads(pickled)  # noqa: S301 (the program's own client)
    made: Closable = make(spec.here(), additions)
    return made


def _is_picklable(value: object) -> bool:
    try:
        pickle.dumps(value)
    except Exception:  # noqa: BLE001 (a type may raise anything)
        return False
    return True


def run_task(task: Task) -> bytes:
    """Make a call in a worker's process and return its result or its error, pickled."""
    clients = _clients()
    try:
        function, arguments, options = pickle.loads(task.work)  # noqa: S301 (the program's own request)
        held = clients.take(task.client)
    except Exception as error:  # noqa: BLE001 (whatever another version of the code raises)
        what = f"a worker cannot read its task: {type(error).__name__}: {error}"
        return pickle.dumps(ExecutorBroken(what, advice=SAME_CODE))
    try:
        return _pickled(function(held.client, *arguments, **options))
    except Exception as error:  # noqa: BLE001 (it is raised where the result is waited for)
        if isinstance(error, FoundryError) and is_outage(error):
            clock.sleep(REST)
        return _pickled_error(error)
    finally:
        clients.give_back(held)


def run_task_elsewhere(task: Task) -> bytes:
    """Do the same, if it can be on another worker.

    Dask gives tasks of one name, where few are under way, to the same worker each time, also to one that has
    no service; those of a rare name go round.
    """
    return run_task(task)


def _pickled(value: object) -> bytes:
    try:
        return pickle.dumps(value)
    except Exception:  # noqa: BLE001 (a type may raise anything)
        return _unpicklable(value)


def _pickled_error(error: Exception) -> bytes:
    """Return an error that is sure to be read on the other side: many take other arguments than they keep."""
    try:
        pickled = pickle.dumps(error)
        pickle.loads(pickled)  # noqa: S301 (made in the line above)
    except Exception:  # noqa: BLE001 (a type may raise anything)
        return _unpicklable(error)
    return pickled


def _unpicklable(value: object) -> bytes:
    return pickle.dumps(TypeError(f"a {type(value).__qualname__} of a worker cannot be pickled"))
