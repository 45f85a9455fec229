"""Models: list, resolve, load, unload.

A model has an id (``phi-4-mini-instruct-generic-cpu:5``) and an alias (``phi-4-mini``), and 2.2.1 wants
the one here and the other there. Users give either; what they stand for is read from the service's
catalog file when the service is on this machine, else learnt from what loading an alias adds to the
list of loaded models.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import msgspec

from foundry_rest.config import Timeouts
from foundry_rest.dialects.operation import Operation
from foundry_rest.endpoints.context import Context, read
from foundry_rest.endpoints.names import best_match, loaded_as, near_names
from foundry_rest.endpoints.snapshot import cached_ids, local_folder, read_snapshot_file
from foundry_rest.errors import FoundryError, InvalidReply, ModelNotFound, UnsupportedByService
from foundry_rest.schema import ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.transport.call import Call, Options, Reply

#: Names for types, because ``Models.list`` hides the builtin inside the class.
ModelList = list[ModelInfo]
Ids = list[str]


class Models:
    """Manage the service's models."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def catalog(self, *, timeout: float | Timeouts | None = None) -> ModelList:
        """Return every model the service knows, cached or not.

        Details beyond the id need the service's catalog file, so they are empty for a service on
        another machine. On 2.x the first call may wait for the public catalog (4.5 s offline).
        """
        return self._catalog(self._context.options(timeout))

    def list(self) -> ModelList:
        """Return every model the service knows: another name for ``catalog()``."""
        return self.catalog()

    def cached(self) -> ModelList:
        """Return the models that are on the service's disk.

        Raises:
            UnsupportedByService: The service is on another machine and has no route for it.
        """
        found = self.catalog()
        if any(info.cached is None for info in found):
            raise UnsupportedByService(
                "the list of cached models needs the service's model directory, which is not on this machine",
                feature="cached models",
                generation=self._context.speak(self._context.options()).generation,
            )
        return [info for info in found if info.cached]

    def loaded(self) -> ModelList:
        """Return the models in memory."""
        options = self._context.options()
        ids = self._context.ask(self._context.speak(options).loaded_models(options))
        known = {info.id: info for info in self._on_this_machine(options)[0]} if ids else {}
        learnt = self._context.names.get
        return [_merge(ModelInfo(id=id_), known.get(id_) or learnt(id_), {id_}, {id_}) for id_ in ids]

    def resolve(self, name: str) -> ModelInfo:
        """Return the model that an alias, an id, or an id without its version means, in any case.

        Of several variants the fastest device wins (NPU, GPU, CPU), then the newest version.

        Raises:
            ModelNotFound: The service lists no such model; ``suggestions`` are near misses.
        """
        return self._resolve(check_model_name(name), self._context.options())

    def resolve_for(self, call: Call) -> ModelInfo:
        """Return the model that a call asks for, within the call's bounds."""
        return self._resolve(call.model, self._options_of(call))

    def load(self, name: str, *, timeout: float | None = None, deadline: float | None = None) -> ModelInfo:
        """Load a model into memory and return it; a loaded one stays as it is.

        Args:
            name: Alias or id.
            timeout: Seconds to wait for this load; default ``Timeouts.load``.
            deadline: Seconds for the whole call.

        Raises:
            ModelNotFound, ModelNotCached, LoadFailed: As the service says.
        """
        check_model_name(name)
        options = self._context.options(_load_timeouts(self._context, timeout), deadline)
        return self._load(name, options)

    def load_for(self, call: Call) -> ModelInfo:
        """Load the model that a call asks for, within the call's deadline."""
        return self._load(call.model, self._options_of(call))

    def unload(self, name: str) -> None:
        """Drop a model from memory; one that is not loaded stays as it is.

        Raises:
            LoadFailed: The service refuses, for example because an answer is still running.
        """
        check_model_name(name)
        options = self._context.options()
        dialect = self._context.speak(options)
        self._by_any_name(name, options, lambda spelling: dialect.unload_model(spelling, options))

    def ensure_loaded(self, name: str) -> ModelInfo:
        """Load a model unless it is in memory already, and return it."""
        known = self._context.names.get(check_model_name(name))
        if known and known.id in self._loaded_ids(self._context.options()):
            return known
        return self.load(name)

    def download(self, name: str) -> str:
        """Fetch a model onto the service's machine.

        Raises:
            UnsupportedByService: This generation has no such route; the advice tells the way out.
        """
        check_model_name(name)
        options = self._context.options()
        return self._context.ask(self._context.speak(options).download_model(name, options))

    def _options_of(self, call: Call) -> Options:
        """Return what a request on behalf of a call may take: its deadline and headers."""
        return Options(self._context.config.timeouts, call.until, call.headers, call.cancel)

    def _catalog(self, options: Options) -> ModelList:
        listed = self._context.ask(self._context.speak(options).list_models(options))
        details, cached = self._on_this_machine(options)
        loaded = set(self._loaded_ids(options))
        known = {info.id: info for info in details}
        return [_merge(self._with_alias(info), known.get(info.id), loaded, cached) for info in listed]

    def _with_alias(self, info: ModelInfo) -> ModelInfo:
        """Return a listed model with the alias that was seen to load it, if one was."""
        learnt = self._context.names.get(info.id)
        return msgspec.structs.replace(info, alias=learnt.alias) if learnt else info

    def _resolve(self, name: str, options: Options) -> ModelInfo:
        models = self._catalog(options)
        found = best_match(name, models)
        if found is None:
            raise _not_found(name, models)
        self._context.names.learn(name, found)
        return found

    def _load(self, name: str, options: Options) -> ModelInfo:
        """Load a model; threads that want the same one at once wait for one load."""
        return self._context.flights.run(f"load {name}", options, lambda: self._load_now(name, options))

    def _load_now(self, name: str, options: Options) -> ModelInfo:
        before = self._loaded_ids(options)
        dialect = self._context.speak(options)
        word = self._by_any_name(name, options, lambda spelling: dialect.load_model(spelling, options))
        after = self._loaded_ids(options)
        known = self._context.names.get(name)
        if known is None or (known.id not in after and known.id != name):
            known = self._learn(name, loaded_as(name, word, before, after))
        return msgspec.structs.replace(known, loaded=True, cached=True)

    def _learn(self, name: str, id_: str | None) -> ModelInfo:
        if id_ is None:
            return ModelInfo(id=name)
        info = ModelInfo(id=id_, alias="" if id_ == name else name)
        self._context.names.learn(name, info)
        return info

    def _by_any_name(self, name: str, options: Options, build: Callable[[str], Operation[Reply, str]]) -> str:
        """Send what ``build`` makes of one spelling after the other until the service knows it."""
        spellings = self._spellings(name, options)
        for spelling in spellings[:-1]:
            with contextlib.suppress(ModelNotFound):
                return self._context.ask(build(spelling))
        try:
            return self._context.ask(build(spellings[-1]))
        except ModelNotFound as error:
            error.model = name
            self._add_suggestions(error, options)
            raise

    def _spellings(self, name: str, options: Options) -> tuple[str, ...]:
        """Return the names to try: today's rule (alias) first, the announced one (id) second."""
        info = self._context.names.get(name)
        if info is None:
            details, cached = self._on_this_machine(options)
            info = best_match(name, [_merge(each, None, set(), cached) for each in details])
            if info is not None:
                self._context.names.learn(name, info)
        spellings = (info.alias, info.id, name) if info else (name,)
        return tuple(dict.fromkeys(spelling for spelling in spellings if spelling))

    def _add_suggestions(self, error: ModelNotFound, options: Options) -> None:
        with contextlib.suppress(FoundryError):
            _suggest(error, self._catalog(options))

    def _on_this_machine(self, options: Options) -> tuple[ModelList, set[str] | None]:
        """Return what the service's own files tell; ``([], None)`` for another machine."""
        dialect = self._context.speak(options)
        operation = dialect.status(options)
        reply = self._context.sender.send(operation.call)
        status = read(operation, reply)
        self._context.seen(status.pid)
        folder = local_folder(status.cache_path, reply.url)
        if folder is None:
            return [], None
        try:
            details = dialect.read_snapshot(read_snapshot_file(folder))
        except InvalidReply:  # being written, or not there yet: it helps, but is never needed
            details = []
        return details, cached_ids(folder)

    def _loaded_ids(self, options: Options) -> Ids:
        try:
            return self._context.ask(self._context.speak(options).loaded_models(options))
        except UnsupportedByService:
            return []


def _merge(
    listed: ModelInfo, details: ModelInfo | None, loaded: set[str], cached: set[str] | None
) -> ModelInfo:
    on_disk = None if cached is None else listed.id in cached or listed.id in loaded
    return msgspec.structs.replace(details or listed, loaded=listed.id in loaded, cached=on_disk)


def _not_found(name: str, models: ModelList) -> ModelNotFound:
    error = ModelNotFound("the service lists no such model", model=name, status=404, call="models.resolve")
    _suggest(error, models)
    return error


def _suggest(error: ModelNotFound, models: ModelList) -> None:
    """Tell in the error which names come near, or why the service's own name will not do."""
    if any(info.id == error.model for info in models):
        error.advice = "The service lists this id but takes the alias here, such as 'phi-4-mini': give that."
        return
    error.suggestions = near_names(error.model, models)
    if error.suggestions:
        error.advice = f"Did you mean {' or '.join(error.suggestions)}? {ModelNotFound.advice}"


def _load_timeouts(context: Context, seconds: float | None) -> Timeouts | None:
    if seconds is None:
        return None
    base = context.config.timeouts
    return Timeouts(base.connect, base.first_token, base.idle, seconds)
