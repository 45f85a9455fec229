"""What was learnt about model names of one service process: which id a name stands for, and back."""

from __future__ import annotations

from foundry_rest.schema import ModelInfo


class LearnedNames:
    """A memory of which model a name was seen to mean."""

    def __init__(self) -> None:
        self._known: dict[str, ModelInfo] = {}

    def learn(self, name: str, info: ModelInfo) -> None:
        """Remember that ``name`` means this model, as does its id.

        Its alias does so only when that was asked for: else it may mean another variant.
        """
        self._known[name] = self._known[info.id] = info
        if name.casefold() == info.alias.casefold():
            self._known[info.alias] = info

    def means(self, name: str, info: ModelInfo) -> bool:
        """Tell whether ``name`` was learnt to mean this model, or says so itself."""
        return self.id_of(name) == info.id or info.has_name(name)

    def get(self, name: str) -> ModelInfo | None:
        """Return the model that ``name`` was seen to mean."""
        return self._known.get(name)

    def id_of(self, name: str) -> str:
        """Return the exact id for ``name``, or ``name`` while it is unknown."""
        info = self._known.get(name)
        return info.id if info else name
