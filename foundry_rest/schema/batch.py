"""Requests of a batch: a prompt, a short mapping or one of OpenAI's batch lines, read as one form.

A line of OpenAI's batch files is ``{"custom_id", "method", "url", "body"}``, where ``body`` is what the route
takes. Azure spells the routes without ``/v1``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import msgspec

from foundry_rest.checks import only_known
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.schema.chat import ChatReply
from foundry_rest.schema.embeddings import EmbeddingReply, build_embedding_request
from foundry_rest.schema.messages import build_conversation
from foundry_rest.schema.request import CHAT_NAMES, build_chat_request
from foundry_rest.schema.response_request import RESPONSE_NAMES, build_response_request
from foundry_rest.schema.responses import Response
from foundry_rest.values import Value

CHAT, RESPONSES, EMBEDDINGS = "/v1/chat/completions", "/v1/responses", "/v1/embeddings"
#: Most characters of a ``custom_id``; upstream's own examples have less than 40.
MAX_ID = 512
#: The answers of a batch.
Answer = ChatReply | EmbeddingReply | Response


class _Route(NamedTuple):
    """What a request to one route consists of.

    Attributes:
        input: Member of the body that the model reads.
        names: Members that are parameters; any other goes through ``extra``.
        build: Builds the request of an input, ``model=`` and ``params=``, and so checks it.
        takes_extra: Whether the route has other members.
    """

    input: str
    names: frozenset[str]
    build: Callable[..., object]
    takes_extra: bool = True


def _build_embedding(given: Any, *, model: str, params: Mapping[str, object]) -> object:  # noqa: ANN401 (checked)
    del params  # how the vectors are written, see ``params``
    return build_embedding_request(given, model=model)


_ROUTES = {
    CHAT: _Route("messages", CHAT_NAMES - {"extra"}, partial(build_chat_request, max_tokens=1)),
    RESPONSES: _Route(
        "input", RESPONSE_NAMES - {"extra"}, partial(build_response_request, max_output_tokens=1)
    ),
    EMBEDDINGS: _Route("input", frozenset(("encoding_format",)), _build_embedding, takes_extra=False),
}
#: The members of a line, and what a short mapping has beside the parameters of chat.
_LINE = ("custom_id", "method", "url", "body")
_SHORT = ("custom_id", "prompt", "messages", "model", "system")
#: Members that carry a key, or lead a request elsewhere; their values are never shown.
_CREDENTIAL = re.compile(
    r"(x[-_])?api[-_]?(key|token|base)|base[-_]?url|authorization|cookie|(extra[-_]?)?headers|credentials?"
    r"|password|secret|bearer|(access|auth|bearer|id|refresh|secret|session)[-_]?(token|key)"
    r"|[a-z]+[-_](secret|access|api|session)[-_]?(access[-_]?)?(key|token)([-_]id)?|organization",
    re.IGNORECASE,
)


class BatchRequest(Value, msgspec.Struct, frozen=True):
    """One request of a batch.

    Attributes:
        custom_id: Name of the request within its batch.
        url: Route: ``"/v1/chat/completions"``, ``"/v1/responses"`` or ``"/v1/embeddings"``.
        body: What the route takes; it always names the model.
    """

    custom_id: str
    url: str
    body: dict[str, object]

    @property
    def model(self) -> str:
        """Return the name of the model."""
        return str(self.body["model"])

    @property
    def input(self) -> object:
        """Return what the model reads: messages, a prompt, or texts."""
        return self.body[_ROUTES[self.url].input]

    @property
    def params(self) -> dict[str, object]:
        """Return the other members of the body as keyword arguments of the method for the route."""
        route = _ROUTES[self.url]
        given = {name: value for name, value in self.body.items() if name not in ("model", route.input)}
        if given.get("stream") is False:
            del given["stream"]  # each answer of a batch is a whole one
        others = {name: given.pop(name) for name in list(given) if name not in route.names}
        if others and not route.takes_extra:
            only_known(others, route.names, "parameter of embeddings")
        if given.get("encoding_format", "float") not in ("float", "base64"):
            raise ConfigError("encoding_format must be 'float' or 'base64'")
        return {**given, "extra": others} if others else given

    def check(self) -> None:
        """Raise ConfigError if the request cannot be sent."""
        _ROUTES[self.url].build(self.input, model=self.model, params=self.params)


class BatchResult(Value, msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of one request of a batch: its answer, or the error in place of one.

    Attributes:
        custom_id: Name of the request within its batch.
        index: Position of the request, from 0.
        value: The answer; ``None`` for a failure.
        error: Why there is none; ``None`` for a success.
        elapsed: Seconds that the call took, retries included.
    """

    custom_id: str
    index: int
    value: Answer | None = None
    error: FoundryError | None = None
    elapsed: float = 0.0

    @property
    def ok(self) -> bool:
        """Return whether there is an answer."""
        return self.error is None

    def result(self) -> Answer:
        """Return the answer, or raise the error in place of one."""
        if self.error is not None:
            raise self.error
        if self.value is None:
            raise ValueError("a batch result needs a value or an error")
        return self.value


def route_of(url: object) -> str | None:
    """Return the route that OpenAI's or Azure's spelling means, or ``None`` for another one."""
    if not isinstance(url, str):
        return None
    path = url if url.startswith("/v1/") else f"/v1{url}"
    return path if path in _ROUTES else None


class Mistake(NamedTuple):
    """One thing that is wrong with a request of a batch.

    Attributes:
        code: OpenAI's, where it has one.
        message: What is wrong.
    """

    code: str
    message: str


def is_line(given: object) -> bool:
    """Return whether this is one of OpenAI's lines, and no prompt or short mapping."""
    return isinstance(given, Mapping) and not given.keys().isdisjoint(("body", "url", "method"))


def mistakes(given: Mapping[str, object]) -> Iterator[Mistake]:
    """Yield everything that is wrong with a line or a short mapping, apart from its parameters."""
    if is_line(given):
        yield from _line_mistakes(given)
    elif isinstance(extra := given.get("extra"), Mapping):
        yield from _body_mistakes(extra)


def _line_mistakes(given: Mapping[str, object]) -> Iterator[Mistake]:
    if not _is_name(given.get("custom_id")):
        yield Mistake("missing_required_parameter", _NAME)
    for member in given:
        if _is_credential(member):
            yield _credential(member)
        elif member not in _LINE:
            # What is no name may be a key that slipped in.
            shown = repr(member) if str(member).isidentifier() else "of such a name"
            text = f"there is no member of a line {shown}; there are: {', '.join(_LINE)}"
            yield Mistake("unknown_parameter", text)
    if route_of(given.get("url")) is None:
        yield Mistake("url_mismatch", f"url must be one of {', '.join(_ROUTES)}")
    if given.get("method", "POST") != "POST":
        yield Mistake("invalid_method", "method must be 'POST'")
    body = given.get("body")
    if isinstance(body, Mapping):
        yield from _body_mistakes(body)
    else:
        yield Mistake("missing_required_parameter", f"body must be a mapping, not {type(body).__name__}")


def _body_mistakes(body: Mapping[str, object]) -> Iterator[Mistake]:
    if body.get("stream"):
        yield Mistake("invalid_stream", "stream: true makes no sense in a batch: each answer is a whole one")
    yield from (_credential(member) for member in body if _is_credential(member))


def _is_credential(member: object) -> bool:
    return isinstance(member, str) and _CREDENTIAL.fullmatch(member) is not None


def _credential(member: str) -> Mistake:
    text = f"{member!r} does not belong into a request: give the key by FOUNDRY_API_KEY"
    return Mistake("credentials_in_body", text)


def _is_name(given: object) -> bool:
    return isinstance(given, str) and 0 < len(given) <= MAX_ID


_NAME = f"custom_id must be text of 1 to {MAX_ID} characters"


def read_request(given: object, custom_id: str, model: str) -> BatchRequest:
    """Return the request that a prompt, a short mapping or one of OpenAI's batch lines means.

    Its parameters are not checked, see ``BatchRequest.check``.

    Args:
        given: A text; ``{"prompt": ..., **parameters of chat}``; ``{"custom_id", "url", "body"}``; or a
            request that is made already.
        custom_id: Name of a request that gives none.
        model: Model of a request that names none.

    Raises:
        ConfigError: It has none of these forms, or ``mistakes``.
    """
    if isinstance(given, BatchRequest):
        given = {"custom_id": given.custom_id, "url": given.url, "body": given.body}
    if isinstance(given, str):
        given = {"prompt": given}
    if not isinstance(given, Mapping):
        raise ConfigError(f"a request must be a prompt or a mapping, not {type(given).__name__}")
    url, body = _read_line(given, custom_id) if is_line(given) else _read_short(given)
    name = given.get("custom_id", custom_id)
    if not _is_name(name):
        raise ConfigError(_NAME)
    if body.get("model") is None:
        body["model"] = model
    if not isinstance(body["model"], str):
        raise ConfigError(f"model must be text, not {type(body['model']).__name__}")
    return BatchRequest(name, url, body)


def _read_line(given: Mapping[str, object], custom_id: str) -> tuple[str, dict[str, Any]]:
    line: dict[str, Any] = {"custom_id": custom_id, "url": CHAT, **given}
    _refuse(mistakes(line))
    url, body = str(route_of(line["url"])), dict(line["body"])
    if _ROUTES[url].input not in body:
        raise ConfigError(f"the body has no {_ROUTES[url].input!r}")
    return url, body


def _read_short(given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    only_known(given, (*_SHORT, *CHAT_NAMES), "member of a request")
    if ("prompt" in given) == ("messages" in given):
        raise ConfigError("a request needs either 'prompt' or 'messages', or OpenAI's 'url' and 'body'")
    _refuse(mistakes(given))
    messages = build_conversation(given.get("prompt", given.get("messages")), given.get("system"))
    params = {name: value for name, value in given.items() if name not in _SHORT}
    extra = params.pop("extra", None) or {}
    if not isinstance(extra, Mapping):
        raise ConfigError(f"extra must be a mapping, not {type(extra).__name__}")
    return CHAT, {"model": given.get("model"), "messages": messages, **params, **extra}


def _refuse(found: Iterable[Mistake]) -> None:
    for mistake in found:
        raise ConfigError(mistake.message)
