"""Error answers, in any generation's spelling: recognised here, and parsed by ``bodies``.

Pure functions: bytes in, one error out. No module outside this folder examines a message or a body:
everything that others need to know is in the class. Most programs see no error, so what parses them is
imported with the first.
"""

from __future__ import annotations

from foundry_rest.errors.process import late_import
from foundry_rest.errors.tree import ServiceError

#: Part of every body or event with an error, in either case; one without it need not be parsed.
ERROR_MARK = b'rror"'
#: Parts of every event that may be an error of a stream, in lower case: it has one of them.
STREAM_MARKS = (ERROR_MARK, b'"detail"', b'"message"', b'"title"')


def error_in(payload: bytes) -> ServiceError | None:
    """Return the error in a body with status 200 or in a stream event, or ``None``.

    ``"error": null`` in a success is normal on 0.x and means nothing.
    """
    if ERROR_MARK not in payload:  # cheap, where the payload may be megabytes
        return None
    with late_import(sent=True):
        from foundry_rest.errors.bodies import reported_error
    return reported_error(payload)


def stream_error(event: bytes) -> ServiceError | None:
    """Return the error in an event that should be part of an answer, or ``None``.

    Beside the forms of ``error_in`` it may have no ``error`` at all: ``{"detail": ...}``.
    """
    if not any(map(event.lower().__contains__, STREAM_MARKS)):
        return None
    with late_import(sent=True):
        from foundry_rest.errors.bodies import bare_error
    return bare_error(event) or error_in(event)


def failed_choice(payload: bytes, reason: str | None) -> ServiceError:
    """Return the error of an answer that the server gave up, as its finish reason says."""
    with late_import(sent=True):
        from foundry_rest.errors.bodies import given_up
    return given_up(payload, reason)


def error_payload(data: bytes) -> bytes:
    """Return the data of an event that is an error by its name, in the form that ``error_in`` reads."""
    with late_import(sent=True):
        from foundry_rest.errors.bodies import enveloped
    return enveloped(data)
