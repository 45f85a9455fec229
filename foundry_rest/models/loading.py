"""Loading one model, by whichever of its names the service takes."""

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
from foundry_rest.models.inventory import Inventory, mark
from foundry_rest.models.names import best_match, loaded_as, suggest
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options, Reply, Request

#: 2.x's word for a model that was in memory before.
ALREADY_LOADED = "already_loaded"


class Wanted(msgspec.Struct, frozen=True):
    """What a caller asks to load.

    Attributes:
        name: Alias or id.
        device: ``"NPU"``, ``"GPU"``, ``"CPU"``, or ``""`` for the best there is.
        ttl: Seconds without use after which it may go, or ``None``.
        provider: Execution provider in place of the variant's own.
    """

    name: str
    device: str = ""
    ttl: int | None = None
    provider: str = ""

    def __str__(self) -> str:
        return " ".join(str(fact) for fact in (self.name, self.device, self.ttl, self.provider) if fact)


class Loading:
    """The loading of models."""

    def __init__(self, context: Context, inventory: Inventory) -> None:
        self._context, self._inventory = context, inventory

    def resolve(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Return the model that is wanted, as the service lists it now."""
        models = self._inventory.catalog(options)
        found = best_match(wanted.name, models, wanted.device)
        if found is None:
            raise not_found(wanted, models)
        self._context.names.learn(wanted.name, found)
        return found

    def load(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Load a model; threads that want the same one at once wait for one load."""
        load = self._by_alias if self._context.dialect_for(options).loads_by_alias else self._by_id
        return self._context.flights.run(f"load {wanted}", options, lambda: load(wanted, options))

    def prepare(self, name: str, options: Options) -> None:
        """Find out which model a name means before it is first asked for, where only ids are understood.

        A model that is not in memory is loaded on the way, if that may be done unasked. So the first request
        by an alias is no failure, and costs at most five requests, three when the model is loaded already.
        """
        self._context.dialect_for(options)
        if not self._context.target(options).must_prepare(name):
            return
        info = None
        with suppress(ModelNotFound):  # the service itself has the last word on a name that it does not list
            info = self._prepared(Wanted(name), options)
        self._context.names.learn(name, info or ModelInfo(id=name))

    def _prepared(self, wanted: Wanted, options: Options) -> ModelInfo | None:
        if not self._context.config.auto_load:
            return self.known(wanted.name, options)
        return self._context.flights.run(
            f"load {wanted}", options, lambda: self._by_alias(wanted, options, must=False)
        )

    def resolve_for(self, request: Request) -> ModelInfo:
        """Return the model that a request asks for, within its bounds."""
        return self.resolve(Wanted(request.runs_on), self._options_of(request))

    def load_for(self, request: Request) -> ModelInfo:
        """Load the model that a request asks for, within its bounds, and remember what its name means."""
        info = self.load(Wanted(request.runs_on), self._options_of(request))
        self._context.names.learn(request.runs_on, info)
        return info

    def _options_of(self, request: Request) -> Options:
        """Return what a request on behalf of another may take: its deadline, headers and token."""
        given = request.options
        return Options(self._context.config.timeouts, given.until, given.headers, given.cancel)

    # ---------------------------------------------------------------- a service that takes ids

    def _by_id(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Resolve first: the service's own refusal does not tell an unknown name from a failure."""
        known = self._context.names.get(wanted.name) if not wanted.device else None
        if known is not None and known.cached is False:
            known = None  # it may have been downloaded since
        info = known or self._resolve_or_trust(wanted, options)
        if info.cached is False:
            raise ModelNotCached(
                "the model is in the catalog but not on this machine", model=wanted.name, call="models.load"
            )
        if known or not info.loaded or wanted.ttl is not None or wanted.provider:
            self._context.ask(lambda target: _load(target.dialect, info.id, wanted, options), options)
        return msgspec.structs.replace(info, loaded=True, cached=True)

    def _resolve_or_trust(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Return the model; while the service cannot list any, take the name for an id."""
        try:
            return self.resolve(wanted, options)
        except ServerError:
            return ModelInfo(id=wanted.name)

    # ---------------------------------------------------------------- a service that takes aliases

    def _by_alias(self, wanted: Wanted, options: Options, *, must: bool = True) -> ModelInfo:
        """Load by alias; unless it ``must`` be, a model that is seen to be in memory is not asked for."""
        chosen = self._chosen(wanted, options, must=must)
        before = self._inventory.loaded_ids(options)
        if chosen is not None and chosen.id in before and not must:
            return msgspec.structs.replace(chosen, loaded=True, cached=True)
        dialect = self._context.dialect_for(options)
        word = self.by_any_name(
            wanted.name,
            chosen,
            options,
            lambda each: _load(dialect, each, wanted, options),
            id_first=bool(wanted.device),
        )
        after = before if word == ALREADY_LOADED else self._inventory.loaded_ids(options)
        chosen = chosen or self._context.names.get(wanted.name)
        if wanted.device and chosen is not None and chosen.id not in after:
            raise _other_variant(wanted, chosen)
        if chosen is None or (chosen.id not in after and chosen.id != wanted.name):
            chosen = self._learn(wanted.name, loaded_as(wanted.name, word, before, after))
        return msgspec.structs.replace(chosen, loaded=True, cached=True)

    def _chosen(self, wanted: Wanted, options: Options, *, must: bool = True) -> ModelInfo | None:
        """Return the variant to load, ``None`` when only the service knows what the name means."""
        if wanted.device:
            return self.resolve(wanted, options)
        return self.known(wanted.name, options, fresh=must)

    def known(self, name: str, options: Options, *, fresh: bool = False) -> ModelInfo | None:
        """Return what is known of a name without asking for the whole catalog.

        Unless it is to be ``fresh``, the model directory that was told at the first contact will do.
        """
        info = self._context.names.get(name)
        if info is None:
            told = "" if fresh else self._context.target(options).cache_path
            on_disk = self._inventory.in_folder(told, options) if told else self._inventory.on_disk(options)
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

    # ---------------------------------------------------------------- both

    def by_any_name(
        self,
        name: str,
        info: ModelInfo | None,
        options: Options,
        build: Callable[[str], Operation[Reply, str]],
        *,
        id_first: bool = False,
    ) -> str:
        """Send what ``build`` makes of one spelling after the other until the service knows it."""
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
        """Yield the spellings of what is known; when none will do, those of what the catalog says now."""
        by_id = id_first or not self._context.dialect_for(options).loads_by_alias
        tried = _spellings(name, info, id_first=by_id)
        yield from tried
        with suppress(FoundryError):
            models += self._inventory.catalog(options)
        found = best_match(name, models)
        if found is not None:
            self._context.names.learn(name, found)
            yield from (each for each in _spellings(name, found, id_first=by_id) if each not in tried)


def _load(dialect: Dialect, name: str, wanted: Wanted, options: Options) -> Operation[Reply, str]:
    return dialect.load_model(name, options, ttl=wanted.ttl, provider=wanted.provider)


def _spellings(name: str, info: ModelInfo | None, *, id_first: bool) -> tuple[str, ...]:
    """Return the names to try: today's rule first, the announced one second, the caller's own last."""
    if info is None:
        return (name,)
    order = (info.id, info.alias, name) if id_first else (info.alias, info.id, name)
    return tuple(dict.fromkeys(spelling for spelling in order if spelling))


def not_found(wanted: Wanted, models: list[ModelInfo]) -> ModelNotFound:
    """Return the error for a name that the service does not list, with what comes near it."""
    variant = f" for {wanted.device}" if wanted.device else ""
    error = ModelNotFound(
        f"the service lists no such model{variant}", model=wanted.name, status=404, call="models.resolve"
    )
    suggest(error, models)
    others = sorted({info.device for info in models if info.has_name(wanted.name) and info.device})
    if others:
        error.suggestions, error.advice = (), f"It is listed for {', '.join(others)}: leave device= out."
    return error


def _other_variant(wanted: Wanted, chosen: ModelInfo) -> LoadFailed:
    return LoadFailed(
        f"the service loaded another variant than {chosen.id}",
        model=wanted.name,
        call="models.load",
        advice="This service chooses the variant: remove the others from its disk, or leave device= out.",
    )
