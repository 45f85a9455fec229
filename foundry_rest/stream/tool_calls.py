"""ToolCallBuilder: whole tool calls from the fragments of a stream.

In OpenAI's format ``index`` identifies the call of a fragment; the first fragment of a call has its id and
name, the others have pieces of the arguments, and fragments of several calls may alternate. Some servers omit
the index or the id, or give every call the same index. So a fragment belongs to the call with its id, else to
the latest one with its index, else to the latest of all. It begins a new call when its id is new, when it has
another name, or when it repeats the name although the arguments of that call are complete.
"""

from __future__ import annotations

from collections.abc import Mapping

from foundry_rest.errors import InvalidReply
from foundry_rest.raw_json import mend_surrogates
from foundry_rest.schema import FunctionCall, ToolCall
from foundry_rest.transport.sse import is_whole_object

#: Values of ``tool_choice`` that demand a call; Mistral's servers say "any".
_FORCED = ("required", "any")
#: Most tool calls of one answer; models that call tools in parallel make a handful.
MOST_CALLS = 1024


class ToolCallBuilder:
    """The tool calls of one completion while it is streamed.

    Attributes:
        pieces: Number of fragments so far.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self._calls: list[_Unfinished] = []

    def add(self, fragment: ToolCall) -> None:
        """Add a fragment to its call, or as a new call.

        Raises:
            InvalidReply: There are more calls than any model makes.
        """
        self.pieces += 1
        call = next((call for call in reversed(self._calls) if call.may_own(fragment)), None)
        if call is None or call.is_followed_by(fragment):
            if len(self._calls) >= MOST_CALLS:
                raise InvalidReply(
                    f"the answer has more than {MOST_CALLS} tool calls", where="$.choices[0].delta.tool_calls"
                )
            call = _Unfinished()
            self._calls.append(call)
        call.add(fragment)

    def build(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their indexes, with ``{}`` for missing arguments."""
        calls = sorted(self._calls, key=lambda call: call.index or 0)
        return tuple(call.build() for call in calls)


class _Unfinished:
    """One call and the pieces of its arguments, which are joined once."""

    def __init__(self) -> None:
        self.id = self.type = self.name = ""
        self.index: int | None = None
        self._pieces: list[str] = []

    def add(self, fragment: ToolCall) -> None:
        """Add a fragment."""
        self.id = self.id or fragment.id or ""
        self.type = self.type or fragment.type or ""
        self.name = self.name or fragment.name
        self.index = fragment.index if self.index is None else self.index
        self._pieces.append(fragment.arguments)

    def may_own(self, fragment: ToolCall) -> bool:
        """Return whether a fragment may belong to the call."""
        if fragment.id and self.id:
            return fragment.id == self.id
        return fragment.index is None or self.index is None or fragment.index == self.index

    def is_followed_by(self, fragment: ToolCall) -> bool:
        """Return whether a fragment that the call may own begins another one."""
        if not fragment.name or (fragment.id and fragment.id == self.id):
            return False
        return self.name not in ("", fragment.name) or self._is_whole()

    def build(self) -> ToolCall:
        """Return the whole call."""
        function = FunctionCall(self.name or None, mend_surrogates("".join(self._pieces)))
        return ToolCall(self.id or None, self.type or None, function, self.index).whole()

    def _is_whole(self) -> bool:
        """Return whether the arguments so far are a JSON object; looked at only where they may end."""
        last = next((piece for piece in reversed(self._pieces) if piece.strip()), "")
        if not last.rstrip().endswith("}"):
            return False
        self._pieces = ["".join(self._pieces)]
        return is_whole_object(mend_surrogates(self._pieces[0]).encode())


def forces_call(choice: object) -> bool:
    """Return whether a value of ``tool_choice`` demands a call."""
    if isinstance(choice, Mapping):
        return "function" in choice or choice.get("type") == "function"
    return choice in _FORCED


def missing_call(text: str, finish_reason: str | None) -> InvalidReply:
    """Return the error for an answer without the tool call that ``tool_choice`` demands."""
    if finish_reason == "length":
        message, advice = "max_tokens cut the answer before its tool call", "Give a larger max_tokens."
    else:
        message = f"tool_choice demands a tool call, but the answer is text ({len(text)} characters)"
        advice = 'Use a model and a service that can call tools, or tool_choice="auto".'
    return InvalidReply(message, where="$.choices[0].message.tool_calls", text=text, advice=advice)
