"""Responses of the chat route: whole replies and the chunks of a stream.

One set of types decodes both, because the generations mix them: 0.x and 1.x send ``delta`` and
``message`` side by side in either. Unknown fields are ignored here and kept in ``raw``.
"""

# Annotations are evaluated here: as texts, msgspec would have to compile them one by one.
import builtins
from collections.abc import Mapping
from typing import TypeVar, overload

import msgspec

from foundry_rest.errors import InvalidReply
from foundry_rest.raw_json import UNDECODABLE, decode_raw
from foundry_rest.values import Value

T = TypeVar("T")


class Usage(Value, msgspec.Struct, frozen=True):
    """Token counts, as reported by the service."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class FunctionCall(Value, msgspec.Struct, frozen=True):
    """The name of a called function and its arguments, as the JSON text that the model wrote."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(Value, msgspec.Struct, frozen=True):
    """One tool call that the model requests; Foundry Local sends it in one piece."""

    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    index: int | None = None

    @property
    def name(self) -> str:
        """Return the function's name; ``""`` when the model gave none."""
        return (self.function and self.function.name) or ""

    @property
    def arguments(self) -> str:
        """Return the arguments as JSON text: in a chunk a piece of it, in a whole reply at least ``"{}"``."""
        return (self.function and self.function.arguments) or ""

    def whole(self) -> "ToolCall":
        """Return the call with ``{}`` as arguments where the model wrote none."""
        if self.arguments:
            return self
        return msgspec.structs.replace(self, function=FunctionCall(self.name or None, "{}"))

    @property
    def message(self) -> dict[str, object]:
        """Return the call as an entry of ``tool_calls`` in an assistant message.

        Such an entry needs an id: where the service gave none, it is made from the function's name. It needs
        arguments that are a JSON object: what is none is left out, because 2.2.1 refuses the conversation.
        """
        function = {"name": self.name, "arguments": self.arguments if self._has_object else "{}"}
        return {"id": self.id or f"call_{self.name}", "type": "function", "function": function}

    @property
    def _has_object(self) -> bool:
        try:
            return isinstance(msgspec.json.decode(self.arguments), dict)
        except UNDECODABLE:
            return False

    @overload
    def parse(self) -> dict[str, object]: ...

    @overload
    def parse(self, kind: builtins.type[T]) -> T: ...

    def parse(self, kind: builtins.type[object] = dict) -> object:
        """Return the arguments decoded as ``kind``, any type that msgspec can decode; default ``dict``.

        Raises:
            InvalidReply: They are not JSON or do not match the type; ``where`` is the path, ``text`` the
                arguments.
        """
        from foundry_rest.schema.decoding import SchemaMismatch, read_json

        try:
            return read_json(self.arguments or "{}", kind)
        except SchemaMismatch as mismatch:
            raise InvalidReply(
                f"the arguments for tool {self.name!r} do not fit: {mismatch.what}",
                where=mismatch.where.replace("$", "$.function.arguments", 1),
                text=self.arguments,
                advice="Answer the call with the error's text, so that the model can mend it.",
            ) from None


class Part(Value, msgspec.Struct, frozen=True):
    """The content of one message, or the part of it that one chunk adds."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None
    reasoning_text: str | None = msgspec.field(default=None, name="reasoning")
    refusal: str | None = None

    @property
    def reasoning(self) -> str:
        """Return the reasoning; servers call its member ``reasoning_content`` or ``reasoning``."""
        return self.reasoning_content or self.reasoning_text or ""


#: Values of ``finish_reason`` before the completion has ended; some servers send a text instead of null.
_NO_REASONS = (None, "", "null")
#: Values of ``finish_reason``, in lower case, with which a server gives a completion up, so that its text is
#: only a part: OpenRouter's and Mistral's "error", vLLM's "abort", GLM's "network_error", DeepSeek's
#: "insufficient_system_resource", and their brothers.
FAILED_REASONS = frozenset(
    {
        *("error", "failed", "abort", "aborted", "cancelled", "canceled", "timeout"),
        *("network_error", "server_error", "insufficient_system_resource"),
    }
)


class Choice(Value, msgspec.Struct, frozen=True):
    """One of the alternative completions; Foundry Local always sends one."""

    index: int = 0
    delta: Part | None = None
    message: Part | None = None
    finish_reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Return why the completion ended; ``None`` for the placeholders that some servers send before."""
        return None if self.finish_reason in _NO_REASONS else self.finish_reason

    @property
    def part(self) -> Part:
        """Return the content, from ``delta`` or ``message``."""
        delta, message = self.delta, self.message
        if delta is None or (message is not None and message.content and not delta.content):
            return message or _EMPTY_PART
        return delta


class ChatChunk(Value, msgspec.Struct):
    """One event of a streamed chat completion.

    ``content`` is the text that it adds, ``""`` when it adds none; ``choices`` holds the full typed value.
    """

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None
    #: The event's bytes. No JSON field has this name, so a response cannot set it.
    event: bytes = msgspec.field(default=b"", name=" the event itself ")
    #: It had to be read leniently.
    is_odd: bool = msgspec.field(default=False, name=" odd ")

    @property
    def choice(self) -> Choice:
        """Return the first choice; an empty one for events that carry only usage."""
        return self.choices[0] if self.choices else EMPTY_CHOICE

    @property
    def content(self) -> str:
        """Return the text that this event adds; a refusal is text, too."""
        part = self.choice.part
        return part.content or part.refusal or ""

    @property
    def reasoning(self) -> str:
        """Return the reasoning that this event adds, which is not part of the text."""
        return self.choice.part.reasoning

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Return the tool calls that this event adds."""
        return self.choice.part.tool_calls or []

    @property
    def finish_reason(self) -> str | None:
        """Return why the completion ended; ``None`` on all chunks but the last."""
        return self.choice.reason

    @property
    def raw(self) -> object:
        """Return the event as decoded JSON, unknown fields included."""
        return decode_raw(self.event) if self.event else None


class ChatReply(Value, msgspec.Struct, frozen=True, kw_only=True):
    """One whole chat completion.

    Attributes:
        content: The text.
        finish_reason: ``"stop"``, ``"length"`` (cut by max_tokens), ``"tool_calls"``, or ``None``.
        usage: Token counts; zeros when the service sent none.
        model: Exact id of the model that wrote it.
        tool_calls: Tool calls that the model requests.
        reasoning: The model's reasoning, also what the service left in the text between ``<think>`` tags.
        elapsed: Seconds from the start of the call to its last byte, retries included.
        first_token: Seconds to the first event; ``None`` when the response was not streamed.
        headers: HTTP headers of the response, case-insensitive.
        bodies: Bytes of the response: one JSON body, or each event of the stream it was gathered from.
        refusal: The text with which the model refused, which is also the content; ``""`` for an answer.
        cached: It came from the client's cache, not from the service now.
        stale_for: Seconds since it expired there, when the service's circuit is open; else 0.0.
        url: Address of the service that answered.
    """

    content: str
    finish_reason: str | None = None
    usage: Usage = Usage()
    model: str = ""
    id: str = ""
    created: int | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    reasoning: str = ""
    elapsed: float = 0.0
    first_token: float | None = None
    headers: Mapping[str, str] = {}
    bodies: tuple[bytes, ...] = ()
    refusal: str = ""
    cached: bool = False
    stale_for: float = 0.0
    url: str = ""

    @property
    def raw(self) -> object:
        """Return the decoded response, with unknown fields; a streamed one in the shape of a plain one."""
        from foundry_rest.schema.joined_events import join_chat

        if self.first_token is None:
            return decode_raw(self.bodies[0]) if self.bodies else None
        return join_chat(self.stream_events, self.tool_calls)

    @property
    def stream_events(self) -> list[object]:
        """Return the decoded events that the completion was gathered from; none for a plain response."""
        return [] if self.first_token is None else [decode_raw(body) for body in self.bodies]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """Return the completion as OpenAI's one choice: ``reply.choices[0].message.content`` is the text.

        Of a server that was asked for several (``extra={"n": 2}``), in one whole response, all are there.
        """
        from foundry_rest.schema.openai_shape import choices_of

        return choices_of(self)

    def model_dump(self, *, exclude_none: bool = False) -> dict[str, object]:
        """Return the completion as a dict in OpenAI's shape, as ``openai`` does; ``to_dict()`` has ours."""
        from foundry_rest.schema.openai_shape import completion_of

        return completion_of(self, exclude_none=exclude_none)

    def model_dump_json(self, *, exclude_none: bool = False) -> str:
        """Return ``model_dump()`` as JSON."""
        return msgspec.json.encode(self.model_dump(exclude_none=exclude_none)).decode()

    @property
    def message(self) -> dict[str, object]:
        """Return the completion as the next message of the conversation, without the reasoning."""
        message: dict[str, object] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            message["tool_calls"] = [call.message for call in self.tool_calls]
        return message


_EMPTY_PART = Part()
EMPTY_CHOICE = Choice()
