"""Check the demo model on a running service: `python check.py http://127.0.0.1:PORT`.

The model must be loaded (see README.md). Asks for every pair at temperature 0, streamed and not, and demands
the exact answer and finish_reason "stop"; then for the tool's call, the answer to its result, and the JSON
that a schema asks for.
"""

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

MODEL = "demo-chat-generic-cpu:1"
HERE = Path(__file__).parent
SECONDS = 30.0
PERSON = "Give me a person as JSON"
PERSON_SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}

Json = dict[str, Any]
#: Text, calls as (name, arguments), finish reason.
Said = tuple[str, list[tuple[str, str]], str]


@dataclass(frozen=True, slots=True)
class Case:
    """Hold a request and what must come back."""

    body: Json
    said: Said


def main() -> int:
    """Check every case both ways and return 1 if any differs."""
    url = sys.argv[1].rstrip("/") + "/v1/chat/completions"
    pairs, tools = _read("pairs.json"), _read("tools.json")
    cases = [*_pair_cases(pairs), *_tool_cases(tools), _schema_case(pairs)]
    wrong = [line for case in cases for line in _differences(url, case)]
    print(*wrong, f"{len(cases)} cases, {len(wrong)} differences", sep="\n")
    return 1 if wrong else 0


def _read(name: str) -> Any:
    """Read a JSON file that lies beside this one."""
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def _pair_cases(pairs: list[dict[str, str]]) -> Iterator[Case]:
    """List the questions with their answers."""
    for pair in pairs:
        yield Case({"messages": [_user(pair["question"])]}, (pair["answer"], [], "stop"))


def _tool_cases(tools: Json) -> Iterator[Case]:
    """List the tool's question, with and without force, and the turn that follows the call."""
    name = tools["tool"]["function"]["name"]
    arguments = json.dumps(tools["arguments"], separators=(",", ":"))
    asked = {"messages": [_user(tools["question"])], "tools": [tools["tool"]]}
    for choice in ("auto", "required", {"type": "function", "function": {"name": name}}):
        yield Case({**asked, "tool_choice": choice}, ("", [(name, arguments)], "tool_calls"))
    call = {"id": "call_1", "type": "function", "function": {"name": name, "arguments": arguments}}
    for result in tools["results"]:
        messages = [
            *asked["messages"],
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_1", "content": result},
        ]
        yield Case({**asked, "messages": messages}, (tools["answer"], [], "stop"))
        yield Case({"messages": messages}, (tools["answer"], [], "stop"))


def _schema_case(pairs: list[dict[str, str]]) -> Case:
    """Ask for JSON under a schema; 2.x takes the schema itself where OpenAI has a wrapper."""
    answer = next(pair["answer"] for pair in pairs if pair["question"] == PERSON)
    shape = {"type": "json_schema", "json_schema": PERSON_SCHEMA}
    return Case({"messages": [_user(PERSON)], "response_format": shape}, (answer, [], "stop"))


def _user(text: str) -> Json:
    """Make a user's message."""
    return {"role": "user", "content": text}


def _differences(url: str, case: Case) -> Iterator[str]:
    """Yield a line for each way of asking that does not give what must come."""
    for ask in (ask_whole, ask_stream):
        got = ask(url, case.body)
        if got != case.said:
            yield f"{ask.__name__} {case.body!r}: {got!r}"


def ask_whole(url: str, body: Json) -> Said:
    """Ask without streaming."""
    with _post(url, body, stream=False) as reply:
        choice = reply.json()["choices"][0]
    return choice["message"]["content"], _calls(choice["message"]), choice["finish_reason"]


def ask_stream(url: str, body: Json) -> Said:
    """Ask with streaming; join the texts."""
    text, calls, reason = "", [], ""
    with _post(url, body, stream=True) as reply:
        for choice in _choices(reply):
            text += choice["delta"].get("content") or ""
            calls += _calls(choice["delta"])
            reason = choice["finish_reason"] or reason
    return text, calls, reason


def _calls(part: Json) -> list[tuple[str, str]]:
    """List the calls in a message or a delta; the service sends each call whole."""
    calls = [call["function"] for call in part.get("tool_calls") or ()]
    return [(call["name"], call["arguments"]) for call in calls]


def _choices(reply: requests.Response) -> Iterator[Json]:
    """Yield the choices of every event of a stream."""
    for line in reply.iter_lines():
        if line.startswith(b"data: ") and line != b"data: [DONE]":
            event = json.loads(line[6:])
            yield from event.get("choices") or [{"delta": {"content": str(event)}, "finish_reason": "error"}]


def _post(url: str, body: Json, *, stream: bool) -> requests.Response:
    """Send one question at temperature 0 and fail on an error status."""
    asked = {"model": MODEL, "temperature": 0, "stream": stream, "max_tokens": 1000, **body}
    reply = requests.post(url, json=asked, stream=stream, timeout=SECONDS)
    reply.raise_for_status()
    return reply


if __name__ == "__main__":
    sys.exit(main())
