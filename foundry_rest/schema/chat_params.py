"""The parameters of a chat request, as they are declared."""

# Annotations are evaluated here: as texts, they would be compiled one by one at import.
from collections.abc import Callable, Mapping, Sequence
from typing import TypedDict


class ChatParams(TypedDict, total=False):
    """The parameters of a chat request; any other field of the body goes through ``extra``."""

    #: Most tokens of the answer, 1 or more; that of the ``Config`` when not given.
    max_tokens: int
    #: The same limit under OpenAI's newer name.
    max_completion_tokens: int
    #: 0 for the likeliest word each time; more for more variety.
    temperature: float
    #: The share of the likeliest words that are chosen from, 0 to 1.
    top_p: float
    #: One to four texts, before any of which the answer ends.
    stop: str | Sequence[str]
    #: For the same answer again, where the service heeds it.
    seed: int
    #: Tool descriptions, or plain functions, which ``foundry_rest.schema.tools.Tool`` describes.
    tools: Sequence[Mapping[str, object] | Callable[..., object]]
    #: ``"auto"``, ``"none"``, ``"required"``, or the tool to call.
    tool_choice: str | Mapping[str, object]
    #: OpenAI's form of the answer; ``response_model=`` makes it from a type.
    response_format: Mapping[str, object]
    #: -2 to 2: how much a word that was used is avoided.
    presence_penalty: float
    #: -2 to 2: the same, for each use.
    frequency_penalty: float
    #: Names and texts that go along.
    metadata: Mapping[str, str]
    #: How much a reasoning model thinks, such as ``"low"``.
    reasoning_effort: str
    #: Arguments of the model's chat template.
    chat_template_kwargs: Mapping[str, object]
    #: Who asks, for the service's own records.
    user: str
    #: Whether the answer tells the likelihood of each token.
    logprobs: bool
    #: For how many of the likeliest tokens it does.
    top_logprobs: int
    #: Token id -> what is added to its likelihood.
    logit_bias: Mapping[str, float]
    #: Whether one turn may call several tools.
    parallel_tool_calls: bool
    #: How many of the likeliest words are chosen from.
    top_k: int
    #: Further fields of the request body, by name.
    extra: Mapping[str, object]
