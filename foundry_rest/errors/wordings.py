"""The wordings by which services say what went wrong, and the error class of each.

The services send no useful ``code``, so the wording decides; the status decides where the wording does not.
"""

from __future__ import annotations

import re
from typing import TypeVar

from foundry_rest.errors import (
    AudioFileNotFound,
    AuthenticationError,
    BadRequest,
    CatalogUnavailable,
    ContextLengthExceeded,
    InferenceFailed,
    LoadFailed,
    ModelInUse,
    ModelNotCached,
    ModelNotFound,
    ModelNotLoaded,
    NotFound,
    ResponseNotFound,
    ServerError,
    ServiceError,
    ToolCallFailed,
    TooManyRequests,
    UnsupportedParameter,
)

T = TypeVar("T")

#: Wording -> class. The first pattern found in message and code, in any case, wins. Patterns are compiled
#: when the first error is parsed, not at import. Rows of other servers name them. "is not loaded" and
#: "invalid openai json" are 1.x's, "no openaiservice provider" is 0.x's, codes are OpenAI's, the rest is
#: 2.x's. A 500 that the same request gets each time counts as the request's fault, such as "hidden_states"
#: (embeddings from a chat model).
_BY_WORDING: tuple[tuple[str, type[ServiceError]], ...] = (
    (r"exceeds the model's maximum context length|context_length_exceeded", ContextLengthExceeded),
    (r"cannot be greater than model context_length", ContextLengthExceeded),
    (r"maximum context length is|contextwindowexceeded", ContextLengthExceeded),  # vLLM, OpenAI; litellm
    (r"exceeds? the (available )?context (size|length|window)", ContextLengthExceeded),  # llama.cpp, Ollama
    (r"exceed_context_size|exceed context window of", ContextLengthExceeded),  # llama.cpp, llama-cpp-python
    (
        r"loaded with context length of only|prompt is too long: \d",
        ContextLengthExceeded,
    ),  # LM Studio, Anthropic
    (r"input token count .*exceeds the maximum number of tokens", ContextLengthExceeded),  # Gemini
    (r"^invalid openai json request|error creating grammar|'hidden_states' was not found", BadRequest),
    (r"\[AudioDecoder\]|\[LogMel\]|audio_features must be provided", BadRequest),
    (r"empty chat template|invalid type in response format", BadRequest),
    (r"model not loaded|must be loaded before|is not loaded\b", ModelNotLoaded),
    (r"no openaiservice provider found", ModelNotLoaded),
    (r"\bno models? loaded\b|^model is unloaded|model has been unloaded", ModelNotLoaded),  # LM Studio
    (r"model not cached|must be downloaded before", ModelNotCached),
    (r"model not found|no model matching|model_not_found", ModelNotFound),
    (r"the model [`'\"][^`'\"]+[`'\"] does not exist", ModelNotFound),  # OpenAI, vLLM
    (r"invalid model name passed in|invalid model identifier", ModelNotFound),  # litellm, LM Studio
    (r"^model [`'\"][^`'\"]+[`'\"] not found", ModelNotFound),  # Ollama
    (r"unsupported parameter", UnsupportedParameter),
    (r"^(un)?load failed|failed loading model", LoadFailed),
    (r"inference failed|invalid tool call|failed to create generator", InferenceFailed),
    (r"\btool '[^']*': instance '", InferenceFailed),
)
_BY_STATUS: dict[int, type[ServiceError]] = {
    401: AuthenticationError,
    403: AuthenticationError,
    404: NotFound,
    429: TooManyRequests,
}
#: 2.x checks a call that its model wrote against the tool's schema, and names the position of the mistake.
_TOOL_CALL = (r"tool call|': instance '", ToolCallFailed)
#: Class found by the tables above -> wordings that make it one of its subclasses. The catalog's is 1.x's,
#: a missing response is 1.x's and 2.x's, the rest is 2.x's.
_SUBCLASSES: dict[type[ServiceError], tuple[tuple[str, type[ServiceError]], ...]] = {
    BadRequest: ((r"audio file not found", AudioFileNotFound),),
    NotFound: (
        (r"^(previous response not found|conversation history for|the response ')", ResponseNotFound),
        (r" response_not_found$", ResponseNotFound),
    ),
    LoadFailed: ((r"still using it", ModelInUse),),
    InferenceFailed: (_TOOL_CALL,),
    ServerError: (_TOOL_CALL, (r"failed to retrieve model list", CatalogUnavailable)),
}
#: Wording -> advice, where the service's own message does not explain the cause.
_ADVICE: tuple[tuple[str, str], ...] = (
    (
        r"'hidden_states' was not found",
        "This model gives no embeddings: choose one whose task is embeddings from client.models.catalog().",
    ),
)
#: Advice for calls whose every failure 1.x answers with a 500 and no message.
ADVICE_WITHOUT_MESSAGE = {
    "models.load": "It does not say why: the name may be unknown (case counts), the model not downloaded, "
    "its files broken or the memory full. See the list of models and the service's own log.",
    "models.unload": "It does not say why: it may not reach its catalog. See the service's own log.",
}


def classify(status: int, message: str, code: str | None = None) -> type[ServiceError]:
    """Return the class of an error with this status, message and code."""
    wording = f"{message} {code or ''}"
    cls = _first_match(_BY_WORDING, wording) or _by_status(status)
    return _first_match(_SUBCLASSES.get(cls, ()), wording) or cls


def advice_for(message: str) -> str | None:
    """Return what to do where the service's own message does not explain the cause."""
    return _first_match(_ADVICE, message)


def _by_status(status: int) -> type[ServiceError]:
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return ServerError if status >= 500 else BadRequest if status >= 400 else ServiceError


def _first_match(table: tuple[tuple[str, T], ...], wording: str) -> T | None:
    """Return the value beside the first pattern that is found in the wording."""
    return next((found for pattern, found in table if re.search(pattern, wording, re.IGNORECASE)), None)
