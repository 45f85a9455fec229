"""The builder of requests: every setting is explicit, nothing is taken from the environment."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

import requests
from requests.auth import AuthBase
from requests.exceptions import RequestException
from requests.structures import CaseInsensitiveDict

from foundry_rest.errors import ConfigError
from foundry_rest.transport.call import Auth, Call

#: Prepared URLs kept; a program uses a handful of paths.
_URLS_KEPT = 256
#: RFC 9110 section 5.6.2; requests allows spaces too.
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
#: Control characters, and characters beyond Latin-1, which HTTP/1.1 cannot carry.
_NOT_IN_HEADER = re.compile(r"[^\t -~\x80-\xff]")


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
        if api_key and not auth:
            _checked({"Authorization": f"Bearer {api_key}"}, "api_key")
        self._auth = auth or (BearerAuth(api_key) if api_key else None)
        self._urls: dict[str, str] = {}
        self._agent = _user_agent()
        self._more = headers
        self._headers = self._merged()

    def build(self, call: Call, base_url: str, accept: str) -> requests.PreparedRequest:
        """Return the request for one attempt.

        Raises:
            ConfigError: The URL or a header cannot be sent, or the headers exceed the service's limit.
        """
        request = requests.PreparedRequest()
        request.method = call.method
        request.url = self._url(base_url + call.path)
        request.headers = headers = self._merged() if self._given else self._headers.copy()
        headers.setdefault("Accept", accept)
        request.body = call.body
        if call.body is not None:
            headers["Content-Type"] = "application/json"
            headers["Content-Length"] = str(len(call.body))
        own = _checked(call.options.headers, "headers") if call.options.headers else {}
        headers.update(own)
        request.hooks = self._session.hooks
        auth = self._auth or self._session.auth
        if auth is not None:
            _sign(request, auth)
            request.headers.update(own)
        _check_size(request, call)
        return request

    def _merged(self) -> CaseInsensitiveDict[str]:
        """Return the headers of every request: ours, below the session's, below the client's."""
        merged: dict[str, str | bytes] = {"User-Agent": self._agent}
        # In requests a header with the value None is not sent.
        merged |= {name: value for name, value in self._session.headers.items() if value is not None}
        ready = _checked({**merged, **self._more}, "headers")
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


def _user_agent() -> str:
    try:
        return f"foundry_rest/{version('foundry_rest')}"
    except PackageNotFoundError:
        return "foundry_rest"


def _prepared_url(url: str) -> str:
    request = requests.PreparedRequest()
    try:
        request.prepare_url(url, None)
    except (RequestException, UnicodeError) as error:
        raise ConfigError(f"the address cannot be used: {error}") from None
    return str(request.url)


def _is_unsendable(value: str | bytes) -> bool:
    return isinstance(value, str) and _NOT_IN_HEADER.search(value) is not None


def _checked(headers: Mapping[str, str | bytes], name: str) -> CaseInsensitiveDict[str]:
    request = requests.PreparedRequest()
    try:
        request.prepare_headers(headers)
        if any(not _HEADER_NAME.fullmatch(name) or _is_unsendable(value) for name, value in headers.items()):
            raise ValueError  # noqa: TRY301 (all refusals end in the same error)
    except (RequestException, AttributeError, TypeError, ValueError) as error:
        # The message of InvalidHeader quotes the value, which may be a key.
        raise ConfigError(
            f"{name}= holds a name or value that cannot be sent ({type(error).__name__})"
        ) from None
    return request.headers


def _sign(request: requests.PreparedRequest, auth: Auth | tuple[str, str]) -> None:
    request.prepare_auth(auth, str(request.url))
    if request.body is None:
        request.headers.pop("Content-Length", None)


def _check_size(request: requests.PreparedRequest, call: Call) -> None:
    if call.header_limit is None:
        return
    size = len(call.method) + len(str(request.url)) + 40  # request line and Host
    for name, value in request.headers.items():
        size += len(name) + len(value) + 4
    if size > call.header_limit:
        raise ConfigError(
            f"the request headers need {size:,} bytes, a Foundry Local service resets the connection "
            f"above {call.header_limit:,}",
            call=call.label,
            advice="Send fewer or shorter headers; a gateway that bears more is named by dialect='openai'.",
        )
