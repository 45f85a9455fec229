"""The rules that map a name to a model; pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from foundry_rest.errors import ModelNotFound
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.schema import ModelInfo

#: The order in which the service itself prefers devices (docs/reference/service.md, section 5).
DEVICES = ("NPU", "GPU", "CPU")
#: Most names that an error lists.
_MOST_LISTED = 5
#: Suffix that an id adds to its model's name, such as ``-generic-cpu:5``.
_VARIANT = re.compile(r"(-[a-z0-9]+-(cpu|gpu|npu))?(:\d+)?$")


def same_model(id_: str, other: str) -> bool:
    """Return whether two ids name one model, ignoring case; one of them may lack its version."""
    one, two = id_.casefold(), other.casefold()
    return one == two or ((":" in one) != (":" in two) and one.partition(":")[0] == two.partition(":")[0])


def best_match(name: str, models: Iterable[ModelInfo], device: str = "") -> ModelInfo | None:
    """Return the best variant for ``name``: by exact id, then cached, device, kind and version.

    Args:
        name: Alias, id, or id without its version.
        models: Models to choose from.
        device: ``"NPU"``, ``"GPU"`` or ``"CPU"`` for variants for this device only; ``""`` for any.
    """
    matching = [info for info in models if info.has_name(name) and _is_for(device, info)]
    return min(matching, key=lambda info: _rank(name, info), default=None)


def loaded_as(name: str, outcome: str, before: Sequence[str], after: Sequence[str]) -> str | None:
    """Return the id that the service loaded for ``name``; ``None`` when that is unclear.

    Args:
        name: Name in the load request.
        outcome: Outcome that the service reported: ``"loaded"`` or ``"already_loaded"``.
        before: Ids in memory before.
        after: Ids in memory after; other threads may have loaded some of them.
    """
    added = [id_ for id_ in after if id_ not in before]
    possible = added if outcome == "loaded" and added else after
    if len(possible) == 1 or name in possible:
        return name if name in possible else possible[0]
    # "phi-4" also begins "phi-4-mini-generic-cpu:1", another model: the shortest match counts, if unique.
    stems = {id_: _VARIANT.sub("", id_.casefold()) for id_ in possible}
    matching = sorted(
        (len(stem), stem, id_) for id_, stem in stems.items() if _matches(stem, name.casefold())
    )
    if not matching or (len(matching) > 1 and matching[0][0] == matching[1][0]):
        return None
    return matching[0][2]


def version_number(info: ModelInfo) -> int:
    """Return a model's version as a number; 0 where it is none."""
    return int(info.version) if info.version.isdecimal() else 0


def near_names(name: str, models: Iterable[ModelInfo]) -> tuple[str, ...]:
    """Return up to three names that are similar to ``name``, in any case."""
    names = {
        spelling.casefold(): spelling for info in models for spelling in (info.alias or info.id, info.id)
    }
    import difflib

    close = difflib.get_close_matches(name.casefold(), sorted(names), n=3, cutoff=0.5)
    return tuple(names[each] for each in close)


def suggest(error: ModelNotFound, models: Iterable[ModelInfo]) -> None:
    """Put similar names into the error, or what is served, or the name to give if the id exists."""
    models = tuple(models)
    meant = next((info for info in models if info.id == error.model), None)
    if meant is not None:
        error.advice = _takes_alias(meant)
        return
    error.suggestions = near_names(error.model, models)
    if error.suggestions:
        error.advice = Advice(f"Did you mean {' or '.join(error.suggestions)}?", ModelNotFound.advice)
    elif models:
        error.advice = _serves(models)


def _takes_alias(meant: ModelInfo) -> str:
    """Return the advice for an id that is listed and was refused; 2.x loads by alias and lists none."""
    if meant.alias:
        return f"The service lists this id but takes another name here: give {meant.alias!r}."
    likely = _VARIANT.sub("", meant.id).casefold()
    return f"The service lists this id but takes a model's alias here, which may be {likely!r}."


def _serves(models: Iterable[ModelInfo]) -> Advice:
    """Return the advice to take one of the models that there are."""
    names = sorted({info.alias or info.id for info in models})
    more = len(names) - _MOST_LISTED
    first = ", ".join(names[:_MOST_LISTED])
    if more > 0:
        rest = f"It serves {first} and {more} more: list them with"
        return Advice(
            Words(
                f"{rest} client.models.list() or foundry-rest models.",
                f"{rest} foundry-rest models; chat and batch take one by --model (FOUNDRY_MODEL).",
            )
        )
    return Advice(f"It serves {first}.", Words("", "Chat and batch take one by --model (FOUNDRY_MODEL)."))


def _is_for(device: str, info: ModelInfo) -> bool:
    return not device or info.device.upper() == device.upper()


def _matches(stem: str, name: str) -> bool:
    return stem == name or stem.startswith(f"{name}-")


def _rank(name: str, info: ModelInfo) -> tuple[bool, bool, int, bool, int]:
    """Return the sort key of a variant, as the services sort: specific to the device before newer generic."""
    device = DEVICES.index(info.device.upper()) if info.device.upper() in DEVICES else len(DEVICES)
    is_generic = "generic" in info.name.casefold()
    return info.id != name, info.cached is False, device, is_generic, -version_number(info)
