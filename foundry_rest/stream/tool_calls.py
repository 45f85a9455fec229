"""ToolCallBuilder: whole tool calls from the fragments of a stream.

By OpenAI's rule a fragment names its call by ``index``; the first one of a call brings id and name, the
others pieces of the arguments, and fragments of several calls may alternate. Servers leave out the index or
the id, or give every call the same index. So a fragment belongs to the call of its id, else to the latest one
of its index, else to the latest of all; and it begins a new call when its id is new, or when it brings
another name, or the name again although the arguments of the call that it would belong to are whole.
"""

from __future__ import annotations

import msgspec

from foundry_rest.schema import FunctionCall, ToolCall
from foundry_rest.transport.sse import is_whole_object


class ToolCallBuilder:
    """The tool calls of one answer while it comes.

    Attributes:
        pieces: Fragments so far.
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
        """Return the calls in the order of their indexes; one without arguments has ``{}``."""
        calls = sorted(self._calls, key=lambda call: call.index or 0)
        return tuple(call.whole() for call in calls)

    def _position(self, fragment: ToolCall) -> int | None:
        """Return where the call of a fragment stands; ``None`` for a new one."""
        fitting = [at for at, call in enumerate(self._calls) if _may_belong(fragment, call)]
        if not fitting:
            return None
        latest = fitting[-1]
        return None if _begins_anew(fragment, self._calls[latest]) else latest


def _may_belong(fragment: ToolCall, call: ToolCall) -> bool:
    if fragment.id and call.id:
        return fragment.id == call.id
    return fragment.index is None or call.index is None or fragment.index == call.index


def _begins_anew(fragment: ToolCall, call: ToolCall) -> bool:
    """Tell whether a fragment that brings a name is another call than the one that it would belong to."""
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
