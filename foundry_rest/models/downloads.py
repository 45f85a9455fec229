"""Downloads of models, and the load after one: by the embedded runtime if there is one, else over REST."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from foundry_rest.errors import ModelNotCached, ModelNotFound, UnsupportedByService
from foundry_rest.models.disk import local_folder
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.models.names import best_match
from foundry_rest.models.room import check_room
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.stream.download import DownloadStream
from foundry_rest.transport.call import Options

if TYPE_CHECKING:
    from foundry_rest.models.progress import Progress

_LOADS = DownloadStep(phase="load")
_READY = DownloadStep(phase="ready", fraction=1.0, done=True)


class Downloads:
    """The downloads of models onto the service's machine, and what follows them."""

    def __init__(self, context: Context, inventory: Inventory, loading: Loading) -> None:
        self._context, self._inventory, self._loading = context, inventory, loading

    def run(self, request: LoadRequest, progress: Progress, options: Options) -> ModelInfo:
        """Download a model unless it is on disk, and return it; call ``progress`` with every step."""
        info = self._bring(request, progress, options)
        progress(DownloadStep(fraction=1.0, done=True))
        return info

    def ensure_loaded(
        self, request: LoadRequest, progress: Progress, options: Options, *, download: bool
    ) -> ModelInfo:
        """Load a model unless it is in memory, after a download if it must be, and return it."""
        found = best_match(request.name, self._inventory.loaded(options), request.device)
        if found is not None:
            self._context.names.learn(request.name, found)
        elif not download:
            found = self._load(request, progress, options)
        elif self._can_download(options):
            self._bring(request, progress, options)
            found = self._load(request, progress, options)
        else:
            found = self._load_what_is_there(request, progress, options)
        progress(_READY)
        return found

    def _load(self, request: LoadRequest, progress: Progress, options: Options) -> ModelInfo:
        progress(_LOADS)
        return self._loading.load(request, options)

    def _load_what_is_there(self, request: LoadRequest, progress: Progress, options: Options) -> ModelInfo:
        """Load a model where nothing can be downloaded; the load shows whether it is on disk."""
        try:
            return self._load(request, progress, options)
        except ModelNotCached as error:
            self._refuse(request, options, error)

    def _bring(self, request: LoadRequest, progress: Progress, options: Options) -> ModelInfo:
        """Return the model when it is on disk; the last step is left to the caller."""
        info = self._listed(request, options)
        if info is not None and (info.cached or info.loaded):
            return info
        if not self._can_download(options):
            self._refuse(request, options)
        if info is not None:
            self._check_room(info, options)
        name = request.name if info is None else info.id
        if self._context.fetch is not None:
            self._context.fetch(name, lambda step: step.done or progress(step), options)
        else:
            self._download_over_rest(info or self._loading.resolve(request, options), progress, options)
        return self._there(LoadRequest(name), options)

    def _there(self, request: LoadRequest, options: Options) -> ModelInfo:
        """Return the model that was downloaded, unless the disk shows that it was not."""
        info = self._loading.resolve(request, options)
        if info.cached is False:
            raise ModelNotCached(
                "the service says that the model was downloaded, and it is not on its disk",
                model=request.name,
                call="models.download",
                advice="Start the service again, if the model's folder was deleted while it ran.",
            )
        return info

    def _check_room(self, info: ModelInfo, options: Options) -> None:
        if info.size is not None:
            status = self._context.ask(lambda target: target.dialect.status(options), options)
            check_room(info, local_folder(status.cache_path, self._context.url))

    def _can_download(self, options: Options) -> bool:
        return self._context.fetch is not None or self._context.dialect_for(options).models().has("download")

    def _refuse(
        self, request: LoadRequest, options: Options, cause: ModelNotCached | None = None
    ) -> NoReturn:
        """Raise UnsupportedByService for a model that this service cannot fetch."""
        try:
            self._context.dialect_for(options).models().unsupported_download()
        except UnsupportedByService as error:
            error.call, error.model = "models.download", request.name
            raise error from cause

    def _listed(self, request: LoadRequest, options: Options) -> ModelInfo | None:
        """Return the model as the service lists it, if it does; for a device it has to."""
        try:
            return self._loading.resolve(request, options)
        except ModelNotFound:
            if request.device:
                raise
            return None

    def _download_over_rest(self, info: ModelInfo, progress: Progress, options: Options) -> None:
        steps = self._context.open(
            DownloadStream, lambda target: target.dialect.models().download(info, options), options
        )
        with steps:
            for step in steps:
                if not step.done:
                    progress(step)
