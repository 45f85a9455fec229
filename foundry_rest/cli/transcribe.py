"""The command ``transcribe``: the words that are spoken in a file."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.streams import print_text
from foundry_rest.errors import FoundryError

#: Options that are parameters of the same name.
_PARAMETERS = ("model", "language", "temperature", "prompt")


def transcribe(arguments: Namespace) -> None:
    """Print the words, or those that came before an error."""
    given: dict[str, Any] = {name: getattr(arguments, name) for name in _PARAMETERS}
    with client_for(arguments) as client:
        try:
            reply = client.audio.transcribe(arguments.file, **given)
        except FoundryError as error:
            if not arguments.json and (text := getattr(error, "text", "")):
                print_text(text)
            raise
    if arguments.json:
        print_json(reply.to_dict())
    else:
        print_text(reply.text)
