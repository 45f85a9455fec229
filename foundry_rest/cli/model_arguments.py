"""The arguments of the commands about models."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import MODEL_HELP, add_options, add_service_options


def add_models(models: argparse.ArgumentParser) -> None:
    """Add the arguments of ``models``."""
    which = models.add_mutually_exclusive_group()
    models.set_defaults(which="known")
    for name, text in (("cached", "only those on its disk"), ("loaded", "only those in its memory")):
        which.add_argument(f"--{name}", action="store_const", dest="which", const=name, help=text)
    add_options(models, "json")
    models.add_argument("action", nargs="?", choices=("remove",), help="delete the model NAME from the disk")
    models.add_argument("name", nargs="?", metavar="NAME", help=MODEL_HELP)
    _add_yes(models)
    add_service_options(models)


def add_rm(models: argparse.ArgumentParser) -> None:
    """Add the arguments of ``rm``."""
    models.add_argument("name", metavar="NAME", help=MODEL_HELP)
    models.set_defaults(action="remove", which="known")
    _add_yes(models)
    add_options(models, json="print the model as JSON")
    add_service_options(models)


def add_list(models: argparse.ArgumentParser) -> None:
    """Add the arguments of ``list``."""
    text = "all that the service knows, those of its catalog, too"
    models.add_argument("--all", action="store_const", dest="which", const="known", help=text)
    models.set_defaults(which="here", action=None, yes=False)
    add_options(models, "json")
    add_service_options(models)


def add_ps(models: argparse.ArgumentParser) -> None:
    """Add the arguments of ``ps``."""
    models.set_defaults(which="loaded", action=None, yes=False)
    add_options(models, "json")
    add_service_options(models)


def add_show(show: argparse.ArgumentParser) -> None:
    """Add the arguments of ``show``."""
    show.add_argument("name", metavar="NAME", help=MODEL_HELP)
    _add_device(show)
    add_options(show, json="print the model as JSON")
    add_service_options(show)


def _add_yes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="delete it without a question on the terminal")


def _add_device(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", metavar="D", help="only a variant for NPU, GPU or CPU")


def add_load(load: argparse.ArgumentParser) -> None:
    """Add the arguments of ``load``."""
    load.add_argument("name", metavar="NAME", help=MODEL_HELP)
    load.add_argument("--ttl", type=int, metavar="S", help="seconds without use after which it may go (0.x)")
    _add_device(load)
    add_options(load, json="print the model as JSON")
    add_service_options(load, timeout="seconds the load may take (default 600)")


def add_unload(unload: argparse.ArgumentParser) -> None:
    """Add the arguments of ``unload``."""
    which = unload.add_mutually_exclusive_group(required=True)
    which.add_argument("name", nargs="?", metavar="NAME", help=MODEL_HELP)
    which.add_argument("--all", action="store_true", help="every model in memory")
    unload.add_argument(
        "--respect-ttl", action="store_true", help="keep it until its time to live is over (0.x)"
    )
    add_options(unload, json="print the names of what was unloaded as JSON")
    add_service_options(unload)


def add_download(download: argparse.ArgumentParser) -> None:
    """Add the arguments of ``download``."""
    download.add_argument("name", metavar="NAME", help=MODEL_HELP)
    add_options(download, json="print the model as JSON")
    silence = "longest silence between two steps, in seconds (default 600)"
    where = add_service_options(download, timeout=silence)
    where.add_argument(
        "--embedded",
        action="store_true",
        help="fetch it with the embedded runtime, which then serves it; needs no service",
    )
