"""Models: list, resolve, load, unload, download.

A model has an id (``phi-4-mini-instruct-generic-cpu:5``) and an alias (``phi-4-mini``), and the generations
want the one here and the other there. Users give either; what they stand for is read from what the service
lists and from its catalog file, else learnt from what loading an alias adds to the list of loaded models.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from foundry_rest.checks import flag, whole_number
from foundry_rest.errors import ConfigError, UnsupportedByService
from foundry_rest.models.downloads import Downloads
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, Wanted
from foundry_rest.models.names import DEVICES, best_match
from foundry_rest.models.unloading import Unloading
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.context import Context
from foundry_rest.transport.call import CallOptions, Options

if TYPE_CHECKING:
    from typing_extensions import Unpack

#: Names for types, because ``Models.list`` hides the builtin inside the class.
ModelList = list[ModelInfo]
Ids = list[str]


class Models:
    """The endpoint that manages the service's models.

    Every method takes the options of a call, see ``CallOptions``; ``timeout`` bounds the silence of a load or
    a download, too (``Timeouts.load`` by default).
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inventory = Inventory(context)
        self._loading = Loading(context, self._inventory)
        self._unloading = Unloading(context, self._inventory, self._loading)
        self._downloads = Downloads(context, self._loading)

    def catalog(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model the service knows, cached or not.

        What a service on another machine does not tell is empty: 2.x tells bare ids, 1.x only what is
        cached. On 2.x the first call may wait for the public catalog (4.5 s offline).
        """
        return self._inventory.catalog(self._context.options(**options))

    def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model the service knows: another name for ``catalog()``."""
        return self.catalog(**options)

    def cached(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return the models that are on the service's disk.

        Raises:
            UnsupportedByService: The service is on another machine and has no route for it.
        """
        checked = self._context.options(**options)
        found = self._inventory.catalog(checked)
        if any(info.cached is None for info in found):
            raise UnsupportedByService(
                "the list of cached models needs the service's model directory, which is not on this machine",
                feature="cached models",
                generation=self._context.dialect_for(checked).generation,
            )
        return [info for info in found if info.cached]

    def loaded(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return the models in memory."""
        return self._inventory.loaded(self._context.options(**options))

    def resolve(self, name: str, *, device: str | None = None, **options: Unpack[CallOptions]) -> ModelInfo:
        """Return the model that an alias, an id, or an id without its version means, in any case.

        Of several variants the one on disk wins, then the fastest device (NPU, GPU, CPU), then the newest
        version.

        Args:
            name: Alias or id.
            device: Only a variant for ``"NPU"``, ``"GPU"`` or ``"CPU"``.
            options: Options of the call.

        Raises:
            ModelNotFound: The service lists no such model; ``suggestions`` are near misses.
        """
        return self._loading.resolve(_wanted(name, device), self._context.options(**options))

    def load(
        self,
        name: str,
        *,
        ttl: int | None = None,
        device: str | None = None,
        provider: str = "",
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Load a model into memory and return it; a loaded one stays as it is.

        Args:
            name: Alias or id.
            ttl: Seconds without use after which the service drops it (0.x only; 600 there by default).
            device: Only a variant for ``"NPU"``, ``"GPU"`` or ``"CPU"``.
            provider: Execution provider in place of the variant's own, such as ``"cuda"`` (0.x only).
            options: Options of the call.

        Raises:
            ModelNotFound, ModelNotCached, LoadFailed: As the service says.
            UnsupportedByService: It has no time to live, or takes no provider.
        """
        return self._loading.load(_wanted(name, device, ttl, provider), self._patient(options))

    def unload(self, name: str, *, force: bool = True, **options: Unpack[CallOptions]) -> None:
        """Drop a model from memory; one that is not loaded stays as it is.

        Where dropping a model ends the answers that run on it (1.x: the whole service), those of this
        client are let end first, for as long as ``FOUNDRY_TIMEOUT`` says or the deadline grants.

        Args:
            name: Alias or id.
            force: ``False`` leaves a model alone whose time to live is not over (0.x; others have none).
            options: Options of the call.

        Raises:
            ModelInUse: An answer still runs on it, or a stored response holds it.
            LoadFailed: The service refuses for another reason.
            DeadlineExceeded: Requests of this client still run on it.
        """
        self._unloading.unload(check_model_name(name), self._patient(options), force=flag("force", force))

    def unload_all(self, *, force: bool = True, **options: Unpack[CallOptions]) -> Ids:
        """Drop every model from memory and return their ids; ``force`` as for ``unload``."""
        return self._unloading.unload_all(self._patient(options), force=flag("force", force))

    def ensure_loaded(self, name: str, **options: Unpack[CallOptions]) -> ModelInfo:
        """Load a model unless it is in memory already, and return it."""
        checked = self._patient(options)
        found = best_match(check_model_name(name), self._inventory.loaded(checked))
        if found is None:
            return self._loading.load(_wanted(name), checked)
        self._context.names.learn(name, found)
        return found

    def download(
        self,
        name: str,
        *,
        progress: Callable[[DownloadStep], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Fetch a model onto the service's machine and return it; one that is there is not fetched again.

        0.x downloads over REST, the embedded runtime of this client through Microsoft's SDK.

        Args:
            name: Alias or id of the catalog.
            progress: Told each step.
            options: Options of the call; ``timeout`` bounds the silence between two steps, which is long for
                large files.

        Raises:
            UnsupportedByService: Neither is there; the advice tells the way out.
            StreamInterrupted: The service left before it said that the model is there.
        """
        return self._downloads.run(_wanted(name), progress or (lambda step: None), self._patient(options))

    def _patient(self, given: CallOptions) -> Options:
        """Return options in which ``timeout`` bounds the silence of a load, too."""
        return self._context.options(**given).loading(given.get("timeout"))


def _wanted(name: str, device: str | None = None, ttl: int | None = None, provider: str = "") -> Wanted:
    if device is not None and (not isinstance(device, str) or device.upper() not in DEVICES):
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if ttl is not None:
        whole_number("ttl", ttl, 1)
    if not isinstance(provider, str):
        raise ConfigError(f"provider must be text such as 'cuda', not {provider!r}")
    return Wanted(check_model_name(name), (device or "").upper(), ttl, provider)
