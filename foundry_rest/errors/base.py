"""The base of all errors: facts as attributes, one sentence made of them, and support for pickle."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence

from foundry_rest.errors.advice import in_command
from foundry_rest.errors.attempt import Attempt


def _rebuild(cls: type[FoundryError], message: str, facts: dict[str, object]) -> FoundryError:
    error = cls(message)
    error.__dict__.update(facts)
    return error


class FoundryError(Exception):
    """Any error of this package; the base class of all.

    Attributes:
        call: Label of the operation, such as ``"chat.complete"``.
        url: Address of the service, when one was known.
        model: Model name as the caller gave it.
        attempts: The failed tries, in order.
        advice: What to do next.
        places: Where a search looked, each with what it found there.
    """

    call: str = ""
    url: str = ""
    model: str = ""
    attempts: tuple[Attempt, ...] = ()
    advice: str = ""
    places: tuple[str, ...] = ()

    def __init__(self, message: str = "", /, **facts: object) -> None:
        super().__init__(message)
        for name, value in facts.items():
            if not any(name in getattr(cls, "__annotations__", {}) for cls in type(self).__mro__):
                raise TypeError(f"{type(self).__name__} has no fact {name!r}")
            setattr(self, name, value)

    @property
    def message(self) -> str:
        """Return what happened, without address and advice."""
        return _looked_at(self._what, self.places)

    @property
    def _what(self) -> str:
        return str(self.args[0]) if self.args else ""

    def __str__(self) -> str:
        return self._sentence(self.message, self.advice)

    def for_command(self, running: str = "", *, in_lines: bool = False) -> str:
        """Return the same as ``str(error)`` in the words of ``foundry-rest``.

        Args:
            running: The command that failed, which is not advised to be run.
            in_lines: Whether each place that was looked at has a line of its own, for a terminal.
        """
        places, advice = [in_command(place) for place in self.places], self.advice_for(running)
        if in_lines and places:
            lines = (f"{self._sentence(self._what)}; looked at", *(f"  {place}" for place in places), advice)
            return "\n".join(lines).rstrip()
        return self._sentence(_looked_at(self._what, places), advice)

    def advice_for(self, running: str) -> str:
        """Return what to do next in the words of ``foundry-rest``, for the command ``running``."""
        return in_command(self.advice, running)

    def _sentence(self, message: str, advice: str = "") -> str:
        context = self._context()
        text = message + (f" ({context})" if context else "")
        return f"{text.rstrip('.')}. {advice}" if advice else text

    def _context(self) -> str:
        where = f"{self.call} at {self.url}" if self.call and self.url else self.call or self.url
        model = f"model {self.model!r}" if self.model else ""
        tries = f"after {len(self.attempts)} attempts" if len(self.attempts) > 1 else ""
        return ", ".join(part for part in (where, model, tries) if part)

    def __reduce__(self) -> tuple[Callable[..., FoundryError], tuple[object, ...]]:
        return _rebuild, (type(self), self._what, {**self.__dict__, **self._plain_response()})

    def _plain_response(self) -> dict[str, object]:
        """Return the response without its requests' hooks, which need not be picklable, and their bodies."""
        response = copy.copy(getattr(self, "response", None))
        if response is None or response.request is None:
            return {}
        response.history = []
        response.request = response.request.copy()
        response.request.hooks, response.request.body = {}, None
        return {"response": response}


def _looked_at(what: str, places: Sequence[str]) -> str:
    return f"{what}; looked at {', '.join(places)}" if places else what
