"""Whether an answer is whole and worth keeping; pure.

What an answer lacks shows only here and there: a reason for its end that is none, a choice that was never
ended, a refusal. Whoever is in doubt keeps nothing: the price is one more call.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import msgspec

from foundry_rest.cache.key import Question
from foundry_rest.errors import FoundryError
from foundry_rest.raw_json import UNDECODABLE
from foundry_rest.schema.embeddings import EmbeddingReply
from foundry_rest.schema.responses import Response, ResponseEvent
from foundry_rest.transport.call import Reply

#: Reasons with which an answer ends by itself; any other, such as "length" or "content_filter", cuts it.
_ENDS = frozenset(("stop", "tool_calls", "function_call"))
#: What some servers send before the end in place of a reason.
_NO_REASONS = (None, "", "null")
#: The data of the event that ends a stream.
_DONE = b"[DONE]"


class _Part(msgspec.Struct):
    content: str | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None


class _Choice(msgspec.Struct):
    index: int = 0
    delta: _Part | None = None
    message: _Part | None = None
    finish_reason: str | None = None

    @property
    def part(self) -> _Part:
        """Return the content: 0.x and 1.x send it as ``delta`` and as ``message`` side by side."""
        delta, message = self.delta, self.message
        if delta is None or (message is not None and message.content and not delta.content):
            return message or _Part()
        return delta


class _Chat(msgspec.Struct):
    choices: list[_Choice] | None = None
    error: object = None
    model: str | None = None


_CHAT = msgspec.json.Decoder(_Chat)


class _Alternative:
    """One of the alternatives of a completion: its text, its calls, and why it ended."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.calls = 0
        self.reason: str | None = None
        self.refuses = self.is_cut = False

    def add(self, choice: _Choice) -> None:
        """Add a choice; content after a reason shows that the reason was premature."""
        part = choice.part
        self.refuses = self.refuses or bool(part.refusal)
        if part.content or part.tool_calls:
            self.reason = None
            self.texts.append(part.content or "")
            self.calls += len(part.tool_calls or ())
        if choice.finish_reason not in _NO_REASONS:
            self.reason = choice.finish_reason
            self.is_cut = self.is_cut or self.reason not in _ENDS

    def is_whole(self, question: Question) -> bool:
        """Return whether it has an end, content, and what the question demands."""
        text = "".join(self.texts)
        if self.reason is None or self.is_cut or self.refuses or not (text.strip() or self.calls):
            return False
        if (question.demands_call or self.reason == "tool_calls") and not self.calls:
            return False
        if question.demands_json and not self.calls and not _is_json(text):
            return False
        accepts = question.call.options.accepts
        return accepts is None or accepts(text)


def model_of_events(
    events: Sequence[bytes], question: Question, parse: Callable[[bytes], object]
) -> str | None:
    """Return the model that wrote a streamed answer; ``None`` for an answer that is not to be kept."""
    data = [event for event in events if event != _DONE]
    if not question.call.path.endswith("/responses"):
        return _model_of_chats(data, question)
    parsed = [each for each in map(parse, data) if isinstance(each, ResponseEvent)]
    last = next((each.response for each in reversed(parsed) if each.type == "response.completed"), None)
    has_items = any(each.type == "response.output_item.done" for each in parsed)
    return _model_of_response(last, has_items=has_items)


def is_accepted(events: Iterable[bytes], body: bytes, question: Question) -> bool:
    """Return whether this call accepts a kept answer: the one that kept it may have been less choosy."""
    if question.call.options.accepts is None:
        return True
    bodies = [event for event in events if event != _DONE] or [body]
    return _model_of_chats(bodies, question) is not None


def model_of_reply(reply: Reply, question: Question, check: Callable[[Reply], object]) -> str | None:
    """Return the model that wrote a whole answer; ``None`` for an answer that is not to be kept.

    Args:
        reply: The answer.
        question: The question.
        check: Parses the answer, and raises for one that it cannot.
    """
    try:
        parsed = check(reply)
    except FoundryError:
        return None
    if isinstance(parsed, EmbeddingReply):
        return parsed.model
    if isinstance(parsed, Response):
        return _model_of_response(parsed)
    return _model_of_chats((reply.body,), question)


def _model_of_chats(bodies: Iterable[bytes], question: Question) -> str | None:
    found: dict[int, _Alternative] = {}
    model = ""
    for body in bodies:
        try:
            chat = _CHAT.decode(body)
        except UNDECODABLE:
            return None
        if chat.error:
            return None
        model = model or chat.model or ""
        for choice in chat.choices or ():
            found.setdefault(choice.index, _Alternative()).add(choice)
    return model if found and all(each.is_whole(question) for each in found.values()) else None


def _model_of_response(response: Response | None, *, has_items: bool = False) -> str | None:
    if response is None or response.status != "completed" or response.incomplete_reason is not None:
        return None
    return response.model if (response.output or has_items) and not response.refusal else None


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except UNDECODABLE:
        return False
    return True
