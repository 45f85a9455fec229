"""The interface of what is asked of a model, for type checkers."""

from __future__ import annotations

from typing import Protocol


class ModelRequest(Protocol):
    """A checked request to a model: ``model`` is the caller's name for it, ``id`` the one that is sent."""

    @property
    def model(self) -> str:
        """Return the caller's name for the model."""

    @property
    def id(self) -> str:
        """Return the name that is sent."""
