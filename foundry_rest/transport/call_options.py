"""The options of one call, as they are declared; imported by the first call that has one."""

# Annotations are evaluated here: as texts, they would be compiled one by one at import.
from collections.abc import Mapping
from typing import Literal, TypedDict

from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.cancellation import CancelToken


class OtherCallOptions(TypedDict, total=False):
    """The options of one call, except ``timeout``."""

    #: Seconds for the whole call, retries and waits included; infinity for no bound.
    deadline: float | None
    #: Tries after the first, in place of the client's number.
    retries: int | None
    #: Added to the client's own headers; these win.
    headers: Mapping[str, str] | None
    #: Ends the call from another thread.
    cancel: CancelToken | None
    #: Where it waits for a slot: ``"batch"`` behind all others; ``"interactive"`` when not given.
    lane: Literal["interactive", "batch"] | None
    #: For the client's cache: ``False`` for not at all, ``True`` for any call, or the most seconds of age.
    cache: bool | float | None


class CallOptions(OtherCallOptions, total=False):
    """The options of one call, the same for every method that sends a request.

    This is their one declaration: a further option needs one more line here or above, and the code that reads
    it from ``call.options``.
    """

    #: Seconds of silence allowed in one attempt, or a whole set of bounds; the client's when not given.
    timeout: float | Timeouts | None
