"""The JSON values in what a model wrote, where it wrote more than that.

Models put thoughts before an answer, fences around it, prose on both sides and special tokens behind it. The
answer is the last value that fits: a draft comes before it. What stands in the thoughts is never an answer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from foundry_rest.schema.thoughts import split_thoughts

_DECODER = json.JSONDecoder()
#: Where a JSON value may begin: not within a word or a number.
_START = re.compile(r'[{\["]|(?<![\w.+-])(?:-?\d|true\b|false\b|null\b)')
#: An object whose keys lack their quotes.
_BROKEN = re.compile(r"\{\s*[\w']+\s*:")
#: A bracket, or a string, in which brackets do not count.
_BRACKET = re.compile(r'[{}\[\]]|"(?:[^"\\]|\\.)*"')
#: Values looked for; an answer has a handful, and each start that leads nowhere costs a scan of the rest.
_MOST = 2000


def json_values(text: str) -> Iterator[str]:
    """Yield the texts in an answer that may be its JSON: all of it, then its values, the last first."""
    answer = split_thoughts(text)[1].strip()
    yield answer
    yield from reversed(list(_values(answer)))


def is_closed(text: str) -> bool:
    """Tell whether a JSON text ends by its own syntax, so that it cannot be the beginning of a longer one."""
    return text.rstrip()[-1:] in ("}", "]", '"')


def _values(text: str) -> Iterator[str]:
    at = 0
    for _ in range(_MOST):
        found = _START.search(text, at)
        if found is None:
            return
        start = found.start()
        try:
            _, at = _DECODER.raw_decode(text, start)
            yield text[start:at]
        except json.JSONDecodeError as error:
            is_prose = error.pos <= start + 1 and not _BROKEN.match(text, start)
            at = start + 1 if is_prose else _end_of_broken(text, start)
        except RecursionError:
            return


def _end_of_broken(text: str, start: int) -> int:
    """Return where JSON that is not whole ends; what is nested in it is no answer, but a part of one."""
    depth = 0
    for found in _BRACKET.finditer(text, start):
        depth += 1 if found[0] in "{[" else -1 if found[0] in "}]" else 0
        if depth <= 0:
            return found.end()
    return len(text)
