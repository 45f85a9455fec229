"""A prepared request of ``requests`` as a call of ours. Pure: nothing is sent."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

import msgspec
import requests

from foundry_rest.checks import is_number
from foundry_rest.errors import ConfigError
from foundry_rest.raw_json import read_raw
from foundry_rest.services.target import Target
from foundry_rest.timeouts import Timeouts
from foundry_rest.transport.call import Call, Options, Replay
from foundry_rest.transport.json_codec import encode_json
from foundry_rest.transport.session.request_builder import FRAMING

#: The scheme of addresses that stand for whatever service is found.
SCHEME = "foundry"
LABEL = "adapter"

#: Routes that run a model and change nothing, so that they may be sent twice.
_RUNS_A_MODEL = re.compile(r"/(?:completions|embeddings)$")
#: Members of the body of a request that runs a model, one of which each has.
_ASKED = frozenset(("messages", "input", "prompt"))
#: Verbs that change nothing (RFC 9110 section 9.2.1).
_SAFE = frozenset(("GET", "HEAD", "OPTIONS"))
#: They follow from the body, the connection, or what this package reads.
_NOT_PASSED_ON = frozenset(
    ("host", "connection", "keep-alive", "accept-encoding", *(name.lower() for name in FRAMING))
)
#: What requests sets by itself, in place of which the client's own stands.
_DEFAULTS = {"user-agent": re.compile(r"python-requests/"), "accept": re.compile(r"\*/\*$")}
#: Names of headers that may carry a key: OpenAI's, Azure's, Anthropic's, Google's, and gateways'.
_CARRIES_A_KEY = re.compile(
    r"auth|cookie|(?<!idempotency-)key|token|secret|passw|credential|session|signature|openai-(?:org|proj)",
    re.IGNORECASE,
)


class ForeignRequest(msgspec.Struct, frozen=True):
    """What a request of ``requests`` asks for.

    Attributes:
        method: HTTP verb.
        path: Path with its query.
        headers: Headers that travel.
        body: Body, or ``None``.
        fields: The members of a JSON body; none of any other.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None
    fields: Mapping[str, object]

    @classmethod
    def of(cls, request: requests.PreparedRequest) -> ForeignRequest:
        """Return what a prepared request asks for.

        Raises:
            ConfigError: The body cannot be read.
        """
        body = _body(request.body)
        return cls(
            method=(request.method or "GET").upper(),
            path=path_of(str(request.url)),
            headers=passed_on(request.headers),
            body=body,
            fields=_fields(body),
        )

    @property
    def model(self) -> str:
        """Return the model that the request runs, as its body names it; ``""`` for none."""
        model = self.fields.get("model")
        runs = self.method == "POST" and not _ASKED.isdisjoint(self.fields)
        return model if runs and isinstance(model, str) else ""

    @property
    def streams(self) -> bool:
        """Return whether the body asks for a stream of events."""
        return self.method == "POST" and self.fields.get("stream") is True

    def call_for(self, target: Target, options: Options) -> Call:
        """Return the call for a target, with its id of the model."""
        info, body = target.names.get(self.model), self.body
        if info is not None and info.id != self.model:
            body = encode_json({**self.fields, "model": info.id})
        may_repeat = self.method in _SAFE or _RUNS_A_MODEL.search(self.path.partition("?")[0])
        return Call(
            self.method,
            self.path.removeprefix("/v1") if target.dialect.omits_version else self.path,
            body,
            Replay.ALWAYS if may_repeat else Replay.IF_UNSENT,
            options,
            LABEL,
            self.model,
            target.header_limit,
        )


def path_of(url: str) -> str:
    """Return the path of an address, with its query."""
    parts = urlsplit(url)
    return (parts.path or "/") + (f"?{parts.query}" if parts.query else "")


def passed_on(headers: Mapping[str, str | bytes]) -> dict[str, str]:
    """Return the headers that travel: none that may carry a key, which is another service's."""
    kept: dict[str, str] = {}
    for name, value in headers.items():
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        default = _DEFAULTS.get(name.lower())
        if name.lower() in _NOT_PASSED_ON or _CARRIES_A_KEY.search(name) or (default and default.match(text)):
            continue
        kept[name] = text
    return kept


def timeouts_for(given: object, own: Timeouts) -> Timeouts:
    """Return the time-outs for the ``timeout`` of a request; the client's own where it leaves one open.

    Args:
        given: Seconds, ``(connect, read)``, urllib3's ``Timeout``, or ``None``; ``read`` is the longest
            silence, as in requests.
        own: The client's.

    Raises:
        ConfigError: It is none of these.
    """
    wrong = ConfigError(f"timeout must be seconds or (connect, read), not {given!r}")
    connect = read = given
    if isinstance(given, tuple):
        if len(given) != 2:
            raise wrong
        connect, read = given
    elif hasattr(given, "connect_timeout"):  # urllib3's; it has an object of its own for what is left open
        both = (getattr(given, name) for name in ("connect_timeout", "read_timeout"))
        connect, read = (value if is_number(value) else None for value in both)
    bounds = {"connect": connect, "first_token": read, "idle": read}
    changes = {name: value for name, value in bounds.items() if value is not None}
    if not all(map(is_number, changes.values())):
        raise wrong
    return msgspec.structs.replace(own, **changes) if changes else own


def _body(body: object) -> bytes | None:
    if body is None or isinstance(body, bytes):
        return body or None
    if isinstance(body, str):
        return body.encode()
    read = getattr(body, "read", None)
    if read is not None:
        return _body(read())
    if not isinstance(body, Iterable):
        raise ConfigError(f"data= must be text, bytes, a file or parts of them, not {type(body).__name__}")
    return b"".join(_body(part) or b"" for part in body)


def _fields(body: bytes | None) -> Mapping[str, object]:
    """Return the members of a JSON object; none of another body."""
    if not body or not body.lstrip().startswith(b"{"):
        return {}
    try:
        fields = read_raw(body)
    except ValueError:
        return {}
    return fields if isinstance(fields, dict) else {}
