"""One conversation: its settings, its messages, and the records that it is kept as.

A record is a message, ``{"role": ..., "content": ...}``; a setting that changed, ``{"model": ...}`` or
``{"system": ...}``; or ``{"dropped": N}``, which takes the last N messages back. So a file of records only
grows, and one whose last line was cut has lost that line alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import NoneType

from foundry_rest.schema import Message

Record = Mapping[str, object]


class Conversation:
    """What was said so far, and to which model.

    Args:
        records: What was kept of it.
        keep: Called with further records, as soon as there is a message among them.

    Attributes:
        model: The model that is asked; ``None`` for the client's default.
        system: The system message; ``None`` for none.
        messages: All others.
    """

    def __init__(
        self, records: Iterable[Record] = (), keep: Callable[[Iterable[Record]], None] = lambda _: None
    ) -> None:
        self.model: str | None = None
        self.system: str | None = None
        self.messages: list[Message] = []
        self._keep, self._unkept = keep, list[Record]()
        for record in records:
            self._apply(record)

    @property
    def questions(self) -> list[str]:
        """Return what the person asked."""
        return [str(message["content"]) for message in self.messages if message["role"] == "user"]

    @property
    def is_answered(self) -> bool:
        """Return whether the last question has an answer; with no question there is nothing to answer."""
        return not self.messages or self.messages[-1]["role"] != "user"

    def change(self, **settings: str | None) -> None:
        """Change ``model`` or ``system``."""
        self._record(settings)

    def add(self, *messages: Message) -> None:
        """Add messages."""
        self._record(*messages)

    def take_back(self) -> str | None:
        """Take the last question and its answer back; return the question, ``None`` if there is none."""
        places = [at for at, message in enumerate(self.messages) if message["role"] == "user"]
        if not places:
            return None
        question = str(self.messages[places[-1]]["content"])
        self._record({"dropped": len(self.messages) - places[-1]})
        return question

    def clear(self) -> None:
        """Take all messages back."""
        if self.messages:
            self._record({"dropped": len(self.messages)})

    def _record(self, *records: Record) -> None:
        for record in records:
            self._apply(record)
        self._unkept += records
        if self.messages or any("dropped" in record for record in records):
            self._keep(self._unkept)
            self._unkept = []

    def _apply(self, record: Record) -> None:
        """Follow one record; of a file that somebody edited, what is no record of ours is passed over."""
        if "role" in record:
            if isinstance(record["role"], str) and "content" in record:
                self.messages.append(record)
            return
        if isinstance(count := record.get("dropped", 0), int) and count > 0:
            del self.messages[-count:]
        for name in ("model", "system"):
            if isinstance(value := record.get(name, 0), (str, NoneType)):
                setattr(self, name, value)
