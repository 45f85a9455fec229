"""ToolCallBuilder: whole tool calls from the fragments of a stream.

In OpenAI's format ``index`` identifies the call of a fragment; the first fragment of a call has its id and
name, the others have pieces of the arguments, and fragments of several calls may alternate. Some servers omit
the index or the id, or give every call the same index. So a fragment belongs to the call with its id, else to
the latest one with its index, else to the latest of all. It begins a new call when its id is new, when it has
another name, or when it repeats the name although the arguments of that call are complete.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from foundry_rest.errors import InvalidReply
from foundry_rest.schema import FunctionCall, ToolCall
from foundry_rest.transport.sse import is_whole_object

#: Values of ``tool_choice`` that demand a call; Mistral's servers say "any".
_FORCED = ("required", "any")


class ToolCallBuilder:
    """The tool calls of one completion while it is streamed.

    Attributes:
        pieces: Number of fragments so far.
    """

    def __init__(self) -> None:
        self.pieces = 0
        self._calls: list[ToolCall] = []

    def add(self, fragment: ToolCall) -> None:
        """Add a fragment to its call, or as a new call."""
        self.pieces += 1
        position = self._position(fragment)
        if position is None:
            self._calls.append(fragment)
        else:
            self._calls[position] = _joined(self._calls[position], fragment)

    def build(self) -> tuple[ToolCall, ...]:
        """Return the calls in the order of their indexes, with ``{}`` for missing arguments."""
        calls = sorted(self._calls, key=lambda call: call.index or 0)
        return tuple(call.whole() for call in calls)

    def _position(self, fragment: ToolCall) -> int | None:
        """Return the position of a fragment's call; ``None`` for a new one."""
        matching = [position for position, call in enumerate(self._calls) if _may_belong(fragment, call)]
        if not matching:
            return None
        latest = matching[-1]
        return None if _begins_new_call(fragment, self._calls[latest]) else latest


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


def _may_belong(fragment: ToolCall, call: ToolCall) -> bool:
    if fragment.id and call.id:
        return fragment.id == call.id
    return fragment.index is None or call.index is None or fragment.index == call.index


def _begins_new_call(fragment: ToolCall, call: ToolCall) -> bool:
    """Return whether a fragment with a name begins another call than the one that matches it."""
    if not fragment.name or (fragment.id and fragment.id == call.id):
        return False
    return call.name not in ("", fragment.name) or is_whole_object(call.arguments.encode())


def _joined(call: ToolCall, fragment: ToolCall) -> ToolCall:
    function = FunctionCall(call.name or fragment.name or None, call.arguments + fragment.arguments)
    return msgspec.structs.replace(
        call,
        id=call.id or fragment.id,
        type=call.type or fragment.type,
        index=fragment.index if call.index is None else call.index,
        function=function,
    )
