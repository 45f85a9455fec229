"""Unloading models, but never while a request of this client uses them."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress

from foundry_rest import clock
from foundry_rest.dialects.operation import Dialect, Operation
from foundry_rest.errors import FoundryError, ModelInUse, ServerError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, LoadRequest, not_found
from foundry_rest.models.names import best_match
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options, Reply


class Unloading:
    """The unloading of models."""

    def __init__(self, context: Context, inventory: Inventory, loading: Loading) -> None:
        self._context, self._inventory, self._loading = context, inventory, loading

    def unload(self, name: str, options: Options, *, force: bool = False) -> None:
        """Unload a model once no request of this client uses it."""
        dialect = self._context.dialect_for(options)

        def build(spelling: str) -> Operation[Reply, str]:
            return dialect.models().unload(spelling, options, force=force)

        build(name)  # raises if the service lacks the route, before anything is sent
        info = (
            self._loading.known(name, options) if dialect.loads_by_alias else self._in_memory(name, options)
        )
        if info is None and not dialect.loads_by_alias:
            return
        try:
            with self._exclusive(dialect, self._uses_model(name, info), options):
                self._loading.by_any_name(name, info, options, build)
        except ModelInUse as error:
            self._name_holders(error, info, options)
            raise

    def unload_all(self, options: Options, *, force: bool = False) -> list[str]:
        """Unload every model and return the ids of those that were in memory."""
        ids = self._inventory.loaded_ids(options, must=True)
        dialect = self._context.dialect_for(options)
        if not dialect.models().has("unload_all"):
            for id_ in ids:
                self.unload(id_, options, force=force)
        elif ids:
            with self._exclusive(dialect, lambda used: True, options):
                self._context.ask(lambda target: target.dialect.models().unload_all(options), options)
        return ids

    def _in_memory(self, name: str, options: Options) -> ModelInfo | None:
        """Return the loaded model of a name; ``None`` if it is not loaded.

        For a name without version the newest version would match, which may not be the one in memory.
        """
        try:
            models = self._inventory.catalog(options)
        except ServerError:
            return ModelInfo(id=name)
        found = best_match(name, [info for info in models if info.loaded])
        if found is None and best_match(name, models) is None:
            raise not_found(LoadRequest(name), models)
        return found

    def _uses_model(self, name: str, info: ModelInfo | None) -> Callable[[str], bool]:
        """Return a predicate: whether a request that gave some name uses this model."""
        means = self._context.names.means
        return lambda used: used == name or (info is not None and means(used, info))

    def _exclusive(
        self, dialect: Dialect, uses_model: Callable[[str], bool], options: Options
    ) -> AbstractContextManager[None]:
        if dialect.guards_unload:
            return nullcontext()
        until = min(options.until, clock.monotonic() + options.timeouts.first_token)
        return self._context.locks.exclusive(uses_model, until, options.tokens(self._context.closing))

    def _name_holders(self, error: ModelInUse, info: ModelInfo | None, options: Options) -> None:
        """Put the stored responses that hold the model in memory into the error's advice."""
        with suppress(FoundryError):
            page = self._context.ask(lambda target: target.dialect.responses().page(options), options)
            holders = [each.id for each in page.data if info is None or each.model == info.id]
            if holders:
                what, ids = "Stored responses keep it in memory", ", ".join(holders)
                error.advice = Advice(
                    Words(
                        f"{what}: delete them with client.responses.delete(id): {ids}.",
                        f"{what}: {ids}.",
                    )
                )
