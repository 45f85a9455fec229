"""The cache of a client: who answers, who asks, and the sender that needs to know both."""

from __future__ import annotations

from collections.abc import Callable
from weakref import WeakKeyDictionary

from foundry_rest.cache import ResponseCache
from foundry_rest.cache.key import origin_of
from foundry_rest.cache.sender import CachingSender
from foundry_rest.client.spec import ClientSpec
from foundry_rest.dialects.operation import UNKNOWN
from foundry_rest.errors import ConfigError, ModelNotFound
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.events import Event
from foundry_rest.models.disk import local_folder
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.services.context import Context
from foundry_rest.services.identity import name_of
from foundry_rest.services.pool import TargetPool
from foundry_rest.services.target import Target
from foundry_rest.transport.call import Options
from foundry_rest.transport.cancellation import CancelToken
from foundry_rest.transport.interfaces import Request, Sender
from foundry_rest.transport.session.caller import Caller

#: Pairs of an answerer and a caller that are kept ready.
_ORIGINS = 64


class Caching:
    """The parts of a cache that a client and its views share.

    Args:
        spec: The client's settings.
        cache: The cache.
        targets: The services that calls go to.
        is_named: Whether the user named the address.

    Raises:
        ConfigError: Nobody can tell for whom requests are signed, and no namespace says so.
    """

    def __init__(
        self, spec: ClientSpec, cache: ResponseCache, targets: TargetPool, *, is_named: bool
    ) -> None:
        self._cache, self._targets, self._is_named = cache, targets, is_named
        self._caller = Caller(spec.headers, spec.auth, spec.config.api_key, spec.session)
        if not self._caller.is_known and cache.namespace is None:
            raise ConfigError(
                "the cache cannot tell for whom auth= or session= signs requests",
                advice=Advice(
                    Words("Give cache=ResponseCache(path, namespace='...'), one for each user.", "")
                ),
            )
        self._flights = cache.flights
        self._strange: WeakKeyDictionary[Target, set[str]] = WeakKeyDictionary()
        self._origins: dict[tuple[str, str, str], bytes] = {}

    def around(
        self,
        sender: Sender,
        emit: Callable[[Event], None],
        closing: CancelToken,
        note: Callable[[str], None],
        parts: Callable[[], tuple[Context, Loading]],
    ) -> CachingSender:
        """Return a sender that looks into the cache before ``sender`` asks the service.

        Args:
            sender: Asks the service.
            emit: Gets an event for each whole answer from the cache.
            closing: Ends every wait.
            note: Gets the name of the count of ``CacheUse`` that grows.
            parts: Returns the context and the loading that use the new sender.
        """
        identities = _Identities(self, parts)
        return CachingSender(sender, self._cache, self._flights, identities, emit, closing, note=note)

    def target_for(self, request: Request) -> Target:
        """Return the target that a request would go to: also one that was lost, before another is found."""
        targets = self._targets
        return targets.current or targets.last or targets.take(request.options)

    def knows(self, target: Target, request: Request) -> bool:
        """Return whether it is known who answers, and what the name of the request's model means there."""
        return bool(target.identity) and _knows_name(target, request.runs_on)

    def origin_of(self, target: Target) -> bytes:
        """Return who answers at a target for whom; ``b""`` if that is not known."""
        if not target.identity or not (self._caller.is_known or self._cache.namespace is not None):
            return b""
        facts = (target.identity, target.dialect.generation, self._caller.hash)
        origin = self._origins.get(facts)
        if origin is None:
            if len(self._origins) >= _ORIGINS:  # a session whose headers differ in each call
                self._origins.clear()
            origin = self._origins[facts] = origin_of(*facts, self._cache.namespace)
        return origin

    def close(self) -> None:
        """Close the cache's file; the next use opens it again."""
        self._cache.close()

    def learn(self, target: Target, request: Request, context: Context, loading: Loading) -> bool:
        """Learn who answers at a target, and which model a name means there; return whether that is known.

        Raises:
            FoundryError: The service does not tell.
        """
        options, name = request.options, request.runs_on
        if target.dialect is UNKNOWN:
            context.dialect_for(options)
        if not target.identity:
            self._identify(target, options, context)
        if not target.identity or _knows_name(target, name):
            return bool(target.identity)
        strange = self._strange.setdefault(target, set())
        if name in strange or target is not self._targets.current:
            return False
        try:
            loading.resolve(LoadRequest(name), options)
        except ModelNotFound:  # the service may know it all the same, but not in which version
            strange.add(name)
        return _knows_name(target, name)

    def _identify(self, target: Target, options: Options, context: Context) -> None:
        """Name who answers at a target, which nobody can for a stranger's process."""
        folder = None
        if not self._is_named and target.is_known:
            if not target.cache_path:
                status = context.ask(lambda each: each.dialect.status(options), options)
                self._targets.note_pid(status.pid)
                if target is not self._targets.current:  # it is another process's
                    return
                target.learn(target.dialect, status)
            folder = local_folder(target.cache_path, target.url)
        target.identity = name_of(target, folder, is_named=self._is_named)


def _knows_name(target: Target, name: str) -> bool:
    """Return whether a name is an exact id, or was found to mean one, or the service has no versions."""
    return ":" in name or target.names.get(name) is not None or not target.dialect.models().has("load")


class _Identities:
    """Who answers the requests of a client or of a view, and who asks."""

    def __init__(self, caching: Caching, parts: Callable[[], tuple[Context, Loading]]) -> None:
        self._caching, self._parts = caching, parts

    def target_for(self, request: Request) -> Target:
        """Return the target that a request would go to."""
        return self._caching.target_for(request)

    def learn(self, target: Target, request: Request) -> bool:
        """Learn who answers at a target, and what the name of the request's model means there."""
        return self._caching.knows(target, request) or self._caching.learn(target, request, *self._parts())

    def of_target(self, target: Target) -> bytes:
        """Return who answers at a target, and who asks."""
        return self._caching.origin_of(target)
