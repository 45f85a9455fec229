"""What a server was asked, and what it answers."""

from __future__ import annotations

from foundry_rest.testing import chat_completion, chat_event, chat_stream, sse

CHAT = "/v1/chat/completions"


def bodies(server) -> list[dict[str, object]]:
    """Return the chat requests' bodies."""
    return [request.json() for request in server.asked(CHAT)]


def echo(request):
    """Answer with the prompt."""
    return chat_stream([request.json()["messages"][0]["content"]])


def answer(text, finish="stop", *, pieces=None):
    """Return what answers a chat request with a text, whole or in pieces, as it is asked."""

    def reply(request):
        if request.json().get("stream"):
            return chat_stream([text] if pieces is None else pieces, finish)
        return chat_completion(text, finish=finish)

    return reply


def asks(*calls: tuple[str, str], finish: str = "tool_calls", content: str = ""):
    """Return a streamed answer that asks for tools, given as (name, arguments)."""
    events = [
        chat_event(
            {
                "tool_calls": [
                    {
                        "index": index,
                        "id": f"c{index}",
                        "type": "function",
                        "function": {"name": name, "arguments": arguments},
                    }
                ]
            }
        )
        for index, (name, arguments) in enumerate(calls)
    ]
    return sse([chat_event({"content": content}), *events, chat_event({}, finish)])
