"""Our errors as exceptions of ``requests``, which code written for it catches.

Most are that already, see ``foundry_rest.errors.tree``. The others get a class with both bases, whose facts,
words and pickles are those of the plain one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import requests

from foundry_rest.errors import (
    Cancelled,
    CircuitOpen,
    ConfigError,
    DeadlineExceeded,
    FoundryError,
    InvalidReply,
    UnsupportedByService,
)


class RequestRefused(ConfigError, requests.exceptions.RequestException):
    """A mistake of the caller, found before anything was sent."""


class FeatureMissing(UnsupportedByService, requests.exceptions.RequestException):
    """A feature that this generation of the service does not have."""


class CircuitIsOpen(CircuitOpen, requests.exceptions.ConnectionError):
    """A call refused by the circuit breaker, which lets none pass for ``retry_in`` more seconds."""


class DeadlinePassed(DeadlineExceeded, requests.exceptions.Timeout):
    """The end of the time for a whole call; ``limit`` names which bound was reached."""


class CallCancelled(Cancelled, requests.exceptions.RequestException):
    """The end of a call by ``close()`` or a cancel token."""


class UnreadableReply(InvalidReply, requests.exceptions.RequestException):
    """An answer that cannot be read."""


#: Our class -> the one that is an exception of ``requests``, too.
_BOTH: dict[type[FoundryError], type[FoundryError]] = {
    ConfigError: RequestRefused,
    UnsupportedByService: FeatureMissing,
    CircuitOpen: CircuitIsOpen,
    DeadlineExceeded: DeadlinePassed,
    Cancelled: CallCancelled,
    InvalidReply: UnreadableReply,
}


def for_requests(error: FoundryError) -> FoundryError:
    """Return the error as an exception of ``requests``; itself, if it is one."""
    if isinstance(error, requests.exceptions.RequestException):
        return error
    both = next((kind for ours, kind in _BOTH.items() if isinstance(error, ours)), None)
    if both is None:
        return error
    same = both(*error.args)
    vars(same).update(vars(error))
    return same


@contextmanager
def errors_for_requests() -> Iterator[None]:
    """Raise our errors, within the block, as exceptions of ``requests``."""
    try:
        yield
    except FoundryError as error:
        same = for_requests(error)
        if same is error:
            raise
        raise same from error.__cause__
