"""Fallbacks: one model after the other is asked until one answers."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import TypeVar

from msgspec.structs import replace

from foundry_rest import clock
from foundry_rest.errors import ConfigError, FoundryError
from foundry_rest.errors.attempt import Attempt
from foundry_rest.resilience.failures import is_worth_another_model
from foundry_rest.schema import ChatRequest
from foundry_rest.schema.request import check_model_name
from foundry_rest.transport.call import Options

T = TypeVar("T")


def ask_in_turn(
    ask: Callable[[ChatRequest, Options], T],
    request: ChatRequest,
    options: Options,
    fallback_models: object,
    *,
    load: bool,
    spared: Collection[FoundryError] = (),
) -> T:
    """Return the answer of the first model that gives one.

    Args:
        ask: Asks the model of a request.
        request: The request, to the first model.
        options: Options of the call; its deadline is one for all models.
        fallback_models: The further models, by their names.
        load: Whether one of these may be loaded, if the client's settings allow that.
        spared: Errors that are no failure of a model, as they come up.

    Raises:
        ConfigError: The names cannot be used.
        FoundryError: The last model failed, or one in a way that makes no other worth a request; ``attempts``
            are those of all models.
    """
    if load and not fallback_models:
        raise ConfigError("load_fallbacks goes with fallback_models: there is no other model to load")
    names = _names(request.model, fallback_models)
    tried: tuple[Attempt, ...] = ()
    started = clock.monotonic()
    while True:
        name = names.pop(0)
        began = clock.monotonic()
        try:
            return ask(replace(request, model=name, id=name), options)
        except FoundryError as error:
            if error in spared:
                raise
            goes_on = bool(names) and is_worth_another_model(error)
            if goes_on or tried:
                tried = error.attempts = (*tried, *_attempts(error, name, began, began - started))
            if not goes_on:
                raise
        options = replace(options, may_load=load)


def _attempts(error: FoundryError, model: str, began: float, before: float) -> list[Attempt]:
    """Return the tries of one model, on the clock of the whole call; at least one, that of its failure."""
    made = error.attempts or (
        Attempt(1, 0.0, clock.monotonic() - began, type(error).__name__, error.message),
    )
    return [replace(each, at=each.at + before, model=model) for each in made]


def _names(first: str, others: object) -> list[str]:
    """Return the names of all models, each once."""
    if isinstance(others, (str, bytes)) or not isinstance(others, Iterable):
        raise ConfigError(f"fallback_models must be a list of names, not {type(others).__name__}")
    return list(dict.fromkeys((first, *map(check_model_name, others))))
