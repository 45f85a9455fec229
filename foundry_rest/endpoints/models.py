"""Models: list, resolve, load, unload, download.

A model has an id (``phi-4-mini-instruct-generic-cpu:5``) and an alias (``phi-4-mini``), and each generation
expects one of them in some requests and the other in others. Users may give either. Which model a name means
is read from the service's lists and its catalog file, else from what loading an alias adds to the list of
loaded models.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cached_property
from typing import TYPE_CHECKING

from foundry_rest.checks import flag
from foundry_rest.endpoints.model_lists import ModelLists, load_request
from foundry_rest.errors import NotFound, UnsupportedByService
from foundry_rest.errors.process import late_import
from foundry_rest.schema import ModelInfo
from foundry_rest.schema.request import check_model_name
from foundry_rest.transport.call import Options
from foundry_rest.transport.call_options import CallOptions

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from foundry_rest.models.downloads import Downloads
    from foundry_rest.models.progress import GivenProgress, Progress
    from foundry_rest.models.unloading import Unloading

#: Alias of a type, because ``Models.list`` hides the builtin inside the class.
Ids = list[str]


class Models(ModelLists):
    """The endpoint that manages the service's models.

    Every method accepts the options of a call, see ``CallOptions``; ``timeout`` also bounds the silence of a
    load or a download (``Timeouts.load`` by default).
    """

    @cached_property
    def _unloading(self) -> Unloading:
        """Return what unloads; imported at its first use, as the next one is."""
        with late_import():
            from foundry_rest.models.unloading import Unloading

        return Unloading(self._context, self._inventory, self._loading)

    @cached_property
    def _downloads(self) -> Downloads:
        with late_import():
            from foundry_rest.models.downloads import Downloads

        return Downloads(self._context, self._inventory, self._loading)

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
        return self._loading.load(load_request(name, device, ttl, provider), self._load_options(options))

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

    def ensure_loaded(
        self,
        name: str,
        *,
        download: bool = False,
        progress: GivenProgress = None,
        device: str | None = None,
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Load a model, unless the service lists it as loaded, and return it.

        Args:
            name: Alias or id.
            download: Whether a model that is not on disk is downloaded first, as by ``download()``.
            progress: Function that is called with each step, or ``True`` to have the steps drawn, as for
                ``download()``. ``step.phase`` tells what goes on: ``"download"``, ``"load"``, and at the end
                one step ``"ready"``; a phase that there is no need of is left out.
            device: ``"NPU"``, ``"GPU"`` or ``"CPU"`` for a variant for this device only.
            options: Options of the call; the deadline is that of all phases together.

        Raises:
            ModelNotFound, ModelNotCached, LoadFailed: The service could not load it for this reason.
            UnsupportedByService: It must be downloaded, and this service cannot; the advice names who can.
            ConfigError: The disk has no room for it.
            StreamInterrupted: The download broke off; the next call goes on.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.ensure_loaded("phi-4-mini").loaded
            True
        """
        request = load_request(name, device)
        with self._shown(progress, name) as tell:
            return self._downloads.ensure_loaded(
                request, tell, self._load_options(options), download=flag("download", download)
            )

    def download(
        self,
        name: str,
        *,
        progress: GivenProgress = None,
        **options: Unpack[CallOptions],
    ) -> ModelInfo:
        """Download a model to the service's machine, unless it is there, and return it.

        0.x downloads over REST, the embedded runtime through Microsoft's SDK. A model that is there already
        is returned by every service.

        Args:
            name: Alias or id of the catalog.
            progress: Function that is called with each step; ``True`` draws them on the terminal of stderr,
                or in the notebook, and nothing elsewhere.
            options: Options of the call; ``timeout`` bounds the silence between two steps, which is long for
                large files.

        Raises:
            UnsupportedByService: The service is neither of them; the advice names alternatives.
            ConfigError: The disk has no room for it.
            StreamInterrupted: The service closed the connection before it reported the end.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.download("phi-4-mini").cached
            True
        """
        request = load_request(name)
        with self._shown(progress, name) as tell:
            return self._downloads.run(request, tell, self._load_options(options))

    def remove(self, name: str, **options: Unpack[CallOptions]) -> ModelInfo:
        """Delete a model from the disk of a service on this machine, and return it; unload it first.

        What is deleted is gone: only ``download()`` brings it back. No service has a route for it, so the
        model's own folder in the service's model directory is deleted, and nothing else: no folder that a
        link leads to or that holds a link, as those of ``model_dirs`` do, and none of another user. A model
        that is not on disk is left so. Another program's service may list the model until it starts again.

        Args:
            name: Alias or id; of several variants on disk only an id means one.
            options: Options of the call.

        Raises:
            UnsupportedByService: The service runs on another machine, or is not seen to run on this one.
            ConfigError: The name means several models on disk, or the folder must not be deleted.
            ModelNotFound: The service lists no such model.
            ModelInUse: A request still uses it; nothing was deleted.

        Options: timeout, deadline, retries, headers, cancel, lane, cache.

        Example:
            >>> client.models.remove("phi-4-mini").cached
            False
        """
        with late_import():
            from foundry_rest.models.removal import Removal

        checked = check_model_name(name), self._load_options(options)
        return Removal(self._context, self._inventory, self._unloading).remove(*checked)

    @staticmethod
    def _shown(progress: GivenProgress, name: str) -> AbstractContextManager[Progress]:
        with late_import():
            from foundry_rest.models.progress import shown

        return shown(progress, name)

    def _load_options(self, given: CallOptions) -> Options:
        """Return the options of a call, with ``timeout`` as the longest silence of a load, too."""
        return self._context.options(**given).loading(given.get("timeout"))
