"""The arguments of the commands for models that do not chat."""

from __future__ import annotations

import argparse

from foundry_rest.cli.options import add_options, add_service_options


def add_embed(embed: argparse.ArgumentParser) -> None:
    """Add the arguments of ``embed``."""
    embed.add_argument("text", nargs="*", metavar="TEXT", help="what is embedded; - or nothing for stdin")
    add_options(
        embed,
        model="alias or id of an embedding model (default: FOUNDRY_MODEL)",
        json="print one JSON object with model and usage, too",
    )
    add_service_options(embed)


def add_transcribe(transcribe: argparse.ArgumentParser) -> None:
    """Add the arguments of ``transcribe``."""
    transcribe.add_argument("file", metavar="FILE", help="WAV, mono at 16 kHz; some models read more")
    add_options(transcribe, model="alias or id of a speech model (default: FOUNDRY_MODEL)")
    transcribe.add_argument("--language", metavar="CODE", help="language that is spoken, such as en")
    transcribe.add_argument("--prompt", metavar="TEXT", help="text before the recording, or names in it")
    add_options(transcribe, temperature="0 (always the same) to 1", json="print one JSON object")
    add_service_options(transcribe)
