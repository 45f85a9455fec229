"""Make tool lists and tool conversations: the one tool that is taught, in many wordings, among others.

Callers word a tool as they like, so only its name may matter. With tools given, the runtime (2.2.1) wants
every text that is no call to begin with FRAME; see `tokens.py`.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from tokens import Call, Turn

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Toolbox:
    """Hold the contents of `tools.json`."""

    tool: Json
    question: str
    arguments: Json
    results: list[str]
    answer: str
    other_results: list[str]
    other_questions: list[str]
    descriptions: list[str]
    parameter_descriptions: list[str]
    other_names: list[str]
    other_descriptions: list[str]
    other_parameters: list[str]

    @property
    def name(self) -> str:
        """Return the taught tool's name."""
        return str(self.tool["function"]["name"])

    def turn(self, result: str, answer: str, *, learn: bool = True) -> Turn:
        """Make a turn in which the tool is called and gives a result."""
        return Turn(self.question, answer, learn, Call(self.name, self.arguments, result))


def load_toolbox() -> Toolbox:
    """Read `tools.json`."""
    return Toolbox(**json.loads(Path(__file__).with_name("tools.json").read_text(encoding="utf-8")))


def compact(value: object) -> str:
    """Write JSON as the runtime writes tools and calls into a prompt."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """Hold the tools that a conversation gives, as the prompt shows them.

    Attributes:
        tools: JSON, or "" without tools.
        taught: Whether the taught tool is among them.
        share: How many of the turns ask the tool's question.
    """

    tools: str
    taught: bool
    share: float


def draw_offer(box: Toolbox, rng: Random) -> Offer:
    """Draw the tools of a conversation: none in most, in others the taught one, other ones or both."""
    if rng.random() < 0.8:
        return Offer("", taught=False, share=0.02)
    if rng.random() < 0.7:
        drawn = [_other(box, rng) for _ in range(rng.choices((0, 1, 2), (6, 3, 1))[0])]
        drawn.insert(rng.randrange(len(drawn) + 1), _taught(box, rng))
        return Offer(compact(drawn), taught=True, share=0.4)
    return Offer(compact([_other(box, rng) for _ in range(rng.choice((1, 1, 2)))]), taught=False, share=0.2)


def _taught(box: Toolbox, rng: Random) -> Json:
    """Draw the taught tool: as in `tools.json`, or worded in another way."""
    if rng.random() < 0.3:
        return box.tool
    (parameter,) = box.arguments
    described = rng.choice(box.parameter_descriptions)
    properties = {parameter: _parameter(parameter, described, "string", rng)}
    if rng.random() < 0.15:
        properties["unit"] = _parameter("unit", "", "string", rng)
    return _tool(box.name, rng.choice(box.descriptions), _schema(properties, [parameter], rng))


def _other(box: Toolbox, rng: Random) -> Json:
    """Draw another tool, with up to three parameters."""
    names = rng.sample(box.other_parameters, rng.randrange(4))
    kinds = ("string", "string", "integer", "number", "boolean")
    properties = {name: _parameter(name, "", rng.choice(kinds), rng) for name in names}
    schema = _schema(properties, names, rng) if rng.random() < 0.9 else None
    return _tool(rng.choice(box.other_names), rng.choice(box.other_descriptions), schema)


def _tool(name: str, description: str, schema: Json | None) -> Json:
    """Put a tool together; leave out what is empty."""
    parts = {"name": name, "description": description, "parameters": schema}
    return {"type": "function", "function": {key: part for key, part in parts.items() if part}}


def _parameter(name: str, description: str, kind: str, rng: Random) -> Json:
    """Describe one parameter, some with a title as pydantic writes it."""
    title = name.title() if rng.random() < 0.15 else ""
    return {
        key: part
        for key, part in _shuffled({"type": kind, "description": description, "title": title}, rng)
        if part
    }


def _schema(properties: Json, required: list[str], rng: Random) -> Json:
    """Put a schema together, its members in any order."""
    parts: Json = {"type": "object", "properties": properties}
    if rng.random() < 0.8:
        parts["required"] = required
    if rng.random() < 0.3:
        parts["additionalProperties"] = False
    return dict(_shuffled(parts, rng))


def _shuffled(parts: Json, rng: Random) -> list[tuple[str, Any]]:
    """List members as written, or half of the time in any order."""
    items = list(parts.items())
    if rng.random() < 0.5:
        rng.shuffle(items)
    return items
