"""Downloads of models: through the embedded runtime if there is one, else over REST."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from foundry_rest.errors import ModelNotFound
from foundry_rest.models.loading import Loading, LoadRequest
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.stream.download import DownloadStream
from foundry_rest.transport.call import Options

Progress = Callable[[DownloadStep], object]


class Downloads:
    """The downloads of models onto the service's machine."""

    def __init__(self, context: Context, loading: Loading) -> None:
        self._context, self._loading = context, loading

    def run(self, request: LoadRequest, progress: Progress, options: Options) -> ModelInfo:
        """Download a model unless it is cached, and return it; call ``progress`` with every step."""
        if self._context.fetch is not None:
            self._context.fetch(request.name, progress, options)
            return self._loading.resolve(request, options)
        dialect = self._context.dialect_for(options)
        if not dialect.has("download_model"):
            info = self._present(request, options)
            if info is None:
                dialect.unsupported_download()
            progress(DownloadStep(fraction=1.0, done=True))
            return info
        info = self._loading.resolve(request, options)
        if not info.cached:
            self._download_over_rest(info, progress, options)
            info = self._loading.resolve(LoadRequest(info.id), options)
        progress(DownloadStep(fraction=1.0, done=True))
        return info

    def _present(self, request: LoadRequest, options: Options) -> ModelInfo | None:
        """Return the model if the service has it already, and nothing need be downloaded."""
        with suppress(ModelNotFound):
            info = self._loading.resolve(request, options)
            if info.cached or info.loaded:
                return info
        return None

    def _download_over_rest(self, info: ModelInfo, progress: Progress, options: Options) -> None:
        steps = self._context.open(
            DownloadStream, lambda target: target.dialect.download_model(info, options), options
        )
        with steps:
            for step in steps:
                if not step.done:
                    progress(step)
