"""Answers of the chat route: whole replies and the chunks of a stream.

One set of types reads both, because the generations mix them: 1.x and 0.x send ``delta`` and
``message`` side by side in either. Unknown fields are ignored here and kept in ``raw``.
"""

from __future__ import annotations

import builtins
from collections.abc import Mapping
from typing import TypeVar, overload

import msgspec

from foundry_rest.errors import InvalidReply

T = TypeVar("T")


class Usage(msgspec.Struct, frozen=True):
    """Count tokens, as the service counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class FunctionCall(msgspec.Struct, frozen=True):
    """Name a function and its arguments (JSON text, as the model wrote it)."""

    name: str | None = None
    arguments: str | None = None


class ToolCall(msgspec.Struct, frozen=True):
    """Hold one call of a tool that the model asks for; services send it whole."""

    id: str | None = None
    type: str | None = None
    function: FunctionCall | None = None
    index: int | None = None

    @property
    def name(self) -> str:
        """Return the function's name, ``""`` when the model named none."""
        return (self.function and self.function.name) or ""

    @property
    def arguments(self) -> str:
        """Return the arguments as JSON text: whole in an answer, ``"{}"`` for none; a piece in a chunk."""
        return (self.function and self.function.arguments) or ""

    def whole(self) -> ToolCall:
        """Return the call with ``{}`` as arguments where the model wrote none."""
        if self.arguments:
            return self
        return msgspec.structs.replace(self, function=FunctionCall(self.name or None, "{}"))

    @property
    def message(self) -> dict[str, object]:
        """Return the call as a message of the assistant repeats it.

        A service that gives no ids gets one made of the name: messages need one.
        """
        function = {"name": self.name, "arguments": self.arguments or "{}"}
        return {"id": self.id or f"call_{self.name}", "type": "function", "function": function}

    @overload
    def parse(self) -> dict[str, object]: ...

    @overload
    def parse(self, kind: builtins.type[T]) -> T: ...

    def parse(self, kind: builtins.type[object] = dict) -> object:
        """Return the arguments as ``kind``: anything msgspec can read, a dict when not given.

        Raises:
            InvalidReply: They are not JSON, or do not fit; ``where`` is the path, ``text`` what came.
        """
        from foundry_rest.schema.decoding import SchemaMismatch, read_json

        try:
            return read_json(self.arguments or "{}", kind)
        except SchemaMismatch as misfit:
            raise InvalidReply(
                f"the arguments for tool {self.name!r} do not fit: {misfit.what}",
                where=misfit.where.replace("$", "$.function.arguments", 1),
                text=self.arguments,
                advice="Answer the call with the error's text, so that the model can mend it.",
            ) from None


class Part(msgspec.Struct, frozen=True):
    """Hold what one message, or one step of it, says."""

    role: str | None = None
    content: str | None = None
    reasoning_content: str | None = None
    tool_calls: list[ToolCall] | None = None


#: What stands in ``finish_reason`` while an answer goes on: null by the rule, a text on some servers.
_NO_REASONS = (None, "", "null")


class Choice(msgspec.Struct, frozen=True):
    """Hold one alternative; Foundry Local always sends one."""

    index: int = 0
    delta: Part | None = None
    message: Part | None = None
    finish_reason: str | None = None

    @property
    def reason(self) -> str | None:
        """Return why the answer ended; ``None`` for the placeholders that some servers send meanwhile."""
        return None if self.finish_reason in _NO_REASONS else self.finish_reason

    @property
    def part(self) -> Part:
        """Return what was said, in whichever of the two places it stands."""
        return self.delta or self.message or _NOTHING


class ChatChunk(msgspec.Struct):
    """Hold one event of a streamed answer.

    ``content`` is the text it adds, ``""`` when it adds none; the full typed value is in ``choices``.
    """

    id: str | None = None
    model: str | None = None
    created: int | None = None
    choices: list[Choice] | None = None
    usage: Usage | None = None
    error: object = None
    #: The bytes it was read from; the odd name keeps an answer from filling it in.
    event: bytes = msgspec.field(default=b"", name=" the event itself ")

    @property
    def choice(self) -> Choice:
        """Return the first alternative, an empty one for events that carry only usage."""
        return self.choices[0] if self.choices else _NO_CHOICE

    @property
    def content(self) -> str:
        """Return the text that this event adds."""
        return self.choice.part.content or ""

    @property
    def reasoning(self) -> str:
        """Return the thinking that this event adds, kept apart from the text."""
        return self.choice.part.reasoning_content or ""

    @property
    def tool_calls(self) -> list[ToolCall]:
        """Return the tool calls that this event adds."""
        return self.choice.part.tool_calls or []

    @property
    def finish_reason(self) -> str | None:
        """Return why the answer ended, on its last chunk."""
        return self.choice.reason

    @property
    def raw(self) -> object:
        """Return the event as decoded JSON, unknown fields included."""
        return msgspec.json.decode(self.event) if self.event else None


class ChatReply(msgspec.Struct, frozen=True, kw_only=True):
    """Hold one whole answer.

    Attributes:
        content: The text.
        finish_reason: ``"stop"``, ``"length"`` (cut by max_tokens), ``"tool_calls"``, or ``None``.
        usage: Token counts; zeros when the service sent none.
        model: Exact model id that answered.
        tool_calls: Calls of tools the model asks for.
        reasoning: The model's thinking, when the service tells it apart.
        elapsed: Seconds from the start of the call to its last byte, retries included.
        first_token: Seconds to the first event; ``None`` when the answer came in one piece.
        headers: The answer's HTTP headers, case-insensitive.
        bodies: The answer's bytes: one JSON body, or each event of the stream beneath.
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

    @property
    def raw(self) -> object:
        """Return the decoded body; for an answer gathered from a stream, the list of its events."""
        decoded = [msgspec.json.decode(body) for body in self.bodies]
        return decoded[0] if self.first_token is None and decoded else decoded

    @property
    def message(self) -> dict[str, object]:
        """Return the answer as the next message of the conversation; the reasoning is not sent back."""
        said: dict[str, object] = {"role": "assistant", "content": self.content}
        if self.tool_calls:
            said["tool_calls"] = [call.message for call in self.tool_calls]
        return said


_NOTHING = Part()
_NO_CHOICE = Choice()
