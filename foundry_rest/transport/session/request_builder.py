"""The builder of requests: every setting is explicit, nothing is taken from the environment."""

from __future__ import annotations

import string
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import TYPE_CHECKING, Any

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from requests.cookies import RequestsCookieJar
from requests.exceptions import RequestException
from requests.structures import CaseInsensitiveDict

from foundry_rest.config import VERSION, EnvironmentKey
from foundry_rest.errors import ConfigError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.transport.call import Auth, Call

if TYPE_CHECKING:
    from foundry_rest.transport.interfaces import Target

_AGENT = f"foundry_rest/{VERSION}"
#: Prepared URLs kept; a program uses a handful of paths.
_URLS_KEPT = 256
#: RFC 9110 section 5.6.2; requests allows spaces too.
_IN_NAME = frozenset("!#$%&'*+.^_`|~-" + string.digits + string.ascii_letters)
#: All but control characters, and characters beyond Latin-1, which HTTP/1.1 cannot carry.
_IN_VALUE = frozenset(map(chr, (0x09, *range(0x20, 0x7F), *range(0x80, 0x100))))
#: They say where a request ends and what the connection is for: another value mixes up what follows on it.
FRAMING = ("Content-Length", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Expect")

_FEWER_HEADERS = Advice(
    "Send fewer or shorter headers.", Words("A gateway that bears more is named by dialect='openai'.", "")
)


class _NoCookies(RequestsCookieJar):
    """A jar that stays empty, so that all requests can share it."""

    def set_cookie(self, *cookie: object, **more: object) -> None:
        """Drop the cookie."""


_NO_COOKIES = _NoCookies(DefaultCookiePolicy(allowed_domains=[]))


class BearerAuth(AuthBase):
    """An authentication that sends a key as Bearer token."""

    def __init__(self, key: str) -> None:
        self._key = key

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        """Set the Authorization header."""
        request.headers["Authorization"] = f"Bearer {self._key}"
        return request

    def __repr__(self) -> str:
        return "BearerAuth(***)"


class RequestBuilder:
    """A builder of prepared requests from calls; the parts that all requests share are made once.

    Args:
        session: The session that will send. If the caller made it, its headers, auth and hooks are read at
            each call, because a program may change them.
        headers: Added to the session's own.
        auth: Signs every request.
        api_key: Sent as Bearer token when ``auth`` is not given.
        given: The session is the caller's.

    Attributes:
        keeps_key: The key is the environment's, for addresses that were named or are this user's.

    Raises:
        ConfigError: A header or the key cannot be sent.
    """

    def __init__(
        self,
        session: requests.Session,
        headers: Mapping[str, str],
        auth: Auth | tuple[str, str] | None,
        api_key: str | None,
        *,
        given: bool,
    ) -> None:
        self._session = session
        self._given = given
        self.keeps_key = False
        if api_key and auth is None:
            _checked({"Authorization": f"Bearer {api_key}"}, "api_key=")
            auth = BearerAuth(api_key)
            self.keeps_key = isinstance(api_key, EnvironmentKey)
        self._auth = None if auth is None else _signer(auth, "auth=")
        self._urls: dict[str, str] = {}
        self._more = _checked(headers, "headers=", ("Host", *FRAMING))
        self._headers = self._merged()

    def build(self, call: Call, target: Target, accept: str) -> requests.PreparedRequest:
        """Return the request for one attempt.

        Raises:
            ConfigError: The URL or a header cannot be sent, or the headers exceed the service's limit.
        """
        request = requests.PreparedRequest()
        request.method = call.method
        request.url = self._url(target.url + call.path)
        request.headers = headers = self._merged() if self._given else self._headers.copy()
        headers.setdefault("Accept", accept)
        if call.id:
            headers.setdefault("X-Request-Id", call.id)
        request.body = call.body
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(call.body))
        given = call.options.headers
        own = _checked(given, "headers=", ("Host", *FRAMING)) if given else {}
        headers.update(own)
        # Its own: a signer adds hooks, which end with their request.
        request.hooks = {"response": []}
        vars(request)["_cookies"] = _NO_COOKIES  # a digest of requests copies it
        auth = self._auth or self._session.auth
        if self.keeps_key and not target.is_known:
            auth = self._session.auth
        if auth is not None:
            _sign(request, auth)
            request.headers.update(own)
        if self._given or auth is not None:
            # The signer's first, as in requests: a 401 may be its affair.
            request.hooks = _joined(request.hooks, self._session.hooks)
        if call.header_limit is not None:
            size = header_size(request)
            if size > call.header_limit:
                raise _too_long(size, call.header_limit, call)
        return request

    def keys_for(self, call: Call) -> tuple[str, ...]:
        """Return what may be a key in a call's headers, without what a signer of the caller's makes."""
        request = requests.PreparedRequest()
        request.headers = self._merged()
        request.headers.update(call.options.headers)
        auth = self._auth or self._session.auth
        if isinstance(auth, tuple):
            auth = HTTPBasicAuth(*auth)
        if isinstance(auth, (BearerAuth, HTTPBasicAuth)):
            auth(request)
        from foundry_rest.transport.session.masking import keys_of

        return keys_of(request.headers)

    def _merged(self) -> CaseInsensitiveDict[str]:
        """Return the headers of every request: ours, below the session's, below the client's."""
        ready: CaseInsensitiveDict[str] = CaseInsensitiveDict({"User-Agent": _AGENT})
        # In requests a header with the value None is not sent.
        kept = {name: value for name, value in self._session.headers.items() if value is not None}
        ready.update(_checked(kept, "session.headers", FRAMING))
        ready.update(self._more)
        # Compression saves nothing on one machine and delays events until a block is full.
        ready["Accept-Encoding"] = "identity"
        return ready

    def _url(self, url: str) -> str:
        ready = self._urls.get(url)
        if ready is None:
            ready = self._urls[url] = _prepared_url(url)
            if len(self._urls) > _URLS_KEPT:
                self._urls.clear()
        return ready


def _prepared_url(url: str) -> str:
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
    except (RequestException, UnicodeError) as error:
        raise ConfigError(f"the address cannot be used: {error}") from None
    return str(request.url)


def _is_name(name: str | bytes) -> bool:
    return bool(name) and _IN_NAME.issuperset(name)


def _is_unsendable(value: str | bytes) -> bool:
    return isinstance(value, str) and not _IN_VALUE.issuperset(value)


def _checked(
    headers: Mapping[str, str | bytes], name: str, refused: tuple[str, ...] = ()
) -> CaseInsensitiveDict[str]:
    request = requests.PreparedRequest()
    try:
        request.prepare_headers(headers)
        if any(not _is_name(name) or _is_unsendable(value) for name, value in headers.items()):
            raise ValueError  # noqa: TRY301 (all refusals end in the same error)
    except (RequestException, AttributeError, TypeError, ValueError) as error:
        # The message of InvalidHeader quotes the value, which may be a key.
        raise ConfigError(
            f"{name} holds a name or value that cannot be sent ({type(error).__name__})"
        ) from None
    hit = next((header for header in refused if header in request.headers), None)
    if hit is not None:
        raise ConfigError(f"{name} must not hold {hit}, which follows from the address and the body")
    return request.headers


def _signer(auth: Auth | tuple[str, str], name: str) -> Auth:
    """Return the function that signs requests; a pair is a user name and a password."""
    if isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(part, (str, bytes)) for part in auth):
        return HTTPBasicAuth(*auth)
    if not callable(auth):
        raise ConfigError(f"{name} must be a requests AuthBase, a function or (user, password)")
    return auth


def _sign(request: requests.PreparedRequest, auth: Auth | tuple[str, str]) -> None:
    if isinstance(auth, BearerAuth):  # its key was checked when the client was made
        auth(request)
        return
    try:
        signed = _signer(auth, "session.auth")(request)
    except UnicodeEncodeError:  # its message quotes what it could not encode
        raise ConfigError(
            "auth= holds a user name or password with characters beyond Latin-1, which cannot be sent"
        ) from None
    if not isinstance(signed, requests.PreparedRequest):
        raise ConfigError(f"auth= must return the request that it signs, not {type(signed).__name__}")
    vars(request).update(vars(signed))
    request.headers = _checked(request.headers, "auth=")
    request.prepare_content_length(request.body)
    if request.body is None:
        request.headers.pop("Content-Length", None)


def _joined(*several: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the response hooks of all; each may have one function or many."""
    found = [hooks.get("response") or () for hooks in several]
    return {"response": [hook for hooks in found for hook in ((hooks,) if callable(hooks) else hooks)]}


def header_size(request: requests.PreparedRequest) -> int:
    """Return the bytes that the head of a request needs, its first line included."""
    size = len(request.method or "") + len(str(request.url)) + 40  # request line and Host
    for name, value in request.headers.items():
        size += len(name) + len(value) + 4
    return size


def _too_long(size: int, limit: int, call: Call) -> ConfigError:
    return ConfigError(
        f"the request headers need {size:,} bytes, a Foundry Local service resets the connection "
        f"above {limit:,}",
        call=call.label,
        advice=_FEWER_HEADERS,
    )
