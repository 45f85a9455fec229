"""FoundryAPIClient: puts the parts together once and owns their lifetime."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec.structs import replace

from foundry_rest.client.core import ClientSpec, Core, build_core, connect
from foundry_rest.client.shorthand import Shorthand
from foundry_rest.config import Config, Timeouts, from_env
from foundry_rest.dialects.operation import Dialect
from foundry_rest.endpoints.chat import Chat
from foundry_rest.endpoints.health import Health
from foundry_rest.endpoints.models import Models
from foundry_rest.endpoints.raw import Raw
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.breaker import Breaker
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.breaker.record import BreakerState
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.schema import Stats
from foundry_rest.transport.call import Auth

if TYPE_CHECKING:
    import requests
    from typing_extensions import Self

    from foundry_rest.endpoints.audio import Audio
    from foundry_rest.endpoints.embeddings import Embeddings
    from foundry_rest.endpoints.responses import Responses
    from foundry_rest.runtime import LocalRuntime

#: Five failures in a row open the circuit for 30 s, longer each time that a probe fails.
_DEFAULT_BREAKER = BreakerPolicy()


class _Closable(Protocol):
    def close(self) -> None: ...


class FoundryAPIClient(Shorthand):
    """Talk to Foundry Local; one client serves many threads.

    ``chat``, ``models`` and ``health`` hold the operations; ``request(method, path, ...)`` sends any other.
    Nothing is asked of the network before the first call: then the service is found, its generation
    recognised, and the default model loaded if it is on disk but not in memory.

    Args:
        base_url: Address of the service; ``None`` to discover it.
        model: Default model, alias or id (``FOUNDRY_MODEL``, else ``phi-4-mini``).
        api_key: Sent as Bearer token, never logged (``FOUNDRY_API_KEY``).
        timeout: Seconds of silence borne in one attempt (``FOUNDRY_TIMEOUT``, else 30), or a
            ``Timeouts`` set.
        deadline: Seconds for a whole call, retries included (``FOUNDRY_DEADLINE``, else none).
        retries: Tries after the first (``FOUNDRY_RETRIES``, else 3), or a ``RetryPolicy``.
        breaker: When the service is left alone after failures, or ``None`` for never.
        breaker_state: Where the breaker's state lives: in this process, or shared by the processes of
            this machine with ``SqliteBreakers(path)``, see ``foundry_rest.resilience.breaker.storage``.
        max_concurrency: Calls and open streams at a time, 64 by default; further ones wait their turn.
        auto_load: Load a model that is not in memory, then repeat the call once.
        auto_start: Have the ``foundry`` command start a service that is nowhere, once per process.
        observers: Callables told of every ``foundry_rest.events`` fact.
        headers: Added to every request.
        auth: Signs every request: a requests ``AuthBase``, a callable, or (user, password).
        session: Your own ``requests.Session``, used as it is and not closed.
        dialect: ``"auto"``, or the generation: ``"2.x"``, ``"1.x"``, ``"0.x"``, ``"openai"``.
        config: All settings at once in place of the environment.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        model: str | None = None,
        api_key: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        retries: int | RetryPolicy | None = None,
        breaker: BreakerPolicy | None = _DEFAULT_BREAKER,
        breaker_state: Callable[[str], BreakerState] | None = None,
        max_concurrency: int | None = None,
        auto_load: bool | None = None,
        auto_start: bool | None = None,
        observers: Iterable[Callable[[Event], object]] = (),
        headers: Mapping[str, str] | None = None,
        auth: Auth | tuple[str, str] | None = None,
        session: requests.Session | None = None,
        dialect: str | Dialect = "auto",
        config: Config | None = None,
    ) -> None:
        settings = (config or from_env()).with_changes(
            endpoint=base_url,
            model=model,
            api_key=api_key,
            timeouts=None if timeout is None else Timeouts.of(timeout),
            deadline=deadline,
            auto_load=auto_load,
            auto_start=auto_start,
            max_concurrency=max_concurrency,
        )
        recipe = ClientSpec(
            config=settings,
            breaker=breaker,
            breaker_state=breaker_state,
            observers=tuple(observers),
            headers=headers,
            auth=auth,
            session=session,
            dialect=dialect,
        )
        self._begin(recipe, RetryPolicy.of(settings.retries if retries is None else retries))

    def _begin(self, recipe: ClientSpec, policy: RetryPolicy, runtime: LocalRuntime | None = None) -> None:
        shared = build_core(recipe, runtime)
        self._owned: tuple[_Closable, ...] = (shared,) if runtime is None else (shared, runtime)
        self._equip(shared, recipe.config, policy)

    def _equip(self, shared: Core, config: Config, policy: RetryPolicy) -> None:
        self._shared, self._config, self._policy = shared, config, policy
        self._context = connect(shared, config, policy, lambda: self.models)
        self.chat = Chat(self._context)
        self.models = Models(self._context)
        self.health = Health(self._context)
        self.request = Raw(self._context, shared.service).request

    @cached_property
    def embeddings(self) -> Embeddings:
        """Return the endpoint for vectors; imported with its first use, as the next two are."""
        from foundry_rest.endpoints.embeddings import Embeddings

        return Embeddings(self._context)

    @cached_property
    def audio(self) -> Audio:
        """Return the endpoint for speech."""
        from foundry_rest.endpoints.audio import Audio

        return Audio(self._context)

    @cached_property
    def responses(self) -> Responses:
        """Return the endpoint for responses, which the service can remember."""
        from foundry_rest.endpoints.responses import Responses

        return Responses(self._context)

    @classmethod
    def embedded(
        cls,
        model_dirs: Iterable[str | Path] = (),
        *,
        model: str | None = None,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        retries: int | RetryPolicy | None = None,
        observers: Iterable[Callable[[Event], object]] = (),
        headers: Mapping[str, str] | None = None,
        config: Config | None = None,
    ) -> Self:
        """Start Microsoft's native runtime in a child process and return a client that owns it.

        Args:
            model_dirs: ONNX Runtime GenAI folders; the first is the default model. Without any, the
                public catalog is used.
            model: Default model; the first folder's when not given.
            timeout, deadline, retries, observers, headers, config: As for the client itself.

        Raises:
            ConfigError: A folder holds no model, or the extra ``runtime`` is not installed.
            ServiceUnreachable: The runtime did not start; the message holds its own words.
        """
        from foundry_rest.runtime import LocalRuntime

        runtime = LocalRuntime(model_dirs).start()
        first = runtime.models[0].alias if runtime.models else None
        try:
            client = cls(
                runtime.url,
                model=model or first,
                timeout=timeout,
                deadline=deadline,
                retries=retries,
                observers=observers,
                headers=headers,
                config=config,
            )
            client._begin(client._shared.recipe, client._policy, runtime)
        except BaseException:
            runtime.close()
            raise
        return client

    def with_options(
        self,
        *,
        timeout: float | Timeouts | None = None,
        deadline: float | None = None,
        retries: int | RetryPolicy | None = None,
        model: str | None = None,
    ) -> Self:
        """Return a view with other settings that shares connections, figures and what was learnt.

        Closing a view closes nothing.
        """
        view = object.__new__(type(self))
        view._owned = ()
        config = self._config.with_changes(
            model=model, deadline=deadline, timeouts=None if timeout is None else Timeouts.of(timeout)
        )
        view._equip(self._shared, config, self._policy if retries is None else RetryPolicy.of(retries))
        return view

    def stats(self) -> Stats:
        """Return counts, latencies, tokens and circuits since the client was made, its views included."""
        breakers = self._shared.breakers
        circuits = breakers.current() if breakers is not None else {}
        return msgspec.structs.replace(self._shared.stats.snapshot(), circuits=circuits)

    @property
    def breaker(self) -> Breaker | None:
        """Return the circuit breaker of the service's address, to look at or to move by hand.

        ``.current`` tells its state, ``.force_open()`` leaves the service alone, ``.close()`` believes it
        again. ``None`` for a client without one.

        Raises:
            ServiceNotFound: The service's address is not known and none was discovered.
        """
        breakers = self._shared.breakers
        return None if breakers is None else breakers.of(self._shared.service.locate())

    def close(self) -> None:
        """End every wait, close the connections, and the embedded runtime if this client started one.

        Idempotent, and from any thread; calls under way raise Cancelled.
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
        """Pickle as the configuration: connections, figures and an embedded runtime stay behind."""
        return _remade, (type(self), replace(self._shared.recipe, config=self._config), self._policy)

    def __repr__(self) -> str:
        return f"FoundryAPIClient(base_url={self._config.endpoint!r}, model={self._config.model!r})"


def _remade(cls: type[FoundryAPIClient], recipe: ClientSpec, policy: RetryPolicy) -> FoundryAPIClient:
    client = object.__new__(cls)
    client._begin(recipe, policy)
    return client
