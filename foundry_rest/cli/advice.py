"""The advice of errors for the command line: it names options where the library names arguments."""

from __future__ import annotations

from foundry_rest.errors import (
    ContextLengthExceeded,
    DeadlineExceeded,
    FoundryError,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    ServiceNotFound,
    ServiceTimeout,
    StreamInterrupted,
)

#: Error class -> the advice that replaces the class's own.
_ADVICE: dict[type[FoundryError], str] = {
    ServiceNotFound: (
        "Start one with: foundry-rest serve --model-dir DIR; let the foundry command do it with --start; "
        "or give --url (FOUNDRY_ENDPOINT)."
    ),
    ServiceTimeout: "If the service is only slow, give a larger --timeout (FOUNDRY_TIMEOUT).",
    DeadlineExceeded: "Give a larger FOUNDRY_DEADLINE, a smaller --max-tokens, or a smaller model.",
    StreamInterrupted: "Ask again for a whole answer.",
    ContextLengthExceeded: "Give a smaller --max-tokens or a shorter prompt.",
    ModelNotCached: "Download it first: foundry-rest download NAME (2.x: with --embedded), then load it.",
    ModelNotFound: "List its names with: foundry-rest models; chat takes one by --model (FOUNDRY_MODEL).",
    ModelNotLoaded: "Load it with: foundry-rest load NAME.",
}
#: Phrase of the library in the advice of a single error -> phrase of the command.
_PHRASES = {
    "port=0": "--port 0",
    "deadline=": "FOUNDRY_DEADLINE",
    "Call client.models.unload(name)": "Run foundry-rest unload NAME",
    "let FoundryAPIClient.embedded() download it": "fetch it with: foundry-rest download --embedded NAME",
}


def reword_advice(error: FoundryError) -> FoundryError:
    """Return ``error`` with advice for the command line; suggested names are kept."""
    replacement = _ADVICE.get(type(error))
    if replacement is not None:
        of_class = type(error).advice
        error.advice = error.advice.replace(of_class, replacement) if of_class else replacement
    for of_library, of_command in _PHRASES.items():
        error.advice = error.advice.replace(of_library, of_command)
    return error
