"""Print the public surface as JSON: `python tools/public_api.py`.

The surface is `foundry_rest.__all__`, and the public methods of every class in it and of every endpoint of a
client, with the names and kinds of their parameters. The keys of a TypedDict that stands as
`**options: Unpack[...]` count as parameters.

`tests/samples/public_api.json` is what this printed with the first edition on PYTHONPATH.
`tests/unit/test_public_api.py` compares: whatever could be written then can be written now.
"""

from __future__ import annotations

import enum
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib import import_module
from typing import Any, is_typeddict

import foundry_rest

PACKAGE = "foundry_rest"
#: The attributes of a client that hold further public methods.
PARTS = ("audio", "breaker", "chat", "embeddings", "health", "models", "responses")
#: What a client alone makes: the arguments of these classes are its own affair.
MADE_BY_A_CLIENT = ("ChatStream", "ResponseStream", "TranscriptionStream")
#: How a parameter may be given, behind it a question mark if it may be left out; `*` and `**` take any.
POSITION, EITHER, KEYWORD = "position", "either", "keyword"
KINDS = {
    inspect.Parameter.POSITIONAL_ONLY: POSITION,
    inspect.Parameter.POSITIONAL_OR_KEYWORD: EITHER,
    inspect.Parameter.KEYWORD_ONLY: KEYWORD,
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}

#: Parameter -> how it may be given, in order.
Parameters = Mapping[str, str]
#: Dotted name -> its parameters; `None` for an attribute.
Members = Mapping[str, "Parameters | None"]


def typed_dicts() -> dict[str, type]:
    """Return every TypedDict of the package's modules, by its name."""
    for name in ("client.arguments", "endpoints.chat_arguments"):  # which type checkers alone import
        import_module(f"{PACKAGE}.{name}")
    modules = [module for name, module in list(sys.modules.items()) if name.startswith(f"{PACKAGE}.")]
    return {name: kind for module in modules for name, kind in vars(module).items() if is_typeddict(kind)}


def parameters(function: Callable[..., Any]) -> dict[str, str]:
    """Return the parameters of a function, those of its TypedDict among them."""
    found = {}
    for parameter in inspect.signature(function).parameters.values():
        unpacked = re.search(r"Unpack\[(\w+)\]", str(parameter.annotation))
        if unpacked:
            found |= dict.fromkeys(typed_dicts()[unpacked[1]].__annotations__, f"{KEYWORD}?")
        else:
            optional = "" if parameter.default is inspect.Parameter.empty else "?"
            found[parameter.name] = KINDS[parameter.kind] + optional
    return found


def members(name: str, kind: type) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Yield each public member of a class, without those of foreign bases."""
    ours = [base for base in kind.__mro__ if base.__module__.startswith(PACKAGE)]
    for each in sorted({each for base in ours for each in vars(base) if not each.startswith("_")}):
        member = inspect.getattr_static(kind, each)
        if not callable(member) and not isinstance(member, (classmethod, staticmethod)):
            yield f"{name}.{each}", None
        else:
            found = parameters(getattr(kind, each))
            found.pop("self", None)
            yield f"{name}.{each}", found


def described(name: str, value: object) -> Iterator[tuple[str, dict[str, str] | None]]:
    """Yield what a public name is: how it is called, and its members."""
    if not isinstance(value, type):
        yield name, parameters(value) if callable(value) else None
        return
    is_called = name not in MADE_BY_A_CLIENT and not issubclass(value, enum.Enum)
    yield name, parameters(value) if is_called else None
    yield from members(name, value)


def surface() -> dict[str, Any]:
    """Return the names that may be imported, and what can be done with them."""
    public = {name: getattr(foundry_rest, name) for name in foundry_rest.__all__}
    with foundry_rest.FoundryAPIClient("http://127.0.0.1:1") as client:
        parts = {part: type(getattr(client, part)) for part in PARTS}
    found = dict(pair for name, value in public.items() for pair in described(name, value))
    found |= dict(pair for name, value in parts.items() for pair in members(name, value))
    return {"names": sorted(public), "members": found}


# ---------------------------------------------------------------------------- what has become narrower


def narrowed(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what could be written then and cannot now."""
    gone = sorted({*then["names"], *then["members"]} - {*now["names"], *now["members"]})
    both = [name for name in then["members"] if name in now["members"]]
    return [f"{name} is gone" for name in gone] + [
        f"{name}: {complaint}"
        for name in both
        for complaint in narrowed_parameters(then["members"][name], now["members"][name])
    ]


def narrowed_parameters(then: Parameters | None, now: Parameters | None) -> Iterator[str]:
    """Yield what a call could hold then and cannot now."""
    if then is None or now is None:
        if then is not now:
            yield "was an attribute and is a function, or the other way round"
        return
    for name, how in then.items():
        if name not in now:
            yield f"{name} is gone"
        elif not fits(how, now[name]):
            yield f"{name} was {how} and is {now[name]}"
    if positions(now)[: len(positions(then))] != positions(then):
        yield f"the positions were {positions(then)} and are {positions(now)}"
    for name in now.keys() - then.keys():
        if not now[name].startswith("*") and not now[name].endswith("?"):
            yield f"{name} is new and cannot be left out"


def fits(then: str, now: str) -> bool:
    """Tell whether a parameter that is given, or left out, as then is understood now."""
    if then.endswith("?") and not now.endswith("?"):
        return False
    then, now = then.rstrip("?"), now.rstrip("?")
    return now in (then, EITHER)


def positions(given: Parameters) -> list[str]:
    """Return the parameters that may be given by position."""
    return [name for name, how in given.items() if how.rstrip("?") in (POSITION, EITHER)]


if __name__ == "__main__":
    print(json.dumps(surface(), indent=1))
