"""Recoveries: what removes the cause of a failure, so that the same request can be sent once more."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.errors import (
    FoundryError,
    InvalidReply,
    ModelNotFound,
    ModelNotLoaded,
    ServiceError,
    ServiceUnreachable,
    UnsupportedByService,
)
from foundry_rest.resilience.interfaces import Recovery
from foundry_rest.transport.call import Options
from foundry_rest.transport.interfaces import Request

if TYPE_CHECKING:
    from foundry_rest.models.loading import Loading


def build_recoveries(
    models: Callable[[], Loading], has_moved: Callable[[str, Options], bool], *, auto_load: bool
) -> dict[type[FoundryError], tuple[str, Recovery]]:
    """Return the recoveries: error class -> (name in events, function that is called once).

    Args:
        models: Returns the loading of models.
        has_moved: Returns whether the service that was lost at an address is at another one now.
        auto_load: Whether a model may be loaded without the caller's request.
    """

    def load(request: Request, _: FoundryError) -> bool:
        """Load the model from the service's disk."""
        if not request.runs_on:
            return False
        try:
            models().load_for(request)
        except UnsupportedByService:
            return False
        return True

    def resolve(request: Request, _: FoundryError) -> bool:
        """Resolve the name to an id, with which the request is then sent."""
        if not request.runs_on:
            return False
        previous = request.asked_as
        try:
            info = models().resolve_for(request)
        except ModelNotFound:
            # A service on another machine does not list aliases, but loads by them.
            if not auto_load:
                raise
            info = models().load_for(request)
        except (ServiceError, InvalidReply, UnsupportedByService):
            return False  # a list that cannot be had tells less than the refusal of the name
        return info.id != previous

    def rediscover(request: Request, error: FoundryError) -> bool:
        """Search for the service; the request is sent to its new address if it has moved."""
        return has_moved(error.url, request.options)

    return {
        ServiceUnreachable: ("rediscover", rediscover),
        ModelNotFound: ("resolve", resolve),
        # 0.x and 1.x report an alias, too, as not loaded.
        ModelNotLoaded: ("load", load) if auto_load else ("resolve", resolve),
    }
