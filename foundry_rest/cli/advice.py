"""The advice of errors in the words of the command: options where the library names arguments."""

from __future__ import annotations

from foundry_rest.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    FoundryError,
    ModelNotFound,
    ServiceNotFound,
    ServiceTimeout,
    StreamInterrupted,
)

#: Error class -> what takes the place of its own advice.
_ADVICE: dict[type[FoundryError], str] = {
    ServiceNotFound: "Start one with: foundry-rest serve --model-dir DIR; or give --url (FOUNDRY_ENDPOINT).",
    ServiceTimeout: "If the service is only slow, give a larger --timeout (FOUNDRY_TIMEOUT).",
    DeadlineExceeded: "Give a larger FOUNDRY_DEADLINE, a smaller --max-tokens, or a smaller model.",
    StreamInterrupted: "Ask again for a whole answer.",
    ContextLengthExceeded: "Give a smaller --max-tokens or a shorter prompt.",
    ModelNotFound: "List its names with: foundry-rest models; give one with --model (FOUNDRY_MODEL).",
}
#: Words of the library in advice that holds facts of its own -> words of the command.
_WORDS = {"port=0": "--port 0"}


def in_words_of_the_command(error: FoundryError) -> FoundryError:
    """Return ``error`` with advice that can be followed on the command line; suggestions stay in it."""
    ours = _ADVICE.get(type(error))
    if ours is not None:
        general = type(error).advice
        error.advice = error.advice.replace(general, ours) if general else ours
    for theirs, word in _WORDS.items():
        error.advice = error.advice.replace(theirs, word)
    return error
