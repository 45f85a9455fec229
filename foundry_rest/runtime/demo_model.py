"""The demo model that comes with the package."""

from __future__ import annotations

from pathlib import Path


def demo_model_dir() -> Path:
    """Return the folder of the demo model: a toy that repeats what it memorised, for trials only."""
    return Path(__file__).resolve().parent.parent / "demo_model" / "demo-chat"
