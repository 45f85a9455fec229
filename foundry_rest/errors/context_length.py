"""The numbers in a service's refusal of a prompt that is too long."""

from __future__ import annotations

import re

#: Wordings, with the tokens of the prompt as ``prompt`` and those of the context as ``limit``. A row without
#: a comment is Foundry Local's: chats of 1.x and 2.x, embeddings of 2.x.
_WORDINGS = (
    r"\((?P<prompt>\d+) input \+ \d+ output\).* maximum context length of (?P<limit>\d+)",
    r"max_length \((?P<prompt>\d+)\) cannot be greater than model context_length \((?P<limit>\d+)\)",
    r"maximum context length is (?P<limit>\d+) tokens\b.*?\((?P<prompt>\d+) in the messages",  # OpenAI, vLLM
    r"maximum context length is (?P<limit>\d+) tokens\b.*?messages resulted in (?P<prompt>\d+)",  # OpenAI
    r"maximum context length is (?P<limit>\d+) tokens\b.*?(?P<prompt>\d+) input tokens",  # vLLM since 0.10
    r"maximum context length is (?P<limit>\d+) tokens",
    r"request \((?P<prompt>\d+) tokens\) exceeds the available context size \((?P<limit>\d+)",  # llama.cpp
    r"tokens \((?P<prompt>\d+)\) exceed context window of (?P<limit>\d+)",  # llama-cpp-python
    r"the first (?P<prompt>\d+) tokens when.*context length of only (?P<limit>\d+)",  # LM Studio
    r"too long: (?P<prompt>\d+) tokens > (?P<limit>\d+) maximum",  # Anthropic
    r"input token count \((?P<prompt>\d+)\)(?:.* number of tokens allowed \((?P<limit>\d+))?",  # Gemini
)

#: Most digits of a number that can be one of tokens.
_MOST_DIGITS = 12


def tokens_in(message: str) -> tuple[int | None, int | None]:
    """Return the tokens of the prompt and those of the context, each ``None`` where it is not said."""
    for wording in _WORDINGS:
        found = re.search(wording, message, re.IGNORECASE | re.DOTALL)
        if found:
            said = found.groupdict()
            return _number(said.get("prompt")), _number(said.get("limit"))
    return None, None


def _number(digits: str | None) -> int | None:
    return None if digits is None or len(digits) > _MOST_DIGITS else int(digits)
