"""The models of a service, merged from its lists and, on this machine, its files.

Each generation provides another part. 0.x lists everything with details. 1.x lists cached models, without
versions; its catalog file has the rest. 2.x lists the whole catalog as bare ids; its catalog file has the
details, and its folders show which models are cached. Models that are in memory or on disk but on no list
(put there by hand) are included, because the service may be able to use them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from foundry_rest.errors import InvalidReply, ServerError, UnsupportedByService
from foundry_rest.models.disk import cached_ids, local_folder, read_snapshot_file
from foundry_rest.models.names import same_model, version_number
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options


class Inventory:
    """The models of a service."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def catalog(self, options: Options) -> list[ModelInfo]:
        """Return every model, with all known details."""
        listed = self._context.ask(lambda target: target.dialect.models().listed(options), options)
        details, cached = self.on_disk(options)
        loaded = self.loaded_ids(options)
        described = describe(listed, details, named=[*(cached or ()), *loaded])
        return [mark(self._with_alias(info), loaded, cached) for info in described]

    def loaded(self, options: Options) -> list[ModelInfo]:
        """Return the models in memory, with the details that are known without a request for the catalog."""
        ids = self.loaded_ids(options, must=True)
        details = self._details(options) if ids else []
        described = describe([_from_id(id_) for id_ in ids], details)
        return [mark(self._with_alias(info), ids, None) for info in described[: len(ids)]]

    def _details(self, options: Options) -> list[ModelInfo]:
        """Return the models with details, from 0.x's list or from the catalog file of the others."""
        if self._context.dialect_for(options).models().has("cached"):
            return self._context.ask(lambda target: target.dialect.models().listed(options), options)
        return self.on_disk(options)[0]

    def loaded_ids(self, options: Options, *, must: bool = False) -> list[str]:
        """Return the ids in memory; none, unless ``must``, for a service that does not list them."""
        try:
            return self._context.ask(lambda target: target.dialect.models().loaded(options), options)
        except UnsupportedByService:
            if must:
                raise
            return []

    def on_disk(self, options: Options) -> tuple[list[ModelInfo], list[str] | None]:
        """Return the models in the service's catalog file, and the ids on its disk.

        The ids are ``None`` when they are unknown: the service is on another machine and does not list them.
        """
        dialect = self._context.dialect_for(options)
        if dialect.models().has("cached"):
            try:
                return [], self._context.ask(lambda target: target.dialect.models().cached(options), options)
            except ServerError:  # its catalog is a list of its own, and can be had all the same
                return [], None
        status = self._context.ask(lambda target: target.dialect.status(options), options)
        self._context.targets.note_pid(status.pid)
        return self.in_folder(status.cache_path, options)

    def in_folder(self, cache_path: str, options: Options) -> tuple[list[ModelInfo], list[str] | None]:
        """Return the models in a directory's catalog file and the ids on its disk, without a request."""
        target = self._context.target(options)
        folder = local_folder(cache_path, target.url)
        if folder is None:
            return [], None
        dialect = target.dialect
        try:
            details = dialect.models().read_snapshot(read_snapshot_file(folder))
        except InvalidReply:  # being written, or not there yet; it is helpful, but never required
            details = []
        return details, sorted(cached_ids(folder))

    def _with_alias(self, info: ModelInfo) -> ModelInfo:
        """Return a model with the alias that loaded it earlier, if the service lists none."""
        learnt = None if info.alias else self._context.names.get(info.id)
        return msgspec.structs.replace(info, alias=learnt.alias) if learnt else info


def describe(
    listed: Sequence[ModelInfo], details: Sequence[ModelInfo], *, named: Iterable[str] = ()
) -> list[ModelInfo]:
    """Return the listed models with their details, then those that appear only in the details or ids.

    Args:
        listed: Models of the service's list, perhaps as bare ids or without versions.
        details: Models of its catalog file.
        named: Exact ids in memory or on disk.
    """
    exact = list(named)
    found = [_with_details(info, details, exact) for info in listed]
    is_partial = any(info.cached for info in listed)  # 1.x lists only cached models; its file has the rest
    if is_partial or not listed:
        found += [info for info in details if not _contains(info.id, found)]
    found += [_from_id(id_) for id_ in dict.fromkeys(exact) if not _contains(id_, found)]
    return found


def mark(info: ModelInfo, loaded: Iterable[str], cached: Iterable[str] | None) -> ModelInfo:
    """Return a model with ``loaded`` and ``cached`` set."""
    in_memory = any(same_model(info.id, id_) for id_ in loaded)
    on_disk = info.cached if cached is None else any(same_model(info.id, id_) for id_ in cached)
    return msgspec.structs.replace(info, loaded=in_memory, cached=in_memory or on_disk)


def _with_details(info: ModelInfo, details: Sequence[ModelInfo], exact: Sequence[str]) -> ModelInfo:
    """Return a listed model with its details from the catalog file; a name without version gets one."""
    matching = [each for each in details if same_model(info.id, each.id)]
    detailed = max(
        matching, key=lambda each: (each.id in exact, bool(each.cached), version_number(each)), default=None
    )
    if detailed is not None:
        return msgspec.structs.replace(detailed, alias=detailed.alias or info.alias, cached=info.cached)
    id_ = info.id if info.version else next((id_ for id_ in exact if same_model(info.id, id_)), info.id)
    return msgspec.structs.replace(info, id=id_, version=info.version or id_.partition(":")[2])


def _contains(id_: str, models: Iterable[ModelInfo]) -> bool:
    return any(same_model(id_, info.id) for info in models)


def _from_id(id_: str) -> ModelInfo:
    name, _, version = id_.partition(":")
    return ModelInfo(id=id_, name=name, version=version)
