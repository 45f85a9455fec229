"""The command ``embed``: vectors of texts, for programs."""

from __future__ import annotations

from argparse import Namespace

from foundry_rest.cli.client import client_for
from foundry_rest.cli.output import print_json
from foundry_rest.cli.prompt import read_prompt


def embed(arguments: Namespace) -> None:
    """Print the vector of each text on a line, or with ``--json`` one object with model and usage."""
    texts = [read_prompt("-") if text == "-" else text for text in arguments.text or ["-"]]
    with client_for(arguments) as client:
        reply = client.embeddings.create(texts, model=arguments.model)
    if arguments.json:
        print_json(reply.to_dict(), indent=0)
        return
    for vector in reply.vectors:
        print_json(vector, indent=0)
