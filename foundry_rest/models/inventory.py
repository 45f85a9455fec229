"""What models there are: the service's lists and, on this machine, its files, put together.

The generations tell different halves. 0.x lists everything with details. 1.x lists what is cached, without
versions; its catalog file has the rest. 2.x lists the whole catalog as bare ids; its file has the details
and its folders tell what is cached. What is in memory or on disk and on no list (models put there by hand)
is listed all the same: the service may know what to do with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from foundry_rest.errors import InvalidReply, UnsupportedByService
from foundry_rest.models.disk import cached_ids, local_folder, read_snapshot_file
from foundry_rest.models.names import same_model
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options


class Inventory:
    """The models that a service has."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def catalog(self, options: Options) -> list[ModelInfo]:
        """Return every model, with all that is known of it."""
        listed = self._context.ask(lambda target: target.dialect.list_models(options), options)
        details, cached = self.on_disk(options)
        loaded = self.loaded_ids(options)
        described = describe(listed, details, named=[*(cached or ()), *loaded])
        return [mark(self._with_alias(info), loaded, cached) for info in described]

    def loaded(self, options: Options) -> list[ModelInfo]:
        """Return the models in memory, with what is known without asking for the whole catalog."""
        ids = self.loaded_ids(options, must=True)
        details = self._details(options) if ids else []
        described = describe([_named(id_) for id_ in ids], details)
        return [mark(self._with_alias(info), ids, None) for info in described[: len(ids)]]

    def _details(self, options: Options) -> list[ModelInfo]:
        """Return what is known of models where it is told: 0.x lists it, the others have it in a file."""
        if self._context.dialect_for(options).has("cached_models"):
            return self._context.ask(lambda target: target.dialect.list_models(options), options)
        return self.on_disk(options)[0]

    def loaded_ids(self, options: Options, *, must: bool = False) -> list[str]:
        """Return the ids in memory; without ``must`` none for a service that does not tell."""
        try:
            return self._context.ask(lambda target: target.dialect.loaded_models(options), options)
        except UnsupportedByService:
            if must:
                raise
            return []

    def on_disk(self, options: Options) -> tuple[list[ModelInfo], list[str] | None]:
        """Return what the service's files tell of models, and the ids on its disk.

        The second is ``None`` when nobody can tell: the service is on another machine and has no route
        for it.
        """
        dialect = self._context.dialect_for(options)
        if dialect.has("cached_models"):
            return [], self._context.ask(lambda target: target.dialect.cached_models(options), options)
        status = self._context.ask(lambda target: target.dialect.status(options), options)
        self._context.targets.note_pid(status.pid)
        return self.in_folder(status.cache_path, options)

    def in_folder(self, cache_path: str, options: Options) -> tuple[list[ModelInfo], list[str] | None]:
        """Return what the files in a model directory tell, and the ids on its disk; asks nobody."""
        target = self._context.target(options)
        folder = local_folder(cache_path, target.url)
        if folder is None:
            return [], None
        dialect = target.dialect
        try:
            details = dialect.read_snapshot(read_snapshot_file(folder))
        except InvalidReply:  # being written, or not there yet: it helps, but is never needed
            details = []
        return details, sorted(cached_ids(folder))

    def _with_alias(self, info: ModelInfo) -> ModelInfo:
        """Return a model with the alias that was seen to load it, if the service tells none."""
        learnt = None if info.alias else self._context.names.get(info.id)
        return msgspec.structs.replace(info, alias=learnt.alias) if learnt else info


def describe(
    listed: Sequence[ModelInfo], details: Sequence[ModelInfo], *, named: Iterable[str] = ()
) -> list[ModelInfo]:
    """Return the listed models with their details, then those that only the details or ids name.

    Args:
        listed: From the service's list, perhaps bare ids, perhaps without versions.
        details: From its catalog file.
        named: Ids in memory or on disk, exact.
    """
    exact = list(named)
    found = [_fill(info, details, exact) for info in listed]
    is_partial = any(info.cached for info in listed)  # 1.x lists what is cached; its file has the rest
    if is_partial or not listed:
        found += [info for info in details if not _is_among(info.id, found)]
    found += [_named(id_) for id_ in dict.fromkeys(exact) if not _is_among(id_, found)]
    return found


def mark(info: ModelInfo, loaded: Iterable[str], cached: Iterable[str] | None) -> ModelInfo:
    """Return a model with what is known of its place: in memory, on disk."""
    in_memory = any(same_model(info.id, id_) for id_ in loaded)
    on_disk = info.cached if cached is None else any(same_model(info.id, id_) for id_ in cached)
    return msgspec.structs.replace(info, loaded=in_memory, cached=in_memory or on_disk)


def _fill(info: ModelInfo, details: Sequence[ModelInfo], exact: Sequence[str]) -> ModelInfo:
    """Return a listed model with what the catalog file says of it; a bare name gets its version."""
    fitting = [each for each in details if same_model(info.id, each.id)]
    known = max(fitting, key=lambda each: (each.id in exact, bool(each.cached), _number(each)), default=None)
    if known is not None:
        return msgspec.structs.replace(known, alias=known.alias or info.alias, cached=info.cached)
    id_ = info.id if info.version else next((id_ for id_ in exact if same_model(info.id, id_)), info.id)
    return msgspec.structs.replace(info, id=id_, version=info.version or id_.partition(":")[2])


def _is_among(id_: str, models: Iterable[ModelInfo]) -> bool:
    return any(same_model(id_, info.id) for info in models)


def _named(id_: str) -> ModelInfo:
    name, _, version = id_.partition(":")
    return ModelInfo(id=id_, name=name, version=version)


def _number(info: ModelInfo) -> int:
    return int(info.version) if info.version.isdigit() else 0
