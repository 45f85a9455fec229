"""Tables of text: columns in line, nothing behind the last cell of a row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def table(rows: Iterable[Sequence[str]]) -> str:
    """Return one line for each row; the first is the heading."""
    lines = list(rows)
    widths = [max(len(cell) for cell in column) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def milliseconds(seconds: float | None) -> str:
    """Return seconds as milliseconds with one decimal; a dash for ``None``."""
    return "-" if seconds is None else f"{seconds * 1000:.1f}"
