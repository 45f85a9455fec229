"""The thoughts of a model, where the service leaves them in the text, between tags of the chat template.

They count as thoughts at the beginning of the text only: further on, an answer may be about such tags.
"""

from __future__ import annotations

#: Opening and closing tags: DeepSeek, Qwen and Phi; others; Magistral; gpt-oss.
TAGS = {
    "<think>": "</think>",
    "<thinking>": "</thinking>",
    "[THINK]": "[/THINK]",
    "<|channel|>analysis<|message|>": "<|start|>assistant<|channel|>final<|message|>",
}
#: What a text with thoughts begins with.
MAY_BEGIN = frozenset(" \t\r\n<[")
#: The closing tag that comes alone where the chat template holds the opening one, as DeepSeek's does.
LONE_CLOSING = "</think>"


class ThoughtSplitter:
    """The thoughts and the answer of a text that arrives in pieces.

    Attributes:
        is_done: The answer has begun, so that nothing more has to be split.
    """

    def __init__(self) -> None:
        self.is_done = False
        self._held = ""
        self._closing = ""
        self._has_thoughts = False

    @property
    def held(self) -> str:
        """Return the text that may still become a tag; ``""`` within the thoughts."""
        return "" if self._closing else self._held

    def feed(self, piece: str) -> tuple[str, str]:
        """Add a piece; return the thoughts and the part of the answer that are now certain."""
        if self.is_done:
            return "", piece
        self._held += piece
        thoughts = ""
        while self._closing or self._opens():
            thought, found, rest = self._held.partition(self._closing)
            if not found:
                kept = _overlap(self._held, self._closing)
                self._held = thought[len(thought) - kept :]
                return thoughts + thought[: len(thought) - kept], ""
            thoughts, self._held, self._closing = thoughts + thought, rest, ""
        return thoughts, "" if self._may_open() else self._take()

    def flush(self) -> tuple[str, str]:
        """Return the thoughts and the answer that were held back, once nothing more comes."""
        return (self._take(), "") if self._closing else ("", self._take())

    def _opens(self) -> bool:
        """Take an opening tag off the held text; return whether there is one."""
        start = self._held.lstrip()
        for opening, closing in TAGS.items():
            if start.startswith(opening):
                self._held, self._closing, self._has_thoughts = start[len(opening) :], closing, True
                return True
        return False

    def _may_open(self) -> bool:
        start = self._held.lstrip()
        return any(opening.startswith(start) for opening in TAGS)

    def _take(self) -> str:
        taken = self._held.lstrip() if self._has_thoughts and not self._closing else self._held
        self.is_done, self._held, self._closing = True, "", ""
        return taken


def split_thoughts(text: str) -> tuple[str, str]:
    """Return the thoughts and the answer of a whole text."""
    if text[:1] not in MAY_BEGIN and LONE_CLOSING not in text:
        return "", text
    splitter = ThoughtSplitter()
    parts = zip(splitter.feed(text), splitter.flush(), strict=True)
    thoughts, answer = (first + rest for first, rest in parts)
    return (thoughts, answer) if thoughts else split_unopened(answer)


def split_unopened(text: str) -> tuple[str, str]:
    """Return the thoughts and the answer of a whole text that may have a closing tag without the opening one.

    A tag behind an opening one, or in a code span, is what the answer is about.
    """
    thoughts, found, answer = text.partition(LONE_CLOSING)
    if not found or any(tag in thoughts for tag in TAGS) or thoughts.endswith("`"):
        return "", text
    return thoughts, answer.lstrip()


def _overlap(text: str, tag: str) -> int:
    """Return the length of the longest end of a text with which a tag may begin."""
    return next((size for size in range(len(tag) - 1, 0, -1) if text.endswith(tag[:size])), 0)
