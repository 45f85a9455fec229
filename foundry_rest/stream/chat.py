"""ChatStream: one chat completion in chunks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors.parsing import failed_choice
from foundry_rest.errors.process import late_import
from foundry_rest.raw_json import HalfJoiner
from foundry_rest.schema import ChatChunk, ChatReply, Choice, Part, ToolCall
from foundry_rest.schema.chat import EMPTY_CHOICE, FAILED_REASONS
from foundry_rest.schema.thoughts import LONE_CLOSING, MAY_BEGIN, ThoughtSplitter, split_unopened
from foundry_rest.stream.answer import AnswerStream

if TYPE_CHECKING:
    from foundry_rest.stream.tool_calls import ToolCallBuilder

#: Texts of a chunk, each of which may end in half a character.
_TEXTS = ("content", "reasoning_content", "reasoning_text", "refusal")


class ChatStream(AnswerStream[ChatChunk]):
    """The chunks of one chat completion, as they arrive.

    ``close()``, the end of a ``with`` block, an error, or dropping the stream (as ``break`` does in ``for
    chunk in client.chat.stream(...)``) releases the connection and makes the service stop generating. A
    stream that was closed early never looks complete: reading on raises again. ``text``, ``usage`` and
    ``finish_reason`` hold what has arrived so far; ``cached`` tells whether a cache gave it, ``stale_for``
    how many seconds it had expired by then. One thread reads; any thread may close.

    Raises:
        StreamInterrupted: The stream broke or ended early; the error holds the text so far.
        DeadlineExceeded: The call's deadline passed; the error holds the text so far.
        Cancelled: The stream was closed, here or in another thread; the error holds the text so far.
    """

    def _initialise(self) -> None:
        self.finish_reason: str | None = None
        self._reasonings: list[str] = []
        self._tool_calls: ToolCallBuilder | None = None
        self._head = ChatChunk()
        self._index: int | None = None
        self._reason_at = 0
        self._may_think = True
        self._thoughts: ThoughtSplitter | None = None
        self._refusals: list[str] = []
        self._halves: dict[str, HalfJoiner] = {}

    @property
    def text(self) -> str:
        """Return the text so far, without the thoughts."""
        return "".join(self._texts) + ("" if self._thoughts is None else self._thoughts.held)

    def gather(self) -> ChatReply:
        """Read the rest of the stream and return the whole completion, including what was read before.

        ``bodies`` of the reply holds only the events that this method read.

        Raises:
            StreamInterrupted: The stream broke or ended early; the error holds the text so far.
            Cancelled: The stream was closed before its end.
        """
        self._kept_events = self._kept_events or []
        for _ in self:
            pass
        if self._thoughts is not None:  # without a finish reason
            thoughts, content = self._thoughts.flush()
            self._reasonings.append(thoughts)
            self._texts.append(content)
        thoughts, content = "", self.text
        if LONE_CLOSING in content and not any(self._reasonings):
            thoughts, content = split_unopened(content)
        return ChatReply(
            content=content,
            finish_reason=self.finish_reason,
            usage=self.usage,
            model=self._head.model or "",
            id=self._head.id or "",
            created=self._head.created,
            tool_calls=() if self._tool_calls is None else self._tool_calls.build(),
            reasoning="".join(self._reasonings) + thoughts,
            elapsed=clock.monotonic() - self._started,
            first_token=self.first_token,
            refusal="".join(self._refusals),
            headers=self.headers,
            bodies=tuple(self._kept_events),
            cached=self.cached,
            stale_for=self.stale_for,
            url=self.url,
        )

    def texts(self) -> Iterator[str]:
        """Return the pieces of the text alone, as Streamlit's ``st.write_stream`` and Gradio take them.

        Closing or dropping the iterator closes the stream; its errors are raised by the iterator.
        """
        from foundry_rest.stream.interfaces import texts

        return texts(self)

    def sse(self) -> Iterator[bytes]:
        """Return the stream as server-sent events, which Flask, FastAPI and Django take as a body.

        The data of each event is JSON: ``{"content": "..."}``, with ``"reasoning"`` where there is some. The
        last one is ``end`` with the finish reason and the usage, or ``failed`` with ``type`` and ``message``
        of the error, which is then not raised; without either the connection broke. Closing the iterator, as
        servers do when the browser leaves, closes the stream.
        """
        from foundry_rest.stream.interfaces import server_sent_events

        return server_sent_events(self)

    def _add(self, item: ChatChunk) -> bool:
        if not self._count:
            self._head = item
        self.usage = item.usage or self.usage
        choices = item.choices
        if choices and (len(choices) > 1 or choices[0].index != self._index):
            self._keep_first(item, choices)
            choices = item.choices
        choice = choices[0] if choices else EMPTY_CHOICE
        part = choice.delta
        if part is None or choice.message is not None or item.is_odd or self._halves:
            part = self._unusual_part(item, choice)
        if self._may_think and (part.content or choice.finish_reason):
            if self._thoughts is not None or (part.content and part.content[0] in MAY_BEGIN):
                part = self._split_thoughts(item)
            else:
                self._may_think = not part.content
        if part.content:
            self._texts.append(part.content)
        elif part.refusal:
            self._add_refusal(part.refusal)
        if part.reasoning_content or part.reasoning_text:
            self._reasonings.append(part.reasoning)
        if part.tool_calls:
            self._add_calls(part.tool_calls)
        return choice.finish_reason is not None and self._keep_reason(choice)

    def _keep_first(self, item: ChatChunk, choices: list[Choice]) -> None:
        """Leave the other alternatives out of a chunk; they stay in its ``raw``."""
        if self._index is None:
            self._index = choices[0].index
        if len(choices) > 1 or choices[0].index != self._index:
            item.choices = [choice for choice in choices if choice.index == self._index]

    def _unusual_part(self, item: ChatChunk, choice: Choice) -> Part:
        """Return what a chunk adds that is odd, or has a message."""
        part = choice.part
        if item.is_odd or self._halves or (part is choice.message and choice.delta is not None):
            return self._mend(item)
        return part

    def _mend(self, item: ChatChunk) -> Part:
        """Put the text of an odd chunk right, and return the changed part.

        The halves of a surrogate pair may come in two chunks, and a whole message at the end may repeat what
        the chunks before it said.
        """
        choice = item.choice
        part, ends = choice.part, choice.reason is not None
        texts = {name: self._join(name, getattr(part, name) or "", ends=ends) for name in _TEXTS}
        if part is choice.message and choice.delta is not None:
            texts["content"] = texts["content"].removeprefix(self.text)
        part = replace(part, **texts)
        item.choices = [replace(choice, delta=part)]
        return part

    def _join(self, name: str, text: str, *, ends: bool) -> str:
        """Return a text of a chunk with whole characters; a half at its end waits for the next chunk."""
        halves = self._halves.setdefault(name, HalfJoiner())
        return halves.join(text) + (halves.flush() if ends else "")

    def _add_refusal(self, refusal: str) -> None:
        self._texts.append(refusal)
        self._refusals.append(refusal)

    def _split_thoughts(self, item: ChatChunk) -> Part:
        """Move the thoughts in the text of a chunk to its reasoning, and return the changed part."""
        if self._thoughts is None:
            self._thoughts = ThoughtSplitter()
        choice = item.choice
        thoughts, content = self._thoughts.feed(choice.part.content or "")
        if choice.reason is not None:
            rest = self._thoughts.flush()
            thoughts, content = thoughts + rest[0], content + rest[1]
        self._may_think = not self._thoughts.is_done
        part = replace(choice.part, content=content, reasoning_content=choice.part.reasoning + thoughts)
        item.choices = [replace(choice, delta=part)]
        return part

    def _add_calls(self, fragments: list[ToolCall]) -> None:
        if self._tool_calls is None:
            with late_import(sent=True):
                from foundry_rest.stream.tool_calls import ToolCallBuilder

            self._tool_calls = ToolCallBuilder()
        for fragment in fragments:
            self._tool_calls.add(fragment)

    def _keep_reason(self, choice: Choice) -> bool:
        """Keep a finish reason, also a later one after more content; return whether one came.

        Raises:
            ServiceError: It says that the service gave the completion up.
        """
        if choice.finish_reason is not None and choice.finish_reason.lower() in FAILED_REASONS:
            raise failed_choice(self._last, choice.finish_reason)
        reason = choice.reason
        if reason is not None and (self.finish_reason is None or self._size > self._reason_at):
            self.finish_reason, self._reason_at = reason, self._size
        return reason is not None

    @property
    def _size(self) -> int:
        pieces = 0 if self._tool_calls is None else self._tool_calls.pieces
        return len(self._texts) + len(self._reasonings) + pieces

    @property
    def _has_content(self) -> bool:
        return self._size > 0


class ForcedCallStream(ChatStream):
    """The chunks of a completion that has to call a tool; without a call its end is an error.

    Raises:
        InvalidReply: The stream is complete and has no tool call.
    """

    def __next__(self) -> ChatChunk:
        try:
            return super().__next__()
        except StopIteration:
            if self._tool_calls is not None:
                raise
        with late_import(sent=True):
            from foundry_rest.stream.tool_calls import missing_call

        error = missing_call(self.text, self.finish_reason)
        error.call, error.model, error.url = self._call.label, self._call.model, self._opened.url
        raise error
