"""The commands about models: ``models`` (and ``rm``), ``show``, ``load``, ``unload`` and ``download``."""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Callable

from foundry_rest.cli.client import client_for, settings_of
from foundry_rest.cli.output import print_json, print_model, print_models
from foundry_rest.cli.progress import download_progress
from foundry_rest.cli.streams import print_note, print_text
from foundry_rest.client import FoundryAPIClient
from foundry_rest.control_characters import visible
from foundry_rest.endpoints.models import Models
from foundry_rest.errors import ConfigError, ServiceNotFound, UnsupportedByService
from foundry_rest.errors.advice import Advice
from foundry_rest.models.room import amount
from foundry_rest.schema import ModelInfo


def _on_disk(models: Models) -> list[ModelInfo]:
    """Return the models on disk; all that are listed, where a service on another machine does not tell."""
    try:
        return models.cached()
    except UnsupportedByService:
        print_note("The service is on another machine and tells no disk: these are all that it lists.")
        return models.catalog()


#: Which models -> the method that lists them, and the text when there are none.
_LISTS: dict[str, tuple[Callable[[Models], list[ModelInfo]], str]] = {
    "known": (Models.catalog, "The service lists no models."),
    "cached": (Models.cached, "No model is on disk."),
    "loaded": (Models.loaded, "No model is in memory."),
    "here": (_on_disk, "No model is on disk; fetch one with: foundry-rest pull NAME"),
}


def models(arguments: Namespace) -> int:
    """List models, or remove one."""
    if arguments.action == "remove":
        return remove(arguments)
    if arguments.yes:
        raise ConfigError("--yes belongs to: foundry-rest models remove NAME")
    list_models, if_none = _LISTS[arguments.which]
    with client_for(arguments) as client:
        found = list_models(client.models)
    if arguments.json:
        print_json([info.to_dict() for info in found])
    elif found:
        print_models(found)
    else:
        print_note(if_none)
    return 0


def remove(arguments: Namespace) -> int:
    """Delete a model from the disk and print its id; on a terminal, once that was confirmed."""
    if not arguments.name or arguments.which != "known":
        raise ConfigError("models remove takes the NAME of one model, and no --cached or --loaded")
    with client_for(arguments) as client:
        name = arguments.name
        if not arguments.yes and sys.stdin is not None and sys.stdin.isatty():
            info = client.models.resolve(name)
            if not _confirmed(f"Delete {info.id} from the disk{_of_size(info)}? [y/N] "):
                print_note("Nothing was deleted.")
                return 1
            name = info.id
        removed = client.models.remove(name)
    _print_model(removed, arguments)
    return 0


def _confirmed(question: str) -> bool:
    sys.stderr.write(visible(question))
    sys.stderr.flush()
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def _of_size(info: ModelInfo) -> str:
    return "" if info.size is None else f" ({amount(info.size)})"


def show(arguments: Namespace) -> None:
    """Print what is known of one model."""
    with client_for(arguments) as client:
        info = client.models.resolve(arguments.name, device=arguments.device)
    if arguments.json:
        print_json(info.to_dict())
    else:
        print_model(info)


def load(arguments: Namespace) -> None:
    """Load a model and print its id."""
    with client_for(arguments) as client:
        info = client.models.load(
            arguments.name, ttl=arguments.ttl, device=arguments.device, timeout=arguments.timeout
        )
    _print_model(info, arguments)


def unload(arguments: Namespace) -> None:
    """Unload a model, or all of them and print their ids."""
    with client_for(arguments) as client:
        if not arguments.all:
            client.models.unload(arguments.name, force=not arguments.respect_ttl)
            unloaded, said = [arguments.name], f"{arguments.name} is not in memory."
        else:
            unloaded = client.models.unload_all(force=not arguments.respect_ttl)
            said = "\n".join(unloaded)
    if arguments.json:
        print_json({"unloaded": unloaded})
    elif arguments.all and unloaded:
        print_text(said)
    else:
        print_note(said or _LISTS["loaded"][1])


def download(arguments: Namespace) -> None:
    """Download a model and print its id."""
    with _downloading_client(arguments) as client:
        try:
            with download_progress(arguments.name, quiet=arguments.json) as report_step:
                info = client.models.download(arguments.name, progress=report_step, timeout=arguments.timeout)
        except ServiceNotFound as error:
            # On a new machine this is the first command; nobody there has a service yet.
            without = f"Without a service: foundry-rest pull {arguments.name} --embedded."
            error.advice = Advice(error.advice, without)
            raise
        _print_model(info, arguments)


def _downloading_client(arguments: Namespace) -> FoundryAPIClient:
    if not arguments.embedded:
        return client_for(arguments)
    if not arguments.json:
        print_note("Starting the embedded Foundry Local runtime on the public catalog ...")
    given = settings_of(arguments)
    given.pop("auto_start", None)
    return FoundryAPIClient.embedded(**given)


def _print_model(info: ModelInfo, arguments: Namespace) -> None:
    if arguments.json:
        print_json(info.to_dict())
    else:
        print_text(info.id)
