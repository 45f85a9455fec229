"""Caller: all by which a service may tell one caller from another, as a hash."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec
import requests
from requests.adapters import HTTPAdapter
from requests.auth import HTTPBasicAuth

from foundry_rest.transport.call import Auth


class Caller:
    """Who asks: the key, the user, and the headers that every request of a client has.

    Args:
        headers: The client's headers.
        auth: The client's signer.
        api_key: The client's key.
        session: The caller's own session, which a program may change between two calls.
    """

    def __init__(
        self,
        headers: Mapping[str, str] | None,
        auth: Auth | tuple[str, str] | None,
        api_key: str | None,
        session: requests.Session | None,
    ) -> None:
        self._facts = (_pairs(headers or {}), _user_of(auth), api_key)
        self._is_signed = auth is not None and _user_of(auth) is None
        self._session = session
        self._made = _hash((*self._facts, None)) if session is None else ""

    @property
    def is_known(self) -> bool:
        """Return whether the hash tells all callers apart: nobody else signs the requests or changes them."""
        return not self._is_signed and (self._session is None or _is_plain(self._session))

    @property
    def hash(self) -> str:
        """Return the hash; it holds no key that can be read out of it."""
        session = self._session
        if session is None:
            return self._made
        ways = repr((session.cert, sorted(session.proxies.items())))
        own = (_pairs(session.headers), _user_of(session.auth), ways)
        return _hash((*self._facts, own))


def _hash(facts: object) -> str:
    return hashlib.sha256(msgspec.json.encode(facts)).hexdigest()


def _pairs(headers: Mapping[str, str | bytes]) -> list[tuple[str, str]]:
    return sorted((str(name).lower(), _text(value)) for name, value in headers.items())


def _text(value: object) -> str:
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)


def _user_of(auth: object) -> tuple[str, str] | None:
    """Return user and password; ``None`` for a signer whose user nobody sees."""
    if type(auth) is HTTPBasicAuth:
        return _text(auth.username), _text(auth.password)
    if isinstance(auth, tuple) and len(auth) == 2:
        return _text(auth[0]), _text(auth[1])
    return None


def _is_plain(session: object) -> bool:
    """Return whether a session sends requests as they are: its class, its adapters and its user are known."""
    if type(session) is not requests.Session or (session.auth is not None and _user_of(session.auth) is None):
        return False
    return all(type(adapter) is HTTPAdapter for adapter in session.adapters.values())
