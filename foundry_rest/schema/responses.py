"""What the Responses API takes and gives.

Its items are one type each for what is said and what was asked, because the service's are: a message, a
piece of reasoning, a function call differ in which fields are filled. Unknown fields are ignored here and
kept in ``raw``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict

import msgspec

from foundry_rest.errors import InvalidReply
from foundry_rest.schema.chat import Usage

#: One item of the input, as OpenAI spells it.
Item = Mapping[str, object]
#: Events that add to the answer's text, and to the thinking (2.x names it in its own way).
TEXT_DELTAS = frozenset({"response.output_text.delta"})
REASONING_DELTAS = frozenset(
    {"response.reasoning.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)


class ResponseParams(TypedDict, total=False):
    """Name the parameters of a response; any other one is sent as it is given.

    ``store=True`` keeps the response for ``previous_response_id``: 2.x keeps the last 20 and the sessions
    of the last 5, which hold their model in memory until they are deleted; a restart forgets them all.
    1.x goes on from one turn only: a conversation of more is refused there, and goes whole into the input.
    """

    instructions: str
    previous_response_id: str
    store: bool
    max_output_tokens: int
    temperature: float
    top_p: float
    #: Functions are described to the model as ``foundry_rest.schema.tools.Tool`` tells.
    tools: Sequence[Mapping[str, object] | Callable[..., object]]
    tool_choice: str | Mapping[str, object]
    text: Mapping[str, object]
    reasoning: Mapping[str, object]
    metadata: Mapping[str, str]
    parallel_tool_calls: bool
    user: str
    #: Further fields of the request body, by name.
    extra: Mapping[str, object]


class ResponseRequest(msgspec.Struct, frozen=True):
    """Hold one checked request.

    Attributes:
        model: Name as the caller gave it, alias or id.
        input: The prompt, or the items of a conversation.
        params: All other fields of the body.
        id: What the service is asked for: the exact id when it is known, else ``model``.
    """

    model: str
    input: str | list[Item]
    params: dict[str, object]
    id: str

    @property
    def is_stored(self) -> bool:
        """Tell whether the service is to keep the response."""
        return self.params.get("store") is True

    @property
    def previous(self) -> str | None:
        """Return the id of the response that this one goes on from."""
        return self.params.get("previous_response_id")  # type: ignore[return-value]


class ContentPart(msgspec.Struct, frozen=True, omit_defaults=True):
    """Hold one part of an item: a text, a refusal, or a summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class OutputItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Hold one item of an answer: ``type`` says which fields are filled. It may go into the next input.

    Attributes:
        type: ``"message"`` (content), ``"reasoning"`` (summary or content), ``"function_call"`` (call_id,
            name, arguments), or another one.
        arguments: JSON text, as the model wrote it.
    """

    type: str = ""
    id: str | None = None
    status: str | None = None
    role: str | None = None
    content: str | tuple[ContentPart, ...] | None = None
    summary: tuple[ContentPart, ...] | None = None
    call_id: str | None = None
    name: str | None = None
    arguments: str | None = None

    @property
    def text(self) -> str:
        """Return what a message says; ``""`` for other items."""
        return _text_of(self.content) if self.type == "message" else ""

    @property
    def reasoning(self) -> str:
        """Return the thinking; ``""`` for items that are none."""
        return (_text_of(self.content) or _text_of(self.summary)) if self.type == "reasoning" else ""

    @property
    def parsed_arguments(self) -> dict[str, object]:
        """Return a function call's arguments, decoded.

        Raises:
            InvalidReply: What the model wrote is no JSON object.
        """
        try:
            return msgspec.json.decode(self.arguments or "{}", type=dict[str, object])
        except (msgspec.DecodeError, RecursionError):
            raise InvalidReply(
                f"the arguments of the call of {self.name!r} are no JSON object",
                where="$.arguments",
                advice="Lower the temperature, or ask again: small models write broken calls.",
            ) from None


class InputItem(OutputItem, frozen=True, kw_only=True, omit_defaults=True):
    """Hold one item that a stored response was asked; ``output`` is what a function returned."""

    type: str = "message"
    output: object = None


class ResponseFailure(msgspec.Struct, frozen=True):
    """Tell why a response in a list failed."""

    code: str | None = None
    message: str | None = None


class Response(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one response.

    Attributes:
        id: What ``previous_response_id``, ``get`` and ``delete`` take, if it was stored.
        status: ``"completed"`` or ``"incomplete"``; in a list also ``"failed"``, in events ``"in_progress"``.
        output: Messages, reasoning and function calls, in order.
        model: Exact model id that answered.
        usage: Token counts; zeros when the service sent none.
        error: Why it failed; only in a list, for elsewhere a failure is raised.
        incomplete_reason: ``"max_output_tokens"`` when the answer was cut there. 1.x calls a cut answer
            completed, so using up the limit counts, as it does for 2.x itself.
        created_at: Seconds since the epoch.
        elapsed: Seconds from the start of the call to its last event, retries included.
        first_token: Seconds to the first piece of what the model writes; ``None`` when the answer came in
            one piece.
        headers: The answer's HTTP headers, case-insensitive.
        body: The response object's JSON bytes.
    """

    id: str
    status: str
    output: tuple[OutputItem, ...] = ()
    model: str = ""
    usage: Usage = Usage()
    error: ResponseFailure | None = None
    incomplete_reason: str | None = None
    previous_response_id: str | None = None
    created_at: float | None = None
    elapsed: float = 0.0
    first_token: float | None = None
    headers: Mapping[str, str] = {}
    body: bytes = b""

    @property
    def output_text(self) -> str:
        """Return the answer's text, which 1.x sends only in pieces."""
        return "".join(item.text for item in self.output)

    @property
    def reasoning(self) -> str:
        """Return the model's thinking, when the service tells it apart."""
        return "".join(item.reasoning for item in self.output)

    @property
    def function_calls(self) -> tuple[OutputItem, ...]:
        """Return the calls of functions the model asks for."""
        return tuple(item for item in self.output if item.type == "function_call")

    @property
    def raw(self) -> object:
        """Return the decoded response object, unknown fields included."""
        return msgspec.json.decode(self.body) if self.body else None


class ResponseEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one event of a streamed response; events of an unknown type pass through.

    Attributes:
        type: The service's name for it, such as ``"response.output_text.delta"``.
        delta: What a known ``.delta`` event adds: text, thinking, a refusal, or arguments of a call.
        item: The item that an ``output_item`` event is about.
        response: The response so far, in the events about the whole.
        event: The bytes it was read from.
    """

    type: str
    sequence_number: int | None = None
    output_index: int | None = None
    item_id: str | None = None
    delta: str = ""
    item: OutputItem | None = None
    response: Response | None = None
    event: bytes = b""

    @property
    def content(self) -> str:
        """Return the text that this event adds to the answer."""
        return self.delta if self.type in TEXT_DELTAS else ""

    @property
    def reasoning(self) -> str:
        """Return the thinking that this event adds, kept apart from the text."""
        return self.delta if self.type in REASONING_DELTAS else ""

    @property
    def raw(self) -> object:
        """Return the event as decoded JSON, unknown fields included."""
        return msgspec.json.decode(self.event) if self.event else None


class ResponsePage(msgspec.Struct, frozen=True, kw_only=True):
    """Hold some of the stored responses; iterate over it, or over ``data``.

    Attributes:
        data: The responses; 2.x lists the newest first, 1.x the oldest.
        has_more: Whether ``list(after=page.last_id)`` would give more; 1.x says so of every full page.
    """

    data: tuple[Response, ...] = ()
    has_more: bool = False
    first_id: str | None = None
    last_id: str | None = None

    def __iter__(self) -> Iterator[Response]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


def _text_of(content: str | tuple[ContentPart, ...] | None) -> str:
    return content if isinstance(content, str) else "".join(part.text or "" for part in content or ())
