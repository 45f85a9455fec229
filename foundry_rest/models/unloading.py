"""Dropping models from memory, never from under a request of this client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from foundry_rest import clock
from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import FoundryError, ModelInUse, ServerError
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, Wanted, not_found
from foundry_rest.models.names import best_match
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options, Reply


class Unloading:
    """The unloading of models."""

    def __init__(self, context: Context, inventory: Inventory, loading: Loading) -> None:
        self._context, self._inventory, self._loading = context, inventory, loading

    def unload(self, name: str, options: Options, *, force: bool = False) -> None:
        """Drop a model, when no request of this client runs on it."""
        dialect = self._context.dialect_for(options)

        def build(spelling: str) -> Operation[Reply, str]:
            return dialect.unload_model(spelling, options, force=force)

        build(name)  # what this service has no route for is said before anything is asked
        info = (
            self._loading.known(name, options) if dialect.loads_by_alias else self._in_memory(name, options)
        )
        if info is None and not dialect.loads_by_alias:
            return
        try:
            with self._kept_away(dialect, self._names_of(name, info), options):
                self._loading.by_any_name(name, info, options, build)
        except ModelInUse as error:
            self._name_holders(error, info, options)
            raise

    def unload_all(self, options: Options, *, force: bool = False) -> list[str]:
        """Drop every model and return the ids of those that were in memory."""
        ids = self._inventory.loaded_ids(options, must=True)
        dialect = self._context.dialect_for(options)
        if not dialect.has("unload_all"):
            for id_ in ids:
                self.unload(id_, options, force=force)
        elif ids:
            with self._kept_away(dialect, lambda used: True, options):
                self._context.ask(lambda target: target.dialect.unload_all(options), options)
        return ids

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
            raise not_found(Wanted(name), models)
        return found

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
        return self._context.locks.exclusive(covers, until, cancels)

    def _name_holders(self, error: ModelInUse, info: ModelInfo | None, options: Options) -> None:
        """Tell in the error which stored responses keep the model in memory."""
        with suppress(FoundryError):
            page = self._context.ask(lambda target: target.dialect.list_responses(options), options)
            holders = [each.id for each in page.data if info is None or each.model == info.id]
            if holders:
                error.advice = (
                    f"Stored responses keep it in memory: delete them with client.responses.delete(id): "
                    f"{', '.join(holders)}."
                )
