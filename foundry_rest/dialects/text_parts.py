"""Content in parts, for services whose chat templates support none: they would print the parts as JSON."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from foundry_rest.schema.messages import Message


def with_joined_texts(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with texts in parts joined; one with a part of another kind stays as it is."""
    return [_with_joined_text(message) for message in messages]


def _with_joined_text(message: Message) -> Message:
    parts = message.get("content")
    texts = [_text(part) for part in parts] if isinstance(parts, (list, tuple)) else [None]
    found = [text for text in texts if text is not None]
    return {**message, "content": "\n".join(found)} if len(found) == len(texts) else message


def _text(part: object) -> str | None:
    """Return the text of a text part; ``None`` for any other."""
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return text if isinstance(text, str) else None
