"""Which model a name means: rules without I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from foundry_rest.errors import ModelNotFound
from foundry_rest.schema import ModelInfo

#: The order in which the service itself picks a variant (docs/service.md, section 5).
DEVICES = ("NPU", "GPU", "CPU")
#: What an id adds to its model's name: ``-generic-cpu:5``.
_VARIANT = re.compile(r"(-[a-z0-9]+-(cpu|gpu|npu))?(:\d+)?$")


def same_model(id_: str, other: str) -> bool:
    """Tell whether two ids name one model: in any case, and one may lack its version."""
    one, two = id_.casefold(), other.casefold()
    return one == two or ((":" in one) != (":" in two) and one.partition(":")[0] == two.partition(":")[0])


def best_match(name: str, models: Iterable[ModelInfo], device: str = "") -> ModelInfo | None:
    """Return the variant that ``name`` means: exact id first, then what is cached, device, kind, version.

    Args:
        name: Alias, id, or id without its version.
        models: To choose from.
        device: Only variants for this one: ``"NPU"``, ``"GPU"``, ``"CPU"``.
    """
    fitting = [info for info in models if info.has_name(name) and _is_for(device, info)]
    return min(fitting, key=lambda info: _rank(name, info), default=None)


def loaded_as(name: str, word: str, before: Sequence[str], after: Sequence[str]) -> str | None:
    """Return the id that the service loaded when it was given ``name``, or ``None`` when that is unclear.

    Args:
        name: What was loaded.
        word: The service's word: ``"loaded"`` now, or ``"already_loaded"``.
        before: Ids in memory before.
        after: Ids in memory after; other threads may have added theirs.
    """
    added = [id_ for id_ in after if id_ not in before]
    possible = added if word == "loaded" and added else after
    if len(possible) == 1 or name in possible:
        return name if name in possible else possible[0]
    # "phi-4" begins "phi-4-mini-generic-cpu:1" too, which is another model: the nearest counts, if one is.
    stems = {id_: _VARIANT.sub("", id_.casefold()) for id_ in possible}
    fitting = sorted((len(stem), stem, id_) for id_, stem in stems.items() if _begins(stem, name.casefold()))
    if not fitting or (len(fitting) > 1 and fitting[0][0] == fitting[1][0]):
        return None
    return fitting[0][2]


def near_names(name: str, models: Iterable[ModelInfo]) -> tuple[str, ...]:
    """Return up to three names that look like ``name``."""
    names = {spelling for info in models for spelling in (info.alias or info.id, info.id)}
    import difflib

    return tuple(difflib.get_close_matches(name, sorted(names), n=3, cutoff=0.5))


def suggest(error: ModelNotFound, models: Iterable[ModelInfo]) -> None:
    """Tell in the error which names come near, or why the service's own name will not do."""
    models = tuple(models)
    if any(info.id == error.model for info in models):
        error.advice = "The service lists this id but takes the alias here, such as 'phi-4-mini': give that."
        return
    error.suggestions = near_names(error.model, models)
    if error.suggestions:
        error.advice = f"Did you mean {' or '.join(error.suggestions)}? {ModelNotFound.advice}"


def _is_for(device: str, info: ModelInfo) -> bool:
    return not device or info.device.upper() == device.upper()


def _begins(stem: str, name: str) -> bool:
    return stem == name or stem.startswith(f"{name}-")


def _rank(name: str, info: ModelInfo) -> tuple[bool, bool, int, bool, int]:
    """Sort as the services do: one made for this very device goes before a newer generic one."""
    device = DEVICES.index(info.device.upper()) if info.device.upper() in DEVICES else len(DEVICES)
    version = int(info.version) if info.version.isdigit() else 0
    return info.id != name, info.cached is False, device, "generic" in info.name.casefold(), -version
