"""Keys and prompts in what is kept after a request: its own headers, and what the other side repeats of them.

A gateway's error page may quote the request that it refused, a redirect may carry the key in its address, a
refusal may quote the text that it refuses. All that ends up in messages, logs and result stores, where stars
stand in place of every known key, and of every longer piece of the request's own texts. What is as short as a
word or two cannot be told from the refusal's own words, and stays.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import requests
from requests.structures import CaseInsensitiveDict

from foundry_rest.errors import FoundryError, ServiceError
from foundry_rest.raw_json import UNDECODABLE, read_raw

#: Headers whose values are made here or by requests, and hold no key.
_HARMLESS = frozenset(
    (
        "accept",
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "traceparent",
        "tracestate",
        "user-agent",
        "x-request-id",
    )
)
#: Fewest characters of what is taken for a key: shorter ones would be found in any text.
_SHORTEST = 8
_STARS = "***"
#: Facts of errors that quote the other side.
_QUOTES = ("body", "code", "where")
#: Members of a request that hold what a person wrote.
_TEXTS = ("messages", "input", "prompt", "instructions")
#: Members within these that do not.
_NAMES = frozenset(("role", "type", "name", "id", "call_id", "tool_call_id", "detail"))
#: Fewest characters of a piece: fewer may be the refusal's own words.
_PIECE = 20
#: Most characters of a text that are looked through, from its start and from its end; a quote is near one.
_LOOKED_AT = 20_000
#: Most texts that are looked through, the last ones of a conversation.
_MOST = 50


def hide_headers(request: object) -> None:
    """Put stars in place of all values in a request's headers that may be keys, once the request is over."""
    if isinstance(request, requests.PreparedRequest):
        request.headers = CaseInsensitiveDict(
            {name: value if name.lower() in _HARMLESS else _STARS for name, value in request.headers.items()}
        )


def keys_in(request: object) -> tuple[str, ...]:
    """Return what in a request's headers may be a key, the longest first."""
    return keys_of(request.headers) if isinstance(request, requests.PreparedRequest) else ()


def keys_of(headers: Mapping[str, str | bytes]) -> tuple[str, ...]:
    """Return what in headers may be a key, the longest first."""
    found: set[str] = set()
    for name, value in headers.items():
        if name.lower() not in _HARMLESS:
            text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
            found.update(word for word in _words(text) if len(word) >= _SHORTEST)
    return tuple(sorted(found, key=len, reverse=True))


def masked(content: bytes, keys: Iterable[str]) -> bytes:
    """Return bytes of the other side with stars in place of keys."""
    for key in keys:
        content = content.replace(key.encode("latin-1", "replace"), _STARS.encode())
    return content


def masked_text(text: str, keys: Iterable[str]) -> str:
    """Return a text of the other side with stars in place of keys."""
    for key in keys:
        text = text.replace(key, _STARS)
    return text


def mask(error: FoundryError, request: object) -> None:
    """Put stars in place of a request's keys and prompts in what an error quotes of the other side."""
    keys = keys_in(request)
    prompts = prompts_in(getattr(request, "body", None)) if isinstance(error, ServiceError) else ()
    said = list(error.args)
    for number, each in enumerate(said):
        if isinstance(each, str):
            said[number] = _hidden(each, keys, prompts)
    error.args = tuple(said)
    for name in _QUOTES:
        quoted = getattr(error, name, None)
        if isinstance(quoted, str):
            setattr(error, name, _hidden(quoted, keys, prompts))
        elif isinstance(quoted, bytes):
            setattr(error, name, masked(quoted, keys))


def _hidden(text: str, keys: Sequence[str], prompts: tuple[str, ...]) -> str:
    shown = masked_text(text, keys)
    return without_prompts(shown, prompts) if prompts else shown


def _words(value: str) -> Iterator[str]:
    """Yield a header's value and its parts: a token behind its scheme, a cookie's value, a password."""
    yield value
    yield from re.split(r"[\s;,]+|(?<=\w)=(?=.)", value)
    scheme, _, coded = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            yield from base64.b64decode(coded, validate=True).decode("latin-1").split(":", 1)
        except ValueError:
            return


def prompts_in(body: object) -> tuple[str, ...]:
    """Return the texts of a request's body that are long enough to be recognised."""
    if not isinstance(body, bytes):
        return ()
    try:
        given = read_raw(body)
    except (*UNDECODABLE, ValueError):
        return ()
    if not isinstance(given, dict):
        return ()
    waiting: list[object] = list(map(given.get, _TEXTS))
    found: list[str] = []
    while waiting and len(found) < _MOST:  # the last ones of a conversation come first
        value = waiting.pop()
        if isinstance(value, str) and len(value) >= _PIECE:
            is_short = len(value) <= 2 * _LOOKED_AT
            found.append(value if is_short else f"{value[:_LOOKED_AT]}\0{value[-_LOOKED_AT:]}")
        elif isinstance(value, dict):
            waiting += map(value.get, value.keys() - _NAMES)
        elif isinstance(value, list):
            waiting += value
    return tuple(found)


def without_prompts(text: str, prompts: tuple[str, ...]) -> str:
    """Return a text with stars in place of each piece of a prompt.

    >>> without_prompts("cannot read 'the quick brown fox jumps' here", ("See the quick brown fox jumps.",))
    "cannot read '***' here"
    """
    for prompt in prompts:
        kept, at = "", 0
        while at + _PIECE <= len(text):
            end = at + _PIECE
            if text[at:end] not in prompt:
                kept += text[at]
                at += 1
                continue
            while end < len(text) and text[at : end + 1] in prompt:
                end += 1
            kept += _STARS
            at = end
        text = kept + text[at:]
    return text
