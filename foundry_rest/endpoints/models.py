"""Models: list, resolve, load, unload, download.

A model has an id (``phi-4-mini-instruct-generic-cpu:5``) and an alias (``phi-4-mini``), and each generation
expects one of them in some requests and the other in others. Users may give either. Which model a name means
is read from the service's lists and its catalog file, else from what loading an alias adds to the list of
loaded models.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

from foundry_rest.checks import flag, whole_number
from foundry_rest.errors import ConfigError, NotFound, UnsupportedByService
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.models.names import DEVICES, best_match
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.services.context import Context
from foundry_rest.transport.call import Options
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.models.downloads import Downloads
    from foundry_rest.models.unloading import Unloading

#: Aliases of types, because ``Models.list`` hides the builtin inside the class.
ModelList = list[ModelInfo]
Ids = list[str]


class Models:
    """The endpoint that manages the service's models.

    Every method accepts the options of a call, see ``CallOptions``; ``timeout`` also bounds the silence of a
    load or a download (``Timeouts.load`` by default).
    """

    def __init__(self, context: Context) -> None:
        self._context = context
        self._inventory = Inventory(context)
        self._loading = Loading(context, self._inventory)

    @cached_property
    def _unloading(self) -> Unloading:
        """Return what unloads; imported at its first use, as the next one is."""
        from foundry_rest.models.unloading import Unloading

        return Unloading(self._context, self._inventory, self._loading)

    @cached_property
    def _downloads(self) -> Downloads:
        from foundry_rest.models.downloads import Downloads

        return Downloads(self._context, self._loading)

    def catalog(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model that the service knows, cached or not.

        A service on another machine reports less, and the other fields stay empty: 2.x lists bare ids, 1.x
        only cached models. On 2.x the first call may wait for the public catalog (4.5 s offline).

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.catalog()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self._inventory.catalog(self._context.options(**options))

    def list(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return every model that the service knows; another name for ``catalog()``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.list()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self.catalog(**options)

    def cached(self, **options: Unpack[CallOptions]) -> ModelList:
        """Return the models that are on the service's disk.

        Raises:
            UnsupportedByService: The service is on another machine and has no such list.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.cached()]
            ['phi-4-mini-instruct-generic-cpu:5']
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
        """Return the models in memory.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> [info.id for info in client.models.loaded()]
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self._inventory.loaded(self._context.options(**options))

    def resolve(self, name: str, *, device: str | None = None, **options: Unpack[CallOptions]) -> ModelInfo:
        """Return the model for an alias, an id, or an id without version, ignoring case.

        Of several variants one on disk comes first, then the fastest device (NPU, GPU, CPU), then the newest
        version.

        Args:
            name: Alias or id.
            device: ``"NPU"``, ``"GPU"`` or ``"CPU"`` for a variant for this device only.
            options: Options of the call.

        Raises:
            ModelNotFound: The service lists no such model; ``suggestions`` holds similar names.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.resolve("phi-4-mini-instruct-generic-cpu").version
            '5'
        """
        return self._loading.resolve(_load_request(name, device), self._context.options(**options))

    def id_of(self, name: str, **options: Unpack[CallOptions]) -> str:
        """Return the exact id that an alias or id stands for.

        A name that a server does not list, or of which it has no list, is returned as it is where the server
        itself decides what it means. Where it takes exact ids only, the model is loaded, because a list of
        ids does not tell the aliases.

        Raises:
            ModelNotFound: The service takes exact ids only, and has no such model.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.id_of("phi-4-mini")
            'phi-4-mini-instruct-generic-cpu:5'
        """
        try:
            return self.resolve(name, **options).id
        except (NotFound, UnsupportedByService):
            if self._context.dialect_for(self._context.options(**options)).asks_by_id:
                return self.load(name, **options).id
            return name

    def load(
        self,
        name: str,
        *,
        ttl: int | None = None,
        device: str | None = None,
        provider: str = "",
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Load a model into memory, unless it is loaded, and return it.

        Args:
            name: Alias or id.
            ttl: Seconds without use until the service unloads it (0.x only; 600 there by default).
            device: ``"NPU"``, ``"GPU"`` or ``"CPU"`` for a variant for this device only.
            provider: Execution provider in place of the variant's own, such as ``"cuda"`` (0.x only).
            options: Options of the call.

        Raises:
            ModelNotFound, ModelNotCached, LoadFailed: The service could not load it for this reason.
            UnsupportedByService: The service does not support ``ttl`` or ``provider``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.load("phi-4-mini").id
            'phi-4-mini-instruct-generic-cpu:5'
        """
        return self._loading.load(_load_request(name, device, ttl, provider), self._load_options(options))

    def unload(self, name: str, *, force: bool = True, **options: Unpack[CallOptions]) -> None:
        """Unload a model from memory; do nothing if it is not loaded.

        Where unloading a model breaks the requests that use it (on 1.x it ends the whole service), those of
        this client are waited for, as long as ``FOUNDRY_TIMEOUT`` and the deadline allow.

        Args:
            name: Alias or id.
            force: ``False`` to keep a model whose time to live is not over (0.x; the others have none).
            options: Options of the call.

        Raises:
            ModelInUse: A request still uses it, or a stored response holds it.
            LoadFailed: The service refused for another reason.
            DeadlineExceeded: Requests of this client still use it.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.unload("phi-4-mini")
            >>> client.models.loaded()
            []
        """
        self._unloading.unload(
            check_model_name(name), self._load_options(options), force=flag("force", force)
        )

    def unload_all(self, *, force: bool = True, **options: Unpack[CallOptions]) -> Ids:
        """Unload every model and return their ids; ``force`` as for ``unload``.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.unload_all()
            ['phi-4-mini-instruct-generic-cpu:5']
        """
        return self._unloading.unload_all(self._load_options(options), force=flag("force", force))

    def ensure_loaded(self, name: str, **options: Unpack[CallOptions]) -> ModelInfo:
        """Load a model, unless the service lists it as loaded, and return it.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.ensure_loaded("phi-4-mini").loaded
            True
        """
        checked = self._load_options(options)
        found = best_match(check_model_name(name), self._inventory.loaded(checked))
        if found is None:
            return self._loading.load(_load_request(name), checked)
        self._context.names.learn(name, found)
        return found

    def download(
        self,
        name: str,
        *,
        progress: Callable[[DownloadStep], object] | None = None,
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Download a model to the service's machine, unless it is there, and return it.

        0.x downloads over REST, the embedded runtime through Microsoft's SDK.

        Args:
            name: Alias or id of the catalog.
            progress: Function that is called with each step.
            options: Options of the call; ``timeout`` bounds the silence between two steps, which is long for
                large files.

        Raises:
            UnsupportedByService: The service is neither of them; the advice names alternatives.
            StreamInterrupted: The service closed the connection before it reported the end.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.download("phi-4-mini").cached
            True
        """
        return self._downloads.run(
            _load_request(name), progress or (lambda step: None), self._load_options(options)
        )

    def _load_options(self, given: CallOptions) -> Options:
        """Return the options of a call, with ``timeout`` as the longest silence of a load, too."""
        return self._context.options(**given).loading(given.get("timeout"))


def _load_request(
    name: str, device: str | None = None, ttl: int | None = None, provider: str = ""
) -> LoadRequest:
    if device is not None and (not isinstance(device, str) or device.upper() not in DEVICES):
        raise ConfigError(f"device must be one of {', '.join(DEVICES)}, not {device!r}")
    if ttl is not None:
        whole_number("ttl", ttl, 1)
    if not isinstance(provider, str):
        raise ConfigError(f"provider must be text such as 'cuda', not {provider!r}")
    return LoadRequest(check_model_name(name), (device or "").upper(), ttl, provider)
