"""Tools: plain functions as a model sees them, their arguments as the model wrote them, their results."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from typing import Annotated, Any, get_type_hints

import msgspec

from foundry_rest.errors import ConfigError
from foundry_rest.schema.chat import ChatReply, ToolCall
from foundry_rest.schema.decoding import read_json
from foundry_rest.schema.json_values import check_json
from foundry_rest.schema.structure import closed

#: What OpenAI allows in a tool's name.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: One entry of a docstring's ``Args:``, its further lines indented more than its first.
_ARGUMENT = re.compile(r"^( +)(\w+)(?: \(.*?\))?: (.+(?:\n\1 +\S.*)*)", re.MULTILINE)
_REFS = "#/$defs/{name}"
_PLAIN = (bool, int, float, str, type(None))


class Tool(msgspec.Struct, frozen=True):
    """Hold a plain function and what a model is told about it.

    Attributes:
        name: The function's name.
        description: The first paragraph of its docstring.
        parameters: JSON schema of its parameters.
        function: The function itself.
        arguments: Type into which a call's arguments are read.
    """

    name: str
    description: str
    parameters: Mapping[str, object]
    function: Callable[..., object]
    arguments: type[msgspec.Struct]

    @classmethod
    def of(cls, function: Callable[..., object]) -> Tool:
        """Describe a function by its signature, type hints and docstring.

        A parameter without a hint takes any JSON; what stands under ``Args:`` (Google's style) describes
        the parameters, and so does ``Annotated[T, msgspec.Meta(description=...)]``.

        Raises:
            ConfigError: It is no plain function, or a parameter cannot be given by name as JSON.
        """
        name = getattr(function, "__name__", "")
        if not (inspect.isroutine(function) and _NAME.fullmatch(name)):
            raise ConfigError(
                f"a tool must be a plain function with a name, not {name or type(function).__name__}"
            )
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            raise ConfigError(f"tool {name}: an async function cannot be called here")
        doc = inspect.getdoc(function) or ""
        fields = _fields(function, name, doc)
        arguments = msgspec.defstruct(name, fields, kw_only=True, forbid_unknown_fields=True)
        summary = " ".join(doc.partition("\n\n")[0].split())
        return cls(name, summary, _schema(arguments), function, arguments)

    @property
    def spec(self) -> dict[str, object]:
        """Return what ``tools=`` of a chat call takes."""
        said = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {name: value for name, value in said.items() if value}}

    def read(self, call: ToolCall) -> dict[str, Any]:
        """Return a call's arguments by name, checked and converted to the annotated types.

        Raises:
            Misfit: They are not JSON, or do not fit.
        """
        return msgspec.structs.asdict(read_json(call.arguments or "{}", self.arguments))


class CallMade(msgspec.Struct, frozen=True):
    """Hold one call that the model asked for and what came of it.

    Attributes:
        call: The call.
        result: What the function returned.
        error: What the model was told in place of a result; ``""`` when the function was called.
    """

    call: ToolCall
    result: object = None
    error: str = ""


class ToolRun(msgspec.Struct, frozen=True):
    """Hold a conversation in which the model called functions until it had its answer.

    Attributes:
        reply: The last answer.
        messages: The whole conversation, the last answer included.
        calls: Every call in order, with its result.
    """

    reply: ChatReply
    messages: tuple[Mapping[str, object], ...]
    calls: tuple[CallMade, ...] = ()


def tool_message(call: ToolCall, result: object) -> dict[str, object]:
    """Return the message that answers a tool call: text as it is, anything else as JSON.

    Raises:
        ConfigError: The result cannot be said in JSON.
    """
    content = result if isinstance(result, str) else _json(result, call.name)
    check_json(content, f"the result of tool {call.name!r}")
    return {"role": "tool", "tool_call_id": call.message["id"], "content": content}


def _json(result: object, name: str) -> str:
    try:
        return msgspec.json.encode(result, enc_hook=_plain).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        kind = type(result).__name__
        raise ConfigError(f"the result of tool {name!r}, {kind}, is not JSON: return text") from None


def _plain(value: object) -> object:
    """Return what msgspec can write for a pydantic model, which is known by its method."""
    if not hasattr(value, "model_dump"):
        raise TypeError(type(value).__name__)
    return value.model_dump(mode="json")


def _fields(function: Callable[..., object], name: str, doc: str) -> list[tuple[str, object, object]]:
    """Return (name, type, default) of each parameter, as msgspec.defstruct takes them."""
    try:
        parameters = inspect.signature(function).parameters.values()
        hints = get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, ValueError, SyntaxError) as error:
        raise ConfigError(f"tool {name}: its signature cannot be read: {error}") from None
    section = doc.partition("Args:\n")[2].partition("\n\n")[0]
    said = {found[2]: " ".join(found[3].split()) for found in _ARGUMENT.finditer(section)}
    return [_field(one, hints.get(one.name, Any), said.get(one.name, ""), name) for one in parameters]


def _field(parameter: inspect.Parameter, hint: object, said: str, tool: str) -> tuple[str, object, object]:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigError(f"tool {tool}: parameter {parameter} cannot be given by name")
    try:
        msgspec.json.schema(hint)
    except TypeError:
        raise ConfigError(f"tool {tool}: the type of parameter {parameter} cannot be said in JSON") from None
    kind = Annotated[hint, msgspec.Meta(description=said)] if said else hint
    return parameter.name, kind, _default(parameter.default)


def _default(value: object) -> object:
    """Return a field's default: shown to the model when it is plain, else only kept."""
    if value is inspect.Parameter.empty:
        return msgspec.NODEFAULT
    return value if isinstance(value, _PLAIN) else msgspec.field(default_factory=lambda: value)


def _schema(arguments: type[msgspec.Struct]) -> dict[str, object]:
    """Return the schema with the parameters at its top, where models and services look for them."""
    (place,), components = msgspec.json.schema_components((arguments,), ref_template=_REFS)
    own = components.pop(place["$ref"].rpartition("/")[2])
    whole = {key: value for key, value in own.items() if key != "title"}
    return closed({**whole, "$defs": components} if components else whole)
