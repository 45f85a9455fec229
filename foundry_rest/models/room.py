"""The room that a model needs on the disk, and has there."""

from __future__ import annotations

from pathlib import Path

from foundry_rest.errors import ConfigError
from foundry_rest.errors.advice import Advice, Words
from foundry_rest.models.disk import unfinished_size
from foundry_rest.schema import ModelInfo

_MEGABYTE, _GIGABYTE = 1e6, 1e9
_ADVICE = Advice(
    Words(
        "Make room there, by client.models.remove(name) for instance, or choose a smaller model.",
        "Make room there, by foundry-rest models remove NAME for instance, or choose a smaller model.",
    )
)


def check_room(info: ModelInfo, directory: Path | None) -> None:
    """Raise an error before a download that the disk has no room for, as far as that is known.

    Args:
        info: The model.
        directory: The model directory; ``None`` when it is not on this machine.

    Raises:
        ConfigError: There is too little room; the message has the numbers.
    """
    if directory is None or info.size is None:
        return
    free = free_bytes(directory)
    if free is None or free >= info.size:
        return
    missing = info.size - unfinished_size(directory, info.id)
    if free < missing:
        raise ConfigError(
            f"the download needs {amount(missing)}, and {amount(free)} are free at {directory}",
            call="models.download",
            model=info.id,
            advice=_ADVICE,
        )


def free_bytes(directory: Path) -> int | None:
    """Return the bytes that are free for this user where a directory lies; ``None`` if that is not told."""
    import psutil

    try:
        return int(psutil.disk_usage(str(directory)).free)
    except OSError:
        return None


def amount(size: int) -> str:
    """Return a number of bytes for people.

    >>> amount(3_600_000_000), amount(1_500_000)
    ('3.6 GB', '1.5 MB')
    """
    if size < _GIGABYTE:
        return f"{size / _MEGABYTE:,.1f} MB"
    return f"{size / _GIGABYTE:,.1f} GB"
