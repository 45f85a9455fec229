"""Prompts in what the other side says of a failure: a refusal may quote the text that it refuses.

Such an error goes into logs and result stores, where stars stand in place of every longer piece of the
request's own texts. What is as short as a word or two cannot be told from the refusal's own words, and stays.
"""

from __future__ import annotations

from foundry_rest.raw_json import UNDECODABLE, read_raw

#: Members of a request that hold what a person wrote.
_TEXTS = ("messages", "input", "prompt", "instructions")
#: Members within these that do not.
_NAMES = frozenset(("role", "type", "name", "id", "call_id", "tool_call_id", "detail"))
#: Fewest characters of a piece: fewer may be the refusal's own words.
_PIECE = 20
#: Most characters of a text that are looked through, from its start and from its end; a quote is near one.
_LOOKED_AT = 20_000
#: Most texts that are looked through, the last ones of a conversation.
_MOST = 50
_STARS = "***"


def prompts_in(body: object) -> tuple[str, ...]:
    """Return the texts of a request's body that are long enough to be recognised."""
    if not isinstance(body, bytes):
        return ()
    try:
        given = read_raw(body)
    except (*UNDECODABLE, ValueError):
        return ()
    if not isinstance(given, dict):
        return ()
    waiting: list[object] = list(map(given.get, _TEXTS))
    found: list[str] = []
    while waiting and len(found) < _MOST:  # the last ones of a conversation come first
        value = waiting.pop()
        if isinstance(value, str) and len(value) >= _PIECE:
            is_short = len(value) <= 2 * _LOOKED_AT
            found.append(value if is_short else f"{value[:_LOOKED_AT]}\0{value[-_LOOKED_AT:]}")
        elif isinstance(value, dict):
            waiting += map(value.get, value.keys() - _NAMES)
        elif isinstance(value, list):
            waiting += value
    return tuple(found)


def without_prompts(text: str, prompts: tuple[str, ...]) -> str:
    """Return a text with stars in place of each piece of a prompt.

    >>> without_prompts("cannot read 'the quick brown fox jumps' here", ("See the quick brown fox jumps.",))
    "cannot read '***' here"
    """
    for prompt in prompts:
        kept, at = "", 0
        while at + _PIECE <= len(text):
            end = at + _PIECE
            if text[at:end] not in prompt:
                kept += text[at]
                at += 1
                continue
            while end < len(text) and text[at : end + 1] in prompt:
                end += 1
            kept += _STARS
            at = end
        text = kept + text[at:]
    return text
