"""Requests and responses of the Responses API.

One type holds every kind of output item, and one every kind of input item, as in the service itself: a
message, a piece of reasoning and a function call differ in the fields that are set. Unknown fields are
ignored here and kept in ``raw``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypedDict

import msgspec

from foundry_rest.errors import InvalidReply
from foundry_rest.raw_json import decode_raw
from foundry_rest.schema.chat import Usage
from foundry_rest.schema.thoughts import split_thoughts
from foundry_rest.values import Value

#: One item of the input, as OpenAI spells it.
Item = Mapping[str, object]
#: Types of the events that add text, be it of a refusal, and of those that add reasoning; the first of these
#: is 2.x's own.
TEXT_DELTAS = frozenset({"response.output_text.delta", "response.refusal.delta"})
REASONING_DELTAS = frozenset(
    {"response.reasoning.delta", "response.reasoning_text.delta", "response.reasoning_summary_text.delta"}
)


class ResponseParams(TypedDict, total=False):
    """The parameters of a request to the Responses API; any other field of the body goes through ``extra``.

    ``store=True`` keeps the response for ``previous_response_id``: 2.x keeps the last 20 and the sessions
    of the last 5, which hold their model in memory until they are deleted; a restart loses them all. 1.x
    continues from one turn only: a longer chain is refused there, and has to be sent whole as the input.
    """

    #: What the model is told before the input, as a system message.
    instructions: str
    #: Id of a stored response that this one continues.
    previous_response_id: str
    #: Whether the service keeps the response.
    store: bool
    #: Most tokens of the answer; that of the ``Config`` when not given.
    max_output_tokens: int
    #: 0 for the likeliest word each time; more for more variety.
    temperature: float
    #: The share of the likeliest words that are chosen from, 0 to 1.
    top_p: float
    #: Tool descriptions, or plain functions, which ``foundry_rest.schema.tools.Tool`` describes.
    tools: Sequence[Mapping[str, object] | Callable[..., object]]
    #: ``"auto"``, ``"none"``, ``"required"``, or the tool to call.
    tool_choice: str | Mapping[str, object]
    #: OpenAI's form of the answer.
    text: Mapping[str, object]
    #: How much a reasoning model thinks, as OpenAI writes it.
    reasoning: Mapping[str, object]
    #: Names and texts that go along.
    metadata: Mapping[str, str]
    #: Whether one turn may call several tools.
    parallel_tool_calls: bool
    #: Who asks, for the service's own records.
    user: str
    #: Further fields of the request body, by name.
    extra: Mapping[str, object]


class ResponseRequest(msgspec.Struct, frozen=True):
    """One checked request to the Responses API.

    Attributes:
        model: Alias or id, as the caller gave it.
        input: The prompt, or the items of a conversation.
        params: All other fields of the body.
        id: Name that is sent to the service: the exact id when it is known, else ``model``.
    """

    model: str
    input: str | list[Item]
    params: dict[str, object]
    id: str

    @property
    def is_stored(self) -> bool:
        """Return whether the service is to store the response."""
        return self.params.get("store") is True

    @property
    def previous(self) -> str | None:
        """Return the id of the response that this one continues; ``None`` for a new conversation."""
        return self.params.get("previous_response_id")  # type: ignore[return-value]


class ContentPart(Value, msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of an item: a text, a refusal, or a summary."""

    type: str = ""
    text: str | None = None
    refusal: str | None = None


class OutputItem(Value, msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One output item, which may also be sent as input; ``type`` decides which fields are set.

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
        """Return the text of a message, be it a refusal; ``""`` for other items."""
        return _text_of(self.content) if self.type == "message" else ""

    @property
    def reasoning(self) -> str:
        """Return the text of a piece of reasoning; ``""`` for other items."""
        return (_text_of(self.content) or _text_of(self.summary)) if self.type == "reasoning" else ""

    @property
    def parsed_arguments(self) -> dict[str, object]:
        """Return a function call's arguments, decoded.

        Raises:
            InvalidReply: The model did not write a JSON object.
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
    """One input item of a stored response; ``output`` is the result of a function."""

    type: str = "message"
    output: object = None


class ResponseFailure(Value, msgspec.Struct, frozen=True):
    """The reason why a listed response failed."""

    code: str | None = None
    message: str | None = None


class Response(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One response.

    Attributes:
        id: Id for ``previous_response_id``, ``get`` and ``delete``, if the response was stored.
        status: ``"completed"`` or ``"incomplete"``; in a list also ``"failed"``, in events ``"in_progress"``.
        output: Messages, reasoning and function calls, in order.
        model: Exact id of the model that wrote it.
        usage: Token counts; zeros when the service sent none.
        error: Why it failed; set only in lists, because elsewhere a failure raises an error.
        incomplete_reason: ``"max_output_tokens"`` when that limit cut the response. 1.x reports a cut
            response as completed, so a response that used up its limit counts as cut, as on 2.x.
        created_at: Seconds since the epoch.
        elapsed: Seconds from the start of the call to its last event, retries included.
        first_token: Seconds to the model's first token; ``None`` when the response was not streamed.
        headers: HTTP headers of the response, case-insensitive.
        body: The response object's JSON bytes.
        cached: It came from the client's cache, not from the service now.
        stale_for: Seconds since it expired there, when the service's circuit is open; else 0.0.
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
    cached: bool = False
    stale_for: float = 0.0

    @property
    def output_text(self) -> str:
        """Return the text of all messages without the thoughts in it; 1.x does not send it joined."""
        return split_thoughts("".join(item.text for item in self.output))[1]

    @property
    def reasoning(self) -> str:
        """Return the model's reasoning, also what the service left in the text between ``<think>`` tags."""
        thoughts, _ = split_thoughts("".join(item.text for item in self.output))
        return "".join(item.reasoning for item in self.output) + thoughts

    @property
    def refusal(self) -> str:
        """Return the text with which the model refused, which is also in the output text, or ``""``."""
        contents = (item.content for item in self.output if isinstance(item.content, tuple))
        return "".join(part.refusal or "" for content in contents for part in content)

    @property
    def function_calls(self) -> tuple[OutputItem, ...]:
        """Return the function calls that the model requests."""
        return tuple(item for item in self.output if item.type == "function_call")

    @property
    def raw(self) -> object:
        """Return the decoded response object, unknown fields included."""
        return decode_raw(self.body) if self.body else None


class ResponseEvent(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One event of a streamed response; events of unknown types are passed on.

    Attributes:
        type: The service's name for it, such as ``"response.output_text.delta"``.
        delta: Text that a known ``.delta`` event adds: content, reasoning, a refusal, or arguments.
        thoughts: Reasoning that the service left in the text, and that was taken out of ``delta``.
        item: The item of an ``output_item`` event.
        response: The response so far, in events about the whole response.
        event: The event's bytes.
    """

    type: str
    sequence_number: int | None = None
    output_index: int | None = None
    item_id: str | None = None
    delta: str = ""
    item: OutputItem | None = None
    response: Response | None = None
    event: bytes = b""
    thoughts: str = ""

    @property
    def content(self) -> str:
        """Return the text that this event adds to the response."""
        return self.delta if self.type in TEXT_DELTAS else ""

    @property
    def reasoning(self) -> str:
        """Return the reasoning that this event adds, which is not part of the text."""
        return self.delta if self.type in REASONING_DELTAS else self.thoughts

    @property
    def raw(self) -> object:
        """Return the event as decoded JSON, unknown fields included."""
        return decode_raw(self.event) if self.event else None


class ResponsePage(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One page of stored responses; it can be iterated like ``data``.

    Attributes:
        data: The responses; 2.x lists the newest first, 1.x the oldest.
        has_more: Whether ``list(after=page.last_id)`` returns more; 1.x reports that for every full page.
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
    if isinstance(content, str):
        return content
    return "".join(part.text or part.refusal or "" for part in content or ())
