"""What removes the cause of a failure, so that the same call can be sent once more."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.endpoints.models import Models
from foundry_rest.errors import FoundryError, ModelNotFound, ModelNotLoaded, ServiceUnreachable
from foundry_rest.services.context import with_model
from foundry_rest.transport.call import Call, Options

#: Removes the cause of one failure; returns the call to repeat, or ``None`` when it cannot help.
Cure = Callable[[Call, FoundryError], "Call | None"]


def cures_by(
    models: Callable[[], Models], has_moved: Callable[[str, Options], bool], *, auto_load: bool
) -> dict[type[FoundryError], tuple[str, Cure]]:
    """Return the cures: error class -> (name in events, what to do).

    Args:
        models: Returns the endpoint that resolves and loads.
        has_moved: Tells whether the service that was lost at an address is elsewhere now.
        auto_load: Whether a model may be loaded unasked.
    """

    def load(call: Call, _: FoundryError) -> Call | None:
        """Load the model that the service has on disk, then ask again."""
        if not _asks_a_model(call):
            return None
        info = models().load_for(call)
        return with_model(call, info.id) or call

    def resolve(call: Call, _: FoundryError) -> Call | None:
        """Find out which id the name stands for, then ask for that."""
        if not _asks_a_model(call):
            return None
        try:
            info = models().resolve_for(call)
        except ModelNotFound:
            # A service on another machine shows no aliases, but loads by them.
            if not auto_load:
                raise
            info = models().load_for(call)
        return with_model(call, info.id)

    def rediscover(call: Call, error: FoundryError) -> Call | None:
        """Look where the service is now; the same call goes there when it has moved."""
        bounds = Options(until=call.until, cancel=call.cancel)
        return call if has_moved(error.url, bounds) else None

    return {
        ServiceUnreachable: ("rediscover", rediscover),
        ModelNotFound: ("resolve", resolve),
        # 1.x and 0.x say of an alias, too, that it is not loaded.
        ModelNotLoaded: ("load", load) if auto_load else ("resolve", resolve),
    }


def _asks_a_model(call: Call) -> bool:
    return bool(call.model) and call.body is not None
