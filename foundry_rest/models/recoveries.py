"""What removes the cause of a failure, so that the same request can be sent once more."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.errors import FoundryError, ModelNotFound, ModelNotLoaded, ServiceUnreachable
from foundry_rest.models.loading import Loading
from foundry_rest.transport.call import Options, Request

#: Removes the cause of one failure; tells whether the request may succeed now.
Recovery = Callable[[Request, FoundryError], bool]


def build_recoveries(
    models: Callable[[], Loading], has_moved: Callable[[str, Options], bool], *, auto_load: bool
) -> dict[type[FoundryError], tuple[str, Recovery]]:
    """Return the recoveries: error class -> (name in events, what to do once).

    Args:
        models: Returns what resolves and loads.
        has_moved: Tells whether the service that was lost at an address is elsewhere now.
        auto_load: Whether a model may be loaded unasked.
    """

    def load(request: Request, _: FoundryError) -> bool:
        """Load the model that the service has on disk, then ask again."""
        if not request.runs_on:
            return False
        models().load_for(request)
        return True

    def resolve(request: Request, _: FoundryError) -> bool:
        """Find out which id the name stands for, then ask for that."""
        if not request.runs_on:
            return False
        asked = request.asked_as
        try:
            info = models().resolve_for(request)
        except ModelNotFound:
            # A service on another machine shows no aliases, but loads by them.
            if not auto_load:
                raise
            info = models().load_for(request)
        return info.id != asked

    def rediscover(request: Request, error: FoundryError) -> bool:
        """Look where the service is now; the same request goes there when it has moved."""
        return has_moved(error.url, request.options)

    return {
        ServiceUnreachable: ("rediscover", rediscover),
        ModelNotFound: ("resolve", resolve),
        # 1.x and 0.x say of an alias, too, that it is not loaded.
        ModelNotLoaded: ("load", load) if auto_load else ("resolve", resolve),
    }
