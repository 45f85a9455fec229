"""Removal of a model from the disk of a service on this machine.

No generation has a route for it. What is deleted is gone, so all is checked before anything is begun: which
model is meant, that the service runs here, and that its folder is the service's own, of this user, without a
link. Then it is unloaded, deleted, and forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from msgspec.structs import replace

from foundry_rest.errors import ConfigError, UnsupportedByService
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.disk import local_folder, model_folders
from foundry_rest.models.folders import delete, obstacle
from foundry_rest.models.inventory import Inventory
from foundry_rest.models.loading import LoadRequest, not_found
from foundry_rest.models.names import best_match
from foundry_rest.models.unloading import Unloading
from foundry_rest.schema import ModelInfo
from foundry_rest.services.context import Context
from foundry_rest.services.listeners import pids_at
from foundry_rest.transport.call import Options

_LABEL = "models.remove"
#: Programs that listen here for a service elsewhere, whose model directory may have the name of one here.
_FORWARDERS = frozenset(("ssh", "sshd", "autossh", "socat", "kubectl", "docker-proxy")) | {
    *("rootlessport", "com.docker.backend", "wslrelay")
}
_ELSEWHERE = Advice("Remove it where the service runs, for instance by the command `foundry cache remove`.")


class Removal:
    """The removal of models from the disk."""

    def __init__(self, context: Context, inventory: Inventory, unloading: Unloading) -> None:
        self._context, self._inventory, self._unloading = context, inventory, unloading

    def remove(self, name: str, options: Options) -> ModelInfo:
        """Unload a model and delete its folder; do nothing if it is not on disk."""
        directory = self._directory(options)
        folders = list(model_folders(directory))
        models = self._inventory.catalog(options)
        info = self._meant(name, models, [id_ for id_, _ in folders], options)
        if info.cached:
            self._delete(info, [folder for id_, folder in folders if id_ == info.id], directory, options)
        return replace(info, cached=False, loaded=False)

    def _directory(self, options: Options) -> Path:
        """Return the model directory of the service, which has to run on this machine."""
        status = self._context.ask(lambda target: target.dialect.status(options), options)
        url = self._context.url
        directory = local_folder(status.cache_path, url)
        is_here = directory is not None and (self._context.forget is not None or runs_here(url, status.pid))
        if directory is None or not is_here:
            self._refuse("the service's model directory is not seen to be on this machine", "", options)
        return directory

    def _meant(self, name: str, models: list[ModelInfo], ids: Sequence[str], options: Options) -> ModelInfo:
        """Return the one model that a name means, as far as those on disk are concerned."""
        on_disk = [info for info in models if info.id in ids and is_named(info, name)]
        if len(on_disk) > 1:
            listed = ", ".join(info.id for info in on_disk)
            raise ConfigError(
                f"the name means several models on the disk: {listed}",
                call=_LABEL,
                model=name,
                advice="Give the id of one.",
            )
        if on_disk:
            return on_disk[0]
        listed_as = best_match(name, models)
        if listed_as is None:
            raise not_found(LoadRequest(name), models)
        if listed_as.cached:
            self._refuse("no folder in the service's model directory has the model's id", name, options)
        return listed_as

    def _delete(self, info: ModelInfo, folders: list[Path], directory: Path, options: Options) -> None:
        if len(folders) > 1:
            places = ", ".join(map(str, folders))
            raise _refusal(info, f"it lies in several folders, of which one may not be its own: {places}")
        (folder,) = folders
        if reason := obstacle(folder, directory):
            raise _refusal(info, f"{folder} is not deleted: {reason}")
        if info.loaded:
            self._unloading.unload(info.id, options, force=True)
        delete(folder, directory)
        self._context.names.forget(info.id)
        if self._context.forget is not None:
            self._context.forget(info.id, options)

    def _refuse(self, why: str, name: str, options: Options) -> NoReturn:
        raise UnsupportedByService(
            why,
            call=_LABEL,
            url=self._context.url,
            model=name,
            feature="removal of a model",
            generation=self._context.dialect_for(options).generation,
            advice=_ELSEWHERE,
        )


def is_named(info: ModelInfo, name: str) -> bool:
    """Return whether a name means a model: a version in it has to be the model's, where others forgive."""
    return name.casefold() == info.id.casefold() if ":" in name else info.has_name(name)


def runs_here(url: str, pid: int | None) -> bool:
    """Return whether a service at a loopback address is seen to be a process of this machine.

    Args:
        url: Its address.
        pid: Its process, as it tells itself; ``None`` when it does not.
    """
    import psutil

    try:
        pids = pids_at(url)
        if pid is not None:
            return pid in pids
        names = {psutil.Process(each).name().removesuffix(".exe") for each in pids}
    except (psutil.Error, OSError, RuntimeError):
        return False
    return bool(names) and not names & _FORWARDERS


def _refusal(info: ModelInfo, why: str) -> ConfigError:
    return ConfigError(
        why,
        call=_LABEL,
        model=info.id,
        advice=Advice(
            Words(
                "If it is to go, delete it by hand, or leave it out of model_dirs.",
                "If it is to go, delete it by hand, or leave it out of --model-dir.",
            )
        ),
    )
