"""What the package's log says."""

from __future__ import annotations

import logging

from foundry_rest import configure_logging


def lines_by_level(work, text, monkeypatch, caplog) -> dict[str, int]:
    """Return how often a text is logged while ``work`` runs, by the level that FOUNDRY_LOG_LEVEL sets."""
    logger = logging.getLogger("foundry_rest")
    monkeypatch.setattr(logger, "handlers", logger.handlers[:])
    monkeypatch.setattr(logger, "level", logger.level)
    lines = {}
    for level in ("DEBUG", "WARNING"):
        monkeypatch.setenv("FOUNDRY_LOG_LEVEL", level)
        configure_logging()
        caplog.clear()
        work()
        lines[level] = caplog.text.count(text)
    return lines
