"""Models: list, resolve, load, unload, download.

A model has an id (``phi-4-mini-instruct-generic-cpu:5``) and an alias (``phi-4-mini``), and the generations
want the one here and the other there. Users give either; what they stand for is read from what the service
lists and from its catalog file, else learnt from what loading an alias adds to the list of loaded models.
"""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest import clock
from foundry_rest.config import Timeouts, positive_seconds, whole_number
from foundry_rest.errors import ConfigError, UnsupportedByService
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, Wanted
from foundry_rest.models.names import DEVICES, best_match
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.context import Context
from foundry_rest.stream.download import DownloadStream
from foundry_rest.transport.call import Call, CancelToken, Options

#: Names for types, because ``Models.list`` hides the builtin inside the class.
ModelList = list[ModelInfo]
Ids = list[str]


class Models:
    """Manage the service's models."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inventory = Inventory(context)
        self._loading = Loading(context, self._inventory)

    def catalog(self, *, timeout: float | Timeouts | None = None) -> ModelList:
        """Return every model the service knows, cached or not.

        What a service on another machine does not tell is empty: 2.x tells bare ids, 1.x only what is
        cached. On 2.x the first call may wait for the public catalog (4.5 s offline).
        """
        return self._inventory.catalog(self._context.options(timeout))

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
        return self._inventory.loaded(self._context.options())

    def resolve(self, name: str, *, device: str | None = None) -> ModelInfo:
        """Return the model that an alias, an id, or an id without its version means, in any case.

        Of several variants the one on disk wins, then the fastest device (NPU, GPU, CPU), then the newest
        version.

        Args:
            name: Alias or id.
            device: Only a variant for ``"NPU"``, ``"GPU"`` or ``"CPU"``.

        Raises:
            ModelNotFound: The service lists no such model; ``suggestions`` are near misses.
        """
        return self._loading.resolve(_wanted(name, device), self._context.options())

    def resolve_for(self, call: Call) -> ModelInfo:
        """Return the model that a call asks for, within the call's bounds."""
        return self._loading.resolve(Wanted(call.model), self._options_of(call))

    def load(
        self,
        name: str,
        *,
        ttl: int | None = None,
        device: str | None = None,
        provider: str = "",
        timeout: float | None = None,
        deadline: float | None = None,
    ) -> ModelInfo:
        """Load a model into memory and return it; a loaded one stays as it is.

        Args:
            name: Alias or id.
            ttl: Seconds without use after which the service drops it (0.x only; 600 there by default).
            device: Only a variant for ``"NPU"``, ``"GPU"`` or ``"CPU"``.
            provider: Execution provider in place of the variant's own, such as ``"cuda"`` (0.x only).
            timeout: Seconds to wait for this load; default ``Timeouts.load``.
            deadline: Seconds for the whole call.

        Raises:
            ModelNotFound, ModelNotCached, LoadFailed: As the service says.
            UnsupportedByService: It has no time to live, or takes no provider.
        """
        wanted = _wanted(name, device, ttl, provider)
        return self._loading.load(wanted, self._context.options(self._patience(timeout), deadline))

    def load_for(self, call: Call) -> ModelInfo:
        """Load the model that a call asks for, within the call's deadline."""
        return self._loading.load(Wanted(call.model), self._options_of(call))

    def unload(self, name: str, *, force: bool = True, deadline: float | None = None) -> None:
        """Drop a model from memory; one that is not loaded stays as it is.

        Where dropping a model ends the answers that run on it (1.x: the whole service), those of this
        client are let end first, for as long as ``FOUNDRY_TIMEOUT`` says or the deadline grants.

        Args:
            name: Alias or id.
            force: ``False`` leaves a model alone whose time to live is not over (0.x; others have none).
            deadline: Seconds for the whole call.

        Raises:
            LoadFailed: The service refuses, because an answer still runs or a stored response holds it.
            DeadlineExceeded: Requests of this client still run on it.
        """
        self._loading.unload(check_model_name(name), self._context.options(deadline=deadline), force=force)

    def unload_all(self, *, force: bool = True) -> Ids:
        """Drop every model from memory and return their ids; ``force`` as for ``unload``."""
        return self._loading.unload_all(self._context.options(), force=force)

    def ensure_loaded(self, name: str) -> ModelInfo:
        """Load a model unless it is in memory already, and return it."""
        found = best_match(check_model_name(name), self.loaded())
        if found is None:
            return self.load(name)
        self._context.names.learn(name, found)
        return found

    def download(
        self,
        name: str,
        *,
        progress: Callable[[DownloadStep], object] | None = None,
        timeout: float | None = None,
        deadline: float | None = None,
        cancel: CancelToken | None = None,
    ) -> ModelInfo:
        """Fetch a model onto the service's machine and return it; one that is there is not fetched again.

        0.x downloads over REST, the embedded runtime of this client through Microsoft's SDK.

        Args:
            name: Alias or id of the catalog.
            progress: Told each step.
            timeout: Seconds of silence borne between two steps; default ``Timeouts.load``, for large files
                are reported rarely.
            deadline: Seconds for the whole download; none by default.
            cancel: Ends the download from another thread.

        Raises:
            UnsupportedByService: Neither is there; the advice tells the way out.
            StreamInterrupted: The service left before it said that the model is there.
        """
        wanted, tell = _wanted(name), progress or (lambda step: None)
        options = self._context.options(self._patience(timeout), deadline, cancel=cancel)
        if self._context.fetch is not None:
            self._context.fetch(name, tell, options)
            return self._loading.resolve(wanted, options)
        dialect = self._context.speak(options)
        if not dialect.has("download_model"):
            dialect.unsupported_download()
        info = self._loading.resolve(wanted, options)
        if not info.cached:
            self._download(info, tell, options)
            info = self._loading.resolve(Wanted(info.id), options)
        tell(DownloadStep(fraction=1.0, done=True))
        return info

    def _download(self, info: ModelInfo, tell: Callable[[DownloadStep], object], options: Options) -> None:
        started = clock.monotonic()
        operation = self._context.speak(options).download_model(info, options)
        opened = self._context.sender.open(operation.call)
        with DownloadStream(opened, operation.parse, operation.call, started, self._context.emit) as steps:
            for step in steps:
                if not step.done:
                    tell(step)

    def _options_of(self, call: Call) -> Options:
        """Return what a request on behalf of a call may take: its deadline and headers."""
        return Options(self._context.config.timeouts, call.until, call.headers, call.cancel)

    def _patience(self, seconds: float | None) -> Timeouts | None:
        if seconds is None:
            return None
        base = self._context.config.timeouts
        return Timeouts(base.connect, base.first_token, base.idle, positive_seconds("timeout", seconds))


def _wanted(name: str, device: str | None = None, ttl: int | None = None, provider: str = "") -> Wanted:
    if device is not None and (not isinstance(device, str) or device.upper() not in DEVICES):
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if ttl is not None:
        whole_number("ttl", ttl, 1)
    if not isinstance(provider, str):
        raise ConfigError(f"provider must be text such as 'cuda', not {provider!r}")
    return Wanted(check_model_name(name), (device or "").upper(), ttl, provider)
