"""Loading and unloading one model, by whichever of its names the service takes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress

import msgspec

from foundry_rest import clock
from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import FoundryError, LoadFailed, ModelNotCached, ModelNotFound, ServerError
from foundry_rest.models.inventory import Inventory, mark
from foundry_rest.models.names import best_match, loaded_as, suggest
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options, Reply

#: In the refusal to unload a model that something holds (native-runtime-measured.md section 3).
_HELD = b"still using it"


class Wanted(msgspec.Struct, frozen=True):
    """Hold what a caller asks to load.

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
    """Load and unload models."""

    def __init__(self, context: Context, inventory: Inventory) -> None:
        self._context, self._inventory = context, inventory

    def resolve(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Return the model that is wanted, as the service lists it now."""
        models = self._inventory.catalog(options)
        found = best_match(wanted.name, models, wanted.device)
        if found is None:
            raise _not_found(wanted, models)
        self._context.names.learn(wanted.name, found)
        return found

    def load(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Load a model; threads that want the same one at once wait for one load."""
        load = self._by_alias if self._context.speak(options).loads_by_alias else self._by_id
        return self._context.flights.run(f"load {wanted}", options, lambda: load(wanted, options))

    def unload(self, name: str, options: Options, *, force: bool = False) -> None:
        """Drop a model, when no request of this client runs on it."""
        dialect = self._context.speak(options)

        def build(spelling: str) -> Operation[Reply, str]:
            return dialect.unload_model(spelling, options, force=force)

        build(name)  # what this service has no route for is said before anything is asked
        info = self._known(name, options) if dialect.loads_by_alias else self._in_memory(name, options)
        if info is None and not dialect.loads_by_alias:
            return
        try:
            with self._kept_away(dialect, self._names_of(name, info), options):
                self._by_any_name(name, info, options, build)
        except LoadFailed as error:
            self._name_holders(error, info, options)
            raise

    def unload_all(self, options: Options, *, force: bool = False) -> list[str]:
        """Drop every model and return the ids of those that were in memory."""
        ids = self._inventory.loaded_ids(options, must=True)
        dialect = self._context.speak(options)
        if not dialect.has("unload_all"):
            for id_ in ids:
                self.unload(id_, options, force=force)
        elif ids:
            with self._kept_away(dialect, lambda used: True, options):
                self._context.ask(dialect.unload_all(options))
        return ids

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
            dialect = self._context.speak(options)
            self._context.ask(dialect.load_model(info.id, options, ttl=wanted.ttl, provider=wanted.provider))
        return msgspec.structs.replace(info, loaded=True, cached=True)

    def _resolve_or_trust(self, wanted: Wanted, options: Options) -> ModelInfo:
        """Return the model; while the service cannot list any, take the name for an id."""
        try:
            return self.resolve(wanted, options)
        except ServerError:
            return ModelInfo(id=wanted.name)

    def _in_memory(self, name: str, options: Options) -> ModelInfo | None:
        """Return the loaded model that a name means, ``None`` for one that is not loaded.

        A name without a version means the newest, which need not be the one in memory.
        """
        try:
            models = self._inventory.catalog(options)
        except ServerError:
            return ModelInfo(id=name)
        found = best_match(name, [info for info in models if info.loaded])
        if found is None and best_match(name, models) is None:
            raise _not_found(Wanted(name), models)
        return found

    # ---------------------------------------------------------------- a service that takes aliases

    def _by_alias(self, wanted: Wanted, options: Options) -> ModelInfo:
        chosen = self._chosen(wanted, options)
        before = self._inventory.loaded_ids(options)
        dialect = self._context.speak(options)
        word = self._by_any_name(
            wanted.name,
            chosen,
            options,
            lambda each: dialect.load_model(each, options, ttl=wanted.ttl, provider=wanted.provider),
            id_first=bool(wanted.device),
        )
        after = self._inventory.loaded_ids(options)
        chosen = chosen or self._context.names.get(wanted.name)
        if wanted.device and chosen is not None and chosen.id not in after:
            raise _other_variant(wanted, chosen)
        if chosen is None or (chosen.id not in after and chosen.id != wanted.name):
            chosen = self._learn(wanted.name, loaded_as(wanted.name, word, before, after))
        return msgspec.structs.replace(chosen, loaded=True, cached=True)

    def _chosen(self, wanted: Wanted, options: Options) -> ModelInfo | None:
        """Return the variant to load, ``None`` when only the service knows what the name means."""
        return self.resolve(wanted, options) if wanted.device else self._known(wanted.name, options)

    def _known(self, name: str, options: Options) -> ModelInfo | None:
        """Return what is known of a name without asking for the whole catalog."""
        info = self._context.names.get(name)
        if info is None:
            details, cached = self._inventory.on_disk(options)
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

    def _by_any_name(
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
                return self._context.ask(build(spelling))
            except ModelNotFound as error:
                refusal = error
        refusal.model = name
        suggest(refusal, models)
        raise refusal

    def _names_to_try(
        self, name: str, info: ModelInfo | None, options: Options, models: list[ModelInfo], *, id_first: bool
    ) -> Iterator[str]:
        """Yield the spellings of what is known; when none will do, those of what the catalog says now."""
        by_id = id_first or not self._context.speak(options).loads_by_alias
        tried = _spellings(name, info, id_first=by_id)
        yield from tried
        with suppress(FoundryError):
            models += self._inventory.catalog(options)
        found = best_match(name, models)
        if found is not None:
            self._context.names.learn(name, found)
            yield from (each for each in _spellings(name, found, id_first=by_id) if each not in tried)

    def _names_of(self, name: str, info: ModelInfo | None) -> Callable[[str], bool]:
        """Return what tells whether a request that gave some name runs on this model."""
        means = self._context.names.means
        return lambda used: used == name or (info is not None and means(used, info))

    def _kept_away(
        self, dialect: Dialect, covers: Callable[[str], bool], options: Options
    ) -> AbstractContextManager[None]:
        if dialect.guards_unload:
            return nullcontext()
        until = min(options.until, clock.monotonic() + options.timeouts.first_token)
        cancels = () if options.cancel is None else (options.cancel,)
        return self._context.uses.kept_away(covers, until, cancels)

    def _name_holders(self, error: LoadFailed, info: ModelInfo | None, options: Options) -> None:
        """Tell in the error which stored responses keep the model in memory."""
        if _HELD not in error.body:
            return
        with suppress(FoundryError):
            page = self._context.ask(self._context.speak(options).list_responses(options))
            holders = [each.id for each in page.data if info is None or each.model == info.id]
            if holders:
                error.advice = (
                    f"Stored responses keep it in memory: delete them with client.responses.delete(id): "
                    f"{', '.join(holders)}."
                )


def _spellings(name: str, info: ModelInfo | None, *, id_first: bool) -> tuple[str, ...]:
    """Return the names to try: today's rule first, the announced one second, the caller's own last."""
    if info is None:
        return (name,)
    order = (info.id, info.alias, name) if id_first else (info.alias, info.id, name)
    return tuple(dict.fromkeys(spelling for spelling in order if spelling))


def _not_found(wanted: Wanted, models: list[ModelInfo]) -> ModelNotFound:
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
