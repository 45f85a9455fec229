"""Tables and notes for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TextIO

import msgspec

from foundry_rest.cli.streams import print_text
from foundry_rest.control_characters import visible
from foundry_rest.errors import FoundryError
from foundry_rest.errors.advice import in_command
from foundry_rest.schema import HealthReport, ModelInfo
from foundry_rest.schema.tables import milliseconds, table

_MIB = 1024 * 1024
#: Facts of errors that are no JSON, or hold what the caller has already.
_NO_JSON = frozenset(("advice", "body", "messages", "places"))


def print_json(value: object, *, indent: int = 2) -> None:
    """Print ``value`` as JSON, indented, or with ``indent=0`` on one line."""
    print(msgspec.json.format(msgspec.json.encode(value), indent=indent).decode())


def facts_of(error: FoundryError, command: str) -> dict[str, object]:
    """Return the facts of an error for JSON, without the service's bytes, in the words of a command."""
    ours = [cls for cls in type(error).__mro__ if issubclass(cls, FoundryError)]
    declared = {name for cls in ours for name in cls.__annotations__} - _NO_JSON
    facts = {name: getattr(error, name) for name in sorted(declared)}
    return {
        "type": type(error).__name__,
        "message": error.message,
        **{name: msgspec.to_builtins(value) for name, value in facts.items()},
        "advice": error.advice_for(command),
        "places": [in_command(place) for place in error.places],
    }


def print_models(models: Sequence[ModelInfo]) -> None:
    """Print one line for each model."""
    rows = [("ALIAS", "ID", "DEVICE", "SIZE", "STATE")]
    rows += [
        (info.alias or "-", info.id, info.device or "-", _size(info.size), _state(info)) for info in models
    ]
    print_text(table(rows))


def print_health(report: HealthReport, stream: TextIO) -> None:
    """Print one ``name: value`` line for each fact."""
    memory = "unknown" if report.memory_usage is None else f"{report.memory_usage / _MIB:.0f} MiB"
    facts = {
        "status": report.status,
        "address": report.url,
        "generation": report.generation,
        "pid": report.pid,
        "memory": memory,
        "latency": f"{milliseconds(report.latency)} ms",
        "loaded models": ", ".join(report.loaded_models) or "none",
    }
    for each in report.services if len(report.services) + len(report.unreachable) > 1 else ():
        facts[each.url] = f"{each.status}, {each.generation}"
    facts |= dict.fromkeys(report.unreachable, "does not answer")
    _print_facts(facts, stream)


def print_model(info: ModelInfo) -> None:
    """Print one ``name: value`` line for each known fact of a model."""
    facts = {
        "id": info.id,
        "alias": info.alias,
        "version": info.version,
        "task": info.task,
        "device": " by ".join(part for part in (info.device, info.execution_provider) if part),
        "size": "" if info.size is None else _size(info.size),
        "context": "" if info.context_length is None else f"{info.context_length:,} tokens",
        "tools": {True: "can be called", False: "cannot be called", None: ""}[info.tool_calling],
        "state": _state(info).strip("-"),
    }
    _print_facts({name: value for name, value in facts.items() if value}, sys.stdout)


def _print_facts(facts: Mapping[str, object], stream: TextIO) -> None:
    for name, value in facts.items():
        print(visible(f"{name + ':':<14} {value}"), file=stream)


def _size(size: int | None) -> str:
    return "-" if size is None else f"{size / _MIB:.0f} MiB"


def _state(info: ModelInfo) -> str:
    if info.loaded:
        return "loaded"
    return {True: "on disk", False: "not downloaded", None: "-"}[info.cached]
