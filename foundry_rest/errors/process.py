"""The errors of this process's limits: of files, connections and memory."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeGuard

from foundry_rest.errors.tree import TransportError

#: Errors of a system that gives this process no more, which says nothing of the service.
_SCARCE = frozenset(
    getattr(errno, name)
    for name in ("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM", "WSAEMFILE", "WSAENOBUFS")
    if hasattr(errno, name)
)


def is_out_of_resources(error: BaseException) -> TypeGuard[OSError]:
    """Return whether the system gives this process no file, connection or memory more."""
    return isinstance(error, OSError) and error.errno in _SCARCE


def out_of_resources(error: OSError, *, sent: bool = False) -> TransportError:
    """Return the error of a call for which the system gives no file, connection or memory more."""
    return TransportError(
        f"the system gives this process no more: {error.strerror or error}",
        sent=sent,
        advice="Close what is open and not needed, or raise the limit.",
    )


@contextmanager
def late_import(*, sent: bool = False) -> Iterator[None]:
    """Have an import that is made when it is needed fail as a call does, where no file can be opened more.

    ``sent`` tells whether the request was sent before.
    """
    try:
        yield
    except OSError as error:
        if is_out_of_resources(error):
            raise out_of_resources(error, sent=sent) from error
        raise
