"""The keyword arguments of a client, as type checkers and the reference know them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Literal, TypedDict

from foundry_rest.cache import ResponseCache
from foundry_rest.config import Config
from foundry_rest.dialects.operation import Dialect
from foundry_rest.events import Event
from foundry_rest.resilience.breaker.policy import BreakerPolicy
from foundry_rest.resilience.interfaces import BreakerState
from foundry_rest.resilience.retry import RetryPolicy
from foundry_rest.services.service_spec import ServiceSpec
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.call import Auth

if TYPE_CHECKING:
    import requests


class ClientArguments(TypedDict, total=False):
    """The keyword arguments of a client; this is their one declaration."""

    #: Default model, alias or id (``FOUNDRY_MODEL``, else ``phi-4-mini``).
    model: str | None
    #: Sent as Bearer token, never logged (``FOUNDRY_API_KEY``).
    api_key: str | None
    #: Seconds of silence allowed in one attempt (``FOUNDRY_TIMEOUT``, else 30), or a ``Timeouts`` set.
    timeout: float | Timeouts | None
    #: Seconds for a whole call, retries included (``FOUNDRY_DEADLINE``, else none).
    deadline: float | None
    #: Tries after the first (``FOUNDRY_RETRIES``, else 3), or a ``RetryPolicy``.
    retries: int | RetryPolicy | None
    #: The circuit breaker's policy, or ``None`` for no breaker.
    breaker: BreakerPolicy | None
    #: Where the breaker's state is kept: this process by default, or ``SqliteBreakers``, ``RedisBreakers``.
    breaker_state: Callable[[str], BreakerState] | None
    #: Calls and open streams at a time, 64 by default, or ``"auto"``; further ones wait for a slot.
    max_concurrency: int | Literal["auto"] | None
    #: Load a model that is not in memory, then repeat the call once.
    auto_load: bool | None
    #: Have the ``foundry`` command start a service when none runs, once per process.
    auto_start: bool | None
    #: Called with every event of ``foundry_rest.events``.
    observers: Iterable[Callable[[Event], object]]
    #: Log prompts and answers, too, at level debug; keys never are.
    log_bodies: bool
    #: Added to every request.
    headers: Mapping[str, str] | None
    #: Signs every request: a requests ``AuthBase``, a callable, or (user, password).
    auth: Auth | tuple[str, str] | None
    #: Your own ``requests.Session``, used unchanged and not closed; its adapters' own retries are left out.
    session: requests.Session | None
    #: ``"auto"``, or the generation: ``"2.x"``, ``"1.x"``, ``"0.x"``, ``"openai"``.
    dialect: str | Dialect
    #: A file in which whole answers are kept and looked up, or a ``ResponseCache``; none by default.
    cache: str | os.PathLike[str] | ResponseCache | None
    #: All settings in one value, in place of the environment.
    config: Config | None
    #: Several services, of which one answers each call: addresses or ``ServiceSpec`` (``FOUNDRY_ENDPOINT``).
    services: Iterable[str | ServiceSpec] | None
    #: Which is asked: ``"least"``, the one with the least to do, or ``"first"``, the first that is well.
    prefer: Literal["least", "first"]
