"""Downloading a model: over REST where the service can, else through the embedded runtime."""

from __future__ import annotations

from collections.abc import Callable

from foundry_rest.models.loading import Loading, Wanted
from foundry_rest.schema import DownloadStep, ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.stream.download import DownloadStream
from foundry_rest.transport.call import Options

Tell = Callable[[DownloadStep], object]


class Downloads:
    """The downloads of models onto the service's machine."""

    def __init__(self, context: Context, loading: Loading) -> None:
        self._context, self._loading = context, loading

    def run(self, wanted: Wanted, tell: Tell, options: Options) -> ModelInfo:
        """Fetch a model unless it is there, and return it; every step is told."""
        if self._context.fetch is not None:
            self._context.fetch(wanted.name, tell, options)
            return self._loading.resolve(wanted, options)
        dialect = self._context.dialect_for(options)
        if not dialect.has("download_model"):
            dialect.unsupported_download()
        info = self._loading.resolve(wanted, options)
        if not info.cached:
            self._over_rest(info, tell, options)
            info = self._loading.resolve(Wanted(info.id), options)
        tell(DownloadStep(fraction=1.0, done=True))
        return info

    def _over_rest(self, info: ModelInfo, tell: Tell, options: Options) -> None:
        steps = self._context.open(
            DownloadStream, lambda target: target.dialect.download_model(info, options), options
        )
        with steps:
            for step in steps:
                if not step.done:
                    tell(step)
