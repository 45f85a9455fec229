"""The tool loop: the model requests functions, they are called, and it continues with their results.

Every turn is one request, and the number of turns is bounded. What the model got wrong (a name, an argument)
is sent back as the call's result, so that it can correct it; an exception of the caller's function is raised
unchanged. A tool call that ``max_tokens`` cut is never completed by guessing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import msgspec

from foundry_rest.config import MAX_TURNS
from foundry_rest.errors import ConfigError, InvalidReply, ToolLoopExceeded
from foundry_rest.schema import ChatReply, ChatRequest, Message, ToolCall
from foundry_rest.schema.decoding import SchemaMismatch
from foundry_rest.schema.tools import CallMade, Tool, ToolRun, tool_message

Tools = Mapping[str, Tool]
#: Decides about a call before it is made: true, or not, or the reason against it.
Approve = Callable[[ToolCall], bool | str | None]


def tools_of(functions: Iterable[Callable[..., object]]) -> dict[str, Tool]:
    """Return the functions as tools by name.

    Raises:
        ConfigError: There is no function, two have the same name, or one cannot be described.
    """
    if isinstance(functions, (str, bytes, Mapping)) or not isinstance(functions, Iterable):
        raise ConfigError(f"functions must be a list of functions, not {type(functions).__name__}")
    tools = [Tool.of(function) for function in functions]
    named = {tool.name: tool for tool in tools}
    if not tools or len(named) < len(tools):
        raise ConfigError("functions must hold at least one function, and no two of one name")
    return named


def run_loop(
    ask: Callable[[ChatRequest], ChatReply],
    request: ChatRequest,
    tools: Tools,
    max_turns: int = MAX_TURNS,
    place: Callable[[], Mapping[str, str]] = dict,
    approve: Approve | None = None,
) -> ToolRun:
    """Return the conversation once the model answers without a tool call.

    Args:
        ask: Sends one request and returns the whole completion.
        request: The first request, with the tools in it.
        tools: The tools by name.
        max_turns: Most turns of the model, including the final answer.
        place: Returns ``call``, ``url`` and ``model`` for an error.
        approve: Decides about each call before its function is called.

    Raises:
        InvalidReply: ``max_tokens`` cut a tool call.
        ToolLoopExceeded: All turns were used up.
    """
    made: list[CallMade] = []
    for turn in range(1, max_turns + 1):
        reply = ask(request)
        _check_whole(reply, place)
        if not reply.tool_calls:
            return ToolRun(reply, (*request.messages, reply.message), tuple(made))
        if turn < max_turns:
            done = [_make_call(call, tools, approve) for call in reply.tool_calls]
            made += done
            request = _next_request(request, reply, done)
    raise ToolLoopExceeded(
        f"the model still asks for tools after {max_turns} turns",
        turns=max_turns,
        messages=tuple(request.messages),
        **place(),
    )


def _check_whole(reply: ChatReply, place: Callable[[], Mapping[str, str]]) -> None:
    """Raise InvalidReply when ``max_tokens`` cut a tool call."""
    if reply.finish_reason == "length" and reply.tool_calls:
        raise InvalidReply(
            "max_tokens cut the answer within a tool call",
            where="$.choices[0].message.tool_calls",
            text=reply.content,
            advice="Give a larger max_tokens.",
            **place(),
        )


def _make_call(call: ToolCall, tools: Tools, approve: Approve | None) -> CallMade:
    """Call the requested function; return the model's mistake, or the refusal of its call, as an error."""
    tool = tools.get(call.name)
    if tool is None:
        return CallMade(call, error=f"There is no tool {call.name!r}, only: {', '.join(tools)}.")
    try:
        arguments = tool.read(call)
    except SchemaMismatch as mismatch:
        return CallMade(call, error=f"The arguments do not fit: {mismatch.detail} (at {mismatch.where}).")
    verdict = True if approve is None else approve(call)
    if isinstance(verdict, str) or not verdict:
        return CallMade(call, error=f"The user refused this call{f': {verdict}' if verdict else '.'}")
    return CallMade(call, tool.function(**arguments))


def _next_request(request: ChatRequest, reply: ChatReply, done: list[CallMade]) -> ChatRequest:
    """Return the next request, without a forced tool choice, which would request calls for ever."""
    results = [
        tool_message(each.call, f"Error: {each.error}" if each.error else each.result) for each in done
    ]
    messages: list[Message] = [*request.messages, reply.message, *results]
    params = {**request.params, "tool_choice": "auto"} if _is_forced(request) else request.params
    return msgspec.structs.replace(request, messages=messages, params=params)


def _is_forced(request: ChatRequest) -> bool:
    return request.params.get("tool_choice", "auto") not in ("auto", "none")
