"""Resolving and loading one model, by whichever of its names the service accepts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress

import msgspec

from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import (
    FoundryError,
    LoadFailed,
    ModelNotCached,
    ModelNotFound,
    ServerError,
)
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.inventory import Inventory, mark
from foundry_rest.models.names import best_match, loaded_as, suggest
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options, Reply
from foundry_rest.transport.interfaces import Request

#: Outcome that 2.x reports for a model that was in memory before.
ALREADY_LOADED = "already_loaded"


class LoadRequest(msgspec.Struct, frozen=True):
    """A caller's choice of a model, and how to load it.

    Attributes:
        name: Alias or id.
        device: ``"NPU"``, ``"GPU"``, ``"CPU"``, or ``""`` for the best available.
        ttl: Seconds without use until it may be unloaded, or ``None``.
        provider: Execution provider in place of the variant's own, or ``""``.
    """

    name: str
    device: str = ""
    ttl: int | None = None
    provider: str = ""

    def __str__(self) -> str:
        return " ".join(str(fact) for fact in (self.name, self.device, self.ttl, self.provider) if fact)


class Loading:
    """The resolution of names and the loading of models."""

    def __init__(self, context: Context, inventory: Inventory) -> None:
        self._context, self._inventory = context, inventory

    def resolve(self, request: LoadRequest, options: Options) -> ModelInfo:
        """Return the requested model, as the service lists it now."""
        models = self._inventory.catalog(options)
        found = best_match(request.name, models, request.device)
        if found is None:
            raise not_found(request, models)
        self._context.names.learn(request.name, found)
        return found

    def load(self, request: LoadRequest, options: Options) -> ModelInfo:
        """Load a model; threads that request the same one at the same time share one load."""
        load = self._by_alias if self._context.dialect_for(options).loads_by_alias else self._by_id
        return self._context.flights.run(f"load {request}", options, lambda: load(request, options))

    def prepare(self, name: str, options: Options) -> None:
        """Resolve a name before its first use with a service that accepts ids only.

        A model that is not in memory is loaded, if ``auto_load`` allows it. So the first call by an alias
        does not begin with a failure, and takes at most five requests, or three when the model is loaded.
        """
        info = None
        with suppress(ModelNotFound):  # the service itself decides about a name that it does not list
            info = self._load_or_look_up(LoadRequest(name), options)
        self._context.names.learn(name, info or ModelInfo(id=name))

    def _load_or_look_up(self, request: LoadRequest, options: Options) -> ModelInfo | None:
        if not (self._context.config.auto_load and options.may_load):
            return self.known(request.name, options)
        return self._context.flights.run(
            f"load {request}", options, lambda: self._by_alias(request, options, must=False)
        )

    def resolve_for(self, request: Request) -> ModelInfo:
        """Return the model of a request, within that request's limits."""
        return self.resolve(LoadRequest(request.runs_on), self._options_of(request))

    def load_for(self, request: Request) -> ModelInfo:
        """Load the model of a request, within that request's limits, and learn the id of its name."""
        info = self.load(LoadRequest(request.runs_on), self._options_of(request))
        self._context.names.learn(request.runs_on, info)
        return info

    def _options_of(self, request: Request) -> Options:
        """Return the options of a request on behalf of another: all but its time-outs and its retries."""
        timeouts = self._context.config.timeouts
        return msgspec.structs.replace(request.options, timeouts=timeouts, retries=None, whole=None)

    # ---------------------------------------------------------------- services that load by id

    def _by_id(self, request: LoadRequest, options: Options) -> ModelInfo:
        """Resolve, then load by id: a refusal of the service does not show whether the name is unknown."""
        known = self._context.names.get(request.name) if not request.device else None
        if known is not None and known.cached is False:
            known = None  # it may have been downloaded meanwhile
        info = known or self._resolve_or_assume_id(request, options)
        if info.cached is False:
            raise ModelNotCached(
                "the model is in the catalog but not on this machine", model=request.name, call="models.load"
            )
        if known or not info.loaded or request.ttl is not None or request.provider:
            self._context.ask(lambda target: _load(target.dialect, info.id, request, options), options)
        return msgspec.structs.replace(info, loaded=True, cached=True)

    def _resolve_or_assume_id(self, request: LoadRequest, options: Options) -> ModelInfo:
        """Return the requested model; take the name for an id if the service fails to list its models."""
        try:
            return self.resolve(request, options)
        except ServerError:
            return ModelInfo(id=request.name)

    # ---------------------------------------------------------------- services that load by alias

    def _by_alias(self, request: LoadRequest, options: Options, *, must: bool = True) -> ModelInfo:
        """Load by alias; without ``must``, send no load for a model that is listed as loaded."""
        chosen = self._chosen(request, options, must=must)
        before = self._inventory.loaded_ids(options)
        if chosen is not None and chosen.id in before and not must:
            return msgspec.structs.replace(chosen, loaded=True, cached=True)
        dialect = self._context.dialect_for(options)
        outcome = self.by_any_name(
            request.name,
            chosen,
            options,
            lambda each: _load(dialect, each, request, options),
            id_first=bool(request.device),
        )
        after = before if outcome == ALREADY_LOADED else self._inventory.loaded_ids(options)
        chosen = chosen or self._context.names.get(request.name)
        if request.device and chosen is not None and chosen.id not in after:
            raise _wrong_variant(request, chosen)
        if chosen is None or (chosen.id not in after and chosen.id != request.name):
            chosen = self._learn(request.name, loaded_as(request.name, outcome, before, after))
        return msgspec.structs.replace(chosen, loaded=True, cached=True)

    def _chosen(self, request: LoadRequest, options: Options, *, must: bool = True) -> ModelInfo | None:
        """Return the variant to load; ``None`` when only the service can resolve the name."""
        if request.device:
            return self.resolve(request, options)
        return self.known(request.name, options, fresh=must)

    def known(self, name: str, options: Options, *, fresh: bool = False) -> ModelInfo | None:
        """Return the model of a name without a request for the whole catalog; ``None`` if it is unknown.

        The model directory is the one that the service reported first, or with ``fresh`` reports now.
        """
        info = self._context.names.get(name)
        if info is None:
            path = "" if fresh else self._context.target(options).cache_path
            on_disk = self._inventory.in_folder(path, options) if path else self._inventory.on_disk(options)
            details, cached = on_disk
            info = best_match(name, [mark(each, (), cached) for each in details])
            if info is not None:
                self._context.names.learn(name, info)
        return info

    def _learn(self, name: str, id_: str | None) -> ModelInfo:
        if id_ is None:
            return ModelInfo(id=name)
        info = ModelInfo(id=id_, alias="" if id_ == name else name)
        self._context.names.learn(name, info)
        return info

    # ---------------------------------------------------------------- all services

    def by_any_name(
        self,
        name: str,
        info: ModelInfo | None,
        options: Options,
        build: Callable[[str], Operation[Reply, str]],
        *,
        id_first: bool = False,
    ) -> str:
        """Send the operation for one name of the model after the other until the service knows the name."""
        refusal, models = ModelNotFound(), list[ModelInfo]()
        for spelling in self._names_to_try(name, info, options, models, id_first=id_first):
            try:
                return self._context.ask(lambda target, each=spelling: build(each), options)  # type: ignore[misc]
            except ModelNotFound as error:
                refusal = error
        refusal.model = name
        suggest(refusal, models)
        raise refusal

    def _names_to_try(
        self, name: str, info: ModelInfo | None, options: Options, models: list[ModelInfo], *, id_first: bool
    ) -> Iterator[str]:
        """Yield the known names of the model; when the service refuses them all, those in its catalog."""
        by_id = id_first or not self._context.dialect_for(options).loads_by_alias
        tried = _spellings(name, info, id_first=by_id)
        yield from tried
        with suppress(FoundryError):
            models += self._inventory.catalog(options)
        found = best_match(name, models)
        if found is not None:
            self._context.names.learn(name, found)
            yield from (each for each in _spellings(name, found, id_first=by_id) if each not in tried)


def _load(dialect: Dialect, name: str, request: LoadRequest, options: Options) -> Operation[Reply, str]:
    return dialect.models().load(name, options, ttl=request.ttl, provider=request.provider)


def _spellings(name: str, info: ModelInfo | None, *, id_first: bool) -> tuple[str, ...]:
    """Return the names to try: what the service takes today, what a later one will take, the caller's.

    2.0 and 2.1 know a model of one's own by its name without the version alone.
    """
    if info is None:
        return (name,)
    known = (info.id, info.alias) if id_first else (info.alias, info.id)
    return tuple(dict.fromkeys(spelling for spelling in (*known, name, info.name) if spelling))


def not_found(request: LoadRequest, models: list[ModelInfo]) -> ModelNotFound:
    """Return the error for a name that the service does not list, with similar names."""
    variant = f" for {request.device}" if request.device else ""
    error = ModelNotFound(
        f"the service lists no such model{variant}", model=request.name, status=404, call="models.resolve"
    )
    suggest(error, models)
    others = sorted({info.device for info in models if info.has_name(request.name) and info.device})
    if others:
        listed = f"It is listed for {', '.join(others)}"
        error.suggestions = ()
        error.advice = Advice(Words(f"{listed}: leave device= out.", f"{listed}: leave --device out."))
    return error


def _wrong_variant(request: LoadRequest, chosen: ModelInfo) -> LoadFailed:
    return LoadFailed(
        f"the service loaded another variant than {chosen.id}",
        model=request.name,
        call="models.load",
        advice=Advice(
            Words(
                "This service chooses the variant: remove the others from its disk, or leave device= out.",
                "This service chooses the variant: remove the others from its disk, or leave --device out.",
            )
        ),
    )
