"""Tools: the description of a plain function for a model, and the calls that the model makes of it."""

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
from foundry_rest.values import Value

#: A tool's name, as OpenAI restricts it.
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
#: One entry of a docstring's ``Args:``; its further lines are indented deeper than its first.
_ARGUMENT = re.compile(r"^( +)(\w+)(?: \(.*?\))?: (.+(?:\n\1 +\S.*)*)", re.MULTILINE)
_REFS = "#/$defs/{name}"
_PLAIN = (bool, int, float, str, type(None))


class Tool(msgspec.Struct, frozen=True):
    """A plain function and its description for a model.

    Attributes:
        name: The function's name.
        description: The first paragraph of its docstring.
        parameters: JSON schema of its parameters.
        function: The function itself.
        arguments: Type as which a call's arguments are decoded.
    """

    name: str
    description: str
    parameters: Mapping[str, object]
    function: Callable[..., object]
    arguments: type[msgspec.Struct]

    @classmethod
    def of(cls, function: Callable[..., object]) -> Tool:
        """Describe a function by its signature, type hints and docstring.

        A parameter without a hint takes any JSON. Descriptions of parameters come from the docstring's
        ``Args:`` section (Google's style) or from ``Annotated[T, msgspec.Meta(description=...)]``.

        Raises:
            ConfigError: It is not a plain function, or a parameter cannot be passed by name as JSON.
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
        """Return the entry for ``tools=`` of a chat request."""
        function = {"name": self.name, "description": self.description, "parameters": self.parameters}
        return {"type": "function", "function": {name: value for name, value in function.items() if value}}

    def read(self, call: ToolCall) -> dict[str, Any]:
        """Return a call's arguments by name, decoded as the annotated types.

        Raises:
            SchemaMismatch: They are not JSON, or do not match the types.
        """
        return msgspec.structs.asdict(read_json(call.arguments or "{}", self.arguments))


class CallMade(Value, msgspec.Struct, frozen=True):
    """One tool call and its outcome.

    Attributes:
        call: The call.
        result: What the function returned.
        error: Error text that the model got in place of a result, its own mistake or that the call was not
            approved; ``""`` when the function was called.
    """

    call: ToolCall
    result: object = None
    error: str = ""


class ToolRun(Value, msgspec.Struct, frozen=True):
    """A finished conversation in which the model called functions.

    Attributes:
        reply: The last reply.
        messages: The whole conversation, including the last reply.
        calls: Every tool call in order, with its result.
    """

    reply: ChatReply
    messages: tuple[Mapping[str, object], ...]
    calls: tuple[CallMade, ...] = ()


def tool_message(call: ToolCall, result: object) -> dict[str, object]:
    """Return the message with the result of a tool call: text unchanged, anything else as JSON.

    Raises:
        ConfigError: The result cannot be encoded as JSON.
    """
    content = result if isinstance(result, str) else _encode_result(result, call.name)
    check_json(content, f"the result of tool {call.name!r}")
    return {"role": "tool", "tool_call_id": call.message["id"], "content": content}


def _encode_result(result: object, name: str) -> str:
    try:
        return msgspec.json.encode(result, enc_hook=_encode_pydantic).decode()
    except (TypeError, ValueError, OverflowError, RecursionError):
        kind = type(result).__name__
        raise ConfigError(f"the result of tool {name!r}, {kind}, is not JSON: return text") from None


def _encode_pydantic(value: object) -> object:
    """Return a pydantic model as a value that msgspec can encode; it is recognised by ``model_dump``."""
    if not hasattr(value, "model_dump"):
        raise TypeError(type(value).__name__)
    return value.model_dump(mode="json")


def _fields(function: Callable[..., object], name: str, doc: str) -> list[tuple[str, object, object]]:
    """Return (name, type, default) of each parameter, for ``msgspec.defstruct``."""
    try:
        parameters = inspect.signature(function).parameters.values()
        hints = get_type_hints(function, include_extras=True)
    except (NameError, AttributeError, TypeError, ValueError, SyntaxError) as error:
        raise ConfigError(f"tool {name}: its signature cannot be read: {error}") from None
    section = doc.partition("Args:\n")[2].partition("\n\n")[0]
    texts = {entry[2]: " ".join(entry[3].split()) for entry in _ARGUMENT.finditer(section)}
    return [_field(each, hints.get(each.name, Any), texts.get(each.name, ""), name) for each in parameters]


def _field(parameter: inspect.Parameter, hint: object, text: str, tool: str) -> tuple[str, object, object]:
    if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
        raise ConfigError(f"tool {tool}: parameter {parameter} cannot be given by name")
    try:
        msgspec.json.schema(hint)
    except TypeError:
        raise ConfigError(f"tool {tool}: the type of parameter {parameter} cannot be said in JSON") from None
    kind = Annotated[hint, msgspec.Meta(description=text)] if text else hint
    return parameter.name, kind, _default(parameter.default)


def _default(value: object) -> object:
    """Return a field's default; only a plain value appears in the schema that the model sees."""
    if value is inspect.Parameter.empty:
        return msgspec.NODEFAULT
    return value if isinstance(value, _PLAIN) else msgspec.field(default_factory=lambda: value)


def _schema(arguments: type[msgspec.Struct]) -> dict[str, object]:
    """Return the schema with the parameters at its top level, where models and services expect them."""
    (reference,), components = msgspec.json.schema_components((arguments,), ref_template=_REFS)
    own = components.pop(reference["$ref"].rpartition("/")[2])
    schema = {key: value for key, value in own.items() if key != "title"}
    return closed({**schema, "$defs": components} if components else schema)
