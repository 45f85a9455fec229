"""The command ``cache``: the figures of a cache file, and its clearing. No service is asked."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from foundry_rest.cache import CacheStats, ResponseCache
from foundry_rest.cache.database import check_file
from foundry_rest.cli.output import print_json
from foundry_rest.cli.streams import print_text
from foundry_rest.control_characters import visible
from foundry_rest.schema.tables import table


def cache(arguments: Namespace) -> None:
    """Print the figures of a file, or remove what is in it."""
    path = Path(arguments.file).expanduser().absolute()
    check_file(path)
    opened = ResponseCache(path)
    try:
        if arguments.action == "stats":
            _print_stats(opened.stats(), as_json=arguments.json)
        else:
            _print_removed(opened.clear(arguments.older_than), as_json=arguments.json)
    finally:
        opened.close()


def _print_stats(stats: CacheStats, *, as_json: bool) -> None:
    if as_json:
        print_json(stats.to_dict())
        return
    oldest = "-" if stats.oldest is None else f"{stats.oldest:,.0f} s old"
    print_text(
        f"answers: {stats.entries:,}\nbytes:   {stats.bytes:,}\noldest:  {oldest}\nhits:    {stats.hits:,}"
    )
    if stats.by_model:
        rows = [
            (visible(name, keep_lines=False) or "-", f"{found['entries']:,}", f"{found['hits']:,}")
            for name, found in stats.by_model.items()
        ]
        print_text("\n" + table([("MODEL", "ANSWERS", "HITS"), *rows]))


def _print_removed(removed: int, *, as_json: bool) -> None:
    if as_json:
        print_json({"removed": removed})
    else:
        print_text(f"removed: {removed:,}")
