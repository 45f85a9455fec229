"""The client that a command uses, made from its arguments."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from foundry_rest.client import FoundryAPIClient
from foundry_rest.client.arguments import ClientArguments
from foundry_rest.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Unpack

_FORM = "Write --header NAME:VALUE, or --header @FILE for a file with such lines."


def client_for(arguments: Namespace, **more: Unpack[ClientArguments]) -> FoundryAPIClient:
    """Return a client for the options about the service; ``more`` wins over them."""
    settings = settings_of(arguments)
    settings.update(more)
    return FoundryAPIClient(arguments.url, **settings)


def settings_of(arguments: Namespace) -> ClientArguments:
    """Return the settings that options give."""
    return {
        "timeout": arguments.timeout,
        "deadline": arguments.deadline,
        "retries": arguments.retries,
        "headers": headers_of(arguments.header or ()),
        # None, not False, when the option is not given: a FOUNDRY_ variable may set it.
        "auto_start": arguments.start or None,
    }


def headers_of(given: Iterable[str]) -> dict[str, str]:
    """Return the headers of ``NAME:VALUE`` and ``@FILE``; a later one wins.

    Empty lines of a file and those that begin with ``#`` are left out. A file keeps a key out of the list of
    processes.

    Raises:
        ConfigError: One has another form, or a file cannot be read; the value is not shown, it may be a key.
    """
    headers = {}
    for line in _lines(given):
        name, mark, value = line.partition(":")
        if not mark or not name.strip():
            raise ConfigError("a header has no name or no value", advice=_FORM)
        headers[name.strip()] = value.strip()
    return headers


def _lines(given: Iterable[str]) -> Iterator[str]:
    for each in given:
        if not each.startswith("@"):
            yield each
            continue
        try:
            text = Path(each[1:]).expanduser().read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"the headers in {each[1:]} cannot be read: {error}", advice=_FORM) from error
        yield from (line for line in text.splitlines() if line.strip() and not line.startswith("#"))
