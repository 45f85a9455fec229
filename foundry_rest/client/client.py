"""FoundryAPIClient: it assembles the parts once and owns their lifetime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from foundry_rest.client.core import Core
from foundry_rest.client.endpoints import Endpoints
from foundry_rest.client.spec import ClientSpec
from foundry_rest.errors import ConfigError
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.timeouts import Timeouts

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import requests
    from typing_extensions import Self, Unpack

    from foundry_rest.client.arguments import ClientArguments
    from foundry_rest.client.worker_tasks import Closable
    from foundry_rest.client.workers import Workers
    from foundry_rest.runtime import LocalRuntime
    from foundry_rest.schema.service_facts import ServiceFacts
    from foundry_rest.schema.stats import Stats


class FoundryAPIClient(Endpoints):
    """A client of Foundry Local; one serves many threads.

    ``chat``, ``models`` and ``health`` hold the operations; ``request(method, path, ...)`` sends any other.
    Nothing is sent before the first call: then the service is found, its generation recognised, and the
    default model loaded if it is on disk but not in memory.

    Args:
        base_url: Address of the service; ``None`` to discover it.
        model: Default model, alias or id (``FOUNDRY_MODEL``, else ``phi-4-mini``).
        api_key: Sent as Bearer token, never logged (``FOUNDRY_API_KEY``).
        timeout: Seconds of silence allowed in one attempt (``FOUNDRY_TIMEOUT``, else 30), or a
            ``Timeouts`` set.
        deadline: Seconds for a whole call, retries included (``FOUNDRY_DEADLINE``, else none).
        retries: Tries after the first (``FOUNDRY_RETRIES``, else 3), or a ``RetryPolicy``.
        breaker: The circuit breaker's policy, or ``None`` for no breaker.
        breaker_state: Where the breaker's state is kept: in this process, or shared by the processes of
            this machine with ``SqliteBreakers(path)``, of several with ``RedisBreakers(client)``.
        max_concurrency: Calls and open streams at a time, 64 by default; further ones wait for a slot.
            ``"auto"`` finds out, from what the service delivers, how many it is worth
            (docs/how-to/concurrency.md).
        auto_load: Load a model that is not in memory, then repeat the call once.
        auto_start: Have the ``foundry`` command start a service when none runs, once per process.
        observers: Called with every event of ``foundry_rest.events``.
        log_bodies: Log prompts and answers, too, at level debug, to look for a fault; keys never are.
        headers: Added to every request.
        auth: Signs every request: a requests ``AuthBase``, a callable, or (user, password).
        session: Your own ``requests.Session``, used unchanged and not closed; its adapters' own retries
            are left out.
        dialect: ``"auto"``, or the generation: ``"2.x"``, ``"1.x"``, ``"0.x"``, ``"openai"``.
        cache: A file in which whole answers are kept and looked up, or a ``ResponseCache`` with bounds of
            its own; none by default.
        config: All settings in one value, in place of the environment.
        services: Several services, of which one answers each call, and another where that one fails:
            addresses or ``ServiceSpec`` (``FOUNDRY_ENDPOINT`` with commas). Models are those of the first.
        prefer: Which is asked: ``"least"``, the one with the least to do, or ``"first"``, the first that is
            well.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(self, base_url: str | None = None, **arguments: Unpack[ClientArguments]) -> None:
        self._begin(ClientSpec.of(base_url, arguments))

    def _begin(self, spec: ClientSpec, runtime: LocalRuntime | None = None, core: Core | None = None) -> None:
        """Assemble the parts; a view uses its client's and owns none."""
        self._core, self._spec = core or _core_of(spec, runtime), spec
        parts = (self._core, runtime) if core is None else ()
        self._owned: tuple[Closable, ...] = tuple(part for part in parts if part is not None)
        self._connect(self._core.context(spec))

    @classmethod
    def embedded(cls, model_dirs: Iterable[str | Path] = (), **arguments: Unpack[ClientArguments]) -> Self:
        """Start Microsoft's native runtime in a child process and return a client that owns it.

        Args:
            model_dirs: ONNX Runtime GenAI folders; the first is the default model. Without any, the
                public catalog is used.
            arguments: As for the client itself; the runtime is the first of ``services``.

        Raises:
            ConfigError: A folder holds no model, or the extra ``runtime`` is not installed.
            ServiceUnreachable: The runtime did not start; the message quotes its standard error.

        Example:
            >>> with FoundryAPIClient.embedded([demo_model_dir()]) as client:
            ...     print(client.complete("What is the capital of France?", temperature=0).content)
            The capital of France is Paris.
        """
        from foundry_rest.runtime import LocalRuntime

        ClientSpec.of(None, arguments)  # to refuse wrong arguments before a process is started
        runtime = LocalRuntime(model_dirs).start()
        try:
            if runtime.models and not arguments.get("model"):
                arguments["model"] = runtime.models[0].alias
            return cls._made(ClientSpec.beside(runtime.url, arguments), runtime=runtime)
        except BaseException:  # Ctrl-C too: a process without an owner would be left running
            runtime.close()
            raise

    def with_options(
        self,
        *,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        retries: int | RetryPolicy | None = None,
        model: str | None = None,
    ) -> Self:
        """Return a view with other settings; it shares connections, statistics and knowledge of the service.

        Closing a view closes nothing.

        Example:
            >>> client.with_options(timeout=300, retries=0).complete("Say OK").finish_reason
            'stop'
        """
        spec = self._spec.with_options(timeout=timeout, deadline=deadline, retries=retries, model=model)
        return self._made(spec, self._additions(), core=self._core)

    def workers(self, executor: Executor) -> Workers:
        """Return what makes this client's calls on the workers of an executor, such as a cluster's.

        A worker's process makes a client with the same settings, once, and keeps it. Where the address was
        not given, it finds the Foundry Local of its own machine. A key of this process's environment stays
        here: workers read their own ``FOUNDRY_API_KEY``.

        Raises:
            ConfigError: The client owns an embedded runtime, or cannot be pickled; or this is no executor.

        Example:
            >>> client.workers(executor).call(FoundryAPIClient.complete, "Say OK").finish_reason
            'stop'
        """
        from foundry_rest.client.worker_tasks import pickled_client
        from foundry_rest.client.workers import Workers

        if self._context.fetch is not None:
            raise ConfigError(
                "the workers of an executor cannot reach an embedded runtime, which is this process's own",
                advice="Run foundry-rest serve on each worker's machine, and make a client that finds it.",
            )
        pickled = pickled_client(self._made, self._spec, self._additions())
        return Workers(pickled, executor, self._core.bounds.closing)

    def session(self) -> requests.Session:
        """Return a ``requests.Session`` whose requests to ``foundry://`` go through this client.

        ``client.session().get("foundry://local/v1/models")``: see ``foundry_rest.adapter.FoundryAdapter``.
        Requests to other addresses go where they always do. Closing it leaves the client open.

        Example:
            >>> client.session().get("foundry://local/v1/models").status_code
            200
        """
        from foundry_rest.client.adapter import session_of

        return session_of(self)

    def stats(self) -> Stats:
        """Return the figures since the client was made, with those of its views: calls, circuits, use.

        Example:
            >>> client.stats().total.calls
            0
        """
        return self._core.figures()

    def targets(self) -> tuple[ServiceFacts, ...]:
        """Return what the client knows of each of its services: circuit, calls under way, model.

        Nobody is asked. Empty before a service was found.

        Example:
            >>> [service.circuit for service in client.targets()]
            ['closed']
        """
        return self._core.facts(self._context)

    @property
    def url(self) -> str | None:
        """Return the last known address; of several services, that of the one that answered last.

        ``None`` before one is known. Nobody is asked.
        """
        return self._context.url or None

    @property
    def model(self) -> str:
        """Return the default model, as it was given."""
        return self._spec.config.model

    @property
    def generation(self) -> str | None:
        """Return the service's generation, such as ``"2.x"``; ``None`` before it is recognised."""
        return self._context.generation

    @property
    def breaker(self) -> Breaker | None:
        """Return the circuit breaker of the service's address, to inspect or to set by hand.

        ``.current`` is its state, ``.force_open()`` stops calls to the service, ``.close()`` allows them
        again. ``None`` for a client without a breaker. A service that was lost keeps its own; one that is
        not known yet is looked for.

        Raises:
            ServiceNotFound: The service's address is not known and none was discovered.
        """
        targets = self._core.targets
        if self._core.breakers is None:
            return None
        return (targets.current or targets.last or targets.take()).breaker

    def close(self) -> None:
        """End every wait, close the connections, and the embedded runtime if this client started one.

        It is idempotent and may be called from any thread; calls under way raise Cancelled.

        Example:
            >>> client.close()
            >>> client
            <closed FoundryAPIClient(base_url='http://127.0.0.1:...', model='phi-4-mini')>
        """
        for part in self._owned:
            part.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Callable[..., FoundryAPIClient], tuple[object, ...]]:
        """Pickle the spec and a subclass's attributes, but no connections, statistics or runtime."""
        return self._made, (self._spec, self._additions())

    def __repr__(self) -> str:
        url = self.url or self._spec.config.endpoint
        several = [each.url for each in self._spec.services]
        where = f"services={several!r}" if several else f"base_url={url!r}"
        text = f"FoundryAPIClient({where}, model={self.model!r})"
        return f"<closed {text}>" if self._core.bounds.closing.cancelled else text

    @classmethod
    def _made(
        cls,
        spec: ClientSpec,
        additions: Mapping[str, object] | None = None,
        *,
        runtime: LocalRuntime | None = None,
        core: Core | None = None,
    ) -> Self:
        """Return a client of this class without a call of ``__init__``, with a subclass's attributes."""
        client = object.__new__(cls)
        vars(client).update(additions or {})
        client._begin(spec, runtime, core)
        return client

    def _additions(self) -> dict[str, Any]:
        """Return the attributes that a subclass added."""
        return {name: value for name, value in vars(self).items() if name not in _OWN}


def _core_of(spec: ClientSpec, runtime: LocalRuntime | None) -> Core:
    if not spec.services:
        return Core(spec, runtime)
    from foundry_rest.client.group_core import GroupCore

    return GroupCore(spec, runtime)


#: The attributes that are assembled again for a view and after unpickling.
_OWN = frozenset(("_core", "_spec", "_owned", *Endpoints.PARTS))
